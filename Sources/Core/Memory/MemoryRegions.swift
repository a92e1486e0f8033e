import CBackplane
import Glibc

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
    }

    static let regionLimit: UInt64 = 256 << 20
    static let instanceLimit: UInt64 = 1 << 30

    private(set) var regions: [Region] = []
    var mappings: [MemoryMapping] = []
    private var sequence: UInt64 = 0

    mutating func addRAM(_ ram: GuestRAM, newID: () -> bp_id) {
        for piece in ram.pieces {
            mappings.append(
                MemoryMapping(
                    id: newID(), owner: nil, region: 0, offset: piece.offset, address: piece.address,
                    length: piece.length, host: ram.base + Int(piece.offset), kind: .main,
                    priority: AddressMap.ramPriority, sequence: 0))
        }
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
        let bytes = UnsafeMutableRawBufferPointer(start: memory, count: size)
        regions.append(
            Region(id: id, owner: owner, key: key, kind: kind, bytes: bytes, length: length))
        return memory
    }

    /// BP_OK, BP_NOT_FOUND, BP_INVALID or BP_OVERLAP (of equal priority).
    mutating func map(
        id: bp_id, region: bp_id, owner: PluginInstance, offset: UInt64, address: UInt64, length: UInt64,
        priority: Int32
    ) -> Int {
        guard let region = regions.first(where: { $0.id == region && $0.owner === owner }) else { return BP_NOT_FOUND }
        let (end, overflow) = offset.addingReportingOverflow(length)
        guard length > 0, !overflow, end <= UInt64(region.bytes.count), offset & 4095 == 0, address & 4095 == 0,
            length & 4095 == 0, !address.addingReportingOverflow(length - 1).overflow
        else { return BP_INVALID }
        guard mappings.count < 65536 else { return BP_NO_MEMORY }
        sequence += 1
        mappings.append(
            MemoryMapping(
                id: id, owner: ObjectIdentifier(owner), region: region.id, offset: offset, address: address,
                length: length, host: region.bytes.baseAddress! + Int(offset), kind: region.kind,
                priority: Int64(priority), sequence: sequence))
        return BP_OK
    }

    /// The mapping of equal priority that overlaps, of another id.
    func conflict(of id: bp_id) -> MemoryMapping? {
        guard let mine = mappings.first(where: { $0.id == id }) else { return nil }
        return mappings.first {
            $0.id != id && $0.priority == mine.priority && $0.address <= mine.last && mine.address <= $0.last
        }
    }

    mutating func unmap(_ id: bp_id, owner: PluginInstance) -> Bool {
        let before = mappings.count
        mappings.removeAll { $0.id == id && $0.owner == ObjectIdentifier(owner) }
        return mappings.count != before
    }

    mutating func move(_ id: bp_id, owner: PluginInstance, to address: UInt64) -> Int {
        guard let index = mappings.firstIndex(where: { $0.id == id && $0.owner == ObjectIdentifier(owner) }) else {
            return BP_NOT_FOUND
        }
        guard address & 4095 == 0, !address.addingReportingOverflow(mappings[index].length - 1).overflow else {
            return BP_INVALID
        }
        mappings[index].address = address
        return BP_OK
    }

    /// False: there was nothing to unmap.
    mutating func unmapAll(of owner: PluginInstance) -> Bool {
        let before = mappings.count
        mappings.removeAll { $0.owner == ObjectIdentifier(owner) }
        return mappings.count != before
    }

    /// The regions of an instance that goes while the machine runs, unmapped from the guest before.
    mutating func free(of owner: PluginInstance) {
        for region in regions where region.owner === owner { munmap(region.bytes.baseAddress, region.bytes.count) }
        regions.removeAll { $0.owner === owner }
    }

    func region(of id: bp_id) -> Region? { regions.first { $0.id == id } }

    mutating func freeAll() {
        for region in regions { munmap(region.bytes.baseAddress, region.bytes.count) }
        regions = []
        mappings = []
    }
}
