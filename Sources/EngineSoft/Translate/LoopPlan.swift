// Which blocks make a loop: those of one page that lead to each other by direct jumps, which are linked already. Calls and indirect jumps end it. Or a path: what
// follows upon a block, where no loop begins with it.

struct LoopPlan {
    enum Shape {
        case loop, path

        var maximumBlocks: Int { self == .loop ? 12 : 5 }
        var maximumInstructions: Int { self == .loop ? 256 : 48 }
    }

    let shape: Shape

    struct Member {
        var block: UnsafeMutablePointer<Block>
        var source: BlockSource
        /// By chain slot: the number of the member that it leads to.
        var ways: [Int?] = [nil, nil]
    }

    /// The first one is where the loop is entered.
    private(set) var members: [Member] = []

    /// nil: nothing leads back to `head`; or nothing follows.
    init?(_ shape: Shape, from head: UnsafeMutablePointer<Block>, _ decoder: inout Decoder) {
        self.shape = shape
        var numbers: [UnsafeMutablePointer<Block>: Int] = [:]
        guard add(head, &numbers, &decoder) else { return nil }
        var (next, instructions) = (0, 0)
        while next < members.count {
            instructions += members[next].source.instructions.count
            if instructions > shape.maximumInstructions {
                if shape == .loop { return nil }
                break
            }
            if members[next].canGoOn {
                for slot in 0..<2 {
                    guard let target = members[next].block.linked(slot), target.canBeInLoop(of: head) else { continue }
                    if numbers[target] == nil, !add(target, &numbers, &decoder) { continue }
                    members[next].ways[slot] = numbers[target]
                }
            }
            next += 1
        }
        switch shape {
        case .loop: guard keepThoseThatLeadBack() else { return nil }
        case .path: guard keep(first: next) else { return nil }
        }
    }

    private mutating func add(
        _ block: UnsafeMutablePointer<Block>, _ numbers: inout [UnsafeMutablePointer<Block>: Int],
        _ decoder: inout Decoder
    ) -> Bool {
        guard members.count < shape.maximumBlocks, let source = BlockSource(of: block, &decoder) else {
            return false
        }
        numbers[block] = members.count
        members.append(Member(block: block, source: source))
        return true
    }

    /// false: nothing follows upon the head.
    private mutating func keep(first count: Int) -> Bool {
        members.removeSubrange(count...)
        for number in members.indices {
            members[number].ways = members[number].ways.map { way in way.flatMap { $0 < count ? $0 : nil } }
        }
        return count > 1
    }

    /// false: none does.
    private mutating func keepThoseThatLeadBack() -> Bool {
        var leadsBack: Set<Int> = [0]
        var isGrowing = true
        while isGrowing {
            isGrowing = false
            for (number, member) in members.enumerated() where !leadsBack.contains(number) {
                if member.ways.contains(where: { $0.map(leadsBack.contains) ?? false }) {
                    leadsBack.insert(number)
                    isGrowing = true
                }
            }
        }
        for number in members.indices {
            members[number].ways = members[number].ways.map { way in way.flatMap { leadsBack.contains($0) ? $0 : nil } }
        }
        guard members[0].ways.contains(where: { $0 != nil }) else { return false }
        let kept = members.indices.filter(leadsBack.contains)
        let places = Dictionary(uniqueKeysWithValues: kept.enumerated().map { ($1, $0) })
        members = kept.map { number in
            var member = members[number]
            member.ways = member.ways.map { $0.flatMap { places[$0] } }
            return member
        }
        return true
    }
}

extension LoopPlan.Member {
    /// Its chain slots are ways of jumps: those of calls are left out.
    fileprivate var canGoOn: Bool {
        guard let last = source.instructions.last, last.outcome == .instruction else { return false }
        return last.mnemonic == .jmp || last.mnemonic == .jcc || !source.isEnded
    }
}

extension UnsafeMutablePointer<Block> {
    /// The block on the same page that a chain slot leads to.
    fileprivate func linked(_ slot: Int) -> UnsafeMutablePointer<Block>? {
        let slot = chain(slot).pointee
        guard slot.isOwnPage, slot.key == 0, let target = slot.target else { return nil }
        let block = UnsafeMutableRawPointer(mutating: target) - Self.headerSize
        return block.assumingMemoryBound(to: Block.self)
    }

    fileprivate func canBeInLoop(of head: UnsafeMutablePointer<Block>) -> Bool {
        pointee.isValid && pointee.hostEntry != 0 && !pointee.isInLoop && pointee.mode == head.pointee.mode
    }
}
