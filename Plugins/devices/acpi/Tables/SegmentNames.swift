/// Names of four characters, each once: the beginning of a longer name, or with a digit or two in place of its end.
/// Source: ACPI 6.5, 20.2.2. Names that begin with `_` are the specification's.
struct SegmentNames {
    private var taken: Set<String>

    init(taken: Set<String> = []) { self.taken = taken }

    /// `avoiding`: AML with names of its own; where its bytes have a name anywhere, that counts as taken.
    mutating func next(_ text: String, avoiding aml: [UInt8]) -> String {
        let letters = Self.letters(text)
        var name = Self.padded(letters.prefix(4))
        var number = 1
        while taken.contains(name) || Self.has(aml, name) {
            let digits = String(number, radix: 36, uppercase: true)
            name = Self.padded(letters.prefix(max(1, 4 - digits.count)) + digits)
            // Three digits are more than a machine has instances of one letter.
            guard number < 36 * 36 * 36 - 1 else { break }
            number += 1
        }
        taken.insert(name)
        return name
    }

    /// A to Z and digits; the first is a letter.
    private static func letters(_ text: String) -> String {
        let letters = String(
            text.utf8.compactMap { byte -> Character? in
                let upper = (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) ? byte - 32 : byte
                let isLetter = (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(upper)
                let isDigit = (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(upper)
                return isLetter || isDigit ? Character(Unicode.Scalar(upper)) : nil
            })
        return letters.first?.isLetter == true ? letters : "D" + letters
    }

    private static func padded(_ text: some StringProtocol) -> String {
        String((String(text) + "___").prefix(4))
    }

    private static func has(_ aml: [UInt8], _ name: String) -> Bool {
        let name = Array(name.utf8)
        return aml.count >= 4 && (0...aml.count - 4).contains { Array(aml[$0..<$0 + 4]) == name }
    }
}
