/// Bytes that a loader writes to memory.
public struct LoadPiece: Equatable, Sendable {
    /// Guest-physical.
    public var address: UInt64
    public var bytes: ArraySlice<UInt8>
    /// At least the bytes' count; what is beyond them is zero.
    public var memorySize: UInt64

    public init(address: UInt64, bytes: ArraySlice<UInt8>, memorySize: UInt64) {
        self.address = address
        self.bytes = bytes
        self.memorySize = max(memorySize, UInt64(bytes.count))
    }

    public init(address: UInt64, bytes: [UInt8]) {
        self.init(address: address, bytes: bytes[...], memorySize: UInt64(bytes.count))
    }

    /// Empty where it would go beyond the address space.
    public var range: Range<UInt64> {
        let (end, overflow) = address.addingReportingOverflow(memorySize)
        return overflow ? address..<address : address..<end
    }
}

extension ELFImage {
    /// Its segments at their physical addresses. `bytes` are those that it was made of.
    public func pieces(of bytes: [UInt8]) -> [LoadPiece] {
        let reader = ByteReader(bytes)
        return segments.map {
            LoadPiece(
                address: $0.physical, bytes: reader.slice($0.offset, $0.fileSize) ?? [], memorySize: $0.memorySize)
        }
    }
}
