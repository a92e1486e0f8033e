// Moves, loads and stores, extensions, exchanges.

extension Assembler {
    mutating func mov(_ width: Width, _ to: HostRegister, _ from: HostRegister) {
        encode(width, sized(width, 0x89), reg: from.rawValue, .register(to), bytes: byteRegisters(width, to, from))
    }

    mutating func mov(_ width: Width, _ to: HostRegister, _ from: HostAddress) {
        encode(width, sized(width, 0x8b), reg: to.rawValue, .memory(from), bytes: byteRegisters(width, to))
    }

    mutating func mov(_ width: Width, _ to: HostAddress, _ from: HostRegister) {
        encode(width, sized(width, 0x89), reg: from.rawValue, .memory(to), bytes: byteRegisters(width, from))
    }

    /// `value` is sign-extended to 8 bytes.
    mutating func mov(_ width: Width, _ to: HostAddress, _ value: Int32) {
        encode(width, sized(width, 0xc7), reg: 0, .memory(to))
        immediate(width, value)
    }

    mutating func mov(_ width: Width, _ to: HostRegister, _ value: Int32) {
        encode(width, sized(width, 0xc7), reg: 0, .register(to), bytes: byteRegisters(width, to))
        immediate(width, value)
    }

    /// All 64 bits, by the shortest form.
    mutating func load(_ to: HostRegister, _ value: UInt64) {
        if value >> 32 == 0 {
            if to.rawValue & 8 != 0 { bytes.append(0x41) }
            bytes.append(0xb8 | to.rawValue & 7)
            little(UInt32(truncatingIfNeeded: value))
        } else if let signed = Int32(exactly: Int64(bitPattern: value)) {
            mov(.quad, to, signed)
        } else {
            bytes.append(to.rawValue & 8 != 0 ? 0x49 : 0x48)
            bytes.append(0xb8 | to.rawValue & 7)
            little(value)
        }
    }

    /// MOVZX, MOVSX, MOVSXD, or for 4 bytes without sign MOV.
    mutating func extend(signed: Bool, from: Width, _ to: Width, _ register: HostRegister, _ source: HostRegister) {
        encode(
            from == .double && !signed ? .double : to, extension: signed, from, reg: register.rawValue,
            .register(source),
            byteRegisters(from, source))
    }

    mutating func extend(signed: Bool, from: Width, _ to: Width, _ register: HostRegister, _ source: HostAddress) {
        encode(
            from == .double && !signed ? .double : to, extension: signed, from, reg: register.rawValue, .memory(source),
            [])
    }

    mutating func encode(
        _ to: Width, extension signed: Bool, _ from: Width, reg: UInt8, _ operand: Operand, _ registers: [UInt8]
    ) {
        switch from {
        case .byte: encode(to, signed ? 0x0fbe : 0x0fb6, reg: reg, operand, bytes: registers)
        case .word: encode(to, signed ? 0x0fbf : 0x0fb7, reg: reg, operand)
        case .double, .quad: encode(to, signed ? 0x63 : 0x8b, reg: reg, operand)
        }
    }

    mutating func lea(_ width: Width, _ to: HostRegister, _ address: HostAddress) {
        encode(width, 0x8d, reg: to.rawValue, .memory(address))
    }

    mutating func push(_ register: HostRegister) {
        if register.rawValue & 8 != 0 { bytes.append(0x41) }
        bytes.append(0x50 | register.rawValue & 7)
    }

    mutating func pop(_ register: HostRegister) {
        if register.rawValue & 8 != 0 { bytes.append(0x41) }
        bytes.append(0x58 | register.rawValue & 7)
    }

    mutating func cmov(_ condition: HostCondition, _ width: Width, _ to: HostRegister, _ from: HostRegister) {
        encode(width, 0x0f40 | UInt32(condition.rawValue), reg: to.rawValue, .register(from))
    }

    mutating func cmov(_ condition: HostCondition, _ width: Width, _ to: HostRegister, _ from: HostAddress) {
        encode(width, 0x0f40 | UInt32(condition.rawValue), reg: to.rawValue, .memory(from))
    }

    mutating func set(_ condition: HostCondition, _ to: HostAddress) {
        encode(.byte, 0x0f90 | UInt32(condition.rawValue), reg: 0, .memory(to))
    }

    /// With memory, as one access that others see whole.
    mutating func xchg(_ width: Width, _ a: HostAddress, _ b: HostRegister) {
        encode(width, sized(width, 0x87), reg: b.rawValue, .memory(a), bytes: byteRegisters(width, b))
    }

    mutating func xadd(_ width: Width, _ a: HostAddress, _ b: HostRegister) {
        encode(width, sized(width, 0x0fc1), reg: b.rawValue, .memory(a), bytes: byteRegisters(width, b))
    }

    mutating func cmpxchg(_ width: Width, _ a: HostAddress, _ b: HostRegister) {
        encode(width, sized(width, 0x0fb1), reg: b.rawValue, .memory(a), bytes: byteRegisters(width, b))
    }

    /// Before an instruction that writes memory.
    mutating func lock() { bytes.append(0xf0) }

    mutating func bswap(_ width: Width, _ a: HostRegister) {
        var rex: UInt8 = width == .quad ? 0x48 : 0
        if a.rawValue & 8 != 0 { rex |= 0x41 }
        if rex != 0 { bytes.append(rex) }
        bytes += [0x0f, 0xc8 | a.rawValue & 7]
    }

    /// CBW, CWDE, CDQE; and with `isDouble` CWD, CDQ, CQO.
    mutating func extendAccumulator(_ width: Width, isDouble: Bool) {
        if width == .word { bytes.append(0x66) }
        if width == .quad { bytes.append(0x48) }
        bytes.append(isDouble ? 0x99 : 0x98)
    }

    mutating func set(_ condition: HostCondition, _ to: HostRegister) {
        encode(.byte, 0x0f90 | UInt32(condition.rawValue), reg: 0, .register(to), bytes: [to.rawValue])
    }
}
