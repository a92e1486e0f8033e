import ExitCounters
import Glibc
import PluginKit

/// Counts exits and their time in the VMM, and reports at the end and on demand. `ExitCounters` counts.
/// The counters are not part of a snapshot: they are host time of this run on this host. They outlast a reset.
final class Stats: Instance {
    static let definition = ClassDefinition.policy(
        "stats",
        summary: "counts exits and their time in the VMM, by kind and by port or page, and names undefined opcodes",
        properties: [
            Property(
                "top", .unsigned, default: "20", live: true, unit: "rows", bounds: 0...100_000,
                doc: "ports and pages that a report lists"),
            Property("file", .path, doc: "where the report at the end goes instead of the log"),
            Property("at-end", .bool, default: "true", live: true, doc: "report when the machine ends"),
        ],
        methods: [
            Method("report", result: .text, doc: "the report so far", function: reportMethod),
            Method(
                "table", result: .text,
                doc: "all counters for programs: what, which, count, nanoseconds and owner, with tabs between",
                function: tableMethod),
            Method("clear", doc: "counts from zero again", function: clearMethod),
            Method(
                "count", [("kind", .text)], result: .u64,
                doc: "exits so far of a kind such as io, hlt or ept-violation, or of all",
                function: countMethod),
        ],
        make: { (host, values) throws(PluginError) in try Stats(host, values) })

    private var counters = ExitCounters()
    private var top: Int
    private var reportsAtEnd: Bool
    private var hasReported = false
    /// Opened at once, so that a wrong path is an error before the guest runs and not a report lost.
    private let file: ReportFile?

    init(_ host: Host, _ values: Values) throws(PluginError) {
        top = Int(clamping: values.unsigned("top"))
        reportsAtEnd = values.bool("at-end")
        let path = values.text("file")
        file = path.isEmpty ? nil : try ReportFile(path)
        super.init(host)
    }

    override func connect() throws(PluginError) {
        try host.exits.want(Int(BP_WANT_ALL), 0...UInt64.max, .observe)
        // Engines exit for #UD only where it is wanted; those that cannot are not asked to.
        let vector = ExitCounters.invalidOpcode
        try host.exits.want(Int(BP_EXIT_EXCEPTION), vector...vector, .observe)
    }

    override func setProperty(_ name: String, to values: Values) throws(PluginError) {
        switch name {
        case "top": top = Int(clamping: values.unsigned(name))
        case "at-end": reportsAtEnd = values.bool(name)
        default: try super.setProperty(name, to: values)
        }
    }

    override func observe(_ exit: bp_exit, _ outcome: bp_outcome) {
        // SAFETY: the owner's id is NUL-terminated and valid for this call, as plugin.h says.
        counters.note(exit, nanoseconds: outcome.nanoseconds, ownerHash: hash(outcome.owner)) {
            outcome.owner.map { String(cString: $0) } ?? ""
        }
        if exit.reason == UInt16(BP_EXIT_EXCEPTION), exit.address == ExitCounters.invalidOpcode {
            counters.noteUndefined(rip: exit.rip) { code(exit) }
        }
    }

    /// The bytes at an exit's instruction: eight, or as many as there are up to the end of the page.
    private func code(_ exit: bp_exit) -> [UInt8] {
        guard let cpu = try? host.cpu, let registers = try? cpu.registers(vcpu: exit.vcpu) else { return [] }
        let isLong = registers.efer & 1 << 10 != 0 && registers.cs.attributes & 1 << 13 != 0
        let linear = isLong ? exit.rip : (registers.cs.base &+ exit.rip) & 0xffff_ffff
        return cpu.read(linear: linear, count: 8, vcpu: exit.vcpu)
            ?? cpu.read(linear: linear, count: Int(min(8, 4096 - linear & 4095)), vcpu: exit.vcpu) ?? []
    }

    override func disconnect() {
        guard reportsAtEnd, !hasReported else { return }
        hasReported = true
        let lines = counters.report(top: top)
        guard let file else {
            for line in lines { host.log(.info, line) }
            return
        }
        if let failure = file.replace(with: lines.joined(separator: "\n") + "\n") { host.log(.error, failure) }
    }

    // MARK: Methods

    fileprivate func replyReport() { host.reply(counters.report(top: top).joined(separator: "\n") + "\n") }

    fileprivate func replyTable() { host.reply(counters.table.joined(separator: "\n") + "\n") }

    fileprivate func clear() { counters.clear() }

    fileprivate func count(kind: String) -> UInt64 {
        if let count = counters.count(kind: kind) { return count }
        host.fail(
            "there is no kind of exit named \(kind); kinds are all, "
                + ExitName.all.map(\.key.description).joined(separator: ", "))
        return 0
    }
}

/// FNV-1a of a NUL-terminated name; 0: no name. An id has a few bytes; its pointer may change, its bytes do not.
@inline(__always)
private func hash(_ name: UnsafePointer<CChar>?) -> UInt64 {
    guard var next = name else { return 0 }
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    while next.pointee != 0 {
        hash = (hash ^ UInt64(UInt8(bitPattern: next.pointee))) &* 0x100_0000_01b3
        next += 1
    }
    return hash
}

private let reportMethod: @convention(c) (UnsafeMutableRawPointer?) -> Void = {
    instance($0, as: Stats.self).replyReport()
}
private let tableMethod: @convention(c) (UnsafeMutableRawPointer?) -> Void = {
    instance($0, as: Stats.self).replyTable()
}
private let clearMethod: @convention(c) (UnsafeMutableRawPointer?) -> Void = { instance($0, as: Stats.self).clear() }
private let countMethod: @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<CChar>?) -> UInt64 = { raw, kind in
    instance(raw, as: Stats.self).count(kind: kind.map { String(cString: $0) } ?? "")
}

let library = Library(
    "stats", version: "1.0", summary: "counts of exits and their cost", needsMinor: 0, classes: [Stats.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
