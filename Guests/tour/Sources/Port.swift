import Machine

/// How wide an access to a port or to memory is, in bits.
enum Width: UInt32 {
    case byte = 8, word = 16, double = 32

    var largest: UInt32 { UInt32.max >> (32 - rawValue) }
    /// Hexadecimal digits of a value this wide.
    var digits: UInt32 { rawValue / 4 }
}

/// One I/O port.
struct Port {
    let address: UInt16

    init(_ address: UInt16) { self.address = address }

    func read() -> UInt8 { port_in8(address) }
    func write(_ value: UInt8) { port_out8(address, value) }

    func read(_ width: Width) -> UInt32 {
        switch width {
        case .byte: UInt32(port_in8(address))
        case .word: UInt32(port_in16(address))
        case .double: port_in32(address)
        }
    }

    /// Writes the low `width` bits of `value`.
    func write(_ value: UInt32, _ width: Width) {
        switch width {
        case .byte: port_out8(address, UInt8(truncatingIfNeeded: value))
        case .word: port_out16(address, UInt16(truncatingIfNeeded: value))
        case .double: port_out32(address, value)
        }
    }
}
