public import Virtio

/// A virtio network device: its configuration space and the header of its packets. `VirtioNetPlugin.swift` connects it to a network.
///
/// Source: virtio 1.2, 5.1. Not modelled: several pairs of queues, announcements, and UDP fragmentation.
public struct VirtioNet: Sendable {
    /// 5.1.3
    public enum Feature {
        public static let checksum = VirtioFeatures(rawValue: 1 << 0)  // CSUM
        public static let guestChecksum = VirtioFeatures(rawValue: 1 << 1)  // GUEST_CSUM
        public static let mtu = VirtioFeatures(rawValue: 1 << 3)
        public static let address = VirtioFeatures(rawValue: 1 << 5)  // MAC
        public static let guestSegmentsTCP4 = VirtioFeatures(rawValue: 1 << 7)  // GUEST_TSO4
        public static let guestSegmentsTCP6 = VirtioFeatures(rawValue: 1 << 8)  // GUEST_TSO6
        public static let segmentsTCP4 = VirtioFeatures(rawValue: 1 << 11)  // HOST_TSO4
        public static let segmentsTCP6 = VirtioFeatures(rawValue: 1 << 12)  // HOST_TSO6
        public static let mergeableBuffers = VirtioFeatures(rawValue: 1 << 15)  // MRG_RXBUF
        public static let status = VirtioFeatures(rawValue: 1 << 16)
        public static let control = VirtioFeatures(rawValue: 1 << 17)  // CTRL_VQ
        public static let controlReceive = VirtioFeatures(rawValue: 1 << 18)  // CTRL_RX
        public static let controlVLAN = VirtioFeatures(rawValue: 1 << 19)  // CTRL_VLAN
        public static let controlReceiveMore = VirtioFeatures(rawValue: 1 << 20)  // CTRL_RX_EXTRA
        public static let controlAddress = VirtioFeatures(rawValue: 1 << 23)  // CTRL_MAC_ADDR

        /// 5.1.3.1: each needs the control queue.
        static let controlled: VirtioFeatures = [controlReceive, controlVLAN, controlReceiveMore, controlAddress]
    }

    public static let type: UInt16 = 1
    public static let entries: UInt16 = 256
    /// 5.1.2
    public static let (receive, transmit, control) = (0, 1, 2)
    /// Bytes of a packet without its header, at most: 64 KiB of payload behind the longest headers (5.1.6.3.1).
    public static let longestPacket: UInt32 = 65550

    // MARK: State: a snapshot is exactly this

    /// Six bytes. A legacy driver may write it (5.1.4.3).
    public private(set) var address: [UInt8]
    public var hasLink = true
    public var filter = ReceiveFilter()
    private let firstAddress: [UInt8]
    /// What the driver is told of the network's longest packets, without Ethernet's header; nil: nothing.
    private let mtu: UInt16?

    /// - Parameter address: six bytes.
    public init(address: [UInt8], mtu: UInt16? = nil) {
        self.address = Array((address + [UInt8](repeating: 0, count: 6)).prefix(6))
        firstAddress = self.address
        self.mtu = mtu
    }

    public mutating func reset() {
        address = firstAddress
        filter = ReceiveFilter()
    }

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
                .ofQueues, Feature.checksum, Feature.guestChecksum, Feature.address, Feature.segmentsTCP4,
                Feature.segmentsTCP6, Feature.guestSegmentsTCP4, Feature.guestSegmentsTCP6,
                Feature.mergeableBuffers, Feature.status, Feature.control, Feature.controlReceive, Feature.controlVLAN,
                Feature.controlReceiveMore, Feature.controlAddress, mtu == nil ? [] : Feature.mtu,
            ], queues: 3, entries: Self.entries, configSize: 12)
    }

    /// Segmentation goes with checksums, and what is controlled with the queue for it (5.1.3.1).
    public static func accepts(_ features: VirtioFeatures) -> Bool {
        guard features.contains(Feature.control) || features.isDisjoint(with: Feature.controlled) else { return false }
        guard
            features.contains(Feature.guestChecksum)
                || features.isDisjoint(with: [Feature.guestSegmentsTCP4, Feature.guestSegmentsTCP6])
        else { return false }
        return features.contains(Feature.checksum)
            || features.isDisjoint(with: [Feature.segmentsTCP4, Feature.segmentsTCP6])
    }

    /// 5.1.4: the address; the status, of which bit 0 is the link; one pair of queues; the MTU.
    public func readConfig(_ offset: UInt32, width: UInt8) -> UInt32 {
        let mtu = mtu ?? 0
        return VirtioConfiguration.read(
            address + [hasLink ? 1 : 0, 0, 1, 0, UInt8(mtu & 0xFF), UInt8(mtu >> 8)], offset, width: width)
    }

    public mutating func writeConfig(_ offset: UInt32, width: UInt8, _ value: UInt32, _ features: VirtioFeatures) {
        guard features.isDisjoint(with: [.version1, Feature.controlAddress]) else { return }
        for byte in 0..<UInt32(width) where offset &+ byte < 6 {
            address[Int(offset &+ byte)] = UInt8(truncatingIfNeeded: value &>> (byte &* 8))
        }
    }

    /// Whether a frame of the network is the driver's: by its filters, and no longer than the MTU that it was told (5.1.4.1).
    public func wants(_ frame: [UInt8], _ features: VirtioFeatures) -> Bool {
        if let mtu, features.contains(Feature.mtu), frame.count > Int(mtu) + Self.longestEthernetHeader { return false }
        return filter.accepts(frame, address: address, filtersVLANs: features.contains(Feature.controlVLAN))
    }

    /// With one tag of IEEE 802.1Q.
    private static let longestEthernetHeader = 18

    // MARK: The header of every packet (5.1.6)

    /// Bytes: legacy drivers without mergeable buffers have no number of buffers in it (5.1.6.1).
    public static func headerSize(_ features: VirtioFeatures) -> Int {
        features.isDisjoint(with: [.version1, Feature.mergeableBuffers]) ? 10 : 12
    }

    /// A packet with its header, of which the number of buffers is known now.
    public static func setBuffers(of packet: [UInt8], _ count: Int, _ features: VirtioFeatures) -> [UInt8] {
        guard headerSize(features) == 12, packet.count >= 12 else { return packet }
        var packet = packet
        (packet[10], packet[11]) = (UInt8(count & 0xFF), UInt8(count >> 8 & 0xFF))
        return packet
    }

    /// Of a frame as it came from the network.
    public static func header(_ features: VirtioFeatures, buffers: UInt16) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: headerSize(features))
        if bytes.count == 12 { (bytes[10], bytes[11]) = (UInt8(buffers & 0xFF), UInt8(buffers >> 8)) }
        return bytes
    }
}
