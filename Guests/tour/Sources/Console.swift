import Machine

/// The UART that the transcript goes to and commands come from: COM1, or COM2 where there is no COM1.
/// Output is polled. Input comes by interrupts into a ring; without an interrupt line the ring is filled by `poll`.
enum Console {
    static var uart: UART? {
        let base = Shared.consoleBase.value
        return base == 0 ? nil : UART(base: UInt16(truncatingIfNeeded: base))
    }

    /// Finds the console and sets it up. Without one all output is dropped.
    static func open() {
        if UART.com1.isPresent { use(.com1) } else if UART.com2.isPresent { use(.com2) }
    }

    /// Switching the FIFOs on empties them, so what has come in already is taken out first, and nothing more let in.
    private static func use(_ uart: UART) {
        Shared.consoleBase.value = UInt32(uart.base)
        uart.disconnect()
        poll()
        uart.setUp()
    }

    // MARK: Output

    static func send(_ byte: UInt8) {
        guard let uart else { return }
        if byte == UInt8(ascii: "\n") { uart.sendWhenReady(UInt8(ascii: "\r")) }
        uart.sendWhenReady(byte)
    }

    static func send(_ text: StaticString) {
        for index in 0..<text.utf8CodeUnitCount {
            // SAFETY: the index is below the length of a string in the image.
            send(unsafe text.utf8Start[index])
        }
    }

    static func send(decimal value: UInt32, digits: UInt32) {
        if value >= 10 || digits > 1 { send(decimal: value / 10, digits: digits > 1 ? digits - 1 : 1) }
        send(UInt8(ascii: "0") + UInt8(value % 10))
    }

    static func send(hex value: UInt32, digits: UInt32) {
        if value >= 16 || digits > 1 { send(hex: value >> 4, digits: digits > 1 ? digits - 1 : 1) }
        let digit = UInt8(value & 15)
        send(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
    }

    /// Returns when the last bit has left the UART.
    static func flush() {
        guard let uart else { return }
        while !uart.isIdle {}
    }

    // MARK: Input

    static var inputIsFull: Bool { Shared.inputHead.value &- Shared.inputTail.value >= Shared.inputSize }

    private static func append(_ byte: UInt8) {
        Shared.input(Shared.inputHead.value).value = UInt32(byte)
        Shared.inputHead.increment()
    }

    /// Moves what the UART has received to the ring. Where the ring is full the rest stays in the UART,
    /// so that its own flow control holds the sender.
    static func poll() {
        guard let uart else { return }
        while !inputIsFull, uart.hasInput { append(uart.receive()) }
    }

    /// The interrupt handler's part. The line is edge-triggered: it must be low when this returns.
    static func serve() {
        guard let uart else { return }
        var rounds = 0
        while let cause = uart.pendingInterrupt, rounds < 1000 {
            uart.acknowledge(cause)
            poll()
            if inputIsFull { uart.enable(.none) }
            rounds += 1
        }
    }

    /// Takes one byte from the ring, and lets the UART interrupt again where a full ring had stopped it.
    /// With interrupts off, where there are any: the handler writes to the ring.
    static func take(interrupts: Bool) -> UInt8? {
        let tail = Shared.inputTail.value
        guard tail != Shared.inputHead.value else { return nil }
        let byte = UInt8(truncatingIfNeeded: Shared.input(tail).value)
        let wasFull = inputIsFull
        Shared.inputTail.increment()
        if interrupts, wasFull { uart?.enable(.received) }
        return byte
    }
}
