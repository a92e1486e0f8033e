/// Reads little-endian numbers out of an image, each within its bounds: what lies outside is nil, never a trap.
public struct ByteReader: Sendable {
    public let bytes: [UInt8]

    public init(_ bytes: [UInt8]) { self.bytes = bytes }

    public var count: UInt64 { UInt64(bytes.count) }

    /// `count` bytes from `offset`; nil where any of them is outside. An empty slice may lie at the very end.
    public func slice(_ offset: UInt64, _ count: UInt64) -> ArraySlice<UInt8>? {
        guard offset <= self.count, count <= self.count - offset else { return nil }
        return bytes[Int(offset)..<Int(offset + count)]
    }

    public func u8(_ offset: UInt64) -> UInt8? { number(offset) }
    public func u16(_ offset: UInt64) -> UInt16? { number(offset) }
    public func u32(_ offset: UInt64) -> UInt32? { number(offset) }
    public func u64(_ offset: UInt64) -> UInt64? { number(offset) }

    private func number<T: FixedWidthInteger & UnsignedInteger>(_ offset: UInt64) -> T? {
        guard let bytes = slice(offset, UInt64(T.bitWidth / 8)) else { return nil }
        return bytes.reversed().reduce(T(0)) { $0 << 8 | T($1) }
    }
}

extension Array where Element == UInt8 {
    /// Appends a number in little-endian order.
    public mutating func append(littleEndian value: some FixedWidthInteger & UnsignedInteger) {
        for shift in stride(from: 0, to: value.bitWidth, by: 8) {
            append(UInt8(truncatingIfNeeded: value >> shift))
        }
    }
}

/// 0x7c00, as addresses are written in messages.
public func hex(_ value: some BinaryInteger) -> String { "0x" + String(value, radix: 16) }
