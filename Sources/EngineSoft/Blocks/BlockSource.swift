// What a block is made of, apart from what is made of it: the operations that the interpreter runs (BlockBuilder), or host code.

struct BlockSource {
    static let maximumInstructions = 64

    let mode: Mode
    /// Bits 11:0 of the first byte's linear address, which are those of its place in memory too.
    let pageOffset: UInt64
    private(set) var instructions: [Instruction] = []
    /// Bytes of the instructions so far.
    private(set) var length = 0
    /// A debugger may have a breakpoint at the first instruction, which is asked for before it: never at one of the others.
    var mayStop = false
    /// The guest-physical address of what follows on the next page, where the only instruction crosses its page's end.
    var secondPage: UInt64?

    /// That of a block which keeps its bytes; nil: they are not what it was made of.
    init?(of block: UnsafeMutablePointer<Block>, _ decoder: inout Decoder) {
        self.init(mode: block.pointee.mode, pageOffset: block.pointee.address & 0xfff)
        var i = Instruction()
        while instructions.count < block.pointee.instructionCount {
            let left = Int(block.pointee.length) - length
            guard left > 0 else { return nil }
            let outcome = decoder.decode(block.bytes + length, count: left, mode: mode, into: &i)
            append(i, outcome)
        }
        guard length == Int(block.pointee.length) else { return nil }
    }

    init(mode: Mode, pageOffset: UInt64) {
        self.mode = mode
        self.pageOffset = pageOffset
        instructions.reserveCapacity(8)
    }

    /// Control does not go on behind the last instruction, or that has its own way to go on.
    var isEnded: Bool {
        guard let last = instructions.last else { return false }
        return last.outcome != .instruction || last.flags.contains(.endsBlock)
    }

    /// No instruction can follow: one that ends blocks, one over the page's end, the page's end itself, or `limit` of them.
    func isFull(limit: Int) -> Bool {
        isEnded || secondPage != nil || instructions.count >= limit || Int(pageOffset) + length >= 4096
    }

    /// Of an instruction that cannot be decoded only the length counts, which is 15 where there are too many prefixes.
    mutating func append(_ instruction: Instruction, _ outcome: Decoder.Outcome) {
        var added = instruction
        if outcome != .instruction {
            added = Instruction()
            added.outcome = outcome
            added.length = outcome == .undefined ? instruction.length : UInt8(Decoder.maximumLength)
        }
        instructions.append(added)
        length += Int(added.length)
    }

    /// `offset` bytes from the block's start is on the page where the block starts: what is there does not depend on the page tables.
    func isOwnPage(_ offset: UInt64) -> Bool { pageOffset &+ offset < 4096 }
}
