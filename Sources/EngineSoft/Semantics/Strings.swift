// MOVS, CMPS, STOS, LODS, SCAS, INS, OUTS with their REP prefixes. Source: SDM volume 2, "REP/REPE/REPZ/REPNE/REPNZ".
// A repeated instruction retires once; between its steps RSI, RDI and RCX are as the processor leaves them, so that a fault or an
// interrupt restarts it where it was. Whole runs within a page of plain memory go by one copy.
// SAFETY: host addresses come from TLB hits for the very bytes, and are used before anything can change the TLB.

import CHost
import Glibc

extension BlockBuilder {
    /// seg: the source's segment register.
    mutating func emitString(_ i: Instruction) -> Bool {
        let handler: Handler
        switch i.mnemonic {
        case .movs: handler = moveString
        case .cmps: handler = compareString
        case .stos: handler = storeString
        case .lods: handler = loadString
        case .scas: handler = scanString
        case .ins: handler = inString
        case .outs: handler = outString
        default: return false
        }
        var op = op(i, handler)
        let isByte = i.opcode & 1 == 0
        var size = isByte ? 1 : i.operandSize
        if i.mnemonic == .ins || i.mnemonic == .outs { size = min(size, 4) }
        op.size = size
        op.setForm(i)
        op.seg = i.segment
        push(op)
        return true
    }
}

/// What a string instruction works with; lives in registers while it runs.
struct StringState {
    let size: UInt64
    let addressSize: UInt8
    let mask: UInt64
    let step: UInt64
    let repeats: Bool
    let isForward: Bool
    let sourceSegment: Int
    let isChecked: Bool

    @inline(__always)
    init(_ s: S, _ p: P) {
        let op = p.op
        size = UInt64(op.pointee.size)
        addressSize = op.pointee.addressSize
        mask = addressSize == 2 ? 0xffff : addressSize == 4 ? 0xffff_ffff : .max
        isForward = s.cpu.pointee.systemFlags & RFLAGS.df == 0
        step = isForward ? size : 0 &- size
        repeats = !op.pointee.form.isDisjoint(with: [.rep, .repne])
        sourceSegment = Int(op.pointee.seg)
        isChecked = !s.run.pointee.mode.contains(.code64)
    }

    /// How often it runs; 1 without a prefix.
    func count(_ s: S) -> UInt64 { repeats ? s[Register.rcx] & mask : 1 }

    func advance(_ s: S, _ register: UInt8, _ elements: UInt64) {
        s.putRegister(register, addressSize, s[register] &+ step &* elements)
    }

    func consume(_ s: S, _ elements: UInt64) {
        if repeats { s.putRegister(Register.rcx, addressSize, (s[Register.rcx] & mask) &- elements) }
    }

    /// Linear address of an element; nil: a fault is left.
    func address(_ s: S, _ register: UInt8, _ segment: Int, isWrite: Bool) -> UInt64? {
        let offset = s[register] & mask
        let mode = s.run.pointee.mode
        var linear = offset &+ s.segmentBases[segment]
        if isChecked {
            guard s.segmentAllows(segment, offset, size, isWrite: isWrite) else {
                s.setFault(segment == Segment.ss ? Vector.ss : Vector.gp, code: 0)
                return nil
            }
            linear = (offset &+ s.segment(segment).pointee.base) & 0xffff_ffff
        }
        if mode.contains(.alignment), linear & (size &- 1) != 0 {
            s.setFault(Vector.ac, code: 0)
            return nil
        }
        if mode.contains(.dataBreakpoints) { s.noteDataAccess(linear, size, isWrite: isWrite) }
        return linear
    }

    /// Elements that a run of plain memory could take at once: to the end of the page, of the segment's and the address's wrap; 1 or
    /// less: go by elements.
    func room(_ s: S, _ register: UInt8, _ segment: Int, _ linear: UInt64) -> UInt64 {
        guard isForward, s.run.pointee.mode.isDisjoint(with: [.alignment, .dataBreakpoints]),
            !s.run.pointee.stepsRounds
        else { return 1 }
        let offset = s[register] & mask
        var bytes = 4096 &- (linear & 0xfff)
        bytes = min(bytes, mask &- offset)
        if isChecked {
            let descriptor = s.segment(segment).pointee
            if descriptor.attributes & 0xc == 4 { return 1 }
            bytes = min(bytes, UInt64(descriptor.limit) &+ 1 &- min(offset, UInt64(descriptor.limit) &+ 1))
        }
        return bytes / size
    }
}

/// Between runs of a repeated instruction: whether it must stop to let something in.
@inline(__always)
private func isWanted(_ s: S) -> Bool {
    ch_load(s.run.pointee.attention) & s.run.pointee.attentionMask != 0 || s.run.pointee.stepsRounds
}

/// Leaves a repeated instruction half-way: RIP stays at it. A block of one that makes no progress would never end; each run makes some.
private func interrupted(_ s: S, _ p: P) -> P {
    s.cpu.pointee.didRound = true
    rewind(s, p)
    return toRunLoop
}

extension UnsafeMutableRawPointer {
    /// The host's address of `linear` for reading, by a TLB hit; tries to get one. nil: a fault is left, or it is no plain memory.
    fileprivate func hostForReading(_ p: P, _ linear: UInt64) -> UnsafeMutableRawPointer? {
        let entry = tlbEntry(linear)
        if entry.pointee.read != linear & ~0xfff {
            guard read(p, linear, as: UInt8.self) != nil, entry.pointee.read == linear & ~0xfff else { return nil }
        }
        return UnsafeMutableRawPointer(bitPattern: UInt(truncatingIfNeeded: entry.pointee.host(linear)))
    }

    /// The same by a TLB hit only: nothing is read.
    fileprivate func knownForReading(_ linear: UInt64) -> UnsafeMutableRawPointer? {
        let entry = tlbEntry(linear)
        guard entry.pointee.read == linear & ~0xfff else { return nil }
        return UnsafeMutableRawPointer(bitPattern: UInt(truncatingIfNeeded: entry.pointee.host(linear)))
    }

    /// The same for writing `bytes` that do not cross the page, by a TLB hit only; code that was decoded from them goes.
    fileprivate func hostForWriting(_ linear: UInt64, _ bytes: UInt64) -> UnsafeMutableRawPointer? {
        let entry = tlbEntry(linear)
        if entry.pointee.write != linear & ~0xfff {
            guard entry.pointee.read == linear & ~0xfff, entry.pointee.physical & TLBEntry.writable != 0 else {
                return nil
            }
            run.pointee.owner._withUnsafeGuaranteedRef {
                $0.memory.dropCode(entry.pointee, linear, Int(truncatingIfNeeded: bytes))
            }
        }
        return UnsafeMutableRawPointer(bitPattern: UInt(truncatingIfNeeded: entry.pointee.host(linear)))
    }

    fileprivate func readElement(_ p: P, _ linear: UInt64, _ size: UInt64) -> UInt64? {
        switch size {
        case 1: read(p, linear, as: UInt8.self).map { UInt64($0) }
        case 2: read(p, linear, as: UInt16.self).map { UInt64($0) }
        case 4: read(p, linear, as: UInt32.self).map { UInt64($0) }
        default: read(p, linear, as: UInt64.self)
        }
    }

    fileprivate func writeElement(_ p: P, _ linear: UInt64, _ size: UInt64, _ value: UInt64) -> Bool {
        switch size {
        case 1: write(p, linear, UInt8(truncatingIfNeeded: value))
        case 2: write(p, linear, UInt16(truncatingIfNeeded: value))
        case 4: write(p, linear, UInt32(truncatingIfNeeded: value))
        default: write(p, linear, value)
        }
    }
}

// MARK: MOVS, STOS, LODS

let moveString: Handler = { s, p in
    let state = StringState(s, p)
    var left = state.count(s)
    while left > 0 {
        guard let from = state.address(s, Register.rsi, state.sourceSegment, isWrite: false) else { return abort(s, p) }
        guard let to = state.address(s, Register.rdi, Segment.es, isWrite: true) else {
            // The source's page fault comes before the destination's limit.
            let fault = s.run.pointee.fault
            if s.readElement(p, from, state.size) != nil { s.run.pointee.fault = fault }
            return abort(s, p)
        }
        var run = min(
            left, state.room(s, Register.rsi, state.sourceSegment, from), state.room(s, Register.rdi, Segment.es, to))
        if run > 1, let source = s.hostForReading(p, from), let target = s.hostForWriting(to, run &* state.size) {
            let bytes = Int(run &* state.size)
            // An overlap that copies what was just written goes by elements.
            if target <= source || target >= source + bytes {
                memmove(target, source, bytes)
            } else {
                copyForward(source, target, bytes, Int(state.size))
            }
        } else {
            run = 1
            guard let value = s.readElement(p, from, state.size), s.writeElement(p, to, state.size, value) else {
                return abort(s, p)
            }
        }
        state.advance(s, Register.rsi, run)
        state.advance(s, Register.rdi, run)
        state.consume(s, run)
        left = left &- run
        if left > 0, isWanted(s) { return interrupted(s, p) }
    }
    return next(s, p)
}

/// Element by element, upwards: what overlaps is repeated.
private func copyForward(
    _ source: UnsafeMutableRawPointer, _ target: UnsafeMutableRawPointer, _ bytes: Int, _ size: Int
) {
    var at = 0
    while at < bytes {
        switch size {
        case 1: target.storeBytes(of: source.load(fromByteOffset: at, as: UInt8.self), toByteOffset: at, as: UInt8.self)
        case 2:
            target.storeBytes(
                of: source.loadUnaligned(fromByteOffset: at, as: UInt16.self), toByteOffset: at, as: UInt16.self)
        case 4:
            target.storeBytes(
                of: source.loadUnaligned(fromByteOffset: at, as: UInt32.self), toByteOffset: at, as: UInt32.self)
        default:
            target.storeBytes(
                of: source.loadUnaligned(fromByteOffset: at, as: UInt64.self), toByteOffset: at, as: UInt64.self)
        }
        at += size
    }
}

let storeString: Handler = { s, p in
    let state = StringState(s, p)
    var left = state.count(s)
    let value = s[Register.rax]
    while left > 0 {
        guard let to = state.address(s, Register.rdi, Segment.es, isWrite: true) else { return abort(s, p) }
        var run = min(left, state.room(s, Register.rdi, Segment.es, to))
        if run > 1, let target = s.hostForWriting(to, run &* state.size) {
            fill(target, Int(run), Int(state.size), value)
        } else {
            run = 1
            guard s.writeElement(p, to, state.size, value) else { return abort(s, p) }
        }
        state.advance(s, Register.rdi, run)
        state.consume(s, run)
        left = left &- run
        if left > 0, isWanted(s) { return interrupted(s, p) }
    }
    return next(s, p)
}

private func fill(_ target: UnsafeMutableRawPointer, _ count: Int, _ size: Int, _ value: UInt64) {
    let byte = UInt8(truncatingIfNeeded: value)
    let pattern = UInt64(byte) &* 0x0101_0101_0101_0101
    let mask: UInt64 = size == 8 ? .max : (1 &<< UInt64(size &* 8)) &- 1
    if (value ^ pattern) & mask == 0 {
        memset(target, Int32(byte), count * size)
        return
    }
    for index in 0..<count {
        switch size {
        case 2: target.storeBytes(of: UInt16(truncatingIfNeeded: value), toByteOffset: index * 2, as: UInt16.self)
        case 4: target.storeBytes(of: UInt32(truncatingIfNeeded: value), toByteOffset: index * 4, as: UInt32.self)
        default: target.storeBytes(of: value, toByteOffset: index * 8, as: UInt64.self)
        }
    }
}

let loadString: Handler = { s, p in
    let state = StringState(s, p)
    var left = state.count(s)
    while left > 0 {
        guard let from = state.address(s, Register.rsi, state.sourceSegment, isWrite: false),
            let value = s.readElement(p, from, state.size)
        else { return abort(s, p) }
        s.putRegister(Register.rax, UInt8(truncatingIfNeeded: state.size), value)
        state.advance(s, Register.rsi, 1)
        state.consume(s, 1)
        left = left &- 1
        if left > 0, isWanted(s) { return interrupted(s, p) }
    }
    return next(s, p)
}

// MARK: CMPS, SCAS

private func setCompare(_ s: S, _ a: UInt64, _ b: UInt64, _ size: UInt64) {
    switch size {
    case 1: _ = Cmp.apply(s.cpu, UInt8(truncatingIfNeeded: a), UInt8(truncatingIfNeeded: b))
    case 2: _ = Cmp.apply(s.cpu, UInt16(truncatingIfNeeded: a), UInt16(truncatingIfNeeded: b))
    case 4: _ = Cmp.apply(s.cpu, UInt32(truncatingIfNeeded: a), UInt32(truncatingIfNeeded: b))
    default: _ = Cmp.apply(s.cpu, a, b)
    }
}

/// Whether REPE or REPNE goes on.
@inline(__always)
private func goesOn(_ p: P, isEqual: Bool) -> Bool {
    p.op.pointee.form.contains(.repne) ? !isEqual : isEqual
}

/// Elements of plain memory in a row, up to the one that ends REPE or REPNE: how many, and the last pair.
private struct ElementRun {
    var count: UInt64 = 0
    var (a, b): (UInt64, UInt64) = (0, 0)

    /// `second` nil: all are compared with `value`.
    init(
        _ first: UnsafeMutableRawPointer, _ second: UnsafeMutableRawPointer?, _ value: UInt64, _ room: UInt64,
        _ size: UInt64,
        untilEqual: Bool
    ) {
        switch size {
        case 1: find(first, second, UInt8(truncatingIfNeeded: value), Int(room), untilEqual)
        case 2: find(first, second, UInt16(truncatingIfNeeded: value), Int(room), untilEqual)
        case 4: find(first, second, UInt32(truncatingIfNeeded: value), Int(room), untilEqual)
        default: find(first, second, value, Int(room), untilEqual)
        }
    }

    private mutating func find<T: Word>(
        _ first: UnsafeMutableRawPointer, _ second: UnsafeMutableRawPointer?, _ value: T, _ room: Int,
        _ untilEqual: Bool
    ) {
        let size = T.bitWidth / 8
        var at = 0
        var (x, y) = (value, value)
        while at < room {
            let element = first.loadUnaligned(fromByteOffset: at &* size, as: T.self)
            if let second {
                (x, y) = (element, second.loadUnaligned(fromByteOffset: at &* size, as: T.self))
            } else {
                y = element
            }
            at = at &+ 1
            if (x == y) == untilEqual { break }
        }
        (count, a, b) = (UInt64(at), UInt64(truncatingIfNeeded: x), UInt64(truncatingIfNeeded: y))
    }
}

let compareString: Handler = { s, p in
    let state = StringState(s, p)
    var left = state.count(s)
    while left > 0 {
        if state.repeats, let first = state.address(s, Register.rsi, state.sourceSegment, isWrite: false),
            let second = state.address(s, Register.rdi, Segment.es, isWrite: false),
            let x = s.knownForReading(first), let y = s.knownForReading(second)
        {
            let room = min(
                left, state.room(s, Register.rsi, state.sourceSegment, first),
                state.room(s, Register.rdi, Segment.es, second))
            if room > 1 {
                let run = ElementRun(x, y, 0, room, state.size, untilEqual: p.op.pointee.form.contains(.repne))
                state.advance(s, Register.rsi, run.count)
                state.advance(s, Register.rdi, run.count)
                state.consume(s, run.count)
                left = left &- run.count
                setCompare(s, run.a, run.b, state.size)
                if !goesOn(p, isEqual: run.a == run.b) { break }
                if left > 0, isWanted(s) { return interrupted(s, p) }
                continue
            }
        }
        guard let first = state.address(s, Register.rsi, state.sourceSegment, isWrite: false),
            let second = state.address(s, Register.rdi, Segment.es, isWrite: false),
            let a = s.readElement(p, first, state.size), let b = s.readElement(p, second, state.size)
        else { return abort(s, p) }
        state.advance(s, Register.rsi, 1)
        state.advance(s, Register.rdi, 1)
        state.consume(s, 1)
        left = left &- 1
        setCompare(s, a, b, state.size)
        if state.repeats, !goesOn(p, isEqual: a == b) { break }
        if left > 0, isWanted(s) { return interrupted(s, p) }
    }
    return next(s, p)
}

let scanString: Handler = { s, p in
    let state = StringState(s, p)
    var left = state.count(s)
    let a = s.getRegister(Register.rax, UInt8(truncatingIfNeeded: state.size))
    while left > 0 {
        if state.repeats, let to = state.address(s, Register.rdi, Segment.es, isWrite: false),
            let host = s.knownForReading(to)
        {
            let room = min(left, state.room(s, Register.rdi, Segment.es, to))
            if room > 1 {
                let run = ElementRun(host, nil, a, room, state.size, untilEqual: p.op.pointee.form.contains(.repne))
                state.advance(s, Register.rdi, run.count)
                state.consume(s, run.count)
                left = left &- run.count
                setCompare(s, run.a, run.b, state.size)
                if !goesOn(p, isEqual: run.a == run.b) { break }
                if left > 0, isWanted(s) { return interrupted(s, p) }
                continue
            }
        }
        guard let to = state.address(s, Register.rdi, Segment.es, isWrite: false),
            let b = s.readElement(p, to, state.size)
        else { return abort(s, p) }
        state.advance(s, Register.rdi, 1)
        state.consume(s, 1)
        left = left &- 1
        setCompare(s, a, b, state.size)
        if state.repeats, !goesOn(p, isEqual: a == b) { break }
        if left > 0, isWanted(s) { return interrupted(s, p) }
    }
    return next(s, p)
}

// MARK: INS, OUTS

let inString: Handler = { s, p in
    let state = StringState(s, p)
    let port = s.get(Register.rdx, as: UInt16.self)
    guard ioAllowed(s, p, port: port, size: Int(state.size)) else { return abort(s, p) }
    var left = state.count(s)
    while left > 0 {
        if s.run.pointee.mode.contains(.dataBreakpoints) { s.notePortAccess(port, state.size) }
        guard let to = state.address(s, Register.rdi, Segment.es, isWrite: true) else { return abort(s, p) }
        var run = min(left, state.room(s, Register.rdi, Segment.es, to), 512)
        // That the write will not fault is made sure before the device is read.
        guard slowModifyCheck(s, p, to, Int(state.size)) else { return abort(s, p) }
        if run > 1, let target = s.hostForWriting(to, run &* state.size) {
            guard s.portReadString(p, port, UInt8(state.size), Int(run), target) else { return abort(s, p) }
        } else {
            run = 1
            guard let value = s.portRead(p, port, UInt8(state.size)) else { return abort(s, p) }
            guard s.writeElement(p, to, state.size, value) else { return abort(s, p) }
        }
        state.advance(s, Register.rdi, run)
        state.consume(s, run)
        left = left &- run
        if isWanted(s) { return left > 0 ? interrupted(s, p) : retire(s, p) }
    }
    return next(s, p)
}

/// Fills the TLB for a write, where that can be; false: a fault is left. MMIO is not read.
private func slowModifyCheck(_ s: S, _ p: P, _ linear: UInt64, _ size: Int) -> Bool {
    s.mayExit(p)
    return s.run.pointee.owner._withUnsafeGuaranteedRef { $0.memory.translateBoth(s, linear, size, .write) != nil }
}

let outString: Handler = { s, p in
    let state = StringState(s, p)
    let port = s.get(Register.rdx, as: UInt16.self)
    guard ioAllowed(s, p, port: port, size: Int(state.size)) else { return abort(s, p) }
    var left = state.count(s)
    while left > 0 {
        if s.run.pointee.mode.contains(.dataBreakpoints) { s.notePortAccess(port, state.size) }
        guard let from = state.address(s, Register.rsi, state.sourceSegment, isWrite: false) else { return abort(s, p) }
        var run = min(left, state.room(s, Register.rsi, state.sourceSegment, from), 512)
        if run > 1, let source = s.hostForReading(p, from) {
            guard s.portWriteString(p, port, UInt8(state.size), Int(run), source) else { return abort(s, p) }
        } else {
            run = 1
            guard let value = s.readElement(p, from, state.size) else { return abort(s, p) }
            guard s.portWrite(p, port, UInt8(state.size), value) else { return abort(s, p) }
        }
        state.advance(s, Register.rsi, run)
        state.consume(s, run)
        left = left &- run
        if isWanted(s) { return left > 0 ? interrupted(s, p) : retire(s, p) }
    }
    return next(s, p)
}
