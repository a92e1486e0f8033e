import Ethernet
import PluginKit
import Virtio
import VirtioKit
import VirtioNet

/// Connects the device to its network.
final class VirtioNetPlugin: VirtioDevice {
    static let definition = ClassDefinition.device(
        "virtio-net", summary: "virtio network device",
        properties: [
            Property(
                "mac", .text,
                doc: "its address, such as 52:54:00:12:34:56; without it one that is made from the instance's id")
        ],
        slots: [
            VirtioDevice.slot,
            Slot("net", "net/1", optional: true, doc: "the network; without it there is no link"),
        ],
        make: { (host, values) throws(PluginError) in try VirtioNetPlugin(host, values) })

    private static let longestFrame = 0xFFFF

    private var chip: VirtioNet
    private var net = NetPeer.unwired
    private var waiting = WaitingFrames()

    init(_ host: Host, _ values: Values) throws(PluginError) {
        do throws(EthernetAddress.Mistake) {
            chip = VirtioNet(
                address: try EthernetAddress.given(values.isSet("mac") ? values.text("mac") : nil, host.id))
        } catch { throw PluginError("mac: " + error.text) }
        super.init(host)
    }

    override func connectDevice() throws(PluginError) -> VirtioIdentity {
        net = try host.net("net")
        chip.hasLink = net.isWired
        return chip.identity
    }

    // MARK: The device

    override func accepts(_ features: VirtioFeatures) -> Bool { VirtioNet.accepts(features) }
    override func readConfig(_ offset: UInt32, width: UInt8) -> UInt32 { chip.readConfig(offset, width: width) }
    override func writeConfig(_ offset: UInt32, width: UInt8, _ value: UInt32) {
        chip.writeConfig(offset, width: width, value, features)
    }

    override func poweredOn() { chip.hasLink = net.isWired }

    override func wasReset() {
        chip.reset()
        waiting.removeAll()
    }

    override func becameIdle() { grant() }

    override func machineGoesOn() {
        waiting.forgetGrants()
        grant()
    }

    override func began() { receive() }

    override func isServed(_ queue: Int) -> Bool { queue == VirtioNet.transmit }
    override func kicked(_ queue: Int) { receive() }
    /// Nothing is ever under way.
    override func abandon() {}

    // MARK: Out

    override func work(_ queue: Int, _ chain: Chain) throws(VirtQueue.Violation) -> Bool {
        let size = VirtioNet.headerSize(features)
        // One that is too long is dropped unread.
        if let memory, Int(chain.readableLength) <= size + Int(VirtioNet.longestPacket) {
            let bytes = try chain.read(count: chain.readableLength, memory)
            for frame in OutgoingPacket(bytes, headerSize: size)?.frames() ?? [] where frame.count >= 14 {
                frame.withUnsafeBytes { net.send($0) }
            }
        }
        finish(queue, chain, written: 0)
        return true
    }

    // MARK: In

    override func netReceived(slot: Int, _ frame: UnsafeRawBufferPointer) {
        waiting.take(Array(frame), isWanted: isLive && frame.count <= Self.longestFrame)
        receive()
    }

    override func netLink(slot: Int, isUp: Bool) {
        guard isUp != chip.hasLink else { return }
        chip.hasLink = isUp
        configChanged()
    }

    /// Hands waiting frames to the guest, as far as it has buffers.
    private func receive() {
        var done = 0
        do throws(VirtQueue.Violation) {
            for frame in waiting.frames {
                guard try deliver(frame) else { break }
                done += 1
            }
        } catch { fail(error, VirtioNet.receive) }
        waiting.removeFirst(done)
        if done > 0 { publish(VirtioNet.receive) }
        grant()
    }

    /// While no driver is there too: what comes then is dropped.
    private func grant() {
        if net.isWired, let room = waiting.grant() { net.ready(room) }
    }

    /// False: there are not enough buffers now. A frame that is longer than the one buffer that it may have is dropped.
    private func deliver(_ frame: [UInt8]) throws(VirtQueue.Violation) -> Bool {
        guard mayWork, let memory else { return false }
        let isMerged = features.contains(VirtioNet.Feature.mergeableBuffers)
        let length = VirtioNet.headerSize(features) + frame.count
        var (chains, room): ([Chain], Int) = ([], 0)
        while room < length, isMerged || chains.isEmpty {
            guard let chain = nextBuffer(VirtioNet.receive) else {
                for _ in chains { giveBack(VirtioNet.receive) }
                return false
            }
            guard chain.writableLength > 0 else { throw .badRequest }
            chains.append(chain)
            room += Int(chain.writableLength)
        }
        guard room >= length else {
            giveBack(VirtioNet.receive)
            return true
        }
        let bytes = VirtioNet.header(features, buffers: UInt16(truncatingIfNeeded: chains.count)) + frame
        var done = 0
        for chain in chains {
            let part = Array(bytes[done..<min(done + Int(chain.writableLength), bytes.count)])
            let written = try chain.write(part, memory)
            finish(VirtioNet.receive, chain, written: written)
            done += part.count
        }
        return true
    }

    // MARK: State

    override func save(to state: StateWriter) throws(PluginError) {
        try super.save(to: state)
        state.put("address", chip.address)
        state.put("has-link", chip.hasLink)
        state.put("queue", waiting.bytes)
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        var restored = chip
        guard restored.restore(address: try state.get("address", count: 6)) else {
            throw PluginError("no such address")
        }
        restored.hasLink = try state.get("has-link")
        var waiting = waiting
        guard waiting.restore(try state.get("queue", count: nil)) else {
            throw PluginError("the frames that wait are not whole, or too many")
        }
        try super.load(version: version, from: state)
        (chip, self.waiting) = (restored, waiting)
    }
}

let library = Library(
    "virtio-net", version: "1.0", summary: "virtio network device", needsMinor: 6,
    classes: [VirtioNetPlugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
