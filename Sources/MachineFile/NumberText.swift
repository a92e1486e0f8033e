/// What is wrong with a value, as a sentence that begins with the value.
struct ValueError: Error {
    var message: String

    init(_ message: String) { self.message = message }
}

/// Integers as they are written: decimal, `0x`, `0o`, `0b`, with `_` between digits. A decimal number does not begin
/// with a zero: YAML 1.1 reads `010` as eight, YAML 1.2 as ten.
enum NumberText {
    static func unsigned(_ text: String) throws(ValueError) -> UInt64 {
        if text.hasPrefix("-"), !text.hasPrefix("--"), (try? unsigned(String(text.dropFirst()))) != nil {
            throw ValueError("\(Printable.quoted(text)) is negative")
        }
        let (digits, radix) = split(text)
        guard isWellFormed(digits, radix: radix) else { throw ValueError("\(Printable.quoted(text)) is not a number") }
        let plain = digits.filter { $0 != "_" }
        if radix == 10, plain.count > 1, plain.first == "0" {
            let decimal = plain.drop { $0 == "0" }
            let octal = UInt64(plain, radix: 8) == nil ? "" : ", 0o\(decimal.isEmpty ? "0" : decimal) for octal"
            throw ValueError(
                "\(Printable.quoted(text)) is ambiguous: write \(decimal.isEmpty ? "0" : decimal) for decimal" + octal)
        }
        guard let number = UInt64(plain, radix: radix) else {
            throw ValueError("\(Printable.quoted(text)) does not fit in 64 bits")
        }
        return number
    }

    static func signed(_ text: String) throws(ValueError) -> Int64 {
        let isNegative = text.hasPrefix("-")
        let magnitude: UInt64
        do throws(ValueError) {
            magnitude = try unsigned(isNegative ? String(text.dropFirst()) : text)
        } catch {
            // The same reason, about the whole text.
            guard isNegative else { throw error }
            throw ValueError("\(Printable.quoted(text)) is not a number")
        }
        if isNegative, magnitude <= 1 << 63 { return Int64(truncatingIfNeeded: 0 &- magnitude) }
        guard !isNegative, let number = Int64(exactly: magnitude) else {
            throw ValueError("\(Printable.quoted(text)) does not fit in 64 bits")
        }
        return number
    }

    /// Finite decimals: `1`, `-0.5`, `1e-3`.
    static func float(_ text: String) throws(ValueError) -> Double {
        let pattern = /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/
        guard text.utf8.count <= 400, text.wholeMatch(of: pattern) != nil, let number = Double(text) else {
            throw ValueError("\(Printable.quoted(text)) is not a number")
        }
        guard number.isFinite else { throw ValueError("\(Printable.quoted(text)) is too large") }
        return number
    }

    private static func split(_ text: String) -> (digits: Substring, radix: Int) {
        for (prefix, radix) in [("0x", 16), ("0X", 16), ("0o", 8), ("0b", 2)] where text.hasPrefix(prefix) {
            return (text.dropFirst(2), radix)
        }
        return (text[...], 10)
    }

    private static func isWellFormed(_ digits: Substring, radix: Int) -> Bool {
        guard let first = digits.first, let last = digits.last, first != "_", last != "_" else { return false }
        return digits.allSatisfy { $0 == "_" || ($0.isASCII && ($0.hexDigitValue ?? 99) < radix) }
    }
}
