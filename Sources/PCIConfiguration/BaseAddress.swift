// Base address registers, the expansion ROM's, and what they claim (PCI 3.0, 6.2.5).

extension ConfigurationSpace {
    public enum BaseAddressKind: Equatable, Sendable {
        case io
        case memory32(prefetchable: Bool)
        /// Takes the next register too.
        case memory64(prefetchable: Bool)
    }

    public struct BaseAddress: Equatable, Sendable {
        /// 0...5; 0 or 1 in a bridge.
        public let index: Int
        public let kind: BaseAddressKind
        /// Bytes, a power of two.
        public let size: UInt64

        public var isPrefetchable: Bool {
            switch kind {
            case .io: false
            case .memory32(let prefetchable), .memory64(let prefetchable): prefetchable
            }
        }

        var is64Bit: Bool { if case .memory64 = kind { true } else { false } }
        var offset: UInt32 { Register.baseAddresses &+ UInt32(truncatingIfNeeded: index) &* 4 }

        /// The read-only low bits: figures 6-5 and 6-6.
        var code: UInt32 {
            switch kind {
            case .io: 0b01
            case .memory32(let prefetchable): prefetchable ? 0b1000 : 0b0000
            case .memory64(let prefetchable): prefetchable ? 0b1100 : 0b0100
            }
        }
    }

    /// What one base address register claims.
    public struct Window: Equatable, Sendable {
        public enum Source: Equatable, Sendable { case baseAddress(Int), rom }
        public enum Space: Equatable, Sendable { case io, memory }

        public var source: Source
        public var space: Space
        public var address: UInt64
        /// Bytes.
        public var size: UInt64
        public var isPrefetchable: Bool
        /// The function answers there now.
        public var isEnabled: Bool
    }

    /// Every base address register's window, in the order in which they were added, then the ROM's.
    public var windows: [Window] {
        var result = layout.baseAddresses.map(window)
        if let rom = romWindow { result.append(rom) }
        return result
    }

    private func window(_ bar: BaseAddress) -> Window {
        let low = register32(bar.offset)
        let isIO = bar.kind == .io
        var address = UInt64(low & (isIO ? ~0b11 : ~0b1111))
        if bar.is64Bit { address |= UInt64(register32(bar.offset &+ 4)) &<< 32 }
        let enabled = powerState == .d0 && command.contains(isIO ? .io : .memory)
        return Window(
            source: .baseAddress(bar.index), space: isIO ? .io : .memory, address: address, size: bar.size,
            isPrefetchable: bar.isPrefetchable,
            isEnabled: enabled && (isIO ? Self.isPort(address, bar.size) : Self.isPlace(address, bar.size)))
    }

    private var romWindow: Window? {
        guard layout.romSize > 0 else { return nil }
        let register = register32(layout.romOffset)
        let address = UInt64(register & ~0x7FF)
        let size = UInt64(layout.romSize)
        return Window(
            source: .rom, space: .memory, address: address, size: size, isPrefetchable: true,
            isEnabled: register & 1 != 0 && command.contains(.memory) && powerState == .d0
                && Self.isPlace(address, size))
    }

    /// An address that a processor can name by IN and OUT, and not the one that sizing leaves.
    private static func isPort(_ address: UInt64, _ size: UInt64) -> Bool {
        address != 0 && address <= 0x1_0000 &- size
    }

    private static func isPlace(_ address: UInt64, _ size: UInt64) -> Bool {
        let end = address &+ size
        return address != 0 && end > address && end != 1 << 32
    }
}

extension ConfigurationSpace.Layout {
    /// - Parameter size: bytes, a power of two: 4...256 for I/O, 16...2 GiB for 32-bit memory, 16...2^63 for 64-bit.
    public mutating func addBaseAddress(
        _ index: Int, _ kind: ConfigurationSpace.BaseAddressKind, size: UInt64
    ) throws(LayoutError) {
        let added = ConfigurationSpace.BaseAddress(index: index, kind: kind, size: size)
        let count = header == .function ? 6 : 2
        guard index >= 0, index < count, !added.is64Bit || index + 1 < count else { throw .noSuchIndex(index) }
        let bounds: ClosedRange<UInt64> = kind == .io ? 4...256 : added.is64Bit ? 16...1 << 63 : 16...1 << 31
        guard bounds.contains(size), size.nonzeroBitCount == 1 else { throw .badSize(size) }
        for other in baseAddresses {
            let (first, last) = (other.index, other.index + (other.is64Bit ? 1 : 0))
            guard index > last || index + (added.is64Bit ? 1 : 0) < first else { throw .occupied(added.offset) }
        }
        let mask = ~(size &- 1)
        put(added.offset, 4, reset: added.code, writable: UInt32(truncatingIfNeeded: mask) & ~0b11)
        if added.is64Bit { put(added.offset &+ 4, 4, writable: UInt32(truncatingIfNeeded: mask &>> 32)) }
        baseAddresses.append(added)
    }

    /// - Parameter size: bytes of the expansion ROM, a power of two of 2 KiB...16 MiB (6.2.5.2).
    public mutating func addROM(size: UInt32) throws(LayoutError) {
        guard romSize == 0 else { throw .twice }
        guard (0x800...0x100_0000).contains(size), size.nonzeroBitCount == 1 else { throw .badSize(UInt64(size)) }
        romSize = size
        put(romOffset, 4, writable: ~(size &- 1) | 1)
    }

    var romOffset: UInt32 { header == .function ? 0x30 : 0x38 }

    /// A byte of a base address register or of the ROM's.
    func isWindow(_ offset: UInt32) -> Bool {
        let end: UInt32 = header == .function ? 0x28 : 0x18
        return (Register.baseAddresses..<end).contains(offset) || (romOffset..<romOffset &+ 4).contains(offset)
    }
}
