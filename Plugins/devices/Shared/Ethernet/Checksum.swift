/// The Internet checksum. Source: RFC 1071.
public enum InternetChecksum {
    /// Sum of 16-bit words, most significant byte first, folded; an odd byte counts as the upper half of a word. Up to 16 MiB.
    ///
    /// All bytes, and those at odd places: two sums without a branch, which the optimizer makes vectors of. Word by word
    /// it takes twice as long (1500 bytes, x86-64, swiftc 6.3.1).
    public static func sum(_ bytes: ArraySlice<UInt8>, from start: UInt32 = 0) -> UInt16 {
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
}
