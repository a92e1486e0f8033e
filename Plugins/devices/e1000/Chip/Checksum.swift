import Ethernet

/// Where a frame has its checksums.
enum Checksum {
    /// Puts the complement of the sum of `start`...`end` (0: to the last byte) at `place`. Where one of them is outside of the
    /// frame nothing happens. `avoidsZero`: UDP's zero means that there is none.
    static func insert(into frame: inout [UInt8], at place: Int, start: Int, end: Int, avoidsZero: Bool) {
        let last = end == 0 || end >= frame.count ? frame.count : end + 1
        guard start < last, place + 2 <= frame.count else { return }
        var value = ~InternetChecksum.sum(frame[start..<last])
        if value == 0 && avoidsZero { value = 0xFFFF }
        frame.put(value, at: place)
    }
}

extension Array<UInt8> {
    /// A number, most significant byte first; 0 where it is outside.
    func word(at offset: Int) -> UInt16 {
        guard offset >= 0, offset + 2 <= count else { return 0 }
        return UInt16(self[offset]) << 8 | UInt16(self[offset + 1])
    }

    /// The same, to write; outside nothing happens.
    mutating func put(_ value: UInt16, at offset: Int) {
        guard offset >= 0, offset + 2 <= count else { return }
        self[offset] = UInt8(value >> 8)
        self[offset + 1] = UInt8(truncatingIfNeeded: value)
    }
}
