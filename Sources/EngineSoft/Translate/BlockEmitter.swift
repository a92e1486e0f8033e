// Host code of one block, in one pass from its source. Guest registers are where HostRegisters.swift has them, before the block and behind it;
// what the status flags follow from is known here while the block is emitted (`flags`), and in RunState behind it. An access whose page the TLB
// does not have goes, out of line, to `missed` (MissedAccess.swift), which fills the TLB or goes on by the block's own operations. A block with accesses
// near each other is emitted a second time, with fewer looks into the TLB (AccessGroups.swift).

import CHost
import Core

struct BlockEmitter {
    var code = Assembler()
    let mode: Mode
    let is64: Bool
    let source: BlockSource
    let block: UnsafeMutablePointer<Block>
    /// SAFETY: the scratch of the translator, for the life of this emitter.
    let operations: UnsafeMutablePointer<Op>
    private let operationCount: Int
    let stubs: Translator.Stubs
    let interpreted: Set<TranslationFamily>
    private let room: (Int) -> UnsafeMutablePointer<Op>?
    let liveness: FlagLiveness
    private let stackAtEntry: FloatingStack
    var flags = FlagState()
    var vectors = VectorState()
    var stack: FloatingStack
    var values = RegisterValues()
    /// Where the memory operand of the last look into the TLB is.
    var operand = HostAddress(.r10)
    /// Of the first version, in order.
    var accesses: [Access] = []
    /// In the second version: which accesses share a look, and the number of the next one.
    private(set) var groups: AccessGroups?
    private var accessNumber = 0
    /// Both versions do not agree on what is where: there is no second one.
    var isUnlike = false
    /// The loop that the block is part of, and the same while a version for the loop is emitted.
    var part: LoopPart?
    private(set) var loop: LoopPart?
    /// The operations of the instruction that is emitted, and its place among the block's.
    private(set) var group = 0..<0
    private(set) var number = 0
    var slowPaths: [SlowPath] = []
    /// Operations of instructions in a row that are not emitted.
    private var calls: [Range<Int>] = []
    /// Copies of called operations, which both versions call, and the number of the next one.
    private var copies: [(calls: [Range<Int>], place: UnsafeMutablePointer<Op>)] = []
    private var copyNumber = 0
    /// The code is good for nothing.
    var isOutOfRoom = false
    /// Of the version that is entered: where the code of each instruction lies, in order; what is called lies with what is emitted next.
    private(set) var places: [Range<Int>] = []
    /// Of the same: by number of a chain slot, where the distance of the jump lies that goes with it.
    var sites: [Int?] = [nil, nil]
    private var emitted = 0
    /// Nothing of the block is emitted.
    private(set) var isPointless = false
    /// All of it is: no operation of the interpreter is called or gone on with.
    private(set) var isWhole = true
    let entry: Assembler.Label
    let body: Assembler.Label
    let shut: Assembler.Label
    let refusal: Assembler.Label
    let missing: Assembler.Label

    /// The status flags at a place of the code.
    struct FlagState {
        /// nil: RunState has a kind and its inputs; or nobody looks.
        var recipe: FlagRecipe?
        /// Flags that the host's own are the same as.
        var host: FlagSet = []
    }

    init(
        _ builder: BlockBuilder, _ block: UnsafeMutablePointer<Block>, _ stubs: Translator.Stubs, _ x87: X87Control,
        interpreted: Set<TranslationFamily>, code: Assembler = Assembler(),
        room: @escaping (Int) -> UnsafeMutablePointer<Op>?
    ) {
        self.code = code
        (mode, is64, source) = (builder.mode, builder.is64, builder.source)
        (self.block, self.stubs, self.interpreted, self.room) = (block, stubs, interpreted, room)
        (operations, operationCount) = (builder.operations, builder.count)
        liveness = FlagLiveness(builder.source.instructions)
        (stack, stackAtEntry) = (FloatingStack(x87), FloatingStack(x87))
        (entry, body, shut) = (self.code.label(), self.code.label(), self.code.label())
        (refusal, missing) = (self.code.label(), self.code.label())
    }

    /// The block is entered in its second version.
    var isGrouped: Bool { groups != nil && !isUnlike }

    /// Places in the code that is made, from its beginning.
    var entryPlace: Int { code.place(entry) }
    var bodyPlace: Int { code.place(body) }
    /// Where the gate at the entry leads to, once it is shut.
    var shutPlace: Int { code.place(shut) }

    /// nil: there is no room for the copies of operations.
    mutating func code(at address: UInt) -> [UInt8]? {
        begin()
        emitInstructions()
        if let groups = AccessGroups(accesses.map(\.grouping)), !isPointless, !isOutOfRoom {
            let (first, entries) = ((places, sites), (entryPlace, bodyPlace))
            startAgain(groups)
            begin()
            emitInstructions()
            if isUnlike {
                code.bind(entry, at: entries.0)
                code.bind(body, at: entries.1)
                (places, sites) = first
            } else {
                for case let site? in first.1 { code.redirect(site, outside: stubs.follow) }
            }
        }
        emitSlowPaths()
        return isOutOfRoom || isPointless ? nil : code.finish(at: address)
    }

    private mutating func startAgain(_ groups: AccessGroups) {
        self.groups = groups
        (flags, vectors, stack, values) = (FlagState(), VectorState(), stackAtEntry, RegisterValues())
        (accessNumber, copyNumber, calls, emitted, places, sites) = (0, 0, [], 0, [], [nil, nil])
    }

    // MARK: In a loop (LoopEmitter)

    var stateAtEntry: LoopVersions.State {
        LoopVersions.State(recipe: nil, vectors: VectorState(), stack: stackAtEntry)
    }

    /// Its code so far, which goes on elsewhere.
    mutating func takeCode() -> Assembler {
        defer { code = Assembler() }
        return code
    }

    /// The first version, which nothing but accesses lead to; false: it has calls, which a loop has not.
    mutating func emitAlone() -> Bool {
        emitInstructions()
        return !isOutOfRoom && !isPointless
    }

    /// The result is behind the test of the budget.
    mutating func emitVersion(_ version: LoopVersions.Version) -> Assembler.Label {
        loop = part
        startAgain(AccessGroups(accesses.map(\.grouping)) ?? AccessGroups(alone: accesses.count))
        (flags, vectors, stack) = (FlagState(recipe: version.state.recipe), version.state.vectors, version.state.stack)
        code.bind(version.label)
        code.arithmetic(.sub, .quad, Self.at(\.left), Int32(source.instructions.count))
        let ended = code.label()
        code.jump(.s, ended)
        slowPaths.append(.ended(entry: ended, flags, vectors, stack))
        let body = code.label()
        code.bind(body)
        emitInstructions()
        return body
    }

    private mutating func emitInstructions() {
        var index = 1
        for (number, instruction) in source.instructions.enumerated() {
            var end = index
            while end < operationCount, Int(operations[end].number) == number { end += 1 }
            (group, self.number) = (index..<end, number)
            let start = code.count
            defer { places.append(start..<code.count) }
            if end == operationCount {
                callOperations()
                if emitEnd(instruction) { emitted += 1 } else { leave(at: index) }
                break
            }
            if !canEmit(instruction) {
                if calls.isEmpty { closeStack() }
                stack.follow(instruction)
                calls.append(group)
            } else {
                if !calls.isEmpty {
                    callOperations()
                    _ = emit(instruction)
                }
                track(instruction)
                emitted += 1
            }
            index = end
            // Behind the last instruction goes `fallThrough`.
            if number == source.instructions.count - 1 {
                callOperations()
                if !emitFallThrough(operations[index]) { leave(at: index) }
            }
        }
        if emitted == 0 { isPointless = true }
    }

    /// A block is entered by jumps from others with their chain slot or jump entry in R11, where its count is taken off the budget; by the
    /// interpreter behind that.
    mutating func begin() {
        while code.count & 15 != 0 { code.byte(0) }
        code.bind(entry)
        // 8 bytes (HostGate), since `left` lies beyond what a byte reaches and a count does not.
        code.arithmetic(.sub, .quad, Self.at(\.left), Int32(source.instructions.count))
        code.jump(.s, refusal)
        code.bind(body)
    }

    /// Emits the instruction if no calls wait, and only tries to if some do.
    private mutating func canEmit(_ i: Instruction) -> Bool {
        if calls.isEmpty { return emit(i) }
        var trial = self
        // As behind the calls.
        (trial.flags, trial.vectors) = (FlagState(), VectorState())
        return trial.emit(i)
    }

    // MARK: Ways out

    mutating func loadBlock() { code.load(.r11, UInt64(UInt(bitPattern: block))) }

    /// Goes on with the block's own operation. The second one of all is where this code stands.
    private mutating func leave(at index: Int) {
        if index == 1 { isPointless = true }
        isWhole = false
        endBlock()
        code.load(.r10, UInt64(UInt(bitPattern: block.operations + index)))
        loadBlock()
        code.jump(outside: stubs.leave)
    }

    /// Calls the operations of the instructions that wait.
    private mutating func callOperations() {
        if calls.isEmpty { return }
        isWhole = false
        endBlock()
        (flags, vectors) = (FlagState(), VectorState())
        values.forgetAll()
        guard let copy = copyOfCalls() else { return }
        code.load(.r10, UInt64(UInt(bitPattern: copy)))
        loadBlock()
        code.call(outside: stubs.callOperations)
    }

    private mutating func copyOfCalls() -> UnsafeMutablePointer<Op>? {
        defer { calls = [] }
        if groups != nil {
            guard copyNumber < copies.count, copies[copyNumber].calls == calls else {
                isUnlike = true
                return nil
            }
            copyNumber += 1
            return copies[copyNumber - 1].place
        }
        guard let copy = room(calls.reduce(0) { $0 + $1.count + 1 }) else {
            isOutOfRoom = true
            return nil
        }
        var place = copy
        for (index, group) in calls.enumerated() {
            place.initialize(from: operations + group.lowerBound, count: group.count)
            place += group.count
            var end = operations[group.lowerBound]
            end.run = unthunked(index == calls.count - 1 ? endOfCall : stillValid)
            // Where the block has been dropped meanwhile, the operation that follows leaves.
            end.imm64 = UInt64(UInt(bitPattern: block.operations + group.upperBound))
            place.initialize(to: end)
            place += 1
        }
        copies.append((calls, copy))
        return copy
    }

    // MARK: The second version

    /// How far below the next access the look for it is; nil: it needs none.
    var distanceOfLook: Int? {
        guard let groups, accessNumber < groups.members.count, let member = groups.members[accessNumber] else {
            return 0
        }
        return member.isHead ? member.distance : nil
    }

    mutating func nextAccess() -> (AccessGroups.Member?, Int) {
        guard let groups, accessNumber < groups.members.count else {
            isUnlike = true
            return (nil, 0)
        }
        accessNumber += 1
        return (groups.members[accessNumber - 1], accessNumber - 1)
    }

    /// All that the next block expects in S and not in registers.
    mutating func endBlock() {
        storeFlags()
        storeVectors()
        closeStack()
    }

    /// Calls a stub that may lose the host's vector and x87 registers.
    mutating func call(stub: UInt) {
        storeVectors()
        closeStack()
        vectors.loaded = []
        code.call(outside: stub)
    }
}
