import PluginKit
import Virtio
import VirtioConsole
import VirtioKit

/// Connects the console to a stream.
final class VirtioConsolePlugin: VirtioDevice {
    static let definition = ClassDefinition.device(
        "virtio-console", summary: "virtio console with one port",
        slots: [
            VirtioDevice.slot,
            Slot("stream", "stream/1", optional: true, doc: "what it is connected to, a terminal..."),
        ],
        make: { (host, _) throws(PluginError) in VirtioConsolePlugin(host) })

    /// Bytes that wait for the guest's buffers, and of one buffer of the guest's.
    private static let (room, longest) = (4096, 1 << 16 as UInt32)

    private var stream = StreamPeer.unwired
    private var waiting: [UInt8] = []
    private var isThrottled = false
    private var granted = 0

    override func connectDevice() throws(PluginError) -> VirtioIdentity {
        stream = try host.stream("stream")
        return VirtioConsole.identity
    }

    // MARK: The device

    override func readConfig(_ offset: UInt32, width: UInt8) -> UInt32 {
        VirtioConsole.readConfig(offset, width: width)
    }

    override func writeConfig(_ offset: UInt32, width: UInt8, _ value: UInt32) {
        if let character = VirtioConsole.emergencyCharacter(offset, value) { stream.write(character) }
    }

    override func wasReset() { waiting = [] }

    override func becameIdle() { grant() }

    override func machineGoesOn() {
        granted = 0
        grant()
    }

    override func began() { receive() }

    override func isServed(_ queue: Int) -> Bool { queue == VirtioConsole.transmit }
    override func kicked(_ queue: Int) { receive() }
    /// Nothing is ever under way.
    override func abandon() {}

    // MARK: Out

    /// A buffer is written whole, or up to what no terminal's line is; the rest is dropped.
    override func work(_ queue: Int, _ chain: Chain) throws(VirtQueue.Violation) -> Bool {
        guard !isThrottled, let memory else { return false }
        let bytes = try chain.read(count: min(chain.readableLength, Self.longest), memory)
        bytes.withUnsafeBytes { stream.write($0) }
        finish(queue, chain, written: 0)
        return true
    }

    override func streamThrottled(slot: Int, _ on: Bool) {
        isThrottled = on
        if !on { resume(VirtioConsole.transmit) }
    }

    // MARK: In

    override func streamReceived(slot: Int, _ bytes: UnsafeRawBufferPointer) {
        granted = max(granted - bytes.count, 0)
        if isLive { waiting += bytes.prefix(Self.room - waiting.count) }
        receive()
    }

    private func receive() {
        do throws(VirtQueue.Violation) {
            while !waiting.isEmpty, let memory, let chain = nextBuffer(VirtioConsole.receive) {
                let written = try chain.write(waiting, memory)
                finish(VirtioConsole.receive, chain, written: written)
                waiting.removeFirst(Int(written))
            }
        } catch { fail(error, VirtioConsole.receive) }
        publish(VirtioConsole.receive)
        grant()
    }

    /// While no driver is there too: what is typed then is dropped.
    private func grant() {
        let room = Self.room - waiting.count
        guard stream.isWired, room > granted else { return }
        granted = room
        stream.ready(room)
    }

    // MARK: State

    override func save(to state: StateWriter) throws(PluginError) {
        try super.save(to: state)
        state.put("waiting", waiting)
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        let waiting = try state.get("waiting", count: nil)
        guard waiting.count <= Self.room else { throw PluginError("more bytes wait than there is room for") }
        try super.load(version: version, from: state)
        self.waiting = waiting
    }
}

let library = Library(
    "virtio-console", version: "1.0", summary: "virtio console", needsMinor: 6,
    classes: [VirtioConsolePlugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
