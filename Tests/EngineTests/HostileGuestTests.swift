import CBackplane
import Core
import Testing

/// Guests whose tables, stacks and code lie where they should not: each has one outcome by the SDM. RAM ends at 0xa0000; what is
/// beyond answers as the test says. (KVM cannot walk tables outside of RAM, nor emulate code there: those run in software only.)
struct HostileGuestTests {
    private static let software: [EngineKind] = [.soft, .softByInstruction]

    private func isShutdown(_ end: RunEnd) -> Bool { if case .shutdown = end { true } else { false } }

    /// Sets registers, before the guest runs.
    private func set(_ bench: GuestBench, _ change: (inout Registers) -> Void) throws {
        var state = try bench.cpu.registers()
        change(&state)
        try bench.cpu.setRegisters(state)
    }
    private typealias Registers = bp_registers

    // MARK: Page tables

    /// No IDT: the page fault becomes a double and then a triple fault.
    @Test(arguments: software, [0, UInt64.max]) func tablesOutsideOfRAMAreAFault(_ engine: EngineKind, _ entry: UInt64)
        throws
    {
        let bench = try GuestBench([0x90, 0xf4], .long, engine)
        bench.exits.onMemoryRead = { _, _ in entry }
        try set(bench) { $0.cr3 = 0xb0000 }
        #expect(isShutdown(bench.cpu.run()))
    }

    /// A table in a device: what it answers is the entry. The accessed bit is written to it.
    @Test(arguments: software) func tablesInADeviceAreWalked(_ engine: EngineKind) throws {
        let bench = try GuestBench([0xf4], .long, engine)
        var written: [UInt64] = []
        bench.exits.onMemoryRead = { address, _ in address == 0xb0000 ? 0x3003 : 0 }
        bench.exits.onMemoryWrite = { address, _, value in if address == 0xb0000 { written.append(value) } }
        try set(bench) { $0.cr3 = 0xb0000 }
        try bench.runToHalt()
        #expect(!written.isEmpty && written.allSatisfy { $0 == 0x3023 })
    }

    /// PML4, PDPT, PD and PT are one page; its entry 0 is the page itself, its entry 1 the code.
    @Test(arguments: EngineKind.here) func aTableThatIsItsOwnPageIsReadAndWritten(_ engine: EngineKind) throws {
        // mov 0x0,%rax; mov $0x77,%cl; mov %cl,0xff0; mov 0x0,%rdx; hlt
        let bench = try GuestBench(
            [
                0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0, 0xb1, 0x77, 0x88, 0x0c, 0x25, 0xf0, 0x0f, 0, 0, 0x48, 0x8b, 0x14,
                0x25,
                0, 0, 0, 0, 0xf4,
            ], .long, engine)
        bench.store([UInt8](repeating: 0, count: 4096), at: 0x8000)
        bench.store([0x03, 0x80], at: 0x8000)
        bench.store([0x03, 0x10], at: 0x8008)
        try set(bench) { $0.cr3 = 0x8000 }
        try bench.runToHalt()
        let state = try bench.cpu.registers()
        // Accessed, and after the write dirty too.
        #expect(state.general.0 == 0x8023 && state.general.2 == 0x8063)
        #expect(bench.word32(0x8ff0) == 0x77)
    }

    // MARK: Descriptor tables

    /// The GDT's second descriptor begins in RAM and ends in a device.
    @Test(arguments: software) func aDescriptorAcrossTheEndOfRAMIsRead(_ engine: EngineKind) throws {
        // mov $8,%eax; mov %eax,%es; hlt
        let bench = try GuestBench([0xb8, 8, 0, 0, 0, 0x8e, 0xc0, 0xf4], .protected, engine)
        bench.store([0xff, 0xff, 0x00, 0x00], at: 0x9fffc)
        // Base 0x00120000, data, accessed, 32-bit, limit 0xfffff pages.
        bench.exits.onMemoryRead = { address, width in
            (0x00cf_9312 >> (8 * (address - 0xa0000))) & (width == 8 ? .max : 1 << (8 * UInt64(width)) - 1)
        }
        try set(bench) { $0.gdtr_base = 0x9fff4 }
        try bench.runToHalt()
        let es = try bench.cpu.registers().es
        #expect(es.base == 0x12_0000 && es.limit == 0xffff_ffff && es.attributes == 0xc093)
    }

    /// IDT at the end of memory, where all ones answer: no gate type is that, so that every fault ends in shutdown.
    @Test(arguments: software) func anInterruptTableOutsideOfRAMIsAShutdown(_ engine: EngineKind) throws {
        let bench = try GuestBench([0x0f, 0x0b], .protected, engine)
        try set(bench) {
            $0.idtr_base = 0x9fffc
            $0.idtr_limit = 0xffff
        }
        #expect(isShutdown(bench.cpu.run()))
    }

    // MARK: Code

    @Test(arguments: software) func codeRunsOnWhereRAMEnds(_ engine: EngineKind) throws {
        // jmp 0x9fffe: mov $..,%al begins in the last bytes of RAM
        let bench = try GuestBench([0xe9, 0xf9, 0xef, 0x09, 0x00], .protected, engine)
        bench.store([0x90, 0xb0], at: 0x9fffe)
        // The device is the rest of the program: $0x5a; hlt
        bench.exits.onMemoryRead = { address, width in
            (0xf45a >> (8 * (address - 0xa0000))) & (width == 8 ? .max : 1 << (8 * UInt64(width)) - 1)
        }
        try bench.runToHalt()
        let state = try bench.cpu.registers()
        #expect(state.general.0 & 0xff == 0x5a && state.rip == 0xa0002)
    }

    // MARK: Stacks

    /// SP 0 wraps to the top of the segment; a word at SP 1 has no room, nor has its fault's frame (SDM volume 2, PUSH).
    @Test(arguments: software) func stacksOfRealModeWrapOrShutDown(_ engine: EngineKind) throws {
        // mov $0x1234,%ax; push %ax; hlt
        let code: [UInt8] = [0xb8, 0x34, 0x12, 0x50, 0xf4]
        let wraps = try GuestBench(code, .real, engine)
        try set(wraps) { $0.general.4 = 0 }
        try wraps.runToHalt()
        #expect(wraps.word32(0xfffc) >> 16 == 0x1234)
        #expect(try wraps.cpu.registers().general.4 & 0xffff == 0xfffe)
        let odd = try GuestBench(code, .real, engine)
        try set(odd) { $0.general.4 = 1 }
        #expect(isShutdown(odd.cpu.run()))
    }

    // MARK: String I/O

    /// INS into the end of RAM and beyond, OUTS from there: each byte goes where it belongs.
    @Test(arguments: EngineKind.here) func stringIOCrossesTheEndOfRAM(_ engine: EngineKind) throws {
        // mov $0x340,%edx; mov $0x9fff8,%edi; mov $16,%ecx; rep insb; mov $0x9fff8,%esi; mov $16,%ecx; rep outsb; hlt
        let bench = try GuestBench(
            [
                0xba, 0x40, 0x03, 0, 0, 0xbf, 0xf8, 0xff, 0x09, 0, 0xb9, 16, 0, 0, 0, 0xf3, 0x6c, 0xbe, 0xf8, 0xff,
                0x09, 0,
                0xb9, 16, 0, 0, 0, 0xf3, 0x6e, 0xf4,
            ], .protected, engine)
        var next: UInt8 = 0
        var beyond: [UInt64: UInt8] = [:]
        var out: [UInt8] = []
        bench.exits.onPortRead = { _, _ in
            next += 1
            return UInt64(next)
        }
        bench.exits.onPortWrite = { _, _, value in out.append(UInt8(truncatingIfNeeded: value)) }
        bench.exits.onMemoryWrite = { address, width, value in
            for byte in 0..<UInt64(width) { beyond[address + byte] = UInt8(truncatingIfNeeded: value >> (8 * byte)) }
        }
        bench.exits.onMemoryRead = { address, width in
            (0..<UInt64(width)).reduce(0) { $0 | UInt64(beyond[address + $1] ?? 0xee) << (8 * $1) }
        }
        try bench.runToHalt()
        #expect(out == Array(1...16))
        #expect((0..<8).map { beyond[0xa0000 + $0] } == Array(9...16))
        #expect(bench.word64(0x9fff8) == 0x0807_0605_0403_0201)
    }
}
