/// The PS/2 keyboard controller (an 8042 with its firmware) with a keyboard and a mouse: ports 0x60 and 0x64, IRQ 1 and
/// IRQ 12, A20 and reset of a PC.
///
/// Sources: IBM PS/2 Hardware Interface Technical Reference, "Keyboard/Auxiliary Device Controller", "Keyboards" and
/// "Auxiliary devices"; Intel UPI-41AH/42AH data sheet; Microsoft's mouse wheel documents for the two wheel protocols.
///
/// Departures, and who needs them:
/// - The command byte is 0x65 at power-on, as a PC's firmware leaves it (keyboard interrupt, translation, mouse off):
///   kernels that are loaded without firmware expect that. A20 is on.
/// - A byte from a device takes 880 us, 11 bits at 12.5 kHz, from the moment at which the output buffer is free: DOS
///   programs read port 0x60 in their own handler and again in the BIOS's and need the same byte twice. What is written
///   is taken at once, and the controller's own answers take no time.
/// - An answer of the controller waits while the output buffer holds a byte that has not been read; it does not replace it.
/// - Self-tests pass at once, without the 300 to 500 ms of a keyboard's.
///
/// Not modelled: passwords (0xA5 takes one and forgets it), commands 0xA0, 0xAC, 0xC1, 0xC2, parity errors and timeouts.
public struct I8042: Sendable {
    /// Nanoseconds that a byte takes from a device.
    public static let byteTime: UInt64 = 880_000

    // MARK: State: a snapshot is exactly this, and its defaults are the reset values

    public struct State: Equatable, Sendable {
        /// Always 32 bytes, without byte 0, which is `commandByte`.
        public var ram = [UInt8](repeating: 0, count: 32)
        public var commandByte: CommandByte = [.keyboardInterrupt, .systemFlag, .auxiliaryOff, .translate]
        public var a20 = true
        /// The output buffer; what port 0x60 gives.
        public var output: UInt8 = 0
        public var outputFull = false
        public var outputIsAuxiliary = false
        public var lastWriteWasCommand = true
        public var expecting: Expecting = .nothing
        /// The controller's answer that waits for the output buffer.
        public var reply: UInt8?
        public var replyIsAuxiliary = false
        /// Translation has seen 0xF0: the next code is a break code.
        public var translatingBreak = false
        /// When the byte that a device sends arrives, ns; nil: none is on its way.
        public var arrival: UInt64?
        public var keyboard = PS2Keyboard.State()
        public var mouse = PS2Mouse.State()

        public init() {}
    }

    public var state: State {
        var all = own
        all.keyboard = keyboard.state
        all.mouse = mouse.state
        return all
    }

    /// The devices' part of it is not used.
    private var own = State()
    var keyboard = PS2Keyboard()
    var mouse = PS2Mouse()

    public init() {}

    /// Power-on and RESET: controller and devices as new; what was pressed counts as released.
    public mutating func reset() { self = I8042() }

    /// Takes over a saved state.
    /// - Returns: false, and nothing is changed, where the state is one that the chip cannot be in.
    public mutating func restore(_ saved: State) -> Bool {
        var (keyboard, mouse) = (PS2Keyboard(), PS2Mouse())
        guard saved.ram.count == 32, saved.ram[0] == 0, saved.commandByte.rawValue & 0x80 == 0,
            saved.reply != nil || !saved.replyIsAuxiliary, saved.outputFull || saved.reply == nil,
            keyboard.restore(saved.keyboard), mouse.restore(saved.mouse)
        else { return false }
        if case .ram(let address) = saved.expecting, address > 31 { return false }
        own = saved
        own.keyboard = PS2Keyboard.State()
        own.mouse = PS2Mouse.State()
        (self.keyboard, self.mouse) = (keyboard, mouse)
        return true
    }

    // MARK: Guest side

    /// Reading port 0x60 empties the output buffer.
    public mutating func read(_ port: Port, at now: UInt64) -> UInt8 {
        advance(to: now)
        guard port == .data else { return status.rawValue }
        let value = own.output
        own.outputFull = false
        own.outputIsAuxiliary = false
        arrange(at: now)
        return value
    }

    /// What `read` would return, without its effects.
    public func peek(_ port: Port, at now: UInt64) -> UInt8 {
        var copy = self
        copy.advance(to: now)
        return port == .data ? copy.own.output : copy.status.rawValue
    }

    /// - Returns: true: the write pulses the machine's reset.
    public mutating func write(_ port: Port, _ value: UInt8, at now: UInt64) -> Bool {
        advance(to: now)
        own.lastWriteWasCommand = port == .statusOrCommand
        let resets = port == .data ? writeData(value, at: now) : writeCommand(value)
        arrange(at: now)
        return resets
    }

    private var status: Status {
        var status: Status = .unlocked
        if own.outputFull { status.insert(.outputFull) }
        if own.commandByte.contains(.systemFlag) { status.insert(.systemFlag) }
        if own.lastWriteWasCommand { status.insert(.command) }
        if own.outputFull && own.outputIsAuxiliary { status.insert(.auxiliary) }
        return status
    }

    private mutating func writeData(_ value: UInt8, at now: UInt64) -> Bool {
        let target = own.expecting
        if target != .password || value == 0 { own.expecting = .nothing }
        switch target {
        case .nothing:
            own.commandByte.remove(.keyboardOff)  // a byte to the device needs its clock
            own.translatingBreak = false
            keyboard.receive(value, at: now)
        case .auxiliary:
            own.commandByte.remove(.auxiliaryOff)
            mouse.receive(value, at: now)
        case .ram(0): own.commandByte = CommandByte(rawValue: value & 0x7F)
        case .ram(let address): own.ram[Int(address & 31)] = value
        case .outputPort: return writeOutputPort(OutputPort(rawValue: value))
        case .keyboardOutput: answer(value)
        case .auxiliaryOutput: answer(value, auxiliary: true)
        case .password: break
        }
        return false
    }

    private mutating func writeOutputPort(_ value: OutputPort) -> Bool {
        own.a20 = value.contains(.a20)
        return !value.contains(.notReset)
    }

    private mutating func writeCommand(_ command: UInt8) -> Bool {
        own.expecting = .nothing
        switch command {
        case 0x20: answer(own.commandByte.rawValue)
        case 0x21...0x3F: answer(own.ram[Int(command & 0x1F)])
        case 0x60...0x7F: own.expecting = .ram(command & 0x1F)
        case 0xA1: answer(0x00)  // firmware version
        case 0xA4: answer(0xF1)  // no password is installed
        case 0xA5: own.expecting = .password
        case 0xA7: own.commandByte.insert(.auxiliaryOff)
        case 0xA8: own.commandByte.remove(.auxiliaryOff)
        case 0xA9, 0xAB: answer(0x00)  // clock and data lines are sound
        case 0xAA: selfTest()
        case 0xAD: own.commandByte.insert(.keyboardOff)
        case 0xAE: own.commandByte.remove(.keyboardOff)
        case 0xC0: answer(0xB3)  // unlocked, colour display, no manufacturing jumper, both data lines high
        case 0xD0: answer(outputPort.rawValue)
        case 0xD1: own.expecting = .outputPort
        case 0xD2: own.expecting = .keyboardOutput
        case 0xD3: own.expecting = .auxiliaryOutput
        case 0xD4: own.expecting = .auxiliary
        case 0xDD: own.a20 = false
        case 0xDF: own.a20 = true
        case 0xE0: answer(testInputs)
        case 0xF0...0xFF: return command & 1 == 0  // pulses output port bits 3:0 where the command's bit is 0
        default: break
        }
        return false
    }

    private mutating func selfTest() {
        own.commandByte.insert(.systemFlag)
        answer(0x55)
    }

    /// Command 0xE0: the clocks of keyboard and auxiliary device, which are low while the interface is off.
    private var testInputs: UInt8 {
        (own.commandByte.contains(.keyboardOff) ? 0 : 1) | (own.commandByte.contains(.auxiliaryOff) ? 0 : 2)
    }

    private mutating func answer(_ value: UInt8, auxiliary: Bool = false) {
        own.reply = value
        own.replyIsAuxiliary = auxiliary
    }

    // MARK: The output buffer

    /// Brings devices and output buffer to `now`. Every guest access does this itself.
    public mutating func advance(to now: UInt64) {
        keyboard.advance(to: now)
        if let arrival = own.arrival, arrival <= now, !own.outputFull {
            own.arrival = nil
            deliver(at: now)
        }
        arrange(at: now)
    }

    /// When `advance` has to be called, ns; nil: nothing is due. Ask again after every call that changes the chip. A time
    /// that has passed is given as `now`.
    public func nextEvent(at now: UInt64) -> UInt64? {
        var next = keyboard.nextRepeat ?? .max
        if !own.outputFull {
            if let arrival = own.arrival {
                next = min(next, arrival)
            } else if auxiliaryOn, let ready = mouse.readyAt {
                next = min(next, ready)
            }
        }
        return next == .max ? nil : max(next, now)
    }

    private var keyboardOn: Bool { !own.commandByte.contains(.keyboardOff) }
    private var auxiliaryOn: Bool { !own.commandByte.contains(.auxiliaryOff) }

    /// The controller's answer goes first; then a device may start to send.
    private mutating func arrange(at now: UInt64) {
        guard !own.outputFull else {
            own.arrival = nil
            return
        }
        if let reply = own.reply {
            fill(reply, auxiliary: own.replyIsAuxiliary)
            own.reply = nil
            own.replyIsAuxiliary = false
            own.arrival = nil
        } else if hasInput(at: now) {
            if own.arrival == nil { own.arrival = Self.add(now, Self.byteTime) }
        } else {
            own.arrival = nil
        }
    }

    private func hasInput(at now: UInt64) -> Bool {
        (keyboardOn && keyboard.hasOutput) || (auxiliaryOn && (mouse.readyAt ?? .max) <= now)
    }

    /// The keyboard before the mouse. Breaks of translated codes need two bytes of the keyboard's.
    private mutating func deliver(at now: UInt64) {
        while keyboardOn, let code = keyboard.next() {
            guard own.commandByte.contains(.translate) else { return fill(code, auxiliary: false) }
            if code == 0xF0 {
                own.translatingBreak = true
                continue
            }
            let translated = ScanCodes.translated(code) | (own.translatingBreak ? 0x80 : 0)
            own.translatingBreak = false
            return fill(translated, auxiliary: false)
        }
        if auxiliaryOn, let byte = mouse.next(at: now) { fill(byte, auxiliary: true) }
    }

    private mutating func fill(_ value: UInt8, auxiliary: Bool) {
        own.output = value
        own.outputFull = true
        own.outputIsAuxiliary = auxiliary
    }

    static func add(_ time: UInt64, _ span: UInt64) -> UInt64 {
        let (sum, overflow) = time.addingReportingOverflow(span)
        return overflow ? .max : sum
    }

    // MARK: Host side

    /// A key of the keyboard.
    /// - Parameters:
    ///   - code: Linux's evdev code (`KEY_ESC` is 1); one that the keyboard does not have does nothing.
    ///   - pressed: a key that is down already is not pressed again: the keyboard repeats by itself.
    public mutating func key(_ code: UInt16, pressed: Bool, at now: UInt64) {
        advance(to: now)
        if pressed { keyboard.press(code, at: now) } else { keyboard.release(code, at: now) }
        arrange(at: now)
    }

    /// Releases every key and button, as when the operator's window loses the focus.
    public mutating func releaseAll(at now: UInt64) {
        advance(to: now)
        keyboard.releaseAll(at: now)
        mouse.move(buttons: 0, at: now)
        arrange(at: now)
    }

    /// A packet of the mouse.
    /// - Parameters:
    ///   - x, y, wheel: counts, as evdev's REL_X, REL_Y and REL_WHEEL: right, down and away from the user are positive.
    ///   - buttons: those that are down: bit 0 left, 1 right, 2 middle, 3 side, 4 extra; nil: as before.
    public mutating func mouse(
        x: Int32 = 0, y: Int32 = 0, wheel: Int32 = 0, buttons: UInt8? = nil, at now: UInt64
    ) {
        advance(to: now)
        mouse.move(x: x, y: y, wheel: wheel, buttons: buttons, at: now)
        arrange(at: now)
    }

    /// The keyboard's lamps: bit 0 scroll lock, 1 num lock, 2 caps lock.
    public var leds: UInt8 { keyboard.state.leds }

    /// The mouse's buttons that are down.
    public var mouseButtons: UInt8 { mouse.state.buttons }

    // MARK: Pins, derived from the state and never stored

    /// IRQ 1. As of the last call that took a time, like the other pins.
    public var keyboardInterrupt: Bool {
        own.outputFull && !own.outputIsAuxiliary && own.commandByte.contains(.keyboardInterrupt)
    }

    /// IRQ 12.
    public var auxiliaryInterrupt: Bool {
        own.outputFull && own.outputIsAuxiliary && own.commandByte.contains(.auxiliaryInterrupt)
    }

    /// Address line 20 passes.
    public var a20: Bool { own.a20 }

    /// What command 0xD0 reads.
    public var outputPort: OutputPort {
        var port: OutputPort = [.notReset, .keyboardData, .auxiliaryData]
        if own.a20 { port.insert(.a20) }
        if keyboardInterrupt { port.insert(.irq1) }
        if auxiliaryInterrupt { port.insert(.irq12) }
        if !keyboardOn { port.insert(.keyboardClock) }
        if !auxiliaryOn { port.insert(.auxiliaryClock) }
        return port
    }
}
