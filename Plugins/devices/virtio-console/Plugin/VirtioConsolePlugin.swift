import PluginKit
import Virtio
import VirtioConsole
import VirtioKit

/// Connects the console and its ports to streams.
final class VirtioConsolePlugin: VirtioDevice {
    static let definition = ClassDefinition.device(
        "virtio-console", summary: "virtio console, with ports",
        properties: [
            Property(
                "names", .text, list: true,
                doc:
                    "of ports, in their order: /dev/virtio-ports/NAME in Linux. Others have its id, a point and their number"
            )
        ],
        slots: [
            VirtioDevice.slot,
            Slot("stream", "stream/1", optional: true, doc: "what the console is connected to, a terminal..."),
            Slot("ports", "stream/1", optional: true, many: true, doc: "what its ports are connected to"),
        ],
        make: { (host, values) throws(PluginError) in try VirtioConsolePlugin(host, values) })

    /// Bytes of one buffer of the guest's, and of a port's name.
    private static let (longest, longestName) = (1 << 16 as UInt32, 64)

    private let names: [String]
    private var chip = VirtioConsole(names: [])
    private var ports: [ConsolePort] = []

    init(_ host: Host, _ values: Values) throws(PluginError) {
        names = values.textList("names")
        for name in names
        where name.isEmpty || name.utf8.count > Self.longestName
            || name.utf8.contains(where: { $0 <= 0x20 || $0 == 0x2F || $0 == 0x7F })
        {
            throw PluginError(
                "names: '\(name)' is no name of a port: up to \(Self.longestName) bytes, no spaces, no slashes")
        }
        super.init(host)
    }

    override func connectDevice() throws(PluginError) -> VirtioIdentity {
        let count = try host.wireCount("ports")
        guard count < VirtioConsole.mostPorts else {
            throw PluginError("ports: \(count) are more than \(VirtioConsole.mostPorts - 1)")
        }
        // Where a machine file is only shown it has no backends, and no wires to them.
        guard count == 0 || names.count <= count else {
            throw PluginError("names: there are \(names.count) for \(count) ports")
        }
        chip = VirtioConsole(names: (1..<count + 1).map { $0 <= names.count ? names[$0 - 1] : "\(host.id).\($0)" })
        ports = [ConsolePort(try host.stream("stream"))]
        for position in 0..<UInt32(count) { ports.append(ConsolePort(try host.stream("ports", position: position))) }
        return chip.identity
    }

    // MARK: The device

    override func readConfig(_ offset: UInt32, width: UInt8) -> UInt32 { chip.readConfig(offset, width: width) }

    override func writeConfig(_ offset: UInt32, width: UInt8, _ value: UInt32) {
        if let character = VirtioConsole.emergencyCharacter(offset, value) { ports.first?.stream.write(character) }
    }

    override func wasReset() {
        for port in ports.indices where chip.ports[port].isOpen { ports[port].isToClose = true }
        chip.reset()
        for port in ports.indices { ports[port].waiting = [] }
    }

    override func becameIdle() {
        for port in ports.indices where ports[port].isToClose {
            ports[port].isToClose = false
            ports[port].stream.event(.dtrOff)
        }
        grantAll()
    }

    override func machineGoesOn() {
        for port in ports.indices { ports[port].granted = nil }
        grantAll()
    }

    override func began() {
        tell()
        for port in ports.indices { receive(port) }
    }

    override func isServed(_ queue: Int) -> Bool {
        switch chip.queue(queue, features) {
        case .receive, .controlReceive: false
        default: true
        }
    }

    override func kicked(_ queue: Int) {
        switch chip.queue(queue, features) {
        case .receive(let port): receive(port)
        case .controlReceive: tell()
        default: break
        }
    }

    /// Nothing is ever under way.
    override func abandon() {}

    override func work(_ queue: Int, _ chain: Chain) throws(VirtQueue.Violation) -> Bool {
        guard let memory else { return false }
        switch chip.queue(queue, features) {
        case .transmit(let port):
            // A buffer is written whole, or up to what no terminal's line is; the rest is dropped.
            guard !ports[port].isThrottled else { return false }
            let bytes = try chain.read(count: min(chain.readableLength, Self.longest), memory)
            bytes.withUnsafeBytes { ports[port].stream.write($0) }
        case .controlTransmit:
            if let port = chip.receive(try chain.read(count: UInt32(VirtioConsole.messageSize), memory)) {
                opened(port)
            }
            tell()
        default: break
        }
        finish(queue, chain, written: 0)
        return true
    }

    // MARK: Control

    /// A port was opened or closed by the guest's program: as a modem's cable tells.
    private func opened(_ port: Int) {
        ports[port].stream.event(chip.ports[port].isOpen ? .dtrOn : .dtrOff)
        receive(port)
    }

    /// What is to be told goes out as far as there are buffers; what has changed again meanwhile is told as it is then.
    private func tell() {
        guard features.contains(VirtioConsole.Feature.multiport) else { return }
        do throws(VirtQueue.Violation) {
            while let message = chip.nextMessage, let memory, let chain = nextBuffer(VirtioConsole.controlReceive) {
                chip.messageSent()
                finish(VirtioConsole.controlReceive, chain, written: try chain.write(message, memory))
            }
        } catch { fail(error, VirtioConsole.controlReceive) }
        publish(VirtioConsole.controlReceive)
    }

    /// nil: there is no such port.
    private func port(_ slot: Int, _ position: Int) -> Int? {
        let port = slot == 1 ? 0 : position + 1
        return ports.indices.contains(port) ? port : nil
    }

    override func streamEvent(slot: Int, position: Int, _ event: StreamEvent) {
        guard event == .open || event == .closed, let port = port(slot, position) else { return }
        chip.connect(port, event == .open)
        tell()
    }

    override func streamWindow(slot: Int, position: Int, columns: Int, rows: Int) {
        guard port(slot, position) == 0, chip.resize(columns: columns, rows: rows) else { return }
        if features.contains(VirtioConsole.Feature.multiport) { tell() } else { configChanged() }
    }

    // MARK: Out

    override func streamThrottled(slot: Int, position: Int, _ on: Bool) {
        guard let port = port(slot, position) else { return }
        ports[port].isThrottled = on
        if !on { resume(VirtioConsole.transmitQueue(of: port)) }
    }

    // MARK: In

    override func streamReceived(slot: Int, position: Int, _ bytes: UnsafeRawBufferPointer) {
        guard let port = port(slot, position) else { return }
        ports[port].take(bytes, keeps: isLive)
        receive(port)
    }

    private func receive(_ port: Int) {
        let queue = VirtioConsole.receiveQueue(of: port)
        do throws(VirtQueue.Violation) {
            while mayReceive(port), !ports[port].waiting.isEmpty, let memory, let chain = nextBuffer(queue) {
                guard chain.writableLength > 0 else { throw .badRequest }
                let written = try chain.write(ports[port].waiting, memory)
                finish(queue, chain, written: written)
                ports[port].waiting.removeFirst(Int(written))
            }
        } catch { fail(error, queue) }
        publish(queue)
        grant(port)
    }

    /// Linux drops what comes to a port that no program has open; the console's it takes always.
    private func mayReceive(_ port: Int) -> Bool { port == 0 || chip.ports[port].isOpen }

    /// To the console while no driver is there too: what is typed then is dropped. Others' bytes wait at the other end.
    private func grant(_ port: Int) { if mayReceive(port) { ports[port].grant() } else { ports[port].revoke() } }
    private func grantAll() { for port in ports.indices { grant(port) } }

    // MARK: State

    override func save(to state: StateWriter) throws(PluginError) {
        try super.save(to: state)
        state.put("columns", chip.columns)
        state.put("rows", chip.rows)
        state.put("ports", chip.ports.map(\.bits))
        for (number, port) in ports.enumerated() { state.put(Self.keys[number], port.waiting) }
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        let (columns, rows): (UInt16, UInt16) = (try state.get("columns"), try state.get("rows"))
        var restored = chip
        let states = try state.get("ports", count: ports.count).enumerated().compactMap {
            VirtioConsole.Port(bits: $0.element, port: $0.offset)
        }
        guard restored.restore(states, columns: columns, rows: rows) else {
            throw PluginError("ports that cannot be so")
        }
        var waiting: [[UInt8]] = []
        for key in Self.keys.prefix(ports.count) {
            waiting.append(try state.get(key, count: nil))
            guard waiting[waiting.count - 1].count <= ConsolePort.room else {
                throw PluginError("more bytes wait than there is room for")
            }
        }
        try super.load(version: version, from: state)
        chip = restored
        for port in ports.indices { ports[port].waiting = waiting[port] }
    }

    /// What waits at each port.
    private static let keys: [StaticString] = [
        "waiting", "waiting-1", "waiting-2", "waiting-3", "waiting-4", "waiting-5", "waiting-6", "waiting-7",
        "waiting-8",
        "waiting-9", "waiting-10", "waiting-11", "waiting-12", "waiting-13", "waiting-14", "waiting-15",
    ]
}

let library = Library(
    "virtio-console", version: "1.1", summary: "virtio console", needsMinor: 6,
    classes: [VirtioConsolePlugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
