import PCIConfiguration
import PCIKit
import PIIXIDE
import PluginKit

/// The IDE function of a PC's south bridge: by it firmware and drivers find the two `ata` channels at their fixed ports, and its bus masters
/// move their data, where the channels are wired to them.
final class PIIXIDEPlugin: Instance {
    static let definition = ClassDefinition.device(
        "piix-ide",
        summary: "IDE function of a PIIX3 or PIIX4: names the two ata channels to drivers, and is their bus master",
        properties: [
            Property("model", .choice, default: "piix3", choices: ["piix3", "piix4"], doc: "which south bridge"),
            Property(
                "channels", .bool, default: "off",
                doc: "on: after reset both channels are on, which firmware sees to elsewhere: for machines without it"),
        ],
        slots: [Slot("bus", "pci/1", doc: "its place on the PCI bus, by tradition 1.1")],
        provides: [
            Provides("dma-channel/1", count: 2, doc: "bus masters of the primary and the secondary channel")
        ],
        make: { (host, values) throws(PluginError) in try PIIXIDEPlugin(host, values) })

    /// What the drives of a channel want, and what they were told.
    private struct Channel {
        var client: DMAChannelClient?
        var requested: DMADirection?
        var isReady = false
    }

    private var chip: PIIXIDE
    private var channels = [Channel(), Channel()]
    private let buffer: UnsafeMutableRawBufferPointer
    /// Where the bus master registers are claimed.
    private var busMaster = WindowClaim()

    init(_ host: Host, _ values: Values) throws(PluginError) {
        do throws(LayoutError) {
            chip = try PIIXIDE(
                values.text("model") == "piix4" ? .piix4 : .piix3, decodesChannels: values.bool("channels"))
        } catch {
            throw PluginError("its registers overlap: \(error)")
        }
        buffer = .allocate(byteCount: DMAChannelPeer.most, alignment: 16)
        buffer.initializeMemory(as: UInt8.self, repeating: 0)
        super.init(host)
    }

    deinit { buffer.deallocate() }

    private enum Cookie { static let noDrives: UInt64 = 1 }

    /// Of a channel without drives the controller itself is what answers: an `ata` goes before.
    override func connect() throws(PluginError) {
        let io = try host.io
        for (commands, control) in [(0x1f0, 0x3f6), (0x170, 0x376)] as [(UInt16, UInt16)] {
            try io.claimPorts(commands, count: 8, cookie: Cookie.noDrives, priority: -1, name: "channel without drives")
            try io.claimPorts(control, count: 1, cookie: Cookie.noDrives, priority: -1, name: "channel without drives")
        }
    }

    override func dmaClient(_ index: UInt32, is client: DMAChannelClient) {
        if index < 2 { channels[Int(index)].client = client }
    }

    override func reset(warm: Bool) {
        chip.reset()
        updateWindow()
        updateReady()
    }

    // MARK: Guest side

    override func pciConfigRead(slot: Int, _ offset: UInt16, width: UInt8, isPeek: Bool) -> UInt32? {
        chip.readConfiguration(UInt32(offset), width: UInt32(width))
    }

    override func pciConfigWrite(slot: Int, _ offset: UInt16, width: UInt8, _ value: UInt32) {
        chip.writeConfiguration(UInt32(offset), width: UInt32(width), value)
        updateWindow()
        updateReady()
    }

    override func pciBusReset(slot: Int) { reset(warm: true) }

    override func read(_ access: Access) -> ReadResult {
        // Neither BSY nor DRQ, so that nobody waits: DD7 has a pull-down resistor (ATA/ATAPI-4, 4.2.3); that all lines are low is QEMU's way. As
        // an `ata` does, it answers whatever IDETIM says: OVMF leaves the channels off and asks 30 s for each drive otherwise.
        if access.cookie == Cookie.noDrives { return .value(0 as UInt8) }
        return .value(UInt64(chip.read(UInt32(access.offset), width: UInt32(access.width))))
    }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        if access.cookie == Cookie.noDrives { return .ok }
        _ = chip.write(UInt32(access.offset), width: UInt32(access.width), UInt32(truncatingIfNeeded: value))
        updateReady()
        return .ok
    }

    /// BMIBA has moved, or I/O space was switched.
    private func updateWindow() {
        let window = chip.windows.first { $0.isEnabled && $0.space == .io && $0.size == 16 }
        busMaster.follow(window?.address, host) { (io, address) throws(PluginError) in
            try io.claimPorts(
                UInt16(truncatingIfNeeded: address), count: 16, widths: [.byte, .word, .long], name: "bus master IDE")
        }
    }

    // MARK: Bus masters

    override func dmaRequested(_ index: UInt32, _ direction: DMADirection?) {
        guard index < 2 else { return }
        let channel = Int(index)
        if direction == nil, channels[channel].requested != nil { chip[channel].driveFinished() }
        channels[channel].requested = direction
        channels[channel].isReady = false
        updateReady()
    }

    /// Tells the drives whether their bus master runs: started, in their direction, and let on the bus by COMMAND.
    private func updateReady() {
        for channel in channels.indices {
            guard let requested = channels[channel].requested, let client = channels[channel].client else { continue }
            let master = chip[channel]
            let isReady = master.isActive && chip.isBusMaster && master.writesMemory == (requested == .toMemory)
            guard isReady != channels[channel].isReady else { continue }
            channels[channel].isReady = isReady
            client.ready(isReady)
        }
    }

    override func dmaWritten(_ index: UInt32, _ bytes: UnsafeRawBufferPointer) {
        guard index < 2, let client = channels[Int(index)].client else { return }
        let moved = move(Int(index), .toMemory, bytes.count) { (memory, address, range) in
            memory.write(address, UnsafeRawBufferPointer(rebasing: bytes[range]))
        }
        updateReady()
        client.moved(moved)
    }

    override func dmaReadAsked(_ index: UInt32, _ count: Int) {
        guard index < 2, let client = channels[Int(index)].client else { return }
        let buffer = self.buffer
        let moved = move(Int(index), .fromMemory, min(count, buffer.count)) { (memory, address, range) in
            memory.read(address, into: UnsafeMutableRawBufferPointer(rebasing: buffer[range]))
        }
        updateReady()
        client.data(UnsafeRawBufferPointer(rebasing: buffer[..<moved]))
    }

    override func dmaInterrupt(_ index: UInt32, to level: Bool) {
        if index < 2 { chip[Int(index)].setInterruptLine(level) }
    }

    /// Goes through a channel's descriptor table for `count` bytes.
    /// - Parameter copy: moves a range of the bytes to or from an address; false: there is no memory.
    /// - Returns: how many it has moved.
    private func move(
        _ channel: Int, _ direction: DMADirection, _ count: Int, copy: (Memory, UInt64, Range<Int>) -> Bool
    ) -> Int {
        guard channels[channel].isReady, channels[channel].requested == direction, let memory = try? host.memory else {
            return 0
        }
        var done = 0
        while done < count {
            let found = chip[channel].gather(UInt32(clamping: count - done)) { place in
                var descriptor: UInt64 = 0
                let isThere = withUnsafeMutableBytes(of: &descriptor) { memory.read(UInt64(place), into: $0) }
                return isThere ? UInt64(littleEndian: descriptor) : nil
            }
            for extent in found.extents {
                guard copy(memory, UInt64(extent.address), done..<done + Int(extent.length)) else {
                    chip[channel].memoryFailed()
                    return done
                }
                done += Int(extent.length)
            }
            guard found.end == nil, !found.extents.isEmpty else { break }
        }
        return done
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
        // The drives ask anew when they start.
        for channel in channels.indices { (channels[channel].requested, channels[channel].isReady) = (nil, false) }
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
