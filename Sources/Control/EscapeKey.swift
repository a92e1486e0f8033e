/// The key that turns the next one into a command, as in QEMU's terminal: Ctrl-A x quits, and so on.
struct EscapeKey {
    enum Command: Equatable {
        case quit, help, sendBreak, suspend, powerOff, reset, monitor
        /// By its number, from 1.
        case guest(Int)
        case nextConsole
    }
    enum Event: Equatable {
        /// For the guest.
        case byte(UInt8)
        case command(Command)
    }

    /// nil: every byte is for the guest.
    let key: UInt8?
    private var isArmed = false

    init(_ key: UInt8?) { self.key = key }

    /// nil: the byte is consumed.
    mutating func feed(_ byte: UInt8) -> Event? {
        guard let key else { return .byte(byte) }
        guard isArmed else {
            if byte != key { return .byte(byte) }
            isArmed = true
            return nil
        }
        isArmed = false
        if byte == key { return .byte(key) }
        if let command = EscapeKey.command(byte) { return .command(command) }
        return byte == EscapeKey.letter(of: key) ? .byte(key) : nil
    }

    private static func command(_ byte: UInt8) -> Command? {
        switch byte {
        case UInt8(ascii: "x"): .quit
        case UInt8(ascii: "h"), UInt8(ascii: "?"): .help
        case UInt8(ascii: "b"): .sendBreak
        case UInt8(ascii: "z"): .suspend
        case UInt8(ascii: "p"): .powerOff
        case UInt8(ascii: "r"): .reset
        case UInt8(ascii: "c"): .monitor
        case UInt8(ascii: "1")...UInt8(ascii: "9"): .guest(Int(byte) - 0x30)
        case UInt8(ascii: "n"): .nextConsole
        default: nil
        }
    }

    /// `a` for Ctrl-A; nil where the key is no control character.
    private static func letter(of key: UInt8) -> UInt8? { key < 0x20 ? key | 0x60 : nil }

    /// "Ctrl-A", "Ctrl-]", "'~'", "0x9b".
    static func name(of key: UInt8) -> String {
        switch key {
        case 0..<0x20: "Ctrl-" + String(UnicodeScalar(key | 0x40))
        case 0x20..<0x7f: "'" + String(UnicodeScalar(key)) + "'"
        case 0x7f: "Ctrl-?"
        default: "0x" + String(key, radix: 16)
        }
    }

    /// One line each. `guests`, `consoles`: how many there are to switch between.
    func help(guests: Int = 1, consoles: Int = 1) -> [String] {
        guard let key else { return [] }
        let name = EscapeKey.name(of: key)
        var lines = [
            "\(name) h  this help, also \(name) ?",
            "\(name) c  the monitor, and back to the guest",
            "\(name) x  end the virtual machine at once and quit",
            "\(name) p  ask the guest to power off",
            "\(name) r  reset the guest",
            "\(name) b  send a break",
            "\(name) z  suspend; the shell's fg comes back",
        ]
        if guests > 1 {
            let last = min(guests, 9)
            lines.insert(
                "\(name) 1 to \(name) \(last)  the guest with this number; pressed again, its next console", at: 2)
        }
        if guests > 1 || consoles > 1 { lines.insert("\(name) n  the next console", at: guests > 1 ? 3 : 2) }
        var literal = "\(name) \(name)  send \(name) itself"
        if let letter = EscapeKey.letter(of: key), letter >= UInt8(ascii: "a"), letter <= UInt8(ascii: "z"),
            EscapeKey.command(letter) == nil
        {
            literal += ", also \(name) " + String(UnicodeScalar(letter))
        }
        lines.append(literal)
        return lines
    }
}
