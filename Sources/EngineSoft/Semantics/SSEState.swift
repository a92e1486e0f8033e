// FXSAVE, FXRSTOR, XSAVE, XSAVEOPT, XRSTOR, LDMXCSR and STMXCSR. Source: SDM volume 1, chapters 10.5 and 13, and volume 2.
// XSAVE takes every component of XCR0 as in use, which 13.6 allows, so that XSAVEOPT saves what XSAVE does. Components: x87 and SSE;
// the compacted form (XSAVEC) is not there. FXSAVE leaves what it does not define, bytes 416 to 511, as it was.

import CHost

/// Places in the image (SDM volume 1, table 10-2).
private enum Area {
    static let tags = 4, opcode = 6, instruction = 8, data = 16, mxcsr = 24, mask = 28, registers = 32, vectors = 160
    static let legacySize = 512, header = 512, size = 576
    /// Every bit that MXCSR has.
    static let mxcsrMask: UInt32 = 0xffff
}

/// An operand size of 8, as `general` sets it, is REX.W.
private struct Save {
    let s: S
    let is64: Bool
    let isWide: Bool
    var image: UnsafeMutableRawPointer { s + Layout.image }
    var vectorBytes: Int { is64 ? 256 : 128 }

    init(_ s: S, _ p: P) {
        self.s = s
        is64 = s.run.pointee.mode.contains(.code64)
        isWide = p.op.pointee.size == 8
    }

    private func put<T: Word>(_ offset: Int, _ value: T) {
        image.storeBytes(of: value, toByteOffset: offset, as: T.self)
    }
    private func get<T: Word>(_ offset: Int, _: T.Type) -> T { image.load(fromByteOffset: offset, as: T.self) }

    func putX87() {
        let x = s.cpu.pointee.x87
        put(0, x.control)
        put(2, x.status)
        put(Area.tags, UInt16(x.notEmpty))
        put(Area.opcode, x.opcode)
        putPointer(Area.instruction, x.instructionPointer, x.instructionSelector)
        putPointer(Area.data, x.dataPointer, x.dataSelector)
        for number in 0..<8 {
            let from = registerPlace(number, x.status)
            put(Area.registers + number * 16, from.load(as: UInt64.self))
            put(Area.registers + number * 16 + 8, UInt64(from.load(fromByteOffset: 8, as: UInt16.self)))
        }
    }

    private func putPointer(_ offset: Int, _ address: UInt64, _ selector: UInt16) {
        put(offset, isWide ? address : address & 0xffff_ffff | UInt64(selector) << 32)
    }

    private func registerPlace(_ number: Int, _ status: UInt16) -> UnsafeMutableRawPointer {
        s + Layout.x87 + ((Int(status >> 11) + number) & 7) * 16
    }

    func takeX87() {
        var x = X87Control()
        x.control = get(0, UInt16.self) & 0x1f3f | 0x40
        x.status = get(2, UInt16.self)
        x.notEmpty = get(Area.tags, UInt8.self)
        x.opcode = get(Area.opcode, UInt16.self) & 0x7ff
        (x.instructionPointer, x.instructionSelector) = takePointer(Area.instruction)
        (x.dataPointer, x.dataSelector) = takePointer(Area.data)
        s.cpu.pointee.x87 = x
        for number in 0..<8 {
            let to = registerPlace(number, x.status)
            to.storeBytes(of: get(Area.registers + number * 16, UInt64.self), as: UInt64.self)
            to.storeBytes(of: get(Area.registers + number * 16 + 8, UInt16.self), toByteOffset: 8, as: UInt16.self)
        }
        ch_x87_summarize(s.x87)
    }

    private func takePointer(_ offset: Int) -> (UInt64, UInt16) {
        let value = get(offset, UInt64.self)
        return isWide ? (value, 0) : (value & 0xffff_ffff, UInt16(truncatingIfNeeded: value >> 32))
    }

    func initializeX87() {
        ch_x87_init(s.x87)
        (s + Layout.x87).initializeMemory(as: UInt8.self, repeating: 0, count: 128)
    }

    func putMXCSR() {
        put(Area.mxcsr, s.cpu.pointee.mxcsr)
        put(Area.mask, Area.mxcsrMask)
    }

    /// nil: reserved bits are set.
    func checkedMXCSR() -> UInt32? {
        let value = get(Area.mxcsr, UInt32.self)
        return value & ~Area.mxcsrMask == 0 ? value : nil
    }

    func putVectors() { s.copyVectors(to: image + Area.vectors, count: vectorBytes / 16) }
    func takeVectors() { s.copyVectors(from: image + Area.vectors, count: vectorBytes / 16) }
    func initializeVectors() {
        (s + Layout.vectors).initializeMemory(as: UInt8.self, repeating: 0, count: vectorBytes * 4)
    }
}

extension BlockBuilder {
    mutating func emitState(_ i: Instruction) {
        switch i.mnemonic {
        case .fxsave, .fxrstor:
            if mode.contains(.x87Blocked) {
                push(op(i, raiseNotAvailable))
                return
            }
            let isSave = i.mnemonic == .fxsave
            general(i, isSave ? fxsave : fxrstor, size: 512, isWrite: isSave)
        case .ldmxcsr: general(i, ldmxcsr, size: 4)
        case .stmxcsr: general(i, stmxcsr, size: 4, isWrite: true)
        case .xrstor: general(i, xrstor, size: 576)
        default: general(i, xsave, size: 576, isWrite: true)
        }
    }
}

private let fxsave: Handler = { s, p in
    let address = linear(s, p)
    if address & 15 != 0 { return raise(s, p, Vector.gp, code: 0) }
    let save = Save(s, p)
    save.putX87()
    save.putMXCSR()
    save.putVectors()
    return writeBlock(s, p, address, Area.vectors + save.vectorBytes, from: save.image) ? next(s, p) : abort(s, p)
}

private let fxrstor: Handler = { s, p in
    let address = linear(s, p)
    if address & 15 != 0 { return raise(s, p, Vector.gp, code: 0) }
    let save = Save(s, p)
    guard readBlock(s, p, address, Area.legacySize, to: save.image) else { return abort(s, p) }
    guard let mxcsr = save.checkedMXCSR() else { return raise(s, p, Vector.gp, code: 0) }
    save.takeX87()
    save.takeVectors()
    s.cpu.pointee.mxcsr = mxcsr
    return next(s, p)
}

private let ldmxcsr: Handler = { s, p in
    guard let value = s.read(p, linear(s, p), as: UInt32.self) else { return abort(s, p) }
    if value & ~Area.mxcsrMask != 0 { return raise(s, p, Vector.gp, code: 0) }
    s.cpu.pointee.mxcsr = value
    return next(s, p)
}

private let stmxcsr: Handler = { s, p in
    s.write(p, linear(s, p), s.cpu.pointee.mxcsr) ? next(s, p) : abort(s, p)
}

// MARK: XSAVE

/// What all of them raise before anything else; nil: nothing.
private func refuseXSAVE(_ s: S, _ address: UInt64) -> UInt8? {
    if s.cpu.pointee.cr4 & CR4.osxsave == 0 { return Vector.ud }
    if s.cpu.pointee.cr0 & CR0.ts != 0 { return Vector.nm }
    return address & 63 != 0 ? Vector.gp : nil
}

private func refuse(_ s: S, _ p: P, _ vector: UInt8) -> P {
    vector == Vector.gp ? raise(s, p, vector, code: 0) : raise(s, p, vector)
}

/// The components that the instruction names and the system has enabled.
private func requested(_ s: S) -> UInt64 {
    let mask = s[Register.rdx] << 32 | s[Register.rax] & 0xffff_ffff
    return mask & s.cpu.pointee.xcr0
}

/// XSAVE and XSAVEOPT.
private let xsave: Handler = { s, p in
    let address = linear(s, p)
    if let vector = refuseXSAVE(s, address) { return refuse(s, p, vector) }
    let save = Save(s, p)
    let components = requested(s)
    // Parts that are not asked for keep their bytes.
    guard canAccess(s, p, address, Area.size, .write), readBlock(s, p, address, Area.header + 8, to: save.image) else {
        return abort(s, p)
    }
    if components & 1 != 0 { save.putX87() }
    if components & 2 != 0 { save.putVectors() }
    if components & 6 != 0 { save.putMXCSR() }
    let old = save.image.load(fromByteOffset: Area.header, as: UInt64.self)
    save.image.storeBytes(of: old | components, toByteOffset: Area.header, as: UInt64.self)
    return writeSaved(s, p, address, components, save) ? next(s, p) : abort(s, p)
}

/// Only what was asked for is written.
private func writeSaved(_ s: S, _ p: P, _ address: UInt64, _ components: UInt64, _ save: Save) -> Bool {
    func write(_ offset: Int, _ count: Int) -> Bool {
        writeBlock(s, p, (address &+ UInt64(offset)) & s.run.pointee.linearMask, count, from: save.image + offset)
    }
    if components & 1 != 0 {
        guard write(0, Area.mxcsr), write(Area.registers, 128) else { return false }
    }
    if components & 6 != 0, !write(Area.mxcsr, 8) { return false }
    if components & 2 != 0, !write(Area.vectors, save.vectorBytes) { return false }
    return write(Area.header, 8)
}

private let xrstor: Handler = { s, p in
    let address = linear(s, p)
    if let vector = refuseXSAVE(s, address) { return refuse(s, p, vector) }
    let save = Save(s, p)
    guard readBlock(s, p, address, Area.size, to: save.image) else { return abort(s, p) }
    let present = save.image.load(fromByteOffset: Area.header, as: UInt64.self)
    let form = save.image.load(fromByteOffset: Area.header + 8, as: UInt64.self)
    let reserved = save.image.load(fromByteOffset: Area.header + 16, as: UInt64.self)
    if present & ~s.cpu.pointee.xcr0 != 0 || form != 0 || reserved != 0 { return raise(s, p, Vector.gp, code: 0) }
    let components = requested(s)
    if components & 6 != 0 {
        guard let mxcsr = save.checkedMXCSR() else { return raise(s, p, Vector.gp, code: 0) }
        s.cpu.pointee.mxcsr = mxcsr
    }
    if components & 1 != 0 {
        if present & 1 != 0 { save.takeX87() } else { save.initializeX87() }
    }
    if components & 2 != 0 {
        if present & 2 != 0 { save.takeVectors() } else { save.initializeVectors() }
    }
    return next(s, p)
}
