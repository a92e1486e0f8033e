/// MC146818A real-time clock plus RAM: the chip, with what the PC added to it. The plugin connects it to ports 0x70 and
/// 0x71, an IRQ and the host's wall clock.
///
/// Sources: Motorola MC146818A data sheet; IBM PC/AT Technical Reference (ports 0x70 and 0x71, NMI mask); for what both
/// leave open the DS12887 family's data sheets, the chips that PCs had later.
///
/// Additions of the PC: 128 bytes instead of 64; a century byte (0x32 by habit) that counts on when the year goes from
/// 99 to 00; bit 7 of port 0x70 masks NMI, and does so after a reset.
///
/// Departures, and who needs them:
/// - Registers A and B start as PC firmware leaves them (32.768 kHz, 1024 Hz; BCD, 24 hours), where the data sheet says
///   nothing: guests that boot without firmware. VRT starts as 1, as with a good battery.
/// - Whatever time base the DV bits name counts as the crystal that is there. The PC's has 32.768 kHz.
/// - The time bytes change all at once when the update ends; during it the guest reads the old time, not garbage.
///
/// Not modelled: daylight saving (DSE is kept, the time does not jump); the divider's test modes (DV 011, 100, 101),
/// which hold the divider like its reset; the MOTEL bus and the STBY and CKOUT pins. The calendar is the chip's: a year
/// is a leap year if its last two digits are divisible by 4, so 2100 is one.
public struct RTC146818: Sendable {
    // MARK: State: a snapshot is exactly this, and its defaults are the reset values

    public struct State: Equatable, Sendable {
        /// The address that port 0x70 selected, 0...127.
        public var index: UInt8 = 0
        /// Bit 7 of port 0x70.
        public var nmiMasked = true
        /// Without UIP.
        public var registerA = RegisterA(rawValue: 0x26)
        public var registerB: RegisterB = .hours24
        /// PF, AF and UF as of `advancedTo`, without IRQF.
        public var registerC: RegisterC = []
        public var registerD: RegisterD = .validRAMAndTime
        /// Always 128 bytes: time, calendar, alarm and RAM as the guest sees them. 10...13 are 0 here. The time is
        /// Saturday, 1 January 00, 00:00:00, as of `advancedTo`.
        public var memory: [UInt8] = [0, 0, 0, 0, 0, 0, 7, 1, 1, 0] + [UInt8](repeating: 0, count: 118)
        /// When UIP rises, ns within each second of the machine's clock, 0..<1_000_000_000.
        public var updatePhase: UInt32 = 0
        /// The update under way will not end: SET or DV was written during it.
        public var updateAborted = false
        /// The machine time, in ns, up to which the registers and flags have been brought.
        public var advancedTo: UInt64 = 0

        public init() {}
    }

    public private(set) var state = State()

    /// The RAM byte that holds the century in the data mode of the other time bytes; nil for none. A property of the
    /// machine, not of the state.
    public let centuryRegister: UInt8?

    /// - Parameter centuryRegister: an address of RAM, 14...127; any other counts as nil.
    public init(centuryRegister: UInt8? = 0x32) {
        if let centuryRegister, (14...127).contains(centuryRegister) {
            self.centuryRegister = centuryRegister
        } else {
            self.centuryRegister = nil
        }
    }

    /// The RESET pin ("Register B", "Register C"): clears PIE, AIE, UIE, SQWE and the flags. RAM, clock, divider and
    /// the other bits of A and B stay. The PC masks NMI.
    public mutating func reset(at now: UInt64) {
        advance(to: now)
        state.registerB.subtract(.clearedByReset)
        state.registerC = []
        state.nmiMasked = true
    }

    /// Takes over a saved state.
    /// - Returns: false, and nothing is changed, where the state is one that the chip cannot be in.
    public mutating func restore(_ saved: State) -> Bool {
        guard saved.index < 128, saved.memory.count == 128, saved.registerA.rawValue < 0x80,
            saved.registerC.isSubset(of: .flags), saved.registerD.isSubset(of: .validRAMAndTime),
            saved.memory[0] < 0x80, saved.memory[10...13] == [0, 0, 0, 0],
            saved.updatePhase < 1_000_000_000
        else { return false }
        state = saved
        return true
    }

    // MARK: Guest side

    /// Reads port 0x70 + `offset`. The index cannot be read back: 0xFF, as from any other offset than 1.
    public mutating func read(_ offset: UInt8, at now: UInt64) -> UInt8 {
        guard offset == 1 else { return 0xFF }
        advance(to: now)
        let value = register(state.index, at: now)
        switch state.index {
        case 12: state.registerC = []
        case 13: state.registerD = .validRAMAndTime  // after a power failure too ("Register D")
        default: break
        }
        return value
    }

    /// What `read` would return, without its effects.
    public func peek(_ offset: UInt8, at now: UInt64) -> UInt8 {
        guard offset == 1 else { return 0xFF }
        var copy = self
        copy.advance(to: now)
        return copy.register(state.index, at: now)
    }

    /// Writes port 0x70 + `offset`; offsets other than 0 and 1 do nothing.
    public mutating func write(_ offset: UInt8, _ value: UInt8, at now: UInt64) {
        advance(to: now)
        switch offset {
        case 0:
            state.index = value & 0x7F
            state.nmiMasked = value & 0x80 != 0
        case 1: setRegister(state.index, to: value, at: now)
        default: break
        }
    }

    private func register(_ index: UInt8, at now: UInt64) -> UInt8 {
        switch index {
        case 10: state.registerA.rawValue | (updateInProgress(at: now) ? 0x80 : 0)
        case 11: state.registerB.rawValue
        case 12: state.registerC.rawValue | (interruptAsserted ? RegisterC.interruptRequest.rawValue : 0)
        case 13: state.registerD.rawValue
        default: memory(index)
        }
    }

    private mutating func setRegister(_ index: UInt8, to value: UInt8, at now: UInt64) {
        switch index {
        case 0: setMemory(0, to: value & 0x7F)  // the seconds' bit 7 is read-only ("Address Map")
        case 10: setRegisterA(RegisterA(rawValue: value & 0x7F), at: now)
        case 11: setRegisterB(RegisterB(rawValue: value), at: now)
        case 12, 13: break
        default: setMemory(index, to: value)
        }
    }

    /// The first update comes half a second after the divider is released ("Divider Control").
    private mutating func setRegisterA(_ value: RegisterA, at now: UInt64) {
        let before = state.registerA.timeBase
        state.registerA = value
        guard value.timeBase != before else { return }
        state.updateAborted = false
        guard before != nil else {
            let rise = (now % DividerChain.second &+ 500_000_000) % DividerChain.second
            state.updatePhase = UInt32(truncatingIfNeeded: rise)
            return
        }
        if let chain, chain.isUpdating(at: now) { state.updateAborted = true }
    }

    /// SET ends an update under way and, when it rises, clears UIE. An update that began under SET does not take place
    /// when SET falls during it.
    private mutating func setRegisterB(_ value: RegisterB, at now: UInt64) {
        let before = state.registerB
        state.registerB = value
        guard value.contains(.set) != before.contains(.set) else { return }
        if value.contains(.set) { state.registerB.remove(.updateInterrupt) }
        if let chain, chain.isUpdating(at: now) { state.updateAborted = true }
    }

    // MARK: Host side

    /// Sets clock and calendar, in the mode that register B says, and the divider's phase, so that the next second
    /// begins (an update ends) when the wall clock's does. The alarm stays.
    /// - Parameters:
    ///   - seconds: seconds since 1970-01-01 00:00 in the time that the clock shall show (UTC, or the host's local time
    ///     where the guest expects that); held to the years 0...9999.
    ///   - nanoseconds: how far that second has got, 0...999_999_999.
    public mutating func setTime(seconds: Int64, nanoseconds: UInt32, at now: UInt64) {
        advance(to: now)
        let time = CivilTime(secondsSince1970: seconds)
        self[.seconds] = encode(time.second)
        self[.minutes] = encode(time.minute)
        self[.hours] = encodeHour(time.hour)
        self[.dayOfWeek] = encode(time.dayOfWeek)
        self[.dayOfMonth] = encode(time.day)
        self[.month] = encode(time.month)
        self[.year] = encode(time.year % 100)
        if let centuryRegister { setMemory(centuryRegister, to: encode(time.year / 100)) }

        let second = DividerChain.second
        let elapsed = min(UInt64(nanoseconds), second &- 1)
        let length = (state.registerA.timeBase ?? .khz32).updateLength
        let back = elapsed &+ DividerChain.beforeUpdate &+ length
        state.updatePhase = UInt32(truncatingIfNeeded: (now % second &+ 2 &* second &- back) % second)
        state.updateAborted = false
    }

    /// Sets a byte of RAM (14...127) as the battery would have kept it; other addresses do nothing.
    public mutating func preset(_ address: UInt8, to value: UInt8) {
        guard (14...127).contains(address) else { return }
        setMemory(address, to: value)
    }

    /// The PS pin falls: power was lost. VRT is 0 until the guest has read register D.
    public mutating func losePower() { state.registerD = [] }

    /// When the interrupt pin will next change, in ns; nil where nothing is due, and while the pin is asserted, which
    /// only the guest ends. Ask again after every call that changes the chip. A time that has passed is given as `now`.
    public func nextEvent(at now: UInt64) -> UInt64? {
        guard let chain, !interruptAsserted else { return nil }
        var next = UInt64.max
        if state.registerB.contains(.periodicInterrupt), state.registerA.tapFrequency > 0 {
            let edge = chain.tapEdge(frequency: state.registerA.tapFrequency, after: state.advancedTo)
            next = edge ?? next
        }
        if let updates = updatesUntilInterrupt() {
            let aborted: UInt64 = state.updateAborted ? 1 : 0
            next = min(next, chain.updateEnd(updates &+ aborted, after: state.advancedTo) ?? next)
        }
        return next == .max ? nil : max(next, now)
    }

    private func updatesUntilInterrupt() -> UInt64? {
        guard !state.registerB.contains(.set) else { return nil }
        if state.registerB.contains(.updateInterrupt) { return 1 }
        return state.registerB.contains(.alarmInterrupt) ? updatesUntilAlarm() : nil
    }

    /// Brings clock and flags to `now`, in O(1) for any span. Every guest access does this itself.
    public mutating func advance(to now: UInt64) {
        let before = state.advancedTo
        guard now > before else { return }
        state.advancedTo = now
        guard let chain else { return }
        let frequency = state.registerA.tapFrequency
        if frequency > 0, let edge = chain.tapEdge(frequency: frequency, after: before), edge <= now {
            state.registerC.insert(.periodic)
        }
        countUpdates(chain.updatesEnded(from: before, to: now))
    }

    private mutating func countUpdates(_ ended: UInt64) {
        guard ended > 0 else { return }
        let updates = ended &- (state.updateAborted ? 1 : 0)
        state.updateAborted = false
        guard updates > 0, !state.registerB.contains(.set) else { return }
        if let alarm = updatesUntilAlarm(), alarm <= updates { state.registerC.insert(.alarm) }
        state.registerC.insert(.updateEnded)
        count(seconds: updates)
    }

    // MARK: Memory

    /// The byte at an address of 0...127.
    func memory(_ address: UInt8) -> UInt8 { state.memory[Int(address & 0x7F)] }

    mutating func setMemory(_ address: UInt8, to value: UInt8) { state.memory[Int(address & 0x7F)] = value }

    subscript(register: TimeRegister) -> UInt8 {
        get { state.memory[register.rawValue] }
        set { state.memory[register.rawValue] = newValue }
    }

    // MARK: Pins, derived from the state and never stored

    /// The divider chain; nil while it is held.
    private var chain: DividerChain? {
        guard let timeBase = state.registerA.timeBase else { return nil }
        return DividerChain(phase: UInt64(state.updatePhase), updateLength: timeBase.updateLength)
    }

    /// UIP.
    private func updateInProgress(at now: UInt64) -> Bool {
        guard let chain, !state.updateAborted, !state.registerB.contains(.set) else { return false }
        return chain.isUpdating(at: now)
    }

    /// The IRQ pin, which is IRQF: a flag and its enable are both set. As of the last call that took a time.
    public var interruptAsserted: Bool {
        state.registerC.rawValue & state.registerB.rawValue & RegisterC.flags.rawValue != 0
    }

    /// NMI does not reach the CPU (port 0x70, bit 7).
    public var nmiMasked: Bool { state.nmiMasked }

    /// The SQW pin at `now`: the selected tap while SQWE is set, otherwise low. The PC leaves it open, and `nextEvent`
    /// does not report its edges.
    public func squareWave(at now: UInt64) -> Bool {
        let frequency = state.registerA.tapFrequency
        guard let chain, state.registerB.contains(.squareWave), frequency > 0 else { return false }
        return chain.tapLevel(frequency: frequency, at: now)
    }
}
