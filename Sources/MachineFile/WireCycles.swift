import Core

/// Finds loops of instances over wires that may not form one. Each instance is named in one loop at most.
struct WireCycles {
    private let drafts: [InstanceDraft]
    private let reporter: Reporter
    private var outgoing: [[Wiring.Connection]]
    /// Instances that have a wire to this one.
    private var incoming: [[Int]]
    /// Wires to instances that are not ruled out.
    private var degree: [Int]
    private var isAlive: [Bool]

    init(drafts: [InstanceDraft], connections: [Wiring.Connection], reporter: Reporter) {
        self.drafts = drafts
        self.reporter = reporter
        outgoing = Array(repeating: [], count: drafts.count)
        incoming = Array(repeating: [], count: drafts.count)
        for connection in connections {
            outgoing[connection.wire.instance].append(connection)
            incoming[connection.targetPosition].append(connection.wire.instance)
        }
        degree = outgoing.map(\.count)
        isAlive = Array(repeating: true, count: drafts.count)
    }

    consuming func report() {
        var cycles = self
        cycles.drop(cycles.degree.indices.filter { cycles.degree[$0] == 0 })
        for start in cycles.drafts.indices {
            while cycles.isAlive[start] {
                let loop = cycles.loop(from: start)
                cycles.report(loop)
                cycles.drop(loop.map(\.wire.instance))
            }
        }
    }

    /// Rules instances out, and with them all that lead to nothing else.
    private mutating func drop(_ instances: [Int]) {
        var waiting = instances.filter { isAlive[$0] }
        for instance in waiting { isAlive[instance] = false }
        while let instance = waiting.popLast() {
            for source in incoming[instance] where isAlive[source] {
                degree[source] -= 1
                if degree[source] == 0 {
                    isAlive[source] = false
                    waiting.append(source)
                }
            }
        }
    }

    /// Every instance that is left has a wire to another that is left: following them comes round.
    private func loop(from start: Int) -> [Wiring.Connection] {
        var path: [Wiring.Connection] = []
        var seen: [Int: Int] = [:]
        var at = start
        while seen[at] == nil {
            guard let next = outgoing[at].first(where: { isAlive[$0.targetPosition] }) else { break }
            seen[at] = path.count
            path.append(next)
            at = next.targetPosition
        }
        return Array(path[(seen[at] ?? 0)...])
    }

    private func report(_ loop: [Wiring.Connection]) {
        guard let first = loop.first else { return }
        let names = loop.map { drafts[$0.wire.instance].name } + [drafts[first.wire.instance].name]
        let notes = loop.dropFirst().prefix(8).map { connection in
            Diagnostic.Note(
                "\(drafts[connection.wire.instance].name) is wired to \(connection.target.instance) here",
                at: connection.wire.location)
        }
        let shown = names.count <= 12 ? names : names.prefix(10) + ["..."] + names.suffix(1)
        reporter.error(
            first.wire.location, "these instances are wired in a loop: \(shown.joined(separator: " -> "))",
            notes: Array(notes))
    }
}
