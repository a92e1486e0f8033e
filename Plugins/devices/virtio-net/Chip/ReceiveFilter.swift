/// Which frames of the network the driver wants (virtio 1.2, 5.1.6.5.1 to 5.1.6.5.3).
public struct ReceiveFilter: Equatable, Sendable {
    /// 5.1.6.5.1. What accepts goes before what refuses.
    public struct Mode: OptionSet, Equatable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static let promiscuous = Self(rawValue: 1 << 0)
        public static let allMulticast = Self(rawValue: 1 << 1)
        public static let allUnicast = Self(rawValue: 1 << 2)
        public static let noMulticast = Self(rawValue: 1 << 3)
        public static let noUnicast = Self(rawValue: 1 << 4)
        public static let noBroadcast = Self(rawValue: 1 << 5)
        static let all = Self(rawValue: 0x3F)

        /// The command's number is that of the bit.
        init?(command: UInt8) {
            guard command < 6 else { return nil }
            rawValue = 1 << command
        }
    }

    /// Addresses of each table; of a driver that gives more, all frames of the kind are received.
    public static let tableLimit = 64
    private static let vlanWords = 64

    // MARK: State: a snapshot is exactly this, and its defaults are the reset values

    /// A driver that says nothing gets everything.
    public private(set) var mode: Mode = .promiscuous
    private var unicast: [[UInt8]] = []
    private var multicast: [[UInt8]] = []
    private var unicastOverflows = false
    private var multicastOverflows = false
    /// A bit each.
    private var vlans = [UInt64](repeating: 0, count: vlanWords)

    public init() {}

    // MARK: Commands

    mutating func set(_ mode: Mode, _ isOn: Bool) {
        if isOn { self.mode.insert(mode) } else { self.mode.remove(mode) }
    }

    mutating func setTables(unicast: [[UInt8]], multicast: [[UInt8]]) {
        unicastOverflows = unicast.count > Self.tableLimit
        multicastOverflows = multicast.count > Self.tableLimit
        self.unicast = unicastOverflows ? [] : unicast
        self.multicast = multicastOverflows ? [] : multicast
    }

    /// - Returns: false: there is no such VLAN.
    mutating func setVLAN(_ id: UInt16, _ isOn: Bool) -> Bool {
        guard id < 4096 else { return false }
        let bit = 1 as UInt64 &<< UInt64(id & 63)
        if isOn { vlans[Int(id >> 6)] |= bit } else { vlans[Int(id >> 6)] &= ~bit }
        return true
    }

    // MARK: Frames

    /// - Parameter filtersVLANs: CTRL_VLAN was negotiated: tagged frames are received of VLANs that the driver has named.
    public func accepts(_ frame: [UInt8], address: [UInt8], filtersVLANs: Bool) -> Bool {
        guard frame.count >= 14 else { return false }
        if mode.contains(.promiscuous) { return true }
        if filtersVLANs, !isOfVLAN(frame) { return false }
        let destination = frame[..<6]
        if destination[0] & 1 == 0 {
            if mode.contains(.allUnicast) || unicastOverflows { return true }
            if mode.contains(.noUnicast) { return false }
            return destination.elementsEqual(address) || unicast.contains { destination.elementsEqual($0) }
        }
        if destination.allSatisfy({ $0 == 0xFF }) { return !mode.contains(.noBroadcast) }
        if mode.contains(.allMulticast) || multicastOverflows { return true }
        if mode.contains(.noMulticast) { return false }
        return multicast.contains { destination.elementsEqual($0) }
    }

    /// IEEE 802.1Q; frames without a tag are of no VLAN and come always.
    private func isOfVLAN(_ frame: [UInt8]) -> Bool {
        guard frame[12] == 0x81, frame[13] == 0 else { return true }
        guard frame.count >= 16 else { return false }
        let id = Int(frame[14] & 0x0F) << 8 | Int(frame[15])
        return vlans[id >> 6] &>> UInt64(id & 63) & 1 != 0
    }

    // MARK: State as bytes: mode, overflows, a count and addresses twice, VLANs

    public var bytes: [UInt8] {
        var bytes = [mode.rawValue, unicastOverflows ? 1 : 0, multicastOverflows ? 1 : 0]
        for table in [unicast, multicast] { bytes += [UInt8(truncatingIfNeeded: table.count)] + table.joined() }
        for word in vlans { bytes += (0..<8).map { UInt8(truncatingIfNeeded: word &>> ($0 &* 8)) } }
        return bytes
    }

    /// nil: no such bytes.
    public init?(bytes: [UInt8]) {
        guard bytes.count >= 3, Mode(rawValue: bytes[0]).isSubset(of: .all) else { return nil }
        mode = Mode(rawValue: bytes[0])
        (unicastOverflows, multicastOverflows) = (bytes[1] & 1 != 0, bytes[2] & 1 != 0)
        var rest = bytes[3...]
        guard let unicast = Self.takeTable(&rest), let multicast = Self.takeTable(&rest),
            rest.count == Self.vlanWords * 8
        else { return nil }
        (self.unicast, self.multicast) = (unicast, multicast)
        let words = Array(rest)
        vlans = (0..<Self.vlanWords).map { word in
            words[word * 8..<word * 8 + 8].reversed().reduce(0 as UInt64) { $0 &<< 8 | UInt64($1) }
        }
    }

    private static func takeTable(_ rest: inout ArraySlice<UInt8>) -> [[UInt8]]? {
        guard let count = rest.popFirst(), Int(count) <= tableLimit, rest.count >= Int(count) * 6 else { return nil }
        let bytes = Array(rest.prefix(Int(count) * 6))
        rest = rest.dropFirst(bytes.count)
        return ReceiveFilter.addresses(bytes)
    }

    /// Of six bytes each.
    static func addresses(_ bytes: [UInt8]) -> [[UInt8]] {
        (0..<bytes.count / 6).map { Array(bytes[$0 * 6..<$0 * 6 + 6]) }
    }
}
