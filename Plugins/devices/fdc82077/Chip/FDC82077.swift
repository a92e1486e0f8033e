/// Intel 82077AA floppy disk controller with up to two drives, whose media are images of sectors.
///
/// Source: Intel 82077AA data sheet (290166-007). Comments name its sections.
///
/// Departures, and who needs them:
/// - Seeks, rotation and data are some tens of times as fast as with a drive: a step takes 0.1 ms, the first sector comes after 0.2 ms and each
///   further one after 0.1 ms. The host has half a second for each sector before it is an overrun, since it may not be running.
/// - DRQ is asserted for the whole execution phase; between two sectors nothing moves.
/// - A drive reads every format, at the data rate of that format; a medium of 40 cylinders has them all 40 steps apart.
/// - There are no deleted data marks: WRITE DELETED DATA writes ordinary ones. FORMAT TRACK fills the sectors that the image has; others are
///   lost.
/// - Without a disk, or with its motor off, a drive gives no index pulse, and a command waits until there is one or the chip is reset (as 8.1 says).
///
/// Not modelled: FM (finds no address mark), CRC, gaps, write precompensation, power down, tape drives, Model 30 mode. PART ID is the 82078's,
/// and invalid here.
public struct FDC82077: Sendable {
    /// What a drive is, and what is in it.
    public struct Drive: Equatable, Sendable {
        public var isPresent = false
        /// nil: it is empty.
        public var format: FloppyFormat?
        public var isReadOnly = false
        public init() {}
        public init(_ format: FloppyFormat?, isReadOnly: Bool) {
            (isPresent, self.format, self.isReadOnly) = (true, format, isReadOnly)
        }
    }

    /// The IDENT and MFM pins.
    public enum Mode: Sendable { case at, ps2 }

    // MARK: State: a snapshot is exactly this

    public internal(set) var state = State()

    // MARK: Host side that is no state

    var drives: [Drive]
    let mode: Mode
    /// The DMA channel runs.
    var isChannelReady = false
    /// Bytes that are on their way by the channel; 0: none.
    var moving = 0
    /// The request that the medium has.
    var issued: UInt64?
    var lastTag: UInt64 = 0
    /// Times that INT fell and rose again at once: edges for a host that takes each byte by an interrupt.
    public internal(set) var interruptDrops: UInt64 = 0

    public init(_ mode: Mode = .at, drives: [Drive] = []) {
        self.mode = mode
        let absent = [Drive](repeating: Drive(), count: Self.units)
        self.drives = Array((drives + absent).prefix(Self.units))
    }

    /// RESET. Drives have no such pin; after power-on (`isCold`) their disks are in, and their change latches set.
    public mutating func reset(isCold: Bool) {
        var fresh = State()
        for index in state.units.indices where !isCold {
            fresh.units[index].isOpen = state.units[index].isOpen
            fresh.units[index].cylinder = state.units[index].cylinder
            fresh.units[index].isChanged = state.units[index].isChanged
        }
        state = fresh
        forgetHost()
    }

    // MARK: Guest side

    /// Registers 0 to 5 and 7 from the chip's base on.
    public mutating func read(_ register: UInt8, at now: UInt64) -> UInt8 {
        register == 5 ? readData(at: now) : peek(register)
    }

    /// The same without side effects.
    public func peek(_ register: UInt8) -> UInt8 {
        switch register {
        case 0: mode == .at ? 0xFF : statusA
        case 1: mode == .at ? 0xFF : statusB
        case 2: state.output.rawValue
        case 3: 0xFC | state.tape
        case 4: mainStatus.rawValue
        case 5: peekData
        case 7: input
        default: 0xFF
        }
    }

    public mutating func write(_ register: UInt8, _ value: UInt8, at now: UInt64) {
        switch register {
        case 2: writeOutput(OutputRegister(rawValue: value), at: now)
        case 3: state.tape = value & 3
        case 4:
            state.rate = DataRate(rawValue: value & 3) ?? .kbps250
            if value & 0x80 != 0, !isInReset { softReset() }
            if value & 0x80 != 0, !isInReset { poll() }
        case 5: writeData(value, at: now)
        case 7: state.rate = DataRate(rawValue: value & 3) ?? .kbps250
        default: break
        }
    }

    var isInReset: Bool { !state.output.contains(.notReset) }

    private mutating func writeOutput(_ value: OutputRegister, at now: UInt64) {
        let was = state.output
        state.output = value
        if was.contains(.notReset), !value.contains(.notReset) { softReset() }
        if !was.contains(.notReset), value.contains(.notReset) { poll() }
        if was != value { turnAgain(at: now) }
    }

    /// 2.1.3 and 7: what was under way is given up, CONFIGURE's values are the defaults again but those that LOCK keeps, and cylinder numbers
    /// are forgotten.
    private mutating func softReset() {
        let kept: Configuration = state.isLocked ? state.configuration.intersection(.lockable) : .fifoDisabled
        state.configuration = kept
        if !state.isLocked { state.precompensationTrack = 0 }
        state.perpendicular &= 0b11_1100
        for index in state.units.indices {
            (state.units[index].knownCylinder, state.units[index].seekEnd) = (0, 0)
            (state.units[index].isPending, state.units[index].status) = (false, 0)
        }
        state.isSenseRaised = false
        toCommandPhase()
    }

    /// 7.4: the first look at each drive after a reset finds it changed.
    private mutating func poll() {
        for index in state.units.indices {
            (state.units[index].isPending, state.units[index].status) = (true, Status0.polled.rawValue | UInt8(index))
        }
        state.isSenseRaised = true
    }

    mutating func toCommandPhase() {
        (state.phase, state.bytes, state.position, state.resultInterrupts) = (.command, [], 0, false)
        state.transfer = Transfer()
        forgetHost()
    }

    mutating func forgetHost() { (isChannelReady, moving, issued) = (false, 0, nil) }

    // MARK: Registers that are derived

    private var mainStatus: MainStatus {
        guard !isInReset else { return [] }
        var status = MainStatus(rawValue: seekingUnits)
        switch state.phase {
        case .command:
            status.insert(.request)
            if !state.bytes.isEmpty { status.insert(.commandBusy) }
        case .execution:
            status.insert(.commandBusy)
            guard isNonDMA, opcode?.movesData == true else { break }
            status.insert(.nonDMA)
            if opcode?.writes == false { status.insert(.toHost) }
            if state.transfer.step == .host { status.insert(.request) }
        case .result: status.formUnion([.request, .toHost, .commandBusy])
        }
        return status
    }

    /// The drives that seek, or that a command moves by itself.
    private var seekingUnits: UInt8 {
        var units: UInt8 = 0
        for (index, unit) in state.units.enumerated() where unit.seekEnd != 0 { units |= 1 &<< UInt8(index) }
        return units
    }

    private var selected: (drive: Drive, unit: Unit) { (drives[state.output.drive], state.units[state.output.drive]) }

    /// DIR: disk change. The other bits of AT mode are nobody's.
    private var input: UInt8 {
        let (drive, unit) = selected
        let change: UInt8 = drive.isPresent && (unit.isChanged || medium(state.output.drive) == nil) ? 0x80 : 0
        guard mode == .ps2 else { return change | 0x7F }
        let isHighDensity = state.rate == .kbps500 || state.rate == .mbps1
        return change | 0x78 | state.rate.rawValue << 1 | (isHighDensity ? 0 : 1)
    }

    /// SRA of PS/2 mode: INT PENDING, DRV2#, TRK0#, HDSEL, INDX#, WP#.
    private var statusA: UInt8 {
        var value: UInt8 = interruptAsserted ? 0x84 : 0x04
        if !drives[1].isPresent { value |= 0x40 }
        if !isAtTrack0(state.output.drive) { value |= 0x10 }
        if state.transfer.head != 0 { value |= 0x08 }
        if !isWriteProtected(state.output.drive) { value |= 0x02 }
        return value
    }

    /// SRB of PS/2 mode: drive select 0 and the motors.
    private var statusB: UInt8 { 0xC0 | (state.output.rawValue & 1) << 5 | state.output.rawValue >> 4 & 3 }

    // MARK: Pins

    public var interruptAsserted: Bool {
        guard !isInReset, isGateOpen else { return false }
        if state.isSenseRaised || state.resultInterrupts { return true }
        return state.phase == .execution && isNonDMA && state.transfer.step == .host
    }

    var isGateOpen: Bool { mode == .ps2 || state.output.contains(.gate) }
    var isNonDMA: Bool { state.specified[1] & 1 != 0 }

    // MARK: Drives

    /// nil: there is no disk in it.
    func medium(_ unit: Int) -> FloppyFormat? { state.units[unit & 3].isOpen ? nil : drives[unit & 3].format }
    func isAtTrack0(_ unit: Int) -> Bool { drives[unit & 3].isPresent && state.units[unit & 3].cylinder == 0 }
    /// A drive without a disk shows the same as one with a protected one.
    func isWriteProtected(_ unit: Int) -> Bool {
        drives[unit & 3].isPresent && (medium(unit) == nil || drives[unit & 3].isReadOnly)
    }
}
