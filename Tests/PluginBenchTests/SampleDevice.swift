import PluginKit

/// A small device with everything that the bench exercises, and one flaw if asked: what the bench has to find.
///
/// Ports: +0 a counter, where a write adds; +1 status, bit 0 "fired", cleared by reading; +2 starts a timer of as many
/// microseconds as are written; +3 sends a byte to the stream, reads what came.
final class SampleDevice: Instance {
    enum Flaw: Int {
        case none, savesTooLittle, forgetsPinOnLoad, forgetsTimerOnLoad, peekHasEffect, resetForgets, brokenByEcho
        case faults, timerNeverRests, leaksClaims, sharesState, loadsHalf, refusesItself, overrunsRoom, hangsInQuiesce
    }

    static let definition = ClassDefinition.device(
        "sample", summary: "a device to test the bench with",
        properties: [
            Property("at", .port, default: "0x100", doc: "its first port"),
            Property("flaw", .unsigned, default: "0", doc: "what is wrong with it"),
        ],
        slots: [
            Slot("irq", "irq-line/1", optional: true, doc: "high while fired"),
            Slot("stream", "stream/1", optional: true, doc: "an echo, perhaps"),
        ],
        make: { (host, values) throws(PluginError) in try SampleDevice(host, values) })

    // SAFETY: what two machines share by mistake; tests that look for it run alone in their process's one thread.
    nonisolated(unsafe) private static var shared: UInt64 = 0

    private struct State: Equatable {
        var counter: UInt64 = 0
        var hasFired = false
        /// 0: not set.
        var deadline: UInt64 = 0
        var received: UInt8 = 0
    }

    private let flaw: Flaw
    private let base: UInt16
    private let clock: Clock
    private let timer: Timer
    private var state = State()
    private var line: Line?
    private var stream = StreamPeer.unwired
    private var isSending = false
    private var isConfused = false

    init(_ host: Host, _ values: Values) throws(PluginError) {
        base = values.port("at")
        flaw = Flaw(rawValue: Int(values.unsigned("flaw"))) ?? .none
        clock = try host.clock
        timer = try host.clock.timer()
        super.init(host)
    }

    override func connect() throws(PluginError) {
        try host.io.claimPorts(base, count: 4, name: "sample")
        line = try host.line("irq")
        stream = try host.stream("stream")
    }

    override func reset(warm: Bool) {
        let counter = state.counter
        state = State()
        if flaw == .resetForgets { state.counter = counter }
        settle()
    }

    override func start() throws(PluginError) { stream.ready(4) }

    override func quiesce() throws(PluginError) -> Bool { flaw != .hangsInQuiesce }

    private func settle() {
        line?.set(state.hasFired)
        timer.set(at: state.deadline == 0 ? nil : state.deadline)
    }

    override func read(_ access: Access) -> ReadResult {
        isSending = false
        if flaw == .brokenByEcho, isConfused {
            host.fail("an answer came too soon")
            return .fault
        }
        switch access.offset {
        case 0: return .value(flaw == .sharesState ? SampleDevice.shared : state.counter)
        case 1:
            let value: UInt8 = state.hasFired ? 1 : 0
            if !access.isPeek || flaw == .peekHasEffect {
                state.hasFired = false
                settle()
            }
            return .value(value)
        case 3: return .value(state.received)
        default: return .noRegister
        }
    }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        switch access.offset {
        case 0:
            state.counter = (state.counter &+ value) & 0xff
            SampleDevice.shared = state.counter
            if flaw == .leaksClaims { _ = try? host.io.claimPorts(0x2000, count: 1) }
            if flaw == .faults, state.counter == 0x66 {
                host.fail("the counter is 0x66")
                return .fault
            }
        case 2:
            state.deadline = clock.now &+ (value &+ 1) &* 1000
            settle()
        case 3:
            isSending = true
            stream.write(UInt8(truncatingIfNeeded: value))
        default: return .noRegister
        }
        return .ok
    }

    override func timerFired(cookie: UInt64, at now: UInt64) {
        state.deadline = 0
        state.hasFired = true
        if flaw == .timerNeverRests { state.deadline = now }
        settle()
    }

    override func streamReceived(slot: Int, _ bytes: UnsafeRawBufferPointer) {
        state.received = bytes.last ?? 0
        stream.ready(4)
        // An answer before the next access was not thought of.
        isConfused = isSending
    }

    override func save(to writer: StateWriter) throws(PluginError) {
        if flaw != .savesTooLittle { writer.put("counter", state.counter) }
        writer.put("fired", state.hasFired)
        writer.put("deadline", state.deadline)
        writer.put("received", state.received)
    }

    override func load(version: UInt32, from reader: StateReader) throws(PluginError) {
        if flaw == .refusesItself { throw PluginError("no") }
        var loaded = State()
        if flaw != .savesTooLittle { loaded.counter = try reader.get("counter") }
        if flaw == .loadsHalf { state.counter = loaded.counter }
        loaded.hasFired = try reader.get("fired")
        loaded.deadline = try reader.get("deadline")
        loaded.received = try reader.get("received")
        guard loaded.counter <= 0xff else { throw PluginError("a counter of eight bits") }
        state = loaded
        if flaw != .forgetsPinOnLoad { line?.set(state.hasFired) }
        if flaw != .forgetsTimerOnLoad { timer.set(at: state.deadline == 0 ? nil : state.deadline) }
    }
}

/// A backend that sends more than there is room for.
final class RudeStream: Instance {
    static let definition = ClassDefinition.backend(
        "rude", summary: "sends without asking",
        properties: [
            Property("polite", .bool, default: "off", doc: "keep to the room")
        ],
        provides: [Provides("stream/1", doc: "rude")],
        make: { (host, values) in RudeStream(host, isPolite: values.bool("polite")) })

    private let isPolite: Bool
    private var client: StreamClient?
    private var room: UInt64 = 0

    init(_ host: Host, isPolite: Bool) {
        self.isPolite = isPolite
        super.init(host)
    }

    override func streamClient(_ index: UInt32, is client: StreamClient) { self.client = client }
    override func streamReady(_ index: UInt32, room: UInt64) { self.room = room }
    override func streamWritten(_ index: UInt32, _ bytes: UnsafeRawBufferPointer) {
        guard !isPolite || UInt64(bytes.count) <= room else { return }
        room -= min(room, UInt64(bytes.count))
        client?.receive(bytes)
    }
}

/// Needs an interface that the bench has never heard of.
final class Stranger: Instance {
    static let definition = ClassDefinition.device(
        "stranger", summary: "needs something odd", slots: [Slot("odd", "odd/1", doc: "odd")],
        make: { (host, _) in Stranger(host) })
}

private let sampleLibrary = Library(
    "samples", version: "1", summary: "for tests of the bench",
    classes: [SampleDevice.definition, RudeStream.definition, Stranger.definition, TallyUser.definition])

func sampleDescriptor() -> UnsafePointer<bp_plugin> {
    sampleLibrary.descriptor(hostMajor: UInt32(BP_ABI_MAJOR), hostMinor: UInt32(BP_ABI_MINOR)).unsafelyUnwrapped
}
