import Machine

/// A serial port of the 8250 family.
/// Source: PC16550D data sheet, section 8. Not used: modem lines other than in loopback, parity.
struct UART {
    static let com1 = UART(base: 0x3F8)
    static let com2 = UART(base: 0x2F8)

    let base: UInt16

    // MARK: Registers

    private var data: Port { Port(base) }
    private var interruptEnable: Port { Port(base &+ 1) }
    private var interruptID: Port { Port(base &+ 2) }
    private var fifoControl: Port { Port(base &+ 2) }
    private var lineControl: Port { Port(base &+ 3) }
    private var modemControl: Port { Port(base &+ 4) }
    private var lineStatus: Port { Port(base &+ 5) }
    private var modemStatus: Port { Port(base &+ 6) }
    private var scratch: Port { Port(base &+ 7) }

    struct Interrupts: Flags {  // IER
        let rawValue: UInt8
        static let received = Self(rawValue: 1 << 0)
        static let transmitterEmpty = Self(rawValue: 1 << 1)
    }

    struct LineStatus: Flags {  // LSR
        let rawValue: UInt8
        static let dataReady = Self(rawValue: 1 << 0)
        static let holdingEmpty = Self(rawValue: 1 << 5)
        static let transmitterEmpty = Self(rawValue: 1 << 6)
    }

    struct ModemControl: Flags {  // MCR
        let rawValue: UInt8
        static let terminalReady = Self(rawValue: 1 << 0)
        static let requestToSend = Self(rawValue: 1 << 1)
        static let out2 = Self(rawValue: 1 << 3)  // on a PC: lets the interrupt out
        static let loopback = Self(rawValue: 1 << 4)
        static let working: Self = terminalReady | requestToSend | out2
    }

    enum Cause: UInt8 {  // IIR bits 3:0
        case modemStatus = 0b0000, transmitterEmpty = 0b0010, received = 0b0100, lineStatus = 0b0110, timeout = 0b1100
    }

    private static let divisorAccess: UInt8 = 0x80  // LCR: DLAB
    private static let format8N1: UInt8 = 0x03
    private static let fastest: UInt32 = 115_200  // baud, with a divisor of 1

    // MARK: Presence and set-up

    /// The interrupt enable register keeps its low bits and reads 0 in its high ones; a floating bus does neither.
    var isPresent: Bool {
        lineControl.write(Self.format8N1)
        interruptEnable.write(0)
        guard interruptEnable.read() == 0 else { return false }
        interruptEnable.write(0x0F)
        defer { interruptEnable.write(0) }
        return interruptEnable.read() == 0x0F
    }

    /// Nothing comes in until it is set up: loopback takes SIN from the receiver.
    func disconnect() { control(.loopback) }

    /// 115200 baud, 8N1, FIFOs on with a trigger level of 1, no interrupts.
    func setUp() {
        interruptEnable.write(0)
        lineControl.write(Self.divisorAccess | Self.format8N1)
        data.write(1)
        interruptEnable.write(0)
        lineControl.write(Self.format8N1)
        fifoControl.write(0x01)
        control(.working)
    }

    /// The data rate in baud, from the divisor as it reads back; 0 where that is 0.
    var speed: UInt32 {
        let format = lineControl.read()
        lineControl.write(format | Self.divisorAccess)
        let divisor = UInt32(data.read()) | UInt32(interruptEnable.read()) << 8
        lineControl.write(format)
        return divisor == 0 ? 0 : Self.fastest / divisor
    }

    var is8N1: Bool { lineControl.read() == Self.format8N1 }

    /// From the two FIFO bits of IIR and the scratch register. Call it with the FIFOs switched on.
    var model: StaticString {
        switch interruptID.read() >> 6 {
        case 0b11: return "16550A"
        case 0b10: return "16550"
        default:
            scratch.write(0x5A)
            return scratch.read() == 0x5A ? "16450" : "8250"
        }
    }

    private func control(_ outputs: ModemControl) { modemControl.write(outputs.rawValue) }

    // MARK: Transfers

    private var status: LineStatus { LineStatus(rawValue: lineStatus.read()) }
    var hasInput: Bool { status.contains(.dataReady) }
    var isReady: Bool { status.contains(.holdingEmpty) }
    var isIdle: Bool { status.contains(.transmitterEmpty) }

    func receive() -> UInt8 { data.read() }
    func send(_ byte: UInt8) { data.write(byte) }

    func sendWhenReady(_ byte: UInt8) {
        while !isReady {}
        send(byte)
    }

    // MARK: Interrupts

    func enable(_ interrupts: Interrupts) { interruptEnable.write(interrupts.rawValue) }

    /// The cause that IIR names, or nil where it names none.
    var pendingInterrupt: Cause? {
        let identification = interruptID.read()
        return identification & 1 == 0 ? Cause(rawValue: identification & 0x0F) : nil
    }

    /// Withdraws a cause that reading data does not.
    func acknowledge(_ cause: Cause) {
        switch cause {
        case .modemStatus: _ = modemStatus.read()
        case .lineStatus: _ = lineStatus.read()
        case .transmitterEmpty, .received, .timeout: break  // reading IIR, or the data, has done it
        }
    }

    // MARK: Self tests

    /// In loopback DTR, RTS, OUT1 and OUT2 appear as DSR, CTS, RI and DCD. No data is moved.
    func modemLoopbackWorks() -> Bool {
        defer {
            control(.working)
            _ = modemStatus.read()
        }
        control(.loopback | .requestToSend | .out2)
        guard modemStatus.read() & 0xF0 == 0x90 else { return false }
        control(.loopback | .terminalReady)
        return modemStatus.read() & 0xF0 == 0x20
    }

    /// Sends bytes to itself.
    func dataLoopbackWorks(_ clock: Clock) -> Bool {
        defer { control(.working) }
        control(.loopback | .terminalReady | .requestToSend)
        return returns(0x00, clock) && returns(0x55, clock) && returns(0xAA, clock) && returns(0xFF, clock)
    }

    private func returns(_ byte: UInt8, _ clock: Clock) -> Bool {
        guard clock.wait(milliseconds: 20, until: { isReady }) else { return false }
        send(byte)
        return clock.wait(milliseconds: 20, until: { hasInput }) && receive() == byte
    }
}
