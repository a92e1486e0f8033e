/// What is wrong with a text that should be JSON, and where.
package struct JSONError: Error, Equatable {
    package var text: String
    /// In bytes, from 0.
    package var offset: Int
}

/// Parses one JSON value. Hostile input: the nesting is bounded, and nothing traps.
package struct JSONParser {
    /// Of arrays and objects within each other.
    package static let maximumDepth = 128

    private let bytes: [UInt8]
    private var position = 0
    private var depth = 0

    /// The whole text is one value, with white space around it.
    package static func parse(_ bytes: [UInt8]) throws(JSONError) -> JSONValue {
        guard String(validating: bytes, as: UTF8.self) != nil else {
            throw JSONError(text: "the text is not valid UTF-8", offset: 0)
        }
        var parser = JSONParser(bytes)
        let value = try parser.value()
        parser.skipSpaces()
        if parser.position < bytes.count { throw parser.error("there is more after the value") }
        return value
    }

    private init(_ bytes: [UInt8]) { self.bytes = bytes }

    private func error(_ text: String) -> JSONError { JSONError(text: text, offset: position) }
    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipSpaces() {
        while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { position += 1 }
    }

    private mutating func skip(_ character: Character) -> Bool {
        guard let byte = next, byte == character.asciiValue else { return false }
        position += 1
        return true
    }

    private mutating func value() throws(JSONError) -> JSONValue {
        skipSpaces()
        switch next {
        case UInt8(ascii: "{"):
            return try nested { (parser: inout JSONParser) throws(JSONError) in try parser.object() }
        case UInt8(ascii: "["): return try nested { (parser: inout JSONParser) throws(JSONError) in try parser.array() }
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case let byte? where byte == UInt8(ascii: "-") || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte):
            return try number()
        case nil: throw error("the text ends where a value should be")
        default: throw error("this is not a value")
        }
    }

    private mutating func nested(
        _ body: (inout JSONParser) throws(JSONError) -> JSONValue
    ) throws(JSONError) -> JSONValue {
        guard depth < JSONParser.maximumDepth else {
            throw error("nested more than \(JSONParser.maximumDepth) deep")
        }
        depth += 1
        position += 1
        let result = try body(&self)
        depth -= 1
        return result
    }

    private mutating func object() throws(JSONError) -> JSONValue {
        var members: [JSONMember] = []
        var keys: Set<String> = []
        skipSpaces()
        if skip("}") { return .object([]) }
        while true {
            skipSpaces()
            guard next == UInt8(ascii: "\"") else { throw error("a key in double quotes is missing") }
            let key = try string()
            guard keys.insert(key).inserted else { throw error("duplicate key \"\(key)\"") }
            skipSpaces()
            guard skip(":") else { throw error("\":\" is missing after a key") }
            members.append(JSONMember(key: key, value: try value()))
            skipSpaces()
            if skip("}") { return .object(members) }
            guard skip(",") else { throw error("\",\" or \"}\" is missing") }
        }
    }

    private mutating func array() throws(JSONError) -> JSONValue {
        var items: [JSONValue] = []
        skipSpaces()
        if skip("]") { return .array([]) }
        while true {
            items.append(try value())
            skipSpaces()
            if skip("]") { return .array(items) }
            guard skip(",") else { throw error("\",\" or \"]\" is missing") }
        }
    }

    private mutating func word(_ word: String, _ value: JSONValue) throws(JSONError) -> JSONValue {
        guard bytes[position...].starts(with: word.utf8) else { throw error("this is not a value") }
        position += word.utf8.count
        return value
    }

    // MARK: Numbers

    private mutating func number() throws(JSONError) -> JSONValue {
        let start = position
        _ = skip("-")
        let integer = digits()
        guard integer > 0 else { throw error("a number has no digits") }
        let first = bytes[position - integer]
        if integer > 1, first == UInt8(ascii: "0") { throw error("a number begins with 0") }
        var isInteger = true
        if skip(".") {
            isInteger = false
            if digits() == 0 { throw error("a number has no digits after its point") }
        }
        if let byte = next, byte | 0x20 == UInt8(ascii: "e") {
            isInteger = false
            position += 1
            if !skip("+") { _ = skip("-") }
            if digits() == 0 { throw error("a number has no digits in its exponent") }
        }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if isInteger {
            if let value = Int64(text) { return .integer(value) }
            if let value = UInt64(text) { return .unsigned(value) }
        }
        guard let value = Double(text), value.isFinite else { throw error("a number is out of range") }
        return .double(value)
    }

    private mutating func digits() -> Int {
        let start = position
        while let byte = next, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") { position += 1 }
        return position - start
    }

    // MARK: Strings

    private mutating func string() throws(JSONError) -> String {
        position += 1
        var result: [UInt8] = []
        while let byte = next {
            switch byte {
            case UInt8(ascii: "\""):
                position += 1
                return String(decoding: result, as: UTF8.self)
            case UInt8(ascii: "\\"):
                position += 1
                result += Array(String(try escape()).utf8)
            case 0..<0x20: throw error("a control character in a string")
            default:
                result.append(byte)
                position += 1
            }
        }
        throw error("a string is not closed")
    }

    private mutating func escape() throws(JSONError) -> Character {
        guard let byte = next else { throw error("a string is not closed") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""): return "\""
        case UInt8(ascii: "\\"): return "\\"
        case UInt8(ascii: "/"): return "/"
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{c}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): return Character(try codePoint())
        default: throw error("an unknown escape in a string")
        }
    }

    private mutating func codePoint() throws(JSONError) -> Unicode.Scalar {
        let first = try hex()
        if let scalar = Unicode.Scalar(first) { return scalar }
        // A pair of surrogates.
        guard first < 0xdc00, skip("\\"), skip("u") else { throw error("half of a surrogate pair") }
        let second = try hex()
        guard (0xdc00...0xdfff).contains(second),
            let scalar = Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00))
        else { throw error("half of a surrogate pair") }
        return scalar
    }

    private mutating func hex() throws(JSONError) -> UInt32 {
        guard position + 4 <= bytes.count else { throw error("an escape has four digits") }
        var value: UInt32 = 0
        for byte in bytes[position..<(position + 4)] {
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else {
                throw error("an escape has four digits")
            }
            value = value << 4 | UInt32(digit)
        }
        position += 4
        return value
    }
}
