public import Virtio

/// A virtio block device: its configuration space and its requests. `VirtioBlockPlugin.swift` connects it to a medium.
///
/// Source: virtio 1.2, 5.2. Not modelled: several queues, secure erase, zoned media, lifetimes, SCSI commands of legacy drivers.
public struct VirtioBlock: Sendable {
    /// 5.2.3
    public enum Feature {
        public static let segments = VirtioFeatures(rawValue: 1 << 2)  // SEG_MAX
        public static let readOnly = VirtioFeatures(rawValue: 1 << 5)
        public static let blockSize = VirtioFeatures(rawValue: 1 << 6)
        public static let flush = VirtioFeatures(rawValue: 1 << 9)
        public static let writeCache = VirtioFeatures(rawValue: 1 << 11)  // CONFIG_WCE
        public static let discard = VirtioFeatures(rawValue: 1 << 13)
        public static let writeZeroes = VirtioFeatures(rawValue: 1 << 14)
    }

    public struct Medium: Equatable, Sendable {
        public var sectors: UInt64
        /// Bytes, a power of two from 512.
        public var sectorSize: UInt32
        public var isReadOnly: Bool
        public var canDiscard: Bool
        public init(sectors: UInt64, sectorSize: UInt32, isReadOnly: Bool, canDiscard: Bool = false) {
            (self.sectors, self.sectorSize, self.isReadOnly) = (sectors, sectorSize, isReadOnly)
            self.canDiscard = canDiscard
        }
    }

    public static let type: UInt16 = 2
    /// Of the queue; no more than SeaBIOS takes.
    public static let entries: UInt16 = 128
    /// Sectors of 512 bytes that one segment of DISCARD and WRITE_ZEROES names, and segments of a request.
    static let mostCleared: (sectors: UInt32, segments: UInt32) = (1 << 21, 16)

    public private(set) var medium: Medium
    private let serial: [UInt8]

    /// - Parameter serial: its first 20 bytes are what the guest gets.
    public init(_ medium: Medium, serial: String) {
        self.medium = medium
        self.serial = Array((Array(serial.utf8) + [UInt8](repeating: 0, count: 20)).prefix(20))
    }

    /// Of 512 bytes, in which the guest counts whatever the medium's are (5.2.5).
    public var capacity: UInt64 {
        let (count, overflow) = medium.sectors.multipliedReportingOverflow(by: UInt64(medium.sectorSize / 512))
        return overflow ? .max : count
    }

    /// The medium has another size. The driver is told by a configuration change notification (5.2.5.2).
    public mutating func resize(to sectors: UInt64) { medium.sectors = sectors }

    // MARK: State: a snapshot is exactly this, and its defaults are the reset values

    /// WRITEBACK (5.2.4): writes are done when the medium's cache has them.
    public var writeback = true

    public mutating func reset() { writeback = true }

    // MARK: What it is

    public var identity: VirtioIdentity {
        VirtioIdentity(
            type: Self.type, features: features, queues: 1, entries: Self.entries,
            configSize: UInt32(configuration.count))
    }

    private var features: VirtioFeatures {
        var features: VirtioFeatures = [
            .ofQueues, Feature.segments, Feature.blockSize, Feature.flush, Feature.writeCache,
        ]
        if medium.isReadOnly { features.insert(Feature.readOnly) } else { features.insert(Feature.writeZeroes) }
        if discards { features.insert(Feature.discard) }
        return features
    }

    private var discards: Bool { medium.canDiscard && !medium.isReadOnly }

    /// 5.2.4: 60 bytes.
    private var configuration: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 60)
        func put(_ offset: Int, _ width: Int, _ value: UInt64) {
            for byte in 0..<width { bytes[offset + byte] = UInt8(truncatingIfNeeded: value >> (UInt64(byte) * 8)) }
        }
        put(0, 8, capacity)
        put(12, 4, UInt64(Self.entries) - 2)  // seg_max
        put(20, 4, UInt64(medium.sectorSize))  // blk_size
        put(32, 1, writeback ? 1 : 0)
        put(34, 2, 1)  // num_queues
        if discards {
            put(36, 4, UInt64(Self.mostCleared.sectors))
            put(40, 4, UInt64(Self.mostCleared.segments))
            put(44, 4, UInt64(medium.sectorSize / 512))  // discard_sector_alignment
        }
        if !medium.isReadOnly {
            put(48, 4, UInt64(Self.mostCleared.sectors))
            put(52, 4, UInt64(Self.mostCleared.segments))
            put(56, 1, discards ? 1 : 0)  // write_zeroes_may_unmap
        }
        return bytes
    }

    public func readConfig(_ offset: UInt32, width: UInt8) -> UInt32 {
        VirtioConfiguration.read(configuration, offset, width: width)
    }

    /// Only WRITEBACK can be written, where CONFIG_WCE was negotiated.
    public mutating func writeConfig(_ offset: UInt32, width: UInt8, _ value: UInt32, _ features: VirtioFeatures) {
        if offset == 32, width == 1, features.contains(Feature.writeCache) { writeback = value & 1 != 0 }
    }

    /// A write is done only when it lasts (5.2.6.2): the driver knows no flush, or has switched the cache off.
    public func writesThrough(_ features: VirtioFeatures) -> Bool {
        guard features.contains(Feature.flush) else { return true }
        return features.contains(Feature.writeCache) && !writeback
    }

    // MARK: Requests (5.2.6)

    /// The byte at the end of every request.
    public enum Outcome: UInt8, Equatable, Sendable { case ok = 0, ioError = 1, unsupported = 2 }

    /// Sectors of the medium.
    public struct Range: Equatable, Sendable {
        public var sector: UInt64
        public var count: UInt64
        public init(sector: UInt64, count: UInt64) { (self.sector, self.count) = (sector, count) }
    }

    public enum Operation: Equatable, Sendable {
        /// Into what the device writes, from its beginning.
        case read(Range)
        /// Out of what the device reads, behind the header.
        case write(Range)
        case flush
        case zero([Range])
        case discard([Range])
        /// Done already: these bytes for the guest, and how it went.
        case answer([UInt8], Outcome)
    }

    public static let headerSize: UInt32 = 16
    private static let (read, write, flush, identify, discard, writeZeroes) = (
        0 as UInt32, 1 as UInt32, 4 as UInt32, 8 as UInt32, 11 as UInt32, 13 as UInt32
    )

    /// What a request asks for. It has room for its outcome; one that has not cannot be answered.
    public func operation(
        of chain: Chain, _ features: VirtioFeatures, _ memory: some VirtioMemory
    ) throws(VirtQueue.Violation) -> Operation {
        guard chain.readableLength >= Self.headerSize, chain.writableLength >= 1 else { throw .badRequest }
        let header = try chain.read(count: Self.headerSize, memory)
        let sector = Self.number(header[8..<16])
        switch UInt32(truncatingIfNeeded: Self.number(header[0..<4])) {
        case Self.read:
            return range(sector, bytes: chain.writableLength &- 1).map(Operation.read) ?? .answer([], .ioError)
        case Self.write:
            guard !medium.isReadOnly, let range = range(sector, bytes: chain.readableLength &- Self.headerSize) else {
                return .answer([], .ioError)
            }
            return .write(range)
        case Self.flush where features.contains(Feature.flush): return .flush
        case Self.identify: return .answer(serial, .ok)
        case Self.writeZeroes where features.contains(Feature.writeZeroes):
            return try ranges(chain, flags: 1, memory, Operation.zero)
        case Self.discard where features.contains(Feature.discard):
            return try ranges(chain, flags: 0, memory, Operation.discard)
        default: return .answer([], .unsupported)
        }
    }

    /// Segments of 16 bytes: sector, number of sectors, flags, of which bit 0 of WRITE_ZEROES allows to unmap (5.2.6).
    private func ranges(
        _ chain: Chain, flags: UInt64, _ memory: some VirtioMemory, _ make: ([Range]) -> Operation
    ) throws(VirtQueue.Violation) -> Operation {
        let length = chain.readableLength &- Self.headerSize
        guard length > 0, length % 16 == 0, length / 16 <= Self.mostCleared.segments else {
            return .answer([], .ioError)
        }
        let bytes = try chain.read(from: Self.headerSize, count: length, memory)
        var ranges: [Range] = []
        for start in stride(from: 0, to: bytes.count, by: 16) {
            guard Self.number(bytes[start + 12..<start + 16]) & ~flags == 0 else { return .answer([], .unsupported) }
            let count = Self.number(bytes[start + 8..<start + 12])
            guard count <= Self.mostCleared.sectors,
                let range = range(Self.number(bytes[start..<start + 8]), bytes: UInt32(count) &* 512)
            else { return .answer([], .ioError) }
            ranges.append(range)
        }
        return make(ranges)
    }

    /// nil: not whole sectors of the medium, or beyond its end.
    private func range(_ sector: UInt64, bytes: UInt32) -> Range? {
        let (count, ratio) = (UInt64(bytes) / 512, UInt64(medium.sectorSize / 512))
        guard bytes % 512 == 0, sector % ratio == 0, count % ratio == 0, sector <= capacity,
            count <= capacity - sector
        else { return nil }
        return Range(sector: sector / ratio, count: count / ratio)
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}
