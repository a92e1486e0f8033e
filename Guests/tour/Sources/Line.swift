/// A line as it was typed, and its words.
struct Line {
    static let capacity = 120

    private var bytes = InlineArray<120, UInt8>(repeating: 0)
    private(set) var count = 0

    var isFull: Bool { count == Self.capacity }

    mutating func append(_ byte: UInt8) {
        guard !isFull else { return }
        bytes[count] = byte
        count += 1
    }

    /// False where there is nothing to take away.
    mutating func removeLast() -> Bool {
        guard count > 0 else { return false }
        count -= 1
        return true
    }

    mutating func removeAll() { count = 0 }

    /// The word at or after `position`, which moves past it; nil at the end. Words are separated by spaces.
    func word(at position: inout Int) -> Word? {
        while position < count, bytes[position] == UInt8(ascii: " ") { position += 1 }
        guard position < count else { return nil }
        var word = Word()
        while position < count, bytes[position] != UInt8(ascii: " ") {
            word.append(bytes[position])
            position += 1
        }
        return word
    }

    /// No command and no number is as long as `capacity`; what is longer is kept by its beginning.
    struct Word {
        static let capacity = 24

        private(set) var bytes = InlineArray<24, UInt8>(repeating: 0)
        private(set) var length = 0

        mutating func append(_ byte: UInt8) {
            if length < Self.capacity { bytes[length] = byte }
            length += 1
        }

        static func ~= (text: StaticString, word: Word) -> Bool {
            guard word.length == text.utf8CodeUnitCount, word.length <= capacity else { return false }
            // SAFETY: the index is below the length of a string in the image.
            for index in 0..<word.length where unsafe text.utf8Start[index] != word.bytes[index] {
                return false
            }
            return true
        }
    }
}

// MARK: Numbers

extension Line.Word {
    /// Decimal, or hexadecimal after 0x. Nil: not a number, or more than 32 bits.
    var number: UInt32? {
        guard length > 0, length <= Self.capacity else { return nil }
        let isHex = length > 2 && bytes[0] == UInt8(ascii: "0") && bytes[1] | 0x20 == UInt8(ascii: "x")
        let base: UInt32 = isHex ? 16 : 10
        var value: UInt32 = 0
        for index in (isHex ? 2 : 0)..<length {
            guard let digit = Self.digit(bytes[index]), digit < base else { return nil }
            let (product, isTooLarge) = value.multipliedReportingOverflow(by: base)
            let (sum, hasCarry) = product.addingReportingOverflow(digit)
            guard !isTooLarge, !hasCarry else { return nil }
            value = sum
        }
        return value
    }

    private static func digit(_ byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt32(byte - UInt8(ascii: "a")) + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt32(byte - UInt8(ascii: "A")) + 10
        default: nil
        }
    }
}
