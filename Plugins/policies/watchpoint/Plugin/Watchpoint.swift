import PluginKit
import WatchPoints

/// Pauses, ends or reports when a guest touches a port, an address, an MSR or a control register. `WatchPoints` decides. It has
/// no state that a snapshot needs.
final class Watchpoint: Instance {
    static let definition = ClassDefinition.policy(
        "watchpoint", summary: "pauses, stops or reports when a port, address, MSR or control register is touched",
        properties: [
            Property("ports", .range, list: true, live: true, doc: "ports to watch"),
            Property(
                "memory", .range, list: true, live: true,
                doc: "guest-physical addresses to watch where they are not RAM"),
            Property("msrs", .range, list: true, live: true, doc: "MSRs to watch"),
            Property("control-registers", .range, list: true, live: true, doc: "CRs to watch, by number"),
            Property(
                "access", .choice, default: "any", live: true, choices: ["any", "read", "write"],
                doc: "which accesses count"),
            Property("value", .unsigned, live: true, doc: "only accesses that read or write this value"),
            Property("mask", .unsigned, default: "0xffffffffffffffff", live: true, doc: "bits of the value that count"),
            Property("ignore", .unsigned, default: "0", live: true, doc: "so many matches are let by first"),
            Property(
                "action", .choice, default: "pause", live: true, choices: ["pause", "stop", "log"],
                doc:
                    "pause, end with status 8, or only log; a read watched for its value pauses at the next exit"),
        ],
        methods: [
            Method("hits", result: .u64, doc: "matches so far", function: hitsMethod),
            Method("last", result: .text, doc: "the last match", function: lastMethod),
        ],
        make: { (host, values) in Watchpoint(host, values) })

    private static let stoppedByPolicy: UInt32 = 8
    private static let names = [
        "ports", "memory", "msrs", "control-registers", "access", "value", "mask",
    ]

    private var points = WatchPoints()
    private var wants: [Exits.Want] = []
    private var ignore: UInt64
    private var action: Int
    private(set) var hits: UInt64 = 0
    private(set) var last = ""
    /// A match was seen too late for a verdict.
    private var isPauseDue = false

    init(_ host: Host, _ values: Values) {
        ignore = values.unsigned("ignore")
        action = values.choice("action")
        for name in Watchpoint.names { points.set(name, from: values) }
        super.init(host)
    }

    override func connect() throws(PluginError) { try renewWants(for: points) }

    override func setProperty(_ name: String, to values: Values) throws(PluginError) {
        switch name {
        case "ignore": ignore = values.unsigned(name)
        case "action": action = values.choice(name)
        default:
            var next = points
            next.set(name, from: values)
            if next.wants != points.wants { try renewWants(for: next) }
            points = next
        }
    }

    /// On failure the old wants stay.
    private func renewWants(for points: WatchPoints) throws(PluginError) {
        let exits = try host.exits
        var renewed: [Exits.Want] = []
        do throws(PluginError) {
            for want in points.wants {
                let options: Exits.Options = want.isObserved ? [.decide, .observe, .required] : [.decide, .required]
                renewed.append(try exits.want(want.reason, want.range, options))
            }
            if points.wants.contains(where: \.isObserved) {
                renewed.append(try exits.want(BP_EXIT_HLT, 0...UInt64.max, .decide))
            }
        } catch {
            for want in renewed { exits.unwant(want) }
            throw error
        }
        for want in wants { exits.unwant(want) }
        wants = renewed
    }

    override func decide(_ exit: inout bp_exit) -> Verdict {
        if points.matches(exit, isOver: false), isHit(exit) {
            switch action {
            case 0: return .pause
            case 1:
                host.fail(last)
                return .stop(status: Watchpoint.stoppedByPolicy)
            default: break
            }
        }
        guard isPauseDue else { return .continue }
        isPauseDue = false
        return .pause
    }

    override func observe(_ exit: bp_exit, _ outcome: bp_outcome) {
        guard points.matches(exit, isOver: true), isHit(exit) else { return }
        if action == 0 { isPauseDue = true }
        if action == 1 { (try? host.machine)?.stop(status: Watchpoint.stoppedByPolicy) }
    }

    private func isHit(_ exit: bp_exit) -> Bool {
        if ignore > 0 {
            ignore -= 1
            return false
        }
        hits += 1
        last = WatchPoints.sentence(exit)
        host.log(.info, last)
        return true
    }

    fileprivate func replyLast() { host.reply(last) }
}

extension WatchPoints {
    mutating func set(_ name: String, from values: Values) {
        switch name {
        case "ports": ports = values.rangeList(name)
        case "memory": memory = values.rangeList(name)
        case "msrs": msrs = values.rangeList(name)
        case "control-registers": controlRegisters = values.rangeList(name)
        case "access": access = Access(rawValue: values.choice(name)) ?? .any
        case "value": value = values.isSet(name) ? values.unsigned(name) : nil
        case "mask": mask = values.unsigned(name)
        default: break
        }
    }
}

private let hitsMethod: @convention(c) (UnsafeMutableRawPointer?) -> UInt64 = { instance($0, as: Watchpoint.self).hits }
private let lastMethod: @convention(c) (UnsafeMutableRawPointer?) -> Void = {
    instance($0, as: Watchpoint.self).replyLast()
}

let library = Library(
    "watchpoint", version: "1.0", summary: "watchpoints on a guest's accesses", needsMinor: 0,
    classes: [Watchpoint.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
