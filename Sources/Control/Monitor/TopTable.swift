import Core

/// The live table of `backplane top`: what a `stats` policy counts from one look to the next. The policy is put into the chain
/// for it, and taken out again.
public final class TopTable {
    private let client: QMPClient
    private let policy: String
    /// nil: the first machine.
    private let machine: String?
    private var last: Sample?

    struct Row: Equatable {
        var name: String
        var owner: String
        var count: UInt64
        var nanoseconds: UInt64
    }

    struct Sample {
        /// Of the virtual clock.
        var time: UInt64
        var halted: UInt64
        var kinds: [Row]
        var addresses: [Row]
        /// nil: the engine translates nothing.
        var translator: Translator?
    }

    struct Translator: Equatable {
        var instructions: UInt64
        var translated: UInt64
        var codeBytes: UInt64
        var drops: UInt64
    }

    /// `process`: makes the policy's id this viewer's own.
    public init(_ client: QMPClient, process: Int32, machine: String? = nil) throws {
        self.client = client
        self.machine = machine
        policy = "top-\(process)"
        let properties = JSONValue.members(("at-end", .bool(false)))
        _ = try execute(
            "policy-insert", ("plugin", .string("stats")), ("id", .string(policy)), ("properties", properties),
            ("position", .string("first")))
        last = try sample()
    }

    private func execute(_ command: String, _ arguments: (String, JSONValue)...) throws -> JSONValue {
        var members = arguments.map { JSONMember(key: $0.0, value: $0.1) }
        if let machine { members.append(JSONMember(key: "machine", value: .string(machine))) }
        return try client.execute(command, .object(members))
    }

    public func finish() { _ = try? execute("policy-remove", ("id", .string(policy))) }

    /// Lines for the screen: what happened since the last look.
    public func look(rows limit: Int) throws -> [String] {
        let now = try sample()
        defer { last = now }
        let status = try execute("query-status")["status"]?.text ?? ""
        guard let last else { return [] }
        return ["machine: \(status)"] + TopTable.lines(from: last, to: now, rows: limit)
    }

    private func sample() throws -> Sample {
        let table = try execute("call-method", ("instance", .string(policy)), ("method", .string("table"))).text ?? ""
        let statistics = try execute("query-statistics")
        var sample = Sample(
            time: statistics["virtual-time"]?.unsignedValue ?? 0, halted: statistics["halted-time"]?.unsignedValue ?? 0,
            kinds: [], addresses: [])
        sample.translator = try? translator()
        for line in table.split(separator: "\n") {
            let cells = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
            guard cells.count == 5, let count = UInt64(cells[2]), let nanoseconds = UInt64(cells[3]) else { continue }
            let name = cells[0] == "kind" ? cells[1] : cells[0] + " " + cells[1]
            let row = Row(name: name, owner: cells[4], count: count, nanoseconds: nanoseconds)
            if cells[0] == "kind" { sample.kinds.append(row) } else { sample.addresses.append(row) }
        }
        return sample
    }

    private func translator() throws -> Translator? {
        let answer = try execute("query-translator")
        guard let instructions = answer["instructions"]?.unsignedValue else { return nil }
        var drops: UInt64 = 0
        if case .array(let causes)? = answer["drops"] {
            drops = causes.reduce(0) { $0 &+ ($1["count"]?.unsignedValue ?? 0) }
        }
        return Translator(
            instructions: instructions, translated: answer["translated-instructions"]?.unsignedValue ?? 0,
            codeBytes: answer["code-bytes"]?.unsignedValue ?? 0, drops: drops)
    }

    /// Of what has run since the last look.
    private static func line(_ last: Translator, _ now: Translator, _ period: UInt64) -> String {
        let run = now.instructions &- min(now.instructions, last.instructions)
        let translated = min(run, now.translated &- min(now.translated, last.translated))
        let drops = now.drops &- min(now.drops, last.drops)
        return "instructions: \(rate(run, period))/s   translated \(share(translated, max(1, run)))   "
            + "host code \(now.codeBytes / 1024) KiB   blocks dropped \(rate(drops, period))/s"
    }

    static func lines(from last: Sample, to now: Sample, rows limit: Int) -> [String] {
        let period = max(1, now.time &- min(now.time, last.time))
        let kinds = changes(last.kinds, now.kinds)
        let addresses = changes(last.addresses, now.addresses)
        let spent = kinds.reduce(0) { $0 &+ $1.nanoseconds }
        let halted = now.halted &- min(now.halted, last.halted)
        let guest = period &- min(period, spent &+ halted)
        let exits = kinds.reduce(0) { $0 &+ $1.count }
        var devices: [String: Row] = [:]
        for row in addresses {
            var device =
                devices[row.owner]
                ?? Row(name: row.owner.isEmpty ? "(nobody)" : row.owner, owner: "", count: 0, nanoseconds: 0)
            device.count &+= row.count
            device.nanoseconds &+= row.nanoseconds
            devices[row.owner] = device
        }
        var lines = [
            "exits: \(rate(exits, period))/s   guest \(share(guest, period))   VMM \(share(spent, period))   halted \(share(halted, period))"
        ]
        if let before = last.translator, let after = now.translator { lines.append(line(before, after, period)) }
        func section(_ title: String, _ rows: [Row], owners: Bool = false) {
            guard !rows.isEmpty else { return }
            let sorted = rows.sorted { ($0.count, $1.name) > ($1.count, $0.name) }.prefix(limit)
            let table = sorted.map {
                [
                    $0.name, rate($0.count, period), share($0.nanoseconds, period),
                    "\($0.count == 0 ? 0 : $0.nanoseconds / $0.count) ns",
                ]
                    + (owners ? [$0.owner] : [])
            }
            let header = [title, "exits/s", "time", "mean"] + (owners ? ["owner"] : [])
            lines.append("")
            lines += InfoTopic.table(header, table).split(separator: "\n").map(String.init)
        }
        section("kind", kinds)
        section("device", Array(devices.values))
        section("address", addresses, owners: true)
        return lines
    }

    private static func changes(_ before: [Row], _ after: [Row]) -> [Row] {
        let old = Dictionary(before.map { ($0.name, $0) }) { first, _ in first }
        return after.compactMap { row in
            var change = row
            change.count &-= min(row.count, old[row.name]?.count ?? 0)
            change.nanoseconds &-= min(row.nanoseconds, old[row.name]?.nanoseconds ?? 0)
            return change.count > 0 ? change : nil
        }
    }

    private static func rate(_ count: UInt64, _ period: UInt64) -> String {
        "\(UInt64(Double(count) * 1e9 / Double(period)))"
    }

    private static func share(_ part: UInt64, _ whole: UInt64) -> String {
        let tenths = UInt64(min(1000, Double(part) * 1000 / Double(whole)))
        return "\(tenths / 10).\(tenths % 10)%"
    }
}
