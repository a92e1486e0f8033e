import Machine

/// Physical memory, by address. There is no paging; segments are flat.
enum Memory {
    static func read(_ address: UInt32, _ width: Width) -> UInt32 {
        switch width {
        case .byte: UInt32(memory_read8(address))
        case .word: UInt32(memory_read16(address))
        case .double: memory_read32(address)
        }
    }

    /// Writes the low `width` bits of `value`.
    static func write(_ address: UInt32, _ value: UInt32, _ width: Width) {
        switch width {
        case .byte: memory_write8(address, UInt8(truncatingIfNeeded: value))
        case .word: memory_write16(address, UInt16(truncatingIfNeeded: value))
        case .double: memory_write32(address, value)
        }
    }
}

/// A piece of the sector memory that entry.S reserves: 9 sectors of 512 bytes.
struct Buffer {
    static let sectorSize: UInt32 = 512

    static let identity = Buffer(firstSector: 0, sectors: 1)
    static let saved = Buffer(firstSector: 1, sectors: 4)
    static let work = Buffer(firstSector: 5, sectors: 4)

    let firstSector: UInt32
    let sectors: UInt32

    var address: UInt32 { sector_memory() &+ firstSector &* Self.sectorSize }
    var size: UInt32 { sectors * Self.sectorSize }

    subscript(index: UInt32) -> UInt8 {
        get {
            require(index < size)
            return memory_read8(address &+ index)
        }
        nonmutating set {
            require(index < size)
            memory_write8(address &+ index, newValue)
        }
    }

    /// The little-endian 16-bit word `index` (0 to 255) of the first sector.
    func word(_ index: UInt32) -> UInt16 {
        UInt16(self[index * 2]) | UInt16(self[index * 2 + 1]) << 8
    }
}

/// The standard library's `precondition` refers to a type that allocates. This one ends the step or command at work.
private func require(_ condition: Bool) {
    if !condition { cpu_invalid_opcode() }
}
