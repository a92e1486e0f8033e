// The system half of the CPU, by numbers of the SDM (volume 3 where none is named).

import CBackplane
import NativeCPU
import Testing

@testable import Core
@testable import EngineSoft

/// A CPU in flat 32-bit segments of ring 0 with 256 KiB of RAM: GDT at 0x2000, IDT at 0x3000, TSS at 0x4000, code at 0x1000.
private final class SystemBench {
    private let machine: Machine
    let cpu: SoftCPU
    var s: S { cpu.s }
    // SAFETY: `length` bytes between guard pages.
    let ram: UnsafeMutableRawPointer
    static let length: UInt64 = 0x40000

    init(_ code: [UInt8]) throws {
        machine = try Machine(
            MachineDescription(name: "test", cpuCount: 1, memory: 0, instances: [], watchdog: 0),
            options: MachineOptions(makeEngine: nil, log: { _, _, _ in }))
        ram = nc_guarded(Self.length)
        let engine = SoftEngine()
        try engine.setMemory([MappedMemory(address: 0, length: Self.length, host: ram, isReadOnly: false)])
        cpu = try #require(try engine.makeCPU(machine.vcpus[0]) as? SoftCPU)
        cpu.takeMail()
        for (index, byte) in code.enumerated() {
            ram.storeBytes(of: byte, toByteOffset: 0x1000 + index, as: UInt8.self)
        }
        s.cpu.pointee.cr0 = 0x31
        for number in 0..<6 {
            s.segment(number).pointee = SegmentRegister(
                base: 0, limit: .max, selector: number == 1 ? 8 : 16, attributes: number == 1 ? 0xc09b : 0xc093)
        }
        s.cpu.pointee.gdt = DescriptorTable(base: 0x2000, limit: 0x7f)
        s.cpu.pointee.idt = DescriptorTable(base: 0x3000, limit: 0x7ff)
        put(0x2008, 0x00cf_9b00_0000_ffff)
        put(0x2010, 0x00cf_9300_0000_ffff)
        // Each vector's handler pushes its number and halts.
        for vector in 0..<32 {
            put(0x3000 + vector * 8, 0x8e00_0008_0000 | UInt64(0x5000 + vector * 16))
            put(0x5000 + vector * 16, 0xf4_006a | UInt64(vector) << 8)
        }
        s.segment(Segment.tr).pointee = SegmentRegister(base: 0x4000, limit: 0x67, selector: 0x18, attributes: 0x8b)
        s[Register.rsp] = 0x7000
        s.rip = 0x1000
        cpu.updateMode()
    }

    deinit { machine.tearDown() }

    func put(_ address: Int, _ value: UInt64) { ram.storeBytes(of: value, toByteOffset: address, as: UInt64.self) }
    func word(_ address: Int) -> UInt32 { ram.loadUnaligned(fromByteOffset: address, as: UInt32.self) }
    /// The words on top of the stack, from the handler's vector on.
    func stack(_ count: Int) -> [UInt32] { (0..<count).map { word(Int(s[Register.rsp]) + $0 * 4) } }

    func enterLongMode() {
        put(0x8000, 0x9003)
        put(0x9000, 0xa003)
        put(0xa000, 0x83)
        s.cpu.pointee.cr3 = 0x8000
        s.cpu.pointee.cr4 = 0x620
        s.cpu.pointee.efer = 0xd00
        s.cpu.pointee.cr0 = 0x8001_0031
        s.segment(Segment.cs).pointee.attributes = 0xa09b
        cpu.flushTranslations(keepsGlobal: false)
        cpu.updateMode()
    }

    /// 32-bit paging: page tables of the first 4 MiB at 0x11000, all of them the page itself, present and writable.
    func enterPaging() {
        ram.storeBytes(of: 0x1_1003, toByteOffset: 0x10000, as: UInt32.self)
        for page in 0..<64 { entry(page, UInt32(page << 12) | 3) }
        s.cpu.pointee.cr3 = 0x10000
        s.cpu.pointee.cr0 = 0x8001_0031
        cpu.flushTranslations(keepsGlobal: false)
        cpu.updateMode()
    }

    func entry(_ page: Int, _ value: UInt32) {
        ram.storeBytes(of: value, toByteOffset: 0x11000 + page * 4, as: UInt32.self)
    }
    func entry(_ page: Int) -> UInt32 { word(0x11000 + page * 4) }

    func runToHalt() {
        guard case .halted = cpu.run() else {
            Issue.record("no HLT; RIP 0x\(String(s.rip, radix: 16))")
            return
        }
    }
}

struct SystemTests {
    // MARK: Accessed and dirty flags (4.8)

    /// MOV EAX, [0x20010]; MOV [0x21010], EAX; HLT
    @Test func aReadSetsAAndAWriteSetsAAndD() throws {
        let bench = try SystemBench([0xa1, 0x10, 0, 2, 0, 0xa3, 0x10, 0x10, 2, 0, 0xf4])
        bench.enterPaging()
        bench.runToHalt()
        #expect(bench.entry(0x20) == 0x20023)
        #expect(bench.entry(0x21) == 0x21063)
        #expect(bench.entry(0x22) == 0x22003)
        #expect(bench.word(0x10000) == 0x11023, "the directory's entry is accessed, and has no D")
    }

    /// The write to a page without R/W faults (CR0.WP is set) and leaves its entry as it was: MOV [0x20010], EAX.
    @Test func anAccessThatIsNotAllowedMarksNothing() throws {
        let bench = try SystemBench([0xa3, 0x10, 0, 2, 0, 0xf4])
        bench.enterPaging()
        bench.entry(0x20, 0x20001)
        bench.runToHalt()
        #expect(bench.stack(3) == [14, 3, 0x1000], "#PF, present and write, at the MOV")
        #expect(bench.s.cpu.pointee.cr2 == 0x20010)
        #expect(bench.entry(0x20) == 0x20001)
    }

    /// MOV [0x20010], EAX; MOV BYTE [0x11080], 0x03 (clears A and D); MOV [0x20014], EAX; HLT. The TLB knows the page: nothing is walked, also
    /// where code was decoded from it in between (CALL 0x20020, a RET).
    @Test(arguments: [false, true]) func aPageThatTheTLBKnowsIsNotWalkedAgain(holdsCode: Bool) throws {
        let call: [UInt8] = holdsCode ? [0xe8, 0x16, 0xf0, 1, 0] : [0x90, 0x90, 0x90, 0x90, 0x90]
        let bench = try SystemBench(
            [0xa3, 0x10, 0, 2, 0] + call + [0xc6, 0x05, 0x80, 0x10, 1, 0, 3, 0xa3, 0x14, 0, 2, 0, 0xf4])
        bench.put(0x20020, 0xc3)
        bench.enterPaging()
        bench.runToHalt()
        #expect(bench.entry(0x20) == 0x20003)
        #expect(bench.word(0x20014) == UInt32(bench.s[Register.rax]))
    }

    // MARK: LAR and LSL of 16-byte descriptors (volume 2, LAR; 3.5.2)

    /// MOV ECX, 0x20; LAR EAX, ECX; LSL EBX, ECX; HLT, with a 64-bit TSS at 0x20.
    @Test(arguments: [(0x7f, 0, true), (0x27, 0, false), (0x7f, 1 << 40, false)] as [(UInt16, UInt64, Bool)])
    func systemDescriptorsOfLongModeHaveTwoHalves(limit: UInt16, upper: UInt64, isThere: Bool) throws {
        let bench = try SystemBench([0xb9, 0x20, 0, 0, 0, 0x0f, 0x02, 0xc1, 0x0f, 0x03, 0xd9, 0xf4])
        bench.enterLongMode()
        bench.put(0x2020, 0x0000_8900_4000_0067)
        bench.put(0x2028, upper)
        bench.s.cpu.pointee.gdt.limit = limit
        (bench.s[Register.rax], bench.s[Register.rbx]) = (1, 1)
        bench.runToHalt()
        #expect(bench.s.cpu.zero == isThere)
        #expect(bench.s[Register.rax] == (isThere ? 0x8900 : 1))
        #expect(bench.s[Register.rbx] == (isThere ? 0x67 : 1))
    }

    // MARK: Far calls (volume 2, CALL)

    /// CALL FAR 0x18:0x2000, whose limit is 0xfff: #GP(0), and nothing is pushed.
    @Test func aFarCallBeyondTheLimitPushesNothing() throws {
        let bench = try SystemBench([0x9a, 0, 0x20, 0, 0, 0x18, 0, 0xf4])
        bench.put(0x2018, 0x0040_9b00_0000_0fff)
        bench.runToHalt()
        #expect(bench.stack(5) == [13, 0, 0x1000, 8, 0x1_0002], "vector, code, EIP, CS, EFLAGS with RF")
        #expect(bench.s[Register.rsp] == 0x7000 - 20)
    }

    // MARK: Task switches (7.3): the T bit traps before the first instruction (17.3.1.5)

    /// JMP FAR 0x28:0
    @Test func theTBitOfATaskTrapsBeforeItsFirstInstruction() throws {
        let bench = try SystemBench([0xea, 0, 0, 0, 0, 0x28, 0])
        bench.put(0x2018, 0x0000_8b00_4000_0067)
        bench.put(0x2028, 0x0000_8900_4100_0067)
        for (offset, value) in [(0x20, 0x6000), (0x24, 2), (0x38, 0x7800)] as [(Int, UInt32)] {
            bench.ram.storeBytes(of: value, toByteOffset: 0x4100 + offset, as: UInt32.self)
        }
        for (number, selector) in [16, 8, 16, 16, 16, 16].enumerated() {
            bench.ram.storeBytes(of: UInt32(selector), toByteOffset: 0x4148 + number * 4, as: UInt32.self)
        }
        bench.ram.storeBytes(of: 1, toByteOffset: 0x4164, as: UInt16.self)
        bench.put(0x6000, 0xf440)  // INC EAX; HLT
        bench.runToHalt()
        #expect(bench.stack(2) == [1, 0x6000], "#DB at the task's EIP")
        #expect(bench.s[Register.rax] == 0)
        #expect(bench.s.debugRegister(6).pointee == 0xffff_8ff0, "BT")
    }

    // MARK: x87 errors with CR0.NE clear (volume 1, 8.7.2)

    /// FLD1; FLDZ; FDIVP (1/0, unmasked); FLD1; HLT
    @Test(arguments: [true, false]) func aPendingX87ErrorRaisesMFOnlyWithNE(isNative: Bool) throws {
        let bench = try SystemBench([0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9, 0xd9, 0xe8, 0xf4])
        if !isNative { bench.s.cpu.pointee.cr0 = 0x11 }
        bench.cpu.updateMode()
        bench.s.cpu.pointee.x87.control = 0x37b
        bench.s.cpu.pointee.x87.notEmpty = 0
        bench.runToHalt()
        #expect(bench.s.rip == (isNative ? 0x5103 : 0x1009))
        #expect(bench.s.cpu.pointee.x87.status & 0x84 == 0x84, "ES and ZE")
    }

    // MARK: Stack segment (6.15, "Interrupt 12"): beyond 4 GiB of a flat segment

    /// MOV EAX, [EBP]: SS is the segment. MOV EAX, [EBX]: DS is.
    @Test(arguments: [([0x8b, 0x45, 0x00, 0xf4], 12), ([0x8b, 0x03, 0xf4], 13)] as [([UInt8], UInt32)])
    func anOperandAcrossTheEndOfAFlatSegmentIsItsFault(code: [UInt8], vector: UInt32) throws {
        let bench = try SystemBench(code)
        (bench.s[Register.rbp], bench.s[Register.rbx]) = (0xffff_fffe, 0xffff_fffe)
        bench.runToHalt()
        #expect(bench.stack(3) == [vector, 0, 0x1000])
    }

    // MARK: Real mode writes through CS (20.1)

    @Test func realModeWritesThroughCS() throws {
        // MOV CS:[0x1800], AX; HLT
        let bench = try SystemBench([0x2e, 0xa3, 0x00, 0x18, 0xf4])
        bench.s.cpu.pointee.cr0 = 0x10
        for number in 0..<6 {
            bench.s.segment(number).pointee = SegmentRegister(
                base: 0, limit: 0xffff, selector: 0, attributes: number == 1 ? 0x9b : 0x93)
        }
        bench.s[Register.rax] = 0x1234
        bench.cpu.updateMode()
        bench.runToHalt()
        #expect(bench.word(0x1800) & 0xffff == 0x1234)
    }
}
