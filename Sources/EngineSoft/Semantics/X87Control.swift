// x87: control and status words, the environment and the whole state. Source: SDM volume 1, 8.1.10 and figures 8-9 to 8-12.
// FNSTCW, FNSTSW, FNSTENV, FNSAVE, FNCLEX and FNINIT do not look for pending exceptions.

import CHost

extension BlockBuilder {
    mutating func emitX87Control(_ i: Instruction) {
        let isWide = i.operandSize != 2
        switch i.mnemonic {
        case .fnstcw: general(i, fnstcw, size: 2, isWrite: true)
        case .fnstsw:
            if i.isMemory { general(i, fnstsw, size: 2, isWrite: true) } else { push(op(i, fnstswAX)) }
        case .fldcw: general(i, fldcw, size: 2)
        case .fnclex: push(op(i, fnclex))
        case .fninit: push(op(i, fninit))
        case .fnstenv: general(i, fnstenv, size: isWide ? 28 : 14, isWrite: true)
        case .fldenv: general(i, fldenv, size: isWide ? 28 : 14)
        case .fnsave: general(i, fnsave, size: isWide ? 108 : 94, isWrite: true)
        default: general(i, frstor, size: isWide ? 108 : 94)
        }
    }
}

private let fnstcw: Handler = { s, p in
    s.write(p, linear(s, p), s.cpu.pointee.x87.control) ? next(s, p) : abort(s, p)
}

private let fnstsw: Handler = { s, p in
    s.write(p, linear(s, p), s.cpu.pointee.x87.status) ? next(s, p) : abort(s, p)
}

private let fnstswAX: Handler = { s, p in
    s.put(Register.rax, s.cpu.pointee.x87.status)
    return next(s, p)
}

private let fldcw: Handler = { s, p in
    if s.x87IsPending { return raise(s, p, Vector.mf) }
    guard let control = s.read(p, linear(s, p), as: UInt16.self) else { return abort(s, p) }
    setControl(s, control)
    return next(s, p)
}

private func setControl(_ s: S, _ control: UInt16) {
    s.cpu.pointee.x87.control = control & 0x1f3f | 0x40
    ch_x87_summarize(s.x87)
}

private let fnclex: Handler = { s, p in
    s.cpu.pointee.x87.status &= 0x7f00
    return next(s, p)
}

private let fninit: Handler = { s, p in
    ch_x87_init(s.x87)
    return next(s, p)
}

// MARK: The environment

/// Its form: 16 or 32 bits, of real (and virtual-8086) or protected mode.
private struct Environment {
    let s: S
    let isWide: Bool
    let isProtected: Bool
    var image: UnsafeMutableRawPointer { s + Layout.image }
    var size: Int { isWide ? 28 : 14 }

    /// The operand size is as `general` sets it.
    init(_ s: S, _ p: P) {
        self.s = s
        isWide = p.op.pointee.size != 2
        isProtected = s.run.pointee.mode.contains(.protected)
    }

    private func put(_ field: Int, _ value: UInt32) {
        if isWide {
            image.storeBytes(of: value, toByteOffset: field * 4, as: UInt32.self)
        } else {
            image.storeBytes(of: UInt16(truncatingIfNeeded: value), toByteOffset: field * 2, as: UInt16.self)
        }
    }

    private func get(_ field: Int) -> UInt32 {
        isWide
            ? image.load(fromByteOffset: field * 4, as: UInt32.self)
            : UInt32(image.load(fromByteOffset: field * 2, as: UInt16.self))
    }

    /// The upper halves of the three words are all ones (as processors store what is reserved).
    func store() {
        let x = s.cpu.pointee.x87
        let reserved: UInt32 = 0xffff_0000
        put(0, UInt32(x.control) | reserved)
        put(1, UInt32(x.status) | reserved)
        put(2, UInt32(ch_x87_tags(s.x87, s.x87Registers)) | reserved)
        let instruction = UInt32(truncatingIfNeeded: x.instructionPointer)
        let data = UInt32(truncatingIfNeeded: x.dataPointer)
        if isProtected {
            put(3, instruction)
            put(4, UInt32(x.instructionSelector) | UInt32(x.opcode) << 16)
            put(5, data)
            put(6, UInt32(x.dataSelector) | reserved)
            return
        }
        let first = instruction &+ UInt32(x.instructionSelector) << 4
        let second = data &+ UInt32(x.dataSelector) << 4
        put(3, first & 0xffff)
        put(4, isWide ? (first >> 16) << 12 | UInt32(x.opcode) : (first >> 16 & 15) << 12 | UInt32(x.opcode))
        put(5, second & 0xffff)
        put(6, isWide ? (second >> 16) << 12 : (second >> 16 & 15) << 12)
    }

    func load() {
        var x = X87Control()
        x.control = UInt16(truncatingIfNeeded: get(0)) & 0x1f3f | 0x40
        x.status = UInt16(truncatingIfNeeded: get(1))
        let tags = get(2)
        x.notEmpty = 0
        for number in 0..<8 where tags >> UInt32(number * 2) & 3 != 3 { x.notEmpty |= 1 << UInt8(number) }
        if isProtected {
            x.instructionPointer = UInt64(get(3))
            x.instructionSelector = UInt16(truncatingIfNeeded: get(4))
            x.opcode = isWide ? UInt16(truncatingIfNeeded: get(4) >> 16) & 0x7ff : s.cpu.pointee.x87.opcode
            x.dataPointer = UInt64(get(5))
            x.dataSelector = UInt16(truncatingIfNeeded: get(6))
        } else {
            x.instructionPointer = UInt64(get(3) & 0xffff | (get(4) >> 12) << 16)
            x.opcode = UInt16(truncatingIfNeeded: get(4)) & 0x7ff
            x.dataPointer = UInt64(get(5) & 0xffff | (get(6) >> 12) << 16)
        }
        s.cpu.pointee.x87 = x
        ch_x87_summarize(s.x87)
    }

    /// ST(0) to ST(7), 10 bytes each, behind the environment.
    func storeRegisters() {
        for number in 0..<8 {
            (image + size + number * 10).copyMemory(from: register(number), byteCount: 10)
        }
    }

    func loadRegisters() {
        for number in 0..<8 {
            register(number).copyMemory(from: image + size + number * 10, byteCount: 10)
        }
    }

    private func register(_ number: Int) -> UnsafeMutableRawPointer {
        s + Layout.x87 + ((Int(s.cpu.pointee.x87.status >> 11) + number) & 7) * 16
    }
}

private let fnstenv: Handler = { s, p in
    let environment = Environment(s, p)
    environment.store()
    guard writeBlock(s, p, linear(s, p), environment.size, from: environment.image) else { return abort(s, p) }
    // All exceptions are masked then.
    setControl(s, s.cpu.pointee.x87.control | 0x3f)
    return next(s, p)
}

private let fldenv: Handler = { s, p in
    if s.x87IsPending { return raise(s, p, Vector.mf) }
    let environment = Environment(s, p)
    guard readBlock(s, p, linear(s, p), environment.size, to: environment.image) else { return abort(s, p) }
    environment.load()
    return next(s, p)
}

private let fnsave: Handler = { s, p in
    let environment = Environment(s, p)
    environment.store()
    environment.storeRegisters()
    guard writeBlock(s, p, linear(s, p), environment.size + 80, from: environment.image) else { return abort(s, p) }
    ch_x87_init(s.x87)
    return next(s, p)
}

private let frstor: Handler = { s, p in
    if s.x87IsPending { return raise(s, p, Vector.mf) }
    let environment = Environment(s, p)
    guard readBlock(s, p, linear(s, p), environment.size + 80, to: environment.image) else { return abort(s, p) }
    environment.load()
    environment.loadRegisters()
    return next(s, p)
}
