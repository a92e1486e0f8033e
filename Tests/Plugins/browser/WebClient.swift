import BackendSupport
import CBackendSupport
import Glibc
import RFBClient
import SocketEndpoint

/// HTTP/1.1 and WebSocket (RFC 6455) from the other end, by a socket.
final class WebClient {
    let port: UInt16
    private let socket: Descriptor
    private var input: [UInt8] = []

    init(port: UInt16) throws {
        self.port = port
        let address = SocketAddress.port(port)
        let connection = try address.connect()
        socket = connection.descriptor
        if connection.isInProgress {
            _ = bh_poll(socket.raw, Int16(POLLOUT), 30_000)
            try address.finishConnecting(socket)
        }
    }

    func send(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            switch rest.withUnsafeBytes({ socket.send($0) }) {
            case .bytes(let count): rest = rest.dropFirst(count)
            case .wouldBlock: _ = bh_poll(socket.raw, Int16(POLLOUT), 1000)
            case .end, .failed: return
            }
        }
    }

    /// False: the server has ended the connection, or says nothing for 30 s.
    private func fill() -> Bool {
        guard bh_poll(socket.raw, Int16(POLLIN), 30_000) > 0 else { return false }
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        guard case .bytes(let count) = bytes.withUnsafeMutableBytes({ socket.read(into: $0) }) else { return false }
        input += bytes[..<count]
        return true
    }

    private func take(_ count: Int) -> [UInt8]? {
        while input.count < count { if !fill() { return nil } }
        defer { input.removeFirst(count) }
        return Array(input.prefix(count))
    }

    // MARK: HTTP

    struct Response {
        var status = 0
        var headers: [String: String] = [:]
        var body: [UInt8] = []
    }

    /// nil: no response came.
    func ask(_ target: String, method: String = "GET", host: String? = nil, _ headers: String...) -> Response? {
        let lines = ["\(method) \(target) HTTP/1.1", "Host: \(host ?? "127.0.0.1:\(port)")"] + headers
        send(Array((lines + ["", ""]).joined(separator: "\r\n").utf8))
        return response()
    }

    /// As a page's script does.
    func upgrade(_ target: String, host: String? = nil, origin: String? = nil) -> Response? {
        let key = "dGhlIHNhbXBsZSBub25jZQ=="
        return ask(
            target, host: host, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: \(key)", "Origin: \(origin ?? "http://127.0.0.1:\(port)")")
    }

    private func response() -> Response? {
        let end = Array("\r\n\r\n".utf8)
        var place: Int?
        while place == nil {
            place = (0..<max(0, input.count - 3)).first { Array(input[$0..<$0 + 4]) == end }
            if place == nil, !fill() { return nil }
        }
        guard let place, let head = take(place + 4) else { return nil }
        let lines = String(decoding: head, as: UTF8.self).split(separator: "\r\n")
        var response = Response()
        response.status = lines.first.flatMap { Int($0.split(separator: " ").dropFirst().first ?? "") } ?? 0
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            response.headers[line[..<colon].lowercased()] = String(line[line.index(after: colon)...].drop { $0 == " " })
        }
        if let length = response.headers["content-length"].flatMap({ Int($0) }) {
            guard let body = take(length) else { return nil }
            response.body = body
        }
        return response
    }

    // MARK: WebSocket

    /// A frame whose payload is masked, as a client's must be (5.1).
    func send(frame opcode: UInt8, _ payload: [UInt8], isFinal: Bool = true, isMasked: Bool = true) {
        let mask: [UInt8] = [0x12, 0x34, 0x56, 0x78]
        var bytes = [(isFinal ? 0x80 : 0) | opcode]
        let flag: UInt8 = isMasked ? 0x80 : 0
        switch payload.count {
        case ..<126: bytes.append(flag | UInt8(payload.count))
        case ..<65536: bytes += [flag | 126, UInt8(payload.count >> 8), UInt8(payload.count & 0xFF)]
        default: bytes += [flag | 127] + (0..<8).map { UInt8(payload.count >> (56 - 8 * $0) & 0xFF) }
        }
        if isMasked { bytes += mask }
        send(bytes + payload.enumerated().map { isMasked ? $0.element ^ mask[$0.offset % 4] : $0.element })
    }

    /// The next frame; nil: the connection has ended. A server's frames are not masked.
    func frame() -> (opcode: UInt8, payload: [UInt8])? {
        guard let head = take(2), head[1] & 0x80 == 0 else { return nil }
        var length = Int(head[1])
        if length >= 126 {
            guard let more = take(length == 126 ? 2 : 8) else { return nil }
            length = more.reduce(0) { $0 << 8 | Int($1) }
        }
        return take(length).map { (head[0] & 0xF, $0) }
    }

    /// False: the server has ended the connection, or said something that is no binary message.
    func wait(_ client: inout RFBClient, until isDone: (RFBClient) -> Bool) throws -> Bool {
        while true {
            if !client.toSend.isEmpty { send(frame: 2, client.toSend) }
            client.toSend = []
            if isDone(client) { return true }
            // 0 goes on with a message.
            guard let frame = frame(), frame.opcode == 2 || frame.opcode == 0 else { return false }
            try client.receive(frame.payload)
        }
    }
}
