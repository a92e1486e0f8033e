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
                doc: "its address, such as 52:54:00:12:34:56; without it one that is made from the instance's id"),
            Property(
                "mtu", .unsigned, bounds: 68...65535,
                doc:
                    "the longest packet of its network in bytes, which the driver is told; without it nothing, and drivers take 1500"
            ),
        ],
        slots: [
            VirtioDevice.slot,
            Slot("net", "net/1", optional: true, doc: "the network; without it there is no link"),
        ],
        stateVersion: 2, make: { (host, values) throws(PluginError) in try VirtioNetPlugin(host, values) })

    private static let longestFrame = 0xFFFF

    private var chip: VirtioNet
    private var net = NetPeer.unwired
    private var waiting = WaitingFrames()
    /// So many segments make a packet that is as long as packets are.
    private static let mostJoined = 45
    private var clock: Clock?
    private var moreTimer: PluginKit.Timer?
    /// Frames are held until the network has given all that it has now: they may be one packet.
    private var isWaitingForMore = false

    init(_ host: Host, _ values: Values) throws(PluginError) {
        do throws(EthernetAddress.Mistake) {
            chip = VirtioNet(
                address: try EthernetAddress.given(values.isSet("mac") ? values.text("mac") : nil, host.id),
                mtu: values.isSet("mtu") ? values.port("mtu") : nil)
        } catch { throw PluginError("mac: " + error.text) }
        super.init(host)
    }

    override func connectDevice() throws(PluginError) -> VirtioIdentity {
        net = try host.net("net")
        clock = try host.clock
        moreTimer = try host.clock.timer(cookie: 0)
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
        if isWaitingForMore { moreTimer?.cancel() }
        isWaitingForMore = false
    }

    override func becameIdle() { grant() }

    override func machineGoesOn() {
        waiting.forgetGrants()
        grant()
    }

    override func began() { receive() }

    override func isServed(_ queue: Int) -> Bool { queue != VirtioNet.receive }
    override func kicked(_ queue: Int) { receive() }
    /// Nothing is ever under way.
    override func abandon() {}

    override func work(_ queue: Int, _ chain: Chain) throws(VirtQueue.Violation) -> Bool {
        if queue == VirtioNet.control { try obey(chain) } else { try send(chain) }
        return true
    }

    /// 5.1.6.5: what cannot be carried out is answered with an error; where there is no room for an answer there is none to be given.
    private func obey(_ chain: Chain) throws(VirtQueue.Violation) {
        guard chain.writableLength > 0, let memory else { throw .badRequest }
        var answer = ControlCommand.Answer.error
        if chain.readableLength <= ControlCommand.longest {
            let command = ControlCommand(try chain.read(count: chain.readableLength, memory))
            answer = command?.run(on: &chip, features) ?? .error
        }
        let written = try chain.write([answer.rawValue], memory)
        finish(VirtioNet.control, chain, written: written)
    }

    // MARK: Out

    private func send(_ chain: Chain) throws(VirtQueue.Violation) {
        let size = VirtioNet.headerSize(features)
        // One that is too long is dropped unread.
        if let memory, Int(chain.readableLength) <= size + Int(VirtioNet.longestPacket) {
            let bytes = try chain.read(count: chain.readableLength, memory)
            for frame in OutgoingPacket(bytes, headerSize: size)?.frames() ?? [] where frame.count >= 14 {
                frame.withUnsafeBytes { net.send($0) }
            }
        }
        finish(VirtioNet.transmit, chain, written: 0)
    }

    // MARK: In

    override func netReceived(slot: Int, _ frame: UnsafeRawBufferPointer) {
        let frame = Array(frame)
        waiting.take(frame, isWanted: isLive && frame.count <= Self.longestFrame && chip.wants(frame, features))
        guard waiting.frames.count < Self.mostJoined, IncomingPacket.maybeJoined(frame, features) else {
            return receive()
        }
        if !isWaitingForMore { moreTimer?.set(at: clock?.now) }
        isWaitingForMore = true
    }

    /// The network has given what it had at once.
    override func timerExpired(cookie: UInt64) { receive() }

    override func netLink(slot: Int, isUp: Bool) {
        guard isUp != chip.hasLink else { return }
        chip.hasLink = isUp
        configChanged()
    }

    /// Hands waiting frames to the guest, as far as it has buffers.
    private func receive() {
        if isWaitingForMore { moreTimer?.cancel() }
        isWaitingForMore = false
        var done = 0
        do throws(VirtQueue.Violation) {
            while done < waiting.frames.count, case let count = try deliver(waiting.frames[done...]), count > 0 {
                done += count
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

    /// As many of these frames as can be one packet, or the first alone where the driver has no more room. Answers their number; 0: there are not enough buffers
    /// now.
    private func deliver(_ frames: ArraySlice<[UInt8]>) throws(VirtQueue.Violation) -> Int {
        guard mayWork, let first = frames.first else { return 0 }
        var packet = IncomingPacket(first, features)
        // Other drivers' buffers may be too short for it.
        if features.contains(VirtioNet.Feature.mergeableBuffers) {
            for frame in frames.dropFirst() { if !packet.join(frame, features) { break } }
        }
        let count = packet.segments
        if try deliver(packet.finished(features)) { return count }
        guard count > 1 else { return 0 }
        return try deliver(IncomingPacket(first, features).finished(features)) ? 1 : 0
    }

    /// A packet with its header. False: there are not enough buffers now. One that is longer than the one buffer that it may have is dropped.
    private func deliver(_ packet: [UInt8]) throws(VirtQueue.Violation) -> Bool {
        guard let memory else { return false }
        let isMerged = features.contains(VirtioNet.Feature.mergeableBuffers)
        var (chains, room): ([Chain], Int) = ([], 0)
        while room < packet.count, isMerged || chains.isEmpty {
            guard let chain = nextBuffer(VirtioNet.receive) else {
                for _ in chains { giveBack(VirtioNet.receive) }
                return false
            }
            guard chain.writableLength > 0 else { throw .badRequest }
            chains.append(chain)
            room += Int(chain.writableLength)
        }
        guard room >= packet.count else {
            giveBack(VirtioNet.receive)
            return true
        }
        var rest = VirtioNet.setBuffers(of: packet, chains.count, features)[...]
        for chain in chains {
            var written: UInt32 = 0
            for extent in Chain.part(chain.writable, from: 0, count: UInt32(clamping: rest.count)) {
                guard memory.write(extent.address, rest.prefix(Int(extent.length))) else { throw .notMemory }
                rest = rest.dropFirst(Int(extent.length))
                written &+= extent.length
            }
            finish(VirtioNet.receive, chain, written: written)
        }
        return true
    }

    // MARK: State

    override func save(to state: StateWriter) throws(PluginError) {
        try super.save(to: state)
        state.put("address", chip.address)
        state.put("has-link", chip.hasLink)
        state.put("filter", chip.filter.bytes)
        state.put("queue", waiting.bytes)
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        var restored = chip
        guard restored.restore(address: try state.get("address", count: 6)) else {
            throw PluginError("no such address")
        }
        restored.hasLink = try state.get("has-link")
        guard let filter = ReceiveFilter(bytes: try state.get("filter", count: nil)) else {
            throw PluginError("no such filter of frames")
        }
        restored.filter = filter
        var waiting = waiting
        guard waiting.restore(try state.get("queue", count: nil)) else {
            throw PluginError("the frames that wait are not whole, or too many")
        }
        try super.load(version: version, from: state)
        (chip, self.waiting, isWaitingForMore) = (restored, waiting, false)
    }
}

let library = Library(
    "virtio-net", version: "1.0", summary: "virtio network device", needsMinor: 6,
    classes: [VirtioNetPlugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
