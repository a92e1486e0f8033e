import PluginKit
import Virtio
import VirtioInput
import VirtioKit

/// Connects the device to whoever has an operator before it.
final class VirtioInputPlugin: VirtioDevice {
    static let definition = ClassDefinition.device(
        "virtio-input", summary: "virtio input device: a tablet, a keyboard or a mouse",
        properties: [
            Property("kind", .choice, default: "tablet", choices: ["tablet", "keyboard", "mouse"], doc: "what it is")
        ],
        slots: [VirtioDevice.slot],
        provides: [Provides("input/1", shared: true, doc: "the tablet, the keyboard or the mouse")],
        make: { (host, values) throws(PluginError) in VirtioInputPlugin(host, values) })

    private var chip: VirtioInput
    private var packets = InputPackets()
    private var clients: [InputClient] = []
    private var lamps: UInt32 = 0
    /// The lamps that the clients were told of.
    private var told: UInt32 = 0

    init(_ host: Host, _ values: Values) {
        chip = VirtioInput(VirtioInput.Kind(rawValue: Int(values.choice("kind"))) ?? .tablet, serial: host.id)
        super.init(host)
    }

    override func connectDevice() throws(PluginError) -> VirtioIdentity { VirtioInput.identity }

    // MARK: The device

    override func readConfig(_ offset: UInt32, width: UInt8) -> UInt32 { chip.readConfig(offset, width: width) }
    override func writeConfig(_ offset: UInt32, width: UInt8, _ value: UInt32) {
        chip.writeConfig(offset, width: width, value)
    }

    override func poweredOn() { packets = InputPackets() }

    override func wasReset() {
        packets.forget()
        chip.choose(0, 0)
        lamps = 0
    }

    override func becameIdle() { tellLamps() }
    override func machineGoesOn() { tellLamps() }
    override func began() { deliver() }
    /// Nothing is ever under way.
    override func abandon() {}
    override func isServed(_ queue: Int) -> Bool { queue == VirtioInput.status }
    override func kicked(_ queue: Int) { deliver() }

    // MARK: From the driver

    override func work(_ queue: Int, _ chain: Chain) throws(VirtQueue.Violation) -> Bool {
        guard let memory else { return false }
        if let event = InputWord(bytes: try chain.read(count: UInt32(InputWord.size), memory)) {
            lamps = chip.lamps(lamps, after: event)
        }
        finish(queue, chain, written: 0)
        tellLamps()
        return true
    }

    private func tellLamps() {
        guard lamps != told else { return }
        told = lamps
        for client in clients { client.show(InputLamps(rawValue: lamps)) }
    }

    // MARK: The operator's side

    override func inputKinds(_ index: UInt32) -> InputKinds {
        switch chip.kind {
        case .tablet: [.buttons, .absolute]
        case .keyboard: [.keys, .lamps]
        case .mouse: [.buttons, .relative]
        }
    }

    override func inputClient(_ index: UInt32, is client: InputClient) { clients.append(client) }

    override func inputEvent(_ index: UInt32, _ event: InputEvent) {
        guard let type = UInt16(exactly: event.type), let code = UInt16(exactly: event.code) else { return }
        if type == InputEventCode.synchronize {
            guard code == 0 else { return }
            packets.end(isLive: isLive)
            return deliver()
        }
        guard chip.sends(type, code) else { return }
        let value: Int32
        switch type {
        case InputEventCode.key:
            // The guest repeats by itself.
            guard event.value == 0 || event.value == 1 else { return }
            value = Int32(truncatingIfNeeded: event.value)
        case InputEventCode.absolute: value = Int32(clamping: min(max(event.value, 0), VirtioInput.furthest))
        default: value = Int32(clamping: event.value)
        }
        packets.add(InputWord(type: type, code: code, value: value))
    }

    /// Packets go out whole, or stay.
    private func deliver() {
        let queue = VirtioInput.events
        guard mayWork, let memory, queues.indices.contains(queue), let layout = queues[queue].state.layout
        else { return }
        do throws(VirtQueue.Violation) {
            while mayWork {
                let words = packets.next(entries: Int(layout.entries))
                guard !words.isEmpty, let chains = buffers(words.count) else { break }
                for (word, chain) in zip(words, chains) {
                    guard try chain.write(word.bytes, memory) == InputWord.size else { throw .badRequest }
                    finish(queue, chain, written: UInt32(InputWord.size))
                }
                packets.delivered(words.count)
            }
        } catch { fail(error, queue) }
        publish(queue)
    }

    /// nil: there are fewer, and they are as before.
    private func buffers(_ count: Int) -> [Chain]? {
        var chains: [Chain] = []
        while chains.count < count {
            guard let chain = nextBuffer(VirtioInput.events) else {
                for _ in chains { giveBack(VirtioInput.events) }
                return nil
            }
            chains.append(chain)
        }
        return chains
    }

    // MARK: State

    override func save(to state: StateWriter) throws(PluginError) {
        try super.save(to: state)
        state.put("select", chip.select)
        state.put("subselect", chip.subselect)
        state.put("lamps", lamps)
        state.put("waiting", packets.waitingBytes)
        state.put("open", packets.openBytes)
        state.put("held", packets.heldBytes)
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        let (select, subselect): (UInt8, UInt8) = (try state.get("select"), try state.get("subselect"))
        let lamps: UInt32 = try state.get("lamps")
        let chip = chip
        guard lamps == 0 || chip.kind == .keyboard && lamps < 8,
            let packets = InputPackets(
                waiting: try state.get("waiting", count: nil), open: try state.get("open", count: nil),
                held: try state.get("held", count: nil), sends: { chip.sends($0.type, $0.code) })
        else { throw PluginError("no such state of the \(chip.kind)") }
        try super.load(version: version, from: state)
        self.chip.choose(select, subselect)
        (self.lamps, self.packets) = (lamps, packets)
    }
}

let library = Library(
    "virtio-input", version: "1.0", summary: "virtio input device", needsMinor: 6,
    classes: [VirtioInputPlugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
