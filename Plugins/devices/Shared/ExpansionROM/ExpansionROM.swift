import Images
public import PluginKit

/// A card's expansion ROM from a file (PCI 3.0, 6.3).
public enum ExpansionROM {
    private static let longest: UInt64 = 1 << 20

    /// A region with the file's bytes, padded with ones to a power of two of at least a page. Errors begin with `rom:`.
    public static func load(_ path: String, _ host: Host) throws(PluginError) -> Memory.Region {
        let bytes: [UInt8]
        do { bytes = try ImageFile.read(path, limit: longest) } catch { throw PluginError("rom: " + error.text) }
        var size: UInt64 = 4096
        while size < UInt64(bytes.count) { size *= 2 }
        let region = try host.memory.region("rom", .rom, length: size)
        region.bytes.initializeMemory(as: UInt8.self, repeating: 0xFF)
        region.bytes.copyBytes(from: bytes)
        return region
    }
}
