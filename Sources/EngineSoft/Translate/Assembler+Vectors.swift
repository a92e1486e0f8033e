// SSE instructions, and what moves flags and control between registers.

extension Assembler {
    /// An SSE instruction by its mandatory prefix and opcode; `reg` and a register as `operand` are XMM or general ones, as the opcode has it.
    mutating func vector(
        prefix: UInt8?, _ map: OpcodeMap, _ opcode: UInt8, isWide: Bool = false, reg: UInt8, _ operand: VectorOperand
    ) {
        if let prefix { bytes.append(prefix) }
        var rex: UInt8 = isWide ? 0x48 : 0
        if reg & 8 != 0 { rex |= 0x44 }
        let place: Operand
        switch operand {
        case .register(let number):
            if number & 8 != 0 { rex |= 0x41 }
            place = .register(HostRegister(rawValue: number & 15).unsafelyUnwrapped)
        case .memory(let address):
            if address.base.rawValue & 8 != 0 { rex |= 0x41 }
            place = .memory(address)
        }
        if rex != 0 { bytes.append(rex) }
        bytes.append(0x0f)
        if map == .three38 { bytes.append(0x38) }
        if map == .three3A { bytes.append(0x3a) }
        bytes.append(opcode)
        modRM(reg, place)
    }

    enum VectorOperand {
        case register(UInt8)
        /// Without an index.
        case memory(HostAddress)
    }

    mutating func byte(_ value: UInt8) { bytes.append(value) }

    /// LDMXCSR, STMXCSR
    mutating func loadVectorControl(_ place: HostAddress) { encode(.double, 0x0fae, reg: 2, .memory(place)) }
    mutating func storeVectorControl(_ place: HostAddress) { encode(.double, 0x0fae, reg: 3, .memory(place)) }

    /// SF, ZF, AF, PF and CF from AH.
    mutating func sahf() { bytes.append(0x9e) }
    mutating func lahf() { bytes.append(0x9f) }

    /// SF, ZF, PF and CF from bits 15:8 of a place, OF clear. R11 is lost.
    mutating func flagsOfImage(_ place: HostAddress) {
        mov(.quad, .r11, .rax)
        mov(.quad, .rax, place)
        test(.double, .r11, .r11)
        sahf()
        mov(.quad, .rax, .r11)
    }

    /// Rotates without flags (BMI2).
    mutating func rorx(_ width: Width, _ to: HostRegister, _ from: HostRegister, _ count: UInt8) {
        let (r, b) = (to.rawValue >> 3, from.rawValue >> 3)
        bytes += [0xc4, (r ^ 1) << 7 | 0x40 | (b ^ 1) << 5 | 3, width == .quad ? 0xfb : 0x7b, 0xf0]
        bytes += [0xc0 | (to.rawValue & 7) << 3 | from.rawValue & 7, count]
    }
}
