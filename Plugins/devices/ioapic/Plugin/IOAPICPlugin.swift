import IOAPIC
import PluginKit

/// Connects the chip to its page, 24 interrupt lines, and the local APICs.
final class IOAPICPlugin: Instance {
    static let definition = ClassDefinition.device(
        "ioapic", summary: "82093AA I/O APIC with 24 inputs",
        properties: [
            Property("at", .address, default: "0xfec00000", doc: "where its registers are: IOREGSEL, IOWIN at +0x10")
        ],
        slots: [
            Slot(
                "apic", "irq-controller/1",
                doc: "the local APICs, which take its messages and say when an interrupt ends")
        ],
        provides: [
            Provides("irq-line/1", count: UInt32(IOAPIC.pins), shared: true, mayCycle: true, doc: "INTIN 0 to 23")
        ],
        firmware: [FirmwareNode(role: .ioAPIC, flags: .numbersLines, claims: ["registers"], slots: [])],
        make: { (host, values) throws(PluginError) in IOAPICPlugin(host, values) })

    private let base: UInt64
    private var chip = IOAPIC()
    private var apic = ControllerPeer.unwired

    init(_ host: Host, _ values: Values) {
        base = values.unsigned("at")
        super.init(host)
    }

    override func connect() throws(PluginError) {
        try host.io.claimMemory(base, length: 0x20, widths: .long, name: "registers")
        apic = try host.controller("apic")
    }

    override func reset(warm: Bool) { chip.reset() }

    override func read(_ access: Access) -> ReadResult {
        guard let value = chip.read(UInt16(truncatingIfNeeded: access.offset)) else { return .noRegister }
        return .value(value)
    }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        let isRegister = chip.write(UInt16(truncatingIfNeeded: access.offset), UInt32(truncatingIfNeeded: value))
        send()
        return isRegister ? .ok : .noRegister
    }

    override func lineChanged(_ index: UInt32, to level: Bool) {
        chip.setLine(UInt8(truncatingIfNeeded: index), level)
        send()
    }

    override func interruptEnded(slot: Int, vcpu: UInt32, vector: UInt8) {
        chip.endOfInterrupt(vector)
        send()
    }

    private func send() {
        while let message = chip.takeMessage() { apic.message(address: message.address, data: UInt64(message.data)) }
    }

    // MARK: State

    override func save(to state: StateWriter) throws(PluginError) {
        state.put("select", chip.state.select)
        state.put("id", chip.state.id)
        state.put("lines", chip.state.lines)
        state.put(
            "table",
            chip.state.entries.flatMap { entry in (0..<8).map { UInt8(truncatingIfNeeded: entry.rawValue >> ($0 * 8)) }
            })
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        var saved = IOAPIC.State()
        saved.select = try state.get("select")
        saved.id = try state.get("id")
        saved.lines = try state.get("lines")
        let table = try state.get("table", count: saved.entries.count * 8)
        for pin in saved.entries.indices {
            saved.entries[pin].rawValue = (0..<8).reduce(0) { $0 | UInt64(table[pin * 8 + $1]) << (UInt64($1) * 8) }
        }
        guard chip.restore(saved) else { throw PluginError("the saved I/O APIC state contradicts itself") }
    }
}

let library = Library(
    "ioapic", version: "1.0", summary: "82093AA I/O APIC", needsMinor: 4, classes: [IOAPICPlugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
