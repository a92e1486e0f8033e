/// Finds the objects in a stream of bytes: they need no line of their own. What is not one is an error, and the stream goes on
/// with the next line.
package struct JSONFramer {
    package enum Item: Equatable {
        /// From brace to brace; what is between is for the parser.
        case object([UInt8])
        case malformed(String)
        /// More bytes than an object may have: nothing of this stream can be trusted any more.
        case tooLong
    }

    /// Bytes of one object.
    package static let limit = 1 << 20

    private var object: [UInt8] = []
    private var depth = 0
    private var isInString = false
    private var isEscaped = false
    private var isSkippingLine = false

    package init() {}

    package mutating func feed(_ bytes: some Sequence<UInt8>) -> [Item] {
        var items: [Item] = []
        for byte in bytes {
            guard let item = feed(byte) else { continue }
            items.append(item)
            if item == .tooLong { break }
        }
        return items
    }

    private mutating func feed(_ byte: UInt8) -> Item? {
        if isSkippingLine {
            isSkippingLine = byte != UInt8(ascii: "\n")
            return nil
        }
        if object.isEmpty {
            if byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { return nil }
            guard byte == UInt8(ascii: "{") else {
                isSkippingLine = true
                return .malformed("an object was expected")
            }
        }
        if object.count >= JSONFramer.limit { return .tooLong }
        object.append(byte)
        return isInString ? feedString(byte) : feedStructure(byte)
    }

    private mutating func feedString(_ byte: UInt8) -> Item? {
        if byte == UInt8(ascii: "\n") { return fail("a string is not closed at the end of its line", atLineEnd: true) }
        if isEscaped {
            isEscaped = false
        } else if byte == UInt8(ascii: "\\") {
            isEscaped = true
        } else if byte == UInt8(ascii: "\"") {
            isInString = false
        }
        return nil
    }

    private mutating func feedStructure(_ byte: UInt8) -> Item? {
        switch byte {
        case UInt8(ascii: "\""): isInString = true
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            depth += 1
            if depth > JSONParser.maximumDepth {
                return fail("nested more than \(JSONParser.maximumDepth) deep", atLineEnd: false)
            }
        case UInt8(ascii: "}"), UInt8(ascii: "]"):
            depth -= 1
            guard depth == 0 else { return nil }
            defer { object = [] }
            return .object(object)
        default: break
        }
        return nil
    }

    private mutating func fail(_ text: String, atLineEnd: Bool) -> Item {
        self = JSONFramer()
        isSkippingLine = !atLineEnd
        return .malformed(text)
    }
}
