// Guest-physical space, flat: who answers each address, for reads and for writes. It changes by pieces: only what lies in the range of a
// claim or mapping that changed is worked out anew.

import CBackplane

/// A part of guest-physical space that the same things answer throughout.
struct AddressSegment: Equatable {
    enum Target: Equatable {
        /// Reads as all ones, writes are dropped.
        case nothing
        /// Number of the claim.
        case claim(Int)
        /// Plain memory, from the segment's first byte.
        case memory(Backing, MemoryKind)

        func advanced(by bytes: UInt64) -> Target {
            guard case .memory(let backing, let kind) = self else { return self }
            return .memory(backing.advanced(by: bytes), kind)
        }
    }
    var first: UInt64
    var last: UInt64
    var read: Target
    var write: Target

    func target(isWrite: Bool) -> Target { isWrite ? write : read }

    /// The part from `first` to `last`, which lie inside.
    func part(_ first: UInt64, _ last: UInt64) -> AddressSegment {
        let skipped = first &- self.first
        return AddressSegment(
            first: first, last: last, read: read.advanced(by: skipped), write: write.advanced(by: skipped))
    }

    func isContinued(by next: AddressSegment) -> Bool {
        let length = next.first &- first
        return last != .max && last + 1 == next.first && read.advanced(by: length) == next.read
            && write.advanced(by: length) == next.write
    }
}

/// A claim or a mapping as the map sees it.
struct AddressLayer {
    var first: UInt64
    var last: UInt64
    var priority: Int64
    var sequence: UInt64
    /// The directions that it answers; the others fall through to what lies below.
    var reads: Bool
    var writes: Bool
    /// At `first`.
    var target: AddressSegment.Target

    /// Higher priority, then the earlier one.
    func isStronger(than other: AddressLayer) -> Bool {
        (priority, other.sequence) > (other.priority, sequence)
    }

    /// The part inside `range`; nil: there is none.
    func clipped(to range: ClosedRange<UInt64>) -> AddressLayer? {
        var layer = self
        layer.first = max(first, range.lowerBound)
        layer.last = min(last, range.upperBound)
        guard layer.first <= layer.last else { return nil }
        layer.target = target.advanced(by: layer.first &- first)
        return layer
    }
}

struct AddressMap {
    /// Ascending and disjoint; where nothing answers there is none.
    private(set) var segments: [AddressSegment] = []
    /// The machine's RAM has the lowest priority of all.
    static let ramPriority = Int64.min
    static let everything: ClosedRange<UInt64> = 0...UInt64.max

    /// Works out a range anew from the layers that reach into it. Returns the parts of it that are now another's or elsewhere: ascending.
    mutating func update(_ range: ClosedRange<UInt64>, _ layers: [AddressLayer]) -> [ClosedRange<UInt64>] {
        let (low, high) = indices(of: range)
        let old = segments[low..<high].map {
            $0.part(max($0.first, range.lowerBound), min($0.last, range.upperBound))
        }
        let new = AddressMap.flatten(layers.compactMap { $0.clipped(to: range) }, range)
        let changed = AddressMap.difference(old, new, range)
        if !changed.isEmpty { replace(low, high, range, new) }
        return changed
    }

    /// The segments that reach into a range, from and up to.
    private func indices(of range: ClosedRange<UInt64>) -> (Int, Int) {
        let low = firstIndex { $0.last >= range.lowerBound }
        let high = firstIndex { $0.first > range.upperBound }
        return (low, max(low, high))
    }

    /// Of the first segment of which `isBeyond` holds, which then holds for all that follow.
    private func firstIndex(_ isBeyond: (AddressSegment) -> Bool) -> Int {
        var (low, high) = (0, segments.count)
        while low < high {
            let middle = (low + high) / 2
            if isBeyond(segments[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }

    private mutating func replace(
        _ low: Int, _ high: Int, _ range: ClosedRange<UInt64>, _ new: [AddressSegment]
    ) {
        var parts: [AddressSegment] = []
        if low > 0 { parts.append(segments[low - 1]) }
        if low < high, segments[low].first < range.lowerBound {
            parts.append(segments[low].part(segments[low].first, range.lowerBound - 1))
        }
        parts += new
        if low < high, segments[high - 1].last > range.upperBound {
            parts.append(segments[high - 1].part(range.upperBound + 1, segments[high - 1].last))
        }
        if high < segments.count { parts.append(segments[high]) }
        let joined = AddressMap.joined(parts)
        segments.replaceSubrange(max(0, low - 1)..<min(segments.count, high + 1), with: joined)
    }

    private static func joined(_ parts: [AddressSegment]) -> [AddressSegment] {
        var joined: [AddressSegment] = []
        for part in parts {
            if let previous = joined.last, previous.isContinued(by: part) {
                joined[joined.count - 1].last = part.last
            } else {
                joined.append(part)
            }
        }
        return joined
    }

    /// Who answers what in `range`: each address by the strongest layer of its direction. The layers lie inside of it.
    private static func flatten(_ layers: [AddressLayer], _ range: ClosedRange<UInt64>) -> [AddressSegment] {
        let ascending = layers.sorted { $0.first < $1.first }
        /// The strongest first.
        var active: [AddressLayer] = []
        var segments: [AddressSegment] = []
        var next = 0
        var at = range.lowerBound
        while true {
            active.removeAll { $0.last < at }
            while next < ascending.count, ascending[next].first <= at {
                let layer = ascending[next]
                active.insert(layer, at: active.firstIndex { layer.isStronger(than: $0) } ?? active.count)
                next += 1
            }
            // As far as the same layers are there.
            var end = next < ascending.count ? ascending[next].first - 1 : range.upperBound
            for layer in active { end = min(end, layer.last) }
            if let segment = segment(at, end, active) { segments.append(segment) }
            if end == range.upperBound { return joined(segments) }
            at = end + 1
        }
    }

    private static func segment(_ first: UInt64, _ last: UInt64, _ active: [AddressLayer]) -> AddressSegment? {
        func target(_ layer: AddressLayer?) -> AddressSegment.Target {
            layer.map { $0.target.advanced(by: first &- $0.first) } ?? .nothing
        }
        let read = target(active.first(where: \.reads))
        let write = target(active.first(where: \.writes))
        if read == .nothing, write == .nothing { return nil }
        return AddressSegment(first: first, last: last, read: read, write: write)
    }

    /// The parts of `range` that two lists of segments answer differently.
    private static func difference(
        _ old: [AddressSegment], _ new: [AddressSegment], _ range: ClosedRange<UInt64>
    ) -> [ClosedRange<UInt64>] {
        var changed: [ClosedRange<UInt64>] = []
        var (left, right) = (old[...], new[...])
        var at = range.lowerBound
        while true {
            while let first = left.first, first.last < at { left.removeFirst() }
            while let first = right.first, first.last < at { right.removeFirst() }
            let before = answer(left.first, at, range.upperBound)
            let after = answer(right.first, at, range.upperBound)
            let end = min(before.end, after.end)
            if before.read != after.read || before.write != after.write {
                if let last = changed.last, last.upperBound != .max, last.upperBound + 1 == at {
                    changed[changed.count - 1] = last.lowerBound...end
                } else {
                    changed.append(at...end)
                }
            }
            if end == range.upperBound { return changed }
            at = end + 1
        }
    }

    /// Who answers at `at`, and up to where; `next` is the first segment that does not end before it.
    private static func answer(_ next: AddressSegment?, _ at: UInt64, _ limit: UInt64)
        -> (read: AddressSegment.Target, write: AddressSegment.Target, end: UInt64)
    {
        guard let next, next.first <= limit else { return (.nothing, .nothing, limit) }
        guard next.first <= at else { return (.nothing, .nothing, next.first - 1) }
        let part = next.part(at, next.last)
        return (part.read, part.write, min(next.last, limit))
    }

    /// The segment that holds `address`.
    func find(_ address: UInt64) -> AddressSegment? {
        let index = firstIndex { $0.last >= address }
        return index < segments.count && segments[index].first <= address ? segments[index] : nil
    }

    /// Memory that reads or writes at an address reach; nil: none. `last`: up to there it goes on.
    func memory(at address: UInt64, isWrite: Bool) -> (backing: Backing, isReadOnly: Bool, last: UInt64)? {
        guard let segment = find(address), case .memory(let backing, let kind) = segment.target(isWrite: isWrite)
        else { return nil }
        return (backing.advanced(by: address &- segment.first), kind.isReadOnly, segment.last)
    }

    // MARK: For engines

    /// The whole pages that `range` touches.
    static func pages(of range: ClosedRange<UInt64>) -> ClosedRange<UInt64> {
        (range.lowerBound & ~4095)...(range.upperBound | 4095)
    }

    /// What of a range of whole pages is plain memory, by whole pages: what shares a page with a claim is left to the dispatch.
    /// `watched`: pages whose writes are to come out, ascending and disjoint, first and last byte.
    func mappedMemory(_ range: ClosedRange<UInt64>, watched: [ClosedRange<UInt64>]) -> [MappedMemory] {
        let (low, high) = indices(of: range)
        let whole = segments[low..<high].compactMap { AddressMap.wholePages($0)?.clipped(to: range) }
        return watched.isEmpty ? whole : whole.flatMap { AddressMap.split($0, at: watched) }
    }

    private static func wholePages(_ segment: AddressSegment) -> MappedMemory? {
        guard segment.first <= UInt64.max - 4095 else { return nil }
        let first = (segment.first + 4095) & ~4095
        let end = (segment.last &+ 1) & ~4095
        guard end > first || (end == 0 && segment.last == .max) else { return nil }
        let part = segment.part(first, segment.last)
        var (read, write): (Backing?, Backing?)
        if case .memory(let backing, _) = part.read { read = backing }
        if case .memory(let backing, let kind) = part.write, !kind.isReadOnly { write = backing }
        if read == nil, write == nil { return nil }
        return MappedMemory(address: first, length: end &- first, read: read, write: write)
    }

    /// The parts in and between the watched pages: their writes come to the core.
    private static func split(_ piece: MappedMemory, at watched: [ClosedRange<UInt64>]) -> [MappedMemory] {
        var parts: [MappedMemory] = []
        // Up to and with the last byte: the end may be 2^64.
        let last = piece.last
        var next = piece.address
        func add(_ range: ClosedRange<UInt64>, isWatched: Bool) {
            guard var part = piece.clipped(to: range) else { return }
            if isWatched { part.write = nil }
            if part.read != nil || part.write != nil { parts.append(part) }
        }
        for range in watched where range.upperBound >= piece.address && range.lowerBound <= last {
            let first = max(range.lowerBound, piece.address)
            let end = min(range.upperBound, last)
            if first > next { add(next...(first - 1), isWatched: false) }
            add(first...end, isWatched: true)
            if end == last { return parts }
            next = end + 1
        }
        add(next...last, isWatched: false)
        return parts
    }
}
