// Random states of a CPU in each of its modes, in the image of the witness.

import CBackplane

@testable import Core

enum SnapshotMode: CaseIterable {
    case real, protected16, flat, user, paged, pae, virtual8086, long, longUser, compatibility

    var witness: WitnessMode {
        switch self {
        case .real: .real
        case .protected16, .flat: .flat
        case .user: .user
        case .paged, .pae: .paged
        case .virtual8086: .virtual8086
        case .long: .long
        case .longUser: .longUser
        case .compatibility: .compatibility
        }
    }

    func registers(_ powerOn: bp_registers) -> bp_registers {
        var state = witness.registers(powerOn)
        switch self {
        case .protected16:
            (state.cs.attributes, state.cs.limit) = (0x9b, 0xffff)
            (state.ss.attributes, state.ss.limit) = (0x93, 0xffff)
        case .pae: (state.cr4, state.cr3) = (0x20, 0x30020)
        default: break
        }
        return state
    }
}

extension CPUSnapshot {
    /// Legal for both engines. What KVM keeps elsewhere is left out: selectors of x87's pointers, a string instruction's round, traps that wait.
    static func random(_ mode: SnapshotMode, powerOn: CPUSnapshot, _ random: inout WitnessRandom) -> CPUSnapshot {
        var all = powerOn
        all.registers = mode.registers(powerOn.registers)
        let is64 = mode == .long || mode == .longUser
        withUnsafeMutableBytes(of: &all.registers.general) { bytes in
            for number in 0..<(is64 ? 16 : 8) where number != 4 {
                let value = random.next() & (is64 ? .max : 0xffff_ffff)
                bytes.storeBytes(of: value, toByteOffset: number * 8, as: UInt64.self)
            }
        }
        all.registers.rflags |= random.next() & 0x4cd5
        if mode != .virtual8086 { all.registers.rflags |= random.next() & 0x24_0200 }
        if mode == .pae {
            func entry() -> UInt64 { random.chance(30) ? 0 : random.next() & 0xf_ffff_f000 | 1 }
            all.pageDirectoryPointers = (0x31001, entry(), entry(), entry())
        }
        (all.registers.cr2, all.registers.cr8) = (random.next() >> 17, UInt64(random.below(16)))
        all.registers.dr = (
            random.next() >> 18, random.next() >> 18, random.next() >> 18, random.next() >> 18, 0, 0,
            0xffff_0ff0 | random.next() & 0xe00f, 0x400 | random.next() & 0x300
        )
        if is64 { (all.registers.fs.base, all.registers.gs.base) = (random.next() >> 18, 0 &- (random.next() >> 18)) }
        all.fillFloating(&random)
        func canonical() -> UInt64 { random.chance(50) ? random.next() >> 17 : 0 &- (random.next() >> 18) }
        for index in [MSR.lstar, MSR.cstar, MSR.kernelGSBase, MSR.sysenterESP, MSR.sysenterEIP] {
            all.msrs[index] = canonical()
        }
        all.msrs[MSR.star] = random.next()
        all.msrs[MSR.syscallMask] = random.next() & 0x3f_7fd5
        all.msrs[MSR.sysenterCS] = random.next() & 0xfff8
        all.msrs[MSR.pat] = random.pick([0x0007_0406_0007_0406, 0x0007_0406_0007_0106, 0x0605_0407_0100_0607])
        all.msrs[MSR.tsc] = random.next() >> 8
        all.fillPending(mode, &random)
        return all
    }

    private mutating func fillFloating(_ random: inout WitnessRandom) {
        floating.control = UInt16(truncatingIfNeeded: random.next()) & 0xf3f | 0x40
        // ES and B as the flags and masks have it.
        floating.status = UInt16(truncatingIfNeeded: random.next()) & 0x7f7f
        if floating.status & ~floating.control & 0x3f != 0 { floating.status |= 0x8080 }
        floating.notEmpty = UInt8(truncatingIfNeeded: random.next())
        floating.opcode = UInt16(random.below(0x800))
        (floating.instructionPointer, floating.dataPointer) = (random.next() >> 17, random.next() >> 17)
        for number in 0..<8 {
            for byte in 0..<10 { floating.registers[number * 16 + byte] = UInt8(truncatingIfNeeded: random.next()) }
        }
        for byte in 0..<256 { floating.vectors[byte] = UInt8(truncatingIfNeeded: random.next()) }
        floating.mxcsr = UInt32(truncatingIfNeeded: random.next()) & 0xffff
    }

    private mutating func fillPending(_ mode: SnapshotMode, _ random: inout WitnessRandom) {
        pending = Pending()
        pending.isNMIPending = random.chance(20)
        pending.isNMIBlocked = random.chance(30)
        let takesInterrupts = registers.rflags & 0x200 != 0
        switch random.below(6) {
        case 0: pending.shadow = takesInterrupts ? .sti : .none
        case 1: pending.shadow = takesInterrupts ? .none : .movSS
        case 2 where !mode.witness.isUser && mode != .virtual8086: pending.activity = .halted
        case 3 where takesInterrupts: pending.event = Event(.external, UInt8(32 + random.below(224)))
        case 4:
            let vector = random.pick([0, 6, 13, 14, 17] as [UInt8])
            let hasCode = vector > 6 && mode != .real
            pending.event = Event(.exception, vector, errorCode: hasCode ? UInt32(random.below(0x10000)) : nil)
        case 5:
            pending.isNMIBlocked = false
            pending.event = Event(.nmi, 2)
        default: break
        }
    }
}

extension StateBuffer {
    /// "name value and value" of what differs; without the TSC, which goes on.
    func differences(to other: StateBuffer, except: Set<String> = []) -> [String] {
        Set(fields.keys).union(other.fields.keys).sorted().compactMap { name in
            let (a, b) = (fields[name]?.content, other.fields[name]?.content)
            if a == b || name == "tsc" || except.contains(name) { return nil }
            func text(_ content: Content?) -> String {
                switch content {
                case .unsigned(let value)?: "0x" + String(value, radix: 16)
                case .bytes(let bytes)?: "\(bytes)"
                case nil: "absent"
                }
            }
            return "\(name): \(text(a)) and \(text(b))"
        }
    }
}
