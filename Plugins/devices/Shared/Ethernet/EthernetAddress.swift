/// A card's address: six bytes.
public enum EthernetAddress {
    public enum Mistake: Error, Equatable, Sendable {
        case noAddress(String)
        /// Bit 0 of the first byte is set: no card has it.
        case ofGroup(String)

        public var text: String {
            switch self {
            case .noAddress(let text): "'\(text)' is not an address such as 52:54:00:12:34:56"
            case .ofGroup(let text): "\(text) is a group's address, and no card's"
            }
        }
    }

    /// What a machine file says, or one that is made from the instance's id.
    public static func given(_ text: String?, _ id: String) throws(Mistake) -> [UInt8] {
        if let text { try parse(text) } else { made(from: id) }
    }

    /// Six bytes in hex, with colons between: 52:54:00:12:34:56.
    public static func parse(_ text: String) throws(Mistake) -> [UInt8] {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        let bytes = parts.compactMap { $0.count == 2 && $0.allSatisfy(\.isHexDigit) ? UInt8($0, radix: 16) : nil }
        guard parts.count == 6, bytes.count == 6 else { throw .noAddress(text) }
        guard bytes[0] & 1 == 0 else { throw .ofGroup(text) }
        return bytes
    }

    /// Three bytes that virtual machines use by custom, and three of the hash (FNV-1a) of an instance's id.
    public static func made(from id: String) -> [UInt8] {
        let hash = id.utf8.reduce(0x811C_9DC5 as UInt32) { ($0 ^ UInt32($1)) &* 0x0100_0193 }
        return [0x52, 0x54, 0x00] + [16, 8, 0].map { UInt8(truncatingIfNeeded: hash >> $0) }
    }
}
