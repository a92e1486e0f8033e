import FaultPlan
import PluginKit

/// Makes exits go wrong: by kind, address, probability and seed. `FaultPlan` decides.
final class FaultInject: Instance {
    static let definition = ClassDefinition.policy(
        "fault-inject", summary: "makes exits go wrong by kind, address, probability and seed",
        properties: [
            Property(
                "exits", .text, required: true, list: true,
                doc: "kinds of exits: io, ept-violation, rdmsr, wrmsr, cpuid, rdtsc, external-interrupt and so on"),
            Property(
                "addresses", .range, list: true, live: true,
                doc: "ports, addresses, MSRs, leaves or vectors; without it, all"),
            Property(
                "access", .choice, default: "any", live: true, choices: ["any", "read", "write"], doc: "which accesses"),
            Property(
                "effect", .choice, default: "all-ones", live: true,
                choices: ["all-ones", "zero", "random", "drop", "exception", "delay", "value"],
                doc:
                    "what a read gives (writes and interrupts are lost), an exception in its place, or the same a while later"
            ),
            Property(
                "value", .unsigned, default: "0", live: true,
                doc: "what a read gives with effect value: a device's error, such as 0x51 of an ATA status"),
            Property(
                "delay", .duration, default: "1ms", live: true, bounds: 0...1_000_000_000,
                doc: "how much later, of the virtual clock, at most a second"),
            Property("vector", .unsigned, default: "13", bounds: 0...31, doc: "of the exception"),
            Property(
                "probability", .float, default: "1", live: true, bounds: 0...1, doc: "that an exit of these goes wrong"),
            Property("seed", .unsigned, default: "1", live: true, doc: "the same seed gives the same faults"),
            Property("skip", .unsigned, default: "0", live: true, unit: "exits", doc: "so many go well first"),
            Property("limit", .unsigned, default: "0", live: true, unit: "faults", doc: "faults in all; 0: no limit"),
            Property("log", .bool, default: "on", live: true, doc: "log each fault"),
        ],
        methods: [Method("injected", result: .u64, doc: "faults so far", function: injectedMethod)],
        make: { (host, values) throws(PluginError) in try FaultInject(host, values) })

    private static let names = ["addresses", "access", "effect", "value", "probability", "skip", "limit"]
    /// Exceptions that push an error code (SDM volume 3, table 6-1).
    private static let withErrorCode: Set<UInt8> = [8, 10, 11, 12, 13, 14, 17, 21]

    private var plan: FaultPlan
    private var wants: [Exits.Want] = []
    private let vector: UInt8
    private var delay: UInt64
    private var logs: Bool

    init(_ host: Host, _ values: Values) throws(PluginError) {
        plan = FaultPlan(seed: values.unsigned("seed"))
        vector = UInt8(truncatingIfNeeded: values.unsigned("vector"))
        delay = values.unsigned("delay")
        logs = values.bool("log")
        for name in values.textList("exits") {
            guard let reason = ExitName.reason(of: name) else {
                let known = ExitName.all.map(\.key.description).joined(separator: ", ")
                throw PluginError("exits: there is no kind " + name + "; there is " + known)
            }
            plan.reasons.append(Int(reason))
        }
        for name in FaultInject.names { plan.set(name, from: values) }
        super.init(host)
    }

    override func connect() throws(PluginError) { try renewWants(for: plan) }

    override func setProperty(_ name: String, to values: Values) throws(PluginError) {
        switch name {
        case "log": logs = values.bool(name)
        case "delay": delay = values.unsigned(name)
        default: try setPlan(name, to: values)
        }
    }

    private func setPlan(_ name: String, to values: Values) throws(PluginError) {
        var next = plan
        if name == "seed" { next.reseed(values.unsigned(name)) } else { next.set(name, from: values) }
        if next.wants != plan.wants || next.effect != plan.effect { try renewWants(for: next) }
        plan = next
    }

    /// On failure the old wants stay.
    private func renewWants(for plan: FaultPlan) throws(PluginError) {
        let exits = try host.exits
        var renewed: [Exits.Want] = []
        do throws(PluginError) {
            for want in plan.wants {
                let options: Exits.Options =
                    plan.effect == .exception ? [.decide, .required, .precise] : [.decide, .required]
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
        guard plan.strikes(exit) else { return .continue }
        if logs {
            host.log(
                .info,
                "fault " + plan.injected.description + ": " + ExitName.key(of: exit.reason) + " "
                    + hexText(exit.address) + " "
                    + exit.placeText)
        }
        if plan.effect == .exception {
            return .inject(vector: vector, errorCode: FaultInject.withErrorCode.contains(vector) ? 0 : nil)
        }
        if plan.effect == .delay { return .delay(nanoseconds: delay) }
        plan.spoil(&exit)
        return .handled
    }

    fileprivate var injected: UInt64 { plan.injected }
}

extension FaultPlan {
    mutating func set(_ name: String, from values: Values) {
        switch name {
        case "addresses": addresses = values.rangeList(name)
        case "access": access = Access(rawValue: values.choice(name)) ?? .any
        case "effect": effect = Effect(rawValue: values.choice(name)) ?? .allOnes
        case "value": value = values.unsigned(name)
        case "probability": probability = values.float(name)
        case "skip": skip = values.unsigned(name)
        case "limit": limit = values.unsigned(name)
        default: break
        }
    }
}

private let injectedMethod: @convention(c) (UnsafeMutableRawPointer?) -> UInt64 = {
    instance($0, as: FaultInject.self).injected
}

let library = Library(
    "fault-inject", version: "1.0", summary: "faults on demand", needsMinor: 3, classes: [FaultInject.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
