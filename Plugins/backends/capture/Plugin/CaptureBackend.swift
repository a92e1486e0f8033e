import BackendSupport
import CaptureWriting
import Glibc
import PluginKit

/// Stands between a network card and its network, and writes what passes to a file. Neither end notices it.
final class CaptureBackend: Instance {
    static let definition = ClassDefinition.backend(
        "capture", summary: "writes the frames between a card and its network to a pcapng file",
        properties: [
            Property("path", .path, required: true, doc: "the file, which is made anew; tshark and Wireshark read it"),
            Property(
                "limit", .size, default: "1TiB", bounds: 4096...(1 << 40),
                doc: "how long it becomes at most; frames after that are not captured"),
        ],
        slots: [Slot("net", "net/1", optional: true, doc: "the network; without it the card talks to nobody")],
        provides: [Provides("net/1", doc: "for the card")],
        methods: [
            Method(
                "counters", result: .text, doc: "frames captured, and frames that passed and are not in the file",
                function: { (raw) in instance(raw, as: CaptureBackend.self).replyCounters() }
                    as @convention(c) (UnsafeMutableRawPointer?) -> Void)
        ],
        check: { (_, values) throws(PluginError) in
            do throws(HostCallError) { try OutputPath.check(values.text("path")) } catch {
                throw PluginError("the file '\(values.text("path"))' cannot be written: " + error.text)
            }
        },
        make: { (host, values) throws(PluginError) in try CaptureBackend(host, values) })

    private let path: String
    private let writer: CaptureWriter
    private var net = NetPeer.unwired
    private var card: NetClient?

    init(_ host: Host, _ values: Values) throws(PluginError) {
        path = values.text("path")
        do throws(HostCallError) {
            writer = CaptureWriter(
                name: path, file: try CaptureFile(path: path), limit: Int64(clamping: values.unsigned("limit")),
                link: HostLink(host))
        } catch {
            throw PluginError("the file '\(path)' cannot be written: " + CaptureBackend.sentence(error))
        }
        super.init(host)
    }

    private static func sentence(_ error: HostCallError) -> String {
        switch error.code {
        case EINVAL: "it is no regular file"
        case EAGAIN: "another capture writes it"
        default: error.text
        }
    }

    override func netClient(_ index: UInt32, is client: NetClient) { card = client }

    override func connect() throws(PluginError) {
        net = try host.net("net")
        do throws(HostCallError) {
            try writer.start(head: PcapNG.head(interface: host.id))
        } catch { throw PluginError("the file '\(path)' cannot be written: " + error.text) }
    }

    override func disconnect() {
        if !writer.stop() { host.log(.warning, "the host does not take the last frames for '\(path)'") }
    }

    // MARK: What passes

    override func netSent(_ index: UInt32, _ frame: UnsafeRawBufferPointer) {
        writer.add(frame, at: time, .outbound)
        net.send(frame)
    }

    override func netReady(_ index: UInt32, frames: UInt64) { net.ready(Int(clamping: frames)) }

    override func netReceived(slot: Int, _ frame: UnsafeRawBufferPointer) {
        writer.add(frame, at: time, .inbound)
        card?.receive(frame)
    }

    override func netLink(slot: Int, isUp: Bool) { card?.link(isUp) }

    /// The guest's own time of day, in nanoseconds since 1970.
    private var time: UInt64 {
        guard let now = try? host.world.wallClock else { return 0 }
        return UInt64(clamping: now.seconds) &* 1_000_000_000 &+ UInt64(now.nanoseconds)
    }

    private func replyCounters() {
        let totals = writer.totals
        host.reply("captured \(totals.captured), lost \(totals.lost)")
    }
}

let library = Library(
    "capture", version: "1.0", summary: "frames between a card and its network in a pcapng file", needsMinor: 0,
    classes: [CaptureBackend.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
