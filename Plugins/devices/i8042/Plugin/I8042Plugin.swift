import I8042
import PluginKit

/// Connects the controller with its keyboard and mouse to ports 0x60 and 0x64, two interrupt lines, the machine's reset and A20, and
/// to whoever has an operator before them.
final class I8042Plugin: Instance {
    static let definition = ClassDefinition.device(
        "i8042", summary: "PS/2 keyboard controller of a PC, with a keyboard and a mouse",
        slots: [
            Slot("irq", "irq-line/1", optional: true, doc: "the keyboard's interrupt, by tradition 1"),
            Slot("mouse-irq", "irq-line/1", optional: true, doc: "the mouse's, by tradition 12"),
        ],
        provides: [Provides("input/1", count: 2, shared: true, doc: "0: the keyboard, 1: the mouse")],
        firmware: [
            FirmwareNode("PNP0303", slots: ["irq"]), FirmwareNode("PNP0F13", claims: [], slots: ["mouse-irq"]),
        ],
        make: { (host, values) throws(PluginError) in try I8042Plugin(host, values) })

    private static let mouseIndex: UInt32 = 1

    private let clock: Clock
    private let timer: Timer
    private var chip = I8042()
    private var lines: (keyboard: Line?, mouse: Line?)
    private var clients: [InputClient] = []
    /// What the mouse was told since the last end of a packet.
    private var packet = MousePacket()
    /// What lines, timer and clients were told last: nothing is told twice.
    private var told: (keyboard: Bool, mouse: Bool, deadline: UInt64?, leds: UInt8) = (false, false, nil, 0)
    private var gate = A20Gate()

    init(_ host: Host, _ values: Values) throws(PluginError) {
        clock = try host.clock
        timer = try host.clock.timer()
        super.init(host)
    }

    override func connect() throws(PluginError) {
        try host.io.claimPorts(0x60, count: 1, cookie: UInt64(I8042.Port.data.rawValue), name: "data")
        try host.io.claimPorts(
            0x64, count: 1, cookie: UInt64(I8042.Port.statusOrCommand.rawValue), name: "status and command")
        lines = (try host.line("irq"), try host.line("mouse-irq"))
    }

    override func reset(warm: Bool) {
        chip.reset()
        packet = MousePacket()
        settle(at: clock.now)
    }

    // MARK: Guest side

    override func read(_ access: Access) -> ReadResult {
        guard let port = I8042.Port(rawValue: UInt8(truncatingIfNeeded: access.cookie)) else { return .noRegister }
        let now = clock.now
        if access.isPeek { return .value(chip.peek(port, at: now)) }
        let value = chip.read(port, at: now)
        settle(at: now)
        return .value(value)
    }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        guard let port = I8042.Port(rawValue: UInt8(truncatingIfNeeded: access.cookie)) else { return .noRegister }
        let now = clock.now
        let resets = chip.write(port, UInt8(truncatingIfNeeded: value), at: now)
        settle(at: now)
        if resets { (try? host.machine)?.reset() }
        return .ok
    }

    override func timerFired(cookie: UInt64, at now: UInt64) {
        told.deadline = nil
        chip.advance(to: now)
        settle(at: now)
    }

    // MARK: The operator's side

    override func inputKinds(_ index: UInt32) -> InputKinds {
        index == Self.mouseIndex ? [.buttons, .relative] : [.keys, .lamps]
    }

    override func inputClient(_ index: UInt32, is client: InputClient) {
        if index != Self.mouseIndex { clients.append(client) }
    }

    /// Keys count at once, the mouse's events at the end of their packet.
    override func inputEvent(_ index: UInt32, _ event: InputEvent) {
        let now = clock.now
        if index == Self.mouseIndex {
            guard packet.take(event, held: chip.mouseButtons) else { return }
            chip.mouse(x: packet.x, y: packet.y, wheel: packet.wheel, buttons: packet.buttons, at: now)
            packet = MousePacket()
        } else {
            guard event.type == UInt32(BP_EV_KEY), event.value == 0 || event.value == 1,
                let code = UInt16(exactly: event.code)
            else { return }
            chip.key(code, pressed: event.value == 1, at: now)
        }
        settle(at: now)
    }

    // MARK: Pins

    /// Tells the outside what has changed.
    private func settle(at now: UInt64) {
        let (keyboard, mouse) = (chip.keyboardInterrupt, chip.auxiliaryInterrupt)
        if keyboard != told.keyboard {
            told.keyboard = keyboard
            lines.keyboard?.set(keyboard)
        }
        if mouse != told.mouse {
            told.mouse = mouse
            lines.mouse?.set(mouse)
        }
        let deadline = chip.nextEvent(at: now)
        if deadline != told.deadline {
            told.deadline = deadline
            timer.set(at: deadline)
        }
        if chip.leds != told.leds { tellLamps() }
        gate.set(chip.a20, host)
    }

    /// The keyboard's bits are scroll, num, caps.
    private func tellLamps() {
        told.leds = chip.leds
        var lamps: InputLamps = []
        if told.leds & 1 != 0 { lamps.insert(.scrollLock) }
        if told.leds & 2 != 0 { lamps.insert(.numLock) }
        if told.leds & 4 != 0 { lamps.insert(.capsLock) }
        for client in clients { client.show(lamps) }
    }

    // MARK: State

    override func save(to state: StateWriter) throws(PluginError) {
        state.put(chip.state)
        packet.save(to: state)
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        let saved = try state.i8042()
        let savedPacket = try MousePacket(from: state)
        guard chip.restore(saved) else { throw PluginError("no such state of the controller") }
        packet = savedPacket
        settle(at: clock.now)
    }
}

/// Address line 20: while it is held low, the second MiB is the first one again. (So is every odd MiB on a PC; software that cares looks at the
/// second.)
struct A20Gate {
    private var mapping: Memory.Mapping?
    private var isOpen = true

    /// Machines that never close it have no such mapping.
    mutating func set(_ open: Bool, _ host: Host) {
        guard open != isOpen, let memory = try? host.memory else { return }
        isOpen = open
        if let mapping { return (try? memory.direct(mapping, open ? [] : .both)) ?? () }
        // Fails where the machine has less RAM: then nothing is at 1 MiB.
        mapping = try? memory.map(nil, offset: 0, at: 1 << 20, length: 1 << 20, .both, priority: .max)
    }
}

let library = Library(
    "i8042", version: "1.0", summary: "PS/2 keyboard controller, keyboard and mouse", needsMinor: 5,
    classes: [I8042Plugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
