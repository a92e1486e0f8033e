/// Who gets what from the web server. Any page that a browser shows can reach a port of this host, by its address or by a name of its own that leads
/// here: so Host must be ours, Origin too where there is one, and the screen needs a token.
public struct WebPolicy: Sendable {
    public enum Answer: Equatable, Sendable {
        case file(path: String, type: String)
        /// To the page that shows the screen.
        case redirect(String)
        case forbidden
        case notFound
    }

    /// Where the WebSocket is.
    public static let socket = "/screen"
    private static let longestPath = 256
    private static let types = [
        "css": "text/css", "gif": "image/gif", "html": "text/html; charset=utf-8", "ico": "image/x-icon",
        "js": "text/javascript; charset=utf-8", "json": "application/json", "mp3": "audio/mpeg", "oga": "audio/ogg",
        "png": "image/png", "svg": "image/svg+xml", "ttf": "font/ttf", "woff": "font/woff", "woff2": "font/woff2",
    ]

    /// The directory with noVNC's files.
    public let files: String
    public let port: UInt16
    public let token: String

    public init(files: String, port: UInt16, token: String = Self.randomToken()) {
        (self.files, self.port, self.token) = (files, port, token)
    }

    /// 128 bits of the host's randomness.
    public static func randomToken() -> String {
        var random = SystemRandomNumberGenerator()
        let digits = Array("0123456789abcdef")
        return String((0..<32).map { _ in digits[Int(random.next(upperBound: UInt(16)))] })
    }

    /// What the operator opens.
    public var address: String { "http://127.0.0.1:\(port)/?token=\(token)" }

    /// - Parameters:
    ///   - path: without what stands behind `?`.
    ///   - host: the header; nil: there is none.
    ///   - token: the argument of the query; nil: there is none.
    public func answer(path: String, host: String?, token: String?) -> Answer {
        guard isOurs(host) else { return .forbidden }
        if path == "/" {
            let page =
                "/vnc.html?autoconnect=true&reconnect=true&resize=scale&path=\(Self.socket.dropFirst())%3Ftoken%3D"
            return isToken(token) ? .redirect(page + self.token) : .forbidden
        }
        guard let type = Self.type(of: path) else { return .notFound }
        return .file(path: files + path, type: type)
    }

    public func mayConnect(path: String, host: String?, origin: String?, token: String?) -> Bool {
        guard path == Self.socket, isOurs(host), isToken(token), let host else { return false }
        // Programs that are no browsers have none.
        return origin == nil || origin == "http://" + host
    }

    private func isOurs(_ host: String?) -> Bool {
        host == "127.0.0.1:\(port)" || host == "localhost:\(port)"
            || port == 80 && (host == "127.0.0.1" || host == "localhost")
    }

    /// Takes as long for every token of the right length.
    private func isToken(_ text: String?) -> Bool {
        guard let text, text.utf8.count == token.utf8.count else { return false }
        return zip(text.utf8, token.utf8).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
    }

    /// nil: no file is named so. Names are of letters, digits, `-`, `_` and `.`, and do not begin with the last.
    private static func type(of path: String) -> String? {
        guard path.utf8.count <= longestPath, path.utf8.first == UInt8(ascii: "/") else { return nil }
        let names = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        let areNames = names.allSatisfy { name in
            guard let first = name.utf8.first, first != UInt8(ascii: ".") else { return false }
            return name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
                    true
                default: false
                }
            }
        }
        guard areNames, let last = names.last, let dot = last.lastIndex(of: ".") else { return nil }
        return types[String(last[last.index(after: dot)...])]
    }
}
