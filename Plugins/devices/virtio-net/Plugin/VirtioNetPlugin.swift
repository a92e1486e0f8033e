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

    /// Frames that wait for the guest's buffers.
    private static let queueLimit = 64
    private static let longestFrame = 0xFFFF

    private var chip: VirtioNet
    private var net = NetPeer.unwired
    private var queue: [[UInt8]] = []
    /// Frames that the network may still send.
    private var granted = 0

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
        queue = []
    }

    override func becameIdle() { grant() }

    override func machineGoesOn() {
        granted = 0
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
        granted = max(granted - 1, 0)
        if isLive, queue.count < Self.queueLimit, frame.count <= Self.longestFrame { queue.append(Array(frame)) }
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
            while done < queue.count, try deliver(queue[done]) { done += 1 }
        } catch { fail(error, VirtioNet.receive) }
        queue.removeFirst(done)
        if done > 0 { publish(VirtioNet.receive) }
        grant()
    }

    /// Room is given in halves of the queue, and while no driver is there too: what comes then is dropped.
    private func grant() {
        let room = Self.queueLimit - queue.count
        guard net.isWired, granted <= Self.queueLimit / 2, room > granted else { return }
        granted = room
        net.ready(room)
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
        state.put("queue", queue.flatMap { [UInt8($0.count & 0xFF), UInt8($0.count >> 8 & 0xFF)] + $0 })
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        var restored = chip
        guard restored.restore(address: try state.get("address", count: 6)) else {
            throw PluginError("no such address")
        }
        restored.hasLink = try state.get("has-link")
        guard let queue = Self.frames(try state.get("queue", count: nil)) else {
            throw PluginError("the frames that wait are not whole, or too many")
        }
        try super.load(version: version, from: state)
        (chip, self.queue) = (restored, queue)
    }
}

extension VirtioNetPlugin {
    /// Each behind its length of two bytes.
    private static func frames(_ bytes: [UInt8]) -> [[UInt8]]? {
        var (rest, frames) = (bytes[...], [[UInt8]]())
        while rest.count >= 2, frames.count < queueLimit {
            let length = Int(rest.removeFirst()) | Int(rest.removeFirst()) << 8
            guard length <= rest.count else { return nil }
            frames.append(Array(rest.prefix(length)))
            rest = rest.dropFirst(length)
        }
        return rest.isEmpty ? frames : nil
    }
}

let library = Library(
    "virtio-net", version: "1.0", summary: "virtio network device", needsMinor: 6,
    classes: [VirtioNetPlugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
