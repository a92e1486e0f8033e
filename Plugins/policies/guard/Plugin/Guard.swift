import GuardRules
import PluginKit

/// Denies a guest ports, memory, MSRs, CPUID leaves and hypercalls. `GuardRules` decides. It has no state that a snapshot needs.
final class Guard: Instance {
    static let definition = ClassDefinition.policy(
        "guard", summary: "denies ports, memory, MSRs, CPUID leaves and hypercalls",
        properties: [
            Property("deny-ports", .range, list: true, live: true, doc: "ports that are denied"),
            Property("allow-ports", .range, list: true, live: true, doc: "if given, all other ports are denied"),
            Property(
                "deny-memory", .range, list: true, live: true,
                doc: "guest-physical addresses that are denied where they are not RAM"),
            Property(
                "allow-memory", .range, list: true, live: true,
                doc: "if given, all other addresses are denied where they are not RAM"),
            Property("deny-msrs", .range, list: true, live: true, doc: "MSRs that are denied"),
            Property("allow-msrs", .range, list: true, live: true, doc: "if given, all other MSRs are denied"),
            Property("deny-cpuid", .range, list: true, live: true, doc: "CPUID leaves that are denied"),
            Property("allow-cpuid", .range, list: true, live: true, doc: "if given, all other CPUID leaves are denied"),
            Property("deny-hypercalls", .range, list: true, live: true, doc: "hypercalls that are denied, by RAX"),
            Property(
                "allow-hypercalls", .range, list: true, live: true, doc: "if given, all other hypercalls are denied"),
            Property(
                "action", .choice, default: "drop", live: true, choices: ["drop", "inject", "stop"],
                doc:
                    "a denied access does nothing (reads give ones, MSRs and CPUID zero), raises #GP, or is the end"),
            Property(
                "log-limit", .unsigned, default: "1000", live: true, unit: "lines",
                doc: "denials that are logged; later ones are only counted"),
        ],
        methods: [
            Method("denials", result: .u64, doc: "how many accesses it has denied", function: denialsMethod)
        ],
        make: { (host, values) throws(PluginError) in try Guard(host, values) })

    private static let stoppedByPolicy: UInt32 = 8
    private static let generalProtection: UInt8 = 13

    private var rules = GuardRules()
    private var wants: [Exits.Want] = []
    private var logLimit: UInt64
    private(set) var denials: UInt64 = 0

    init(_ host: Host, _ values: Values) throws(PluginError) {
        logLimit = values.unsigned("log-limit")
        for name in GuardRules.names { try rules.set(name, from: values) }
        super.init(host)
    }

    override func connect() throws(PluginError) { try renewWants(for: rules) }

    override func setProperty(_ name: String, to values: Values) throws(PluginError) {
        if name == "log-limit" {
            logLimit = values.unsigned(name)
            return
        }
        var next = rules
        try next.set(name, from: values)
        if next.wants != rules.wants { try renewWants(for: next) }
        rules = next
    }

    /// On failure the old wants stay.
    private func renewWants(for rules: GuardRules) throws(PluginError) {
        let exits = try host.exits
        var renewed: [Exits.Want] = []
        do throws(PluginError) {
            for want in rules.wants {
                var options: Exits.Options = [.decide, .required]
                if want.isPrecise { options.insert(.precise) }
                renewed.append(try exits.want(want.reason, want.range, options))
            }
        } catch {
            for want in renewed { exits.unwant(want) }
            throw error
        }
        for want in wants { exits.unwant(want) }
        wants = renewed
    }

    override func decide(_ exit: inout bp_exit) -> Verdict {
        var hypercall: UInt64 = 0
        let vcpu = exit.vcpu
        let denied = rules.denies(exit) {
            hypercall = (try? host.cpu.registers(vcpu: vcpu).general.0) ?? 0
            return hypercall
        }
        guard let space = denied else { return .continue }
        denials += 1
        let sentence = GuardRules.sentence(exit, space, hypercall: hypercall)
        if denials <= logLimit { host.log(.warning, sentence) }
        switch rules.action {
        case .drop:
            GuardRules.drop(&exit, space)
            return .handled
        case .inject: return .inject(vector: Guard.generalProtection, errorCode: 0)
        case .stop:
            host.fail(sentence)
            return .stop(status: Guard.stoppedByPolicy)
        }
    }

    override func disconnect() {
        if denials > logLimit { host.log(.warning, "\(denials) accesses were denied, of which \(logLimit) are logged") }
    }
}

extension GuardRules {
    static let names =
        ["ports", "memory", "msrs", "cpuid", "hypercalls"].flatMap { ["deny-" + $0, "allow-" + $0] } + ["action"]

    mutating func set(_ name: String, from values: Values) throws(PluginError) {
        if name == "action" {
            action = Action(rawValue: values.choice(name)) ?? .drop
            return
        }
        let parts = name.split(separator: "-")
        guard parts.count == 2, let space = Space.allCases.first(where: { "\($0)" == parts[1] }) else { return }
        let ranges = values.rangeList(name)
        for range in ranges where space == .ports && range.upperBound > 0xffff {
            throw PluginError(
                name + ": " + hexText(range.lowerBound) + "-" + hexText(range.upperBound)
                    + " is not a range of ports; the last port is 0xffff")
        }
        if parts[0] == "deny" { self[space].deny = ranges } else { self[space].allow = ranges }
    }
}

private let denialsMethod: @convention(c) (UnsafeMutableRawPointer?) -> UInt64 = {
    instance($0, as: Guard.self).denials
}

let library = Library(
    "guard", version: "1.0", summary: "access lists for a guest", needsMinor: 0, classes: [Guard.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
