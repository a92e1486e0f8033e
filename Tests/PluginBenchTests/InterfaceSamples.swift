import PluginKit

// Devices behind interfaces, for tests of the bench's own ends of them.
// SAFETY: descriptors and tables are constants: allocated once and never freed; pointers that the host passes are valid for the call.

private func constant<T>(_ value: T) -> UnsafePointer<T> {
    let memory = UnsafeMutablePointer<T>.allocate(capacity: 1)
    memory.initialize(to: value)
    return UnsafePointer(memory)
}

private func array<T>(_ values: [T]) -> UnsafePointer<T> {
    let memory = UnsafeMutablePointer<T>.allocate(capacity: values.count)
    memory.initialize(from: values, count: values.count)
    return UnsafePointer(memory)
}

private func cText(_ text: String) -> UnsafePointer<CChar> { array(Array(text.utf8CString)) }

private func function(_ name: String, _ parameters: [Int], result: Int = BP_T_VOID, isAsynchronous: Bool)
    -> UnsafePointer<bp_function>?
{
    constant(
        bp_function(
            size: UInt32(MemoryLayout<bp_function>.size), result: UInt16(result),
            flags: UInt16(isAsynchronous ? BP_FUNCTION_ASYNC : 0), name: cText(name),
            parameters: parameters.isEmpty ? nil : array(parameters.map { UInt16($0) }),
            parameter_count: UInt32(parameters.count), since: 0))
}

/// "tally/1": add, label, put and clear are asynchronous; sum and fill answer; the client is told of each hundred.
nonisolated(unsafe) private let tally: UnsafePointer<bp_interface> = constant(
    bp_interface(
        size: UInt32(MemoryLayout<bp_interface>.size), provider_count: 5, client_count: 1, name: cText("tally/1"),
        provider: array([
            function("add", [BP_T_U8], isAsynchronous: true),
            function("put", [BP_T_IN, BP_T_U64], isAsynchronous: true),
            function("label", [BP_T_TEXT], isAsynchronous: true),
            function("sum", [], result: BP_T_U64, isAsynchronous: false),
            function("fill", [BP_T_OUT, BP_T_U32], result: BP_T_STATUS, isAsynchronous: false),
        ]), client: array([function("reached", [BP_T_U64], isAsynchronous: true)])))

/// Holds a sum, behind the interface alone: it has no ports.
final class TallyDevice: Instance {
    enum Flaw: Int { case none, savesNothing, writesBeyond }

    static let definition = ClassDefinition.device(
        "tally", summary: "a sum behind an interface of its own",
        properties: [Property("flaw", .unsigned, default: "0", doc: "what is wrong with it")],
        provides: [Provides("tally/1", descriptor: tally, doc: "the sum")],
        make: { (host, values) in TallyDevice(host, Flaw(rawValue: Int(values.unsigned("flaw"))) ?? .none) })

    private typealias Reached = @convention(c) (UnsafeMutableRawPointer?, UInt32, UInt64) -> Void

    private struct Table {
        var size = UInt64(MemoryLayout<Table>.size)
        var add: @convention(c) (UnsafeMutableRawPointer?, UInt32, UInt8) -> Void
        var put: @convention(c) (UnsafeMutableRawPointer?, UInt32, UnsafePointer<UInt8>?, UInt64) -> Void
        var label: @convention(c) (UnsafeMutableRawPointer?, UInt32, UnsafePointer<CChar>?) -> Void
        var sum: @convention(c) (UnsafeMutableRawPointer?, UInt32) -> UInt64
        var fill: @convention(c) (UnsafeMutableRawPointer?, UInt32, UnsafeMutablePointer<UInt8>?, UInt32) -> Int32
    }

    nonisolated(unsafe) private static let table = constant(
        Table(
            add: { raw, _, value in instance(raw, as: TallyDevice.self).add(UInt64(value)) },
            put: { raw, _, bytes, count in
                for index in 0..<Int(count) { instance(raw, as: TallyDevice.self).add(UInt64(bytes?[index] ?? 0)) }
            },
            label: { raw, _, text in
                instance(raw, as: TallyDevice.self).add(UInt64(text.map { String(cString: $0).utf8.count } ?? 0))
            },
            sum: { raw, _ in instance(raw, as: TallyDevice.self).sum },
            fill: { raw, _, bytes, count in
                let device = instance(raw, as: TallyDevice.self)
                let excess: UInt32 = device.flaw == .writesBeyond && count == 3 ? 1 : 0
                for index in 0..<Int(count + excess) { bytes?[index] = UInt8(truncatingIfNeeded: device.sum) }
                return 0
            }))

    private let flaw: Flaw
    private var client: bp_peer?
    private var sum: UInt64 = 0

    init(_ host: Host, _ flaw: Flaw) {
        self.flaw = flaw
        super.init(host)
    }

    override func customInterface(_ name: String, index: UInt32, client: bp_peer?) -> UnsafeRawPointer? {
        self.client = client
        return UnsafeRawPointer(TallyDevice.table)
    }

    override func reset(warm: Bool) { sum = 0 }

    private func add(_ value: UInt64) {
        let before = sum / 100
        sum &+= value
        guard sum / 100 != before, let client, let table = client.functions else { return }
        table.load(fromByteOffset: 8, as: Reached.self)(client.`self`, client.index, sum)
    }

    override func save(to state: StateWriter) throws(PluginError) {
        state.put("sum", flaw == .savesNothing ? 0 : sum)
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) { sum = try state.get("sum") }
}

/// Adds what is written to its port to a tally that it needs, and reads its sum.
final class TallyUser: Instance {
    static let definition = ClassDefinition.device(
        "tally-user", summary: "needs a tally",
        slots: [Slot("tally", "tally/1", client: client, doc: "what it adds to")],
        make: { (host, _) in TallyUser(host) })

    nonisolated(unsafe) private static let client: UnsafeRawPointer = {
        let reached: @convention(c) (UnsafeMutableRawPointer?, UInt32, UInt64) -> Void = { raw, _, sum in
            instance(raw, as: TallyUser.self).told = sum
        }
        return UnsafeRawPointer(constant((UInt64(16), reached)))
    }()

    private var peer: bp_peer?
    private var told: UInt64 = 0

    override func connect() throws(PluginError) {
        peer = try host.peer("tally")
        try host.io.claimPorts(0x100, count: 1, name: "tally")
    }

    override func reset(warm: Bool) { told = 0 }

    override func read(_ access: Access) -> ReadResult { .value(UInt8(truncatingIfNeeded: told)) }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        typealias Add = @convention(c) (UnsafeMutableRawPointer?, UInt32, UInt64) -> Void
        if let peer, let table = peer.functions {
            table.load(fromByteOffset: 8, as: Add.self)(peer.`self`, peer.index, value)
        }
        return .ok
    }

    override func save(to state: StateWriter) throws(PluginError) { state.put("told", told) }
    override func load(version: UInt32, from state: StateReader) throws(PluginError) { told = try state.get("told") }
}

/// A network card: a write sends a frame of that byte, a read tells how many came; it has room for two at a time.
final class SampleCard: Instance {
    static let definition = ClassDefinition.device(
        "card", summary: "a network card",
        properties: [Property("forgetful", .bool, default: "off", doc: "saves nothing")],
        slots: [Slot("net", "net/1", doc: "the network")],
        make: { (host, values) in SampleCard(host, isForgetful: values.bool("forgetful")) })

    private let isForgetful: Bool
    private var net = NetPeer.unwired
    private var received: UInt64 = 0
    private var isUp = false

    init(_ host: Host, isForgetful: Bool) {
        self.isForgetful = isForgetful
        super.init(host)
    }

    override func connect() throws(PluginError) {
        net = try host.net("net")
        try host.io.claimPorts(0x100, count: 2, name: "card")
    }

    override func reset(warm: Bool) { received = 0 }
    override func start() throws(PluginError) { net.ready(2) }

    override func read(_ access: Access) -> ReadResult {
        .value(access.offset == 0 ? UInt8(truncatingIfNeeded: received) : isUp ? 1 : 0)
    }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        let frame = [UInt8](repeating: UInt8(truncatingIfNeeded: value), count: 14)
        frame.withUnsafeBytes { net.send($0) }
        return .ok
    }

    override func netReceived(slot: Int, _ frame: UnsafeRawBufferPointer) {
        received &+= UInt64(frame.count)
        net.ready(2)
    }

    override func netLink(slot: Int, isUp: Bool) { self.isUp = isUp }

    override func save(to state: StateWriter) throws(PluginError) { state.put("received", isForgetful ? 0 : received) }
    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        received = try state.get("received")
    }
}

/// A network that sends each frame back, polite only where there is room for it.
final class SampleHub: Instance {
    static let definition = ClassDefinition.backend(
        "hub", summary: "an echo of frames",
        properties: [Property("polite", .bool, default: "on", doc: "keep to the room")],
        provides: [Provides("net/1", doc: "the network")],
        make: { (host, values) in SampleHub(host, isPolite: values.bool("polite")) })

    private let isPolite: Bool
    private var client: NetClient?
    private var room: UInt64 = 0

    init(_ host: Host, isPolite: Bool) {
        self.isPolite = isPolite
        super.init(host)
    }

    override func netClient(_ index: UInt32, is client: NetClient) { self.client = client }
    override func netReady(_ index: UInt32, frames: UInt64) { room = frames }
    override func start() throws(PluginError) { client?.link(true) }

    override func netSent(_ index: UInt32, _ frame: UnsafeRawBufferPointer) {
        guard !isPolite || room > 0 else { return }
        room -= min(room, 1)
        client?.receive(frame)
    }

    /// What the client grants anew at each start is in its state too, and nothing is wrong with that.
    override func save(to state: StateWriter) throws(PluginError) { state.put("room", room) }
    override func load(version: UInt32, from state: StateReader) throws(PluginError) { room = try state.get("room") }
}

private let interfaceLibrary = Library(
    "interface-samples", version: "1", summary: "for tests of the bench", needsMinor: 0,
    classes: [TallyDevice.definition, TallyUser.definition, SampleCard.definition, SampleHub.definition])

func interfaceDescriptor() -> UnsafePointer<bp_plugin> {
    interfaceLibrary.descriptor(hostMajor: UInt32(BP_ABI_MAJOR), hostMinor: UInt32(BP_ABI_MINOR)).unsafelyUnwrapped
}
