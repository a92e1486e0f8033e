import ExitMeter
import PluginKit

/// Grants a guest so many exits, instructions or so much time, and then pauses or ends it. What is left belongs to a snapshot.
final class Budget: Instance {
    static let definition = ClassDefinition.policy(
        "budget", summary: "grants so many exits, instructions or so much time, then pauses or stops",
        properties: [
            Property("exits", .unsigned, default: "0", live: true, doc: "exits that are granted; 0: no limit"),
            Property(
                "instructions", .unsigned, default: "0", live: true,
                doc: "instructions that are granted, to the last one, by an engine that counts them; 0: no limit"),
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
            Method(
                "instructions-left", result: .u64, doc: "instructions that are left", function: instructionsLeftMethod),
            Method("renew", doc: "grants everything again", function: renewMethod),
        ],
        make: { (host, values) throws(PluginError) in try Budget(host, values) })

    private var meter: ExitMeter
    private var instructions: UInt64
    private var time: UInt64
    private var pauses: Bool
    private var status: UInt32
    /// When the time is over; nil: no limit.
    private var deadline: UInt64?
    /// At which count of vCPU 0 the instructions are spent; nil: no limit.
    private var lastInstruction: UInt64?
    private var counted: Exits.Want?
    private let timer: Timer

    init(_ host: Host, _ values: Values) throws(PluginError) {
        meter = ExitMeter(limit: values.unsigned("exits"))
        instructions = values.unsigned("instructions")
        time = values.unsigned("time")
        pauses = values.choice("action") == 1
        status = UInt32(clamping: values.unsigned("status"))
        timer = try host.clock.timer()
        super.init(host)
    }

    override func connect() throws(PluginError) {
        try host.exits.want(Int(BP_WANT_ALL), 0...UInt64.max, .decide)
        if instructions != 0 { try wantCount() }
    }

    /// The engine must be one that counts: another is refused here.
    private func wantCount() throws(PluginError) {
        if counted == nil { counted = try host.exits.want(Int(BP_WANT_ALL), 0...UInt64.max, .counted) }
    }

    override func reset(warm: Bool) {
        // RESET is the guest's: it gets nothing for it.
        if !warm { grant() }
    }

    fileprivate func grant() {
        meter.renew()
        grantTime()
        grantInstructions()
    }

    private func grantTime() {
        setDeadline(time == 0 ? nil : (try? host.clock.now).map { $0.addingReportingOverflow(time) })
    }

    private func setDeadline(_ sum: (partialValue: UInt64, overflow: Bool)?) {
        timer.cancel()
        deadline = nil
        guard let sum, !sum.overflow else { return }
        deadline = sum.partialValue
        timer.set(at: sum.partialValue)
    }

    private func grantInstructions() {
        let now = (try? host.cpu)?.retired()
        setLastInstruction(instructions == 0 ? nil : now.map { $0.addingReportingOverflow(instructions) })
    }

    private func setLastInstruction(_ sum: (partialValue: UInt64, overflow: Bool)?) {
        let isSet = lastInstruction != nil
        lastInstruction = sum.flatMap { $0.overflow ? nil : $0.partialValue }
        if isSet || lastInstruction != nil { (try? host.cpu)?.setAlarm(atRetired: lastInstruction) }
    }

    override func setProperty(_ name: String, to values: Values) throws(PluginError) {
        switch name {
        case "exits": meter.limit = values.unsigned(name)
        case "instructions":
            let next = values.unsigned(name)
            if next != 0 { try wantCount() }
            instructions = next
            grantInstructions()
        case "time":
            time = values.unsigned(name)
            grantTime()
        case "action": pauses = values.choice(name) == 1
        case "status": status = UInt32(clamping: values.unsigned(name))
        default: try super.setProperty(name, to: values)
        }
    }

    override func timerFired(cookie: UInt64, at now: UInt64) { end("the time that was granted is over") }

    override func instructionsRetired(vcpu: UInt32) {
        end("the " + instructions.description + " instructions that were granted are spent")
    }

    /// Between two exits.
    private func end(_ what: String) {
        guard let machine = try? host.machine else { return }
        if pauses {
            host.log(.info, what + ": the machine is paused")
            grant()
            _ = machine.pause()
        } else {
            host.log(.warning, what)
            machine.stop(status: status)
        }
    }

    override func decide(_ exit: inout bp_exit) -> Verdict {
        guard meter.note(), !exit.asksPower else { return .continue }
        let what = "the " + meter.limit.description + " exits that were granted are spent"
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
        state.put("instructions-left", lastInstruction == nil ? 0 : instructionsLeft)
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        let used: UInt64 = try state.get("used")
        let until: UInt64 = try state.get("deadline")
        let left: UInt64 = try state.get("instructions-left")
        meter = ExitMeter(limit: meter.limit, used: used)
        setDeadline(until == 0 ? nil : (until, false))
        let now = (try? host.cpu)?.retired()
        setLastInstruction(left == 0 ? nil : now.map { $0.addingReportingOverflow(left) })
    }

    // MARK: Methods

    fileprivate var left: UInt64 { meter.left }
    fileprivate var instructionsLeft: UInt64 {
        guard let lastInstruction, let now = (try? host.cpu)?.retired() else { return .max }
        return lastInstruction &- min(now, lastInstruction)
    }
}

private let leftMethod: @convention(c) (UnsafeMutableRawPointer?) -> UInt64 = { instance($0, as: Budget.self).left }
private let instructionsLeftMethod: @convention(c) (UnsafeMutableRawPointer?) -> UInt64 = {
    instance($0, as: Budget.self).instructionsLeft
}
private let renewMethod: @convention(c) (UnsafeMutableRawPointer?) -> Void = { instance($0, as: Budget.self).grant() }

let library = Library(
    "budget", version: "1.0", summary: "limits of exits, instructions and time", needsMinor: 3,
    classes: [Budget.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
