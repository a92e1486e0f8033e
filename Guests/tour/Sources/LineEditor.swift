import Machine

/// Reads a line from the console: echo, backspace, ^U (empties the line), ^C (gives it up), CR or LF at its end.
/// Escape sequences, such as those of cursor keys, are swallowed.
struct LineEditor {
    private enum Key {
        static let cancel: UInt8 = 0x03, bell: UInt8 = 0x07, backspace: UInt8 = 0x08, lineFeed: UInt8 = 0x0A
        static let carriageReturn: UInt8 = 0x0D, kill: UInt8 = 0x15, escape: UInt8 = 0x1B, delete: UInt8 = 0x7F
    }

    private enum EscapeState { case none, started, sequence }

    private let clock: Clock
    private let hasInterrupt: Bool
    private var line = Line()
    private var escape = EscapeState.none
    /// The LF of a CR LF must not end another line.
    private var hasSeenReturn = false

    init(clock: Clock, hasInterrupt: Bool) {
        self.clock = clock
        self.hasInterrupt = hasInterrupt
    }

    mutating func read() -> Line {
        line.removeAll()
        show("tour> ")
        while !take(nextByte()) {}
        return line
    }

    // MARK: Waiting

    /// Halts where an interrupt will end it: the UART's, or else the timer's, after which the UART is looked at.
    private func nextByte() -> UInt8 {
        if canHalt { cpu_disable_interrupts() }
        defer { if canHalt { cpu_enable_interrupts() } }
        while true {
            if !hasInterrupt { Console.poll() }
            if let byte = Console.take(interrupts: hasInterrupt) { return byte }
            if canHalt { cpu_wait_for_interrupt() }
        }
    }

    private var canHalt: Bool {
        if case .ticks = clock.source { return true }
        return hasInterrupt
    }

    // MARK: Editing

    /// True at the end of the line.
    private mutating func take(_ byte: UInt8) -> Bool {
        if isEscaped(byte) { return false }
        let isSecondHalf = hasSeenReturn && byte == Key.lineFeed
        hasSeenReturn = byte == Key.carriageReturn
        if isSecondHalf { return false }

        switch byte {
        case Key.carriageReturn, Key.lineFeed:
            say("")
            return true
        case Key.cancel:
            line.removeAll()
            say("^C")
            return true
        case Key.backspace, Key.delete: erase()
        case Key.kill: while line.count > 0 { erase() }
        case 0x20...0x7E: insert(byte)
        default: break
        }
        return false
    }

    private mutating func insert(_ byte: UInt8) {
        if line.isFull { return Console.send(Key.bell) }
        line.append(byte)
        Console.send(byte)
    }

    private mutating func erase() {
        if line.removeLast() { show("\u{08} \u{08}") }
    }

    /// ESC, then [ or O, then bytes up to the first from @ to ~.
    private mutating func isEscaped(_ byte: UInt8) -> Bool {
        switch escape {
        case .none:
            if byte == Key.escape { escape = .started }
            return byte == Key.escape
        case .started:
            let isSequence = byte == UInt8(ascii: "[") || byte == UInt8(ascii: "O")
            escape = isSequence ? .sequence : .none
            return isSequence
        case .sequence:
            if (0x40...0x7E).contains(byte) { escape = .none }
            return byte >= 0x20
        }
    }
}
