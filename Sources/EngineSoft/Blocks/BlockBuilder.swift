// From instructions to operations. The families' files (Emit+*.swift) choose handlers; this one has what they share.

/// Makes the operations of a block.
struct BlockBuilder {
    /// An instruction makes at most this many operations.
    private static let maximumPerInstruction = 4
    /// And what stands before the first one and behind the last one.
    static let capacity = BlockSource.maximumInstructions * maximumPerInstruction + 3

    let source: BlockSource
    /// SAFETY: `capacity` operations, the SoftCPU's.
    let operations: UnsafeMutablePointer<Op>
    private(set) var count = 0
    /// Of those before the one that is emitted.
    private(set) var instructionCount = 0
    private(set) var length = 0
    /// Where the chain slots lead to.
    private(set) var targets = (Target(), Target())

    struct Target {
        var isOwnPage = false
        /// Bits 11:0 of the address.
        var pageOffset: UInt32 = 0
    }

    var mode: Mode { source.mode }
    var is64: Bool { mode.contains(.code64) }

    /// The operations of `source` are made.
    init(_ source: BlockSource, operations: UnsafeMutablePointer<Op>) {
        self.source = source
        self.operations = operations
        push(Op(run: enterBlock))
        if source.mayStop { push(Op(run: breakpointCheck)) }
        for instruction in source.instructions { add(instruction) }
        if !source.isEnded { fallOut() }
        operations[0].imm64 = UInt64(instructionCount)
    }

    mutating func push(_ op: Op) {
        operations[count] = op
        operations[count].run = unthunked(op.run)
        count += 1
    }

    /// The operation that was pushed last.
    var last: Op {
        get { operations[count - 1] }
        nonmutating set { operations[count - 1] = newValue }
    }

    private mutating func add(_ i: Instruction) {
        switch i.outcome {
        // #UD or #GP(0), counted and logged by its bytes.
        case .undefined, .truncated: push(op(i, undefinedOpcode))
        case .tooLong: push(op(i, instructionTooLong))
        case .instruction: emit(i)
        }
        instructionCount += 1
        length += Int(i.length)
    }

    /// Goes on behind the last instruction.
    private mutating func fallOut() {
        let isPlain = mode.contains(.code64) || mode.contains(.flat)
        var last = Op(run: isPlain ? fallThrough : fallThroughChecked)
        last.number = UInt8(truncatingIfNeeded: instructionCount)
        last.offset = UInt16(truncatingIfNeeded: length)
        last.imm64 = UInt64(length)
        noteTarget(1, UInt64(length))
        push(last)
    }

    // MARK: Parts of operations

    /// An operation of an instruction, without operands.
    func op(_ i: Instruction, _ handler: Handler) -> Op {
        var op = Op(run: handler)
        op.length = i.length
        op.number = UInt8(truncatingIfNeeded: instructionCount)
        op.offset = UInt16(truncatingIfNeeded: length)
        return op
    }

    /// The place of a general register of `size` bytes; without REX, 4 to 7 of one byte are AH, CH, DH and BH.
    static func place(_ number: UInt8, size: UInt8, hasREX: Bool) -> UInt8 {
        if size == 1, !hasREX, number >= 4, number < 8 { return (number - 4) * 8 + 1 }
        return number * 8
    }

    func reg(_ i: Instruction, _ size: UInt8) -> UInt8 { Self.place(i.reg, size: size, hasREX: i.hasREX) }
    func rm(_ i: Instruction, _ size: UInt8) -> UInt8 { Self.place(i.rm, size: size, hasREX: i.hasREX) }
    /// Of the register in the opcode's low three bits.
    func low(_ i: Instruction, _ size: UInt8) -> UInt8 {
        Self.place(i.opcode & 7 | (i.rex & 1) << 3, size: size, hasREX: i.hasREX)
    }

    /// Gives `op` the memory operand of the instruction; where its address needs checks or does not fit, an operation that
    /// prepares it goes before. `size`: bytes accessed, 0: none is (LEA, INVLPG check nothing of the segment).
    mutating func setMemory(_ op: inout Op, _ i: Instruction, size: UInt16, isWrite: Bool) {
        // Code segments cannot be written, flat or not.
        let isCodeWrite = isWrite && !is64 && i.segment == UInt8(Segment.cs)
        if !isCodeWrite, let direct = directAddress(i) {
            (op.base, op.index, op.scale, op.disp, op.seg) = direct
            return
        }
        var address = self.op(i, mode.contains(.code64) ? addressLong : addressLegacy)
        setAddress(&address, i)
        address.seg = i.segment
        address.accessSize = size
        address.accessAddressSize = i.addressSize
        address.isWrite = isWrite
        push(address)
        op.base = Register.address
        op.index = Register.zero
        op.scale = 0
        op.disp = 0
        op.seg = flatSegment(i)
    }

    /// Base, index, scale and displacement as they stand in the instruction. A RIP-relative displacement that does not fit is
    /// split: `imm` is what is left, by 2^32.
    func setAddress(_ op: inout Op, _ i: Instruction) {
        op.base = Self.addressRegister(i.base)
        op.index = Self.addressRegister(i.index)
        op.scale = i.scale
        var displacement = i.displacement
        if i.base == 17 { displacement += Int64(length) + Int64(i.length) }
        let low = Int32(truncatingIfNeeded: displacement)
        op.disp = low
        // A moffs of 64 bits does not fit either.
        op.imm = Int32(truncatingIfNeeded: (displacement &- Int64(low)) >> 32)
    }

    private static func addressRegister(_ number: UInt8) -> UInt8 {
        switch number {
        case 16: Register.zero
        case 17: Register.rip
        case Instruction.temporaryBase: Register.temporary
        case Instruction.poppedBase: Register.popped
        default: number * 8
        }
    }

    /// Base, index, scale and displacement where they fit an operation as they are.
    func plainOffset(_ i: Instruction) -> (UInt8, UInt8, UInt8, Int32)? {
        var op = Op(run: enterBlock)
        setAddress(&op, i)
        return op.imm == 0 ? (op.base, op.index, op.scale, op.disp) : nil
    }

    private func flatSegment(_ i: Instruction) -> UInt8 {
        UInt8(i.segment == UInt8(Segment.ss) ? Segment.flatStack : Segment.flat)
    }

    /// The operand fields where no check and no wrap is needed beyond the linear address mask.
    private func directAddress(_ i: Instruction) -> (UInt8, UInt8, UInt8, Int32, UInt8)? {
        guard mode.isDisjoint(with: [.alignment, .dataBreakpoints]) else { return nil }
        guard let (base, index, scale, displacement) = plainOffset(i) else { return nil }
        if is64 {
            guard i.addressSize == 8 else { return nil }
            let segment = i.segment >= UInt8(Segment.fs) ? i.segment : flatSegment(i)
            return (base, index, scale, displacement, segment)
        }
        guard mode.contains(.flat), i.addressSize == 4, i.segment < UInt8(Segment.fs) else { return nil }
        return (base, index, scale, displacement, flatSegment(i))
    }

    /// For instructions whose handler decides all by itself. dst: the register in reg, src: the one in rm; imm: the immediate, or
    /// imm64 where there is no memory operand; size, form and imm2.
    mutating func general(
        _ i: Instruction, _ handler: Handler, size: UInt16 = 0, isWrite: Bool = false, registerSize: UInt8 = 4
    ) {
        var op = op(i, handler)
        if i.isMemory {
            setMemory(&op, i, size: size, isWrite: isWrite)
            op.imm = Int32(truncatingIfNeeded: Int64(bitPattern: i.immediate))
        } else {
            op.imm64 = i.immediate
        }
        op.dst = Self.place(i.reg, size: registerSize, hasREX: i.hasREX)
        op.src = Self.place(i.rm, size: registerSize, hasREX: i.hasREX)
        op.size = i.operandSize
        op.setForm(i)
        op.imm2 = UInt32(truncatingIfNeeded: i.immediate2)
        push(op)
    }

    /// Remembers where a direct jump goes, and whether that is the block's own page, so that its chain never needs a check.
    mutating func noteTarget(_ slot: Int, _ offset: UInt64) {
        let target = Target(
            isOwnPage: source.isOwnPage(offset),
            pageOffset: UInt32(truncatingIfNeeded: (source.pageOffset &+ offset) & 0xfff))
        if slot == 0 { targets.0 = target } else { targets.1 = target }
    }
}

/// Linear address of an operand in 64-bit mode whose address is not of the plain kind (address-size prefix, FS or GS with it,
/// 64-bit moffs, checks): into Register.address.
let addressLong: Handler = { s, p in
    let op = p.op
    var offset = s[op.pointee.base] &+ s[op.pointee.index] &<< UInt64(op.pointee.scale)
    offset = offset &+ UInt64(bitPattern: Int64(op.pointee.disp)) &+ UInt64(bitPattern: Int64(op.pointee.imm)) &<< 32
    if op.pointee.accessAddressSize == 4 { offset &= 0xffff_ffff }
    let linear = offset &+ s.segmentBases[Int(op.pointee.seg)]
    s[Register.address] = linear
    return checkOperand(s, p, linear) ? next(s, p) : abort(s, p)
}

/// The same outside of 64-bit mode: address sizes 2 and 4, the segment's limit and rights.
let addressLegacy: Handler = { s, p in
    let op = p.op
    var offset = s[op.pointee.base] &+ s[op.pointee.index] &<< UInt64(op.pointee.scale)
    offset = offset &+ UInt64(bitPattern: Int64(op.pointee.disp))
    offset &= op.pointee.accessAddressSize == 2 ? 0xffff : 0xffff_ffff
    let segment = Int(op.pointee.seg)
    let size = UInt64(op.pointee.accessSize)
    if size != 0, !s.segmentAllows(segment, offset, size, isWrite: op.pointee.isWrite) {
        return raise(s, p, segment == Segment.ss ? Vector.ss : Vector.gp, code: 0)
    }
    let linear = (offset &+ s.segment(segment).pointee.base) & 0xffff_ffff
    s[Register.address] = linear
    return checkOperand(s, p, linear) ? next(s, p) : abort(s, p)
}

/// Alignment (#AC) and data breakpoints, where the mode says that either is on.
private func checkOperand(_ s: S, _ p: P, _ linear: UInt64) -> Bool {
    let mode = s.run.pointee.mode
    if mode.isDisjoint(with: [.alignment, .dataBreakpoints]) { return true }
    let size = UInt64(p.op.pointee.accessSize)
    if mode.contains(.alignment), size > 1, size <= 8, size & (size - 1) == 0, linear & (size - 1) != 0 {
        s.setFault(Vector.ac, code: 0)
        return false
    }
    if mode.contains(.dataBreakpoints), size > 0 {
        s.noteDataAccess(linear, size, isWrite: p.op.pointee.isWrite)
    }
    return true
}

extension UnsafeMutableRawPointer {
    /// Limit and rights of a segment outside of 64-bit mode (SDM volume 3, 5.3 and 5.4). In real and virtual-8086 mode the
    /// hidden parts say what holds there.
    func segmentAllows(_ number: Int, _ offset: UInt64, _ size: UInt64, isWrite: Bool) -> Bool {
        let segment = segment(number).pointee
        guard segment.isUsable else { return false }
        let isCode = segment.attributes & 8 != 0
        // Real mode writes through CS, whatever its hidden part says.
        if isCode, run.pointee.mode.contains(.protected), isWrite || segment.attributes & 2 == 0 { return false }
        if !isCode, isWrite, segment.attributes & 2 == 0 { return false }
        let last = offset &+ size &- 1
        if !isCode, segment.attributes & 4 != 0 {
            // Expand-down: above the limit, up to 0xffff or 0xffffffff.
            let top: UInt64 = segment.isBig ? 0xffff_ffff : 0xffff
            return offset > UInt64(segment.limit) && last <= top
        }
        return last <= UInt64(segment.limit)
    }

    /// The same for ports, which are the guest's breakpoints alone and need CR4.DE.
    func notePortAccess(_ port: UInt16, _ size: UInt64) {
        guard cpu.pointee.cr4 & CR4.de != 0 else { return }
        cpu.pointee.pendingDebug |= hits(cpu.pointee.dr.7, UInt64(port), size, { $0 == .io }) {
            debugRegister($0).pointee
        }
    }

    /// Compares an operand with DR0 to DR3 and with the debugger's watchpoints; a match is reported once the instruction has
    /// retired (SDM volume 3, 17.2.4).
    func noteDataAccess(_ linear: UInt64, _ size: UInt64, isWrite: Bool) {
        let own = cpu.pointee.dr.7
        let matches = { (condition: DR7.Condition) in condition == .readOrWrite || condition == .write && isWrite }
        if own & DR7.enables != 0 {
            cpu.pointee.pendingDebug |= hits(own, linear, size, matches) { debugRegister($0).pointee }
        }
        let debuggers = run.pointee.watchControl
        if debuggers != 0 {
            run.pointee.watchHits |= hits(debuggers, linear, size, matches) { watchAddress($0) }
        }
    }

    /// Bits of the breakpoints that an access touches, `control` being laid out as DR7.
    private func hits(
        _ control: UInt64, _ linear: UInt64, _ size: UInt64, _ matches: (DR7.Condition) -> Bool,
        address: (Int) -> UInt64
    ) -> UInt64 {
        var hits: UInt64 = 0
        for number in 0..<4 where DR7.isEnabled(number, in: control) {
            guard matches(DR7.condition(of: number, in: control)) else { continue }
            let length = DR7.length(of: number, in: control)
            let first = address(number) & ~(length - 1)
            // Differences, since either end may be the last byte of the address space.
            if linear &- first < length || first &- linear < size { hits |= 1 << UInt64(number) }
        }
        return hits
    }
}
