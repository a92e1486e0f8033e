// x87: from an instruction to operations, and the handlers around CHost's functions (chost_x87.h). Source: SDM volume 1, chapter 8.
// An unmasked exception makes ES pending; the next waiting instruction raises #MF. Not modelled: FERR# and
// IRQ 13, by which CR0.NE clear reports it: nothing is raised then.
// The instruction and data pointers and the opcode are kept by every instruction that is none of control.

import CHost

/// Numbers of CHost's functions by table entry.
struct X87Functions {
    struct Function {
        var index: UInt16
        var isStore: Bool
    }
    let byEntry: [Function?]
    static let shared = X87Functions()

    private init() {
        var count = 0
        let table = ch_x87_table(&count)
        var names: [String: Function] = [:]
        for index in 0..<count {
            names[String(cString: table[index].name)] = Function(
                index: UInt16(truncatingIfNeeded: index), isStore: table[index].store != nil)
        }
        byEntry = InstructionTable.shared.entries.map { $0.flags.contains(.x87) ? names[X87Functions.name($0)] : nil }
    }

    /// CHost's name: the operation and the kind of its memory operand, or `To` where ST(i) is the destination.
    private static func name(_ entry: Entry) -> String {
        let name = "\(entry.mnemonic)"
        switch entry.operands.0 {
        case .Mf32: return name + "M32"
        case .Mf64: return name + "M64"
        case .Mf80: return name + "M80"
        case .Mi16, .Mi32, .Mi64:
            // FIADD, FICOM and the like are called as FADD and FCOM.
            let isArithmetic = [0xda, 0xde].contains(entry.opcode)
            let stem = isArithmetic ? "f" + name.dropFirst(2) : name
            return stem + (entry.operands.0 == .Mi16 ? "I16" : entry.operands.0 == .Mi32 ? "I32" : "I64")
        case .STi where entry.operands.1 == .ST && entry.opcode == 0xdc: return name + "To"
        default: return name
        }
    }
}

extension BlockBuilder {
    /// Makes the operations of an x87 instruction; false: it is none.
    mutating func emitX87(_ i: Instruction) -> Bool {
        guard i.flags.contains(.x87) else { return false }
        if i.mnemonic == .fwait {
            push(op(i, mode.contains(.waitBlocked) ? raiseNotAvailable : waitForX87))
            return true
        }
        if mode.contains(.x87Blocked) {
            push(op(i, raiseNotAvailable))
            return true
        }
        switch i.mnemonic {
        case .fnstcw, .fnstsw, .fnstenv, .fldenv, .fnsave, .frstor, .fldcw, .fnclex, .fninit: emitX87Control(i)
        case .fcmov: emitConditionalMove(i)
        // FNENI, FNDISI and FNSETPM, which do nothing, do not wait either.
        case .fnop where i.opcode == 0xdb: push(op(i, doNothing))
        default: emitX87Computation(i)
        }
        return true
    }

    private mutating func emitX87Computation(_ i: Instruction) {
        guard let function = X87Functions.shared.byEntry[i.entry] else {
            push(op(i, raiseUndefined))
            return
        }
        guard i.isMemory else {
            push(x87Op(i, x87Register, function.index))
            if [.fcomi, .fcomip, .fucomi, .fucomip].contains(i.mnemonic) { push(op(i, takeX87Flags)) }
            return
        }
        let size = i.operands.0.size(i.operandSize)
        var op = x87Op(i, function.isStore ? storeX87(size) : loadX87(size), function.index)
        setMemory(&op, i, size: UInt16(size), isWrite: function.isStore)
        op.src = i.segment
        push(op)
    }

    /// dst: the number of ST(i).
    private func x87Op(_ i: Instruction, _ handler: Handler, _ function: UInt16) -> Op {
        var op = op(i, handler)
        op.dst = i.rm & 7
        let modRM = UInt16(i.mod << 6 | (i.reg & 7) << 3 | i.rm & 7)
        (op.function, op.lastOpcode) = (UInt32(function), UInt16(i.opcode & 7) << 8 | modRM)
        return op
    }

    private mutating func emitConditionalMove(_ i: Instruction) {
        guard let function = X87Functions.shared.byEntry[i.entry] else {
            push(op(i, raiseUndefined))
            return
        }
        var op = x87Op(i, x87Conditional, function.index)
        // B, E, BE, U: conditions 2, 4, 6 and 10; with opcode DB their opposites.
        let condition: [UInt8] = [2, 4, 6, 10]
        op.condition = condition[Int(i.reg & 3)] | (i.opcode == 0xdb ? 1 : 0)
        push(op)
    }
}

// MARK: Handlers

private let doNothing: Handler = { s, p in next(s, p) }
let waitForX87: Handler = { s, p in s.x87IsPending ? raise(s, p, Vector.mf) : next(s, p) }

/// FIP and FOP, and with a memory operand FDP.
@inline(__always)
private func note(_ s: S, _ p: P) {
    let cpu = s.cpu
    cpu.pointee.x87.opcode = p.op.pointee.lastOpcode
    cpu.pointee.x87.instructionPointer = s.rip(at: p)
    cpu.pointee.x87.instructionSelector = cpu.pointee.segments.cs.selector
}

@inline(__always)
private func note(_ s: S, _ p: P, _ linear: UInt64) {
    note(s, p)
    let segment = Int(p.op.pointee.src)
    s.cpu.pointee.x87.dataPointer = (linear &- s.segmentBases[segment]) & s.run.pointee.linearMask
    s.cpu.pointee.x87.dataSelector = s.segment(segment).pointee.selector
}

private let x87Register: Handler = { s, p in
    if s.x87IsPending { return raise(s, p, Vector.mf) }
    ch_x87_run(p.op.pointee.function, s.x87, s.x87Registers, UInt32(p.op.pointee.dst), s.temporary)
    note(s, p)
    return next(s, p)
}

private let x87Conditional: Handler = { s, p in
    if s.x87IsPending { return raise(s, p, Vector.mf) }
    let holds: UInt32 = s.cpu.condition(p.op.pointee.condition) ? 8 : 0
    ch_x87_run(p.op.pointee.function, s.x87, s.x87Registers, UInt32(p.op.pointee.dst) | holds, s.temporary)
    note(s, p)
    return next(s, p)
}

/// FCOMI and relatives.
private let takeX87Flags: Handler = { s, p in
    s.cpu.setStatusFlags(s.temporary.load(as: UInt64.self))
    return next(s, p)
}

private func loadX87(_ size: UInt8) -> Handler {
    switch size {
    case 2: loadX87Word
    case 4: loadX87Double
    case 8: loadX87Quad
    default: loadX87Extended
    }
}

@inline(__always)
private func runX87<T: Word>(_ s: S, _ p: P, _: T.Type) -> P {
    if s.x87IsPending { return raise(s, p, Vector.mf) }
    let address = linear(s, p)
    guard let value = s.read(p, address, as: T.self) else { return abort(s, p) }
    s.temporary.storeBytes(of: value, as: T.self)
    ch_x87_run(p.op.pointee.function, s.x87, s.x87Registers, 0, s.temporary)
    note(s, p, address)
    return next(s, p)
}
private let loadX87Word: Handler = { s, p in runX87(s, p, UInt16.self) }
private let loadX87Double: Handler = { s, p in runX87(s, p, UInt32.self) }
private let loadX87Quad: Handler = { s, p in runX87(s, p, UInt64.self) }
private let loadX87Extended: Handler = { s, p in
    if s.x87IsPending { return raise(s, p, Vector.mf) }
    let address = linear(s, p)
    guard readBlock(s, p, address, 10, to: s.temporary) else { return abort(s, p) }
    ch_x87_run(p.op.pointee.function, s.x87, s.x87Registers, 0, s.temporary)
    note(s, p, address)
    return next(s, p)
}

private func storeX87(_ size: UInt8) -> Handler {
    switch size {
    case 2: storeX87Word
    case 4: storeX87Double
    case 8: storeX87Quad
    default: storeX87Extended
    }
}

/// Does the store to a copy of the control registers, which count only once memory is written.
@inline(__always)
private func storing(_ s: S, _ p: P, _ size: Int, _ write: (UInt64) -> Bool) -> P {
    if s.x87IsPending { return raise(s, p, Vector.mf) }
    let shadow = (s + Layout.x87Shadow).assumingMemoryBound(to: ch_x87.self)
    shadow.pointee = s.x87.pointee
    let address = linear(s, p)
    let isStored = ch_x87_store(p.op.pointee.function, shadow, s.x87Registers, s.temporary)
    // Where an unmasked exception forbids the store, the operand's faults still come first.
    guard isStored ? write(address) : canAccess(s, p, address, size, .write) else { return abort(s, p) }
    s.x87.pointee = shadow.pointee
    note(s, p, address)
    return next(s, p)
}
private let storeX87Word: Handler = { s, p in storing(s, p, 2) { s.write(p, $0, s.temporary.load(as: UInt16.self)) } }
private let storeX87Double: Handler = { s, p in storing(s, p, 4) { s.write(p, $0, s.temporary.load(as: UInt32.self)) } }
private let storeX87Quad: Handler = { s, p in storing(s, p, 8) { s.write(p, $0, s.temporary.load(as: UInt64.self)) } }
private let storeX87Extended: Handler = { s, p in storing(s, p, 10) { writeBlock(s, p, $0, 10, from: s.temporary) } }
