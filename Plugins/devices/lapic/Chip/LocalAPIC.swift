/// Local APIC of one CPU in xAPIC mode: the chip only. `InterruptBus.swift` carries messages between several.
///
/// Source: SDM volume 3, "Advanced Programmable Interrupt Controller"; version 0x14, six local vectors. Its bus clock is
/// 1 GHz: a tick is a nanosecond (edk2's constant, and KVM's).
///
/// Not modelled: x2APIC mode (its bit of the base MSR is reserved: #GP), suppression of EOI broadcasts, focus
/// processors, remote read, the APIC bus's errors; delivery status reads idle. The polarity of LINT0 and LINT1 is kept
/// and not applied: `setLine` says whether a line is asserted, not whether it is high.
public struct LocalAPIC: Sendable {
    // MARK: State: a snapshot is exactly this, and its defaults are the reset values

    public struct State: Equatable, Sendable {
        public var base: Base = [Base(rawValue: 0xFEE0_0000), .enabled]
        public var id: UInt8 = 0
        public var taskPriority: UInt8 = 0
        /// LDR bits 31:24.
        public var logicalID: UInt8 = 0
        /// DFR bits 31:28: 15 flat, 0 cluster; others match no logical destination.
        public var destinationFormat: UInt8 = 15
        public var spurious = Spurious(rawValue: 0xFF)
        public var requests = VectorSet()
        public var inService = VectorSet()
        public var levelTriggered = VectorSet()
        /// What ESR shows: errors until its last write.
        public var errors: Errors = []
        /// Errors since.
        public var newErrors: Errors = []
        public var commandLow: UInt32 = 0
        public var commandHigh: UInt32 = 0
        public var timer = LocalVector.masked
        public var thermal = LocalVector.masked
        public var performance = LocalVector.masked
        public var lint0 = LocalVector.masked
        public var lint1 = LocalVector.masked
        public var error = LocalVector.masked
        /// Divide configuration, bits 3, 1 and 0.
        public var divide: UInt8 = 0
        public var initialCount: UInt32 = 0
        /// Current count at time `since`; 0: the timer stands.
        public var count: UInt32 = 0
        /// Nanoseconds.
        public var since: UInt64 = 0
        /// IA32_TSC_DEADLINE; 0: not armed.
        public var deadline: UInt64 = 0
        /// When the deadline comes, in nanoseconds; nil: not armed, or never.
        public var deadlineTime: UInt64?
        /// Whether LINT0 and LINT1 are asserted, kept so that a restored machine sees no false edge.
        public var lines: UInt8 = 0
        /// An ExtINT message that no acknowledge has answered yet.
        public var externalLatched = false
        public init() {}
    }

    public internal(set) var state = State()
    /// What the pins that are not levels did since `takeOutputs`: on its way to the owner, not state of the chip.
    var outputs = Outputs()

    /// What one access or message makes the chip say.
    public struct Outputs: Equatable, Sendable {
        /// To the bus: an IPI. Its sender is among the receivers where the destination says so.
        public var sent: InterruptMessage?
        /// The vector of a level-triggered interrupt that ended: for the I/O APICs.
        public var endedVector: UInt8?
        public var nonMaskable = false
        public var systemManagement = false
        /// The chip is reset already.
        public var initialize = false
        /// SIPI: the CPU starts at `startUp` << 12, if it waits for one.
        public var startUp: UInt8?
        public init() {}
    }

    let initialID: UInt8
    let isBootstrap: Bool
    let addressMask: UInt64
    /// TSC ticks in a second.
    let tscHertz: UInt64

    /// `physicalAddressBits`: CPUID's, 32...52. `tscHertz` is for deadlines; 0 is taken as 1 GHz.
    public init(
        id: UInt8, isBootstrap: Bool, physicalAddressBits: UInt8 = 40, tscHertz: UInt64 = 1_000_000_000
    ) {
        initialID = id
        self.isBootstrap = isBootstrap
        addressMask = (1 &<< UInt64(min(max(physicalAddressBits, 32), 52))) &- 1
        self.tscHertz = tscHertz == 0 ? 1_000_000_000 : tscHertz
        reset()
    }

    /// Power-up. LINT0 of the bootstrap CPU is ExtINT: where no firmware sets up virtual wire mode, as with a kernel that
    /// a loader starts, the PIC's interrupts arrive all the same (KVM and QEMU do so too).
    public mutating func reset() {
        let lines = state.lines
        state = State()
        state.lines = lines
        state.id = initialID
        if isBootstrap {
            state.base.insert(.bootstrap)
            state.lint0 = LocalVector(rawValue: 0x700)
        }
        outputs = Outputs()
    }

    /// "Local APIC State After It Receives an INIT-Deassert IPI" and after it was disabled: as at power-up, but for its ID.
    mutating func softReset() {
        let (base, id, lines) = (state.base, state.id, state.lines)
        state = State()
        (state.base, state.id, state.lines) = (base, id, lines)
    }

    /// Takes over a saved state. False, and nothing changes, where it is one that no chip can be in.
    public mutating func restore(_ saved: State) -> Bool {
        guard saved.isPossible, saved.base.rawValue & reservedBase == 0 else { return false }
        state = saved
        outputs = Outputs()
        return true
    }

    /// To be called after every call that changes the chip: a second message would overwrite the first.
    public mutating func takeOutputs() -> Outputs {
        defer { outputs = Outputs() }
        return outputs
    }

    // MARK: Guest side: the page

    /// A read of the register at `offset` (0...0xFF0). Between registers and where none is it reads 0 and is an error.
    public mutating func read(_ offset: UInt16, at now: UInt64) -> UInt32 {
        advance(to: now)
        guard let value = register(offset) else {
            note(.illegalRegister)
            return 0
        }
        return value
    }

    /// What `read` would answer.
    public func peek(_ offset: UInt16, at now: UInt64) -> UInt32 {
        var copy = self
        copy.advance(to: now)
        return copy.register(offset) ?? 0
    }

    private func register(_ offset: UInt16) -> UInt32? {
        switch offset {
        case 0x100..<0x180 where offset & 15 == 0: return state.inService.register(UInt8(offset &>> 4 & 7))
        case 0x180..<0x200 where offset & 15 == 0: return state.levelTriggered.register(UInt8(offset &>> 4 & 7))
        case 0x200..<0x280 where offset & 15 == 0: return state.requests.register(UInt8(offset &>> 4 & 7))
        default: break
        }
        guard let register = Register(rawValue: offset) else { return nil }
        switch register {
        case .id: return UInt32(state.id) &<< 24
        case .version: return 0x0005_0014
        case .taskPriority: return UInt32(state.taskPriority)
        case .arbitrationPriority: return UInt32(arbitrationPriority)
        case .processorPriority: return UInt32(processorPriority)
        case .endOfInterrupt, .remoteRead: return 0
        case .logicalDestination: return UInt32(state.logicalID) &<< 24
        case .destinationFormat: return UInt32(state.destinationFormat) &<< 28 | 0x0FFF_FFFF
        case .spurious: return state.spurious.rawValue
        case .errorStatus: return UInt32(state.errors.rawValue)
        case .commandLow: return state.commandLow
        case .commandHigh: return state.commandHigh
        case .timer: return state.timer.rawValue
        case .thermal: return state.thermal.rawValue
        case .performance: return state.performance.rawValue
        case .lint0: return state.lint0.rawValue
        case .lint1: return state.lint1.rawValue
        case .error: return state.error.rawValue
        case .initialCount: return state.initialCount
        case .currentCount: return state.count
        case .divide: return UInt32(state.divide)
        }
    }

    /// A write of 32 bits. Read-only registers ignore it; where none is it is an error.
    public mutating func write(_ offset: UInt16, _ value: UInt32, at now: UInt64) {
        advance(to: now)
        guard let register = Register(rawValue: offset) else {
            if offset & 15 != 0 || !(0x100..<0x280).contains(offset) { note(.illegalRegister) }
            return
        }
        let high = UInt8(value &>> 24)
        switch register {
        case .id: state.id = high
        case .taskPriority: state.taskPriority = UInt8(truncatingIfNeeded: value)
        case .endOfInterrupt: endOfInterrupt()
        case .logicalDestination: state.logicalID = high
        case .destinationFormat: state.destinationFormat = high &>> 4
        case .spurious: writeSpurious(value)
        case .errorStatus: (state.errors, state.newErrors) = (state.newErrors, [])
        case .commandLow: sendCommand(value)
        case .commandHigh: state.commandHigh = value & 0xFF00_0000
        case .timer: writeTimer(value)
        case .thermal: state.thermal = localVector(.thermal, value)
        case .performance: state.performance = localVector(.performance, value)
        case .lint0: writeLint0(value)
        case .lint1: state.lint1 = localVector(.lint1, value)
        case .error: state.error = localVector(.error, value)
        case .initialCount: startTimer(value, at: now)
        case .divide: writeDivide(value, at: now)
        case .version, .arbitrationPriority, .processorPriority, .remoteRead, .currentCount: break
        }
    }

    /// While the chip is disabled by SVR, mask bits cannot be cleared.
    func localVector(_ source: Source, _ value: UInt32) -> LocalVector {
        var entry = LocalVector(rawValue: value & source.writable)
        if !isSoftwareEnabled { entry.isMasked = true }
        return entry
    }

    private mutating func writeLint0(_ value: UInt32) {
        let remote = state.lint0.remoteRequest
        state.lint0 = localVector(.lint0, value)
        state.lint0.remoteRequest = remote && state.lint0.isLevelTriggered && state.lint0.delivery == .fixed
        sampleLint0()
    }

    private mutating func writeSpurious(_ value: UInt32) {
        state.spurious = Spurious(rawValue: value & Spurious.writable)
        guard !isSoftwareEnabled else { return }
        state.timer.isMasked = true
        state.thermal.isMasked = true
        state.performance.isMasked = true
        state.lint0.isMasked = true
        state.lint1.isMasked = true
        state.error.isMasked = true
    }

    // MARK: Guest side: model-specific registers

    /// IA32_APIC_BASE (0x1B).
    public var base: UInt64 { state.base.rawValue }

    private var reservedBase: UInt64 { ~addressMask | 0x6FF }

    /// False is #GP: a reserved bit is set. Switched off, the chip forgets all but its ID, and LINT0 is INTR.
    public mutating func writeBase(_ value: UInt64, at now: UInt64) -> Bool {
        guard value & reservedBase == 0 else { return false }
        advance(to: now)
        let wasEnabled = isEnabled
        state.base = Base(rawValue: value)
        if wasEnabled != isEnabled { softReset() }
        return true
    }

    /// CR8: the upper half of TPR.
    public var taskPriorityClass: UInt8 { state.taskPriority &>> 4 }
    public mutating func setTaskPriorityClass(_ value: UInt8) { state.taskPriority = value &<< 4 }

    // MARK: Pins, derived from the state and never stored

    /// IA32_APIC_BASE says so; else its page is not there.
    public var isEnabled: Bool { state.base.contains(.enabled) }
    /// SVR says so.
    public var isSoftwareEnabled: Bool { state.spurious.contains(.enabled) }

    /// PPR: what interrupts must exceed.
    public var processorPriority: UInt8 {
        let service = state.inService.highest ?? 0
        return state.taskPriority &>> 4 >= service &>> 4 ? state.taskPriority : service & 0xF0
    }

    /// APR: for lowest-priority delivery.
    public var arbitrationPriority: UInt8 {
        let task = state.taskPriority
        let (request, service) = (state.requests.highest ?? 0, state.inService.highest ?? 0)
        if task &>> 4 >= request &>> 4 && task &>> 4 > service &>> 4 { return task }
        return max(task & 0xF0 & service, request & 0xF0)
    }

    /// Who asks for the CPU.
    public enum Request: Equatable, Sendable {
        /// An acknowledge goes to the PIC.
        case external
        case vector(UInt8)
    }

    /// INTR: what an acknowledge would answer now.
    public var request: Request? {
        if externalRequested { return .external }
        guard isEnabled, let vector = state.requests.highest, vector &>> 4 > processorPriority &>> 4 else { return nil }
        return .vector(vector)
    }

    private var externalRequested: Bool {
        guard isEnabled else { return state.lines & 1 != 0 }
        if state.externalLatched { return true }
        return state.lines & 1 != 0 && !state.lint0.isMasked && state.lint0.delivery == .external
    }
}

extension LocalAPIC.State {
    var isPossible: Bool {
        let entries: [(LocalAPIC.Source, LocalAPIC.LocalVector)] = [
            (.timer, timer), (.thermal, thermal), (.performance, performance), (.lint1, lint1), (.error, error),
        ]
        guard entries.allSatisfy({ $1.rawValue & ~$0.writable == 0 }),
            lint0.rawValue & ~(LocalAPIC.Source.lint0.writable | 1 << 14) == 0,
            spurious.rawValue & ~LocalAPIC.Spurious.writable == 0, destinationFormat < 16,
            errors.isSubset(of: .known), newErrors.isSubset(of: .known), commandHigh & 0x00FF_FFFF == 0,
            commandLow & ~LocalAPIC.commandWritable == 0, divide & ~0b1011 == 0, lines < 4
        else { return false }
        let isDeadline = timer.timerMode == .deadline
        guard count <= initialCount, count == 0 || !isDeadline else { return false }
        return isDeadline || (deadline == 0 && deadlineTime == nil)
    }
}
