import BackendSupport
import CBackendSupport
import PluginKit
import TapDevices

/// The host's own network, by a tap device.
final class TapBackend: Instance {
    static let definition = ClassDefinition.backend(
        "tap", summary: "the host's own network, by a tap device",
        properties: [
            Property(
                "name", .text, required: true,
                doc:
                    "the device; one that is not there is made, where this process may (CAP_NET_ADMIN), and goes with the machine"
            )
        ],
        provides: [Provides("net/1", doc: "the cable to it; one card")],
        methods: [
            Method(
                "counters", result: .text, doc: "frames sent by the guest, received by it, and lost",
                function: { (raw) in instance(raw, as: TapBackend.self).replyCounters() }
                    as @convention(c) (UnsafeMutableRawPointer?) -> Void)
        ],
        check: { (_, values) throws(PluginError) in
            do throws(TapDevice.Problem) { try TapDevice.check(name: values.text("name")) } catch {
                throw PluginError(error.text)
            }
        },
        make: { (host, values) throws(PluginError) in try TapBackend(host, values) })

    /// Frames of one callback: the machine waits for it.
    private static let batch = FrameRoom.mostAtOnce

    private let device: TapDevice
    private let name: String
    private var watch: Events.Watch?
    private var isWatching = false
    private var client: NetClient?
    /// From quiesce to start the card gets nothing.
    private var isQuiet = true
    /// The device was taken away.
    private var isGone = false
    private var room = FrameRoom()
    private static let settled: UInt = 1
    private var buffer = [UInt8](repeating: 0, count: TapDevice.longestFrame)
    private var (sent, received, lost) = (0 as UInt64, 0 as UInt64, 0 as UInt64)

    init(_ host: Host, _ values: Values) throws(PluginError) {
        name = values.text("name")
        do throws(TapDevice.Problem) { device = try TapDevice(name: name) } catch { throw PluginError(error.text) }
        super.init(host)
    }

    override func netClient(_ index: UInt32, is client: NetClient) { self.client = client }

    override func connect() throws(PluginError) { watch = try host.events.watch(device.descriptor.raw, [], cookie: 0) }

    override func start() throws(PluginError) {
        isQuiet = false
        client?.link(!isGone)
        updateInterest()
    }

    override func quiesce() throws(PluginError) -> Bool {
        isQuiet = true
        updateInterest()
        return true
    }

    private func updateInterest() {
        let wanted = !isQuiet && !isGone && room.frames > 0
        guard let watch, wanted != isWatching else { return }
        isWatching = wanted
        (try? host.events)?.change(watch, to: wanted ? .read : [])
    }

    // MARK: Frames

    /// What the host has no room for, or an interface that is down does not take, is lost.
    override func netSent(_ index: UInt32, _ frame: UnsafeRawBufferPointer) {
        if case .bytes = device.descriptor.write(frame) { sent &+= 1 } else { lost &+= 1 }
    }

    override func netReady(_ index: UInt32, frames: UInt64) {
        room.ready(frames)
        updateInterest()
    }

    override func descriptorReady(cookie: UInt64, descriptor: Int32, events: Events.Interest) {
        let most = min(Self.batch, room.frames)
        var count = 0
        while count < most, !isQuiet, readFrame() { count += 1 }
        if room.sent(count) { (try? host.events)?.post(Self.settled) }
        updateInterest()
    }

    override func posted(_ argument: UInt) { room.settled() }

    /// False: there is none.
    private func readFrame() -> Bool {
        switch buffer.withUnsafeMutableBytes({ device.descriptor.read(into: $0) }) {
        case .bytes(let count):
            received &+= 1
            buffer.withUnsafeBytes { client?.receive(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
            return true
        case .wouldBlock, .end: return false
        case .failed(let code):
            isGone = true
            host.log(.error, "the tap device '\(name)' is gone: " + HostCallError.text(of: code))
            client?.link(false)
            return false
        }
    }

    private func replyCounters() { host.reply("sent \(sent), received \(received), lost \(lost)") }
}

let library = Library(
    "tap", version: "1.0", summary: "the host's network by a tap device", needsMinor: 0,
    classes: [TapBackend.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
