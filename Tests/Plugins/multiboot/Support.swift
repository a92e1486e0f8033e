/// A file of zeros into which numbers are written at offsets.
struct Kernel {
    var bytes: [UInt8]

    init(count: Int) { bytes = [UInt8](repeating: 0, count: count) }

    mutating func put16(_ value: UInt16, at offset: Int) {
        for index in 0..<2 { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * index)) }
    }
    mutating func put32(_ value: UInt32, at offset: Int) {
        for index in 0..<4 { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * index)) }
    }
    mutating func put(_ values: [UInt32], at offset: Int) {
        for (index, value) in values.enumerated() { put32(value, at: offset + 4 * index) }
    }

    /// Magic, flags and the checksum that makes their sum 0.
    mutating func header(_ flags: UInt32, at offset: Int) {
        put([0x1BAD_B002, flags, 0 &- 0x1BAD_B002 &- flags], at: offset)
    }
}

/// 0x1000 bytes, ELF32 for the i386: one segment, 0x400 bytes at 0x200 of the file, 0x2000 in memory at 1 MiB; the
/// multiboot header with `flags` is at its start; the entry is at 0x100040.
func elfKernel(flags: UInt32 = 3) -> Kernel {
    var file = Kernel(count: 0x1000)
    file.bytes.replaceSubrange(0..<7, with: [0x7F, 0x45, 0x4C, 0x46, 1, 1, 1])
    file.put16(2, at: 0x10)  // ET_EXEC
    file.put16(3, at: 0x12)  // EM_386
    file.put([1, 0x100040, 0x34], at: 0x14)  // version, entry, program headers
    file.put16(0x20, at: 0x2A)
    file.put16(1, at: 0x2C)
    file.put16(0x28, at: 0x2E)
    file.segment(0, offset: 0x200, address: 0x100000, inFile: 0x400, inMemory: 0x2000)
    for index in 0x200..<0x600 { file.bytes[index] = 0xA5 }
    file.header(flags, at: 0x200)
    return file
}

/// 0x400 bytes of no format: the header at 0x20 says that byte 0x10 of the file goes to 0x200000.
func flatKernel(
    header: UInt32 = 0x200010, load: UInt32 = 0x200000, loadEnd: UInt32 = 0x200200, bssEnd: UInt32 = 0x201000,
    entry: UInt32 = 0x200040
) -> Kernel {
    var file = Kernel(count: 0x400)
    for index in file.bytes.indices { file.bytes[index] = UInt8(truncatingIfNeeded: index) }
    file.header(0x0001_0003, at: 0x20)
    file.put([header, load, loadEnd, bssEnd, entry], at: 0x2C)
    return file
}

extension Kernel {
    mutating func segment(_ index: Int, offset: UInt32, address: UInt32, inFile: UInt32, inMemory: UInt32) {
        put([1, offset, address, address, inFile, inMemory, 7, 0x1000], at: 0x34 + 0x20 * index)
    }

    /// Four sections at 0xC00: null, .text (allocated), .symtab (0x30 bytes at 0x700), names (0x11 bytes at 0x741).
    mutating func addSections() {
        put32(0xC00, at: 0x20)
        put16(4, at: 0x30)
        put16(3, at: 0x32)
        put([0, 1, 6, 0x100000, 0x200, 0x400, 0, 0, 16, 0], at: 0xC28)
        put([0, 2, 0, 0, 0x700, 0x30, 3, 0, 4, 0x10], at: 0xC50)
        put([0, 3, 0, 0, 0x741, 0x11, 0, 0, 1, 0], at: 0xC78)
        for index in 0x700..<0x730 { bytes[index] = 0x53 }
        for index in 0x741..<0x752 { bytes[index] = 0x4E }
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
