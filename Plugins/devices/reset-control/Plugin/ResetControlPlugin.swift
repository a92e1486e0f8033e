import PluginKit
import ResetControl

/// The ports by which a PC's guests reboot; each can be left out where another device has it.
final class ResetControlDevice: Instance {
    static let definition = ClassDefinition.device(
        "reset-control", summary: "ports 0x64, 0x92 and 0xcf9, by which guests reboot the machine",
        properties: [
            Property(
                "keyboard-port", .bool, default: "on",
                doc: "port 0x64: an idle keyboard controller's status and its reset pulse; off where there is an 8042"),
            Property("system-port", .bool, default: "on", doc: "port 0x92: fast reset, and an A20 bit without effect"),
            Property(
                "reset-register", .bool, default: "on",
                doc: "port 0xcf9: the reset control register; off where a chipset has its own"),
        ],
        make: { (host, values) in ResetControlDevice(host, values) })

    private static let ports: [(property: String, port: UInt16, register: ResetControl.Register, name: StaticString)] =
        [
            ("keyboard-port", 0x64, .keyboard, "keyboard controller reset"),
            ("system-port", 0x92, .systemControlA, "system control port A"),
            ("reset-register", 0xCF9, .resetControl, "reset control register"),
        ]

    private var chip = ResetControl()
    private let isOn: [Bool]

    init(_ host: Host, _ values: Values) {
        isOn = Self.ports.map { values.bool($0.property) }
        super.init(host)
    }

    override func connect() throws(PluginError) {
        for (entry, isOn) in zip(Self.ports, isOn) where isOn {
            try host.io.claimPorts(entry.port, count: 1, cookie: UInt64(entry.register.rawValue), name: entry.name)
        }
    }

    override func reset(warm: Bool) { chip.reset() }

    override func read(_ access: Access) -> ReadResult {
        guard let register = register(access) else { return .noRegister }
        return .value(chip.read(register))
    }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        guard let register = register(access) else { return .noRegister }
        if chip.write(register, UInt8(truncatingIfNeeded: value)) { (try? host.machine)?.reset() }
        return .ok
    }

    private func register(_ access: Access) -> ResetControl.Register? {
        .init(rawValue: UInt8(truncatingIfNeeded: access.cookie))
    }

    // MARK: State

    override func save(to state: StateWriter) throws(PluginError) {
        state.put("system-control-a", chip.state.systemControlA.rawValue)
        state.put("reset-control", chip.state.resetControl.rawValue)
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        var saved = ResetControl.State()
        saved.systemControlA = .init(rawValue: try state.get("system-control-a"))
        saved.resetControl = .init(rawValue: try state.get("reset-control"))
        guard chip.restore(saved) else { throw PluginError("a register holds a bit that it does not have") }
    }
}

let library = Library(
    "reset-control", version: "1.0", summary: "reboot ports of a PC", needsMinor: 0,
    classes: [ResetControlDevice.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
