/// What the driver says of the guest's memory (virtio 1.2, 5.5.6.3 and 5.5.6.4): tags of 16 bits, each with a number of 64.
public struct BalloonStatistics: Equatable, Sendable {
    private static let entrySize = 10
    /// Entries of a buffer that are looked at.
    static let most = 64
    /// Bytes of them.
    public static let longest = UInt32(most * entrySize)
    /// By tag: the name, and whether it counts bytes.
    private static let names: [(name: String, isBytes: Bool)] = [
        ("swap-in", true), ("swap-out", true), ("major-faults", false), ("minor-faults", false), ("free", true),
        ("total", true), ("available", true), ("disk-caches", true), ("huge-pages-allocated", false),
        ("huge-pages-failed", false),
    ]

    /// By tag; a driver that does not know a number leaves it out, or says all ones.
    public private(set) var numbers: [UInt16: UInt64] = [:]

    /// What follows the last whole entry does not count.
    public init(_ bytes: [UInt8]) {
        let count = min(bytes.count / Self.entrySize, Self.most)
        for place in (0..<count).map({ $0 * Self.entrySize }) {
            let tag = UInt16(bytes[place]) | UInt16(bytes[place + 1]) << 8
            let number = bytes[place + 2..<place + 10].reversed().reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
            if number != .max, Int(tag) < Self.names.count { numbers[tag] = number }
        }
    }

    /// "free 123 KiB, total 456 KiB, major-faults 7"
    public var text: String {
        numbers.sorted { $0.key < $1.key }.map { tag, number in
            let (name, isBytes) = Self.names[Int(tag)]
            return isBytes ? "\(name) \(number >> 10) KiB" : "\(name) \(number)"
        }.joined(separator: ", ")
    }
}
