import PIT8254
import PluginKit

/// Connects the chip to its four ports, port 0x61 and an interrupt line for counter 0.
final class PITPlugin: Instance {
    static let definition = ClassDefinition.device(
        "pit8254", summary: "8254 interval timer with the PC's port 0x61",
        properties: [
            Property("at", .port, default: "0x40", doc: "counter 0; counters 1 and 2 and the control word follow"),
            Property("port-b", .port, default: "0x61", doc: "system control port B: speaker, gate 2, refresh, OUT2"),
            Property("has-port-b", .bool, default: "on", doc: "off where another device has port B"),
            Property(
                "missed-ticks", .choice, default: "coalesce", live: true, choices: ["coalesce", "deliver"],
                doc: "what becomes of ticks that a slow host missed: one for all, or each of them, four times as fast"),
        ],
        slots: [Slot("irq", "irq-line/1", optional: true, doc: "OUT0, IRQ 0 on a PC")],
        methods: [
            Method(
                "missed", result: .u64, doc: "ticks that were coalesced so far", function: missedTicks)
        ],
        firmware: [
            FirmwareNode("PNP0100", claims: ["counters"]),
            FirmwareNode("PNP0800", flags: .optional, claims: ["port B"], slots: []),
        ],
        make: { (host, values) throws(PluginError) in try PITPlugin(host, values) })

    private static let missedTicks: @convention(c) (UnsafeMutableRawPointer?) -> UInt64 = { raw in
        instance(raw, as: PITPlugin.self).coalesced
    }

    private let ports: (timer: UInt16, portB: UInt16?)
    private let clock: Clock
    private let timer: Timer
    private var chip = PIT8254()
    private var portB = SystemControlPortB()
    private var line: Line?
    private var deliversMissed: Bool
    /// Rising edges of OUT0 that were turned into interrupts, on the chip's own count.
    private var delivered: UInt64 = 0
    private var coalesced: UInt64 = 0
    private var armed: UInt64?

    private enum Cookie { static let (timer, portB) = (0 as UInt64, 1 as UInt64) }

    init(_ host: Host, _ values: Values) throws(PluginError) {
        ports = (values.port("at"), values.bool("has-port-b") ? values.port("port-b") : nil)
        deliversMissed = values.choice("missed-ticks") == 1
        clock = try host.clock
        timer = try host.clock.timer()
        super.init(host)
    }

    override func connect() throws(PluginError) {
        let io = try host.io
        try io.claimPorts(ports.timer, count: 4, cookie: Cookie.timer, name: "counters")
        if let port = ports.portB { try io.claimPorts(port, count: 1, cookie: Cookie.portB, name: "port B") }
        line = try host.line("irq")
    }

    override func reset(warm: Bool) {
        chip.reset()
        portB.reset()
        chip.advance(to: clock.now)
        delivered = chip.risingEdges(0, at: clock.now)
        if !warm { coalesced = 0 }
        settle()
    }

    override func setProperty(_ name: String, to values: Values) throws(PluginError) {
        deliversMissed = values.choice(name) == 1
    }

    override func read(_ access: Access) -> ReadResult {
        let now = clock.now
        if access.cookie == Cookie.portB { return .value(portB.read(chip, at: now)) }
        let offset = UInt8(truncatingIfNeeded: access.offset)
        if access.isPeek { return .value(chip.peek(offset, at: now)) }
        return .value(chip.read(offset, at: now))
    }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        let byte = UInt8(truncatingIfNeeded: value)
        if access.cookie == Cookie.portB {
            portB.write(byte, to: &chip, at: clock.now)
        } else {
            chip.write(UInt8(truncatingIfNeeded: access.offset), byte, at: clock.now)
        }
        settle()
        return .ok
    }

    override func timerFired(cookie: UInt64, at now: UInt64) {
        armed = nil
        settle()
    }

    /// Turns the rising edges since the last time into interrupts, and arms the timer for the next one.
    private func settle() {
        let now = clock.now
        let edges = chip.risingEdges(0, at: now)
        let waiting = edges &- delivered
        if waiting > 0 {
            line?.set(false)
            line?.set(true)
            if deliversMissed {
                delivered &+= 1
            } else {
                delivered = edges
                coalesced &+= waiting &- 1
            }
        }
        line?.set(isPeriodic || chip.output(0, at: now))
        arm(now, behind: edges &- delivered)
    }

    /// Modes 2 and 3: the line rests high and each rising edge of OUT0 is a pulse on it, so that a period costs one wake-up.
    /// In the other modes the line follows OUT0.
    private var isPeriodic: Bool { chip.state.counter0.control & 0b0100 != 0 }

    private func arm(_ now: UInt64, behind: UInt64) {
        var next = isPeriodic ? chip.nextRisingEdge(0, at: now) : chip.nextEvent(0, at: now)
        if behind > 0 {
            let interval = (next ?? now &+ 1_000_000) &- now
            next = now &+ max(1000, interval / 4)
        }
        guard next != armed else { return }
        armed = next
        timer.set(at: next)
    }

    // MARK: State

    override func save(to state: StateWriter) throws(PluginError) {
        PITPlugin.put(chip.state.counter0, to: state.prefixed("0-"))
        PITPlugin.put(chip.state.counter1, to: state.prefixed("1-"))
        PITPlugin.put(chip.state.counter2, to: state.prefixed("2-"))
        state.put("port-b", portB.state.control.rawValue)
        state.put("delivered", delivered)
        state.put("coalesced", coalesced)
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        var saved = PIT8254.State()
        saved.counter0 = try PITPlugin.counter(from: state.prefixed("0-"))
        saved.counter1 = try PITPlugin.counter(from: state.prefixed("1-"))
        saved.counter2 = try PITPlugin.counter(from: state.prefixed("2-"))
        var control = SystemControlPortB.State()
        control.control = try state.get("port-b")
        let (delivered, coalesced): (UInt64, UInt64) = (try state.get("delivered"), try state.get("coalesced"))
        var (chip, portB) = (self.chip, self.portB)
        guard chip.restore(saved), portB.restore(control) else {
            throw PluginError("the saved PIT state contradicts itself")
        }
        (self.chip, self.portB, self.delivered, self.coalesced) = (chip, portB, delivered, coalesced)
        armed = nil
        settle()
    }

    /// Latches are saved with bit 16 (count) or bit 8 (status) set where there is one.
    private static func put(_ counter: PIT8254.Counter, to state: StateWriter) {
        let flags = [
            counter.hasCount, counter.awaitsHighWrite, counter.awaitsHighRead, counter.gate, counter.nullCount,
            counter.loadsNextTick, counter.isLoaded, counter.strobeEnded,
        ]
        state.put("control", counter.control)
        state.put("cr", counter.countRegister)
        state.put("first-byte", counter.firstByte)
        state.put("flags", flags.enumerated().reduce(0 as UInt8) { $0 | ($1.element ? 1 &<< UInt8($1.offset) : 0) })
        state.put("latched-count", counter.latchedCount.map { UInt32($0) | 1 << 16 } ?? 0)
        state.put("latched-status", counter.latchedStatus.map { UInt16($0) | 1 << 8 } ?? 0)
        state.put("period", counter.period)
        state.put("elapsed", counter.elapsed)
        state.put("since", counter.since)
        state.put("idle-count", counter.idleCount)
        state.put("rising-edges", counter.risingEdges)
    }

    private static func counter(from state: StateReader) throws(PluginError) -> PIT8254.Counter {
        var counter = PIT8254.Counter()
        counter.control = try state.get("control")
        counter.countRegister = try state.get("cr")
        counter.firstByte = try state.get("first-byte")
        let flags: UInt8 = try state.get("flags")
        (counter.hasCount, counter.awaitsHighWrite) = (flags & 1 != 0, flags & 2 != 0)
        (counter.awaitsHighRead, counter.gate) = (flags & 4 != 0, flags & 8 != 0)
        (counter.nullCount, counter.loadsNextTick) = (flags & 16 != 0, flags & 32 != 0)
        (counter.isLoaded, counter.strobeEnded) = (flags & 64 != 0, flags & 128 != 0)
        let latchedCount: UInt32 = try state.get("latched-count")
        let latchedStatus: UInt16 = try state.get("latched-status")
        guard latchedCount < 1 << 17, latchedStatus < 1 << 9 else { throw PluginError("a saved latch is out of range") }
        counter.latchedCount = latchedCount >> 16 == 0 ? nil : UInt16(truncatingIfNeeded: latchedCount)
        counter.latchedStatus = latchedStatus >> 8 == 0 ? nil : UInt8(truncatingIfNeeded: latchedStatus)
        counter.period = try state.get("period")
        counter.elapsed = try state.get("elapsed")
        counter.since = try state.get("since")
        counter.idleCount = try state.get("idle-count")
        counter.risingEdges = try state.get("rising-edges")
        return counter
    }
}

let library = Library(
    "pit8254", version: "1.0", summary: "8254 interval timer", needsMinor: 0, classes: [PITPlugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
