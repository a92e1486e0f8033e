import PluginKit
import Synchronization

/// Port 0x330: a guest writes 1, 2, 3... and every gap is found. Port 0x334 keeps what was written last.
final class TallyDevice: Instance {
    static let definition = ClassDefinition.device(
        "tally", summary: "finds gaps in a guest's counting",
        properties: [
            Property("fixed", .unsigned, default: "1", doc: "cannot be set while it runs"),
            Property("step", .unsigned, default: "1", live: true, doc: "expected from one write to the next"),
        ],
        methods: [
            Method("count", result: .u64, doc: "writes so far", function: countMethod),
            Method("gaps", result: .u64, doc: "writes that did not follow the last", function: gapsMethod),
            Method("kept", result: .u64, doc: "what port 0x334 holds", function: keptMethod),
        ],
        make: { (host, values) throws(PluginError) in TallyDevice(host) })

    private static let countMethod: @convention(c) (UnsafeMutableRawPointer?) -> UInt64 = {
        instance($0, as: TallyDevice.self).count
    }
    private static let gapsMethod: @convention(c) (UnsafeMutableRawPointer?) -> UInt64 = {
        instance($0, as: TallyDevice.self).gaps
    }
    private static let keptMethod: @convention(c) (UnsafeMutableRawPointer?) -> UInt64 = {
        instance($0, as: TallyDevice.self).kept
    }

    private var count: UInt64 = 0
    private var gaps: UInt64 = 0
    private var kept: UInt64 = 0
    private var last: UInt64?

    override func connect() throws(PluginError) {
        try host.io.claimPorts(0x330, count: 4, widths: .all, cookie: 1, name: "tally")
        try host.io.claimPorts(0x334, count: 4, widths: .all, cookie: 2, name: "kept")
    }
    override func write(_ access: Access, _ value: UInt64) -> Status {
        if access.cookie == 2 {
            kept = value
            return .ok
        }
        count += 1
        if let last, value != (last + 1) & 0xffff_ffff { gaps += 1 }
        last = value
        return .ok
    }
    override func setProperty(_ name: String, to values: Values) throws(PluginError) {
        if values.unsigned(name) == 0 { throw PluginError("a step of nothing is no step") }
    }
}

/// Counts what it sees, under its tag; the test reads the counts.
final class WatcherPolicy: Instance {
    static let definition = ClassDefinition.policy(
        "watcher", summary: "counts exits for a test",
        properties: [
            Property("tag", .text, default: "watcher", doc: "of the counter"),
            Property("first", .unsigned, default: "0x330", live: true, doc: "first port or MSR that it wants"),
            Property("reason", .unsigned, default: "30", doc: "of the exits that it wants"),
            Property("required", .bool, default: "off", doc: "refuse an engine that cannot deliver them"),
            Property("precise", .bool, default: "off", doc: "it injects"),
            Property("handles", .bool, default: "off", live: true, doc: "answers itself, with the value 0xabcd"),
            Property("fail-create", .bool, default: "off", doc: "refuse to be created"),
            Property("fail-connect", .bool, default: "off", doc: "refuse to be connected, once it has asked for exits"),
            Property("fail-start", .bool, default: "off", doc: "refuse to start"),
        ],
        make: { (host, values) throws(PluginError) in
            if values.bool("fail-create") { throw PluginError("it was told not to be created") }
            return WatcherPolicy(host, values)
        })

    private static let seen = Mutex<[String: UInt64]>([:])
    private static let living = Mutex(0)
    static func count(_ tag: String) -> UInt64 { seen.withLock { $0[tag] ?? 0 } }
    /// Instances that have not been destroyed.
    static var alive: Int { living.withLock { $0 } }

    private let tag: String
    private let reason: Int
    private let options: Exits.Options
    private let failsConnect: Bool
    private let failsStart: Bool
    private var first: UInt64
    private var handles: Bool
    private var decided: UInt64 = 0
    private var observed: UInt64 = 0
    private var want: Exits.Want?

    init(_ host: Host, _ values: Values) {
        tag = values.text("tag")
        reason = Int(clamping: values.unsigned("reason"))
        first = values.unsigned("first")
        handles = values.bool("handles")
        failsConnect = values.bool("fail-connect")
        failsStart = values.bool("fail-start")
        var options: Exits.Options = [.decide, .observe]
        if values.bool("required") { options.insert(.required) }
        if values.bool("precise") { options.insert(.precise) }
        self.options = options
        super.init(host)
        WatcherPolicy.living.withLock { $0 += 1 }
    }

    deinit { WatcherPolicy.living.withLock { $0 -= 1 } }

    override func connect() throws(PluginError) {
        want = try host.exits.want(reason, first...first, options)
        if failsConnect { throw PluginError("it was told not to connect") }
    }
    override func start() throws(PluginError) {
        if failsStart { throw PluginError("it was told not to start") }
    }
    override func setProperty(_ name: String, to values: Values) throws(PluginError) {
        if name == "handles" {
            handles = values.bool(name)
            return
        }
        // Asks first and refuses afterwards: the host must undo it.
        let next = values.unsigned(name)
        let new = try host.exits.want(reason, next...next, options)
        if next == 0x666 { throw PluginError("not this one") }
        if let want { (try? host.exits)?.unwant(want) }
        want = new
        first = next
    }
    override func decide(_ exit: inout bp_exit) -> Verdict {
        decided += 1
        guard handles else { return .continue }
        exit.value = 0xabcd
        return .handled
    }
    override func observe(_ exit: bp_exit, _ outcome: bp_outcome) { observed += 1 }
    override func disconnect() {
        let (decided, observed) = (decided, observed)
        WatcherPolicy.seen.withLock { seen in
            seen[tag, default: 0] += decided
            seen[tag + " observed", default: 0] += observed
        }
    }
}

/// Brings the guest whose number is written to port 0x340 to the foreground, by its verdict.
final class SwitcherPolicy: Instance {
    static let definition = ClassDefinition.policy(
        "switcher", summary: "switches guests for a test",
        make: { (host, values) throws(PluginError) in SwitcherPolicy(host) })

    override func connect() throws(PluginError) { try host.exits.want(Int(BP_EXIT_IO), 0x340...0x340, .decide) }
    override func decide(_ exit: inout bp_exit) -> Verdict { .switchTo(guest: UInt32(truncatingIfNeeded: exit.value)) }
}

/// Says of each OUT to port 0x330 its word, along its wire, and answers what comes from there with its word and that.
final class TalkerPolicy: Instance {
    static let definition = ClassDefinition.policy(
        "talker", summary: "has a wire, for a test",
        properties: [
            Property("word", .text, required: true, doc: "what it says"),
            Property("fail-connect", .bool, default: "off", doc: "refuse to be connected, once it has said so"),
        ],
        slots: [Slot("line", "stream/1", doc: "where it talks")],
        make: { (host, values) in TalkerPolicy(host, values) })

    private let word: String
    private let failsConnect: Bool
    private var line = StreamPeer.unwired

    init(_ host: Host, _ values: Values) {
        (word, failsConnect) = (values.text("word"), values.bool("fail-connect"))
        super.init(host)
    }

    override func connect() throws(PluginError) {
        line = try host.stream("line")
        try host.exits.want(BP_EXIT_IO, 0x330...0x330, .decide)
        if failsConnect {
            say("(\(word) is refused)")
            throw PluginError("it was told not to connect")
        }
        line.ready(16)
    }
    override func decide(_ exit: inout bp_exit) -> Verdict {
        say(word)
        return .continue
    }
    override func streamReceived(slot: Int, _ bytes: UnsafeRawBufferPointer) {
        say("[\(word) hears \(String(decoding: bytes, as: UTF8.self))]")
        line.ready(16)
    }
    override func disconnect() { say("(\(word) goes)") }

    private func say(_ text: String) { Array(text.utf8).withUnsafeBytes { line.write($0) } }
}
