import BackendSupport
import CBackendSupport
import Glibc
import PluginKit
import UserNetwork

/// A network of the guest's own, whose way out is this process's sockets: no privilege, no configuration of the host.
final class UserBackend: Instance {
    static let definition = ClassDefinition.backend(
        "user", summary: "a network behind this process: DHCP, DNS, TFTP, port forwards",
        properties: [
            Property(
                "forward", .text, list: true,
                doc:
                    "ports of the host that lead to the guest, each PROTOCOL:[HOST-ADDRESS:]PORT:[GUEST-ADDRESS:]PORT, such as tcp:2222:22, or several with commas between; only this host can use them, unless a host address says otherwise"
            ),
            Property(
                "network", .text, default: "10.0.2.0/24",
                doc: "its addresses: the host is the second, the name server the third, the first guest the fifteenth"),
            Property("hostname", .text, default: "guest", doc: "what DHCP calls the guest"),
            Property("tftp", .path, doc: "a directory that TFTP serves to the guest, read only"),
            Property("boot-file", .text, doc: "what DHCP tells the guest to boot, a file in tftp"),
            Property(
                "restrict", .bool, default: "off",
                doc: "the guest reaches neither the host nor what is beyond; forwards work"),
            Property(
                "host-services", .bool, default: "on",
                doc: "by the host's address the guest reaches services that listen on the host's loopback only"),
            Property("ipv6", .bool, default: "on", doc: "the network has IPv6 too, fec0::/64"),
        ],
        provides: [Provides("net/1", doc: "the network; one card")],
        methods: [
            Method(
                "counters", result: .text, doc: "frames sent by the guest, received by it, and lost",
                function: { (raw) in instance(raw, as: UserBackend.self).replyCounters() }
                    as @convention(c) (UnsafeMutableRawPointer?) -> Void)
        ],
        check: { (host, values) throws(PluginError) in _ = try UserBackend.settings(values) },
        make: { (host, values) throws(PluginError) in try UserBackend(host, values) })

    /// Frames of one callback: the machine waits for it.
    private static let batch = FrameRoom.mostAtOnce
    private static let (postArgument, settled) = (1 as UInt, 2 as UInt)

    private let network: NetworkThread
    private var client: NetClient?
    /// From quiesce to start the card gets nothing.
    private var isQuiet = true
    private var room = FrameRoom()

    init(_ host: Host, _ values: Values) throws(PluginError) {
        let settings = try UserBackend.settings(values)
        do throws(NetworkSettings.Problem) {
            network = try NetworkThread(settings, link: HostLink(host), postArgument: UserBackend.postArgument)
        } catch {
            throw PluginError(error.text)
        }
        super.init(host)
    }

    private static func settings(_ values: Values) throws(PluginError) -> NetworkSettings {
        let tftp = values.isSet("tftp") ? try directory(values.text("tftp")) : nil
        do throws(NetworkSettings.Problem) {
            var settings = try NetworkSettings(network: values.text("network"), forwards: values.textList("forward"))
            settings.hostname = values.text("hostname")
            settings.tftp = tftp
            settings.bootFile = values.isSet("boot-file") ? values.text("boot-file") : nil
            settings.isRestricted = values.bool("restrict")
            settings.reachesHost = values.bool("host-services")
            settings.hasIPv6 = values.bool("ipv6")
            return settings
        } catch {
            throw PluginError(error.text)
        }
    }

    private static func directory(_ path: String) throws(PluginError) -> String {
        do throws(HostCallError) {
            guard Int(try Descriptor.open(path, O_RDONLY | O_NONBLOCK).status().kind) == BH_DIRECTORY else {
                throw HostCallError(code: ENOTDIR)
            }
            return path
        } catch {
            throw PluginError("tftp: '\(path)': " + error.text)
        }
    }

    override func netClient(_ index: UInt32, is client: NetClient) { self.client = client }

    override func start() throws(PluginError) {
        isQuiet = false
        do throws(HostCallError) { try network.start() } catch {
            throw PluginError("the network's thread cannot be made: " + error.text)
        }
        client?.link(true)
        network.ready(room.frames)
    }

    override func quiesce() throws(PluginError) -> Bool {
        isQuiet = true
        network.ready(0)
        return true
    }

    override func disconnect() {
        if !network.stop() { host.log(.warning, "a host call of the network does not return; it is left alone") }
    }

    // MARK: Frames

    override func netSent(_ index: UInt32, _ frame: UnsafeRawBufferPointer) { network.send(frame) }

    override func netReady(_ index: UInt32, frames: UInt64) {
        room.ready(frames)
        if !isQuiet { network.ready(room.frames) }
    }

    override func posted(_ argument: UInt) {
        if argument == UserBackend.settled { return room.settled() }
        guard argument == UserBackend.postArgument, let client else { return }
        // Also while quiet: what waits is posted anew only once it was looked at.
        let frames = network.take(limit: isQuiet ? 0 : min(UserBackend.batch, room.frames))
        guard !isQuiet else { return }
        for frame in frames { frame.withUnsafeBytes { client.receive($0) } }
        if room.sent(frames.count) { (try? host.events)?.post(UserBackend.settled) }
    }

    private func replyCounters() {
        let counters = network.counters
        host.reply("sent \(counters.sent), received \(counters.received), lost \(counters.lost)")
    }
}

let library = Library(
    "user", version: "1.0", summary: "a network behind this process, by libslirp", needsMinor: 0,
    classes: [UserBackend.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
