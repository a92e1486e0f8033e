import Foundation
import Glibc
import Testing

/// A client of a machine's QMP socket, as raw as bytes.
final class QMPConnection {
    private let descriptor: Int32
    private var buffer: [UInt8] = []

    init(_ path: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        let result = Self.connect(descriptor, path)
        try #require(result == 0, "connecting to \(path): \(String(cString: strerror(errno)))")
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    private static func connect(_ descriptor: Int32, _ path: String) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }

    /// Whether somebody listens there: the file of a socket is there a moment before.
    static func isServed(_ path: String) -> Bool {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        return connect(descriptor, path) == 0
    }

    /// With the greeting read and the negotiation done.
    static func negotiated(_ path: String) throws -> QMPConnection {
        let connection = try QMPConnection(path)
        let greeting = try #require(connection.line())
        #expect(greeting.hasPrefix(#"{"QMP": {"version": {"qemu": "#))
        #expect(try connection.ask(#"{"execute": "qmp_capabilities"}"#) == #"{"return": {}}"#)
        return connection
    }

    /// False: the other end takes no more.
    @discardableResult func send(_ bytes: some Collection<UInt8>) -> Bool {
        let all = Array(bytes)
        var done = 0
        while done < all.count {
            let count = all[done...].withUnsafeBytes {
                Foundation.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            done += count
        }
        return true
    }

    /// nil: the other end has closed, or sends nothing for 20 s.
    func line() -> String? {
        while true {
            if let end = buffer.firstIndex(of: 0x0a) {
                defer { buffer.removeFirst(end + 1) }
                return String(decoding: buffer[..<end], as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
            }
            var bytes = [UInt8](repeating: 0, count: 65536)
            let count = recv(descriptor, &bytes, bytes.count, 0)
            guard count > 0 else { return nil }
            buffer += bytes[..<count]
        }
    }

    /// The answer, events left out.
    func ask(_ request: String) throws -> String {
        send((request + "\n").utf8)
        while true {
            let line = try #require(self.line())
            if !line.hasPrefix(#"{"event""#) { return line }
        }
    }
}
