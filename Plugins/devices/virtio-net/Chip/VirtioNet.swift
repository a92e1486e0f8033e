public import Virtio

/// A virtio network device: its configuration space and the header of its packets. `VirtioNetPlugin.swift` connects it to a network.
///
/// Source: virtio 1.2, 5.1. Not modelled: the control queue and what it controls (all frames of the network are received), several pairs of
/// queues, UDP fragmentation, and segments joined for the driver: the network gives frames.
public struct VirtioNet: Sendable {
    /// 5.1.3
    public enum Feature {
        public static let checksum = VirtioFeatures(rawValue: 1 << 0)  // CSUM
        public static let address = VirtioFeatures(rawValue: 1 << 5)  // MAC
        public static let segmentsTCP4 = VirtioFeatures(rawValue: 1 << 11)  // HOST_TSO4
        public static let segmentsTCP6 = VirtioFeatures(rawValue: 1 << 12)  // HOST_TSO6
        public static let mergeableBuffers = VirtioFeatures(rawValue: 1 << 15)  // MRG_RXBUF
        public static let status = VirtioFeatures(rawValue: 1 << 16)
    }

    public static let type: UInt16 = 1
    public static let entries: UInt16 = 256
    public static let (receive, transmit) = (0, 1)
    /// Bytes of a packet without its header, at most: 64 KiB of payload behind the longest headers (5.1.6.3.1).
    public static let longestPacket: UInt32 = 65550

    // MARK: State: a snapshot is exactly this

    /// Six bytes. A legacy driver may write it (5.1.4.3).
    public private(set) var address: [UInt8]
    public var hasLink = true
    private let firstAddress: [UInt8]

    /// - Parameter address: six bytes.
    public init(address: [UInt8]) {
        self.address = Array((address + [UInt8](repeating: 0, count: 6)).prefix(6))
        firstAddress = self.address
    }

    public mutating func reset() { address = firstAddress }

    /// - Returns: false, and nothing is changed, where the address is none.
    public mutating func restore(address: [UInt8]) -> Bool {
        guard address.count == 6 else { return false }
        self.address = address
        return true
    }

    // MARK: What it is

    public var identity: VirtioIdentity {
        VirtioIdentity(
            type: Self.type,
            features: [
                .ofQueues, Feature.checksum, Feature.address, Feature.segmentsTCP4, Feature.segmentsTCP6,
                Feature.mergeableBuffers, Feature.status,
            ], queues: 2, entries: Self.entries, configSize: 8)
    }

    /// Segmentation goes with checksums (5.1.3.1).
    public static func accepts(_ features: VirtioFeatures) -> Bool {
        features.contains(Feature.checksum) || features.isDisjoint(with: [Feature.segmentsTCP4, Feature.segmentsTCP6])
    }

    /// 5.1.4: the address, and the status, of which bit 0 is the link.
    public func readConfig(_ offset: UInt32, width: UInt8) -> UInt32 {
        VirtioConfiguration.read(address + [hasLink ? 1 : 0, 0], offset, width: width)
    }

    public mutating func writeConfig(_ offset: UInt32, width: UInt8, _ value: UInt32, _ features: VirtioFeatures) {
        guard !features.contains(.version1) else { return }
        for byte in 0..<UInt32(width) where offset &+ byte < 6 {
            address[Int(offset &+ byte)] = UInt8(truncatingIfNeeded: value &>> (byte &* 8))
        }
    }

    // MARK: The header of every packet (5.1.6)

    /// Bytes: legacy drivers without mergeable buffers have no number of buffers in it (5.1.6.1).
    public static func headerSize(_ features: VirtioFeatures) -> Int {
        features.isDisjoint(with: [.version1, Feature.mergeableBuffers]) ? 10 : 12
    }

    /// Of a frame as it came from the network.
    public static func header(_ features: VirtioFeatures, buffers: UInt16) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: headerSize(features))
        if bytes.count == 12 { (bytes[10], bytes[11]) = (UInt8(buffers & 0xFF), UInt8(buffers >> 8)) }
        return bytes
    }
}
