import BackendSupport
import PluginKit
import SocketEndpoint

/// A Unix socket, or TCP on 127.0.0.1, as server or client; one connection at a time, made anew when it ends. Not
/// modelled: TLS, other addresses than the host's own, telnet's options. A peer that shuts down its sending direction
/// is taken as gone.
final class SocketBackend: DescriptorBackend {
    static let definition = ClassDefinition.backend(
        "socket", summary: "a Unix or TCP socket on this host",
        properties: [
            Property("path", .path, doc: "path of a Unix socket; a server makes it, readable by its user only"),
            Property(
                "port", .unsigned, bounds: 0...65535,
                doc: "TCP port on 127.0.0.1, which every user of this host can reach; 0 as a server: any, see the log"),
            Property(
                "mode", .choice, default: "server", choices: ["server", "client"],
                doc: "listen for a connection, or make one, again and again"),
            Property(
                "wait", .bool, default: "false",
                doc: "keep the guest's output, and make it wait, while nobody is connected, instead of dropping it"),
        ],
        provides: [Provides("stream/1", doc: "the bytes of the connection")],
        methods: [
            Method(
                "peer", result: .text, doc: "who is connected",
                function: { (raw) in
                    let backend = instance(raw, as: SocketBackend.self)
                    backend.host.reply(backend.peer)
                } as @convention(c) (UnsafeMutableRawPointer?) -> Void)
        ],
        check: { (_, values) throws(PluginError) in try SocketBackend.check(values) },
        make: { (host, values) throws(PluginError) in try SocketBackend(host, values) })

    private static let (listenCookie, retryCookie, connectCookie) = (
        firstFreeCookie, firstFreeCookie + 1, firstFreeCookie + 2
    )
    private static let retryMilliseconds: UInt32 = 1000

    private let address: SocketAddress
    /// nil: a client.
    private let listener: SocketListener?
    private let retry: HostTimer
    private var listenWatch: Events.Watch?
    private var connecting: (descriptor: Descriptor, watch: Events.Watch)?
    private var connection: Descriptor?
    /// A failure was logged and has not passed yet.
    private var hasComplained = false

    init(_ host: Host, _ values: Values) throws(PluginError) {
        let wanted = try SocketBackend.address(values)
        do throws(SocketAddress.Failure) {
            try wanted.check()
            listener = values.choice("mode") == 0 ? try SocketListener(wanted) : nil
        } catch {
            throw PluginError(error.text)
        }
        address = listener?.address ?? wanted
        do throws(HostCallError) { retry = try HostTimer() } catch {
            throw PluginError("a host timer cannot be made: " + error.text)
        }
        try super.init(host, isSocket: true, holdsOutput: values.bool("wait"))
        if listener != nil { host.log(.info, "listens on \(address.text)") }
    }

    private static func check(_ values: Values) throws(PluginError) {
        let wanted = try address(values)
        do throws(SocketAddress.Failure) { try wanted.check() } catch { throw PluginError(error.text) }
        guard case .path(let path) = wanted, values.choice("mode") == 0 else { return }
        do throws(HostCallError) { try OutputPath.checkDirectory(of: path) } catch {
            throw PluginError("the socket '\(path)' cannot be made: " + error.text)
        }
    }

    private static func address(_ values: Values) throws(PluginError) -> SocketAddress {
        switch (values.isSet("path"), values.isSet("port")) {
        case (true, true): throw PluginError("path and port are both given: a socket has one of them")
        case (false, false): throw PluginError("neither path nor port is given: a socket needs one of them")
        case (true, false): return .path(values.text("path"))
        case (false, true):
            let port = values.port("port")
            if port == 0, values.choice("mode") != 0 { throw PluginError("port 0 cannot be connected to") }
            return .port(port)
        }
    }

    private var peer: String { connection.map { address.peer(of: $0) } ?? "nobody" }

    override func connect() throws(PluginError) {
        try super.connect()
        try retry.connect(host, cookie: SocketBackend.retryCookie)
        if let listener {
            listenWatch = try host.events.watch(listener.descriptor.raw, .read, cookie: SocketBackend.listenCookie)
        } else {
            makeConnection()
        }
    }

    override func disconnect() {
        super.disconnect()
        connecting = nil
        connection = nil
    }

    override func otherDescriptorReady(cookie: UInt64) {
        switch cookie {
        case SocketBackend.listenCookie: acceptAll()
        case SocketBackend.connectCookie: finishConnecting()
        default:
            retry.acknowledge()
            if let listenWatch { (try? host.events)?.change(listenWatch, to: .read) } else { makeConnection() }
        }
    }

    override func channelLost() {
        host.log(.debug, "the connection has ended")
        connection = nil
        if listener == nil { retry.set(milliseconds: SocketBackend.retryMilliseconds) }
    }

    private func begin(_ descriptor: Descriptor) {
        connection = descriptor
        hasComplained = false
        host.log(.debug, "connected: \(peer)")
        attach(descriptor)
    }

    private func complain(_ text: String) {
        if !hasComplained { host.log(.warning, text) }
        hasComplained = true
    }

    // MARK: Server

    private func acceptAll() {
        guard let listener, let listenWatch else { return }
        // No more at a time, however many knock: other callbacks wait.
        for _ in 0..<16 {
            switch listener.accept() {
            case .connection(let descriptor):
                // A further one is closed at once.
                if !hasChannel { begin(descriptor) }
            case .nobody: return
            case .exhausted(let error):
                complain("cannot take a connection: \(error.text)")
                (try? host.events)?.change(listenWatch, to: [])
                return retry.set(milliseconds: SocketBackend.retryMilliseconds)
            }
        }
    }

    // MARK: Client

    private func makeConnection() {
        guard !hasChannel, connecting == nil else { return }
        do throws(SocketAddress.Failure) {
            let made = try address.connect()
            if made.isInProgress { try waitFor(made.descriptor) } else { begin(made.descriptor) }
        } catch {
            tryAgain(after: error)
        }
    }

    private func waitFor(_ descriptor: Descriptor) throws(SocketAddress.Failure) {
        do throws(PluginError) {
            let watch = try host.events.watch(descriptor.raw, .write, cookie: SocketBackend.connectCookie)
            connecting = (descriptor, watch)
        } catch {
            throw SocketAddress.Failure(error.text, mayPass: true)
        }
    }

    private func finishConnecting() {
        guard let (descriptor, watch) = connecting else { return }
        (try? host.events)?.unwatch(watch)
        connecting = nil
        do throws(SocketAddress.Failure) {
            try address.finishConnecting(descriptor)
            begin(descriptor)
        } catch {
            tryAgain(after: error)
        }
    }

    private func tryAgain(after failure: SocketAddress.Failure) {
        complain(failure.mayPass ? failure.text + "; trying again every second" : failure.text)
        if failure.mayPass { retry.set(milliseconds: SocketBackend.retryMilliseconds) }
    }
}

let library = Library(
    "socket", version: "1.0", summary: "a socket on the host as a stream", needsMinor: 0,
    classes: [SocketBackend.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
