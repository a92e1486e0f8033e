/// A byte image that is built up by writing numbers at offsets.
public struct ImageBytes {
    public var bytes: [UInt8]

    public init(count: Int) { bytes = [UInt8](repeating: 0, count: count) }

    public mutating func put(_ value: some FixedWidthInteger & UnsignedInteger, at offset: Int) {
        for index in 0..<value.bitWidth / 8 { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * index)) }
    }

    public mutating func put(_ values: [UInt8], at offset: Int) {
        bytes.replaceSubrange(offset..<offset + values.count, with: values)
    }
}

/// A fixed sequence of numbers, so that a failure comes again. (Marsaglia's xorshift64.)
public struct Sequence64 {
    public var value: UInt64
    public init(_ seed: UInt64) { value = seed }
    public mutating func next() -> UInt64 {
        value ^= value << 13
        value ^= value >> 7
        value ^= value << 17
        return value
    }
    public mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }
}
