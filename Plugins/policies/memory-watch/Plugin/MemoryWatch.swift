import PageWatch
import PluginKit

/// Tells at the end, and on demand, which pages of named ranges have changed, whoever changed them; reports or denies the
/// guest's writes as they happen. `PageWatch` compares. Not modelled: denying what devices write (DMA).
final class MemoryWatch: Instance {
    static let definition = ClassDefinition.policy(
        "memory-watch", summary: "tells which pages have changed; reports or denies the guest's writes to them",
        properties: [
            Property("ranges", .range, required: true, list: true, doc: "guest-physical addresses, 64 MiB in all"),
            Property(
                "writes", .choice, default: "allow", live: true, choices: ["allow", "report", "deny"],
                doc:
                    "the guest's writes to the ranges: let be, logged, or logged and dropped; all but the first slow down every write to these pages"
            ),
            Property(
                "log-limit", .unsigned, default: "1000", live: true, unit: "lines", doc: "so many writes are logged"),
            Property("at-end", .bool, default: "on", live: true, doc: "log the changed pages when the machine ends"),
        ],
        methods: [
            Method("begin", doc: "compares with this moment from now on", function: beginMethod),
            Method("changed", result: .text, doc: "changed pages so far, one range a line", function: changedMethod),
            Method("writes", result: .u64, doc: "writes that were reported or denied", function: writesMethod),
        ],
        make: { (host, values) throws(PluginError) in try MemoryWatch(host, values) })

    private let ranges: [ClosedRange<UInt64>]
    private var watch: PageWatch
    private enum Writes: Int { case allow, report, deny }
    private var writes: Writes
    private var logLimit: UInt64
    private var reportsAtEnd: Bool
    private var first: Exits.Want?
    private var wants: [Exits.Want] = []
    fileprivate private(set) var seen: UInt64 = 0

    init(_ host: Host, _ values: Values) throws(PluginError) {
        ranges = values.rangeList("ranges")
        writes = Writes(rawValue: values.choice("writes")) ?? .allow
        logLimit = values.unsigned("log-limit")
        reportsAtEnd = values.bool("at-end")
        guard let watch = PageWatch(ranges) else { throw PluginError("ranges: they are more than 64 MiB") }
        self.watch = watch
        super.init(host)
    }

    override func connect() throws(PluginError) {
        let exits = try host.exits
        try wantWrites()
        // The guest is in memory at its first exit, and not before.
        first = try exits.want(Int(BP_WANT_ALL), 0...UInt64.max, .decide)
    }

    /// Nothing where they are let be: they cost nothing then.
    private func wantWrites() throws(PluginError) {
        let exits = try host.exits
        for want in wants { exits.unwant(want) }
        wants = []
        guard writes != .allow else { return }
        for range in ranges {
            // An access of eight bytes may begin before the range.
            let start = range.lowerBound &- min(7, range.lowerBound)
            wants.append(try exits.want(BP_EXIT_EPT_VIOLATION, start...range.upperBound, [.decide, .ramWrites]))
        }
    }

    override func setProperty(_ name: String, to values: Values) throws(PluginError) {
        switch name {
        case "writes":
            writes = Writes(rawValue: values.choice(name)) ?? .allow
            try wantWrites()
        case "log-limit": logLimit = values.unsigned(name)
        case "at-end": reportsAtEnd = values.bool(name)
        default: try super.setProperty(name, to: values)
        }
    }

    override func decide(_ exit: inout bp_exit) -> Verdict {
        if let want = first {
            first = nil
            begin()
            (try? host.exits)?.unwant(want)
        }
        guard Int(exit.reason) == BP_EXIT_EPT_VIOLATION, exit.isWrite, !exit.asksPower, writes != .allow, touches(exit)
        else {
            return .continue
        }
        seen += 1
        if seen <= logLimit { host.log(.info, (writes == .deny ? "denied: " : "") + exit.accessText) }
        return writes == .deny ? .handled : .continue
    }

    private func touches(_ exit: bp_exit) -> Bool {
        let (sum, overflow) = exit.address.addingReportingOverflow(UInt64(max(exit.width, 1)) &- 1)
        let touched = exit.address...(overflow ? UInt64.max : sum)
        return ranges.contains { $0.overlaps(touched) }
    }

    fileprivate func begin() {
        guard let memory = try? host.memory else { return }
        watch.begin { memory.read($0, count: Int(PageWatch.pageSize)) }
    }

    private var changed: [String] {
        guard let memory = try? host.memory else { return [] }
        let pages = watch.changed { memory.read($0, count: Int(PageWatch.pageSize)) }
        return PageWatch.ranges(of: pages).map { hexText($0.lowerBound) + "-" + hexText($0.upperBound) }
    }

    fileprivate func replyChanged() {
        let lines = changed
        host.reply(lines.isEmpty ? "no page has changed\n" : lines.joined(separator: "\n") + "\n")
    }

    override func disconnect() {
        if seen > logLimit { host.log(.info, "\(seen) writes were seen, of which \(logLimit) are logged") }
        guard reportsAtEnd else { return }
        let lines = changed
        if lines.isEmpty { host.log(.info, "no page has changed") }
        for line in lines { host.log(.info, "changed: " + line) }
    }
}

private let beginMethod: @convention(c) (UnsafeMutableRawPointer?) -> Void = {
    instance($0, as: MemoryWatch.self).begin()
}
private let changedMethod: @convention(c) (UnsafeMutableRawPointer?) -> Void = {
    instance($0, as: MemoryWatch.self).replyChanged()
}
private let writesMethod: @convention(c) (UnsafeMutableRawPointer?) -> UInt64 = {
    instance($0, as: MemoryWatch.self).seen
}

let library = Library(
    "memory-watch", version: "1.0", summary: "changed pages, and writes to them", needsMinor: 3,
    classes: [MemoryWatch.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
