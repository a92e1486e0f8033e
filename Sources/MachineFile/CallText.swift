/// A call as text: `eject`, `eject()`, `insert("disk one.img", true)`. Arguments are bare up to the next comma or
/// bracket, or in double quotes, where `\"` and `\\` stand for a quote and a backslash.
struct CallText {
    private(set) var method = ""
    private(set) var arguments: [String] = []
    private var rest: Substring.UnicodeScalarView

    init(_ text: String) throws(ValueError) {
        rest = text[...].unicodeScalars
        do throws(ValueError) {
            try parse()
        } catch {
            throw ValueError("\(Printable.quoted(text)) is not a call like method(argument, ...): " + error.message)
        }
    }

    private mutating func parse() throws(ValueError) {
        method = trimmed(take { $0 != "(" })
        guard !method.isEmpty else { throw ValueError("the method's name is missing") }
        guard skip("(") else { return }
        skipSpaces()
        if !skip(")") {
            repeat { arguments.append(try argument()) } while skip(",")
            guard skip(")") else {
                // In a flow list the comma between arguments ends the item.
                throw ValueError("\")\" is missing (within [ ] a call with commas needs quotes around it)")
            }
        }
        skipSpaces()
        guard rest.isEmpty else { throw ValueError("there is more after \")\"") }
    }

    private mutating func argument() throws(ValueError) -> String {
        skipSpaces()
        defer { skipSpaces() }
        if skip("\"") { return try quoted() }
        let text = trimmed(take { $0 != "," && $0 != ")" && $0 != "(" })
        guard !text.isEmpty else { throw ValueError("an argument is empty") }
        return text
    }

    private mutating func quoted() throws(ValueError) -> String {
        var text = String.UnicodeScalarView()
        while let next = rest.popFirst() {
            if next == "\"" { return String(text) }
            guard next == "\\" else {
                text.append(next)
                continue
            }
            guard let escaped = rest.popFirst(), escaped == "\"" || escaped == "\\" else {
                throw ValueError("only \\\" and \\\\ are known after a backslash")
            }
            text.append(escaped)
        }
        throw ValueError("a quote is not closed")
    }

    // MARK: Scanning

    private mutating func take(while isWanted: (Unicode.Scalar) -> Bool) -> Substring.UnicodeScalarView {
        let taken = rest.prefix(while: isWanted)
        rest = rest[taken.endIndex...]
        return taken
    }

    private mutating func skip(_ scalar: Unicode.Scalar) -> Bool {
        guard rest.first == scalar else { return false }
        rest.removeFirst()
        return true
    }

    private mutating func skipSpaces() { _ = take { $0 == " " || $0 == "\t" || $0 == "\n" } }

    private func trimmed(_ text: Substring.UnicodeScalarView) -> String {
        var text = text.drop { $0 == " " || $0 == "\t" }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return String(text)
    }
}
