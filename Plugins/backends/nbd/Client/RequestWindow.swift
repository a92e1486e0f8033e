import BackendSupport
import PluginKit

/// Requests on their way to a server and back: cut into parts that it takes, several of them with it at a time.
///
/// Parts go out in the order of submission. A flush waits until the writes before it are done, and what overlaps a write
/// waits for that, or a write for what it overlaps: so a disk behind a server reads as one that does one request after
/// the other. Finished requests leave in the order of submission.
struct RequestWindow {
    struct Limits: Equatable {
        /// Bytes in a part, of requests with data and without; more than 0.
        var data: Int
        var clear: Int
        /// Parts that are out at a time.
        var parts: Int
    }

    struct Part: Equatable {
        /// Of its request, for `complete`.
        let id: Int
        let operation: BlockOperation
        let offset: UInt64
        let length: Int
        /// Where it begins in its request's data.
        let place: Int
    }

    private struct Entry {
        var request: DiskRequest
        /// Bytes that are out, or done.
        var issued = 0
        /// No more parts of it go out.
        var isIssued = false
        var outstanding = 0
        /// Of the failed part that lies first.
        var failure: (place: Int, status: Status)?

        var isFinished: Bool { isIssued && outstanding == 0 }
        var modifies: Bool { request.operation != .read && request.operation != .flush }

        func overlaps(_ other: Entry) -> Bool {
            // Inside a disk of at most 2^63 - 1 bytes.
            let (end, otherEnd) = (
                request.offset &+ UInt64(request.length), other.request.offset &+ UInt64(other.request.length)
            )
            return request.offset < otherEnd && other.request.offset < end
        }
    }

    var limits: Limits
    private var entries: [Entry] = []
    /// Of `entries[0]`.
    private var firstID = 0
    /// The first entry with parts still to go out.
    private var next = 0
    private(set) var outstanding = 0

    init(_ limits: Limits) { self.limits = limits }

    var count: Int { entries.count }
    var isEmpty: Bool { entries.isEmpty }

    mutating func append(_ request: DiskRequest) {
        var entry = Entry(request: request)
        entry.isIssued = request.verdict != nil || (request.length <= 0 && request.operation != .flush)
        if let verdict = request.verdict, verdict != .ok { entry.failure = (0, verdict) }
        entries.append(entry)
    }

    func request(of part: Part) -> DiskRequest? {
        entries.indices.contains(part.id - firstID) ? entries[part.id - firstID].request : nil
    }

    /// The next part that may go out; nil: not now.
    mutating func takePart() -> Part? {
        while next < entries.count, entries[next].isIssued { next += 1 }
        guard next < entries.count, outstanding < limits.parts, mayGo(next) else { return nil }
        let entry = entries[next]
        let limit = entry.request.operation == .read || entry.request.operation == .write ? limits.data : limits.clear
        let length = min(entry.request.length - entry.issued, max(1, limit))
        let part = Part(
            id: firstID + next, operation: entry.request.operation,
            offset: entry.request.offset &+ UInt64(entry.issued),
            length: length, place: entry.issued)
        entries[next].issued += length
        entries[next].isIssued = entries[next].issued >= entry.request.length
        entries[next].outstanding += 1
        outstanding += 1
        return part
    }

    private func mayGo(_ index: Int) -> Bool {
        let entry = entries[index]
        guard entry.issued == 0 else { return true }
        return !entries[..<index].contains { earlier in
            guard !earlier.isFinished else { return false }
            if entry.request.operation == .flush { return earlier.modifies }
            if earlier.request.operation == .flush { return false }
            return (entry.modifies || earlier.modifies) && entry.overlaps(earlier)
        }
    }

    mutating func complete(_ part: Part, _ status: Status) {
        let index = part.id - firstID
        guard entries.indices.contains(index), entries[index].outstanding > 0 else { return }
        entries[index].outstanding -= 1
        outstanding -= 1
        guard status != .ok else { return }
        // The rest of a request that has failed need not go out.
        entries[index].isIssued = true
        if entries[index].failure.map({ part.place < $0.place }) ?? true {
            entries[index].failure = (part.place, status)
        }
    }

    /// What has not gone out does not any more, and fails so unless it has an answer already.
    mutating func giveUp(_ status: Status) {
        for index in entries.indices where !entries[index].isIssued {
            entries[index].isIssued = true
            if entries[index].failure == nil { entries[index].failure = (entries[index].issued, status) }
        }
    }

    /// The finished requests at the front.
    mutating func takeFinished() -> [(request: DiskRequest, status: Status)] {
        let count = entries.prefix { $0.isFinished }.count
        guard count > 0 else { return [] }
        let finished = entries[..<count].map { ($0.request, $0.failure?.status ?? .ok) }
        entries.removeFirst(count)
        firstID += count
        next = max(0, next - count)
        return finished
    }
}
