import Glibc

/// Aligned columns.
enum Columns {
    /// Of standard output; nil: it is no terminal.
    static var terminalWidth: Int? {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
        return Int(size.ws_col)
    }

    /// With a `width` cells are wrapped, so that no line is longer as long as each column has its least width.
    static func text(_ head: [String], _ rows: [[String]], width: Int? = nil) -> String {
        let all = [head] + rows
        let widths = fitted(head.indices.map { column in all.map { $0[column].count }.max() ?? 0 }, width)
        return all.map { cells in
            let pieces = zip(cells, widths).map { wrap($0, $1) }
            let height = pieces.map(\.count).max() ?? 0
            return (0..<height).map { row in
                let line = zip(pieces, widths).map { lines, width in
                    let text = row < lines.count ? lines[row] : ""
                    return text + String(repeating: " ", count: max(0, width - text.count))
                }
                return trimmed(line.joined(separator: "  ")) + "\n"
            }.joined()
        }.joined()
    }

    /// Lines of at most `width`, where it is given; those after the first are indented.
    static func wrapped(_ text: String, _ width: Int?) -> String {
        guard let width else { return text + "\n" }
        return wrap(text, max(width, least)).map { $0 + "\n" }.joined()
    }

    private static let least = 16

    /// The widest column gives way first, down to a least width.
    private static func fitted(_ natural: [Int], _ width: Int?) -> [Int] {
        guard let width else { return natural }
        var widths = natural
        let room = width - 2 * (widths.count - 1)
        while widths.reduce(0, +) > room {
            guard let widest = widths.indices.max(by: { widths[$0] < widths[$1] }), widths[widest] > least else {
                break
            }
            widths[widest] -= 1
        }
        return widths
    }

    /// At blanks, and where there is none behind `|` or `,`; a word that is longer than a line is cut. Lines after the first keep the
    /// text's own indent and two more.
    private static func wrap(_ text: String, _ width: Int) -> [String] {
        guard text.count > width, width > 0 else { return [text] }
        let indent = String(repeating: " ", count: min(text.prefix { $0 == " " }.count + 2, width / 2))
        var lines: [String] = []
        var rest = text[...]
        while rest.count > width - (lines.isEmpty ? 0 : indent.count) {
            let room = rest.prefix(width - (lines.isEmpty ? 0 : indent.count))
            let begin = room.firstIndex { $0 != " " } ?? room.startIndex
            // The blank may be the first character that does not fit.
            let blank = rest[..<rest.index(after: room.endIndex)].lastIndex(of: " ").flatMap { $0 > begin ? $0 : nil }
            let end = blank ?? room.lastIndex { $0 == "|" || $0 == "," }.map { room.index(after: $0) } ?? room.endIndex
            lines.append((lines.isEmpty ? "" : indent) + trimmed(String(rest[..<end])))
            rest = rest[end...].drop { $0 == " " }
        }
        if !rest.isEmpty { lines.append((lines.isEmpty ? "" : indent) + rest) }
        return lines
    }

    private static func trimmed(_ text: String) -> String {
        var text = text
        while text.hasSuffix(" ") { text.removeLast() }
        return text
    }
}
