extension FixedWidthInteger where Self: UnsignedInteger {
    var littleEndianBytes: [UInt8] {
        (0..<Self.bitWidth / 8).map { UInt8(truncatingIfNeeded: self &>> Self(8 &* $0)) }
    }
}

extension Array<UInt8> {
    /// `count` bytes of `text`, cut or filled up with `filler`.
    init(fixed text: String, _ count: Int, filler: UInt8 = 0) {
        let bytes = Array(text.utf8.prefix(count))
        self = bytes + [UInt8](repeating: filler, count: count - bytes.count)
    }

    /// What makes the sum of these bytes zero.
    var checksum: UInt8 { 0 &- reduce(0, &+) }

    /// Replaces what is at `offset`. Where that is beyond the end nothing happens.
    mutating func put(_ bytes: [UInt8], at offset: Int) {
        guard offset >= 0, bytes.count <= count, offset <= count - bytes.count else { return }
        replaceSubrange(offset..<offset + bytes.count, with: bytes)
    }
}
