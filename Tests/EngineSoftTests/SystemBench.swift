// A machine around one software CPU, for tests of its system half.

import CBackplane
import NativeCPU
import Testing

@testable import Core
@testable import EngineSoft

/// A CPU in flat 32-bit segments of ring 0 with 256 KiB of RAM: GDT at 0x2000, IDT at 0x3000, TSS at 0x4000, code at 0x1000.
final class SystemBench {
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
        let engine = SoftEngine(options: .tested)
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

    /// Ring 3 in flat segments; handlers run on a stack that begins at 0x7800.
    func enterUserMode() {
        ring0Stack()
        for number in 0..<6 {
            s.segment(number).pointee.selector = number == 1 ? 0x23 : 0x2b
            s.segment(number).pointee.attributes |= 0x60
        }
        s.cpu.pointee.cpl = 3
        cpu.updateMode()
    }

    /// Virtual-8086 mode at CS:IP 100:0, which is where the code is, with SS:SP 600:800 and DS = ES = 0.
    func enterVirtual8086(flags: UInt64) {
        ring0Stack()
        s.cpu.rflags = flags | 1 << 17
        s.cpu.pointee.cpl = 3
        for (number, selector) in [0, 0x100, 0x600, 0, 0, 0].enumerated() as EnumeratedSequence<[UInt16]> {
            s.segment(number).pointee = SegmentRegister(
                base: UInt64(selector) << 4, limit: 0xffff, selector: selector, attributes: 0xf3)
        }
        s.rip = 0
        s[Register.rsp] = 0x800
        cpu.updateMode()
    }

    private func ring0Stack() {
        put(0x4004, 0x10_0000_7800)
    }

    func runToHalt() {
        guard case .halted = cpu.run() else {
            Issue.record("no HLT; RIP 0x\(String(s.rip, radix: 16))")
            return
        }
    }
}
