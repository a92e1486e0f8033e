import Core

/// A property's value from its text, by the property's declared type and nothing else.
enum ScalarParsing {
    static func value(_ scalar: ScalarText, of property: PropertyDescription) throws(ValueError) -> Value {
        let value = try typed(scalar, property)
        if let bounds = property.bounds { try check(value, scalar.text, bounds, property.unit) }
        return value
    }

    private static func typed(_ scalar: ScalarText, _ property: PropertyDescription) throws(ValueError) -> Value {
        let text = scalar.text
        return switch property.type {
        case .bool: .bool(try bool(text))
        case .unsigned: .unsigned(try NumberText.unsigned(text))
        case .signed: .signed(try NumberText.signed(text))
        case .size: .size(try UnitText.size(text))
        case .duration: .duration(try UnitText.duration(text))
        case .port: .port(try port(text))
        case .address: .address(try NumberText.unsigned(text))
        case .text: .text(try plain(text))
        case .path: .path(try path(scalar))
        case .choice: try choice(text, property.choices)
        case .range: .range(try range(text))
        case .float: .float(try NumberText.float(text))
        }
    }

    // MARK: Types

    static func bool(_ text: String) throws(ValueError) -> Bool {
        switch text.lowercased() {
        case "true", "on", "yes": return true
        case "false", "off", "no": return false
        default:
            throw ValueError("\(Printable.quoted(text)) is not true or false (nor on, off, yes, no)")
        }
    }

    static func choice(_ text: String, _ choices: [String]) throws(ValueError) -> Value {
        if let index = choices.firstIndex(of: text) { return .choice(text, index: index) }
        let hint = DidYouMean.hint(for: text, in: choices)
        throw ValueError("\(Printable.quoted(text)) is not one of " + choices.joined(separator: ", ") + hint)
    }

    private static func port(_ text: String) throws(ValueError) -> UInt16 {
        guard let port = UInt16(exactly: try NumberText.unsigned(text)) else {
            throw ValueError("\(Printable.quoted(text)) is not an I/O port: they end at 0xffff")
        }
        return port
    }

    /// Plugins get text with a NUL at its end.
    static func plain(_ text: String) throws(ValueError) -> String {
        guard !text.utf8.contains(0) else { throw ValueError("\(Printable.quoted(text)) holds a NUL character") }
        return text
    }

    private static func path(_ scalar: ScalarText) throws(ValueError) -> String {
        guard !scalar.text.isEmpty else { throw ValueError("\"\" is not a path") }
        return FilePath.join(scalar.directory, try plain(scalar.text))
    }

    private static func range(_ text: String) throws(ValueError) -> ClosedRange<UInt64> {
        let parts = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map(trimmed)
        do throws(ValueError) {
            let first = try NumberText.unsigned(parts[0])
            let last = parts.count == 2 ? try NumberText.unsigned(parts[1]) : first
            guard first <= last else { throw ValueError("\(Printable.quoted(text)) runs backwards") }
            return first...last
        } catch {
            let isWhole = error.message.hasPrefix(Printable.quoted(text))
            throw isWhole
                ? error : ValueError("\(Printable.quoted(text)) is not a range (first-last): " + error.message)
        }
    }

    private static func trimmed(_ text: Substring) -> String {
        var text = text.drop { $0 == " " }
        while text.last == " " { text.removeLast() }
        return String(text)
    }

    // MARK: Bounds

    private static func check(
        _ value: Value, _ text: String, _ bounds: ClosedRange<Int64>, _ unit: String?
    ) throws(ValueError) {
        let isInside: Bool
        switch value {
        case .unsigned(let number), .size(let number), .duration(let number), .address(let number):
            isInside = contains(bounds, number)
        case .port(let port): isInside = bounds.contains(Int64(port))
        case .signed(let number): isInside = bounds.contains(number)
        case .range(let range): isInside = contains(bounds, range.lowerBound) && contains(bounds, range.upperBound)
        case .float(let number): isInside = number >= Double(bounds.lowerBound) && number <= Double(bounds.upperBound)
        case .bool, .text, .path, .choice, .list: isInside = true
        }
        guard !isInside else { return }
        let from = shown(bounds.lowerBound, as: value)
        let to = shown(bounds.upperBound, as: value)
        let counted = unit.map { " " + $0 } ?? ""
        throw ValueError("\(Printable.quoted(text)) is out of range: it is from \(from) to \(to)\(counted)")
    }

    private static func contains(_ bounds: ClosedRange<Int64>, _ number: UInt64) -> Bool {
        Int64(exactly: number).map(bounds.contains) ?? false
    }

    /// A bound as a value of that type is written.
    private static func shown(_ bound: Int64, as value: Value) -> String {
        guard let number = UInt64(exactly: bound) else { return "\(bound)" }
        return switch value {
        case .size: Value.size(number).text
        case .duration: Value.duration(number).text
        case .address, .port, .range: "0x" + String(number, radix: 16)
        default: "\(number)"
        }
    }
}
