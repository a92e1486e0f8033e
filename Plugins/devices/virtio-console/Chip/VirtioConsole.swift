public import Virtio

/// A virtio console with one port: its configuration space. `VirtioConsolePlugin.swift` connects it to a stream.
///
/// Source: virtio 1.2, 5.3. Not modelled: several ports, and sizes.
public enum VirtioConsole {
    /// 5.3.3
    public enum Feature {
        public static let emergencyWrite = VirtioFeatures(rawValue: 1 << 2)
    }

    public static let (receive, transmit) = (0, 1)

    public static let identity = VirtioIdentity(
        type: 3, features: [.ofQueues, Feature.emergencyWrite], queues: 2, entries: 64, configSize: 12)

    /// 5.3.4: columns, rows, number of ports (1), and emerg_wr, which reads as 0.
    public static func readConfig(_ offset: UInt32, width: UInt8) -> UInt32 {
        offset <= 4 && offset &+ UInt32(width) > 4 ? 1 &<< ((4 &- offset) &* 8) : 0
    }

    /// The character that a write gives out at once, before there is any driver (5.3.4); nil: none.
    public static func emergencyCharacter(_ offset: UInt32, _ value: UInt32) -> UInt8? {
        offset == 8 ? UInt8(truncatingIfNeeded: value) : nil
    }
}
