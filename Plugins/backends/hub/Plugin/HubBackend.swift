import BackendSupport
import NetworkSwitch
import PluginKit

/// A switch between network cards of this machine and, where it has a name, of all machines of the process that name it.
final class HubBackend: Instance {
    static let definition = ClassDefinition.backend(
        "hub", summary: "a switch between network cards, of several machines too",
        properties: [
            Property(
                "name", .text,
                doc:
                    "hubs of the same name are one switch, also in several machines that run in one process; without it, it is this machine's own"
            )
        ],
        slots: [
            Slot("uplink", "net/1", optional: true, doc: "one more network on the switch, such as a user or a tap")
        ],
        provides: [Provides("net/1", count: 16, doc: "its ports; one card each")],
        methods: [
            Method(
                "ports", result: .text, doc: "of each port: frames sent, received and lost, and addresses behind it",
                function: { (raw) in instance(raw, as: HubBackend.self).replyPorts() }
                    as @convention(c) (UnsafeMutableRawPointer?) -> Void)
        ],
        check: { (_, values) throws(PluginError) in _ = try HubBackend.name(values) },
        make: { (host, values) throws(PluginError) in try HubBackend(host, values) })

    /// Frames of one callback: the machine waits for it.
    private static let batch = FrameRoom.mostAtOnce
    /// What the uplink is granted at a time.
    private static let uplinkRoom = 64
    private static let uplink = -1
    /// Of a post: all that waited for the one before it was heard.
    private static let settled: UInt = 1 << 16

    private final class Port {
        /// In the switch.
        let number: Int
        var room = FrameRoom()
        init(_ number: Int) { self.number = number }
    }

    private let hub: LearningSwitch
    private let link: HostLink
    private var uplink = NetPeer.unwired
    private var granted = 0
    private var clients: [Int: NetClient] = [:]
    /// By their index, from connect to disconnect; the uplink's at `uplink`.
    private var ports: [Int: Port] = [:]
    /// From quiesce to start nobody gets anything.
    private var isQuiet = true

    init(_ host: Host, _ values: Values) throws(PluginError) {
        hub = try Self.name(values).map(SwitchRegistry.find) ?? LearningSwitch()
        link = HostLink(host)
        super.init(host)
    }

    deinit { leave() }

    private static func name(_ values: Values) throws(PluginError) -> String? {
        guard values.isSet("name") else { return nil }
        let name = values.text("name")
        guard (1...64).contains(name.utf8.count) else { throw PluginError("name: it has 1 to 64 bytes") }
        return name
    }

    override func netClient(_ index: UInt32, is client: NetClient) { clients[Int(index)] = client }

    // MARK: Lifecycle

    override func connect() throws(PluginError) {
        uplink = try host.net("uplink")
        for index in clients.keys.sorted() { try join(index) }
        if uplink.isWired { try join(Self.uplink) }
    }

    private func join(_ index: Int) throws(PluginError) {
        let (link, argument) = (link, UInt(index + 2))
        guard let number = hub.join({ link.post(argument) }) else {
            throw PluginError("the switch has its \(LearningSwitch.mostPorts) ports already")
        }
        ports[index] = Port(number)
    }

    private func leave() {
        for port in ports.values { hub.leave(port.number) }
        ports = [:]
    }

    override func start() throws(PluginError) {
        isQuiet = false
        for (index, port) in ports {
            clients[index]?.link(true)
            hub.ready(index == Self.uplink ? Self.batch : port.room.frames, port.number)
        }
        grantUplink()
    }

    override func quiesce() throws(PluginError) -> Bool {
        isQuiet = true
        for port in ports.values { hub.ready(0, port.number) }
        granted = 0
        return true
    }

    override func disconnect() {
        leave()
        link.cut()
    }

    // MARK: Frames of the cards

    override func netSent(_ index: UInt32, _ frame: UnsafeRawBufferPointer) {
        if let port = ports[Int(index)] { hub.send(frame, from: port.number) }
    }

    override func netReady(_ index: UInt32, frames: UInt64) {
        guard let port = ports[Int(index)] else { return }
        port.room.ready(frames)
        if !isQuiet { hub.ready(port.room.frames, port.number) }
    }

    // MARK: Frames of the uplink

    override func netReceived(slot: Int, _ frame: UnsafeRawBufferPointer) {
        granted = max(granted - 1, 0)
        if let port = ports[Self.uplink] { hub.send(frame, from: port.number) }
        if granted <= Self.uplinkRoom / 2 { grantUplink() }
    }

    private func grantUplink() {
        guard uplink.isWired, !isQuiet else { return }
        granted = Self.uplinkRoom
        uplink.ready(granted)
    }

    // MARK: Frames of the switch

    override func posted(_ argument: UInt) {
        let index = Int(bitPattern: argument & ~Self.settled) - 2
        guard let port = ports[index] else { return }
        if argument & Self.settled != 0 { return port.room.settled() }
        // Also while quiet, since it ends the wake: there is no room then.
        let frames = hub.take(isQuiet ? 0 : Self.batch, port.number)
        guard !isQuiet else { return }
        if index == Self.uplink {
            for frame in frames { frame.withUnsafeBytes { uplink.send($0) } }
            // It takes them as they come, and drops what it has no room for.
            hub.ready(Self.batch, port.number)
        } else {
            for frame in frames { frame.withUnsafeBytes { clients[index]?.receive($0) } }
            if port.room.sent(frames.count) { _ = link.post(argument | Self.settled) }
        }
    }

    private func replyPorts() {
        host.reply(
            ports.sorted { $0.key < $1.key }.map { index, port in
                let counters = hub.counters(port.number)
                return (index == Self.uplink ? "uplink" : "\(index)")
                    + ": sent \(counters.sent), received \(counters.received), lost \(counters.lost), addresses \(counters.addresses)"
            }.joined(separator: "\n"))
    }
}

let library = Library(
    "hub", version: "1.0", summary: "a switch between network cards", needsMinor: 0, classes: [HubBackend.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
