import PluginKit
import StandardDecisions

/// The exit policy that a machine has whose file names none: what unclaimed addresses, HLT, triple faults, unknown MSRs
/// and a request to power off mean. `DefaultDecisions` decides. Nothing of it belongs in a snapshot: what was logged
/// and how often the machine was reset is this run's.
final class Standard: Instance {
    static let definition = ClassDefinition.policy(
        "standard", summary: "decides what unclaimed addresses, HLT, triple faults and power requests do",
        properties: [
            Property(
                "unclaimed-port", .choice, default: "float", live: true, choices: ["float", "log", "stop"],
                doc: "port that nothing claims: reads as all ones, and logs each port once, or stops the machine"),
            Property(
                "unclaimed-memory", .choice, default: "float", live: true, choices: ["float", "log", "stop"],
                doc: "memory that nothing claims: reads as all ones, and logs each page once, or stops the machine"),
            Property(
                "halt-forever", .choice, default: "power-off", live: true, choices: ["power-off", "stop", "wait"],
                doc: "HLT with interrupts disabled: powers off, stops with status 6, or sleeps until an NMI"),
            Property(
                "triple-fault", .choice, default: "reset", live: true, choices: ["reset", "stop", "power-off"],
                doc: "triple fault: resets the machine, stops it with status 6, or powers off"),
            Property(
                "unhandled-msr", .choice, default: "fault", live: true, choices: ["fault", "ignore", "log"],
                doc: "MSR that the CPU does not have: #GP, reads as zero, or that and logs each register once"),
            Property(
                "power-request", .choice, default: "power-off", live: true, choices: ["power-off", "ignore"],
                doc: "operator's request to power off where no instance has a power button"),
            Property(
                "reset-limit", .unsigned, default: "0", live: true, unit: "resets", bounds: 0...1000,
                doc: "resets within reset-window before the next one stops the machine with status 6; 0 is no limit"),
            Property(
                "reset-window", .duration, default: "10s", live: true,
                doc: "virtual time in which reset-limit counts"),
        ],
        make: { (host, values) throws(PluginError) in Standard(host, values) })

    private var decisions: DefaultDecisions
    private var wants: [Exits.Want] = []

    init(_ host: Host, _ values: Values) {
        var settings = Settings()
        for name in Settings.names { settings.set(name, from: values) }
        decisions = DefaultDecisions(settings)
        super.init(host)
    }

    override func connect() throws(PluginError) { try renewWants(for: decisions) }

    override func setProperty(_ name: String, to values: Values) throws(PluginError) {
        var settings = decisions.settings
        settings.set(name, from: values)
        var next = decisions
        next.apply(settings)
        if next.wants != decisions.wants { try renewWants(for: next) }
        decisions = next
    }

    /// On failure the old wants stay.
    private func renewWants(for decisions: DefaultDecisions) throws(PluginError) {
        let exits = try host.exits
        var renewed: [Exits.Want] = []
        do throws(PluginError) {
            for want in decisions.wants {
                renewed.append(try exits.want(want.reason, 0...UInt64.max, want.options))
            }
        } catch {
            for want in renewed { exits.unwant(want) }
            throw error
        }
        for want in wants { exits.unwant(want) }
        wants = renewed
    }

    override func decide(_ exit: inout bp_exit) -> Verdict {
        let decision = decisions.decide(&exit)
        if let note = decision.note { host.log(note.level, note.text) }
        if let reason = decision.reason { host.fail(reason) }
        return decision.verdict
    }

    override func reset(warm: Bool) {
        guard warm, let clock = try? host.clock, let loop = decisions.didReset(at: clock.now) else { return }
        host.log(.error, loop)
        (try? host.machine)?.stop(status: 6)
    }
}

extension Settings {
    static let names = [
        "unclaimed-port", "unclaimed-memory", "halt-forever", "triple-fault", "unhandled-msr", "power-request",
        "reset-limit", "reset-window",
    ]

    mutating func set(_ name: String, from values: Values) {
        let choice = values.choice(name)
        switch name {
        case "unclaimed-port": unclaimedPort = .init(rawValue: choice) ?? .float
        case "unclaimed-memory": unclaimedMemory = .init(rawValue: choice) ?? .float
        case "halt-forever": haltForever = .init(rawValue: choice) ?? .powerOff
        case "triple-fault": tripleFault = .init(rawValue: choice) ?? .reset
        case "unhandled-msr": unhandledMSR = .init(rawValue: choice) ?? .fault
        case "power-request": powerRequest = .init(rawValue: choice) ?? .powerOff
        case "reset-limit": resetLimit = Int(clamping: min(values.unsigned(name), 1000))
        case "reset-window": resetWindow = values.unsigned(name)
        default: break
        }
    }
}

let library = Library(
    "standard", version: "1.0", summary: "the default exit policy", needsMinor: 0, classes: [Standard.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
