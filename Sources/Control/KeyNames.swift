/// Names of keys, QEMU's (`sendkey`, QMP's `QKeyCode`), with the codes of Linux's evdev.
enum KeyNames {
    /// The codes of `ctrl-alt-delete`: names joined by hyphens.
    static func codes(_ text: String) throws(CommandError) -> [UInt32] {
        var codes: [UInt32] = []
        for name in text.split(separator: "-", omittingEmptySubsequences: false) {
            codes.append(try code(String(name)))
        }
        return codes
    }

    static func code(_ name: String) throws(CommandError) -> UInt32 {
        if let code = all[name.lowercased()] { return code }
        throw CommandError(
            "there is no key '\(name)'; keys are named as QEMU names them: a, 1, ret, spc, esc, ctrl, f12, kp_enter")
    }

    /// A number as QMP's send-key gives it: a scan code of set 1, 0x80 added to those behind 0xE0.
    static func code(scan: UInt64) throws(CommandError) -> UInt32 {
        // Linux has its codes from set 1.
        if (1...0x58).contains(scan) { return UInt32(scan) }
        if let code = extended[scan] { return code }
        throw CommandError("there is no key of number \(scan)")
    }

    static let all: [String: UInt32] = [
        "esc": 1, "1": 2, "2": 3, "3": 4, "4": 5, "5": 6, "6": 7, "7": 8, "8": 9, "9": 10, "0": 11, "minus": 12,
        "equal": 13, "backspace": 14, "tab": 15, "q": 16, "w": 17, "e": 18, "r": 19, "t": 20, "y": 21, "u": 22,
        "i": 23, "o": 24, "p": 25, "bracket_left": 26, "bracket_right": 27, "ret": 28, "ctrl": 29, "a": 30, "s": 31,
        "d": 32, "f": 33, "g": 34, "h": 35, "j": 36, "k": 37, "l": 38, "semicolon": 39, "apostrophe": 40,
        "grave_accent": 41, "shift": 42, "backslash": 43, "z": 44, "x": 45, "c": 46, "v": 47, "b": 48, "n": 49,
        "m": 50, "comma": 51, "dot": 52, "slash": 53, "shift_r": 54, "kp_multiply": 55, "alt": 56, "spc": 57,
        "caps_lock": 58, "f1": 59, "f2": 60, "f3": 61, "f4": 62, "f5": 63, "f6": 64, "f7": 65, "f8": 66, "f9": 67,
        "f10": 68, "num_lock": 69, "scroll_lock": 70, "kp_7": 71, "kp_8": 72, "kp_9": 73, "kp_subtract": 74,
        "kp_4": 75, "kp_5": 76, "kp_6": 77, "kp_add": 78, "kp_1": 79, "kp_2": 80, "kp_3": 81, "kp_0": 82,
        "kp_decimal": 83, "less": 86, "f11": 87, "f12": 88, "ro": 89, "kp_enter": 96, "ctrl_r": 97, "kp_divide": 98,
        "print": 99, "sysrq": 99, "alt_r": 100, "home": 102, "up": 103, "pgup": 104, "left": 105, "right": 106,
        "end": 107, "down": 108, "pgdn": 109, "insert": 110, "delete": 111, "pause": 119, "meta_l": 125,
        "meta_r": 126, "menu": 127, "compose": 127,
    ]

    private static let extended: [UInt64: UInt32] = [
        0x9c: 96, 0x9d: 97, 0xb5: 98, 0xb7: 99, 0xb8: 100, 0xc7: 102, 0xc8: 103, 0xc9: 104, 0xcb: 105, 0xcd: 106,
        0xcf: 107, 0xd0: 108, 0xd1: 109, 0xd2: 110, 0xd3: 111, 0xdb: 125, 0xdc: 126, 0xdd: 127,
    ]
}

/// How long keys are held.
enum KeyHold {
    /// Milliseconds.
    static let usual: UInt64 = 100

    static func nanoseconds(_ milliseconds: UInt64) throws(CommandError) -> UInt64 {
        guard milliseconds <= 60_000 else { throw CommandError("keys are held for at most 60000 ms") }
        return milliseconds * 1_000_000
    }
}
