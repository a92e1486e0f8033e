/// Configuration mechanism #1: the address latch at 0xCF8 and the data window at 0xCFC (PCI 3.0, 3.2.2.3.2). A host bridge
/// has one.
public struct ConfigurationAddress: Equatable, Sendable {
    // MARK: State: a snapshot is exactly this, and its default is the reset value

    /// Bit 31 enables; 23:16 bus, 15:11 device, 10:8 function, 7:2 register. Bits 30:24 and 1:0 are 0.
    public private(set) var value: UInt32 = 0

    private static let writable: UInt32 = 0x80FF_FFFC

    public init() {}

    /// What an access to the data window is for.
    public struct Target: Equatable, Sendable {
        public var bus: UInt8
        /// 0...31.
        public var device: UInt8
        /// 0...7.
        public var function: UInt8
        /// The byte of configuration space, 0...255.
        public var offset: UInt32

        /// Device and function as one number, 0...255.
        public var index: UInt8 { device &<< 3 | function }
    }

    public mutating func reset() { value = 0 }

    /// Writes 0xCF8: 32 bits at once; other accesses are not the latch's.
    public mutating func write(_ value: UInt32) { self.value = value & Self.writable }

    /// - Parameter byte: 0...3, from 0xCFC.
    /// - Returns: nil: the latch is not enabled, and the access is an ordinary one to I/O space.
    public func target(_ byte: UInt32) -> Target? {
        guard value & 1 << 31 != 0 else { return nil }
        return Target(
            bus: UInt8(truncatingIfNeeded: value >> 16), device: UInt8(truncatingIfNeeded: value >> 11) & 0x1F,
            function: UInt8(truncatingIfNeeded: value >> 8) & 7, offset: value & 0xFC | byte & 3)
    }
}
