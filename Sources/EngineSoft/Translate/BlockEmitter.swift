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
    private var accesses: [Access] = []
    /// In the second version: which accesses share a look, and the number of the next one.
    private(set) var groups: AccessGroups?
    private var accessNumber = 0
    /// Both versions do not agree on what is where: there is no second one.
    private(set) var isUnlike = false
    /// The operations of the instruction that is emitted, and its place among the block's.
    private(set) var group = 0..<0
    private(set) var number = 0
    private var slowPaths: [SlowPath] = []
    /// Operations of instructions in a row that are not emitted.
    private var calls: [Range<Int>] = []
    /// Copies of called operations, which both versions call, and the number of the next one.
    private var copies: [(calls: [Range<Int>], place: UnsafeMutablePointer<Op>)] = []
    private var copyNumber = 0
    private var isOutOfRoom = false
    /// Of the version that is entered: where the code of each instruction lies, in order; what is called lies with what is emitted next.
    private(set) var places: [Range<Int>] = []
    private var emitted = 0
    /// Nothing of the block is emitted.
    private(set) var isPointless = false
    private let entry: Assembler.Label
    private let body: Assembler.Label
    private let refusal: Assembler.Label
    private let missing: Assembler.Label

    /// The status flags at a place of the code.
    struct FlagState {
        /// nil: RunState has a kind and its inputs; or nobody looks.
        var recipe: FlagRecipe?
        /// Flags that the host's own are the same as.
        var host: FlagSet = []
    }

    /// An access of the first version, and what holds at `retry`.
    private struct Access {
        var retry: Assembler.Label
        var grouping: AccessGroups.Access
        var flags: FlagState
        var vectors: VectorState
        var stack: FloatingStack
    }

    private enum SlowPath {
        /// R10 ^ the TLB's tag at R11, which is compared at `retry`.
        case miss(
            entry: Assembler.Label, retry: Assembler.Label, tag: Int, MissedAccess, FlagState, VectorState,
            FloatingStack)
        /// As `miss`, at the lowest byte of a group, in the second version: the first one goes on at the access, `distance` bytes from there.
        case goOnAlone(entry: Assembler.Label, access: Int, tag: Int, distance: Int, FlagState, VectorState)
        /// The instruction is the interpreter's, from its first operation on; no register has changed.
        case leave(entry: Assembler.Label, index: Int, FlagState, VectorState, FloatingStack)
        /// MXCSR is not the host's yet.
        case control(entry: Assembler.Label, back: Assembler.Label, refused: Assembler.Label)
    }

    init(
        _ builder: BlockBuilder, _ block: UnsafeMutablePointer<Block>, _ stubs: Translator.Stubs, _ x87: X87Control,
        interpreted: Set<TranslationFamily>, room: @escaping (Int) -> UnsafeMutablePointer<Op>?
    ) {
        (mode, is64, source) = (builder.mode, builder.is64, builder.source)
        (self.block, self.stubs, self.interpreted, self.room) = (block, stubs, interpreted, room)
        (operations, operationCount) = (builder.operations, builder.count)
        liveness = FlagLiveness(builder.source.instructions)
        (stack, stackAtEntry) = (FloatingStack(x87), FloatingStack(x87))
        (entry, body, refusal, missing) = (code.label(), code.label(), code.label(), code.label())
    }

    /// The block is entered in its second version.
    var isGrouped: Bool { groups != nil && !isUnlike }

    /// Places in the code that is made, from its beginning.
    var entryPlace: Int { code.place(entry) }
    var bodyPlace: Int { code.place(body) }
    /// Of the 8 bytes that the entry takes off the budget.
    var countPlace: Int { code.place(entry) - 8 }

    /// nil: there is no room for the copies of operations.
    mutating func code(at address: UInt) -> [UInt8]? {
        begin()
        emitInstructions()
        if let groups = AccessGroups(accesses.map(\.grouping)), !isPointless, !isOutOfRoom {
            let (first, entries) = (places, (entryPlace, bodyPlace))
            startAgain(groups)
            begin()
            emitInstructions()
            if isUnlike {
                code.bind(entry, at: entries.0)
                code.bind(body, at: entries.1)
                places = first
            }
        }
        emitSlowPaths()
        return isOutOfRoom || isPointless ? nil : code.finish(at: address)
    }

    private mutating func startAgain(_ groups: AccessGroups) {
        self.groups = groups
        (flags, vectors, stack, values) = (FlagState(), VectorState(), stackAtEntry, RegisterValues())
        (accessNumber, copyNumber, calls, emitted, places) = (0, 0, [], 0, [])
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
    private mutating func begin() {
        // The count is aligned, and so is the entry.
        while code.count & 15 != 8 { code.byte(0) }
        let count = code.label()
        code.bind(count)
        code.quad(UInt64(source.instructions.count))
        code.bind(entry)
        code.mov(.quad, .r10, Self.at(\.left))
        code.arithmetic(.sub, .r10, count)
        code.jump(.s, refusal)
        code.mov(.quad, Self.at(\.left), .r10)
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

    private mutating func loadBlock() { code.load(.r11, UInt64(UInt(bitPattern: block))) }

    /// Goes on with the block's own operation. The second one of all is where this code stands.
    private mutating func leave(at index: Int) {
        if index == 1 { isPointless = true }
        endBlock()
        code.load(.r10, UInt64(UInt(bitPattern: block.operations + index)))
        loadBlock()
        code.jump(outside: stubs.leave)
    }

    /// Calls the operations of the instructions that wait.
    private mutating func callOperations() {
        if calls.isEmpty { return }
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

    /// The TLB's entry at R11 is not for R10, which is the exclusive or of address and tag.
    mutating func miss(
        _ condition: HostCondition, retry: Assembler.Label, tag: Int, _ access: MissedAccess, _ place: AccessPlace?
    ) {
        let entry = code.label()
        code.jump(condition, entry)
        slowPaths.append(.miss(entry: entry, retry: retry, tag: tag, access, flags, vectors, stack))
        let grouping = AccessGroups.Access(place: place, size: access.size, isWrite: access.isWrite)
        accesses.append(Access(retry: retry, grouping: grouping, flags: flags, vectors: vectors, stack: stack))
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

    /// The TLB's entry at R11 is not for what is at R10 and behind.
    mutating func goOnAlone(_ condition: HostCondition, _ access: Int, tag: Int, distance: Int) {
        if isUnlike { return }
        let (known, entry) = (accesses[access], code.label())
        // What the first version has in RunState can be brought there, but not the other way round.
        if known.flags.recipe != nil, known.flags.recipe != flags.recipe { isUnlike = true }
        if known.vectors.hasControl, !vectors.hasControl { isUnlike = true }
        if known.stack != stack { isUnlike = true }
        code.jump(condition, entry)
        slowPaths.append(
            .goOnAlone(entry: entry, access: access, tag: tag, distance: distance, flags, vectors))
    }

    /// Where the condition holds, the interpreter goes on with the instruction. No guest register has been changed by it before.
    mutating func leave(_ condition: HostCondition) { code.jump(condition, wayOut()) }

    private mutating func wayOut() -> Assembler.Label {
        let entry = code.label()
        slowPaths.append(.leave(entry: entry, index: group.lowerBound, flags, vectors, stack))
        return entry
    }

    /// The host's MXCSR becomes the guest's; one whose control is not the host's is for the interpreter. R10 is lost, and the host's flags.
    mutating func loadVectorControl() {
        loseHostFlags()
        let (entry, back) = (code.label(), code.label())
        let refused = wayOut()
        code.arithmetic(.cmp, .double, Self.at(\.vectorControl), VectorControl.loaded)
        code.jump(.ne, entry)
        code.bind(back)
        slowPaths.append(.control(entry: entry, back: back, refused: refused))
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

    private mutating func emitSlowPaths() {
        for path in slowPaths {
            switch path {
            case .miss(let entry, let retry, let tag, let access, let flags, let vectors, let stack):
                code.bind(entry)
                code.arithmetic(.xor, .quad, .r10, HostAddress(.r15, .r11, scale: 0, tag))
                store(flags, .r11)
                store(vectors)
                store(stack)
                code.mov(.double, Self.at(\.missedAccess), Int32(bitPattern: access.rawValue))
                code.call(missing)
                load(vectors)
                load(stack)
                code.jump(retry)
            case .goOnAlone(let entry, let number, let tag, let distance, let flags, let vectors):
                let known = accesses[number]
                code.bind(entry)
                code.arithmetic(.xor, .quad, .r10, HostAddress(.r15, .r11, scale: 0, tag))
                if distance != 0 { code.lea(addressWidth, .r10, HostAddress(.r10, distance)) }
                if known.flags.recipe == nil { store(flags, .r11) }
                var missing = vectors
                missing.changed.subtract(known.vectors.changed)
                store(missing)
                missing.loaded = known.vectors.loaded.subtracting(vectors.loaded)
                load(missing)
                code.jump(known.retry)
            case .control(let entry, let back, let refused):
                code.bind(entry)
                let control = HostAddress(.r15, Int(CH_MXCSR))
                code.mov(.double, .r10, control)
                code.arithmetic(.and, .double, .r10, VectorControl.controlBits)
                code.arithmetic(.cmp, .double, .r10, VectorControl.hostControl)
                code.jump(.ne, refused)
                code.loadVectorControl(control)
                code.mov(.double, Self.at(\.vectorControl), VectorControl.loaded)
                code.jump(back)
            case .leave(let entry, let index, let flags, let vectors, let stack):
                code.bind(entry)
                store(flags, .r11)
                store(vectors)
                store(stack)
                code.load(.r10, UInt64(UInt(bitPattern: block.operations + index)))
                loadBlock()
                code.jump(outside: index == 1 ? stubs.leaveFirst : stubs.leave)
            }
        }
        code.bind(missing)
        loadBlock()
        code.jump(outside: stubs.missed)
        code.bind(refusal)
        code.load(.r10, UInt64(UInt(bitPattern: block)))
        code.jump(outside: stubs.refused)
    }
}
