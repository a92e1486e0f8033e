// A CPU with hostile memory: random instructions, tables and registers, in every mode.

import CHost
import Glibc
import NativeCPU

@testable import Core
@testable import EngineSoft

final class FuzzMachine {
    enum Start: CaseIterable {
        case real, protected16, protected32, virtual8086, legacyPaging, pae, long, compatibility
    }

    private let machine: Machine
    private let engine: SoftEngine
    let cpu: SoftCPU
    var vcpu: VCPU { machine.vcpus[0] }
    /// SAFETY: `length` bytes between guard pages.
    let ram: UnsafeMutableRawPointer
    static let length: UInt64 = 0x40000
    private var random = Randomness(seed: 0)

    init(options: SoftOptions = .tested, clock: ClockDescription = .init()) throws {
        engine = SoftEngine(options: options)
        machine = try Machine(
            MachineDescription(name: "fuzz", cpuCount: 1, memory: 0, instances: [], clock: clock, watchdog: 0),
            options: MachineOptions(makeEngine: nil, log: { _, _, _ in }))
        ram = nc_guarded(Self.length)
        // RAM that does not end where a table might, a hole, and ROM.
        try engine.setMemory([
            MappedMemory(address: 0, length: 0x30000, host: ram, isReadOnly: false),
            MappedMemory(address: 0x38000, length: 0x8000, host: ram + 0x38000, isReadOnly: false),
            MappedMemory(address: 0xffff_0000, length: 0x8000, host: ram + 0x30000, isReadOnly: true),
        ])
        cpu = try engine.makeCPU(machine.vcpus[0]) as! SoftCPU
        cpu.takeMail()
    }

    deinit { machine.tearDown() }

    /// Fills memory and registers from the seed.
    func prepare(_ start: Start, seed: UInt64) {
        random = Randomness(seed: seed)
        fillMemory(is64: start == .long)
        restart(start)
    }

    /// Other registers and tables, in the memory as it is now.
    func restart(_ start: Start) {
        cpu.resetState()
        registers()
        mode(start)
        cpu.emptyArena()
        cpu.flushTranslations(keepsGlobal: false)
        cpu.updateMode()
        vcpu.set(0)
    }

    // MARK: Memory

    private func fillMemory(is64: Bool) {
        // What is behind the last instruction is no program's before.
        memset(ram + Int(Self.length) - 16, 0, 16)
        var at = 0
        while at < Int(Self.length) - 16 {
            let bytes =
                random.chance(80)
                ? instruction(is64: is64) : (0..<8).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            for byte in bytes where at < Int(Self.length) {
                ram.storeBytes(of: byte, toByteOffset: at, as: UInt8.self)
                at += 1
            }
        }
    }

    /// Something of the table, system instructions too.
    private func instruction(is64: Bool) -> [UInt8] {
        let entries = InstructionTable.shared.entries
        let entry = entries[random.below(entries.count)]
        var bytes: [UInt8] = []
        for _ in 0..<random.below(3) where random.chance(30) {
            bytes.append(random.pick([0x66, 0x67, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0xf0]))
        }
        switch entry.prefix {
        case .p66: bytes.append(0x66)
        case .pF2: bytes.append(0xf2)
        case .pF3: bytes.append(0xf3)
        default: break
        }
        if is64, random.chance(40) { bytes.append(0x40 | UInt8(random.below(16))) }
        switch entry.map {
        case .one: break
        case .two: bytes.append(0x0f)
        case .three38: bytes += [0x0f, 0x38]
        case .three3A: bytes += [0x0f, 0x3a]
        }
        bytes.append(entry.opcode)
        if entry.hasModRM {
            let mod: UInt8 = entry.form == .register ? 3 : UInt8(random.below(entry.form == .memory ? 3 : 4))
            let reg = entry.reg == 8 ? UInt8(random.below(8)) : entry.reg
            let rm = entry.rm == 8 ? UInt8(random.below(8)) : entry.rm
            bytes.append(mod << 6 | reg << 3 | rm)
        }
        // Small displacements and immediates, so that loops and targets are near.
        for _ in 0..<random.below(7) {
            bytes.append(random.chance(50) ? UInt8(random.below(16)) : UInt8(truncatingIfNeeded: random.next()))
        }
        return bytes
    }

    private func put(_ address: UInt64, _ value: UInt64) {
        guard address &+ 8 <= 0x30000 else { return }
        ram.storeBytes(of: value, toByteOffset: Int(address), as: UInt64.self)
    }

    // MARK: Registers

    private func registers() {
        let s = cpu.s
        for number in 0..<16 as Range<UInt8> {
            s[number * 8] = random.chance(70) ? UInt64(random.below(Int(Self.length) + 0x4000)) : random.value()
        }
        s.rip = UInt64(random.below(Int(Self.length)))
        s.cpu.rflags = 2 | random.next() & 0xcd5 | (random.chance(30) ? 0x200 : 0) | (random.chance(5) ? 0x100 : 0)
        if random.chance(10) { s.cpu.pointee.dr.7 = 0x400 | random.next() & 0xffff_ffff }
        if random.chance(10) { s.cpu.pointee.dr.0 = UInt64(random.below(0x1000)) }
    }

    private func segment(_ number: Int, _ attributes: UInt16, base: UInt64 = 0, limit: UInt32 = .max) {
        cpu.s.segment(number).pointee = SegmentRegister(
            base: base, limit: limit, selector: UInt16(random.below(32) * 8), attributes: attributes)
    }

    private func mode(_ start: Start) {
        let state = cpu.s.cpu
        tables(isLong: start == .long || start == .compatibility)
        switch start {
        case .real:
            for number in 0..<6 {
                let selector = UInt16(random.below(0x2000))
                cpu.s.segment(number).pointee = SegmentRegister(
                    base: UInt64(selector) << 4, limit: 0xffff, selector: selector,
                    attributes: number == 1 ? 0x9b : 0x93)
            }
            state.pointee.idt = DescriptorTable(base: 0, limit: random.chance(80) ? 0x3ff : UInt16(random.below(0x400)))
            cpu.s.rip &= 0xffff
            return
        case .virtual8086:
            for number in 0..<6 { segment(number, 0xf3, base: UInt64(random.below(0x20000)) & ~15, limit: 0xffff) }
            state.pointee.systemFlags |= RFLAGS.vm | (random.chance(50) ? RFLAGS.iopl : 0)
            state.pointee.cpl = 3
            cpu.s.rip &= 0xffff
        case .protected16: flat(code: 0x9b, data: 0x93, limit: 0xffff)
        case .protected32, .legacyPaging, .pae, .compatibility: flat(code: 0xc09b, data: 0xc093, limit: .max)
        case .long: flat(code: 0xa09b, data: 0xc093, limit: .max)
        }
        state.pointee.cr0 = 0x11 | (random.chance(80) ? 0x20 : 0) | (random.next() & 0x5000e)
        if random.chance(70) { state.pointee.cr0 &= ~0xe }
        state.pointee.cr4 = random.next() & 0x600 | 0x600
        switch start {
        case .legacyPaging: paging(cr4: random.chance(50) ? 0x10 : 0, efer: 0, legacyTables())
        case .pae: paging(cr4: 0x20, efer: random.chance(50) ? 0x800 : 0, paeTables())
        case .long, .compatibility:
            paging(
                cr4: 0x20 | random.next() & 0x80 | (random.chance(15) ? random.next() & 0x30_0000 : 0), efer: 0xd01,
                longTables())
        default: break
        }
    }

    private func flat(code: UInt16, data: UInt16, limit: UInt32) {
        let isUser = random.chance(50)
        let dpl: UInt16 = isUser ? 0x60 : 0
        cpu.s.cpu.pointee.cpl = isUser ? 3 : 0
        for number in 0..<6 { segment(number, number == 1 ? code | dpl : data | dpl, limit: limit) }
        if random.chance(30) {
            segment(
                random.below(6), random.pick([0xc097, 0xc091, 0x100, 0x97, 0x9b, 0xf3]),
                base: UInt64(random.below(0x1000)), limit: UInt32(random.below(0x2000)))
        }
        cpu.s.segment(Segment.cs).pointee.attributes = code | dpl
    }

    /// GDT, IDT and a TSS: mostly sound, sometimes at the end of memory.
    private func tables(isLong: Bool) {
        let state = cpu.s.cpu
        let gdt: UInt64 =
            random.chance(85) ? 0x1000 : random.pick([0x2fff8, 0x2ffff, 0xffff_fff0, 0x1000_0000, 0xffff_ffff_f000])
        let idt: UInt64 = random.chance(85) ? 0x2000 : random.pick([0x2fff0, 0x30000 - 5, 0xffff_fff8])
        state.pointee.gdt = DescriptorTable(base: gdt, limit: random.chance(90) ? 0xff : UInt16(random.below(0x10000)))
        state.pointee.idt = DescriptorTable(base: idt, limit: random.chance(90) ? 0xfff : UInt16(random.below(0x1000)))
        for number in 0..<32 as Range<UInt64> {
            let access = random.pick([
                0x9a, 0x92, 0xfa, 0xf2, 0x89, 0x82, 0x8c, 0x84, 0x85, 0x9e, 0x96, 0x81, UInt64(random.below(256)),
            ])
            let flags = random.pick([0xcf, 0xaf, 0x00, 0x8f, 0x4f] as [UInt64])
            var value: UInt64 = 0xffff | access << 40 | (flags & 0xf) << 48 | (flags >> 4) << 52
            // Gates, and task states inside of RAM.
            if access & 0x10 == 0 {
                value = access << 40 | UInt64(random.below(0x8000)) | UInt64(random.below(32) * 8) << 16
            }
            put(gdt &+ number * 8, value)
        }
        soundEntries(gdt, isLong: isLong)
        for vector in 0..<256 as Range<UInt64> {
            let type = random.pick([0x8e, 0x8f, 0xee, 0xef, 0x85, 0x86, 0x87, UInt64(random.below(256))] as [UInt64])
            var gate = UInt64(random.below(0xffff)) | UInt64(random.below(32) * 8) << 16 | type << 40
            // Without handlers a program would end at its first fault.
            if random.chance(85) { gate = UInt64(random.below(0xffff)) | 8 << 16 | random.pick([0x8e, 0xef]) << 40 }
            if isLong {
                put(idt &+ vector * 16, gate)
                put(idt &+ vector * 16 &+ 8, random.chance(97) ? 0 : random.next())
            } else {
                put(idt &+ vector * 8, gate)
            }
        }
        segment(
            Segment.tr, 0x8b, base: random.chance(80) ? 0x3000 : random.next() & 0x3ffff,
            limit: random.chance(80) ? 0x2067 : UInt32(random.below(0x100)))
        segment(Segment.ldtr, 0x82, base: 0x1000, limit: 0xff)
    }

    /// Code and data of both privileges, and the stacks of handlers.
    private func soundEntries(_ gdt: UInt64, isLong: Bool) {
        guard random.chance(85) else { return }
        let code: UInt64 = isLong ? 0xaf_9a00_0000_ffff : 0xcf_9a00_0000_ffff
        put(gdt &+ 8, code)
        put(gdt &+ 16, 0xcf_9200_0000_ffff)
        put(gdt &+ 24, code | 0x6000_0000_0000)
        put(gdt &+ 32, 0xcf_f200_0000_ffff)
        put(0x3004, 0x2_8000 | (isLong ? 0 : 16 << 32))
    }

    private func paging(cr4: UInt64, efer: UInt64, _ cr3: UInt64) {
        let state = cpu.s.cpu
        state.pointee.cr0 |= 1 << 31
        state.pointee.cr4 |= cr4
        state.pointee.efer = efer
        state.pointee.cr3 = cr3
    }

    /// An entry for a page: mostly the page itself, else outside of RAM, the tables themselves, or noise.
    private func entry(_ physical: UInt64) -> UInt64 {
        switch random.below(40) {
        case 0: return random.next()
        case 1: return 0
        case 2: return 0x5000_0000 | 7
        case 3: return 0x30000 | 7
        case 4: return 0x8000 | 7
        case 5: return 0xffff_0000 | 7
        case 6: return physical | UInt64(random.below(0x1000))
        default: return physical | 7
        }
    }

    private func legacyTables() -> UInt64 {
        for page in stride(from: 0 as UInt64, to: 64, by: 2) {
            put(0x9000 + page * 4, entry(page << 12) & 0xffff_ffff | entry((page + 1) << 12) << 32)
        }
        put(0x8000, random.chance(90) ? 0x9007 : entry(0x8000) & 0xffff_ffff)
        return 0x8000
    }

    private func paeTables() -> UInt64 {
        for page in 0..<64 as Range<UInt64> { put(0xa000 + page * 8, entry(page << 12)) }
        put(0x9000, random.chance(90) ? 0xa007 : entry(0x9000))
        for number in 0..<4 as Range<UInt64> {
            put(0x8000 + number * 8, number == 0 ? 0x9001 : random.chance(50) ? 0 : 0x8001)
        }
        cpu.s.pageDirectoryPointers[0] = 0x9001
        cpu.s.pageDirectoryPointers[1] = 0x8001
        return 0x8000
    }

    private func longTables() -> UInt64 {
        for page in 0..<64 as Range<UInt64> { put(0xb000 + page * 8, entry(page << 12)) }
        put(0xa000, random.chance(90) ? 0xb007 : entry(0xa000))
        put(0x9000, random.chance(95) ? 0xa007 : entry(0x9000))
        put(0x8000, random.chance(95) ? 0x9007 : entry(0x8000))
        // The tables are their own pages at 511.
        put(0x8ff8, 0x8007)
        return 0x8000
    }
}
