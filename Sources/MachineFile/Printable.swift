/// Text of a machine file made safe to show: a file may hold escape sequences of a terminal.
enum Printable {
    /// In quotes, cut where it is longer than `limit`.
    static func quoted(_ text: String, limit: Int = 60) -> String {
        let scalars = text.unicodeScalars
        let shown = scalars.prefix(limit).map { escaped($0) }.joined()
        return "\"" + shown + (scalars.count > limit ? "..." : "") + "\""
    }

    static func quoted(path: String) -> String { quoted(path, limit: 4096) }

    /// The first eight of them.
    static func list(_ names: [String]) -> String {
        names.prefix(8).joined(separator: ", ") + (names.count > 8 ? ", ..." : "")
    }

    static func text(_ text: String) -> String {
        text.unicodeScalars.map { escaped($0) }.joined()
    }

    /// One column for one scalar, so that a caret stands where it should.
    static func character(_ scalar: Unicode.Scalar) -> String {
        scalar == "\t" ? " " : isHarmful(scalar) ? "\u{fffd}" : String(scalar)
    }

    private static func escaped(_ scalar: Unicode.Scalar) -> String {
        switch scalar {
        case "\n": "\\n"
        case "\t": "\\t"
        default: isHarmful(scalar) ? "\\u{" + String(scalar.value, radix: 16) + "}" : String(scalar)
        }
    }

    /// Controls, and what turns the direction of the text round.
    private static func isHarmful(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7f...0x9f, 0x2028...0x202e, 0x2066...0x2069: true
        default: false
        }
    }
}
