/// A byte image that is built up by writing numbers at offsets.
struct Bytes {
    var bytes: [UInt8]

    init(count: Int) { bytes = [UInt8](repeating: 0, count: count) }

    mutating func put<T: FixedWidthInteger & UnsignedInteger>(_ value: T, at offset: Int) {
        for index in 0..<T.bitWidth / 8 { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * index)) }
    }
    mutating func put16(_ value: UInt16, at offset: Int) { put(value, at: offset) }
    mutating func put32(_ value: UInt32, at offset: Int) { put(value, at: offset) }
    mutating func put64(_ value: UInt64, at offset: Int) { put(value, at: offset) }
}

/// An ELF32 file of 0x200 bytes for the i386: entry 0x100010, one program header at 0x34 (PT_LOAD, 0x40 bytes at 0x100
/// of the file, 0x80 in memory, virtual and physical 0x100000), no sections. Offsets are those of the System V ABI.
func elf32(programHeaders: UInt16 = 1) -> Bytes {
    var file = Bytes(count: 0x200)
    file.put32(0x464C_457F, at: 0)
    file.bytes[4] = 1  // ELFCLASS32
    file.bytes[5] = 1  // ELFDATA2LSB
    file.bytes[6] = 1  // EV_CURRENT
    file.put16(2, at: 0x10)  // ET_EXEC
    file.put16(3, at: 0x12)  // EM_386
    file.put32(1, at: 0x14)
    file.put32(0x100010, at: 0x18)  // e_entry
    file.put32(0x34, at: 0x1C)  // e_phoff
    file.put16(0x34, at: 0x28)  // e_ehsize
    file.put16(0x20, at: 0x2A)  // e_phentsize
    file.put16(programHeaders, at: 0x2C)  // e_phnum
    file.put16(0x28, at: 0x2E)  // e_shentsize
    file.segment32(0, offset: 0x100, virtual: 0x100000, physical: 0x100000, inFile: 0x40, inMemory: 0x80)
    return file
}

/// The same as ELF64 for the x86-64, virtual addresses at 0xffffffff80100000.
func elf64() -> Bytes {
    var file = Bytes(count: 0x200)
    file.put32(0x464C_457F, at: 0)
    file.bytes[4] = 2
    file.bytes[5] = 1
    file.bytes[6] = 1
    file.put16(2, at: 0x10)
    file.put16(62, at: 0x12)
    file.put32(1, at: 0x14)
    file.put64(0xFFFF_FFFF_8010_0010, at: 0x18)
    file.put64(0x40, at: 0x20)
    file.put16(0x40, at: 0x34)
    file.put16(0x38, at: 0x36)
    file.put16(1, at: 0x38)
    file.put16(0x40, at: 0x3A)
    file.put32(1, at: 0x40)  // p_type
    file.put32(5, at: 0x44)  // p_flags
    file.put64(0x100, at: 0x48)
    file.put64(0xFFFF_FFFF_8010_0000, at: 0x50)
    file.put64(0x100000, at: 0x58)
    file.put64(0x40, at: 0x60)
    file.put64(0x80, at: 0x68)
    return file
}

extension Bytes {
    mutating func segment32(
        _ index: Int, type: UInt32 = 1, offset: UInt32, virtual: UInt32, physical: UInt32, inFile: UInt32,
        inMemory: UInt32
    ) {
        let at = 0x34 + 0x20 * index
        put32(type, at: at)
        put32(offset, at: at + 4)
        put32(virtual, at: at + 8)
        put32(physical, at: at + 12)
        put32(inFile, at: at + 16)
        put32(inMemory, at: at + 20)
        put32(7, at: at + 24)
        put32(0x1000, at: at + 28)
    }

    /// A section header table of three at 0x180: null, .symtab (0x10 bytes at 0x150), names (8 bytes at 0x160).
    mutating func addSections32() {
        put32(0x180, at: 0x20)  // e_shoff
        put16(3, at: 0x30)  // e_shnum
        put16(2, at: 0x32)  // e_shstrndx
        section32(1, type: 2, offset: 0x150, size: 0x10, alignment: 4)
        section32(2, type: 3, offset: 0x160, size: 8, alignment: 1)
    }

    mutating func section32(_ index: Int, type: UInt32, offset: UInt32, size: UInt32, alignment: UInt32) {
        let at = 0x180 + 0x28 * index
        put32(type, at: at + 4)
        put32(offset, at: at + 16)
        put32(size, at: at + 20)
        put32(alignment, at: at + 32)
    }
}

/// A fixed sequence of numbers, so that a failure comes again. (Marsaglia's xorshift64.)
struct Sequence64 {
    var value: UInt64
    mutating func next() -> UInt64 {
        value ^= value << 13
        value ^= value >> 7
        value ^= value << 17
        return value
    }
    mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }
}
