import BackendSupport
import CBackendSupport
import CWebSockets
import Glibc
import PluginKit
import RemoteDisplay
import SocketEndpoint

/// The web server's own thread: noVNC's files by HTTP, and RFB in the binary messages of a WebSocket. libwebsockets reads and writes; who may do what
/// is WebPolicy's to say. Nothing waits for a client.
public final class WebFront: @unchecked Sendable {
    /// Of screens and of connections; further ones are turned away.
    public static let (viewerLimit, connectionLimit) = (16, 64)
    /// Bytes of a message to a browser at most: libwebsockets keeps what the socket does not take of one.
    static let chunk = 64 << 10
    private static let fromClient = 16 << 10
    /// Seconds for a request's headers, and for the next request.
    private static let patience: UInt32 = 20

    public let hub: DisplayHub
    public let policy: WebPolicy
    private let link: HostLink
    private let monitor = Monitor()
    /// Guarded by `monitor`; nil: not made yet, or gone.
    private var context: OpaquePointer?
    private var isStopping = false
    private let bell: Bell

    // Of the thread.
    private let listener: SocketListener
    private var vhost: OpaquePointer?
    private var connections: Set<OpaquePointer> = []
    private var screens: [Int: OpaquePointer] = [:]
    // SAFETY: these three are made in init and given back in deinit, when there is no context any more, which keeps their addresses.
    private let protocols: UnsafeMutablePointer<lws_protocols>
    private let timer: UnsafeMutablePointer<lws_sorted_usec_list_t>
    private let message: UnsafeMutableRawBufferPointer

    private var thread: WorkerThread?

    /// Ends the thread's wait, from any other.
    private final class Bell: @unchecked Sendable {
        private let monitor = Monitor()
        /// Guarded by `monitor`; nil: there is nobody to be woken.
        private var context: OpaquePointer?

        func hang(_ context: OpaquePointer?) { monitor.locked { self.context = context } }
        func ring() { monitor.locked { if let context { lws_cancel_service(context) } } }
    }

    /// - Parameter files: the directory with noVNC's.
    public init(port: UInt16, files: String, name: String, link: HostLink, posts: DisplayHub.Posts)
        throws(SocketAddress.Failure)
    {
        let bell = Bell()
        (self.link, self.bell) = (link, bell)
        listener = try SocketListener(.port(port))
        guard case .port(let port) = listener.address else { throw SocketAddress.Failure("it is no port") }
        policy = WebPolicy(files: files, port: port)
        hub = DisplayHub(name: name, link: link, posts: posts) { bell.ring() }
        protocols = .allocate(capacity: Self.names.count + 1)
        protocols.initialize(repeating: lws_protocols(), count: Self.names.count + 1)
        timer = .allocate(capacity: 1)
        timer.initialize(to: lws_sorted_usec_list_t())
        message = .allocate(byteCount: CWS_PRE + Self.chunk, alignment: 16)
        for (index, name) in Self.names.enumerated() {
            protocols[index].name = UnsafePointer(strdup(name))
            protocols[index].callback = Self.callback
            protocols[index].per_session_data_size = MemoryLayout<Int>.size
            protocols[index].rx_buffer_size = Self.fromClient
        }
    }

    deinit {
        for index in Self.names.indices { free(UnsafeMutableRawPointer(mutating: protocols[index].name)) }
        protocols.deallocate()
        timer.deallocate()
        message.deallocate()
    }

    /// The first is HTTP's, and that of a WebSocket which names none; the last has the listening socket.
    private static let names = ["http", "binary", "listener"]

    public func start() throws(HostCallError) { thread = try WorkerThread("bp-browser") { [self] in run() } }

    /// Ends the thread and all connections. False: a host call does not return.
    public func stop(milliseconds: Int = 2000) -> Bool {
        monitor.locked { isStopping = true }
        bell.ring()
        let hasEnded = thread?.join(milliseconds: milliseconds) ?? true
        link.cut()
        return hasEnded
    }

    // MARK: The thread

    private func run() {
        guard let context = makeContext() else {
            return link.log(.error, "libwebsockets cannot serve: there is no memory, or no descriptor")
        }
        bell.hang(context)
        while !monitor.locked({ isStopping }) {
            serveScreens(context)
            if lws_service(context, 0) < 0 { break }
        }
        bell.hang(nil)
        lws_context_destroy(context)
    }

    private func makeContext() -> OpaquePointer? {
        lws_set_log_level(0, nil)
        var info = lws_context_creation_info()
        info.port = Int32(CWS_NO_LISTEN)
        info.protocols = UnsafePointer(protocols)
        (info.uid, info.gid) = (-1, -1)
        info.user = Unmanaged.passUnretained(self).toOpaque()
        info.max_http_header_pool = UInt16(Self.connectionLimit)
        info.timeout_secs = Self.patience
        info.keepalive_timeout = Int32(Self.patience)
        info.fd_limit_per_thread = UInt32(Self.connectionLimit + 16)
        guard let context = lws_create_context(&info) else { return nil }
        // libwebsockets closes what it is given, and the listener closes its own.
        let copy = fcntl(listener.descriptor.raw, F_DUPFD_CLOEXEC, 0)
        vhost = lws_get_vhost_by_name(context, "default")
        guard copy >= 0, let vhost,
            lws_adopt_descriptor_vhost(
                vhost, LWS_ADOPT_RAW_FILE_DESC, lws_sock_file_fd_type(filefd: copy), Self.names[2], nil) != nil
        else {
            lws_context_destroy(context)
            return nil
        }
        return context
    }

    /// What the hub has for browsers is written when they take it.
    private func serveScreens(_ context: OpaquePointer) {
        for viewer in hub.takeEnding() {
            if let socket = screens[viewer] { lws_set_timeout(socket, PENDING_TIMEOUT_USER_OK, Int32(CWS_KILL)) }
        }
        let wait = hub.turn()
        for (viewer, socket) in screens where hub.hasOutput(for: viewer) { lws_callback_on_writable(socket) }
        // It has nothing to do but to end the wait.
        lws_sul_schedule(context, 0, timer, { _ in }, lws_usec_t(wait) * 1000)
    }

    // MARK: For the callback

    static func front(of socket: OpaquePointer) -> WebFront? {
        guard let context = lws_get_context(socket), let user = lws_context_user(context) else { return nil }
        // SAFETY: the front that made the context, which ends before it.
        return Unmanaged<WebFront>.fromOpaque(user).takeUnretainedValue()
    }

    func accept() {
        // No more at a time, however many knock.
        for _ in 0..<16 {
            let descriptor: Descriptor
            switch listener.accept() {
            case .connection(let accepted): descriptor = accepted
            case .nobody: return
            case .exhausted(let error):
                link.log(.debug, "cannot take a connection: " + error.text)
                // Somebody waits still, and would have us called again at once.
                usleep(100_000)
                return
            }
            guard let vhost, connections.count < Self.connectionLimit else { continue }
            let copy = fcntl(descriptor.raw, F_DUPFD_CLOEXEC, 0)
            if copy >= 0, let socket = lws_adopt_socket_vhost(vhost, copy) { connections.insert(socket) }
        }
    }

    func forget(_ socket: OpaquePointer) { connections.remove(socket) }

    /// 0: there is no room for one more.
    func open(_ socket: OpaquePointer) -> Int {
        guard screens.count < Self.viewerLimit else { return 0 }
        let viewer = hub.open()
        screens[viewer] = socket
        return viewer
    }

    func close(_ viewer: Int) {
        screens[viewer] = nil
        hub.close(viewer)
    }

    /// False: the browser is to be gone.
    func receive(_ bytes: UnsafeRawBufferPointer, from viewer: Int, isBinary: Bool) -> Bool {
        let refusal = isBinary ? hub.receive(bytes, from: viewer) : "it sends text"
        if let refusal { link.log(.debug, "a browser: " + refusal) }
        return refusal == nil
    }

    /// False: the browser is gone.
    func write(_ viewer: Int, to socket: OpaquePointer) -> Bool {
        var isThere = true
        hub.takeOutput(for: viewer) { bytes in
            let count = min(bytes.count, Self.chunk)
            guard count > 0 else { return 0 }
            let start = CWS_PRE
            let place = UnsafeMutableRawBufferPointer(rebasing: message[start..<start + count])
            place.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
            let pointer = place.bindMemory(to: UInt8.self).baseAddress
            isThere = lws_write(socket, pointer, count, LWS_WRITE_BINARY) >= 0
            return count
        }
        if hub.hasOutput(for: viewer) { lws_callback_on_writable(socket) }
        return isThere
    }
}
