import CHost
import Glibc

/// Where a debugger is waited for, and what it is told.
public struct GDBAddress: Sendable, Equatable {
    public enum Place: Sendable, Equatable {
        case unix(String)
        /// Numeric; port 0: any that is free.
        case tcp(host: String, port: UInt16)
    }

    /// nil: the first.
    public var machine: String?
    public var place: Place
    /// nil: as the CPU's mode is when the debugger comes.
    package var architecture: GDBArchitecture?

    /// "[MACHINE=]tcp:[HOST:]PORT[,arch=i386|x86-64]" or "[MACHINE=]unix:PATH[,arch=...]"; nil: it is neither.
    public init?(text: String) {
        var rest = Substring(text)
        if let equals = text.firstIndex(of: "="), !text.hasPrefix("tcp:"), !text.hasPrefix("unix:") {
            machine = String(text[..<equals])
            rest = text[text.index(after: equals)...]
        }
        if let comma = rest.range(of: ",arch=") {
            guard let known = GDBArchitecture(rawValue: String(rest[comma.upperBound...])) else { return nil }
            architecture = known
            rest = rest[..<comma.lowerBound]
        }
        if rest.hasPrefix("unix:"), rest.utf8.count > 5 {
            place = .unix(String(rest.dropFirst(5)))
            return
        }
        guard rest.hasPrefix("tcp:") else { return nil }
        let parts = rest.dropFirst(4)
        let colon = parts.lastIndex(of: ":")
        guard let port = UInt16(parts[(colon.map { parts.index(after: $0) } ?? parts.startIndex)...]) else {
            return nil
        }
        var host = colon.map { String(parts[..<$0]) } ?? "127.0.0.1"
        if host == "localhost" { host = "127.0.0.1" }
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        place = .tcp(host: host, port: port)
    }
}

extension Substring {
    fileprivate func range(of text: String) -> Range<Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
            start = index(after: start)
        }
        return nil
    }
}

/// Waits for debuggers.
struct GDBListener {
    let descriptor: Int32
    /// As it is written on the command line, with the port that was taken.
    let text: String
    private let file: SocketFile?

    init(_ place: GDBAddress.Place) throws(ControlError) {
        switch place {
        case .unix(let path):
            let file = try SocketFile(path)
            self.file = file
            descriptor = file.descriptor
            text = "unix:\(path)"
        case .tcp(let host, let port):
            file = nil
            (descriptor, text) = try GDBListener.listen(host, port)
        }
    }

    private static func listen(_ host: String, _ port: UInt16) throws(ControlError) -> (Int32, String) {
        let isV6 = host.contains(":")
        let shown = isV6 ? "[\(host)]" : host
        var v4 = sockaddr_in()
        var v6 = sockaddr_in6()
        v4.sin_family = sa_family_t(AF_INET)
        v6.sin6_family = sa_family_t(AF_INET6)
        (v4.sin_port, v6.sin6_port) = (port.bigEndian, port.bigEndian)
        guard isV6 ? inet_pton(AF_INET6, host, &v6.sin6_addr) == 1 : inet_pton(AF_INET, host, &v4.sin_addr) == 1 else {
            throw ControlError("'\(host)' is no numeric address", code: EINVAL)
        }
        let flags = Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let descriptor = socket(isV6 ? AF_INET6 : AF_INET, Int32(SOCK_STREAM.rawValue) | flags, 0)
        guard descriptor >= 0 else { throw ControlError("creating a socket", code: errno) }
        var one: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        let isBound = isV6 ? with(&v6) { bind(descriptor, $0, $1) } : with(&v4) { bind(descriptor, $0, $1) }
        guard isBound == 0, Glibc.listen(descriptor, 16) == 0 else {
            let code = errno
            close(descriptor)
            throw ControlError("listening at tcp:\(shown):\(port)", code: code)
        }
        var taken = sockaddr_in6()
        var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
        withUnsafeMutablePointer(to: &taken) {
            _ = $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        // The port is at the same place in both.
        return (descriptor, "tcp:\(shown):\(UInt16(bigEndian: taken.sin6_port))")
    }

    private static func with<T>(_ address: inout T, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<T>.size)) }
        }
    }

    /// nil: nobody is waiting, or it has gone again.
    func accept() -> Result<Int32, ControlError>? {
        let client = Glibc.accept(descriptor, nil, nil)
        guard client >= 0 else {
            let code = errno
            let isShort = [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(code)
            return isShort ? .failure(ControlError("accepting a debugger", code: code)) : nil
        }
        _ = fcntl(client, F_SETFD, FD_CLOEXEC)
        _ = fcntl(client, F_SETFL, O_NONBLOCK)
        if file == nil {
            // Packets are small, and each waits for its answer.
            var one: Int32 = 1
            setsockopt(client, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        }
        return .success(client)
    }

    func remove() {
        if let file { file.remove() } else { close(descriptor) }
    }
}
