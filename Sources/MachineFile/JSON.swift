/// JSON with its keys in order, for the schema.
package indirect enum JSON: ExpressibleByStringLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral {
    case text(String)
    case integer(Int64)
    case bool(Bool)
    case array([JSON])
    case object([(key: String, value: JSON)])

    package init(stringLiteral text: String) { self = .text(text) }
    package init(arrayLiteral items: JSON...) { self = .array(items) }
    package init(dictionaryLiteral pairs: (String, JSON)...) { self = .object(pairs.map { (key: $0.0, value: $0.1) }) }

    /// Of an object: with further keys at its end.
    func with(_ pairs: [(String, JSON)]) -> JSON {
        guard case .object(let own) = self else { return self }
        return .object(own + pairs.map { (key: $0.0, value: $0.1) })
    }

    /// Two spaces a level.
    func written(indent: String = "") -> String {
        let inner = indent + "  "
        switch self {
        case .text(let text): return JSON.quoted(text)
        case .integer(let number): return "\(number)"
        case .bool(let flag): return flag ? "true" : "false"
        case .array(let items):
            return JSON.list(items.map { $0.written(indent: inner) }, "[", "]", indent)
        case .object(let pairs):
            let lines = pairs.map { JSON.quoted($0.key) + ": " + $0.value.written(indent: inner) }
            return JSON.list(lines, "{", "}", indent)
        }
    }

    private static func list(_ items: [String], _ open: String, _ close: String, _ indent: String) -> String {
        guard !items.isEmpty else { return open + close }
        let inner = indent + "  "
        return open + "\n" + items.map { inner + $0 }.joined(separator: ",\n") + "\n" + indent + close
    }

    /// As JSON and YAML take it between double quotes.
    package static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case _ where scalar.value < 0x20 || scalar.value == 0x7f:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
