/// What a client calls its keys, as codes of Linux's evdev (input-event-codes.h).
enum KeyCodes {
    static let (leftShift, rightShift): (UInt32, UInt32) = (42, 54)

    /// Of an X11 keysym, on a keyboard with the layout of the USA. `needsShift`: the key means it with Shift only.
    static func key(keysym: UInt32) -> (code: UInt32, needsShift: Bool)? {
        if let code = special[keysym] { return (code, false) }
        return characters[keysym]
    }

    /// Of QEMU's extended key event (rfbproto, 7.5.9): a scan code of set 1, bit 7 for one behind 0xE0.
    static func code(scanCode: UInt32) -> UInt32? {
        switch scanCode {
        case 0x01...0x53, 0x56...0x58: scanCode
        case 0x81...0xFF: behindE0[scanCode & 0x7F]
        default: others[scanCode]
        }
    }

    private static let others: [UInt32: UInt32] = [
        0x54: 99, 0x59: 117, 0x70: 93, 0x71: 123, 0x72: 122, 0x73: 89, 0x76: 85, 0x77: 91, 0x78: 90, 0x79: 92, 0x7B: 94,
        0x7D: 124, 0x7E: 121,
    ]
    private static let behindE0: [UInt32: UInt32] = [
        0x10: 165, 0x19: 163, 0x1C: 96, 0x1D: 97, 0x20: 113, 0x22: 164, 0x24: 166, 0x2E: 114, 0x30: 115, 0x35: 98,
        0x37: 99, 0x38: 100, 0x46: 119, 0x47: 102, 0x48: 103, 0x49: 104, 0x4B: 105, 0x4D: 106, 0x4F: 107, 0x50: 108,
        0x51: 109, 0x52: 110, 0x53: 111, 0x5B: 125, 0x5C: 126, 0x5D: 127, 0x5E: 116,
    ]

    private static let special: [UInt32: UInt32] = {
        var all: [UInt32: UInt32] = [
            0xFE03: 100, 0xFE20: 15, 0xFF08: 14, 0xFF09: 15, 0xFF0A: 28, 0xFF0D: 28, 0xFF13: 119, 0xFF14: 70,
            0xFF15: 99, 0xFF1B: 1, 0xFF50: 102, 0xFF51: 105, 0xFF52: 103, 0xFF53: 106, 0xFF54: 108, 0xFF55: 104,
            0xFF56: 109, 0xFF57: 107, 0xFF61: 99, 0xFF63: 110, 0xFF67: 127, 0xFF6B: 119, 0xFF7E: 100, 0xFF7F: 69,
            0xFF80: 57, 0xFF89: 15, 0xFF8D: 96, 0xFF95: 71, 0xFF96: 75, 0xFF97: 72, 0xFF98: 77, 0xFF99: 80, 0xFF9A: 73,
            0xFF9B: 81, 0xFF9C: 79, 0xFF9D: 76, 0xFF9E: 82, 0xFF9F: 83, 0xFFAA: 55, 0xFFAB: 78, 0xFFAC: 121, 0xFFAD: 74,
            0xFFAE: 83, 0xFFAF: 98, 0xFFBD: 117, 0xFFC8: 87, 0xFFC9: 88, 0xFFE1: leftShift, 0xFFE2: rightShift,
            0xFFE3: 29, 0xFFE4: 97, 0xFFE5: 58, 0xFFE7: 125, 0xFFE8: 126, 0xFFE9: 56, 0xFFEA: 100, 0xFFEB: 125,
            0xFFEC: 126, 0xFFFF: 111,
        ]
        for (number, code) in ([82, 79, 80, 81, 75, 76, 77, 71, 72, 73] as [UInt32]).enumerated() {
            all[0xFFB0 + UInt32(number)] = code
        }
        for number in 0..<10 as Range<UInt32> { all[0xFFBE + number] = 59 + number }
        return all
    }()

    /// Keysyms of ASCII's characters are their codes.
    private static let characters: [UInt32: (code: UInt32, needsShift: Bool)] = {
        let rows: [(first: UInt32, plain: String, shifted: String)] = [
            (2, "1234567890-=", "!@#$%^&*()_+"), (16, "qwertyuiop[]", "QWERTYUIOP{}"),
            (30, "asdfghjkl;'", "ASDFGHJKL:\""), (41, "`", "~"), (43, "\\", "|"), (44, "zxcvbnm,./", "ZXCVBNM<>?"),
            (57, " ", ""),
        ]
        var all: [UInt32: (code: UInt32, needsShift: Bool)] = [:]
        for row in rows {
            for (index, byte) in row.plain.utf8.enumerated() { all[UInt32(byte)] = (row.first + UInt32(index), false) }
            for (index, byte) in row.shifted.utf8.enumerated() {
                all[UInt32(byte)] = (row.first + UInt32(index), true)
            }
        }
        return all
    }()
}
