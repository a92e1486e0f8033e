import PluginKit
import StrictAllowance

/// Stops the machine at the first access to a port or to memory that nothing claims. `StrictRules` decides. It has no
/// state.
final class Strict: Instance {
    static let definition = ClassDefinition.policy(
        "strict", summary: "stops the machine at the first access that nothing claims",
        properties: [
            Property("ports", .bool, default: "true", live: true, doc: "stop at accesses to ports"),
            Property("memory", .bool, default: "true", live: true, doc: "stop at accesses to memory"),
            Property("allow", .range, list: true, live: true, doc: "ports that may float"),
            Property("allow-memory", .range, list: true, live: true, doc: "guest-physical addresses that may float"),
        ],
        make: { (host, values) throws(PluginError) in try Strict(host, values) })

    private static let stoppedByPolicy: UInt32 = 8
    private var rules = StrictRules()
    private var wants: [Exits.Want] = []

    init(_ host: Host, _ values: Values) throws(PluginError) {
        for name in ["ports", "memory", "allow", "allow-memory"] { try rules.set(name, from: values) }
        super.init(host)
    }

    override func connect() throws(PluginError) { try renewWants(for: rules) }

    override func setProperty(_ name: String, to values: Values) throws(PluginError) {
        var next = rules
        try next.set(name, from: values)
        if next.wants != rules.wants { try renewWants(for: next) }
        rules = next
    }

    /// On failure the old wants stay.
    private func renewWants(for rules: StrictRules) throws(PluginError) {
        let exits = try host.exits
        var renewed: [Exits.Want] = []
        do throws(PluginError) {
            for want in rules.wants { renewed.append(try exits.want(want.reason, want.range, [.decide, .unclaimed])) }
        } catch {
            for want in renewed { exits.unwant(want) }
            throw error
        }
        for want in wants { exits.unwant(want) }
        wants = renewed
    }

    override func decide(_ exit: inout bp_exit) -> Verdict {
        guard rules.forbids(exit) else { return .continue }
        let space = Int(exit.reason) == BP_EXIT_IO ? BP_SPACE_PORT : BP_SPACE_MEMORY
        let nearest = (try? host.exits)?.nearestClaim(space: space, address: exit.address)
        host.fail(rules.sentence(exit, nearest: nearest))
        return .stop(status: Strict.stoppedByPolicy)
    }
}

extension StrictRules {
    mutating func set(_ name: String, from values: Values) throws(PluginError) {
        switch name {
        case "ports": checksPorts = values.bool(name)
        case "memory": checksMemory = values.bool(name)
        case "allow":
            let ranges = values.rangeList(name)
            for range in ranges where range.upperBound > 0xffff {
                let text = hexText(range.lowerBound) + "-" + hexText(range.upperBound)
                throw PluginError("allow: " + text + " is not a range of ports; the last port is 0xffff")
            }
            ports = .ports(ranges)
        case "allow-memory": memory = .memory(values.rangeList(name))
        default: break
        }
    }
}

let library = Library(
    "strict", version: "1.0", summary: "unclaimed accesses stop the machine", needsMinor: 0,
    classes: [Strict.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
