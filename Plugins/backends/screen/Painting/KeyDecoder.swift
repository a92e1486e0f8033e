/// A key that was typed, with those that are held down meanwhile: codes of Linux's evdev (input-event-codes.h).
public struct KeyStroke: Equatable, Sendable {
    public struct Modifiers: OptionSet, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static let shift = Self(rawValue: 1)
        public static let alt = Self(rawValue: 2)
        public static let control = Self(rawValue: 4)
    }

    public var code: UInt32
    public var modifiers: Modifiers

    public init(_ code: UInt32, _ modifiers: Modifiers = []) { (self.code, self.modifiers) = (code, modifiers) }

    /// In the order in which they go down.
    public var codes: [UInt32] {
        (modifiers.contains(.control) ? [29] : []) + (modifiers.contains(.shift) ? [42] : [])
            + (modifiers.contains(.alt) ? [56] : []) + [code]
    }
}

/// What a terminal sends, as keys of a keyboard with the layout of the USA: characters, control characters, and the sequences of xterm and of
/// Linux's console for the others. ESC alone is a key as well as the beginning of a sequence: `flush` says that nothing comes behind it.
public struct KeyDecoder {
    private static let escape: UInt8 = 0x1B
    private static let escapeKey: UInt32 = 1
    /// Longer ones are none that we know.
    private static let longest = 32
    private var pending: [UInt8] = []

    public init() {}

    /// A sequence has begun, or ESC was typed.
    public var isPending: Bool { !pending.isEmpty }

    /// Empty: there is no key for it, or it is not whole yet.
    public mutating func feed(_ byte: UInt8) -> [KeyStroke] {
        guard !pending.isEmpty else {
            if byte == Self.escape {
                pending = [byte]
                return []
            }
            return Self.plain(byte).map { [$0] } ?? []
        }
        if byte == Self.escape {
            let before = flush()
            pending = [byte]
            return before
        }
        if pending.count <= Self.longest { pending.append(byte) } else { pending[Self.longest] = byte }
        guard isWhole else { return [] }
        defer { pending = [] }
        return Self.sequence(pending[1...]).map { [$0] } ?? []
    }

    /// Nothing comes behind what is pending.
    public mutating func flush() -> [KeyStroke] {
        defer { pending = [] }
        if pending == [Self.escape] { return [KeyStroke(Self.escapeKey)] }
        guard pending.count == 2, var stroke = Self.plain(pending[1]) else { return [] }
        stroke.modifiers.insert(.alt)
        return [stroke]
    }

    private var isWhole: Bool {
        let last = pending[pending.count - 1]
        switch pending[1] {
        case UInt8(ascii: "O"): return pending.count == 3
        case UInt8(ascii: "["):
            if pending.count == 2 { return false }
            // Linux's console: ESC [ [ A.
            if pending[2] == UInt8(ascii: "[") { return pending.count == 4 }
            return (0x40...0x7E).contains(last)
        default: return true
        }
    }

    // MARK: Tables

    /// What stands behind ESC.
    private static func sequence(_ bytes: ArraySlice<UInt8>) -> KeyStroke? {
        guard let first = bytes.first, let last = bytes.last else { return nil }
        if bytes.count == 1 {
            guard var stroke = plain(first) else { return nil }
            stroke.modifiers.insert(.alt)
            return stroke
        }
        if first == UInt8(ascii: "O") { return letters[last].map { KeyStroke($0) } }
        if bytes.count >= longest { return nil }
        let parameters = bytes.dropFirst().dropLast()
        if parameters.elementsEqual([UInt8(ascii: "[")]) {
            let number = UInt32(last &- UInt8(ascii: "A"))
            return number < 5 ? KeyStroke(59 + number) : nil
        }
        let numbers = parameters.split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false).map {
            Int(String(decoding: $0, as: UTF8.self)) ?? 0
        }
        let held = numbers.count > 1 ? UInt8(truncatingIfNeeded: max(numbers[1], 1) - 1) & 7 : 0
        let modifiers = KeyStroke.Modifiers(rawValue: held)
        if last == UInt8(ascii: "Z") { return KeyStroke(15, .shift) }
        let code = last == UInt8(ascii: "~") ? Self.numbers[numbers.first ?? 0] : letters[last]
        return code.map { KeyStroke($0, modifiers) }
    }

    /// Of CSI n ~.
    private static let numbers: [Int: UInt32] = [
        1: 102, 2: 110, 3: 111, 4: 107, 5: 104, 6: 109, 7: 102, 8: 107, 11: 59, 12: 60, 13: 61, 14: 62, 15: 63, 17: 64,
        18: 65, 19: 66, 20: 67, 21: 68, 23: 87, 24: 88,
    ]
    /// Of CSI and of SS3.
    private static let letters: [UInt8: UInt32] = [
        UInt8(ascii: "A"): 103, UInt8(ascii: "B"): 108, UInt8(ascii: "C"): 106, UInt8(ascii: "D"): 105,
        UInt8(ascii: "F"): 107, UInt8(ascii: "H"): 102, UInt8(ascii: "P"): 59, UInt8(ascii: "Q"): 60,
        UInt8(ascii: "R"): 61, UInt8(ascii: "S"): 62,
    ]

    private static let rows: [(first: UInt32, plain: String, shifted: String)] = [
        (2, "1234567890-=", "!@#$%^&*()_+"), (16, "qwertyuiop[]", "QWERTYUIOP{}"),
        (30, "asdfghjkl;'", "ASDFGHJKL:\""), (41, "`", "~"), (43, "\\", "|"), (44, "zxcvbnm,./", "ZXCVBNM<>?"),
        (57, " ", ""),
    ]

    private static let characters: [UInt8: KeyStroke] = {
        var all: [UInt8: KeyStroke] = [:]
        for row in rows {
            for (index, byte) in row.plain.utf8.enumerated() { all[byte] = KeyStroke(row.first + UInt32(index)) }
            for (index, byte) in row.shifted.utf8.enumerated() {
                all[byte] = KeyStroke(row.first + UInt32(index), .shift)
            }
        }
        // Ctrl with a letter, where the character is no key's own.
        for letter in UInt8(ascii: "a")...UInt8(ascii: "z") {
            all[letter & 0x1F] = all[letter].map { KeyStroke($0.code, .control) }
        }
        all[0x00] = KeyStroke(57, .control)
        all[0x1C] = KeyStroke(43, .control)
        all[0x1D] = KeyStroke(27, .control)
        all[0x1E] = KeyStroke(7, [.control, .shift])
        all[0x1F] = KeyStroke(12, [.control, .shift])
        (all[0x08], all[0x7F]) = (KeyStroke(14), KeyStroke(14))
        all[0x09] = KeyStroke(15)
        (all[0x0A], all[0x0D]) = (KeyStroke(28), KeyStroke(28))
        return all
    }()

    private static func plain(_ byte: UInt8) -> KeyStroke? { characters[byte] }
}
