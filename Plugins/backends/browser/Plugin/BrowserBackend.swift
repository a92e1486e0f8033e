import BackendSupport
import Glibc
import PluginKit
import RemoteDisplay
import SocketEndpoint
import WebFront

/// Shows a screen on a page in a browser of this host, and enters what is typed and pointed at there: noVNC's page, and RFB by a WebSocket.
final class BrowserBackend: RemoteDisplayBackend {
    static let definition = ClassDefinition.backend(
        "browser", summary: "shows a screen in a browser",
        properties: [
            Property(
                "port", .unsigned, default: "6080", bounds: 0...65535,
                doc:
                    "TCP port on 127.0.0.1 (0: any); the log says which address to open, with a token that is made anew each time"
            ),
            Property(
                "files", .path, default: "/usr/share/novnc",
                doc: "the page with all that belongs to it: vnc.html of noVNC, as Debian's package novnc has it"),
        ],
        slots: RemoteDisplayBackend.inputSlots,
        provides: [Provides("display/1", doc: "what is shown")],
        methods: [
            Method(
                "address", result: .text, doc: "what is to be opened in a browser",
                function: { (raw) in
                    let backend = instance(raw, as: BrowserBackend.self)
                    backend.host.reply(backend.front.policy.address)
                } as @convention(c) (UnsafeMutableRawPointer?) -> Void)
        ],
        make: { (host, values) throws(PluginError) in try BrowserBackend(host, values) })

    private let front: WebFront

    init(_ host: Host, _ values: Values) throws(PluginError) {
        let files = values.text("files")
        do throws(SocketAddress.Failure) {
            front = try WebFront(
                port: values.port("port"), files: files, name: host.id, link: HostLink(host),
                posts: RemoteDisplayBackend.posts)
        } catch {
            throw PluginError("port: " + error.text)
        }
        try super.init(host, front.hub)
        if access(files + "/vnc.html", R_OK) != 0 {
            host.log(.warning, "there is no '\(files)/vnc.html' to be read: Debian's package novnc has it")
        }
        host.log(.info, "the screen is at \(front.policy.address)")
    }

    override func connect() throws(PluginError) {
        try super.connect()
        do throws(HostCallError) { try front.start() } catch {
            throw PluginError("a thread cannot be started: " + error.text)
        }
    }

    override func disconnect() {
        if !front.stop() { host.log(.warning, "a host call of the web server does not return; it is left alone") }
    }
}

let library = Library(
    "browser", version: "1.0", summary: "screens in a browser, by libwebsockets and noVNC", needsMinor: 5,
    classes: [BrowserBackend.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
