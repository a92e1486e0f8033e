import BackendSupport
import CBackendSupport
import Glibc

/// A listening socket. A Unix socket's file is of mode 0600, takes the place of one that nobody listens on any more,
/// and goes away with the listener.
public final class SocketListener {
    public let descriptor: Descriptor
    /// As asked for; the port is the real one where any was asked for.
    public let address: SocketAddress
    /// The socket's file as this listener made it.
    private var file: (path: String, device: UInt64, inode: UInt64)?

    public init(_ address: SocketAddress) throws(SocketAddress.Failure) {
        try address.check()
        do throws(HostCallError) {
            switch address {
            case .port(let port):
                descriptor = try Descriptor(checking: bh_tcp_listen(port))
                self.address = .port(UInt16(truncatingIfNeeded: bh_local_port(descriptor.raw)))
            case .path(let path):
                descriptor = try SocketListener.listen(path)
                self.address = address
                if let made = SocketListener.file(at: path) { file = (path, made.device, made.inode) }
            }
        } catch {
            throw SocketListener.failure(address, error)
        }
    }

    deinit {
        guard let file, let now = SocketListener.file(at: file.path) else { return }
        // Another listener may have taken the path since.
        if now.device == file.device, now.inode == file.inode { unlink(file.path) }
    }

    /// What came of `accept`.
    public enum Accepted {
        case connection(Descriptor)
        case nobody
        /// The host has no descriptors or memory left: try again later. Somebody still waits.
        case exhausted(HostCallError)
    }

    public func accept() -> Accepted {
        do throws(HostCallError) {
            return .connection(try Descriptor(checking: bh_accept(descriptor.raw)))
        } catch {
            switch error.code {
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: return .exhausted(error)
            default: return .nobody
            }
        }
    }

    // MARK: Unix sockets

    private static func listen(_ path: String) throws(HostCallError) -> Descriptor {
        let result = bh_unix_listen(path)
        guard result == -EADDRINUSE, isStale(path) else { return try Descriptor(checking: result) }
        unlink(path)
        return try Descriptor(checking: bh_unix_listen(path))
    }

    /// A socket that nobody listens on. Never anything that is not a socket.
    private static func isStale(_ path: String) -> Bool {
        guard let file = file(at: path), Int(file.kind) == BH_SOCKET else { return false }
        var progress: Int32 = 0
        let result = bh_unix_connect(path, &progress)
        if result >= 0 { close(result) }
        return result == -ECONNREFUSED
    }

    private static func file(at path: String) -> bh_file? {
        var file = bh_file()
        return bh_stat_link(path, &file) == 0 ? file : nil
    }

    private static func failure(_ address: SocketAddress, _ error: HostCallError) -> SocketAddress.Failure {
        guard error.code == EADDRINUSE, case .path(let path) = address, let file = file(at: path) else {
            return .init("cannot listen on \(address.text): \(error.text)")
        }
        return Int(file.kind) == BH_SOCKET
            ? .init("\(address.text) is in use: another program listens on it")
            : .init("\(address.text) is there already, and is not a socket: it is left alone")
    }
}
