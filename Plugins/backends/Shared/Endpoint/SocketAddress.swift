import BackendSupport
import CBackendSupport
import Glibc

/// Where a socket backend listens or connects: the host itself, never the network.
public enum SocketAddress: Equatable, Sendable {
    /// A Unix socket's path.
    case path(String)
    /// A TCP port of 127.0.0.1.
    case port(UInt16)

    public var text: String {
        switch self {
        case .path(let path): "'\(path)'"
        case .port(let port): "127.0.0.1:\(port)"
        }
    }

    /// A sentence, and whether trying again later may help.
    public struct Failure: Error, Equatable {
        public var text: String
        public var mayPass: Bool

        public init(_ text: String, mayPass: Bool = false) {
            self.text = text
            self.mayPass = mayPass
        }
    }

    /// What makes the address useless whatever the host does.
    public func check() throws(Failure) {
        guard case .path(let path) = self else { return }
        let limit = BH_PATH_LIMIT
        if path.isEmpty || path.utf8.count > limit || path.utf8.contains(0) {
            throw Failure("the path \(text) cannot be a socket's: it must have 1 to \(limit) bytes, and no NUL")
        }
    }

    // MARK: Client

    public struct Connection {
        public let descriptor: Descriptor
        /// Not yet: wait until it is writable, then `finish`.
        public let isInProgress: Bool
    }

    public func connect() throws(Failure) -> Connection {
        try check()
        var progress: Int32 = 0
        let result =
            switch self {
            case .path(let path): bh_unix_connect(path, &progress)
            case .port(let port): bh_tcp_connect(port, &progress)
            }
        do throws(HostCallError) {
            let connection = Connection(
                descriptor: try Descriptor(checking: result), isInProgress: progress != 0)
            if !connection.isInProgress { try finish(connection.descriptor) }
            return connection
        } catch {
            throw cannotConnect(error)
        }
    }

    public func finishConnecting(_ descriptor: Descriptor) throws(Failure) {
        do throws(HostCallError) { try finish(descriptor) } catch { throw cannotConnect(error) }
    }

    private func finish(_ descriptor: Descriptor) throws(HostCallError) {
        try HostCallError.check(bh_socket_error(descriptor.raw))
        // A TCP port that nobody listens on, tried often enough, is connected to itself by chance.
        if case .port(let port) = self, bh_local_port(descriptor.raw) == Int32(port) {
            throw HostCallError(code: ECONNREFUSED)
        }
    }

    private func cannotConnect(_ error: HostCallError) -> Failure {
        Failure("cannot connect to \(text): \(error.text)", mayPass: true)
    }

    /// Who is at the other end of a connection.
    public func peer(of descriptor: Descriptor) -> String {
        if case .port = self {
            let port = bh_peer_port(descriptor.raw)
            return port < 0 ? "unknown" : "127.0.0.1:\(port)"
        }
        var process: Int32 = 0
        var user: UInt32 = 0
        guard bh_peer_process(descriptor.raw, &process, &user) == 0 else { return "unknown" }
        return "process \(process) of user \(user)"
    }
}
