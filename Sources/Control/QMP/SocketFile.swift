import Glibc

/// A listening socket in the file system, for its owner only.
struct SocketFile {
    let descriptor: Int32
    let path: String
    private let device: UInt64
    private let inode: UInt64

    /// A socket that nobody listens at any more is replaced.
    init(_ path: String) throws(ControlError) {
        guard var address = SocketFile.address(of: path) else {
            throw ControlError("the socket '\(path)': its path has 1 to 107 bytes", code: ENAMETOOLONG)
        }
        try SocketFile.clear(path, &address)
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | SocketFile.flags, 0)
        guard descriptor >= 0 else { throw ControlError("creating a socket", code: errno) }
        do throws(ControlError) {
            // Linux gives the file the mode of the socket, less the umask: at no time can another user connect.
            guard fchmod(descriptor, 0o600) == 0 else {
                throw ControlError("protecting the socket '\(path)'", code: errno)
            }
            guard SocketFile.call(&address, { bind(descriptor, $0, $1) }) == 0 else {
                throw ControlError("creating the socket '\(path)'", code: errno)
            }
            var status = stat()
            guard lstat(path, &status) == 0, status.st_mode & 0o077 == 0, listen(descriptor, 128) == 0 else {
                let code = errno
                unlink(path)
                throw ControlError("listening at the socket '\(path)'", code: code)
            }
            (device, inode) = (UInt64(status.st_dev), UInt64(status.st_ino))
        } catch {
            close(descriptor)
            throw error
        }
        self.descriptor = descriptor
        self.path = path
    }

    /// Closes it; its file goes too, unless another one has taken its place.
    func remove() {
        var status = stat()
        if lstat(path, &status) == 0, UInt64(status.st_dev) == device, UInt64(status.st_ino) == inode { unlink(path) }
        close(descriptor)
    }

    /// nil: nobody is waiting.
    func acceptClient() -> Result<Int32, ControlError>? {
        let client = Glibc.accept(descriptor, nil, nil)
        if client >= 0 {
            _ = fcntl(client, F_SETFD, FD_CLOEXEC)
            _ = fcntl(client, F_SETFL, O_NONBLOCK)
            return .success(client)
        }
        let code = errno
        let isNothing = code == EAGAIN || code == EINTR || code == ECONNABORTED
        return isNothing ? nil : .failure(ControlError("accepting a connection at '\(path)'", code: code))
    }

    private static let flags = Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)

    /// A client's end, blocking.
    static func connect(_ path: String) throws(ControlError) -> Int32 {
        guard var address = address(of: path) else {
            throw ControlError("the socket '\(path)': its path has 1 to 107 bytes", code: ENAMETOOLONG)
        }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw ControlError("creating a socket", code: errno) }
        if call(&address, { Glibc.connect(descriptor, $0, $1) }) == 0 { return descriptor }
        let code = errno
        close(descriptor)
        throw ControlError("connecting to '\(path)'", code: code)
    }

    private static func clear(_ path: String, _ address: inout sockaddr_un) throws(ControlError) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw ControlError("'\(path)' is there already and is no socket", code: EEXIST)
        }
        let probe = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | flags, 0)
        defer { close(probe) }
        let result = call(&address) { Glibc.connect(probe, $0, $1) }
        guard result != 0, errno == ECONNREFUSED else {
            throw ControlError("the socket '\(path)' belongs to another process", code: EADDRINUSE)
        }
        unlink(path)
    }

    private static func address(of path: String) -> sockaddr_un? {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard !bytes.isEmpty, !bytes.contains(0), bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            return nil
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        return address
    }

    private static func call(
        _ address: inout sockaddr_un, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
    }
}
