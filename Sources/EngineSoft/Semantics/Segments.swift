// Segment registers: loads with all their checks, stores, and bases. Source: SDM volume 2, MOV, POP, LDS, WRFSBASE, SWAPGS; volume 3,
// 5.5 and 5.6.

/// Calls a method of the CPU that a state belongs to.
@inline(__always)
func call(_ s: S, _ p: P, _ body: (SoftCPU) -> P) -> P {
    s.mayExit(p)
    return s.run.pointee.owner._withUnsafeGuaranteedRef(body)
}

let moveFromSegment: Handler = { s, p in call(s, p) { $0.moveFromSegment(p) } }
let moveToSegment: Handler = { s, p in call(s, p) { $0.moveToSegment(p) } }
let pushSegment: Handler = { s, p in call(s, p) { $0.pushSegment(p) } }
let popSegment: Handler = { s, p in call(s, p) { $0.popSegment(p) } }
let loadFarPointer: Handler = { s, p in call(s, p) { $0.loadFarPointer(p) } }
let readSegmentBase: Handler = { s, p in call(s, p) { $0.readSegmentBase(p) } }
let writeSegmentBase: Handler = { s, p in call(s, p) { $0.writeSegmentBase(p) } }

/// SDM volume 2, SWAPGS.
let swapGS: Handler = { s, p in
    let cpu = s.cpu
    if cpu.pointee.cpl != 0 { return raise(s, p, Vector.gp, code: 0) }
    let base = s.segment(Segment.gs).pointee.base
    s.segment(Segment.gs).pointee.base = cpu.pointee.msrs.kernelGSBase
    s.segmentBases[Segment.gs] = cpu.pointee.msrs.kernelGSBase
    cpu.pointee.msrs.kernelGSBase = base
    return retire(s, p)
}

// MARK: Operands as `general` leaves them

extension UnsafeRawPointer {
    var isMemory: Bool { op.pointee.isMemory }
    /// 2, 4 or 8
    var operandSize: UInt8 { op.pointee.size }
}

extension SoftCPU {
    /// A register or memory operand of 16 bits; nil: a fault is left.
    func operand16(_ p: P) -> UInt16? {
        if p.isMemory { return s.read(p, linear(s, p), as: UInt16.self) }
        return s.get(p.op.pointee.src)
    }

    /// A register by its place, as wide as the operand.
    func put(_ register: UInt8, _ value: UInt64, size: UInt8) {
        switch size {
        case 2: s.put(register, UInt16(truncatingIfNeeded: value))
        case 4: s.put(register, UInt32(truncatingIfNeeded: value))
        default: s.put(register, value)
        }
    }

    /// Stores a system value: 16 bits in memory, the operand size in a register. false: a fault is left.
    func store16(_ p: P, _ value: UInt64) -> Bool {
        if p.isMemory { return s.write(p, linear(s, p), UInt16(truncatingIfNeeded: value)) }
        put(p.op.pointee.src, value, size: p.operandSize)
        return true
    }

    // MARK: Loading

    /// DS, ES, FS, GS or SS. false: a fault is left. `updateMode` is the caller's.
    func loadSegment(_ number: Int, _ selector: UInt16) -> Bool {
        guard isProtected else {
            setRealSegment(number, selector)
            return true
        }
        return number == Segment.ss ? loadStackSegment(selector) : loadDataSegment(number, selector)
    }

    private func loadStackSegment(_ selector: UInt16) -> Bool {
        let level = s.cpu.pointee.cpl
        if selector & 0xfffc == 0 {
            // A null SS is for 64-bit mode above ring 3.
            guard is64, level != 3, selector & 3 == UInt16(level) else { return fail(Vector.gp, system.external) }
            setNull(Segment.ss, selector, level: level)
            return true
        }
        guard let descriptor = stackDescriptor(selector, level: level, invalid: Vector.gp), markAccessed(descriptor)
        else { return false }
        s.segment(Segment.ss).pointee = descriptor.register
        return true
    }

    /// A descriptor that may be SS at a privilege level; `invalid` is the vector of everything but "not present".
    func stackDescriptor(_ selector: UInt16, level: UInt8, invalid: UInt8) -> Descriptor? {
        guard let descriptor = descriptor(selector, outside: invalid) else { return nil }
        guard descriptor.rpl == level, descriptor.dpl == level, descriptor.isWritableData else {
            s.setFault(invalid, code: selectorCode(selector))
            return nil
        }
        guard descriptor.isPresent else {
            s.setFault(Vector.ss, code: selectorCode(selector))
            return nil
        }
        return descriptor
    }

    private func loadDataSegment(_ number: Int, _ selector: UInt16) -> Bool {
        if selector & 0xfffc == 0 {
            setNull(number, selector)
            return true
        }
        guard let descriptor = descriptor(selector) else { return false }
        let level = max(s.cpu.pointee.cpl, descriptor.rpl)
        guard descriptor.isReadable, descriptor.isConforming || level <= descriptor.dpl else {
            return fail(Vector.gp, selector: selector)
        }
        guard descriptor.isPresent else { return fail(Vector.np, selector: selector) }
        guard markAccessed(descriptor) else { return false }
        s.segment(number).pointee = descriptor.register
        return true
    }

    /// A return to an outer ring takes away segments that it may not use (SDM volume 3, 5.8.6; volume 2, IRET: null selectors too, whatever
    /// their hidden part says). Bases stay: in 64-bit mode those of FS and GS count without a segment.
    func dropPrivilegedSegments() {
        for number in [Segment.es, Segment.ds, Segment.fs, Segment.gs] {
            let register = s.segment(number)
            let isNull = register.pointee.selector & 0xfffc == 0
            let isConforming = register.pointee.attributes & 0xc == 0xc
            guard isNull || !isConforming && register.pointee.dpl < s.cpu.pointee.cpl else { continue }
            register.pointee.selector = 0
            register.pointee.attributes = 0x100
            register.pointee.limit = 0
        }
    }

    // MARK: Instructions

    func moveFromSegment(_ p: P) -> P {
        let selector = UInt64(s.segment(Int(p.op.pointee.dst / 8 & 7)).pointee.selector)
        return store16(p, selector) ? following(p) : abort(s, p)
    }

    func moveToSegment(_ p: P) -> P {
        guard let selector = operand16(p) else { return abort(s, p) }
        let number = p.op.pointee.which
        guard loadSegment(number, selector) else { return abort(s, p) }
        return didLoad(number, p)
    }

    private func didLoad(_ number: Int, _ p: P) -> P {
        updateMode()
        // After a load of SS the stack pointer may follow (SDM volume 3, 6.8.3). Of loads in a row only the first holds events.
        if number == Segment.ss, !followsStackLoad {
            s.cpu.pointee.inShadow = true
            s.cpu.pointee.isStackShadow = true
        }
        return retire(s, p)
    }

    func pushSegment(_ p: P) -> P {
        let number = p.op.pointee.which
        let size = p.operandSize
        var stack = stack
        // With 32 bits the upper half of the slot is written too, as zero (SDM volume 2, PUSH).
        guard stack.push(self, UInt64(s.segment(number).pointee.selector), size) else { return abort(s, p) }
        s[Register.rsp] = stack.pointer
        return following(p)
    }

    func popSegment(_ p: P) -> P {
        let number = p.op.pointee.which
        var stack = stack
        guard let value = stack.pop(self, p.operandSize), loadSegment(number, UInt16(truncatingIfNeeded: value)) else {
            return abort(s, p)
        }
        s[Register.rsp] = stack.pointer
        return didLoad(number, p)
    }

    /// Offset, then selector. nil: a fault is left.
    func farPointer(_ p: P) -> (selector: UInt16, offset: UInt64)? {
        let address = linear(s, p)
        let offset: UInt64?
        switch p.operandSize {
        case 2: offset = s.read(p, address, as: UInt16.self).map { UInt64($0) }
        case 4: offset = s.read(p, address, as: UInt32.self).map { UInt64($0) }
        default: offset = s.read(p, address, as: UInt64.self)
        }
        guard let offset else { return nil }
        let second = (address &+ UInt64(p.operandSize)) & s.run.pointee.linearMask
        guard let selector = s.read(p, second, as: UInt16.self) else { return nil }
        return (selector, offset)
    }

    func loadFarPointer(_ p: P) -> P {
        let number = p.op.pointee.which
        guard let (selector, offset) = farPointer(p), loadSegment(number, selector) else { return abort(s, p) }
        put(p.op.pointee.dst, offset, size: p.operandSize)
        updateMode()
        return retire(s, p)
    }

    // MARK: Bases

    func readSegmentBase(_ p: P) -> P {
        guard s.cpu.pointee.cr4 & CR4.fsgsbase != 0 else { return raise(s, p, Vector.ud) }
        put(p.op.pointee.src, s.segment(p.op.pointee.which).pointee.base, size: p.operandSize)
        return following(p)
    }

    func writeSegmentBase(_ p: P) -> P {
        guard s.cpu.pointee.cr4 & CR4.fsgsbase != 0 else { return raise(s, p, Vector.ud) }
        let value = s[p.op.pointee.src] & (p.operandSize == 8 ? .max : 0xffff_ffff)
        guard SoftMemory.isCanonical(value) else { return raise(s, p, Vector.gp, code: 0) }
        setBase(p.op.pointee.which, value)
        return following(p)
    }

    /// Of FS or GS.
    func setBase(_ number: Int, _ base: UInt64) {
        s.segment(number).pointee.base = base
        s.segmentBases[number] = base
    }
}
