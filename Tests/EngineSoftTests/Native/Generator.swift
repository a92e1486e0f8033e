// Makes instructions from entries of the table: random prefixes, operands and addressing, and the register values that lead the
// operand to the data pages.

@testable import EngineSoft

/// An instruction's bytes and what they mean.
struct Candidate {
    var bytes: [UInt8]
    var instruction: Instruction
    /// Where the displacement is, and its size in bytes.
    var displacementAt = 0
    var displacementSize = 0
    /// Of a near jump: bytes from its end to where it goes.
    var jump: Int?
}

/// Values that registers must have before an instruction, and bytes that memory must hold.
struct Setup {
    var registers: [(number: Int, value: UInt64)] = []
    var memory: [(address: UInt64, value: UInt64)] = []
    /// Linear address of the memory operand.
    var operand: UInt64?

    subscript(_ number: Int) -> UInt64? {
        get { registers.last { $0.number == number }?.value }
        set {
            registers.removeAll { $0.number == number }
            if let newValue { registers.append((number, newValue)) }
        }
    }
}

struct Generator {
    var random: Randomness
    let bits: Int
    let mode: Mode
    private var decoder: Decoder
    private let table = InstructionTable.shared
    /// Indices of entries that can run in user mode here.
    let entries: [Int]

    init(seed: UInt64, bits: Int, features: FeatureSet, only: ((Entry) -> Bool)? = nil) {
        random = Randomness(seed: seed)
        self.bits = bits
        mode = bits == 64 ? [.code64, .protected] : [.code32, .protected, .flat, .stack32]
        decoder = Decoder(features: features)
        entries = InstructionTable.shared.entries.indices.filter { index in
            let entry = InstructionTable.shared.entries[index]
            return !entry.flags.contains(.system) && features.contains(entry.feature)
                && !entry.flags.contains(bits == 64 ? .invalid64 : .only64) && only?(entry) ?? true
        }
    }

    private var is64: Bool { bits == 64 }

    // MARK: Bytes

    /// An instruction of the entry (or of another that the prefixes lead to); nil: this one did not work out, try again.
    mutating func make(_ index: Int) -> Candidate? {
        let entry = table.entries[index]
        var candidate = Candidate(bytes: prefixes(entry), instruction: Instruction())
        switch entry.map {
        case .one: break
        case .two: candidate.bytes += [0x0f]
        case .three38: candidate.bytes += [0x0f, 0x38]
        case .three3A: candidate.bytes += [0x0f, 0x3a]
        }
        candidate.bytes.append(entry.opcode)
        if entry.hasModRM { modRM(entry, &candidate) }
        let head = candidate.bytes.count
        let tail = (0..<12).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        let immediate = random.value()
        for index in 0..<12 {
            let byte = index < 8 ? UInt8(truncatingIfNeeded: immediate >> UInt64(index * 8)) : tail[index]
            candidate.bytes.append(random.chance(50) ? byte : tail[index])
        }
        guard let i = decode(candidate.bytes), !i.flags.contains(.system), Int(i.length) >= head else { return nil }
        candidate.bytes.removeLast(candidate.bytes.count - Int(i.length))
        candidate.instruction = i
        return isUsable(&candidate) ? candidate : nil
    }

    mutating func decode(_ bytes: [UInt8]) -> Instruction? {
        var i = Instruction()
        let outcome = bytes.withUnsafeBufferPointer {
            decoder.decode($0.baseAddress!, count: $0.count, mode: mode, into: &i)
        }
        return outcome == .instruction ? i : nil
    }

    private mutating func prefixes(_ entry: Entry) -> [UInt8] {
        var bytes: [UInt8] = []
        if random.chance(8) { bytes.append(0x67) }
        if random.chance(10) {
            // Not FS: it is the host's own. CS and GS cannot be used in compatibility mode.
            bytes.append(is64 ? random.pick([0x65, 0x65, 0x26, 0x2e, 0x36, 0x3e]) : random.pick([0x26, 0x36, 0x3e]))
        }
        switch entry.prefix {
        case .any:
            if random.chance(25) { bytes.append(0x66) }
            if random.chance(entry.mnemonic.isString ? 60 : 4) { bytes.append(random.pick([0xf2, 0xf3])) }
        case .none: break
        case .noRepeat: if random.chance(25) { bytes.append(0x66) }
        case .p66: bytes.append(0x66)
        case .pF2, .pF3:
            if random.chance(5) { bytes.append(0x66) }
            bytes.append(entry.prefix == .pF2 ? 0xf2 : 0xf3)
        }
        if entry.flags.contains(.lockable) ? random.chance(10) : random.chance(1) { bytes.append(0xf0) }
        for index in bytes.indices { bytes.swapAt(index, random.below(bytes.count)) }
        if is64, random.chance(60) { bytes.append(0x40 | UInt8(random.below(16))) }
        return bytes
    }

    private mutating func modRM(_ entry: Entry, _ candidate: inout Candidate) {
        let reg = entry.reg == 8 ? UInt8(random.below(8)) : entry.reg
        var rm = entry.rm == 8 ? UInt8(random.below(8)) : entry.rm
        let mod: UInt8
        switch entry.form {
        case .memory: mod = UInt8(random.below(3))
        case .register: mod = 3
        case .any: mod = random.chance(35) ? 3 : UInt8(random.below(3))
        }
        let is16 = !is64 && candidate.bytes.dropLast(1).contains(0x67) && entry.opcode != 0x67
        if mod != 3, entry.rm == 8, !is16, random.chance(25) { rm = 4 }
        candidate.bytes.append(mod << 6 | reg << 3 | rm)
        guard mod != 3 else { return }
        var size = [0, 1, is16 ? 2 : 4][Int(mod)]
        if is16 {
            if mod == 0, rm == 6 { size = 2 }
        } else {
            if rm == 4 {
                let sib = UInt8(truncatingIfNeeded: random.next())
                candidate.bytes.append(sib)
                if mod == 0, sib & 7 == 5 { size = 4 }
            } else if mod == 0, rm == 5 {
                size = 4
            }
        }
        (candidate.displacementAt, candidate.displacementSize) = (candidate.bytes.count, size)
        for _ in 0..<size { candidate.bytes.append(UInt8(truncatingIfNeeded: random.next())) }
    }

    /// Leaves out what makers do differently, or what the comparison cannot follow.
    private mutating func isUsable(_ candidate: inout Candidate) -> Bool {
        let i = candidate.instruction
        if i.mnemonic.isNearBranch {
            // AMD takes the operand size prefix of near branches in 64-bit mode, Intel does not.
            if is64, i.prefixes.contains(.operandSize) { return false }
            // LOOPE and LOOPNE with a repeat prefix: reserved (SDM volume 2, 2.1.1).
            if i.repeats { return false }
        }
        // LZCNT and TZCNT on a host that has them.
        if i.mnemonic == .bsf || i.mnemonic == .bsr, i.repeats { return false }
        // An alias of FSTP that no manual describes.
        if i.mnemonic == .fstp, i.opcode == 0xd9, i.isRegister { return false }
        // What they store of FIP, FDP and FOP differs between makers, and between exceptions and none.
        if [.fnstenv, .fnsave, .fxsave, .xsave, .xsaveopt].contains(i.mnemonic) { return false }
        if i.mnemonic == .shld || i.mnemonic == .shrd, i.operandSize == 2, i.operands.2 == .Ib {
            // Undefined beyond 16.
            candidate.bytes[candidate.bytes.count - 1] = UInt8(random.below(17))
        }
        if i.mnemonic == .bswap, i.operandSize == 2 { return false }
        guard let again = decode(candidate.bytes) else { return false }
        candidate.instruction = again
        return true
    }

    // MARK: Operands

    /// A linear address for an operand.
    private mutating func target(_ alignment: UInt64) -> UInt64 {
        let mask = random.chance(60) ? ~(alignment - 1) : ~0
        switch random.below(100) {
        case 0..<70: return (Places.data + UInt64(random.below(0x1f00))) & mask
        case 70..<82: return Places.data + 4096 - UInt64(random.below(20))  // across the two pages
        case 82..<88: return Places.readOnly - UInt64(random.below(20))
        case 88..<92: return (Places.readOnly + UInt64(random.below(4000))) & mask
        case 92..<95: return Places.end - UInt64(random.below(20))
        case 95..<97: return Places.data - UInt64(random.below(20))
        case 97: return Places.end + UInt64(random.below(4096))
        case 98: return Places.code + UInt64(random.below(4096))
        default: return is64 ? random.next() : random.next() & 0x1fff_ffff
        }
    }

    /// Chooses registers (and the displacement) so that the instruction, placed at `address`, reaches the data pages.
    mutating func plan(_ candidate: inout Candidate, at address: UInt64) -> Setup {
        var setup = Setup()
        implicit(candidate, &setup)
        if candidate.instruction.isMemory, candidate.instruction.mnemonic != .lea || random.chance(20) {
            let operand = memoryOperand(&candidate, at: address, &setup)
            setup.operand = operand
            equalize(candidate.instruction, operand, &setup)
        }
        return setup
    }

    private mutating func memoryOperand(_ candidate: inout Candidate, at address: UInt64, _ setup: inout Setup)
        -> UInt64
    {
        let i = candidate.instruction
        let wanted = target(16)
        let mask: UInt64 = i.addressSize == 8 ? .max : i.addressSize == 4 ? 0xffff_ffff : 0xffff
        var offset = wanted
        if is64, i.segment == UInt8(Segment.gs) { offset = offset &- Places.gsBase }
        var displacement = UInt64(bitPattern: i.displacement)
        if i.base == 17 {
            displacement = offset &- (address &+ UInt64(i.length))
            patch(&candidate, displacement)
            return wanted
        }
        if i.index == 16, i.base == 16 {
            patch(&candidate, offset)
            return wanted
        }
        if i.index != 16 {
            let scale: UInt64 = 1 << UInt64(i.scale)
            if i.base == 16 || i.base == i.index {
                let factor = i.base == 16 ? scale : scale + 1
                let fixed = setup[Int(i.index)]
                let value = fixed ?? ((offset &- displacement) & mask) / factor
                if fixed == nil { setup[Int(i.index)] = value }
                if candidate.displacementSize == 4 { patch(&candidate, offset &- value &* factor) }
                return wanted
            }
            if setup[Int(i.index)] == nil {
                setup[Int(i.index)] = random.chance(70) ? UInt64(random.below(64)) &- 32 : random.value()
            }
            offset = offset &- (setup[Int(i.index)] ?? 0) &* scale
        }
        if setup[Int(i.base)] == nil || random.chance(50) {
            var value = (offset &- displacement) & mask
            // What an address-size prefix cuts off.
            if is64, i.addressSize == 4, random.chance(50) { value |= random.next() << 32 }
            setup[Int(i.base)] = value
        } else if candidate.displacementSize == 4 {
            displacement = offset &- (setup[Int(i.base)] ?? 0)
            patch(&candidate, displacement)
        }
        return wanted
    }

    private mutating func patch(_ candidate: inout Candidate, _ value: UInt64) {
        for index in 0..<candidate.displacementSize {
            candidate.bytes[candidate.displacementAt + index] = UInt8(truncatingIfNeeded: value >> UInt64(index * 8))
        }
        if let i = decode(candidate.bytes) { candidate.instruction = i }
    }

    /// Operands that no byte of the instruction names.
    private mutating func implicit(_ candidate: Candidate, _ setup: inout Setup) {
        let i = candidate.instruction
        switch i.mnemonic {
        case .movs, .cmps, .stos, .lods, .scas:
            let count = random.chance(90) ? UInt64(random.below(24)) : UInt64(random.below(3000))
            setup[6] = target(8)
            setup[7] = random.chance(20) ? (setup[6] ?? 0) &+ UInt64(random.below(17)) &- 8 : target(8)
            setup[1] = count
            if i.addressSize == 4, is64, random.chance(50) {
                for number in [1, 6, 7] { setup[number] = (setup[number] ?? 0) | random.next() << 32 }
            }
        case .push, .pop, .call, .callIndirect, .ret, .leave, .enter, .pusha, .popa:
            setup[4] = stack()
            if i.mnemonic == .leave || i.mnemonic == .enter { setup[5] = stack() }
        case .xlat: setup[3] = target(1) &- UInt64(random.below(256))
        case .loop, .loope, .loopne, .jcxz:
            if random.chance(60) { setup[1] = UInt64(random.below(3)) | (random.chance(30) ? random.next() << 32 : 0) }
        case .div, .idiv:
            if random.chance(70) { setup[2] = random.chance(50) ? 0 : UInt64(random.below(5)) &- 2 }
        case .bt, .bts, .btr,
            .btc where i.isMemory && i.operands.1 == .Gv:
            if random.chance(85) { setup[Int(i.reg)] = UInt64(bitPattern: Int64(random.below(0x4000)) - 0x2000) }
        case .shld, .shrd:
            if i.operands.2 == .CL { setup[1] = i.operandSize == 2 ? UInt64(random.below(17)) : random.next() }
        case .aam: break
        case .cmpxchg where i.isRegister && random.chance(40):
            let value = random.value()
            setup[0] = value
            if i.operands.0 == .Ev { setup[Int(i.rm)] = value }
        default: break
        }
    }

    private mutating func stack() -> UInt64 {
        switch random.below(20) {
        case 0..<14: return Places.data + 0x100 + UInt64(random.below(0x1e00) & ~7)
        case 14..<16: return Places.data + 0x100 + UInt64(random.below(0x1e00))
        case 16: return Places.data + 4096 + UInt64(random.below(40)) - 20
        case 17: return Places.data + UInt64(random.below(40))
        case 18: return Places.readOnly + UInt64(random.below(40)) - 20
        default: return is64 ? random.next() : random.next() & 0x1fff_ffff
        }
    }

    /// CMPXCHG and relatives compare equal half of the time.
    private mutating func equalize(_ i: Instruction, _ operand: UInt64, _ setup: inout Setup) {
        guard random.chance(50) else { return }
        switch i.mnemonic {
        case .cmpxchg:
            guard setup[0] == nil else { return }
            let value = random.value()
            setup[0] = value
            setup.memory.append((operand, value))
        case .cmpxchg8b, .cmpxchg16b:
            guard setup[0] == nil, setup[2] == nil else { return }
            let (low, high) = (random.value(), random.value())
            (setup[0], setup[2]) = (low, high)
            if i.rexW {
                setup.memory += [(operand, low), (operand &+ 8, high)]
            } else {
                setup.memory.append((operand, low & 0xffff_ffff | high << 32))
            }
        default: break
        }
    }
}

extension Mnemonic {
    var isString: Bool { [.movs, .cmps, .stos, .lods, .scas].contains(self) }
    var isNearBranch: Bool {
        [.jcc, .jmp, .jmpIndirect, .call, .callIndirect, .ret, .loop, .loope, .loopne, .jcxz].contains(self)
    }
    /// Its target is in the instruction.
    var isDirectBranch: Bool { [.jcc, .jmp, .call, .loop, .loope, .loopne, .jcxz].contains(self) }
}
