import ExitMeter
import PluginKit

/// Grants a guest so many exits or so much time, and then pauses or ends it. What is left belongs to a snapshot. Not modelled:
/// instructions, which this ABI does not count; a machine whose clock counts instructions has them in `time`.
final class Budget: Instance {
    static let definition = ClassDefinition.policy(
        "budget", summary: "grants so many exits or so much time, then pauses or stops",
        properties: [
            Property("exits", .unsigned, default: "0", live: true, doc: "exits that are granted; 0: no limit"),
            Property(
                "time", .duration, default: "0s", live: true,
                doc: "time of the virtual clock that is granted; 0: no limit"),
            Property(
                "action", .choice, default: "stop", live: true, choices: ["stop", "pause"],
                doc: "the end with a status, or a pause; whoever continues the machine grants as much again"),
            Property("status", .unsigned, default: "8", live: true, bounds: 0...255, doc: "exit status of the end"),
        ],
        methods: [
            Method("left", result: .u64, doc: "exits that are left", function: leftMethod),
            Method("renew", doc: "grants everything again", function: renewMethod),
        ],
        make: { (host, values) throws(PluginError) in try Budget(host, values) })

    private var meter: ExitMeter
    private var time: UInt64
    private var pauses: Bool
    private var status: UInt32
    /// The time is over; the next exit pauses.
    private var isTimeOver = false
    /// When the time is over; nil: no limit.
    private var deadline: UInt64?
    private let timer: Timer

    init(_ host: Host, _ values: Values) throws(PluginError) {
        meter = ExitMeter(limit: values.unsigned("exits"))
        time = values.unsigned("time")
        pauses = values.choice("action") == 1
        status = UInt32(clamping: values.unsigned("status"))
        timer = try host.clock.timer()
        super.init(host)
    }

    override func connect() throws(PluginError) {
        try host.exits.want(Int(BP_WANT_ALL), 0...UInt64.max, .decide)
    }

    override func reset(warm: Bool) {
        // RESET is the guest's: it gets nothing for it.
        if !warm { grant() }
    }

    fileprivate func grant() {
        meter.renew()
        isTimeOver = false
        setDeadline((try? host.clock.now).map { $0.addingReportingOverflow(time) })
    }

    private func setDeadline(_ sum: (partialValue: UInt64, overflow: Bool)?) {
        timer.cancel()
        deadline = nil
        guard time != 0, let sum, !sum.overflow else { return }
        deadline = sum.partialValue
        timer.set(at: sum.partialValue)
    }

    override func setProperty(_ name: String, to values: Values) throws(PluginError) {
        switch name {
        case "exits": meter.limit = values.unsigned(name)
        case "time":
            time = values.unsigned(name)
            isTimeOver = false
            setDeadline((try? host.clock.now).map { $0.addingReportingOverflow(time) })
        case "action": pauses = values.choice(name) == 1
        case "status": status = UInt32(clamping: values.unsigned(name))
        default: try super.setProperty(name, to: values)
        }
    }

    override func timerFired(cookie: UInt64, at now: UInt64) {
        isTimeOver = true
        if !pauses {
            host.log(.warning, "the time that was granted is over")
            (try? host.machine)?.stop(status: status)
        }
    }

    override func decide(_ exit: inout bp_exit) -> Verdict {
        let isSpent = meter.note()
        guard isSpent || isTimeOver, !exit.asksPower else { return .continue }
        let what =
            isTimeOver ? "the time that was granted is over" : "the \(meter.limit) exits that were granted are spent"
        guard pauses else {
            host.fail(what)
            return .stop(status: status)
        }
        host.log(.info, what + ": the machine is paused")
        grant()
        return .pause
    }

    // MARK: Snapshot

    override func save(to state: StateWriter) throws(PluginError) {
        state.put("used", meter.used)
        state.put("deadline", deadline ?? 0)
        state.put("time-over", isTimeOver)
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        let used: UInt64 = try state.get("used")
        let until: UInt64 = try state.get("deadline")
        let isOver: Bool = try state.get("time-over")
        meter = ExitMeter(limit: meter.limit, used: used)
        isTimeOver = isOver
        setDeadline(until == 0 ? nil : (until, false))
    }

    // MARK: Methods

    fileprivate var left: UInt64 { meter.left }
}

private let leftMethod: @convention(c) (UnsafeMutableRawPointer?) -> UInt64 = { instance($0, as: Budget.self).left }
private let renewMethod: @convention(c) (UnsafeMutableRawPointer?) -> Void = { instance($0, as: Budget.self).grant() }

let library = Library(
    "budget", version: "1.0", summary: "limits of exits and time", classes: [Budget.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
