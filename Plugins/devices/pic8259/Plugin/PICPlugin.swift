import PIC8259
import PluginKit

/// Connects a pair of chips to their ports, sixteen interrupt lines and the CPU's INTR pin.
final class PICPlugin: Instance {
    static let definition = ClassDefinition.device(
        "pic8259", summary: "pair of 8259A interrupt controllers, cascaded as on a PC, with ELCR",
        properties: [
            Property("at", .port, default: "0x20", doc: "the master's command port; data is the next one"),
            Property("slave", .port, default: "0xa0", doc: "the slave's command port; data is the next one"),
            Property(
                "elcr", .port, default: "0x4d0", doc: "the master's edge/level control; the slave's is the next one"),
            Property(
                "has-elcr", .bool, default: "on", doc: "off on machines before PCI and EISA, such as QEMU's isapc"),
        ],
        provides: [
            Provides(
                "irq-line/1", count: 16, shared: true, mayCycle: true, doc: "IRQ 0 to 15; 2 is the cascade's own"),
            Provides(
                "irq-controller/1", shared: true, doc: "the CPU's interrupt controller, or what is in front of it"),
        ],
        firmware: [FirmwareNode("PNP0000", flags: .numbersLines)],
        make: { (host, values) throws(PluginError) in PICPlugin(host, values) })

    private let ports: (master: UInt16, slave: UInt16, elcr: UInt16?)
    private var chips = PIC8259Pair()
    private var output: InterruptOutput?

    /// Cookies of the three claims: the first port of each within `PIC8259Pair.Port`.
    private enum Cookie { static let (master, slave, elcr) = (0 as UInt64, 2 as UInt64, 4 as UInt64) }

    init(_ host: Host, _ values: Values) {
        ports = (values.port("at"), values.port("slave"), values.bool("has-elcr") ? values.port("elcr") : nil)
        super.init(host)
    }

    override func connect() throws(PluginError) {
        let io = try host.io
        try io.claimPorts(ports.master, count: 2, cookie: Cookie.master, name: "master")
        try io.claimPorts(ports.slave, count: 2, cookie: Cookie.slave, name: "slave")
        if let elcr = ports.elcr { try io.claimPorts(elcr, count: 2, cookie: Cookie.elcr, name: "ELCR") }
        output = try host.interruptOutput
    }

    override func reset(warm: Bool) {
        chips.reset()
        settle()
    }

    private func port(_ access: Access) -> PIC8259Pair.Port? {
        PIC8259Pair.Port(rawValue: UInt8(truncatingIfNeeded: access.cookie &+ access.offset))
    }

    override func read(_ access: Access) -> ReadResult {
        guard let port = port(access) else { return .noRegister }
        if access.isPeek { return .value(chips.peek(port)) }
        let value = chips.read(port)
        settle()
        return .value(value)
    }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        guard let port = port(access) else { return .noRegister }
        chips.write(port, UInt8(truncatingIfNeeded: value))
        settle()
        return .ok
    }

    override func lineChanged(_ index: UInt32, to level: Bool) {
        chips.setLine(UInt8(truncatingIfNeeded: index), level)
        settle()
    }

    override func acknowledge(vcpu: UInt32) -> UInt8 {
        let vector = chips.acknowledge()
        settle()
        return vector
    }

    /// The INTR pin follows the chips. Ends of interrupts have no listener: they are taken so that none is stale.
    private func settle() {
        _ = chips.takeEndOfInterrupt()
        output?.set(chips.interruptRequested)
    }

    // MARK: State

    override func save(to state: StateWriter) throws(PluginError) {
        PICPlugin.put(chips.state.master, to: state.prefixed("master-"))
        PICPlugin.put(chips.state.slave, to: state.prefixed("slave-"))
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        var saved = PIC8259Pair.State()
        saved.master = try PICPlugin.chip(from: state.prefixed("master-"))
        saved.slave = try PICPlugin.chip(from: state.prefixed("slave-"))
        guard chips.restore(saved) else { throw PluginError("the saved PIC state contradicts itself") }
        settle()
    }

    private static func put(_ chip: PIC8259.State, to state: StateWriter) {
        let flags: UInt8 =
            (chip.rotatesInAutomaticEnd ? 1 : 0) | (chip.specialMask ? 2 : 0) | (chip.readsInService ? 4 : 0)
            | (chip.pollPending ? 8 : 0)
        state.put("stage", chip.stage.rawValue)
        state.put("icw1", chip.word1.rawValue)
        state.put("vector", chip.vectorBase)
        state.put("icw3", chip.cascade)
        state.put("icw4", chip.word4.rawValue)
        state.put("imr", chip.mask)
        state.put("isr", chip.inService)
        state.put("edges", chip.edgeLatch)
        state.put("lines", chip.lines)
        state.put("elcr", chip.levelControl)
        state.put("lowest", chip.lowestPriority)
        state.put("flags", flags)
    }

    private static func chip(from state: StateReader) throws(PluginError) -> PIC8259.State {
        var chip = PIC8259.State()
        chip.stage = try state.get("stage")
        chip.word1 = try state.get("icw1")
        chip.vectorBase = try state.get("vector")
        chip.cascade = try state.get("icw3")
        chip.word4 = try state.get("icw4")
        chip.mask = try state.get("imr")
        chip.inService = try state.get("isr")
        chip.edgeLatch = try state.get("edges")
        chip.lines = try state.get("lines")
        chip.levelControl = try state.get("elcr")
        chip.lowestPriority = try state.get("lowest")
        let flags: UInt8 = try state.get("flags")
        guard flags < 16 else { throw PluginError("the saved PIC state has unknown flags") }
        chip.rotatesInAutomaticEnd = flags & 1 != 0
        chip.specialMask = flags & 2 != 0
        chip.readsInService = flags & 4 != 0
        chip.pollPending = flags & 8 != 0
        return chip
    }
}

let library = Library(
    "pic8259", version: "1.0", summary: "8259A interrupt controllers", needsMinor: 0, classes: [PICPlugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
