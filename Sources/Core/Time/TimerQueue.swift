public import CBackplane

/// A machine's timers. There are few (tens), so that a linear look for the next one is cheaper than a heap.
struct TimerQueue {
    struct Entry {
        var id: bp_id
        var owner: PluginInstance
        var handler: bp_timer_handler
        var cookie: UInt64
        /// Virtual nanoseconds; nil: not set.
        var deadline: UInt64?
        /// Order of setting, for equal deadlines.
        var sequence: UInt64
    }

    private(set) var entries: [Entry] = []
    private var sequence: UInt64 = 0
    static let limit = 1024

    mutating func add(_ id: bp_id, _ owner: PluginInstance, _ handler: @escaping bp_timer_handler, _ cookie: UInt64)
        -> Bool
    {
        guard entries.count < TimerQueue.limit else { return false }
        entries.append(Entry(id: id, owner: owner, handler: handler, cookie: cookie, deadline: nil, sequence: 0))
        return true
    }

    mutating func set(_ id: bp_id, of owner: PluginInstance, to deadline: UInt64?) -> Bool {
        guard let index = entries.firstIndex(where: { $0.id == id && $0.owner === owner }) else { return false }
        sequence += 1
        entries[index].deadline = deadline
        entries[index].sequence = sequence
        return true
    }

    mutating func removeAll(of owner: PluginInstance) { entries.removeAll { $0.owner === owner } }

    mutating func cancelAll(of owner: PluginInstance) {
        for index in entries.indices where entries[index].owner === owner { entries[index].deadline = nil }
    }

    var nextDeadline: UInt64? {
        var next: UInt64?
        for entry in entries {
            if let deadline = entry.deadline, deadline < next ?? .max { next = deadline }
        }
        return next
    }

    /// Takes the earliest entry that is due; at equal deadlines the one set first.
    mutating func takeDue(at now: UInt64) -> Entry? {
        var best: Int?
        for (index, entry) in entries.enumerated() {
            guard let deadline = entry.deadline, deadline <= now else { continue }
            if let other = best, (entries[other].deadline ?? 0, entries[other].sequence) <= (deadline, entry.sequence) {
                continue
            }
            best = index
        }
        guard let best else { return nil }
        let entry = entries[best]
        entries[best].deadline = nil
        return entry
    }
}
