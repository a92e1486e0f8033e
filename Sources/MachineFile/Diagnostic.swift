public import Core

/// Something wrong in a machine file, for people.
public struct Diagnostic: Sendable, Equatable {
    public enum Severity: String, Sendable { case error, warning }

    public struct Note: Sendable, Equatable {
        /// nil: of no place.
        public var location: SourceLocation?
        public var text: String

        public init(_ text: String, at location: SourceLocation? = nil) {
            self.text = text
            self.location = location
        }
    }

    /// The line that the location names.
    public struct Excerpt: Sendable, Equatable {
        public var text: String
        /// Characters before the caret.
        public var caret: Int

        public init(text: String, caret: Int) {
            self.text = text
            self.caret = caret
        }
    }

    public var location: SourceLocation
    public var severity: Severity
    public var message: String
    public var notes: [Note]
    /// nil: the location is not in a file, or the file cannot be read.
    public var excerpt: Excerpt?

    public init(
        location: SourceLocation, severity: Severity = .error, message: String, notes: [Note] = [],
        excerpt: Excerpt? = nil
    ) {
        self.location = location
        self.severity = severity
        self.message = message
        self.notes = notes
        self.excerpt = excerpt
    }

    /// `file:line:column: error: message`, the source line with a caret, and the notes, indented. No newline at the
    /// end.
    public func rendered(color: Bool = false) -> String {
        let paint = Paint(isOn: color)
        let hue = severity == .error ? Paint.red : Paint.magenta
        var lines = [
            paint(Paint.bold, "\(place(location)):") + " " + paint(hue, severity.rawValue + ":") + " "
                + paint(Paint.bold, message)
        ]
        if let excerpt {
            lines.append("    " + excerpt.text)
            lines.append("    " + String(repeating: " ", count: excerpt.caret) + paint(Paint.green, "^"))
        }
        for note in notes {
            let where_ = note.location.map { place($0) + ": " } ?? ""
            lines.append("  " + where_ + paint(Paint.cyan, "note:") + " " + note.text)
        }
        return lines.joined(separator: "\n")
    }

    private func place(_ location: SourceLocation) -> String { Printable.text(location.description) }
}

/// Terminal colours (ECMA-48 SGR), or none.
private struct Paint {
    static let bold = "1", red = "1;31", magenta = "1;35", green = "1;32", cyan = "1;36"
    var isOn: Bool

    func callAsFunction(_ code: String, _ text: String) -> String {
        isOn ? "\u{1b}[\(code)m\(text)\u{1b}[0m" : text
    }
}
