// Memory as engines get it: whole pages of guest-physical space that are plain host memory.

/// Where plain memory lies: on the host, and among the pages of `PageFlags`.
public struct Backing: Equatable, @unchecked Sendable {
    /// SAFETY: lives until the machine ends or a later change of the memory map no longer names it.
    public var host: UnsafeMutableRawPointer
    /// The byte's place in all the memory behind the machine: its page is `address >> 12` in `PageFlags`.
    public var address: UInt64

    public init(host: UnsafeMutableRawPointer, address: UInt64) {
        self.host = host
        self.address = address
    }

    public func advanced(by bytes: UInt64) -> Backing {
        Backing(host: host + Int(truncatingIfNeeded: bytes), address: address &+ bytes)
    }
}

/// Pages of guest-physical memory that are plain host memory, for reads, for writes, or for both. The lists that an engine gets are
/// ascending and disjoint.
public struct MappedMemory: Equatable, @unchecked Sendable {
    /// Guest-physical, a multiple of 4096, as are `length` and the hosts.
    public var address: UInt64
    public var length: UInt64
    /// What reads and fetches see; nil: they come to the core as MMIO reads.
    public var read: Backing?
    /// What writes reach; nil (ROM, watched pages): they come to the core as MMIO writes. It may be other memory than `read` (shadow RAM
    /// that is written while ROM is read).
    public var write: Backing?

    public init(address: UInt64, length: UInt64, read: Backing?, write: Backing?) {
        self.address = address
        self.length = length
        self.read = read
        self.write = write
    }

    /// Memory of one backing, whose page flags are those of its own guest-physical address: for engines without a machine.
    public init(address: UInt64, length: UInt64, host: UnsafeMutableRawPointer, isReadOnly: Bool) {
        let backing = Backing(host: host, address: address)
        self.init(address: address, length: length, read: backing, write: isReadOnly ? nil : backing)
    }

    public var last: UInt64 { address &+ (length &- 1) }
    public func contains(_ physical: UInt64) -> Bool { physical &- address < length }

    /// The part inside `range`; nil: there is none. `range` is of whole pages.
    public func clipped(to range: ClosedRange<UInt64>) -> MappedMemory? {
        let first = max(address, range.lowerBound)
        let last = min(self.last, range.upperBound)
        guard first <= last else { return nil }
        return MappedMemory(
            address: first, length: last &- first &+ 1, read: read?.advanced(by: first &- address),
            write: write?.advanced(by: first &- address))
    }

    /// Whether `next` goes on where this one ends, on the host too.
    private func isContinued(by next: MappedMemory) -> Bool {
        address &+ length == next.address && next.address != 0 && read?.advanced(by: length) == next.read
            && write?.advanced(by: length) == next.write
    }

    /// Replaces what lies in `range` in a list that is ascending and disjoint. `new` lies inside of `range`.
    public static func replace(
        _ range: ClosedRange<UInt64>, in pieces: inout [MappedMemory], by new: [MappedMemory]
    ) {
        var low = pieces.firstIndex { $0.last >= range.lowerBound } ?? pieces.count
        var high = pieces[low...].firstIndex { $0.address > range.upperBound } ?? pieces.count
        var middle: [MappedMemory] = []
        if low < high, pieces[low].address < range.lowerBound,
            let left = pieces[low].clipped(to: pieces[low].address...(range.lowerBound - 1))
        {
            middle.append(left)
        }
        middle += new
        if low < high, pieces[high - 1].last > range.upperBound,
            let right = pieces[high - 1].clipped(to: (range.upperBound + 1)...pieces[high - 1].last)
        {
            middle.append(right)
        }
        // Neighbours that continue each other become one.
        if low > 0 { middle.insert(pieces[low - 1], at: 0) }
        if high < pieces.count { middle.append(pieces[high]) }
        low = max(0, low - 1)
        high = min(pieces.count, high + 1)
        var joined: [MappedMemory] = []
        for piece in middle {
            if let previous = joined.last, previous.isContinued(by: piece) {
                joined[joined.count - 1].length &+= piece.length
            } else {
                joined.append(piece)
            }
        }
        pieces.replaceSubrange(low..<high, with: joined)
    }
}
