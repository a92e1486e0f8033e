// MMX and SSE: from an instruction to operations. Those on registers are CHost's (chost_simd.h): a memory operand is loaded into a
// temporary register by an operation before. Loads and stores are in SSEMemory.swift, the state's images in SSEState.swift.
// Source: SDM volume 2. A pending x87 exception raises #MF as `x87IsPending` says.

import CHost

/// CHost's handlers by table entry.
struct VectorHandlers {
    private(set) var byEntry: [Handler?]
    private let byName: [String: ch_simd_entry]
    /// SAFETY: the entries are static data of CHost, changed by nobody.
    nonisolated(unsafe) static let shared = VectorHandlers()

    private init() {
        var count = 0
        let table = ch_simd_table(&count)
        var names: [String: ch_simd_entry] = [:]
        for index in 0..<count { names[String(cString: table[index].name)] = table[index] }
        byName = names
        byEntry = InstructionTable.shared.entries.map { entry in
            guard !entry.flags.isDisjoint(with: [.sse, .mmx]), let found = names[VectorHandlers.name(entry)] else {
                return nil
            }
            return VectorHandlers.isMMX(entry) ? found.mmx : found.vector ?? found.mmx
        }
    }

    /// An operand is an MMX register.
    static func isMMX(_ entry: Entry) -> Bool {
        [entry.operands.0, entry.operands.1].contains { [.Pq, .Qq, .Qd, .Nq].contains($0) }
    }

    /// What CHost calls it.
    private static func name(_ entry: Entry) -> String {
        switch entry.mnemonic {
        case .movups, .movapd, .movupd, .movdqa, .movdqu: return "movaps"
        case .movd: return entry.operands.0 == .Ey ? "movdFrom" : "movdTo"
        case .extractps: return "pextrd"
        default: break
        }
        let isShift = entry.operands.1 == .Ib && (entry.operands.0 == .Udq || entry.operands.0 == .Nq)
        let isWhole = entry.mnemonic == .psrldq || entry.mnemonic == .pslldq
        return "\(entry.mnemonic)" + (isShift && !isWhole ? "Imm" : "")
    }

    func named(_ name: String, isMMX: Bool) -> Handler? {
        guard let entry = byName[name] else { return nil }
        return isMMX ? entry.mmx : entry.vector
    }
}

extension BlockBuilder {
    /// Makes the operations of an MMX or SSE instruction; false: it is none.
    mutating func emitVector(_ i: Instruction) -> Bool {
        switch i.mnemonic {
        case .fxsave, .fxrstor, .xsave, .xrstor, .xsaveopt:
            emitState(i)
            return true
        default: break
        }
        guard !i.flags.isDisjoint(with: [.sse, .mmx]) else { return false }
        if let refusal = vectorRefusal(i) {
            push(op(i, refusal))
            return true
        }
        if i.mnemonic == .ldmxcsr || i.mnemonic == .stmxcsr {
            emitState(i)
        } else if i.mnemonic == .maskmovdqu || i.mnemonic == .maskmovq {
            emitMaskedStore(i)
        } else if !emitMove(i) {
            emitComputation(i)
        }
        return true
    }

    /// What the mode raises (SDM volume 3, tables 2-2 and 13-1).
    private func vectorRefusal(_ i: Instruction) -> Handler? {
        if i.flags.contains(.sse) {
            if mode.contains(.sseUndefined) { return raiseUndefined }
            if mode.contains(.sseBlocked) { return raiseNotAvailable }
        }
        if i.flags.contains(.mmx) {
            if mode.contains(.mmxUndefined) { return raiseUndefined }
            if mode.contains(.x87Blocked) { return raiseNotAvailable }
        }
        return nil
    }

    // MARK: Operations on registers

    private var faultPointer: UInt64 {
        UInt64(UInt(bitPattern: unsafeBitCast(raiseVectorFault, to: UnsafeRawPointer.self)))
    }

    /// An operation of CHost's on registers by place (VectorRegister) or byte offset.
    func vectorOp(_ i: Instruction, _ handler: Handler, _ dst: UInt8, _ src: UInt8, _ immediate: UInt8 = 0) -> Op {
        var op = op(i, handler)
        op.dst = dst
        op.src = src
        op.imm64 = faultPointer
        op.setVector(immediate: immediate, isWide: i.rexW)
        return op
    }

    /// The register of an operand that is no memory.
    func vectorRegister(_ operand: Operand, _ i: Instruction) -> UInt8 {
        switch operand {
        case .Vdq: VectorRegister.xmm(i.reg)
        case .Wdq, .Wq, .Wd, .Ww, .Udq: VectorRegister.xmm(i.rm)
        case .Pq: VectorRegister.mmx(i.reg)
        case .Qq, .Qd, .Nq: VectorRegister.mmx(i.rm)
        case .Gd, .Gy, .Gv: i.reg * 8
        default: i.rm * 8
        }
    }

    private mutating func emitComputation(_ i: Instruction) {
        guard let handler = VectorHandlers.shared.byEntry[i.entry] else {
            push(op(i, raiseUndefined))
            return
        }
        var immediate = UInt8(truncatingIfNeeded: i.immediate)
        let (first, second) = (i.operands.0, i.operands.1)
        if second == .Ib || second == .none {
            let register = vectorRegister(first, i)
            push(vectorOp(i, handler, register, register, immediate))
            return
        }
        if first == .Gy || first == .Ey || second == .Ey, i.operands.2 == .none {
            immediate = i.operandSize == 8 ? 8 : 4
        }
        var source = vectorRegister(second, i)
        if i.isMemory {
            source = loadSource(i, second)
            // INSERTPS takes the number of the source's element from its register only.
            if i.mnemonic == .insertps { immediate &= 0x3f }
        }
        // With REX.W, PINSRD is PINSRQ and PEXTRD PEXTRQ.
        var chosen = handler
        if i.rexW, i.mnemonic == .pinsrd || i.mnemonic == .pextrd {
            chosen = VectorHandlers.shared.named(i.mnemonic == .pinsrd ? "pinsrq" : "pextrq", isMMX: false) ?? handler
        }
        push(vectorOp(i, chosen, vectorRegister(first, i), source, immediate))
        switch i.mnemonic {
        case .comiss, .comisd, .ucomiss, .ucomisd, .ptest, .pcmpestri, .pcmpestrm, .pcmpistri, .pcmpistrm:
            push(op(i, takeComparedFlags))
        default: break
        }
    }

    /// Loads the memory operand; the register that has it.
    private mutating func loadSource(_ i: Instruction, _ operand: Operand) -> UInt8 {
        // A pending x87 exception comes before the access; conversions from memory leave the x87 alone.
        let isConversion = i.mnemonic == .cvtpi2ps || i.mnemonic == .cvtpi2pd
        if !isConversion, VectorHandlers.isMMX(i.operands),
            let check = VectorHandlers.shared.named("check", isMMX: true)
        {
            push(vectorOp(i, check, 0, 0))
        }
        switch operand {
        case .Ey, .Ed, .Eb, .Mb, .Mw:
            let size = operand.size(i.operandSize)
            pushVectorMemory(i, loadInteger(size), Register.integerTemporary, size: size, isWrite: false)
            return Register.integerTemporary
        default:
            let size = operand.size(i.operandSize)
            let handler = loadVector(size, isAligned: i.flags.contains(.aligned))
            pushVectorMemory(i, handler, VectorRegister.temporary, size: size, isWrite: false)
            return VectorRegister.temporary
        }
    }

    /// An operation that loads or stores a register by place or byte offset.
    mutating func pushVectorMemory(_ i: Instruction, _ handler: Handler, _ register: UInt8, size: UInt8, isWrite: Bool)
    {
        var op = op(i, handler)
        setMemory(&op, i, size: UInt16(size), isWrite: isWrite)
        op.dst = register
        op.src = register
        op.size = size
        op.imm = Int32(truncatingIfNeeded: i.immediate & 0xff)
        push(op)
    }
}

extension VectorHandlers {
    static func isMMX(_ operands: (Operand, Operand, Operand)) -> Bool {
        [operands.0, operands.1].contains { [.Pq, .Qq, .Qd, .Nq].contains($0) }
    }
}

// MARK: Handlers

let raiseNotAvailable: Handler = { s, p in raise(s, p, Vector.nm) }

/// What a handler of CHost's has found: #MF, or #XM, which is #UD where the system has not enabled it.
private let raiseVectorFault: Handler = { s, p in
    let vector = s.load(fromByteOffset: Layout.raisedVector, as: UInt8.self)
    let isEnabled = vector == Vector.mf || s.cpu.pointee.cr4 & CR4.osxmmexcpt != 0
    return raise(s, p, isEnabled ? vector : Vector.ud)
}

/// After a comparison: the flags are those that it left.
let takeComparedFlags: Handler = { s, p in
    s.cpu.setStatusFlags(s.load(fromByteOffset: Layout.comparedFlags, as: UInt64.self))
    return next(s, p)
}
