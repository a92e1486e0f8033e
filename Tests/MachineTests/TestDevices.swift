import PluginKit

/// Faults where it is told to.
final class FaultyDevice: Instance {
    static let definition = ClassDefinition.device(
        "faulty", summary: "fails on demand",
        properties: [
            Property("at", .port, default: "0x300", doc: "its port"),
            Property("fail-create", .bool, default: "off", doc: "refuse to be created"),
            Property("fail-connect", .bool, default: "off", doc: "refuse to be connected"),
        ],
        slots: [Slot("irq", "irq-line/1", optional: true, doc: "asserted from the first reset on")],
        make: { (host, values) throws(PluginError) in
            if values.bool("fail-create") { throw PluginError("it was told to fail") }
            return FaultyDevice(host, values)
        })

    private let base: UInt16
    private let failsConnect: Bool
    private var line: Line?

    init(_ host: Host, _ values: Values) {
        base = values.port("at")
        failsConnect = values.bool("fail-connect")
        super.init(host)
    }

    override func connect() throws(PluginError) {
        if failsConnect { throw PluginError("it does not like its wires") }
        try host.io.claimPorts(base, count: 1, name: "trap door")
        line = try host.line("irq")
    }
    override func reset(warm: Bool) { line?.set(true) }
    override func read(_ access: Access) -> ReadResult { .value(0x42 as UInt8) }
    override func write(_ access: Access, _ value: UInt64) -> Status {
        host.fail("the guest wrote \(value)")
        return .fault
    }
}

/// Answers in ways that a device seldom does: late, moved, wide.
final class ProbeDevice: Instance {
    static let definition = ClassDefinition.device(
        "probe", summary: "ports 0x310 deferred, 0x318 counts, 0x320 word only, memory at 0xd0000000",
        methods: [
            Method("add", [("a", .u32), ("b", .u16)], result: .u64, doc: "adds", function: addNumbers),
            Method("greet", [("name", .text), ("loud", .bool)], result: .text, doc: "greets", function: greet),
            Method("is-counted", result: .u64, doc: "whether the clock is counted", function: isCounted),
            Method("refuse", result: .status, doc: "always fails", function: refuse),
        ],
        make: { (host, values) throws(PluginError) in ProbeDevice(host) })

    private static let addNumbers: @convention(c) (UnsafeMutableRawPointer?, UInt32, UInt16) -> UInt64 = {
        UInt64($1) + UInt64($2) + instance($0, as: ProbeDevice.self).count
    }
    private static let greet: @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<CChar>?, UInt8) -> Void = {
        instance($0, as: ProbeDevice.self).host.reply("hello " + String(cString: $1!) + ($2 != 0 ? "!" : ""))
    }
    private static let isCounted: @convention(c) (UnsafeMutableRawPointer?) -> UInt64 = {
        (try? instance($0, as: ProbeDevice.self).host.clock.isCounted) == true ? 1 : 0
    }
    private static let refuse: @convention(c) (UnsafeMutableRawPointer?) -> Int32 = {
        instance($0, as: ProbeDevice.self).host.fail("not today")
        return Status.refused.rawValue
    }

    private(set) var count: UInt64 = 0
    private var tokens: [UInt64] = []

    override func connect() throws(PluginError) {
        let io = try host.io
        try io.claimPorts(0x310, count: 1, cookie: 1, name: "deferred")
        try io.claimPorts(0x318, count: 4, cookie: 2, name: "counter")
        try io.claimPorts(0x320, count: 4, widths: .word, cookie: 3, name: "words")
        try io.claimMemory(0xd000_0000, length: 0x1000, widths: .all, cookie: 4, name: "window")
    }

    override func read(_ access: Access) -> ReadResult {
        switch access.cookie {
        case 1:
            tokens.append(access.token)
            _ = (try? host.events)?.post(7)
            return .deferred
        case 2:
            count += 1
            return .value(UInt8(truncatingIfNeeded: access.offset + 0x10))
        case 3: return .value(UInt16(truncatingIfNeeded: 0xa0b0 + access.offset))
        default: return .value(0x1122_3344_5566_7788 as UInt64 >> ((access.offset & 7) * 8))
        }
    }
    override func write(_ access: Access, _ value: UInt64) -> Status {
        count = value
        return .ok
    }
    override func posted(_ argument: UInt) {
        for token in tokens { (try? host.io)?.complete(token, value: UInt64(argument) + 0x50) }
        tokens = []
    }
}
