import CBackplane
import Glibc

/// Memory that is mapped into guest-physical space: RAM by the machine, regions by plugins.
struct MemoryMapping {
    var id: bp_id
    var owner: ObjectIdentifier?
    /// 0: the machine's RAM.
    var region: bp_id
    var offset: UInt64
    var address: UInt64
    var length: UInt64
    var backing: Backing
    var kind: MemoryKind
    /// What it answers now, and what it may answer: BP_MAP_*.
    var directions: UInt32
    var allowed: UInt32
    var priority: Int64
    var sequence: UInt64

    var last: UInt64 { address &+ (length &- 1) }
    var range: ClosedRange<UInt64> { address...last }
    var layer: AddressLayer {
        AddressLayer(
            first: address, last: last, priority: priority, sequence: sequence,
            reads: directions & UInt32(BP_MAP_READ) != 0, writes: directions & UInt32(BP_MAP_WRITE) != 0,
            target: .memory(backing, kind))
    }
}

/// Regions that plugins own, and everything that is mapped into guest-physical space. Guarded by the machine's lock.
struct MemoryRegions {
    struct Region {
        var id: bp_id
        var owner: PluginInstance
        var key: String
        var kind: MemoryKind
        /// SAFETY: mapped once, a multiple of 4096 bytes, unmapped when the machine ends.
        var bytes: UnsafeMutableRawBufferPointer
        /// As asked for.
        var length: UInt64
        /// Its first page in `PageFlags`.
        var page: UInt64

        var backing: Backing { Backing(host: bytes.baseAddress.unsafelyUnwrapped, address: page << 12) }
    }

    static let regionLimit: UInt64 = 256 << 20
    static let instanceLimit: UInt64 = 1 << 30

    private(set) var regions: [Region] = []
    var mappings: [MemoryMapping] = []
    private var ram: (backing: Backing, length: UInt64)?
    private let flags: PageFlags
    /// Of regions that are gone, until the next ones go.
    private var retired: [(bytes: UnsafeMutableRawBufferPointer, page: UInt64)] = []
    private static let both = UInt32(BP_MAP_READ | BP_MAP_WRITE)

    init(_ flags: PageFlags) { self.flags = flags }

    /// False: there are not so many pages.
    mutating func addRAM(_ ram: GuestRAM, newID: () -> bp_id) -> Bool {
        guard let page = flags.reserve((ram.length + 4095) >> 12) else { return false }
        let backing = Backing(host: ram.base, address: page << 12)
        self.ram = (backing, ram.length)
        for piece in ram.pieces {
            mappings.append(
                MemoryMapping(
                    id: newID(), owner: nil, region: 0, offset: piece.offset, address: piece.address,
                    length: piece.length, backing: backing.advanced(by: piece.offset), kind: .main,
                    directions: Self.both, allowed: Self.both, priority: AddressMap.ramPriority, sequence: 0))
        }
        return true
    }

    /// nil: over a limit, or the key is taken.
    mutating func addRegion(
        id: bp_id, owner: PluginInstance, key: String, kind: MemoryKind, length: UInt64
    ) -> UnsafeMutableRawPointer? {
        let own = regions.filter { $0.owner === owner }
        let total = own.reduce(0) { $0 + UInt64($1.bytes.count) }
        guard length > 0, length <= MemoryRegions.regionLimit, total + length <= MemoryRegions.instanceLimit,
            !own.contains(where: { $0.key == key }), own.count < 1024
        else { return nil }
        let size = Int((length + 4095) & ~4095)
        let memory = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        guard let memory, memory != MAP_FAILED else { return nil }
        guard let page = flags.reserve(UInt64(size) >> 12) else {
            munmap(memory, size)
            return nil
        }
        let bytes = UnsafeMutableRawBufferPointer(start: memory, count: size)
        regions.append(
            Region(id: id, owner: owner, key: key, kind: kind, bytes: bytes, length: length, page: page))
        return memory
    }

    /// What a plugin wants mapped: `bp_mapping` without what belongs to its layout. Region 0 is the machine's RAM.
    struct Request {
        var region: bp_id
        var offset: UInt64
        var address: UInt64
        var length: UInt64
        var priority: Int32
        /// BP_MAP_*, not 0.
        var directions: UInt32
    }

    /// BP_OK, BP_NOT_FOUND (no such region of the owner's), BP_INVALID or BP_NO_MEMORY.
    mutating func map(_ request: Request, id: bp_id, owner: PluginInstance) -> Int {
        let memory: (backing: Backing, length: UInt64, kind: MemoryKind)
        if request.region == 0, let ram {
            memory = (ram.backing, ram.length, .main)
        } else if let region = regions.first(where: { $0.id == request.region && $0.owner === owner }) {
            memory = (region.backing, UInt64(region.bytes.count), region.kind)
        } else {
            return BP_NOT_FOUND
        }
        let (end, overflow) = request.offset.addingReportingOverflow(request.length)
        guard request.length > 0, !overflow, end <= memory.length,
            (request.offset | request.address | request.length) & 4095 == 0,
            !request.address.addingReportingOverflow(request.length - 1).overflow,
            request.directions != 0, request.directions & ~Self.both == 0
        else { return BP_INVALID }
        guard mappings.count < 65536 else { return BP_NO_MEMORY }
        mappings.append(
            MemoryMapping(
                id: id, owner: ObjectIdentifier(owner), region: request.region, offset: request.offset,
                address: request.address, length: request.length, backing: memory.backing.advanced(by: request.offset),
                kind: memory.kind, directions: request.directions, allowed: request.directions,
                priority: Int64(request.priority), sequence: id))
        return BP_OK
    }

    /// The mapping of equal priority that overlaps and answers the same directions, of another id.
    func conflict(of id: bp_id) -> MemoryMapping? {
        guard let mine = mappings.first(where: { $0.id == id }) else { return nil }
        return mappings.first {
            $0.id != id && $0.priority == mine.priority && $0.address <= mine.last && mine.address <= $0.last
                && $0.allowed & mine.allowed != 0
        }
    }

    private func index(of id: bp_id, _ owner: PluginInstance) -> Int? {
        mappings.firstIndex { $0.id == id && $0.owner == ObjectIdentifier(owner) }
    }

    /// What it covered; nil: the owner has no such mapping.
    mutating func unmap(_ id: bp_id, owner: PluginInstance) -> ClosedRange<UInt64>? {
        guard let index = index(of: id, owner) else { return nil }
        return mappings.remove(at: index).range
    }

    /// BP_OK, BP_NOT_FOUND or BP_INVALID, and what it covered and covers.
    mutating func move(_ id: bp_id, owner: PluginInstance, to address: UInt64) -> (Int, [ClosedRange<UInt64>]) {
        guard let index = index(of: id, owner) else { return (BP_NOT_FOUND, []) }
        guard address & 4095 == 0, !address.addingReportingOverflow(mappings[index].length - 1).overflow else {
            return (BP_INVALID, [])
        }
        let before = mappings[index].range
        mappings[index].address = address
        return (BP_OK, [before, mappings[index].range])
    }

    /// BP_OK, BP_NOT_FOUND or BP_INVALID (a direction that it was not made with), and what it covers where anything changed.
    mutating func direct(_ id: bp_id, owner: PluginInstance, _ directions: UInt32) -> (Int, ClosedRange<UInt64>?) {
        guard let index = index(of: id, owner) else { return (BP_NOT_FOUND, nil) }
        guard directions & ~mappings[index].allowed == 0 else { return (BP_INVALID, nil) }
        guard mappings[index].directions != directions else { return (BP_OK, nil) }
        mappings[index].directions = directions
        return (BP_OK, mappings[index].range)
    }

    /// What they covered.
    mutating func unmapAll(of owner: PluginInstance) -> [ClosedRange<UInt64>] {
        let gone = mappings.filter { $0.owner == ObjectIdentifier(owner) }.map(\.range)
        mappings.removeAll { $0.owner == ObjectIdentifier(owner) }
        return gone
    }

    /// The regions of an instance that goes while the machine runs, unmapped from the guest before. `forget` is told of their pages. Their
    /// bytes go with the next ones that are freed: an instruction that is half done may still have its pointer (a policy is removed
    /// while an access of a string instruction waits for its answer).
    mutating func free(of owner: PluginInstance, forget: (_ address: UInt64, _ length: UInt64) -> Void) {
        let own = regions.filter { $0.owner === owner }
        guard !own.isEmpty else { return }
        freeRetired()
        for region in own { forget(region.backing.address, UInt64(region.bytes.count)) }
        retired = own.map { ($0.bytes, $0.page) }
        regions.removeAll { $0.owner === owner }
    }

    private mutating func freeRetired() {
        for (bytes, page) in retired {
            flags.release(page, UInt64(bytes.count) >> 12)
            munmap(bytes.baseAddress, bytes.count)
        }
        retired = []
    }

    func region(of id: bp_id) -> Region? { regions.first { $0.id == id } }

    mutating func freeAll() {
        freeRetired()
        for region in regions { munmap(region.bytes.baseAddress, region.bytes.count) }
        regions = []
        mappings = []
    }
}
