import CHost

/// The terminal's window while a client paints it (ECMA-48, and xterm's private modes): on its alternate screen, so that it is as before
/// afterwards. Says what is to be written; the board writes it.
struct PaintedWindow {
    private static let clear = "\u{1b}[0m\u{1b}[2J\u{1b}[H"
    /// Alternate screen, cleared.
    private static let enter = "\u{1b}[?1049h" + clear

    /// The alternate screen is on.
    private(set) var isOn = false
    /// Words of the multiplexer's own are over it.
    private var isCovered = false
    /// Whether the cursor was within a line before.
    var wasMidLine = false
    var logScreen: Screen?

    /// What the painter writes is shown.
    var isOpen: Bool { isOn && !isCovered }

    mutating func enter() -> String {
        let sequence = isOn ? Self.clear : Self.enter
        (isOn, isCovered) = (true, false)
        logScreen?.setPainted(true)
        return sequence
    }

    mutating func cover(_ lines: [String]) -> String {
        let start = isCovered ? "" : Self.clear + "\u{1b}[?25h"
        isCovered = true
        return start + lines.map { $0 + "\r\n" }.joined() + "(a key brings the screen back)\r\n"
    }

    mutating func leave() -> String {
        isOn = false
        return CH_TTY_PLAIN
    }
}

extension WindowSize {
    /// Of a terminal that does not know its own.
    static let usual = WindowSize(columns: 80, rows: 25)
}
