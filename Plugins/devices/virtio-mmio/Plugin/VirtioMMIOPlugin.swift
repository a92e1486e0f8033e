import PluginKit
import Virtio
import VirtioKit
import VirtioMMIO

/// Connects the registers to guest addresses, an interrupt line and the device behind them.
final class VirtioMMIOPlugin: Instance {
    static let definition = ClassDefinition.device(
        "virtio-mmio", summary: "virtio transport by MMIO registers, version 2",
        properties: [Property("at", .address, required: true, doc: "the first of its 512 bytes of registers")],
        slots: [Slot("irq", "irq-line/1", optional: true, doc: "its interrupt, level-triggered")],
        provides: [Provides("virtio/1", doc: "the device that it gives to the guest")],
        // The ID that QEMU and Linux know virtio by MMIO by.
        firmware: [FirmwareNode("LNRO0005", flags: .level)],
        make: { (host, values) throws(PluginError) in VirtioMMIOPlugin(host, values) })

    private let address: UInt64
    private var line: Line?
    private var target: DeviceBehind?
    /// nil: no device is wired, or it is none. The registers are not there then.
    private var chip: VirtioMMIO?

    init(_ host: Host, _ values: Values) {
        address = values.unsigned("at")
        super.init(host)
    }

    override func virtioClient(_ index: UInt32, is client: VirtioClient) { target = DeviceBehind(client) }

    // MARK: Lifecycle

    override func connect() throws(PluginError) {
        line = try host.line("irq")
        try host.io.claimMemory(
            address, length: VirtioMMIO.size, widths: [.byte, .word, .long], name: "registers")
    }

    override func reset(warm: Bool) {
        if chip == nil { chip = target?.identity.map(VirtioMMIO.init) }
        chip?.reset()
        settle()
    }

    // MARK: Guest side

    override func read(_ access: Access) -> ReadResult {
        guard let chip, let target else { return .value(0 as UInt32) }
        return .value(
            chip.read(
                UInt32(truncatingIfNeeded: access.offset), width: UInt8(truncatingIfNeeded: access.width),
                isPeek: access.isPeek, target))
    }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        guard let target else { return .ok }
        chip?.write(
            UInt32(truncatingIfNeeded: access.offset), width: UInt8(truncatingIfNeeded: access.width),
            UInt32(truncatingIfNeeded: value), target)
        settle()
        return .ok
    }

    // MARK: The device's side

    override func virtioUsed(_ index: UInt32, queue: UInt32) {
        chip?.usedBuffers()
        settle()
    }

    override func virtioConfigChanged(_ index: UInt32) {
        chip?.configChanged()
        settle()
    }

    override func virtioNeedsReset(_ index: UInt32) {
        chip?.needsReset()
        settle()
    }

    private func settle() { line?.set(chip?.interruptAsserted == true) }

    // MARK: State

    override func save(to state: StateWriter) throws(PluginError) {
        state.put("negotiation", chip?.negotiation.state.bytes ?? [])
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        let bytes = try state.get("negotiation", count: nil)
        guard var chip else {
            guard bytes.isEmpty else { throw PluginError("there is no device behind it") }
            return
        }
        guard let saved = VirtioNegotiation.State(bytes: bytes, of: chip.negotiation.identity), chip.restore(saved)
        else {
            throw PluginError("the saved state is not that of this device")
        }
        self.chip = chip
        settle()
    }
}

let library = Library(
    "virtio-mmio", version: "1.0", summary: "virtio by MMIO registers", needsMinor: 6,
    classes: [VirtioMMIOPlugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
