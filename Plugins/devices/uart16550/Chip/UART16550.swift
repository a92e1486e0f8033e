/// PC16550D UART with FIFOs: the chip only. The plugin connects it to ports, an IRQ and a stream.
///
/// Source: National Semiconductor (now Texas Instruments) PC16550D data sheet, TL/C/8652. Comments name its sections by
/// their register.
///
/// Departures, and who needs them:
/// - A character takes no time on the line: it is sent when the host takes it and received when the host gives it. What
///   the line control says when THR is written decides its length. Only the character timeout keeps time, from a
///   1.8432 MHz crystal. The delay of THR empty by a character time (FIFO Interrupt Mode) never occurs.
/// - THR empty (LSR bit 5) and transmitter empty (bit 6) are the same: there is no shift register behind the FIFO, so a
///   host that does not take characters stops the guest after 16, or after 1 in 16450 mode. This is the flow control.
/// - The data sheet's break acts on SOUT only, which idles in loopback; here a break loops back as data does.
/// - Until LCR is written words have 8 bits, though it reads 0, which means 5: a guest that leaves the port as it finds
///   it expects what firmware leaves, and what is typed before a guest sets the port up is kept whole.
/// - The divisor is 12 (9600 baud) at power-on, where the data sheet says nothing: Linux divides by what it finds.
///
/// Not modelled: DMA pins RXRDY and TXRDY (FCR bit 3 is kept), the baud clock output, the times of characters.
public struct UART16550: Sendable {
    // MARK: State: a snapshot is exactly this, and its defaults are the reset values

    public struct State: Equatable, Sendable {
        public var interruptEnable: InterruptEnable = []
        /// Without the two reset bits, which clear themselves; empty in 16450 mode.
        public var fifoControl: FIFOControl = []
        public var lineControl: LineControl = []
        /// LCR has been written since the reset.
        public var hasFormat = false
        public var modemControl: ModemControl = []
        public var scratch: UInt8 = 0
        public var divisor: UInt16 = 12

        /// Errors that LSR shows and that have not been read: bits 4:1.
        public var lineErrors: LineStatus = []
        /// The levels at the CTS, DSR, RI and DCD pins: bits 7:4, true where active.
        public var modemInputs: ModemStatus = []
        /// MSR bits 3:0.
        public var modemDeltas: ModemStatus = []

        /// In 16450 mode one character at most. The oldest character's errors are in `lineErrors`.
        public var receiveQueue = CharacterQueue()
        /// In 16450 mode one character at most.
        public var transmitQueue = CharacterQueue()
        /// What RBR gave last: an empty receiver gives it again.
        public var lastRead: UInt8 = 0

        /// The THR-empty event that IIR reports until it is read or THR is written.
        public var transmitterEmptyPending = false
        /// The receive FIFO's timeout has passed and no character has been read since.
        public var characterTimeout = false
        /// When a character last came into the receive FIFO or was read from it, ns of the machine's clock.
        public var receiveActivity: UInt64 = 0

        public init() {}
    }

    public private(set) var state = State()

    /// Host side: while false, `popTransmit` gives nothing and the guest sees a transmitter that does not empty.
    /// Not part of the state: it belongs to the host's stream, not to the chip.
    public var hostReady = true

    public init() {}

    /// The MR pin (table "UART Reset Configuration"). It does not touch divisor, scratch and RBR, nor the inputs'
    /// levels; characters that the host has not taken are lost.
    public mutating func reset() {
        var fresh = State()
        fresh.divisor = state.divisor
        fresh.scratch = state.scratch
        fresh.lastRead = state.lastRead
        fresh.modemInputs = state.modemInputs
        state = fresh
    }

    /// Takes over a saved state.
    /// - Returns: false, and nothing is changed, where the state is one that the chip cannot be in.
    public mutating func restore(_ saved: State) -> Bool {
        let fifoOn = saved.fifoControl.contains(.enable)
        let depth: UInt8 = fifoOn ? 16 : 1
        guard saved.interruptEnable.isSubset(of: .all),
            fifoOn ? saved.fifoControl.isSubset(of: .stored) : saved.fifoControl.isEmpty,
            saved.hasFormat || saved.lineControl.isEmpty,
            saved.modemControl.isSubset(of: .all),
            saved.lineErrors.isSubset(of: .errors),
            saved.modemInputs.isSubset(of: .lines), saved.modemDeltas.isSubset(of: .deltas),
            saved.receiveQueue.isConsistent, saved.receiveQueue.count <= depth,
            saved.receiveQueue.firstErrors == 0,
            saved.transmitQueue.isConsistent, saved.transmitQueue.count <= depth, saved.transmitQueue.errors == 0,
            !saved.transmitterEmptyPending || saved.transmitQueue.isEmpty,
            !saved.characterTimeout || (fifoOn && !saved.receiveQueue.isEmpty)
        else { return false }
        state = saved
        return true
    }

    // MARK: Guest side

    /// Reads register `offset` (bits 2:0 are decoded) with the effects of a read.
    public mutating func read(_ offset: UInt8, at now: UInt64) -> UInt8 {
        advance(to: now)
        let value = register(offset)
        switch offset & 7 {
        case 0 where !divisorAccess: takeReceived(at: now)
        case 2: if interruptID == .transmitterEmpty { state.transmitterEmptyPending = false }
        case 5: state.lineErrors = []
        case 6: state.modemDeltas = []
        default: break
        }
        return value
    }

    /// What `read` would return, without its effects.
    public func peek(_ offset: UInt8, at now: UInt64) -> UInt8 {
        var copy = self
        copy.advance(to: now)
        return copy.register(offset)
    }

    /// Writes register `offset` (bits 2:0 are decoded). LSR and MSR are read-only: the data sheet reserves writes to
    /// them for factory tests.
    public mutating func write(_ offset: UInt8, _ value: UInt8, at now: UInt64) {
        advance(to: now)
        switch offset & 7 {
        case 0 where divisorAccess: state.divisor = state.divisor & 0xFF00 | UInt16(value)
        case 1 where divisorAccess: state.divisor = state.divisor & 0x00FF | UInt16(value) &<< 8
        case 0: transmit(value, at: now)
        case 1: setInterruptEnable(InterruptEnable(rawValue: value))
        case 2: setFIFOControl(FIFOControl(rawValue: value))
        case 3: setLineControl(LineControl(rawValue: value), at: now)
        case 4: setModemControl(ModemControl(rawValue: value), at: now)
        case 7: state.scratch = value
        default: break
        }
    }

    private func register(_ offset: UInt8) -> UInt8 {
        switch offset & 7 {
        case 0 where divisorAccess: UInt8(truncatingIfNeeded: state.divisor)
        case 1 where divisorAccess: UInt8(truncatingIfNeeded: state.divisor &>> 8)
        case 0: state.receiveQueue.isEmpty ? state.lastRead : state.receiveQueue.first
        case 1: state.interruptEnable.rawValue
        case 2: interruptID.rawValue | (fifoEnabled ? 0xC0 : 0)
        case 3: state.lineControl.rawValue
        case 4: state.modemControl.rawValue
        case 5: lineStatus.rawValue
        case 6: modemLines.union(state.modemDeltas).rawValue
        default: state.scratch
        }
    }

    /// IER: enabling THR empty while THR is empty raises it: Linux tests for it and restarts output with it.
    private mutating func setInterruptEnable(_ value: InterruptEnable) {
        let before = state.interruptEnable
        state.interruptEnable = value.intersection(.all)
        if value.contains(.transmitterEmpty), !before.contains(.transmitterEmpty), state.transmitQueue.isEmpty {
            state.transmitterEmptyPending = true
        }
    }

    /// FCR: the other bits are programmed only where bit 0 is 1; a change of bit 0 clears both FIFOs and raises THR
    /// empty at once (FIFO Interrupt Mode).
    private mutating func setFIFOControl(_ value: FIFOControl) {
        let enable = value.contains(.enable)
        let changes = enable != fifoEnabled
        if changes || (enable && value.contains(.resetReceiver)) { clearReceiver() }
        if changes || (enable && value.contains(.resetTransmitter)) { clearTransmitter() }
        if changes { state.transmitterEmptyPending = true }
        state.fifoControl = enable ? value.intersection(.stored) : []
    }

    private mutating func clearReceiver() {
        state.receiveQueue = CharacterQueue()
        state.lineErrors.subtract(.characterErrors)
        state.characterTimeout = false
    }

    private mutating func clearTransmitter() {
        guard !state.transmitQueue.isEmpty else { return }
        state.transmitQueue = CharacterQueue()
        state.transmitterEmptyPending = true
    }

    private mutating func setLineControl(_ value: LineControl, at now: UInt64) {
        let wasLooping = breakLoops
        state.lineControl = value
        state.hasFormat = true
        if breakLoops, !wasLooping { deliverBreak(at: now) }
    }

    private mutating func setModemControl(_ value: ModemControl, at now: UInt64) {
        let before = modemLines
        let wasLooping = breakLoops
        state.modemControl = value.intersection(.all)
        noteModemChange(from: before)
        if breakLoops, !wasLooping { deliverBreak(at: now) }
    }

    /// A write of THR. While a break is being sent the line is held and the character vanishes (LCR bit 6: the
    /// transmitter then serves as a timer); a character for a full transmitter replaces THR in 16450 mode, and is lost
    /// in FIFO mode.
    private mutating func transmit(_ value: UInt8, at now: UInt64) {
        state.transmitterEmptyPending = false
        let character = value & dataMask
        if !state.lineControl.contains(.setBreak) {
            if loopback {
                deliver(character, errors: [], at: now)
            } else {
                if !fifoEnabled { state.transmitQueue = CharacterQueue() }
                state.transmitQueue.push(character)
            }
        }
        if state.transmitQueue.isEmpty { state.transmitterEmptyPending = true }
    }

    private mutating func takeReceived(at now: UInt64) {
        guard let character = state.receiveQueue.pop() else { return }
        state.lastRead = character
        state.characterTimeout = false
        state.receiveActivity = now
        revealFirstErrors()
    }

    /// LSR: a character's errors show in LSR when it is the FIFO's oldest.
    private mutating func revealFirstErrors() {
        state.lineErrors.formUnion(LineStatus(rawValue: state.receiveQueue.firstErrors &<< 2))
        state.receiveQueue.clearFirstErrors()
    }

    // MARK: Host side

    /// Characters that wait for the host.
    public var transmitPending: Int { Int(state.transmitQueue.count) }

    /// The next character that the guest has sent; nil where there is none or `hostReady` is false.
    public mutating func popTransmit() -> UInt8? {
        guard hostReady, let character = state.transmitQueue.pop() else { return nil }
        if state.transmitQueue.isEmpty { state.transmitterEmptyPending = true }
        return character
    }

    /// How many characters fit now without an overrun; 0 in loopback, where SIN is disconnected.
    public var receiveRoom: Int { loopback ? 0 : Int(depth &- min(state.receiveQueue.count, depth)) }

    /// A character arrives at SIN, with the errors that the line made (of `LineStatus.characterErrors`).
    /// In loopback it is lost: SIN is disconnected.
    public mutating func receive(_ byte: UInt8, errors: LineStatus = [], at now: UInt64) {
        advance(to: now)
        guard !loopback else { return }
        deliver(byte, errors: errors.intersection(.characterErrors), at: now)
    }

    /// SIN is held spacing for longer than a character: one zero character with the break bit (LSR bit 4).
    public mutating func receiveBreak(at now: UInt64) {
        advance(to: now)
        guard !loopback else { return }
        deliverBreak(at: now)
    }

    /// The levels at the modem-status pins, true where active.
    public mutating func setModemInputs(cts: Bool, dsr: Bool, ri: Bool, dcd: Bool) {
        let before = modemLines
        var lines: ModemStatus = []
        if cts { lines.insert(.clearToSend) }
        if dsr { lines.insert(.dataSetReady) }
        if ri { lines.insert(.ringIndicator) }
        if dcd { lines.insert(.carrierDetect) }
        state.modemInputs = lines
        noteModemChange(from: before)
    }

    /// When the character timeout will change the interrupt pin, in ns; nil where nothing is due. Ask again after
    /// every call that changes the chip. A time that has passed is given as `now`.
    public func nextEvent(at now: UInt64) -> UInt64? {
        guard let deadline = timeoutDeadline, output2, state.interruptEnable.contains(.dataReady), !interruptAsserted
        else { return nil }
        return max(deadline, now)
    }

    /// Brings the chip to `now`. Every guest access and every received character does this itself.
    public mutating func advance(to now: UInt64) {
        if let deadline = timeoutDeadline, now >= deadline { state.characterTimeout = true }
    }

    /// A character reaches the receiver. LSR bit 1: in 16450 mode an unread character is overwritten; a full
    /// FIFO keeps its 16 and the new one is lost.
    private mutating func deliver(_ byte: UInt8, errors: LineStatus, at now: UInt64) {
        if state.receiveQueue.count >= depth {
            state.lineErrors.insert(.overrunError)
            if !fifoEnabled { state.receiveQueue = CharacterQueue() }
        }
        state.receiveActivity = now
        state.receiveQueue.push(byte & dataMask, errors: errors.rawValue &>> 2)
        if state.receiveQueue.count == 1 { revealFirstErrors() }
    }

    /// A break is a zero character whose stop bit is 0, which is also a framing error (LSR bit 3), and whose parity bit
    /// is 0, which is wrong for odd parity and for a parity bit stuck at 1 (LCR bits 4 and 5).
    private mutating func deliverBreak(at now: UInt64) {
        var errors: LineStatus = [.breakInterrupt, .framingError]
        if state.lineControl.contains(.parity), !state.lineControl.contains(.evenParity) { errors.insert(.parityError) }
        deliver(0, errors: errors, at: now)
    }

    /// MSR: a delta bit for each line that changed since MSR was read; RI only counts when it ends.
    private mutating func noteModemChange(from before: ModemStatus) {
        let changed = before.symmetricDifference(modemLines)
        var deltas = ModemStatus(rawValue: changed.rawValue &>> 4)
        if modemLines.contains(.ringIndicator) { deltas.remove(.trailingEdgeRing) }
        state.modemDeltas.formUnion(deltas)
    }

    // MARK: Pins and registers, derived from the state and never stored

    public var fifoEnabled: Bool { state.fifoControl.contains(.enable) }

    private var dataMask: UInt8 { state.hasFormat ? state.lineControl.dataMask : 0xFF }
    private var depth: UInt8 { fifoEnabled ? 16 : 1 }
    private var divisorAccess: Bool { state.lineControl.contains(.divisorAccess) }
    private var loopback: Bool { state.modemControl.contains(.loopback) }
    private var breakLoops: Bool { loopback && state.lineControl.contains(.setBreak) }

    /// Four character times in ns: half bits x divisor x 16 clocks of 1.8432 MHz, x 4 / 2. A divisor of 0, which the
    /// data sheet excludes, counts as 1: the shortest wait.
    private var timeoutLength: UInt64 {
        UInt64(state.lineControl.characterHalfBits) &* UInt64(max(state.divisor, 1)) &* 156_250 / 9
    }

    /// When the character timeout falls due; nil while its timer does not run.
    private var timeoutDeadline: UInt64? {
        guard fifoEnabled, !state.characterTimeout, !state.receiveQueue.isEmpty else { return nil }
        let (deadline, overflow) = state.receiveActivity.addingReportingOverflow(timeoutLength)
        return overflow ? nil : deadline
    }

    private var lineStatus: LineStatus {
        var status = state.lineErrors
        if !state.receiveQueue.isEmpty { status.insert(.dataReady) }
        if state.transmitQueue.isEmpty { status.formUnion([.transmitHoldingEmpty, .transmitterEmpty]) }
        let marked = state.receiveQueue.errors != 0 || !state.lineErrors.isDisjoint(with: .characterErrors)
        if fifoEnabled, marked { status.insert(.receiveFIFOError) }
        return status
    }

    /// MSR bits 7:4: the pins, or in loopback the modem control register's outputs (MCR bit 4).
    private var modemLines: ModemStatus {
        guard loopback else { return state.modemInputs }
        var lines: ModemStatus = []
        if state.modemControl.contains(.requestToSend) { lines.insert(.clearToSend) }
        if state.modemControl.contains(.dataTerminalReady) { lines.insert(.dataSetReady) }
        if state.modemControl.contains(.output1) { lines.insert(.ringIndicator) }
        if state.modemControl.contains(.output2) { lines.insert(.carrierDetect) }
        return lines
    }

    /// The pending interrupt of the highest priority (table "Interrupt Control Functions").
    public var interruptID: InterruptID {
        let enable = state.interruptEnable
        if enable.contains(.lineStatus), !state.lineErrors.isEmpty { return .lineStatus }
        if enable.contains(.dataReady) {
            let trigger = fifoEnabled ? state.fifoControl.triggerLevel : 1
            if state.receiveQueue.count >= trigger { return .dataReady }
            if state.characterTimeout { return .characterTimeout }
        }
        if enable.contains(.transmitterEmpty), state.transmitterEmptyPending { return .transmitterEmpty }
        if enable.contains(.modemStatus), !state.modemDeltas.isEmpty { return .modemStatus }
        return .none
    }

    /// The chip's INTR pin.
    public var interruptRequested: Bool { interruptID != .none }

    /// The interrupt line of the PC's serial card: INTR through a gate that the OUT2 pin opens. Loopback forces that
    /// pin inactive, so the line is then low.
    public var interruptAsserted: Bool { output2 && interruptRequested }

    /// The modem-control pins, true where active; loopback forces them inactive (MCR bit 4).
    public var dataTerminalReady: Bool { !loopback && state.modemControl.contains(.dataTerminalReady) }
    public var requestToSend: Bool { !loopback && state.modemControl.contains(.requestToSend) }
    public var output1: Bool { !loopback && state.modemControl.contains(.output1) }
    public var output2: Bool { !loopback && state.modemControl.contains(.output2) }

    /// SOUT is held spacing. In loopback SOUT is marking.
    public var sendingBreak: Bool { !loopback && state.lineControl.contains(.setBreak) }
}
