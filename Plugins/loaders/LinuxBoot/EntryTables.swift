import Images

/// The tables in memory that a kernel is entered with.
/// Source: Linux, Documentation/arch/x86/boot.rst, "32-bit Boot Protocol" and "64-bit Boot Protocol"; Intel SDM volume 3,
/// sections 3.4.5 and 4.5.
public enum EntryTables {
    /// __BOOT_CS
    public static let codeSelector: UInt16 = 0x10
    /// __BOOT_DS
    public static let dataSelector: UInt16 = 0x18

    /// A descriptor table of 4 entries: two empty ones, code and data, each flat.
    public static func descriptors(longMode: Bool) -> [UInt8] {
        var bytes: [UInt8] = []
        for entry: UInt64 in [0, 0, longMode ? 0x00AF_9B00_0000_FFFF : 0x00CF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF] {
            bytes.append(littleEndian: entry)
        }
        return bytes
    }

    /// The pages of `identityMap`.
    public static let identityMapSize: UInt64 = 6 * 4096

    /// Page tables for CR3 = `base`: the first 4 GiB where they are, in pages of 2 MiB. Everything that the kernel is
    /// given lies there.
    public static func identityMap(at base: UInt64) -> [UInt8] {
        let present: UInt64 = 0x3  // present, writable
        let large: UInt64 = 0x80
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Int(identityMapSize))
        func table(_ entries: some Sequence<UInt64>) {
            let start = bytes.count
            for entry in entries { bytes.append(littleEndian: entry) }
            bytes.append(contentsOf: [UInt8](repeating: 0, count: start + 4096 - bytes.count))
        }
        table([base + 0x1000 | present])
        table((0..<4).map { base + 0x2000 + 0x1000 * $0 | present })
        for gibibyte: UInt64 in 0..<4 {
            table((0..<512).map { gibibyte << 30 | $0 << 21 | present | large })
        }
        return bytes
    }
}
