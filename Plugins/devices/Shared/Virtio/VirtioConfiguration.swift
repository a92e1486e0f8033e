/// A device's configuration space (virtio 1.2, 2.5) as bytes.
public enum VirtioConfiguration {
    /// What an access reads, little-endian; ones beyond the end.
    public static func read(_ bytes: [UInt8], _ offset: UInt32, width: UInt8) -> UInt32 {
        (0..<UInt32(width)).reduce(0) { value, byte in
            let place = Int(offset &+ byte)
            return value | (place < bytes.count ? UInt32(bytes[place]) : 0xFF) &<< (byte &* 8)
        }
    }
}
