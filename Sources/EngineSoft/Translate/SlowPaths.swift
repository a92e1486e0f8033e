// What a block does out of line: accesses that the TLB does not answer, ways to the interpreter, budgets that run out. Each is emitted behind the block with the
// state that holds where it is come from.

import CHost

extension BlockEmitter {
    /// An access of the first version, and what holds at `retry`.
    struct Access {
        var retry: Assembler.Label
        var grouping: AccessGroups.Access
        var flags: FlagState
        var vectors: VectorState
        var stack: FloatingStack
    }

    enum SlowPath {
        /// R10 ^ the TLB's tag at R11, which is compared at `retry`.
        case miss(
            entry: Assembler.Label, retry: Assembler.Label, tag: Int, MissedAccess, FlagState, VectorState,
            FloatingStack)
        /// As `miss`, at the lowest byte of a group, in the second version: the first one goes on at the access, `distance` bytes from there.
        case goOnAlone(entry: Assembler.Label, access: Int, tag: Int, distance: Int, FlagState, VectorState)
        /// As `goOnAlone`, where an access of a loop is not where it went last.
        case elsewhere(ElsewhereAccess, FlagState, VectorState)
        /// There is no budget for the block, which a loop has come to.
        case ended(entry: Assembler.Label, FlagState, VectorState, FloatingStack)
        /// The instruction is the interpreter's, from its first operation on; no register has changed.
        case leave(entry: Assembler.Label, index: Int, FlagState, VectorState, FloatingStack)
        /// MXCSR is not the host's yet.
        case control(entry: Assembler.Label, back: Assembler.Label, refused: Assembler.Label)
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

    /// The TLB's entry at R11 is not for what is at R10 and behind.
    mutating func goOnAlone(_ condition: HostCondition, _ access: Int, tag: Int, distance: Int) {
        if isUnlike { return }
        let entry = code.label()
        compareWithFirst(access)
        code.jump(condition, entry)
        slowPaths.append(
            .goOnAlone(entry: entry, access: access, tag: tag, distance: distance, flags, vectors))
    }

    /// What the first version has in RunState can be brought there, but not the other way round.
    private mutating func compareWithFirst(_ access: Int) {
        let known = accesses[access]
        if known.flags.recipe != nil, known.flags.recipe != flags.recipe { isUnlike = true }
        if known.vectors.hasControl, !vectors.hasControl { isUnlike = true }
        if known.stack != stack { isUnlike = true }
    }

    mutating func lookElsewhere(_ elsewhere: ElsewhereAccess) {
        if isUnlike { return }
        compareWithFirst(elsewhere.access)
        slowPaths.append(.elsewhere(elsewhere, flags, vectors))
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

    /// R10 ^ the tag at R11 is the linear address, less `distance`.
    mutating func goOnAlone(_ access: Int, tag: Int, distance: Int, _ flags: FlagState, _ vectors: VectorState) {
        let known = accesses[access]
        code.arithmetic(.xor, .quad, .r10, HostAddress(.r15, .r11, scale: 0, tag))
        if distance != 0 { code.lea(addressWidth, .r10, HostAddress(.r10, distance)) }
        if known.flags.recipe == nil { store(flags, .r11) }
        var missing = vectors
        missing.changed.subtract(known.vectors.changed)
        store(missing)
        missing.loaded = known.vectors.loaded.subtracting(vectors.loaded)
        load(missing)
        code.jump(known.retry)
    }

    mutating func emitSlowPaths() {
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
                code.bind(entry)
                goOnAlone(number, tag: tag, distance: distance, flags, vectors)
            case .elsewhere(let access, let flags, let vectors): emitElsewhere(access, flags, vectors)
            case .ended(let entry, let flags, let vectors, let stack):
                code.bind(entry)
                code.arithmetic(.add, .quad, Self.at(\.left), Int32(source.instructions.count))
                store(flags, .r11)
                store(vectors)
                store(stack)
                code.load(.r10, UInt64(UInt(bitPattern: block)))
                code.jump(outside: stubs.ended)
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
        code.arithmetic(.add, .quad, Self.at(\.left), Int32(source.instructions.count))
        code.bind(shut)
        code.load(.r10, UInt64(UInt(bitPattern: block)))
        code.jump(outside: stubs.refused)
    }
}
