// From bytes to an Instruction, by the table. Source: SDM volume 2, chapter 2 and appendix A.

struct Decoder {
    enum Outcome: Equatable {
        case instruction
        /// More bytes than were given are needed.
        case truncated
        /// #UD
        case undefined
        /// More than 15 bytes: #GP(0)
        case tooLong
    }

    static let maximumLength = 15

    let table: InstructionTable
    let features: FeatureSet

    // SAFETY: valid for `count` bytes while `decode` runs.
    private var bytes: UnsafePointer<UInt8>
    private var count = 0
    private var position = 0
    private var isTruncated = false
    private var immediates = 0

    init(table: InstructionTable = .shared, features: FeatureSet) {
        self.table = table
        self.features = features
        bytes = UnsafePointer(bitPattern: 1).unsafelyUnwrapped
    }

    /// Decodes the instruction at `bytes`. `mode` counts by its code size and `protected`.
    mutating func decode(_ bytes: UnsafePointer<UInt8>, count: Int, mode: Mode, into i: inout Instruction) -> Outcome {
        self.bytes = bytes
        self.count = min(count, Decoder.maximumLength)
        position = 0
        isTruncated = false
        immediates = 0
        i = Instruction()
        let outcome = decode(mode, &i)
        i.length = UInt8(truncatingIfNeeded: position)
        if isTruncated { return count >= Decoder.maximumLength ? .tooLong : .truncated }
        return outcome
    }

    private mutating func byte() -> UInt8 {
        guard position < count else {
            isTruncated = true
            return 0
        }
        position += 1
        return bytes[position - 1]
    }

    private mutating func little(_ size: UInt8) -> UInt64 {
        var value: UInt64 = 0
        for index in 0..<size { value |= UInt64(byte()) << UInt64(index * 8) }
        return value
    }

    private mutating func signed(_ size: UInt8) -> Int64 {
        let value = little(size)
        let shift = Int64(64 - Int64(size) * 8)
        return size == 0 ? 0 : (Int64(bitPattern: value) << shift) >> shift
    }

    private mutating func decode(_ mode: Mode, _ i: inout Instruction) -> Outcome {
        let is64 = mode.contains(.code64)
        let opcode = prefixes(is64, &i)
        if isTruncated { return .truncated }
        (i.map, i.opcode) = (.one, opcode)
        if opcode == 0x0f {
            i.opcode = byte()
            i.map = .two
            if i.opcode == 0x38 {
                (i.map, i.opcode) = (.three38, byte())
            } else if i.opcode == 0x3a {
                (i.map, i.opcode) = (.three3A, byte())
            }
        }
        if isTruncated { return .truncated }
        let candidates = table.candidates(i.map, i.opcode)
        guard !candidates.isEmpty else { return .undefined }
        // The ModRM byte is looked at before an entry is chosen; it counts if one of the entries has it.
        let peeked = position < count ? bytes[position] : nil
        guard let entry = choose(candidates, peeked, mode, &i) else {
            return isTruncated ? .truncated : .undefined
        }
        return finish(entry, mode, &i)
    }

    private mutating func prefixes(_ is64: Bool, _ i: inout Instruction) -> UInt8 {
        while true {
            let next = byte()
            if isTruncated { return 0 }
            switch next {
            case 0x26, 0x2e, 0x36, 0x3e:
                // In 64-bit mode they are ignored, and end what REX began.
                if !is64 {
                    i.segment = next >> 3 & 3
                    i.hasOverride = true
                }
            case 0x64, 0x65:
                i.segment = next - 0x60
                i.hasOverride = true
            case 0x66: i.prefixes.insert(.operandSize)
            case 0x67: i.prefixes.insert(.addressSize)
            case 0xf0: i.prefixes.insert(.lock)
            case 0xf2:
                i.prefixes.remove(.rep)
                i.prefixes.insert(.repne)
            case 0xf3:
                i.prefixes.remove(.repne)
                i.prefixes.insert(.rep)
            case 0x40...0x4f where is64:
                i.rex = next
                continue
            default: return next
            }
            // A REX prefix counts only right before the opcode.
            i.rex = 0
        }
    }

    private mutating func choose(
        _ candidates: Range<Int>, _ modRM: UInt8?, _ mode: Mode, _ i: inout Instruction
    ) -> Int? {
        for index in candidates {
            let entry = table.entries[index]
            guard matches(entry, mode, i) else { continue }
            guard entry.hasModRM else { return index }
            guard let modRM else {
                isTruncated = true
                return nil
            }
            if entry.reg != 8, entry.reg != modRM >> 3 & 7 { continue }
            if entry.rm != 8, entry.rm != modRM & 7 { continue }
            if entry.form == .memory, modRM >> 6 == 3 { continue }
            if entry.form == .register, modRM >> 6 != 3 { continue }
            return index
        }
        return nil
    }

    private func matches(_ entry: Entry, _ mode: Mode, _ i: Instruction) -> Bool {
        let is64 = mode.contains(.code64)
        if entry.flags.contains(is64 ? .invalid64 : .only64) { return false }
        if !features.contains(entry.feature) { return false }
        // F3 41 90 is XCHG R8, RAX.
        if entry.mnemonic == .pause, i.rex & 1 != 0 { return false }
        switch entry.prefix {
        case .any: return true
        case .none: return i.prefixes.isDisjoint(with: [.operandSize, .rep, .repne])
        case .noRepeat: return !i.repeats
        case .p66: return i.prefixes.contains(.operandSize) && !i.repeats
        case .pF3: return i.prefixes.contains(.rep)
        case .pF2: return i.prefixes.contains(.repne)
        }
    }

    private mutating func finish(_ index: Int, _ mode: Mode, _ i: inout Instruction) -> Outcome {
        let entry = table.entries[index]
        let is64 = mode.contains(.code64)
        i.entry = index
        i.mnemonic = entry.mnemonic
        i.flags = entry.flags
        i.operands = entry.operands
        sizes(entry, mode, &i)
        if entry.hasModRM { modRM(is64, &i) }
        immediate(entry.operands.0, &i)
        immediate(entry.operands.1, &i)
        immediate(entry.operands.2, &i)
        if isTruncated { return .truncated }
        if entry.flags.contains(.protectedOnly), !mode.contains(.protected) { return .undefined }
        if i.prefixes.contains(.lock), !(entry.flags.contains(.lockable) && i.isMemory) { return .undefined }
        return isValid(entry, &i) ? .instruction : .undefined
    }

    private func sizes(_ entry: Entry, _ mode: Mode, _ i: inout Instruction) {
        let has66 = i.prefixes.contains(.operandSize)
        let has67 = i.prefixes.contains(.addressSize)
        if mode.contains(.code64) {
            if entry.flags.contains(.force64) {
                i.operandSize = 8
            } else if i.rexW {
                i.operandSize = 8
            } else if has66 {
                i.operandSize = 2
            } else {
                i.operandSize = entry.flags.contains(.default64) ? 8 : 4
            }
            i.addressSize = has67 ? 4 : 8
        } else {
            let is32 = mode.contains(.code32)
            i.operandSize = is32 != has66 ? 4 : 2
            i.addressSize = is32 != has67 ? 4 : 2
        }
    }

    // MARK: ModRM

    private mutating func modRM(_ is64: Bool, _ i: inout Instruction) {
        let byte = byte()
        i.hasModRM = true
        // MOV CR and DR ignore mod (SDM volume 2, "MOV - Move to/from Control Registers").
        i.mod = i.operands.0 == .Ry || i.operands.1 == .Ry ? 3 : byte >> 6
        i.reg = byte >> 3 & 7 | (i.rex & 4) << 1
        i.rm = byte & 7
        guard i.mod != 3 else {
            i.rm |= (i.rex & 1) << 3
            return
        }
        if i.addressSize == 2 { memory16(&i) } else { memory(is64, &i) }
        if !i.hasOverride {
            let isStack = i.base == 4 || i.base == 5
            i.segment = UInt8(isStack ? Segment.ss : Segment.ds)
        }
    }

    private mutating func memory(_ is64: Bool, _ i: inout Instruction) {
        let rm = i.rm
        if rm == 4 {
            let sib = byte()
            i.scale = sib >> 6
            let index = sib >> 3 & 7 | (i.rex & 2) << 2
            if index != 4 { i.index = index }
            if sib & 7 == 5, i.mod == 0 {
                i.displacement = signed(4)
                return
            }
            i.base = sib & 7 | (i.rex & 1) << 3
        } else if rm == 5, i.mod == 0 {
            i.displacement = signed(4)
            if is64 { i.base = 17 }
            return
        } else {
            i.base = rm | (i.rex & 1) << 3
        }
        if i.mod == 1 { i.displacement = signed(1) }
        if i.mod == 2 { i.displacement = signed(4) }
    }

    /// SDM volume 2, table 2-1.
    private mutating func memory16(_ i: inout Instruction) {
        switch i.rm {
        case 0: (i.base, i.index) = (3, 6)
        case 1: (i.base, i.index) = (3, 7)
        case 2: (i.base, i.index) = (5, 6)
        case 3: (i.base, i.index) = (5, 7)
        case 4: i.base = 6
        case 5: i.base = 7
        case 6: i.base = 5
        default: i.base = 3
        }
        if i.mod == 0, i.rm == 6 {
            i.base = 16
            i.displacement = signed(2)
        }
        if i.mod == 1 { i.displacement = signed(1) }
        if i.mod == 2 { i.displacement = signed(2) }
    }

    // MARK: Immediates

    private mutating func immediate(_ operand: Operand, _ i: inout Instruction) {
        switch operand {
        case .Ib: take(little(1), &i)
        case .Ibs, .Jb: take(UInt64(bitPattern: signed(1)), &i)
        case .Iw: take(little(2), &i)
        case .Iz, .Jz: take(UInt64(bitPattern: signed(min(i.operandSize, 4))), &i)
        case .Iv: take(little(i.operandSize), &i)
        case .Ob, .Ov: i.displacement = Int64(bitPattern: little(i.addressSize))
        case .Ap:
            take(little(min(i.operandSize, 4)), &i)
            i.immediate2 = little(2)
        default: break
        }
    }

    /// The first immediate and the second one (ENTER).
    private mutating func take(_ value: UInt64, _ i: inout Instruction) {
        if immediates == 0 { i.immediate = value } else { i.immediate2 = value }
        immediates += 1
    }

    /// Rules beyond what the table says: LOCK's destinations, segment and control register numbers.
    private func isValid(_ entry: Entry, _ i: inout Instruction) -> Bool {
        switch entry.operands.0 {
        case .Sw where i.reg & 7 > 5 || i.reg & 7 == 1: return false  // MOV CS, or no such segment
        default: break
        }
        if entry.operands.1 == .Sw, i.reg & 7 > 5 { return false }
        if entry.operands.0 == .Cy || entry.operands.1 == .Cy { return [0, 2, 3, 4, 8].contains(i.reg) }
        if entry.operands.0 == .Dy || entry.operands.1 == .Dy { return i.reg < 8 }
        return true
    }
}

extension Operand {
    var isImmediate: Bool {
        switch self {
        case .Ib, .Iw, .Iz, .Iv, .Ibs: true
        default: false
        }
    }
}

/// Features that the decoder knows as defined.
struct FeatureSet: Equatable {
    private var bits: UInt64 = 0
    init(_ features: some Sequence<Feature>) { for feature in features { bits |= 1 << UInt64(feature.rawValue) } }
    static let all = FeatureSet(Feature.allCases)
    func contains(_ feature: Feature) -> Bool { bits >> UInt64(feature.rawValue) & 1 != 0 }
    mutating func remove(_ feature: Feature) { bits &= ~(1 << UInt64(feature.rawValue)) }
}
