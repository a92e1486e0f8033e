/// Addresses that registers have in two halves.
extension UInt64 {
    public mutating func setLow(_ value: UInt32) { self = self & 0xFFFF_FFFF_0000_0000 | UInt64(value) }
    public mutating func setHigh(_ value: UInt32) { self = self & 0xFFFF_FFFF | UInt64(value) << 32 }
}
