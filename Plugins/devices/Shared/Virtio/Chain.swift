/// A buffer that the driver has made available: a chain of extents of guest memory, those that the device reads before those that it writes
/// (virtio 1.2, 2.7.4). How it is divided among descriptors says nothing (2.7.4.1).
public struct Chain: Equatable, Sendable {
    public struct Extent: Equatable, Sendable {
        public var address: UInt64
        public var length: UInt32
        public init(address: UInt64, length: UInt32) { (self.address, self.length) = (address, length) }
    }

    /// By which the driver knows it.
    public let head: UInt16
    public private(set) var readable: [Extent] = []
    public private(set) var writable: [Extent] = []
    /// Bytes of each; together less than 2^32.
    public private(set) var readableLength: UInt32 = 0
    public private(set) var writableLength: UInt32 = 0

    public init(head: UInt16) { self.head = head }

    mutating func add(_ descriptor: VirtQueue.Descriptor) throws(VirtQueue.Violation) {
        let (length, overflow) = (readableLength &+ writableLength).addingReportingOverflow(descriptor.length)
        guard !overflow else { throw .tooLong }
        let extent = Extent(address: descriptor.address, length: descriptor.length)
        if descriptor.flags.contains(.write) {
            writable.append(extent)
            writableLength = length &- readableLength
        } else {
            guard writable.isEmpty else { throw .badOrder }
            readable.append(extent)
            readableLength = length
        }
    }

    /// The extents of `count` bytes from `offset`, or of those that there are.
    public static func part(_ extents: [Extent], from offset: UInt32, count: UInt32) -> [Extent] {
        var (skip, left) = (offset, count)
        var part: [Extent] = []
        for extent in extents where left > 0 {
            guard skip < extent.length else {
                skip &-= extent.length
                continue
            }
            let length = min(extent.length &- skip, left)
            part.append(Extent(address: extent.address &+ UInt64(skip), length: length))
            left &-= length
            skip = 0
        }
        return part
    }

    /// Up to `count` bytes of what the device reads; fewer where there are fewer.
    public func read(
        from offset: UInt32 = 0, count: UInt32, _ memory: some VirtioMemory
    ) throws(VirtQueue.Violation) -> [UInt8] {
        let part = Chain.part(readable, from: offset, count: count)
        if part.count == 1 {
            guard let bytes = memory.read(part[0].address, count: Int(part[0].length)) else { throw .notMemory }
            return bytes
        }
        var all: [UInt8] = []
        for extent in part {
            guard let bytes = memory.read(extent.address, count: Int(extent.length)) else { throw .notMemory }
            all += bytes
        }
        return all
    }

    /// Writes what there is room for.
    /// - Returns: bytes written.
    @discardableResult
    public func write(
        _ bytes: [UInt8], at offset: UInt32 = 0, _ memory: some VirtioMemory
    ) throws(VirtQueue.Violation) -> UInt32 {
        var done = 0
        for extent in Chain.part(writable, from: offset, count: UInt32(clamping: bytes.count)) {
            let end = done &+ Int(extent.length)
            guard memory.write(extent.address, bytes[done..<end]) else { throw .notMemory }
            done = end
        }
        return UInt32(truncatingIfNeeded: done)
    }
}
