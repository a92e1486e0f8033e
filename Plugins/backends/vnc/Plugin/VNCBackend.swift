import BackendSupport
import PluginKit
import RemoteDisplay
import SocketEndpoint
import VNCServer

/// Shows a screen to VNC clients of this host, and enters what they type and point at.
final class VNCBackend: RemoteDisplayBackend {
    static let definition = ClassDefinition.backend(
        "vnc", summary: "shows a screen to VNC clients",
        properties: [
            Property(
                "listen", .text, default: "127.0.0.1:5900",
                doc:
                    "127.0.0.1:PORT, which every user of this host can reach (port 0: any, see the log), or unix:PATH, which only its user can; there is no password, so no other address is taken"
            )
        ],
        slots: RemoteDisplayBackend.inputSlots,
        provides: [Provides("display/1", doc: "what is shown")],
        check: { (_, values) throws(PluginError) in try VNCBackend.check(values) },
        make: { (host, values) throws(PluginError) in try VNCBackend(host, values) })

    private let server: VNCServer

    init(_ host: Host, _ values: Values) throws(PluginError) {
        do throws(SocketAddress.Failure) {
            server = try VNCServer(
                try VNCAddress.parse(values.text("listen")), name: host.id, link: HostLink(host),
                posts: RemoteDisplayBackend.posts)
        } catch {
            throw PluginError("listen: " + error.text)
        }
        try super.init(host, server.hub)
        host.log(.info, "VNC clients are awaited on \(server.address.text)")
    }

    private static func check(_ values: Values) throws(PluginError) {
        let address: SocketAddress
        do throws(SocketAddress.Failure) { address = try VNCAddress.parse(values.text("listen")) } catch {
            throw PluginError("listen: " + error.text)
        }
        guard case .path(let path) = address else { return }
        do throws(HostCallError) { try OutputPath.checkDirectory(of: path) } catch {
            throw PluginError("listen: the socket '\(path)' cannot be made: " + error.text)
        }
    }

    override func connect() throws(PluginError) {
        try super.connect()
        do throws(HostCallError) { try server.start() } catch {
            throw PluginError("a thread cannot be started: " + error.text)
        }
    }

    override func disconnect() {
        if !server.stop() { host.log(.warning, "a host call of the server does not return; it is left alone") }
    }
}

let library = Library(
    "vnc", version: "1.0", summary: "screens for VNC clients", needsMinor: 5, classes: [VNCBackend.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
