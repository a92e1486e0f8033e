import Glibc
import PluginKit
import TraceFormat

/// Writes every observed exit to a host file. `TraceEncoder` formats, `TraceFilter` chooses, `TraceFile` writes.
/// It has no state for a snapshot: a trace is of this run, and a restored machine goes on in its own file.
final class Trace: Instance {
    static let definition = ClassDefinition.policy(
        "trace", summary: "writes exits to a file, as JSON lines or for Perfetto",
        properties: [
            Property("file", .path, required: true, doc: "host file that the trace goes to; what is there is replaced"),
            Property(
                "format", .choice, default: "jsonl", choices: ["jsonl", "chrome"],
                doc: "one JSON object a line, or a Chrome trace event array, which Perfetto opens"),
            Property(
                "kinds", .choice, list: true, live: true, choices: ExitName.all.map(\.key),
                doc: "exits to trace, which the engine must be able to deliver; none is all that happen anyway"),
            Property(
                "ports", .range, list: true, live: true,
                doc: "trace only I/O to these ports; without kinds, nothing but I/O is traced then"),
            Property(
                "limit", .unsigned, default: "0", live: true, unit: "events", bounds: 0...Int64.max,
                doc: "events after which the trace ends; 0 is no limit"),
            Property(
                "buffer", .size, default: "256KiB", bounds: 4096...16_777_216,
                doc: "bytes that are collected before they are written"),
            Property(
                "pid", .unsigned, default: "1", bounds: 0...0x7fff_ffff,
                doc: "process number of the machine in a Chrome trace, to tell machines apart in one view"),
        ],
        check: { (_, values) throws(PluginError) in
            let path = values.text("file")
            var filter = TraceFilter()
            for name in ["kinds", "ports"] { try filter.set(name, from: values) }
            do throws(TraceFile.OpenError) { try TraceFile.check(path) } catch { throw cannotOpen(path, error) }
        },
        make: { (host, values) throws(PluginError) in try Trace(host, values) })

    private let path: String
    private var encoder: TraceEncoder
    private var filter = TraceFilter()
    private var limit: UInt64
    private var written: UInt64 = 0
    /// Events that a slow reader of a pipe cost.
    private var lost: UInt64 = 0
    private var isTracing = true
    /// The closing bracket is in the buffer.
    private var isFinished = false
    /// nil: closed.
    private var file: TraceFile?
    private var wants: [Exits.Want] = []

    init(_ host: Host, _ values: Values) throws(PluginError) {
        path = values.text("file")
        limit = values.unsigned("limit")
        encoder = TraceEncoder(
            .init(rawValue: values.choice("format")) ?? .jsonLines, process: values.unsigned("pid"),
            capacity: Int(clamping: min(values.unsigned("buffer"), 16_777_216)))
        for name in ["kinds", "ports"] { try filter.set(name, from: values) }
        do throws(TraceFile.OpenError) { file = try TraceFile(path) } catch {
            throw Trace.cannotOpen(path, error)
        }
        super.init(host)
    }

    private static func cannotOpen(_ path: String, _ error: TraceFile.OpenError) -> PluginError {
        PluginError("cannot open \(path) for the trace: \(text(of: error.code))", status: .ioError)
    }

    override func connect() throws(PluginError) { try renewWants(for: filter) }

    override func setProperty(_ name: String, to values: Values) throws(PluginError) {
        if name == "limit" {
            limit = values.unsigned(name)
            return
        }
        var next = filter
        try next.set(name, from: values)
        if isTracing, next.wants != filter.wants { try renewWants(for: next) }
        filter = next
    }

    /// On failure the old wants stay.
    private func renewWants(for filter: TraceFilter) throws(PluginError) {
        let exits = try host.exits
        var renewed: [Exits.Want] = []
        do throws(PluginError) {
            for want in filter.wants { renewed.append(try ask(exits, for: want)) }
        } catch {
            for want in renewed { exits.unwant(want) }
            throw error
        }
        for want in wants { exits.unwant(want) }
        wants = renewed
    }

    private func ask(_ exits: Exits, for want: TraceFilter.Want) throws(PluginError) -> Exits.Want {
        do throws(PluginError) { return try exits.want(want.reason, want.range, want.options) } catch {
            guard error.status == .unsupported else { throw error }
            let key = ExitName.key(of: UInt16(truncatingIfNeeded: want.reason))
            throw PluginError("kinds: the engine cannot deliver \(key) exits", status: error.status)
        }
    }

    override func observe(_ exit: bp_exit, _ outcome: bp_outcome) {
        guard isTracing, let file, filter.takes(exit) else { return }
        // SAFETY: the owner's id is NUL-terminated and valid for this call, as plugin.h says.
        let owner = UnsafeRawBufferPointer(start: outcome.owner, count: outcome.owner.map { strlen($0) } ?? 0)
            .bindMemory(to: UInt8.self)
        if !encoder.append(exit, verdict: outcome.verdict, nanoseconds: outcome.nanoseconds, owner: owner.span) {
            if case .failed(let code) = file.flush(&encoder.buffer) { return fail(code) }
            guard
                encoder.append(
                    exit, verdict: outcome.verdict, nanoseconds: outcome.nanoseconds, owner: owner.span)
            else {
                lost &+= 1
                return
            }
        }
        written &+= 1
        if limit != 0, written >= limit {
            host.log(.info, "trace to \(path) ends at its limit of \(limit) events")
            end(waiting: false)
        }
    }

    /// So that a file is up to date when its machine is saved.
    override func quiesce() -> Bool {
        if let file, case .failed(let code) = file.flush(&encoder.buffer) { fail(code) }
        return true
    }

    override func disconnect() {
        // The host drops them by itself now.
        wants = []
        end(waiting: true)
    }

    // MARK: The end of the trace

    /// Writes what is left. Where it may not wait for a slow reader, `disconnect` does the rest.
    private func end(waiting: Bool) {
        guard let file else { return }
        stopWanting()
        if !isFinished { isFinished = encoder.finish() }
        var progress = waiting ? file.drain(&encoder.buffer) : file.flush(&encoder.buffer)
        if !isFinished, progress == .done {
            isFinished = encoder.finish()
            progress = file.flush(&encoder.buffer)
        }
        switch progress {
        case .failed(let code): return fail(code)
        case .later where !waiting: return
        case .later: host.log(.warning, "trace to \(path) is cut short: its reader is too slow")
        case .done: break
        }
        if lost > 0 { host.log(.warning, "trace to \(path) lacks \(lost) events: its reader was too slow") }
        self.file = nil
    }

    private func fail(_ code: Int32) {
        host.log(.error, "cannot write the trace to \(path): \(text(of: code)); tracing stops after \(written) events")
        stopWanting()
        file = nil
    }

    private func stopWanting() {
        isTracing = false
        guard let exits = try? host.exits else { return }
        for want in wants { exits.unwant(want) }
        wants = []
    }
}

private func text(of code: Int32) -> String { String(cString: strerror(code)) }

extension TraceFilter {
    mutating func set(_ name: String, from values: Values) throws(PluginError) {
        switch name {
        case "kinds": kinds = values.textList(name).compactMap { ExitName.reason(of: $0) }
        case "ports":
            let ranges = values.rangeList(name)
            for range in ranges where range.upperBound > 0xffff {
                let text = hexText(range.lowerBound) + "-" + hexText(range.upperBound)
                throw PluginError("ports: " + text + " is not a range of ports; the last port is 0xffff")
            }
            ports = ranges
        default: break
        }
    }
}

let library = Library(
    "trace", version: "1.0", summary: "exits written to a file", needsMinor: 0, classes: [Trace.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
