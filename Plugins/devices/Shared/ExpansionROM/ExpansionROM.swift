import Images
public import PluginKit

/// A card's expansion ROM from a file (PCI 3.0, 6.3).
public enum ExpansionROM {
    private static let longest: UInt64 = 1 << 20

    /// A region with the file's bytes, padded with ones to a power of two of at least a page. Errors begin with `rom:`. What firmware will not
    /// find in it is warned of.
    public static func load(_ path: String, _ host: Host) throws(PluginError) -> Memory.Region {
        let bytes: [UInt8]
        do { bytes = try ImageFile.read(path, limit: longest) } catch { throw PluginError("rom: " + error.text) }
        if let doubt = doubt(bytes) { host.log(.warning, "rom: \(ImageFile.name(path)) \(doubt)") }
        var size: UInt64 = 4096
        while size < UInt64(bytes.count) { size *= 2 }
        let region = try host.memory.region("rom", .rom, length: size)
        region.bytes.initializeMemory(as: UInt8.self, repeating: 0xFF)
        region.bytes.copyBytes(from: bytes)
        return region
    }

    /// Why firmware passes it over (6.3.1): a sentence without its subject; nil: it is an expansion ROM.
    static func doubt(_ bytes: [UInt8]) -> String? {
        guard bytes.count > 2, bytes[0] == 0x55, bytes[1] == 0xAA else {
            return "is no expansion ROM: it does not begin with 55 AA"
        }
        let length = Int(bytes[2]) * 512
        return length > bytes.count ? "is cut off: its header says \(length) bytes, and it has \(bytes.count)" : nil
    }
}
