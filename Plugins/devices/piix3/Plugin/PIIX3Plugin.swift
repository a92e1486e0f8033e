import ACPITables
import PCIConfiguration
import PIIX3
import PluginKit

/// The ISA bridge of a PC: PCI interrupts to ISA lines, reset control, and the ports of advanced power management.
final class PIIX3Plugin: Instance {
    static let definition = ClassDefinition.device(
        "piix3", summary: "82371SB ISA bridge: interrupt router and reset control",
        properties: [
            Property(
                "interrupts", .unsigned, list: true, bounds: 0...15,
                doc: "which ISA interrupts the wires of irq are, in their order; without it 3 to 7, 9 to 12, 14 and 15")
        ],
        slots: [
            Slot("bus", "pci/1", doc: "its place on the PCI bus, by tradition 1"),
            Slot("irq", "irq-line/1", optional: true, many: true, doc: "the ISA interrupts that PIRQs are led to"),
        ],
        provides: [
            Provides("irq-line/1", count: 4, shared: true, mayCycle: true, doc: "PIRQ A to D")
        ],
        firmware: [
            FirmwareNode(
                role: .isaBridge, claims: [], slots: ["irq"], template: PIIX3Plugin.router.bytes,
                links: ["LNKA", "LNKB", "LNKC", "LNKD"])
        ],
        make: { (host, values) throws(PluginError) in try PIIX3Plugin(host, values) })

    /// PIRQRC, a byte for each PIRQ, and the link devices that set them.
    private static let router = AML(
        [
            .operationRegion("PIRR", .configuration, offset: 0x60, length: 4),
            .field("PIRR", access: .byte, ["PIRA", "PIRB", "PIRC", "PIRD"].map { .field($0, bits: 8) }),
        ]
            + zip(["LNKA", "LNKB", "LNKC", "LNKD"], ["PIRA", "PIRB", "PIRC", "PIRD"]).enumerated().map {
                PCINames.link($1.0, uid: UInt64($0), register: $1.1)
            })

    private static let ports: [(PIIX3.Port, StaticString)] = [
        (.apmControl, "APM control"), (.apmStatus, "APM status"), (.resetControl, "reset control"),
    ]

    private var chip: PIIX3
    /// ISA interrupts by the position of their wire.
    private let interrupts: [UInt64]
    private var lines: [Line] = []
    /// What the lines are set to: bit n is ISA interrupt n.
    private var driven: UInt16 = 0

    init(_ host: Host, _ values: Values) throws(PluginError) {
        do throws(LayoutError) { chip = try PIIX3() } catch { throw PluginError("its registers overlap: \(error)") }
        interrupts =
            values.isSet("interrupts") ? values.unsignedList("interrupts") : [3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15]
        guard Set(interrupts).count == interrupts.count else { throw PluginError("interrupts names one twice") }
        super.init(host)
    }

    override func connect() throws(PluginError) {
        for (port, name) in Self.ports {
            try host.io.claimPorts(port.rawValue, count: 1, cookie: UInt64(port.rawValue), name: name)
        }
        for position in interrupts.indices { lines.append(try host.line("irq", position: UInt32(position))) }
    }

    override func reset(warm: Bool) {
        let pirqs = chip.pirqs
        chip.reset()
        chip.pirqs = pirqs
        updateLines()
    }

    // MARK: Guest side

    override func read(_ access: Access) -> ReadResult {
        guard let port = PIIX3.Port(rawValue: UInt16(truncatingIfNeeded: access.cookie)) else { return .noRegister }
        return .value(chip.read(port))
    }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        guard let port = PIIX3.Port(rawValue: UInt16(truncatingIfNeeded: access.cookie)) else { return .noRegister }
        switch chip.write(port, UInt8(truncatingIfNeeded: value)) {
        case .hardReset, .softReset: (try? host.machine)?.reset()
        // Without system management nobody answers a command: APM status stays what it is.
        case .nothing, .edgeLevel, .apm: break
        }
        return .ok
    }

    override func pciConfigRead(slot: Int, _ offset: UInt16, width: UInt8, isPeek: Bool) -> UInt32? {
        chip.read(UInt32(offset), width: UInt32(width))
    }

    override func pciConfigWrite(slot: Int, _ offset: UInt16, width: UInt8, _ value: UInt32) {
        chip.write(UInt32(offset), width: UInt32(width), value)
        updateLines()
    }

    override func pciBusReset(slot: Int) { reset(warm: true) }

    // MARK: Interrupts

    override func lineChanged(_ index: UInt32, to level: Bool) {
        guard index < 4 else { return }
        let bit = UInt8(1) << UInt8(index)
        if level { chip.pirqs |= bit } else { chip.pirqs &= ~bit }
        updateLines()
    }

    /// Of a route that changes, the old line falls before the new one rises.
    private func updateLines() {
        let wanted = chip.lines
        for level in [false, true] {
            for (line, interrupt) in zip(lines, interrupts) {
                let bit = UInt16(1) << UInt16(interrupt)
                if driven & bit != wanted & bit, (wanted & bit != 0) == level { line.set(level) }
            }
        }
        driven = wanted
    }

    // MARK: State

    override func save(to state: StateWriter) throws(PluginError) {
        let saved = chip.state
        state.put("configuration", saved.configuration.bytes)
        state.put("reset-control", saved.resetControl.rawValue)
        state.put("apm-control", saved.apmControl)
        state.put("apm-status", saved.apmStatus)
        state.put("edge-level", saved.edgeLevel)
        state.put("pirqs", chip.pirqs)
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        var saved = chip.state
        saved.configuration = .init(bytes: try state.get("configuration", count: nil))
        saved.resetControl = .init(rawValue: try state.get("reset-control"))
        saved.apmControl = try state.get("apm-control")
        saved.apmStatus = try state.get("apm-status")
        saved.edgeLevel = try state.get("edge-level")
        let pirqs: UInt8 = try state.get("pirqs")
        guard pirqs < 16, chip.restore(saved) else { throw PluginError("no such state of the bridge") }
        chip.pirqs = pirqs
        updateLines()
    }
}

let library = Library(
    "piix3", version: "1.0", summary: "82371SB ISA bridge", needsMinor: 4, classes: [PIIX3Plugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
