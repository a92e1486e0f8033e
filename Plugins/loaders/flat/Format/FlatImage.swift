public import Images

/// Where a flat image goes and how it is entered: what the properties of the loader `flat` come to.
/// Source: Intel SDM volume 3, section 21.1.1 (real-address mode: 20-bit addresses, segment * 16 + offset).
public struct FlatImage: Equatable, Sendable {
    public enum Mode: Int, Sendable { case real = 0, protected }

    /// Why the properties do not go together.
    public enum Problem: Error, Equatable, Sendable {
        case beyondFourGiB(size: UInt64, address: UInt64)
        case entryBeyondAddresses(UInt64, Mode)
        case stackBeyondSegment(UInt64, Mode)
        case outsideRAM(size: UInt64, address: UInt64, ram: RAMMap)

        public var text: String {
            switch self {
            case .beyondFourGiB(let size, let address):
                "the image has \(size) bytes at \(hex(address)) and so goes beyond 4 GiB"
            case .entryBeyondAddresses(let entry, let mode):
                "entry \(hex(entry)) is not below \(hex(mode.end)), the end of what \(mode) mode reaches"
            case .stackBeyondSegment(let stack, let mode):
                "stack \(hex(stack)) is more than a stack pointer of \(mode) mode holds, \(hex(mode.lastStack))"
            case .outsideRAM(let size, let address, let ram):
                "the image has \(size) bytes, \(hex(address)) to \(hex(address + size - 1)), which is not all RAM; "
                    + "RAM is \(ram.text), \(ram.total) bytes"
            }
        }
    }

    public let size: UInt64
    public let address: UInt64
    public let entry: UInt64
    public let stack: UInt64
    public let mode: Mode

    /// `size` in bytes, at least 1.
    public init(
        size: UInt64, address: UInt64, entry: UInt64, stack: UInt64, mode: Mode
    ) throws(Problem) {
        guard address < 1 << 32, size <= 1 << 32 - address else {
            throw .beyondFourGiB(size: size, address: address)
        }
        guard entry < mode.end else { throw .entryBeyondAddresses(entry, mode) }
        guard stack <= mode.lastStack else { throw .stackBeyondSegment(stack, mode) }
        self.size = size
        self.address = address
        self.entry = entry
        self.stack = stack
        self.mode = mode
    }

    public func check(fits ram: RAMMap) throws(Problem) {
        guard ram.contains(address, size) else { throw .outsideRAM(size: size, address: address, ram: ram) }
    }

    /// CS:IP in real mode: segment 0 as long as the offset holds the entry, as a BIOS enters a boot sector; above that
    /// the segment with the smallest offset.
    public var farEntry: (segment: UInt16, offset: UInt16) {
        entry <= 0xFFFF
            ? (0, UInt16(truncatingIfNeeded: entry))
            : (UInt16(truncatingIfNeeded: entry >> 4), UInt16(truncatingIfNeeded: entry & 0xF))
    }
}

extension FlatImage.Mode {
    /// The first address that code cannot be entered at.
    var end: UInt64 { self == .real ? 1 << 20 : 1 << 32 }
    var lastStack: UInt64 { self == .real ? 0xFFFF : 0xFFFF_FFFF }
}
