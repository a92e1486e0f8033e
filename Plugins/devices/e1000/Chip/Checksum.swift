/// The Internet checksum. Source: RFC 1071.
enum Checksum {
    /// Sum of 16-bit words, most significant byte first, folded; an odd byte counts as the upper half of a word. Up to 16 MiB.
    ///
    /// All bytes, and those at odd places: two sums without a branch, which the optimizer makes vectors of. Word by word
    /// it takes twice as long (1500 bytes, x86-64, swiftc 6.3.1).
    static func sum(_ bytes: ArraySlice<UInt8>, from start: UInt32 = 0) -> UInt16 {
        let span = bytes.span
        var (all, odd): (UInt32, UInt32) = (0, 0)
        for index in 0..<span.count {
            let byte = UInt32(span[index])
            all &+= byte
            odd &+= byte & (0 &- (UInt32(truncatingIfNeeded: index) & 1))
        }
        var sum = UInt64(start) &+ UInt64(all &- odd) << 8 &+ UInt64(odd)
        while sum > 0xFFFF { sum = sum & 0xFFFF &+ sum >> 16 }
        return UInt16(truncatingIfNeeded: sum)
    }

    /// Puts the complement of the sum of `start`...`end` (0: to the last byte) at `place`. Where one of them is outside of the
    /// frame nothing happens. `avoidsZero`: UDP's zero means that there is none.
    static func insert(into frame: inout [UInt8], at place: Int, start: Int, end: Int, avoidsZero: Bool) {
        let last = end == 0 || end >= frame.count ? frame.count : end + 1
        guard start < last, place + 2 <= frame.count else { return }
        var value = ~sum(frame[start..<last])
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
