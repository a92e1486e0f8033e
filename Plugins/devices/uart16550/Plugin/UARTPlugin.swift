import PluginKit
import UART16550

/// Connects the chip to eight ports, an interrupt line and a stream.
final class UARTPlugin: Instance {
    static let definition = ClassDefinition.device(
        "uart16550", summary: "16550A serial port",
        properties: [
            Property("at", .port, default: "0x3f8", doc: "first of its eight ports")
        ],
        slots: [
            Slot("irq", "irq-line/1", optional: true, doc: "its interrupt output"),
            Slot("stream", "stream/1", optional: true, doc: "what is at the other end of the cable"),
        ],
        firmware: [FirmwareNode("PNP0501")],
        make: { (host, values) throws(PluginError) in try UARTPlugin(host, values) })

    private let base: UInt16
    private let clock: Clock
    private let timer: Timer
    private var chip = UART16550()
    private var line: Line?
    private var stream = StreamPeer.unwired
    private var hasCarrier = false
    /// From load to start: the other end has not said yet whether it takes what waits to be sent.
    private var isHeld = false
    /// What the other end may still send without asking.
    private var granted = 0
    /// What the line, the timer and the other end were told last: nothing is told twice.
    private var told: (level: Bool, deadline: UInt64?, outputs: UInt8) = (false, nil, 0)

    init(_ host: Host, _ values: Values) throws(PluginError) {
        base = values.port("at")
        clock = try host.clock
        timer = try host.clock.timer()
        super.init(host)
    }

    override func connect() throws(PluginError) {
        guard base <= 0xfff8 else { throw PluginError("at: eight ports from this one do not fit below 0x10000") }
        try host.io.claimPorts(base, count: 8, name: "registers")
        line = try host.line("irq")
        stream = try host.stream("stream")
        setCarrier(false)
    }

    override func reset(warm: Bool) {
        if warm {
            chip.reset()
        } else {
            let hostReady = chip.hostReady
            chip = UART16550()
            chip.hostReady = hostReady
            setCarrier(hasCarrier)
        }
        settle()
    }

    override func start() throws(PluginError) {
        granted = 0
        isHeld = false
        settle()
    }

    // MARK: Guest side

    override func read(_ access: Access) -> ReadResult {
        let offset = UInt8(truncatingIfNeeded: access.offset)
        let now = clock.now
        if access.isPeek { return .value(chip.peek(offset, at: now)) }
        let value = chip.read(offset, at: now)
        settle(at: now)
        return .value(value)
    }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        let now = clock.now
        chip.write(UInt8(truncatingIfNeeded: access.offset), UInt8(truncatingIfNeeded: value), at: now)
        settle(at: now)
        return .ok
    }

    // MARK: Host side

    override func streamReceived(slot: Int, _ bytes: UnsafeRawBufferPointer) {
        let now = clock.now
        for byte in bytes { chip.receive(byte, at: now) }
        granted = max(0, granted - bytes.count)
        settle(at: now)
    }

    override func streamThrottled(slot: Int, _ on: Bool) {
        chip.hostReady = !on
        settle()
    }

    override func streamEvent(slot: Int, _ event: StreamEvent) {
        switch event {
        case .breakBegin: chip.receiveBreak(at: clock.now)
        case .open: setCarrier(true)
        case .closed: setCarrier(false)
        default: break
        }
        settle()
    }

    override func timerFired(cookie: UInt64, at now: UInt64) {
        told.deadline = nil
        chip.advance(to: now)
        settle(at: now)
    }

    /// Clear to send and data set ready are there whenever something is wired; carrier once somebody is at the other end.
    /// An unwired port shows none of them, as an open connector does.
    private func setCarrier(_ on: Bool) {
        hasCarrier = on
        chip.setModemInputs(cts: stream.isWired, dsr: stream.isWired, ri: false, dcd: on)
    }

    // MARK: Pins

    private func settle() { settle(at: clock.now) }

    /// Tells the outside what has changed. The time is read once for an access: that costs as much as the access.
    private func settle(at now: UInt64) {
        transmit()
        settlePins(at: now)
        tellOutputs()
        let room = chip.receiveRoom
        if room != granted {
            granted = room
            stream.ready(room)
        }
    }

    private func settlePins(at now: UInt64) {
        let level = chip.interruptAsserted
        if level != told.level {
            told.level = level
            line?.set(level)
        }
        let deadline = chip.nextEvent(at: now)
        if deadline != told.deadline {
            told.deadline = deadline
            timer.set(at: deadline)
        }
    }

    private func transmit() {
        guard chip.hostReady, !isHeld, chip.transmitPending > 0 else { return }
        // Nobody at the other end of the cable: the bits leave the chip all the same.
        while let byte = chip.popTransmit() { stream.write(byte) }
    }

    private func tellOutputs() {
        let outputs: UInt8 =
            (chip.dataTerminalReady ? 1 : 0) | (chip.requestToSend ? 2 : 0) | (chip.sendingBreak ? 4 : 0)
        let changed = outputs ^ told.outputs
        guard changed != 0 else { return }
        told.outputs = outputs
        if changed & 1 != 0 { stream.event(outputs & 1 != 0 ? .dtrOn : .dtrOff) }
        if changed & 2 != 0 { stream.event(outputs & 2 != 0 ? .rtsOn : .rtsOff) }
        if changed & 4 != 0 { stream.event(outputs & 4 != 0 ? .breakBegin : .breakEnd) }
    }

    // MARK: State

    override func save(to state: StateWriter) throws(PluginError) {
        let chip = self.chip.state
        state.put("ier", chip.interruptEnable.rawValue)
        state.put("fcr", chip.fifoControl.rawValue)
        state.put("lcr", chip.lineControl.rawValue)
        state.put("lcr-written", chip.hasFormat)
        state.put("mcr", chip.modemControl.rawValue)
        state.put("scr", chip.scratch)
        state.put("divisor", chip.divisor)
        state.put("line-errors", chip.lineErrors.rawValue)
        state.put("modem-inputs", chip.modemInputs.rawValue)
        state.put("modem-deltas", chip.modemDeltas.rawValue)
        state.put("last-read", chip.lastRead)
        state.put("thre-pending", chip.transmitterEmptyPending)
        state.put("character-timeout", chip.characterTimeout)
        state.put("receive-activity", chip.receiveActivity)
        UARTPlugin.put(chip.receiveQueue, to: state.prefixed("rx-"))
        UARTPlugin.put(chip.transmitQueue, to: state.prefixed("tx-"))
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        var chip = UART16550.State()
        chip.interruptEnable = try state.get("ier")
        chip.fifoControl = try state.get("fcr")
        chip.lineControl = try state.get("lcr")
        chip.hasFormat = try state.get("lcr-written")
        chip.modemControl = try state.get("mcr")
        chip.scratch = try state.get("scr")
        chip.divisor = try state.get("divisor")
        chip.lineErrors = try state.get("line-errors")
        chip.modemInputs = try state.get("modem-inputs")
        chip.modemDeltas = try state.get("modem-deltas")
        chip.lastRead = try state.get("last-read")
        chip.transmitterEmptyPending = try state.get("thre-pending")
        chip.characterTimeout = try state.get("character-timeout")
        chip.receiveActivity = try state.get("receive-activity")
        chip.receiveQueue = try UARTPlugin.queue(from: state.prefixed("rx-"))
        chip.transmitQueue = try UARTPlugin.queue(from: state.prefixed("tx-"))
        guard self.chip.restore(chip) else { throw PluginError("the saved UART state contradicts itself") }
        isHeld = true
        settlePins(at: clock.now)
    }

    private static func put(_ queue: CharacterQueue, to state: StateWriter) {
        state.put("low", queue.low)
        state.put("high", queue.high)
        state.put("errors", queue.errors)
        state.put("count", queue.count)
    }

    private static func queue(from state: StateReader) throws(PluginError) -> CharacterQueue {
        var queue = CharacterQueue()
        queue.low = try state.get("low")
        queue.high = try state.get("high")
        queue.errors = try state.get("errors")
        queue.count = try state.get("count")
        return queue
    }
}

let library = Library(
    "uart16550", version: "1.0", summary: "16550A serial port", needsMinor: 0, classes: [UARTPlugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
