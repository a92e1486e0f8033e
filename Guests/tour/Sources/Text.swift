/// A line for the console. It is sent while it is built - each piece when its turn comes - so it needs no memory.
struct Text: ExpressibleByStringInterpolation {
    init(stringLiteral text: StaticString) { Console.send(text) }
    init(stringInterpolation: Pieces) {}

    struct Pieces: StringInterpolationProtocol {
        init(literalCapacity: Int, interpolationCount: Int) {}

        func appendLiteral(_ text: StaticString) { Console.send(text) }
        func appendInterpolation(_ text: StaticString) { Console.send(text) }

        /// Decimal.
        func appendInterpolation(_ value: UInt32) { Console.send(decimal: value, digits: 1) }
        func appendInterpolation(_ value: UInt8) { Console.send(decimal: UInt32(value), digits: 1) }
        /// Decimal with leading zeros.
        func appendInterpolation(_ value: UInt8, digits: UInt32) {
            Console.send(decimal: UInt32(value), digits: digits)
        }
        /// 0x and at least `digits` hexadecimal digits.
        func appendInterpolation(hex value: UInt32, digits: UInt32 = 1) {
            Console.send("0x")
            Console.send(hex: value, digits: digits)
        }
        /// Hexadecimal digits alone.
        func appendInterpolation(bare value: UInt32, digits: UInt32) { Console.send(hex: value, digits: digits) }

        /// "irq 4", or "irq none" for a device whose interrupts do not arrive.
        func appendInterpolation(irq line: UInt8?) {
            Console.send("irq ")
            if let line { appendInterpolation(line) } else { Console.send("none") }
        }
        func appendInterpolation(_ word: Line.Word) {
            for index in 0..<min(word.length, Line.Word.capacity) { Console.send(word.bytes[index]) }
            if word.length > Line.Word.capacity { Console.send("...") }
        }
    }
}

/// Sends a line and its end.
func say(_ line: Text) { Console.send("\n") }

/// Sends a piece of a line.
func show(_ piece: Text) {}
