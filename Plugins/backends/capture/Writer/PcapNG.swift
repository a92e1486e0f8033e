/// Blocks of a pcapng file, little-endian.
///
/// Source: draft-ietf-opsawg-pcapng, 4.1 to 4.3. One section with one interface, of Ethernet, whose times have nanoseconds.
public enum PcapNG {
    /// As the card sees it.
    public enum Direction: UInt32, Sendable { case inbound = 1, outbound = 2 }

    private enum BlockType {
        static let section: UInt32 = 0x0A0D_0D0A
        static let interface: UInt32 = 1
        static let enhancedPacket: UInt32 = 6
        /// Local use, 10.1: readers skip it.
        static let filler: UInt32 = 0x8000_0000
    }

    private enum Option {
        static let end: UInt16 = 0
        static let application: UInt16 = 4  // shb_userappl
        static let name: UInt16 = 2  // if_name
        static let resolution: UInt16 = 9  // if_tsresol
        static let flags: UInt16 = 2  // epb_flags
        static let lost: UInt16 = 4  // epb_dropcount
    }

    private static let ethernet: UInt16 = 1

    /// What a file begins with: its section and the one interface.
    public static func head(interface name: String) -> [UInt8] {
        var section = Block(BlockType.section)
        section.put(0x1A2B_3C4D as UInt32)
        section.put(1 as UInt16)
        section.put(0 as UInt16)
        // The section's length is not given.
        section.put(UInt64.max)
        section.put(Option.application, Array("Backplane".utf8))
        var interface = Block(BlockType.interface)
        interface.put(ethernet)
        interface.put(0 as UInt16)
        // No frame is cut.
        interface.put(0 as UInt32)
        interface.put(Option.name, Array(name.utf8))
        interface.put(Option.resolution, [9])
        return section.finished() + interface.finished()
    }

    /// - Parameters:
    ///   - time: nanoseconds since 1970, UTC.
    ///   - lost: frames that are missing before this one.
    public static func packet(
        _ frame: UnsafeRawBufferPointer, at time: UInt64, _ direction: Direction, lost: UInt64
    ) -> [UInt8] {
        var packet = Block(BlockType.enhancedPacket, capacity: frame.count + 80)
        packet.put(0 as UInt32)
        packet.put(UInt32(truncatingIfNeeded: time >> 32))
        packet.put(UInt32(truncatingIfNeeded: time))
        packet.put(UInt32(truncatingIfNeeded: frame.count))
        packet.put(UInt32(truncatingIfNeeded: frame.count))
        packet.put(frame)
        packet.put(Option.flags, direction.rawValue | reception(frame) << 2)
        if lost > 0 { packet.put(Option.lost, lost) }
        return packet.finished()
    }

    /// A block that says nothing.
    /// - Parameter count: its bytes, a multiple of four, at least 12.
    static func filler(_ count: Int) -> [UInt8] {
        var filler = Block(BlockType.filler, capacity: count)
        filler.put([UInt8](repeating: 0, count: max(count - 12, 0)))
        return filler.closed()
    }

    /// Bits 4:2 of epb_flags: unicast 1, multicast 2, broadcast 3; 0: it cannot be told.
    private static func reception(_ frame: UnsafeRawBufferPointer) -> UInt32 {
        guard frame.count >= 6 else { return 0 }
        if frame[..<6].allSatisfy({ $0 == 0xFF }) { return 3 }
        return frame[0] & 1 != 0 ? 2 : 1
    }

    private struct Block {
        private var bytes: [UInt8] = []

        init(_ type: UInt32, capacity: Int = 128) {
            bytes.reserveCapacity(capacity)
            put(type)
            // The length, known at last.
            put(0 as UInt32)
        }

        mutating func put<T: FixedWidthInteger>(_ value: T) { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }

        mutating func put(_ data: [UInt8]) { bytes += data }

        /// Filled up to a multiple of four.
        mutating func put(_ data: UnsafeRawBufferPointer) {
            bytes += data
            while bytes.count % 4 != 0 { bytes.append(0) }
        }

        mutating func put<T: FixedWidthInteger>(_ option: UInt16, _ value: T) {
            withUnsafeBytes(of: value.littleEndian) { put(option, $0) }
        }

        mutating func put(_ option: UInt16, _ value: [UInt8]) { value.withUnsafeBytes { put(option, $0) } }

        /// What is longer than an option can be is cut.
        private mutating func put(_ option: UInt16, _ value: UnsafeRawBufferPointer) {
            let value = UnsafeRawBufferPointer(rebasing: value.prefix(Int(UInt16.max)))
            put(option)
            put(UInt16(truncatingIfNeeded: value.count))
            put(value)
        }

        /// With the end of options.
        mutating func finished() -> [UInt8] {
            put(Option.end)
            put(0 as UInt16)
            return closed()
        }

        mutating func closed() -> [UInt8] {
            let length = UInt32(truncatingIfNeeded: bytes.count + 4)
            put(length)
            withUnsafeBytes(of: length.littleEndian) { bytes.replaceSubrange(4..<8, with: $0) }
            return bytes
        }
    }
}
