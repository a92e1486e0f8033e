// Accesses of one block that lie near each other behind one look into the TLB. A block with such accesses is emitted twice: with a look for each
// access, and then, where it is entered, with one for each group, which covers all that the group touches and for a write if any of it is one. A look that
// fails goes on at the same access in the first version, for the rest of the block: what the TLB and accessed bits see is then what the interpreter
// does, access by access. Nothing within a block changes the TLB but such looks and called operations, and no group goes across a call.

/// What a linear address is made of: values that registers have had in the block, and a distance from them.
struct AccessPlace {
    enum Base {
        /// The block's own, for RIP.
        case page
        case nothing
        case register(UInt8)
    }

    enum Segment { case flat, fs, gs }

    struct Key: Hashable {
        /// Of RegisterValues.
        var base: Int
        var index: Int?
        var scale: UInt8 = 0
        var segment: Segment
    }

    var key: Key
    var offset: Int
}

/// Which values guest registers have, as far as a block's instructions say how they follow from each other; after a call nothing is known, and no address
/// is that of one before.
struct RegisterValues {
    private struct Value {
        var symbol: Int
        var distance: Int
    }

    private var page = 0
    private var nothing = 0
    private var values: [Value] = []
    private var nextSymbol = 0

    init() { forgetAll() }

    mutating func forgetAll() {
        (page, nothing) = (symbol(), symbol())
        values = (0..<16).map { _ in Value(symbol: symbol(), distance: 0) }
    }

    private mutating func symbol() -> Int {
        nextSymbol += 1
        return nextSymbol
    }

    mutating func forget(_ guest: UInt8) { values[Int(guest & 15)] = Value(symbol: symbol(), distance: 0) }

    mutating func copy(_ from: UInt8, to: UInt8) { values[Int(to & 15)] = values[Int(from & 15)] }

    mutating func add(_ distance: Int, to guest: UInt8) {
        let sum = values[Int(guest & 15)].distance + distance
        if abs(sum) < AccessGroups.farthest { values[Int(guest & 15)].distance = sum } else { forget(guest) }
    }

    /// nil: it is too far from what is known.
    func place(
        _ base: AccessPlace.Base, _ index: UInt8? = nil, scale: UInt8 = 0, _ segment: AccessPlace.Segment = .flat,
        distance: Int
    ) -> AccessPlace? {
        guard abs(distance) < AccessGroups.farthest else { return nil }
        var place = AccessPlace(key: AccessPlace.Key(base: page, segment: segment), offset: distance)
        switch base {
        case .page: break
        case .nothing: place.key.base = nothing
        case .register(let guest):
            place.key.base = values[Int(guest & 15)].symbol
            place.offset += values[Int(guest & 15)].distance
        }
        if let index {
            place.key.index = values[Int(index & 15)].symbol
            place.key.scale = scale
            place.offset += values[Int(index & 15)].distance << Int(scale & 3)
        }
        return place
    }
}

/// Which accesses of a block, by their order, share a look.
struct AccessGroups {
    /// Sums of distances stay within 32 bits.
    static let farthest = 1 << 28
    /// Bytes from the lowest to the end of the highest access. Where these are on two pages, each access has its own look.
    static let span = 512
    /// Groups at a time.
    static let slots = 8

    struct Access {
        var place: AccessPlace?
        var size: Int
        var isWrite: Bool
    }

    struct Member {
        /// Where RunState has the host's address of the group's lowest byte.
        var slot = 0
        /// From there to the access.
        var distance: Int
        /// The first one, which looks.
        var isHead: Bool
        var span: Int
        var isWrite: Bool
    }

    private struct Group {
        var members: [Int]
        var lowest: Int
        var end: Int
        var isWrite: Bool
    }

    /// nil: alone.
    private(set) var members: [Member?]

    /// Each has its own.
    init(alone count: Int) { members = Array(repeating: nil, count: count) }

    /// nil: none share one.
    init?(_ accesses: [Access]) {
        var groups: [Group] = []
        var open: [AccessPlace.Key: Int] = [:]
        for (number, access) in accesses.enumerated() {
            guard let place = access.place else { continue }
            let end = place.offset + access.size
            if let known = open[place.key] {
                let (lowest, highest) = (min(groups[known].lowest, place.offset), max(groups[known].end, end))
                if highest - lowest <= AccessGroups.span {
                    groups[known].members.append(number)
                    (groups[known].lowest, groups[known].end) = (lowest, highest)
                    if access.isWrite { groups[known].isWrite = true }
                    continue
                }
            }
            open[place.key] = groups.count
            groups.append(Group(members: [number], lowest: place.offset, end: end, isWrite: access.isWrite))
        }
        members = Array(repeating: nil, count: accesses.count)
        var lastOfSlot = Array(repeating: -1, count: AccessGroups.slots)
        for group in groups where group.members.count > 1 {
            // A slot is free behind the last access of the group that has it; groups come in the order of their heads.
            guard let slot = lastOfSlot.firstIndex(where: { $0 < group.members[0] }) else { continue }
            lastOfSlot[slot] = group.members[group.members.count - 1]
            for number in group.members {
                guard let place = accesses[number].place else { continue }
                members[number] = Member(
                    slot: slot, distance: place.offset - group.lowest, isHead: number == group.members[0],
                    span: group.end - group.lowest, isWrite: group.isWrite)
            }
        }
        if members.allSatisfy({ $0 == nil }) { return nil }
    }
}

extension BlockEmitter {
    /// After an instruction that was emitted: what its registers have. What is not told apart here forgets all that it may write.
    mutating func track(_ i: Instruction) {
        let op = operations[group.upperBound - 1]
        switch i.mnemonic {
        case .cmp, .test, .nop, .prefetch: break
        case .push:
            values.add(-(1 << (stackWidth(i) ?? .quad).rawValue), to: 4)
        case .pop:
            values.add(1 << (stackWidth(i) ?? .quad).rawValue, to: 4)
            values.forget(op.dst >> 3)
        case .leave:
            values.copy(5, to: 4)
            values.add(1 << (stackWidth(i) ?? .quad).rawValue, to: 4)
            values.forget(5)
        case _ where i.flags.contains(.sse):
            if [.Gy, .Gd].contains(i.operands.0) { values.forget(i.reg) }
            if i.operands.0 == .Ey, !i.isMemory { values.forget(i.rm) }
        case _ where i.flags.contains(.x87): if i.mnemonic == .fnstsw, !i.isMemory { values.forget(0) }
        case .mov, .add, .or, .adc, .sbb, .and, .sub, .xor, .inc, .dec, .neg, .not, .shl, .shr, .sar, .rol, .ror, .set:
            if writesMemory(i) { break }
            trackRegister(i, op)
        case .movzxb, .movzxw, .movsxb, .movsxw, .movsxd, .cmov, .imul2, .imul3, .bswap: values.forget(op.dst >> 3)
        case .lea:
            let distance = Int(op.disp)
            let isWhole = Width(i.operandSize) == addressWidth
            if isWhole, op.index == Register.zero, let base = Self.number(op.base),
                abs(distance) < AccessGroups.farthest
            {
                values.copy(base, to: op.dst >> 3)
                values.add(distance, to: op.dst >> 3)
            } else {
                values.forget(op.dst >> 3)
            }
        default:
            for guest in [0, 2, op.dst >> 3, op.src >> 3, i.reg] { values.forget(guest) }
            if !i.isMemory { values.forget(i.rm) }
        }
    }

    private func writesMemory(_ i: Instruction) -> Bool {
        switch i.operands.0 {
        case .Ob, .Ov: true
        case .Eb, .Ev: i.isMemory
        default: false
        }
    }

    private mutating func trackRegister(_ i: Instruction, _ op: Op) {
        let to = op.dst >> 3
        let isWhole = width(i) == addressWidth
        let isImmediate = [.Ibs, .Iz, .Ib].contains(i.operands.1)
        switch i.mnemonic {
        case .mov
        where isWhole && [.Ev, .Gv].contains(i.operands.0) && [.Ev, .Gv].contains(i.operands.1) && !i.isMemory:
            values.copy(op.src >> 3, to: to)
        case .add where isWhole && isImmediate: values.add(Int(op.imm), to: to)
        case .sub where isWhole && isImmediate: values.add(-Int(op.imm), to: to)
        case .inc where isWhole: values.add(1, to: to)
        case .dec where isWhole: values.add(-1, to: to)
        default: values.forget(to)
        }
    }
}
