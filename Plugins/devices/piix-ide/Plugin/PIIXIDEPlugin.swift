import PCIConfiguration
import PIIXIDE
import PluginKit

/// The IDE function of a PC's south bridge: by it firmware and drivers find the two `ata` channels at their fixed ports. Its bus master
/// registers are there; the drives do not use them yet, and say in IDENTIFY DEVICE that they know no DMA.
final class PIIXIDEPlugin: Instance {
    static let definition = ClassDefinition.device(
        "piix-ide", summary: "IDE function of a PIIX3 or PIIX4: names the two ata channels to firmware and drivers",
        properties: [
            Property("model", .choice, default: "piix3", choices: ["piix3", "piix4"], doc: "which south bridge")
        ],
        slots: [Slot("bus", "pci/1", doc: "its place on the PCI bus, by tradition 1.1")],
        make: { (host, values) throws(PluginError) in try PIIXIDEPlugin(host, values) })

    private var chip: PIIXIDE
    /// Where the bus master registers are claimed.
    private var claim: Claim?

    init(_ host: Host, _ values: Values) throws(PluginError) {
        do throws(LayoutError) {
            chip = try PIIXIDE(values.text("model") == "piix4" ? .piix4 : .piix3)
        } catch {
            throw PluginError("its registers overlap: \(error)")
        }
        super.init(host)
    }

    override func reset(warm: Bool) {
        chip.reset()
        updateWindow()
    }

    // MARK: Guest side

    override func pciConfigRead(slot: Int, _ offset: UInt16, width: UInt8, isPeek: Bool) -> UInt32? {
        chip.readConfiguration(UInt32(offset), width: UInt32(width))
    }

    override func pciConfigWrite(slot: Int, _ offset: UInt16, width: UInt8, _ value: UInt32) {
        chip.writeConfiguration(UInt32(offset), width: UInt32(width), value)
        updateWindow()
    }

    override func pciBusReset(slot: Int) { reset(warm: true) }

    override func read(_ access: Access) -> ReadResult {
        .value(UInt64(chip.read(UInt32(access.offset), width: UInt32(access.width))))
    }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        // No drive has a transfer for the bus master: the order waits, as for a drive that never asks.
        _ = chip.write(UInt32(access.offset), width: UInt32(access.width), UInt32(truncatingIfNeeded: value))
        return .ok
    }

    /// BMIBA has moved, or I/O space was switched.
    private func updateWindow() {
        guard let io = try? host.io else { return }
        let window = chip.windows.first { $0.isEnabled && $0.space == .io && $0.size == 16 }
        guard let window else {
            if let claim { io.release(claim) }
            claim = nil
            return
        }
        if let claim {
            try? io.move(claim, to: window.address)
        } else {
            claim = try? io.claimPorts(
                UInt16(truncatingIfNeeded: window.address), count: 16, widths: [.byte, .word, .long],
                name: "bus master IDE")
        }
    }

    // MARK: State

    private static var channels: [(prefix: StaticString, path: WritableKeyPath<PIIXIDE.State, BusMaster.State>)] {
        [("primary-", \.primary), ("secondary-", \.secondary)]
    }

    override func save(to state: StateWriter) throws(PluginError) {
        let saved = chip.state
        state.put("configuration", saved.configuration.bytes)
        for (prefix, path) in Self.channels {
            let (channel, writer) = (saved[keyPath: path], state.prefixed(prefix))
            writer.put("command", channel.command.rawValue)
            writer.put("status", channel.status.rawValue)
            writer.put("table", channel.table)
            writer.put("next-descriptor", channel.nextDescriptor)
            writer.put("address", channel.address)
            writer.put("left", channel.left)
            writer.put("is-last", channel.isLast)
            writer.put("interrupt-line", channel.interruptLine)
        }
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        var saved = chip.state
        saved.configuration = .init(bytes: try state.get("configuration", count: nil))
        for (prefix, path) in Self.channels {
            let reader = state.prefixed(prefix)
            var channel = BusMaster.State()
            channel.command = .init(rawValue: try reader.get("command"))
            channel.status = .init(rawValue: try reader.get("status"))
            channel.table = try reader.get("table")
            channel.nextDescriptor = try reader.get("next-descriptor")
            channel.address = try reader.get("address")
            channel.left = try reader.get("left")
            channel.isLast = try reader.get("is-last")
            channel.interruptLine = try reader.get("interrupt-line")
            saved[keyPath: path] = channel
        }
        guard chip.restore(saved) else { throw PluginError("no such state of the function") }
        updateWindow()
    }
}

let library = Library(
    "piix-ide", version: "1.0", summary: "IDE function of PIIX3 and PIIX4", needsMinor: 4,
    classes: [PIIXIDEPlugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
