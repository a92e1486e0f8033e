/// A scalar's text with `${name}` and `$$`.
struct Template {
    enum Piece: Equatable {
        case literal(String)
        case reference(String)
    }

    private(set) var pieces: [Piece] = []

    /// A dollar sign that begins neither `${` nor `$$` stands for itself.
    init(_ text: String) throws(ValueError) {
        var literal = ""
        var rest = text[...]
        while let dollar = rest.firstIndex(of: "$") {
            literal += rest[..<dollar]
            rest = rest[dollar...].dropFirst()
            switch rest.first {
            case "$":
                literal += "$"
                rest = rest.dropFirst()
            case "{":
                if !literal.isEmpty { pieces.append(.literal(literal)) }
                literal = ""
                pieces.append(.reference(try Template.name(&rest)))
            default:
                literal += "$"
            }
        }
        literal += rest
        if !literal.isEmpty || pieces.isEmpty { pieces.append(.literal(literal)) }
    }

    private static func name(_ rest: inout Substring) throws(ValueError) -> String {
        guard let end = rest.firstIndex(of: "}") else {
            throw ValueError("\"${\" begins a parameter's name, and no \"}\" ends it (a literal $ is written $$)")
        }
        let name = String(rest[..<end].dropFirst())
        guard Identifier.isValid(name) else {
            throw ValueError("\(Printable.quoted(name)) is not a parameter's name: \(Identifier.rule)")
        }
        rest = rest[end...].dropFirst()
        return name
    }
}

/// Names of instances and parameters.
enum Identifier {
    static let rule = "a letter, then letters, digits, \"-\" and \"_\""

    static func isValid(_ text: String) -> Bool {
        let bytes = text.utf8
        guard let first = bytes.first, isLetter(first), bytes.count <= 64 else { return false }
        return bytes.allSatisfy { isLetter($0) || (0x30...0x39).contains($0) || $0 == 0x5f || $0 == 0x2d }
    }

    private static func isLetter(_ byte: UInt8) -> Bool { (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte) }
}
