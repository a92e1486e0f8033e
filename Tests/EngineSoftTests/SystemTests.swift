// The system half of the CPU, by numbers of the SDM (volume 3 where none is named).

import Testing

@testable import Core
@testable import EngineSoft

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

    // MARK: Segments that a return to an outer ring takes away (volume 2, IRET and RET): FS and GS bases stay in 64-bit mode

    /// IRETQ or RETFQ to ring 3, with a null GS whose hidden part says otherwise or not, one of ring 0, or one of ring 3.
    @Test(
        arguments: [[0x48, 0xcf], [0x48, 0xcb]] as [[UInt8]],
        [(0, 0xc093), (0, 0x100), (3, 0xc0f3), (16, 0xc093), (0x2b, 0xc0f3)] as [(UInt16, UInt16)])
    func theBaseOfGSSurvivesAReturnToAnOuterRing(code: [UInt8], gs: (selector: UInt16, attributes: UInt16)) throws {
        let bench = try SystemBench(code)
        bench.enterLongMode()
        bench.put(0x2020, 0x00af_fb00_0000_ffff)
        bench.put(0x2028, 0x00cf_f300_0000_ffff)
        let base: UInt64 = 0x1234_5678_9000
        for number in [Segment.fs, Segment.gs] {
            bench.s.segment(number).pointee = SegmentRegister(
                base: base, limit: .max, selector: gs.selector, attributes: gs.attributes)
        }
        bench.cpu.updateMode()
        let frame: [UInt64] = code[1] == 0xcf ? [0x1800, 0x23, 2, 0x7800, 0x2b] : [0x1800, 0x23, 0x7800, 0x2b]
        for (index, word) in frame.enumerated() { bench.put(0x7000 + index * 8, word) }
        // Ring 3 may not fetch from here: the run ends there.
        _ = bench.cpu.run()
        #expect(bench.s.cpu.pointee.cpl == 3 && bench.s.rip == 0x1800)
        for number in [Segment.fs, Segment.gs] {
            let register = bench.s.segment(number).pointee
            #expect(register.base == base)
            let stays = gs.selector == 0x2b
            #expect(register.isUsable == stays)
            #expect(register.selector == (stays ? 0x2b : 0))
        }
    }

    // MARK: Alignment of stack accesses in ring 3 (6.15, "Interrupt 17")

    /// PUSHF, PUSH DS, RETF, IRET with ESP at an odd address, AC and CR0.AM.
    @Test(arguments: [0x9c, 0x1e, 0xcb, 0xcf, 0x50, 0x60] as [UInt8]) func everyStackAccessIsAligned(code: UInt8) throws
    {
        let bench = try SystemBench([code, 0xf4])
        bench.enterUserMode()
        bench.s.cpu.pointee.cr0 |= 1 << 18
        bench.s.cpu.rflags = 1 << 18 | 2
        bench.s[Register.rsp] = 0x7001
        bench.cpu.updateMode()
        bench.runToHalt()
        #expect(bench.stack(3) == [17, 0, 0x1000])
    }

    // MARK: ENTER of 32 bits on a 16-bit stack (volume 2, ENTER)

    /// O32 ENTER 8, level in real mode with ESP 0x18000.
    @Test(arguments: [0, 1, 3]) func ENTEROf32BitsKeepsTheUpperHalfOfESPInEBP(level: Int) throws {
        let bench = try SystemBench([0x66, 0xc8, 8, 0, UInt8(level), 0xf4])
        bench.s.cpu.pointee.cr0 = 0x10
        for number in 0..<6 {
            bench.s.segment(number).pointee = SegmentRegister(
                base: 0, limit: 0xffff, selector: 0, attributes: number == 1 ? 0x9b : 0x93)
        }
        (bench.s[Register.rsp], bench.s[Register.rbp]) = (0x18000, 0x19000)
        bench.cpu.updateMode()
        bench.runToHalt()
        #expect(bench.s[Register.rbp] == 0x17ffc)
        #expect(bench.s[Register.rsp] == UInt64(0x17ff4 - 4 * level))
        #expect(bench.word(0x7ffc) == 0x19000)
        if level > 0 { #expect(bench.word(0x7ffc - 4 * level) == 0x17ffc, "the last level is the new frame") }
    }

    /// SALC with CF set and clear; flags stay.
    @Test(arguments: [0x47, 0x8d6] as [UInt64]) func SALCSpreadsCF(flags: UInt64) throws {
        let bench = try SystemBench([0xd6, 0xf4])
        bench.s.cpu.rflags = flags
        bench.s[Register.rax] = 0x1234_5678
        bench.runToHalt()
        #expect(bench.s[Register.rax] == (flags & 1 != 0 ? 0x1234_56ff : 0x1234_5600))
        #expect(bench.s.cpu.rflags == flags)
    }
}
