/// A bzImage as Linux's build makes it. Offsets are those of Documentation/arch/x86/boot.rst.
public struct BzImageFile {
    public var file: ImageBytes
    /// Where the protected-mode code starts in the file: after one boot sector and four of setup.
    public static let code = 0xA00

    /// `code` starts the protected-mode code; the payload follows at 0x400 of it, with its size at the end.
    public init(
        version: UInt16 = 0x020F, code: [UInt8] = [], payload: [UInt8] = [], longMode: Bool = true,
        preferred: UInt64 = 0x100_0000, initSize: UInt32 = 0x10_0000
    ) {
        let size = (0x400 + payload.count + 15) / 16 * 16
        file = ImageBytes(count: Self.code + size)
        file.put(UInt8(4), at: 0x1F1)  // setup_sects
        file.put(UInt32(size / 16), at: 0x1F4)  // syssize
        file.put(UInt16(0xAA55), at: 0x1FE)
        file.put([0xEB, 0x6A], at: 0x200)  // jump over the header: it ends at 0x26c
        file.put(Array("HdrS".utf8), at: 0x202)
        file.put(version, at: 0x206)
        file.put(UInt16(0x100), at: 0x20E)  // the release, less 0x200
        file.put(UInt8(1), at: 0x211)  // LOADED_HIGH
        file.put(UInt32(0x10_0000), at: 0x214)
        file.put(UInt32(0x7FFF_FFFF), at: 0x22C)
        file.put(UInt32(0x20_0000), at: 0x230)
        file.put(UInt8(1), at: 0x234)  // relocatable
        file.put(UInt16(longMode ? 1 : 0), at: 0x236)
        file.put(UInt32(2047), at: 0x238)
        file.put(UInt32(payload.isEmpty ? 0 : 0x400), at: 0x248)
        file.put(UInt32(payload.count), at: 0x24C)
        file.put(preferred, at: 0x258)
        file.put(initSize, at: 0x260)
        file.put(Array("6.1.0-test (me@here) #1 SMP".utf8), at: 0x300)
        file.put(code, at: Self.code)
        file.put(payload, at: Self.code + 0x400)
    }

    public var bytes: [UInt8] { file.bytes }
}

/// An ELF file of one segment, whose bytes start at 0x200 of it: at `physical`, and half as much again in memory.
/// Offsets are those of the System V ABI.
public struct KernelELF {
    public var file: ImageBytes

    public init(_ content: [UInt8], is64: Bool = true, physical: UInt64 = 0x100_0000, pvhEntry: UInt32? = nil) {
        file = ImageBytes(count: 0x200 + content.count)
        let memory = UInt64(content.count + content.count / 2)
        file.put(UInt32(0x464C_457F), at: 0)
        file.put([is64 ? 2 : 1, 1, 1], at: 4)
        file.put(UInt16(2), at: 0x10)
        file.put(UInt16(is64 ? 62 : 3), at: 0x12)
        file.put(UInt32(1), at: 0x14)
        let headers: UInt16 = pvhEntry == nil ? 1 : 2
        if is64 {
            file.put(physical, at: 0x18)
            file.put(UInt64(0x40), at: 0x20)
            file.put(UInt16(0x38), at: 0x36)
            file.put(headers, at: 0x38)
            file.put([1, 0, 0, 0, 7], at: 0x40)
            for (index, word) in [0x200, 0xFFFF_FFFF_8100_0000, physical, UInt64(content.count), memory].enumerated() {
                file.put(word, at: 0x48 + 8 * index)
            }
        } else {
            file.put(UInt32(physical), at: 0x18)
            file.put(UInt32(0x34), at: 0x1C)
            file.put(UInt16(0x20), at: 0x2A)
            file.put(headers, at: 0x2C)
            let words = [1, 0x200, 0xC100_0000, UInt32(physical), UInt32(content.count), UInt32(memory), 7]
            for (index, word) in words.enumerated() { file.put(word, at: 0x34 + 4 * index) }
        }
        file.put(content, at: 0x200)
        if let pvhEntry { addNote(pvhEntry, is64) }
    }

    /// At 0x100: name "Xen", type 18, a description of four bytes.
    private mutating func addNote(_ entry: UInt32, _ is64: Bool) {
        if is64 {
            file.put(UInt32(4), at: 0x78)
            file.put(UInt64(0x100), at: 0x80)
            file.put(UInt64(20), at: 0x98)
        } else {
            file.put(UInt32(4), at: 0x54)
            file.put(UInt32(0x100), at: 0x58)
            file.put(UInt32(20), at: 0x64)
        }
        for (index, word) in [4, 4, 18].enumerated() { file.put(UInt32(word), at: 0x100 + 4 * index) }
        file.put(Array("Xen\0".utf8), at: 0x10C)
        file.put(entry, at: 0x110)
    }

    public var bytes: [UInt8] { file.bytes }
}
