import CBackplane
import CHost

/// What memory is to the guest: where loaders may put something, and what firmware's tables say of it.
enum MemoryKind: Equatable {
    /// The machine's own RAM, and regions that are to be like it.
    case main
    /// Guest writes are dropped.
    case rom
    /// It behaves as RAM does, and is a device's: video RAM.
    case device

    /// Of a region, by BP_REGION_*; nil: there is no such kind.
    init?(region kind: UInt32) {
        switch Int(kind) {
        case BP_REGION_RAM, BP_REGION_DEVICE: self = .device
        case BP_REGION_ROM: self = .rom
        case BP_REGION_MAIN: self = .main
        default: return nil
        }
    }

    /// BP_REGION_* in the layout.
    var layoutKind: UInt32 {
        switch self {
        case .main: UInt32(BP_REGION_RAM)
        case .rom: UInt32(BP_REGION_ROM)
        case .device: UInt32(BP_REGION_DEVICE)
        }
    }

    var isReadOnly: Bool { self == .rom }
}

/// A part of guest-physical space that one thing answers.
struct AddressSegment: Equatable {
    enum Target: Equatable {
        /// Number of the claim.
        case claim(Int)
        /// Plain host memory.
        case memory(UnsafeMutableRawPointer, MemoryKind)
    }
    var first: UInt64
    var last: UInt64
    var target: Target
}

/// Memory that is mapped into guest-physical space: RAM by the machine, regions by plugins.
struct MemoryMapping {
    var id: bp_id
    var owner: ObjectIdentifier?
    var region: bp_id
    var offset: UInt64
    var address: UInt64
    var length: UInt64
    var host: UnsafeMutableRawPointer
    var kind: MemoryKind
    var priority: Int64
    var sequence: UInt64
    var last: UInt64 { address &+ (length &- 1) }
}

/// Guest-physical space, flattened from claims and mappings whenever one of them changes.
struct AddressMap {
    private(set) var segments: [AddressSegment] = []
    /// The machine's RAM has the lowest priority of all.
    static let ramPriority = Int64.min

    mutating func rebuild(_ claims: ClaimTable, _ mappings: [MemoryMapping]) {
        struct Layer {
            var first: UInt64
            var last: UInt64
            var priority: Int64
            var sequence: UInt64
            var target: AddressSegment.Target
        }
        var layers = mappings.map {
            Layer(
                first: $0.address, last: $0.last, priority: $0.priority, sequence: $0.sequence,
                target: .memory($0.host, $0.kind))
        }
        for number in claims.inOrder(of: BP_SPACE_MEMORY) {
            let record = claims.records[number]
            layers.append(
                Layer(
                    first: record.base, last: record.last, priority: Int64(record.priority),
                    sequence: record.sequence, target: .claim(number)))
        }
        // The strongest first: higher priority, then the earlier one. Each then takes what is still free.
        layers.sort { ($1.priority, $0.sequence) < ($0.priority, $1.sequence) }
        var taken: [AddressSegment] = []
        for layer in layers {
            insert(layer.first, layer.last, layer.target, origin: layer.first, into: &taken)
        }
        segments = taken
    }

    /// Inserts the parts of first...last that nothing has taken yet; `taken` stays ascending.
    private func insert(
        _ first: UInt64, _ last: UInt64, _ target: AddressSegment.Target, origin: UInt64,
        into taken: inout [AddressSegment]
    ) {
        var pieces: [AddressSegment] = []
        var cursor = first
        var isDone = false
        for other in taken where other.last >= first && other.first <= last {
            if other.first > cursor {
                pieces.append(piece(cursor, other.first - 1, target, origin))
            }
            if other.last >= last {
                isDone = true
                break
            }
            cursor = max(cursor, other.last + 1)
        }
        if !isDone { pieces.append(piece(cursor, last, target, origin)) }
        taken.append(contentsOf: pieces)
        taken.sort { $0.first < $1.first }
    }

    private func piece(
        _ first: UInt64, _ last: UInt64, _ target: AddressSegment.Target, _ origin: UInt64
    ) -> AddressSegment {
        switch target {
        case .claim: AddressSegment(first: first, last: last, target: target)
        case .memory(let host, let kind):
            AddressSegment(
                first: first, last: last,
                target: .memory(host + Int(truncatingIfNeeded: first &- origin), kind))
        }
    }

    /// The segment that holds `address`.
    func find(_ address: UInt64) -> AddressSegment? {
        var (low, high) = (0, segments.count)
        while low < high {
            let middle = (low + high) / 2
            if segments[middle].last < address { low = middle + 1 } else { high = middle }
        }
        return low < segments.count && segments[low].first <= address ? segments[low] : nil
    }

    /// Whole pages of plain memory, for an engine. What shares a page with a claim is left to the dispatch. `watched`: pages
    /// whose writes are to come out, ascending and disjoint, first and last byte.
    func mappedMemory(watched: [ClosedRange<UInt64>]) -> [MappedMemory] {
        let whole: [MappedMemory] = segments.compactMap { segment in
            guard case .memory(let host, let kind) = segment.target else { return nil }
            guard segment.first <= UInt64.max - 4095 else { return nil }
            let first = (segment.first + 4095) & ~4095
            let end = (segment.last &+ 1) & ~4095
            guard end > first || (end == 0 && segment.last == .max) else { return nil }
            return MappedMemory(
                address: first, length: end &- first, host: host + Int(first - segment.first),
                isReadOnly: kind.isReadOnly)
        }
        return watched.isEmpty ? whole : whole.flatMap { AddressMap.split($0, at: watched) }
    }

    /// The parts in and between the watched pages: writes to memory that is read-only come to the core.
    private static func split(_ piece: MappedMemory, at watched: [ClosedRange<UInt64>]) -> [MappedMemory] {
        var parts: [MappedMemory] = []
        // Up to and with the last byte: the end may be 2^64.
        let last = piece.address &+ (piece.length &- 1)
        var next = piece.address
        func add(_ first: UInt64, _ last: UInt64, isReadOnly: Bool) {
            parts.append(
                MappedMemory(
                    address: first, length: last &- first &+ 1, host: piece.host + Int(first &- piece.address),
                    isReadOnly: isReadOnly))
        }
        for range in watched where range.upperBound >= piece.address && range.lowerBound <= last {
            let first = max(range.lowerBound, piece.address)
            let end = min(range.upperBound, last)
            if first > next { add(next, first - 1, isReadOnly: piece.isReadOnly) }
            add(first, end, isReadOnly: true)
            if end == last { return parts }
            next = end + 1
        }
        add(next, last, isReadOnly: piece.isReadOnly)
        return parts
    }
}
