import Glibc

/// The other end of a QMP socket, for the command line: one command at a time, each waited for.
public final class QMPClient {
    /// What a command gave.
    public struct Failure: Error, CustomStringConvertible {
        public var description: String
    }

    private let descriptor: Int32
    private var framer = JSONFramer()
    private var waiting: [JSONFramer.Item] = []

    /// Connects and negotiates.
    public init(path: String) throws {
        descriptor = try SocketFile.connect(path)
        let greeting = try receive()
        guard greeting["QMP"] != nil else { throw Failure(description: "'\(path)' does not speak QMP") }
        _ = try execute("qmp_capabilities")
    }

    deinit { close(descriptor) }

    /// A command of the monitor: its answer, or its error.
    public func monitor(_ line: String) throws -> String {
        try execute("monitor", .members(("command-line", .string(line)))).text ?? ""
    }

    package func execute(_ command: String, _ arguments: JSONValue = .empty) throws -> JSONValue {
        let request = JSONValue.members(("execute", .string(command)), ("arguments", arguments))
        try send(Array((request.written + "\n").utf8))
        while true {
            let answer = try receive()
            if let result = answer["return"] { return result }
            if let error = answer["error"] { throw Failure(description: error["desc"]?.text ?? error.written) }
        }
    }

    private func send(_ bytes: [UInt8]) throws {
        var done = 0
        while done < bytes.count {
            let count = bytes[done...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                throw Failure(description: "the connection is lost: \(String(cString: strerror(errno)))")
            }
            done += count
        }
    }

    private func receive() throws -> JSONValue {
        while true {
            if !waiting.isEmpty {
                guard case .object(let bytes) = waiting.removeFirst(), let value = try? JSONParser.parse(bytes) else {
                    throw Failure(description: "the other end does not speak QMP")
                }
                return value
            }
            var bytes = [UInt8](repeating: 0, count: 64 << 10)
            let count = recv(descriptor, &bytes, bytes.count, 0)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw Failure(description: "the machine has closed the connection") }
            waiting += framer.feed(bytes.prefix(count))
        }
    }
}
