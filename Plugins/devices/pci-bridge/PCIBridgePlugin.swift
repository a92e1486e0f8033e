import PCIConfiguration
import PCIKit
import PluginKit

/// A PCI-to-PCI bridge: a function of one bus, and another bus behind it.
/// Source: PCI-to-PCI Bridge Architecture Specification 1.2. Its identity is that of QEMU's `pci-bridge`, which no driver needs to know.
///
/// Not modelled: functions behind it answer wherever their base addresses say, whether the bridge's windows lead there or not.
final class PCIBridgePlugin: PCIFunction {
    static let definition = ClassDefinition.device(
        "pci-bridge", summary: "PCI-to-PCI bridge with a bus behind it",
        slots: [Slot("bus", "pci/1", doc: "its place on the bus that it is a function of")],
        provides: [
            Provides("pci/1", count: 256, mayCycle: true, doc: "the bus behind it: DEVICE or DEVICE.FUNCTION")
        ],
        make: { (host, _) throws(PluginError) in try PCIBridgePlugin(host) })

    private var secondary = PCIBus()
    private var isBusyLogged = false

    init(_ host: Host) throws(PluginError) {
        // Everything behind it shares the pins of its place: it has none of its own to assert.
        let layout = ConfigurationSpace.Layout(
            .bridge, .init(vendor: 0x1B36, device: 0x0001, classCode: 0x06_04_00), interruptPin: 0)
        try super.init(host, layout)
    }

    override func pciFunction(_ index: UInt32, is function: PCIFunctionClient) { secondary.add(function, at: index) }

    override func configurationChanged(_ changes: ConfigurationSpace.Changes) {
        // RST# of the secondary bus, while it is set (3.2.5.18, bit 6); functions see its beginning.
        if changes.contains(.bridge), configuration.resetsSecondary { secondary.reset() }
    }

    override func pciBusReset(slot: Int) {
        super.pciBusReset(slot: slot)
        secondary.reset()
    }

    // MARK: Configuration accesses for buses behind it

    override func pciConfigRead(
        slot: Int, behind place: PCIPlace, _ offset: UInt16, width: UInt8, isPeek: Bool
    ) -> UInt32? {
        let value: UInt32?
        switch configuration.forwarding(toBus: place.bus) {
        case nil: return .max
        case .here: value = secondary.read(UInt32(place.index), UInt32(offset), width: width, isPeek: isPeek)
        case .beyond: value = secondary.read(place, UInt32(offset), width: width, isPeek: isPeek)
        }
        if value == nil { logBusy(place) }
        return value
    }

    override func pciConfigWrite(slot: Int, behind place: PCIPlace, _ offset: UInt16, width: UInt8, _ value: UInt32) {
        let isDone: Bool
        switch configuration.forwarding(toBus: place.bus) {
        case nil: return
        case .here: isDone = secondary.write(UInt32(place.index), UInt32(offset), width: width, value)
        case .beyond: isDone = secondary.write(place, UInt32(offset), width: width, value)
        }
        if !isDone { logBusy(place) }
    }

    private func logBusy(_ place: PCIPlace) {
        guard !isBusyLogged else { return }
        isBusyLogged = true
        host.log(
            .warning,
            "configuration space of \(place.index >> 3).\(place.index & 7) was busy or broken, and reads as ones")
    }

    // MARK: INTx: pin p (0...3) of device d is the bridge's pin (p + d) & 3 (9.1)

    override func pciINTx(_ index: UInt32, pin: UInt8, to level: Bool) {
        guard (1...4).contains(pin) else { return }
        let own = Int((UInt32(pin) &- 1 &+ index >> 3) & 3)
        let before = secondary.assertedLines
        let isAsserted = secondary.setINTx(index, pin: pin, to: level, line: own)
        // What has not changed is not said: two bridges on each other's bus would never end.
        if secondary.assertedLines != before { bus.setINTx(UInt8(own + 1), isAsserted) }
    }

    override func pciLocation(_ index: UInt32) -> UInt16 {
        UInt16(configuration.secondaryBus) << 8 | UInt16(truncatingIfNeeded: index & 0xFF)
    }

    // MARK: State: pins are the functions' to drive anew

    override func save(to state: StateWriter) throws(PluginError) { saveConfiguration(to: state) }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        take(try loadConfiguration(from: state), interrupt: false)
    }
}

let library = Library(
    "pci-bridge", version: "1.0", summary: "PCI-to-PCI bridge", needsMinor: 9, classes: [PCIBridgePlugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
