public import Virtio

/// A virtio memory balloon: its configuration space, and what its buffers say. `VirtioBalloonPlugin.swift` gives the memory to the host.
///
/// Source: virtio 1.2, 5.5. Not modelled: free page hints (5.5.6.5, of live migration), page poison.
public struct VirtioBalloon: Sendable {
    /// 5.5.3
    public enum Feature {
        public static let statistics = VirtioFeatures(rawValue: 1 << 1)  // STATS_VQ
        public static let deflateOnOOM = VirtioFeatures(rawValue: 1 << 2)
        public static let reporting = VirtioFeatures(rawValue: 1 << 5)  // PAGE_REPORTING
    }

    /// What a queue is for (5.5.2).
    public enum Queue: Equatable, Sendable { case inflate, deflate, statistics, reporting }

    /// Guest pages as the driver counts them, whatever its CPU's are (5.5.6).
    public static let pageSize: UInt64 = 4096
    /// Page numbers of one buffer that count, as Linux puts them into one; what is beyond stays with the guest.
    public static let mostPages = 256
    /// The same of ranges that are reported, of which Linux has 32.
    public static let mostRanges = 64

    private let offered: VirtioFeatures

    // MARK: State: a snapshot is exactly this, and its defaults are the reset values; `target` is the operator's, and the driver's reset leaves it

    /// Pages that the driver is asked to give.
    public var target: UInt32 = 0
    /// Pages that it says it has given.
    public private(set) var actual: UInt32 = 0

    public init(deflatesOnOOM: Bool, reports: Bool) {
        var offered: VirtioFeatures = [.ofQueues, Feature.statistics]
        if deflatesOnOOM { offered.insert(Feature.deflateOnOOM) }
        if reports { offered.insert(Feature.reporting) }
        self.offered = offered
    }

    public mutating func reset() { actual = 0 }
    public mutating func restore(target: UInt32, actual: UInt32) { (self.target, self.actual) = (target, actual) }

    public var identity: VirtioIdentity {
        VirtioIdentity(type: 5, features: offered, queues: 5, entries: 128, configSize: 8)
    }

    /// The queues' numbers are fixed by the specification, but Linux leaves no gaps for those that it does not use, QEMU neither.
    /// Without free page hints number 3 is nobody's, without statistics number 2: there is reporting then.
    public static func queue(_ number: Int, _ features: VirtioFeatures) -> Queue? {
        switch number {
        case 0: .inflate
        case 1: .deflate
        case 2 where features.contains(Feature.statistics): .statistics
        case 2...4 where features.contains(Feature.reporting): .reporting
        default: nil
        }
    }

    // MARK: Configuration space (5.5.4): num_pages, actual

    public func readConfig(_ offset: UInt32, width: UInt8) -> UInt32 {
        let word = UInt64(target) | UInt64(actual) << 32
        return VirtioConfiguration.read(
            (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) }, offset, width: width)
    }

    /// Only `actual` is written.
    public mutating func writeConfig(_ offset: UInt32, width: UInt8, _ value: UInt32) {
        for byte in 0..<UInt32(width) where (4..<8).contains(offset &+ byte) {
            let shift = (offset &+ byte &- 4) &* 8
            actual = actual & ~(0xFF &<< shift) | (value &>> (byte &* 8) & 0xFF) &<< shift
        }
    }

    // MARK: Buffers

    /// The pages that a buffer of numbers names (5.5.6), joined where they lie side by side.
    public static func ranges(of numbers: [UInt8]) -> [Chain.Range] {
        var pages: [UInt64] = []
        for place in stride(from: 3, to: numbers.count, by: 4) {
            let low = UInt64(numbers[place - 3]) | UInt64(numbers[place - 2]) << 8
            pages.append(low | UInt64(numbers[place - 1]) << 16 | UInt64(numbers[place]) << 24)
        }
        var ranges: [Chain.Range] = []
        for page in pages.sorted() {
            let address = page * pageSize
            if let last = ranges.last, address <= last.address + last.length {
                ranges[ranges.count - 1].length = max(last.length, address + pageSize - last.address)
            } else {
                ranges.append(.init(address: address, length: pageSize))
            }
        }
        return ranges
    }

    /// The memory that a buffer of free pages is (5.5.6.7).
    public static func ranges(of chain: Chain) -> [Chain.Range] {
        chain.writable.prefix(mostRanges).map { .init(address: $0.address, length: UInt64($0.length)) }
    }
}

extension Chain {
    /// Of guest-physical memory.
    public struct Range: Equatable, Sendable {
        public var address: UInt64
        public var length: UInt64
        public init(address: UInt64, length: UInt64) { (self.address, self.length) = (address, length) }
    }
}
