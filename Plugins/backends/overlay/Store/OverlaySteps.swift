import BackendSupport
import PluginKit

/// What one step of a request does.
extension OverlayEngine {
    private static let cluster = OverlayFile.clusterSize
    /// Zeros of one step, where they take no room.
    private static let punchLength: UInt64 = 64 << 20

    private func clusterEnd(_ position: UInt64) -> UInt64 {
        min(file.geometry.length, (position / OverlayEngine.cluster + 1) * OverlayEngine.cluster)
    }

    func step() {
        guard let active else { return }
        let request = active.request
        if let verdict = request.verdict { return pass(verdict) }
        if request.operation == .flush { return flush { [unowned self] in finish($0) } }
        guard active.done < request.length, !active.isAbandoned else { return pass(.ok) }
        let (position, left) = (request.offset + UInt64(active.done), request.length - active.done)
        switch request.operation {
        case .read: read(position, min(left, stepLength))
        case .write: write(position, min(left, stepLength), of: request)
        case .writeZeroes, .discard: clear(position, left, of: request)
        case .flush: break
        }
    }

    private func pass(_ status: Status) { ask(.pass) { [unowned self] _ in finish(status) } }

    /// A step is done, or the request fails with it.
    private func advance(_ count: Int, _ status: Status) {
        guard status == .ok else { return finish(status) }
        active?.done += count
        if let active, active.done >= active.request.length { finish(.ok) }
    }

    private func withData(_ body: (UnsafeMutableRawPointer) -> Void) {
        guard let active, !active.isAbandoned, let data = active.request.data else { return }
        body(data + active.done)
    }

    // MARK: Reading

    private func read(_ position: UInt64, _ limit: Int) {
        let first = position / OverlayEngine.cluster
        let last = (position + UInt64(limit) - 1) / OverlayEngine.cluster
        let run = map.run(from: first, limit: last - first + 1)
        let length = min(limit, Int((first + run.count) * OverlayEngine.cluster - position))
        let then: (Status) -> Void = { [unowned self] status in
            if status == .ok, let bytes = piece.bytes.baseAddress {
                withData { $0.copyMemory(from: bytes, byteCount: length) }
            }
            advance(length, status)
        }
        if run.isOwn {
            ask(.read(offset: position, length: length, place: 0), then: then)
        } else {
            ask(base: .read, position, length, place: 0, then: then)
        }
    }

    // MARK: Writing

    /// What a step writes: whole clusters where they were not the overlay's, with what the base has around the data.
    private struct Span {
        var start: UInt64
        var end: UInt64
        /// Where the piece begins: at a cluster.
        var origin: UInt64
        var fills: [UInt64]
    }

    private func span(_ position: UInt64, _ length: Int) -> Span {
        let end = position + UInt64(length)
        let (first, last) = (position / OverlayEngine.cluster, (end - 1) / OverlayEngine.cluster)
        let origin = first * OverlayEngine.cluster
        var span = Span(start: position, end: end, origin: origin, fills: [])
        if !map.contains(first), position > origin || (first == last && end < clusterEnd(origin)) {
            span.fills.append(first)
            span.start = origin
        }
        if !map.contains(last), end < clusterEnd(end - 1) {
            if first != last { span.fills.append(last) }
            span.end = clusterEnd(end - 1)
        }
        return span
    }

    private func write(_ position: UInt64, _ limit: Int, of request: DiskRequest) {
        // To the end of a cluster where there is more to come, so that the next step begins with a whole one.
        let end = position + UInt64(limit)
        let whole = end / OverlayEngine.cluster * OverlayEngine.cluster
        let hasMore = end < request.offset + UInt64(request.length)
        let length = hasMore && whole > position ? Int(whole - position) : limit
        fill(
            span(position, length),
            then: { [unowned self] span, status in
                guard status == .ok, active?.isAbandoned == false, let bytes = piece.bytes.baseAddress else {
                    return finish(status)
                }
                let place = bytes + Int(position - span.origin)
                if request.operation == .write {
                    withData { place.copyMemory(from: $0, byteCount: length) }
                } else {
                    place.initializeMemory(as: UInt8.self, repeating: 0, count: length)
                }
                put(span, length)
            })
    }

    private func fill(_ span: Span, then body: @escaping (Span, Status) -> Void) {
        guard let cluster = span.fills.first else { return body(span, .ok) }
        var rest = span
        rest.fills.removeFirst()
        let start = cluster * OverlayEngine.cluster
        ask(base: .read, start, Int(clusterEnd(start) - start), place: Int(start - span.origin)) {
            [unowned self] status in
            if status == .ok { fill(rest, then: body) } else { body(rest, status) }
        }
    }

    private func put(_ span: Span, _ length: Int) {
        markDirty()
        let clusters = (span.start / OverlayEngine.cluster)..<((span.end - 1) / OverlayEngine.cluster + 1)
        ask(.write(offset: span.start, length: Int(span.end - span.start), place: Int(span.start - span.origin))) {
            [unowned self] status in
            // Only now: after a failure the base's contents are still what is read.
            if status == .ok { own(clusters) }
            advance(length, status)
        }
    }

    // MARK: Zeros

    private func clear(_ position: UInt64, _ left: Int, of request: DiskRequest) {
        let isDiscard = request.operation == .discard
        let end = position + UInt64(left)
        let isWhole = position % OverlayEngine.cluster == 0 && end >= clusterEnd(position)
        guard isWhole else {
            let length = Int(min(end, clusterEnd(position)) - position)
            // What is discarded in part stays.
            if isDiscard { return skip(length) }
            return write(position, length, of: request)
        }
        let first = position / OverlayEngine.cluster
        let last = end == file.geometry.length ? file.clusters : end / OverlayEngine.cluster
        let run = map.run(from: first, limit: min(last - first, OverlayEngine.punchLength / OverlayEngine.cluster))
        let stop = min(file.geometry.length, (first + run.count) * OverlayEngine.cluster)
        let length = Int(stop - position)
        if isDiscard, !run.isOwn { return skip(length) }
        markDirty()
        ask(.punch(offset: position, length: UInt64(length))) { [unowned self] status in
            switch status {
            case .ok:
                own(first..<(first + run.count))
                advance(length, .ok)
            case .unsupported where isDiscard: advance(length, .ok)
            // By bytes, a step at a time.
            case .unsupported: write(position, min(length, stepLength), of: request)
            default: advance(length, status)
            }
        }
    }

    private func skip(_ length: Int) { ask(.pass) { [unowned self] _ in advance(length, .ok) } }

    // MARK: Commit and discard

    /// Begins to write what is the overlay's to the base, between the guest's requests.
    public func beginCommit() {
        guard commit == nil else { return }
        commit = Commit()
        // The thread's answer is the first step's: not inside the method that asks for it.
        wake()
    }

    /// Forgets what is the overlay's. Only while it is idle.
    public func discard() {
        map.removeAll()
        shrink()
    }

    private func shrink() {
        let pages = map.takeDirty()
        let isEmpty = map.count == 0
        ask(.shrink(pages, punches: isEmpty)) { [unowned self] status in if status != .ok { map.giveBack(pages) } }
    }

    func commitStep() {
        guard let next = commit.map({ map.next(from: $0.next) }) else { return }
        guard let cluster = next else { return endCommit() }
        let run = map.run(from: cluster, limit: UInt64(stepLength) / OverlayEngine.cluster)
        let start = cluster * OverlayEngine.cluster
        let length = Int(min(file.geometry.length, start + run.count * OverlayEngine.cluster) - start)
        ask(.read(offset: start, length: length, place: 0)) { [unowned self] status in
            guard status == .ok else { return failCommit("the overlay cannot be read: " + status.text) }
            ask(base: .write, start, length, place: 0) { [unowned self] status in
                guard status == .ok else { return failCommit("the base cannot be written: " + status.text) }
                commit?.next = cluster + run.count
                commit?.bytes += UInt64(length)
            }
        }
    }

    private func failCommit(_ reason: String) {
        commit = nil
        surroundings.log(.error, "commit has come to nothing, and the overlay has all changes still: " + reason)
    }

    /// What has been written since stays the overlay's. The map shrinks when the base has everything on its disk.
    private func endCommit() {
        ask(base: .flush, 0, 0, place: 0) { [unowned self] status in
            guard status == .ok, let done = commit else {
                return failCommit("the base cannot be flushed: " + status.text)
            }
            commit = nil
            map.removeAll(but: done.written)
            surroundings.log(
                .info, "commit: \(done.bytes >> 10) KiB are the base's; \(ownBytes >> 10) KiB have changed since")
            shrink()
        }
    }
}
