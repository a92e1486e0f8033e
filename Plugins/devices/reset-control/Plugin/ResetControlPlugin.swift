import PluginKit
import ResetControl

/// The ports by which a PC's guests reboot; each can be left out where another device has it.
final class ResetControlDevice: Instance {
    static let definition = ClassDefinition.device(
        "reset-control",
        summary: "ports 0x64, 0x92 and 0xcf9, by which guests reboot, and a keyboard controller without a keyboard",
        properties: [
            Property(
                "keyboard-port", .bool, default: "on",
                doc: "ports 0x60 and 0x64: a keyboard controller without a keyboard; off where there is another"),
            Property("system-port", .bool, default: "on", doc: "port 0x92: fast reset, and an A20 bit without effect"),
            Property(
                "reset-register", .bool, default: "on",
                doc: "port 0xcf9: the reset control register; off where a chipset has its own"),
        ],
        slots: [Slot("irq", "irq-line/1", optional: true, doc: "the keyboard controller's interrupt, IRQ 1 on a PC")],
        stateVersion: 2,
        make: { (host, values) in ResetControlDevice(host, values) })

    private enum Port: UInt64, CaseIterable {
        case keyboardData, keyboardCommand, systemControlA, resetControl

        var place: (property: String, port: UInt16, name: StaticString) {
            switch self {
            case .keyboardData: ("keyboard-port", 0x60, "keyboard controller data")
            case .keyboardCommand: ("keyboard-port", 0x64, "keyboard controller command and status")
            case .systemControlA: ("system-port", 0x92, "system control port A")
            case .resetControl: ("reset-register", 0xCF9, "reset control register")
            }
        }
    }

    private var chip = ResetControl()
    private var keyboard = KeyboardController()
    private let ports: [Port]
    private var line: Line?

    init(_ host: Host, _ values: Values) {
        ports = Port.allCases.filter { values.bool($0.place.property) }
        super.init(host)
    }

    override func connect() throws(PluginError) {
        for port in ports {
            try host.io.claimPorts(port.place.port, count: 1, cookie: port.rawValue, name: port.place.name)
        }
        line = try host.line("irq")
    }

    override func reset(warm: Bool) {
        chip.reset()
        keyboard.reset()
        settle()
    }

    override func read(_ access: Access) -> ReadResult {
        switch Port(rawValue: access.cookie) {
        case .keyboardCommand: return .value(keyboard.status)
        case .keyboardData where access.isPeek: return .value(keyboard.peekedData)
        case .keyboardData:
            let value = keyboard.readData()
            settle()
            return .value(value)
        case .systemControlA: return .value(chip.read(.systemControlA))
        case .resetControl: return .value(chip.read(.resetControl))
        case nil: return .noRegister
        }
    }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        let value = UInt8(truncatingIfNeeded: value)
        let pulses: Bool
        switch Port(rawValue: access.cookie) {
        case .keyboardCommand: pulses = keyboard.writeCommand(value)
        case .keyboardData: pulses = keyboard.writeData(value)
        case .systemControlA: pulses = chip.write(.systemControlA, value)
        case .resetControl: pulses = chip.write(.resetControl, value)
        case nil: return .noRegister
        }
        settle()
        if pulses { (try? host.machine)?.reset() }
        return .ok
    }

    private func settle() { line?.set(keyboard.interruptAsserted) }

    // MARK: State

    override func save(to state: StateWriter) throws(PluginError) {
        state.put("system-control-a", chip.state.systemControlA.rawValue)
        state.put("reset-control", chip.state.resetControl.rawValue)
        let keyboard = self.keyboard.state
        state.put("keyboard-status", keyboard.status.rawValue)
        state.put("keyboard-output", keyboard.output)
        state.put("keyboard-memory", keyboard.memory.indices.map { keyboard.memory[$0] })
        state.put("keyboard-output-port", keyboard.outputPort)
        state.put("keyboard-waiting", keyboard.waiting)
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        var saved = ResetControl.State()
        saved.systemControlA = .init(rawValue: try state.get("system-control-a"))
        saved.resetControl = .init(rawValue: try state.get("reset-control"))
        // Version 1 had no keyboard controller that keeps anything.
        let savedKeyboard = version == 1 ? KeyboardController.State() : try loadKeyboard(from: state)
        var (chip, keyboard) = (self.chip, self.keyboard)
        guard chip.restore(saved), keyboard.restore(savedKeyboard) else {
            throw PluginError("a register holds a bit that it does not have")
        }
        (self.chip, self.keyboard) = (chip, keyboard)
        settle()
    }

    private func loadKeyboard(from state: StateReader) throws(PluginError) -> KeyboardController.State {
        var saved = KeyboardController.State()
        saved.status = .init(rawValue: try state.get("keyboard-status"))
        saved.output = try state.get("keyboard-output")
        for (index, byte) in try state.get("keyboard-memory", count: 32).enumerated() { saved.memory[index] = byte }
        saved.outputPort = try state.get("keyboard-output-port")
        saved.waiting = try state.get("keyboard-waiting")
        return saved
    }
}

let library = Library(
    "reset-control", version: "1.1", summary: "reboot ports of a PC", needsMinor: 0,
    classes: [ResetControlDevice.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
