/// One ATA channel with up to two drives: the task file at 0x1F0-0x1F7 and the control register at 0x3F6 of a PC's
/// first channel. The chip only: the plugin connects it to ports, an interrupt line and a block device.
///
/// Source: ATA/ATAPI-6 (T13/1410D); ATA/ATAPI-4 and ATA-3 for what older hosts still use: CHS translation,
/// INITIALIZE DEVICE PARAMETERS, RECALIBRATE, the old power management codes, DSC.
///
/// DMA is there where the channel has a host controller with a bus master; where not, IDENTIFY DEVICE claims none and READ and WRITE
/// DMA are aborted (ATA-6 makes them mandatory).
///
/// A CD-ROM drive is a packet device (Packet.swift).
///
/// Not modelled: queued commands, overlapped packet commands, Host Protected Area beyond READ NATIVE MAX ADDRESS, security, SMART, device
/// configuration overlay, removable media, CFA, READ and WRITE BUFFER and LONG, FORMAT TRACK, the standby timer (a
/// drive goes to standby only when told), and the time that anything takes: what needs no medium is done at once.
///
/// Who answers (9.16):
/// - Device 0 alone: it answers for device 1 too, "method 1": registers are its own, Status and Alternate Status read
///   0x00, and commands but EXECUTE DEVICE DIAGNOSTIC are ignored.
/// - Device 1 alone: what a read of device 0 gives is host-specific; this host answers 0x00, so that drivers which take
///   0xFF for "no cable" still look for device 1.
/// - None: the bus floats and every read gives ones, as at an address that nobody claims. (A host with the pull-down on
///   DD7 would give 0x7F; drivers test for 0xFF.)
///
/// Departures that the standard leaves open:
/// - While a command is in progress (BSY or DRQ) the Command Block ignores writes; the standard calls the result
///   indeterminate. SRST always works. A data block that is not wanted any more is thus ended by reading it or by SRST.
/// - A read error sets ERR without DRQ: no junk data is offered, and the registers name the sector, in a block of READ
///   MULTIPLE too. The block that holds the bad sector is not given, all before it are.
/// - A write to a read-only drive fails before any data with WP and ABRT. WP is defined for removable media, so ABRT is
///   there for hosts which do not know it.
/// - A medium or device failure in a write or a flush is DF with ERR and ABRT: hosts look at one or the other.
/// - READ and WRITE MULTIPLE work from power-on with blocks of 16 sectors, and Ultra DMA mode 2 is selected, as firmware leaves
///   them on a PC. All modes run at the speed of the host.
/// - With the write cache on, the interrupt after a block of a write may come before the block is on the medium, but
///   never that after the last one: a command that ended well is stored, and an error names its sector, if it is late.
public struct ATAChannel: Sendable {
    private(set) var drive0: Drive
    private(set) var drive1: Drive
    /// A host controller moves data by DMA.
    public let hasDMA: Bool
    public internal(set) var state = State()
    /// The request that the host has. Not state: a snapshot's I/O is started anew.
    var outstanding: UInt64?
    /// Grows with each request and is never set back, so that no late completion can meet a later request.
    var lastTag: UInt64 = 0
    var dmaStep = DMAStep.waiting
    /// The DMA channel runs. Not state: the host says it anew.
    var isChannelReady = false
    /// How often a write to the Command register took INTRQ down that the guest had not acknowledged. Such a command
    /// may be done at once, and INTRQ is up again before anybody looks; a drive takes its time. Where this count has
    /// grown and `interruptAsserted` is true, an edge-triggered line must be put down and up. Not state.
    public internal(set) var interruptDrops: UInt64 = 0

    public init(device0: Drive = .absent, device1: Drive = .absent, hasDMA: Bool = false) {
        drive0 = device0
        drive1 = device1
        self.hasDMA = hasDMA
        showPacketSignatures()
    }

    /// Power-on and RESET-: both devices as new, the transfer and what the host still has of it forgotten.
    public mutating func reset() {
        // A reset opens no tray and closes none.
        let areOpen = (state.device0.packet.isOpen, state.device1.packet.isOpen)
        state = State()
        (state.device0.packet.isOpen, state.device1.packet.isOpen) = areOpen
        outstanding = nil
        forgetChannel()
        showPacketSignatures()
    }

    /// As after power-on: the defaults of the state are a disk's.
    private mutating func showPacketSignatures() {
        for index: UInt8 in 0...1 where drive(index).isPacketDevice { state[index].resetPacketDevice() }
    }

    // MARK: Guest side: the Command Block, offsets 0...7

    /// A byte of the Command Block; the data register's low byte with the effects of a 16-bit read (see `readData`).
    public mutating func read(_ offset: UInt8) -> UInt8 {
        switch offset {
        case Register.data: return UInt8(truncatingIfNeeded: readData(width: 1))
        case Register.statusOrCommand:
            let status = alternateStatus
            acknowledgeInterrupt()
            return status
        default: return peek(offset)
        }
    }

    /// What `read` would give, without its effects.
    public func peek(_ offset: UInt8) -> UInt8 {
        switch offset {
        case Register.data: return UInt8(truncatingIfNeeded: peekData(width: 1))
        case Register.statusOrCommand: return alternateStatus
        default: return taskFile(offset)
        }
    }

    /// A byte to the Command Block; at the data register a word whose high byte is zero.
    public mutating func write(_ offset: UInt8, _ value: UInt8) {
        if offset == Register.data { return writeData(UInt32(value), width: 1) }
        state.control.remove(.highOrderByte)
        if offset == Register.statusOrCommand, value == Opcode.deviceReset.rawValue, resetsPacketDevice() { return }
        guard anyPresent, state.transfer.phase == .idle, !state.control.contains(.softwareReset) else { return }
        switch offset {
        case Register.device: state.select = DeviceSelect(rawValue: value)
        case Register.statusOrCommand: writeCommand(value)
        default:
            // Both devices take what is written, whichever is selected.
            if drive0.isPresent { state.device0.latch(offset, value) }
            if drive1.isPresent { state.device1.latch(offset, value) }
        }
    }

    // MARK: Guest side: the Control Block

    /// Alternate Status, at the control port: does not acknowledge the interrupt.
    public var alternateStatus: UInt8 {
        guard anyPresent else { return 0xFF }
        guard isPresent(state.select.index) else { return 0x00 }
        if state.control.contains(.softwareReset) { return Status.busy.rawValue }
        let status = state[state.select.index].status
        switch state.transfer.phase {
        case .idle: return status.rawValue
        case .requested: return status.union(.busy).rawValue
        case .dataIn, .dataOut: return status.union(.dataRequest).rawValue
        }
    }

    /// Device Control, at the control port. SRST holds the devices in reset until it is written as zero.
    public mutating func writeControl(_ value: UInt8) {
        let control = DeviceControl(rawValue: value).intersection(.implemented)
        let held = state.control.contains(.softwareReset)
        state.control = control
        if control.contains(.softwareReset) && !held { softwareReset() }
    }

    // MARK: Pins

    /// INTRQ: the selected device's, driven only while nIEN is zero.
    public var interruptAsserted: Bool {
        !state.control.contains(.interruptDisable) && isPresent(state.select.index)
            && state[state.select.index].interruptPending
    }
}

// MARK: - Which device

extension ATAChannel {
    func drive(_ index: UInt8) -> Drive { index == 0 ? drive0 : drive1 }
    mutating func setDrive(_ index: UInt8, _ drive: Drive) { if index == 0 { drive0 = drive } else { drive1 = drive } }

    func isPresent(_ index: UInt8) -> Bool { index == 0 ? drive0.isPresent : drive1.isPresent }

    var anyPresent: Bool { drive0.isPresent || drive1.isPresent }

    /// A register other than Data and Status. While BSY is set all of them read as Status.
    private func taskFile(_ offset: UInt8) -> UInt8 {
        guard anyPresent else { return 0xFF }
        guard drive0.isPresent || state.select.index == 1 else { return 0x00 }
        let status = alternateStatus
        if Status(rawValue: status).contains(.busy) { return status }
        if offset == Register.device { return state.select.rawValue }
        let device = isPresent(state.select.index) ? state[state.select.index] : state.device0
        return device.register(offset, high: state.control.contains(.highOrderByte))
    }

    private mutating func acknowledgeInterrupt() {
        guard isPresent(state.select.index) else { return }
        state[state.select.index].interruptPending = false
    }

    /// SRST: the command ends, both devices show their signature, device 0 is selected and no interrupt is pending.
    private mutating func softwareReset() {
        outstanding = nil
        forgetChannel()
        state.transfer = Transfer()
        state.select = DeviceSelect()
        for index: UInt8 in 0...1 where isPresent(index) {
            if drive(index).isPacketDevice { state[index].resetPacketDevice() } else { state[index].softwareReset() }
        }
    }
}

extension ATAChannel.Device {
    mutating func latch(_ offset: UInt8, _ value: UInt8) {
        switch offset {
        case Register.errorOrFeatures: features = value
        case Register.sectorCount: Self.push(value, &sectorCount)
        case Register.lbaLow: Self.push(value, &lbaLow)
        case Register.lbaMid: Self.push(value, &lbaMid)
        case Register.lbaHigh: Self.push(value, &lbaHigh)
        default: break
        }
    }

    private static func push(_ value: UInt8, _ register: inout UInt16) {
        register = (register &<< 8) | UInt16(value)
    }

    func register(_ offset: UInt8, high: Bool) -> UInt8 {
        let value: UInt16
        switch offset {
        case Register.errorOrFeatures: return error
        case Register.sectorCount: value = sectorCount
        case Register.lbaLow: value = lbaLow
        case Register.lbaMid: value = lbaMid
        case Register.lbaHigh: value = lbaHigh
        default: return 0xFF
        }
        return UInt8(truncatingIfNeeded: high ? value &>> 8 : value)
    }

    /// The signature, which diagnostics leave as well: no command was executed, all tests passed.
    mutating func showSignature(isPacketDevice: Bool = false) {
        let fresh = isPacketDevice ? Self.packetDevice : Self()
        (status, error) = (fresh.status, fresh.error)
        (sectorCount, lbaLow, lbaMid, lbaHigh) = (fresh.sectorCount, fresh.lbaLow, fresh.lbaMid, fresh.lbaHigh)
        interruptPending = false
    }

    mutating func softwareReset() {
        showSignature()
        features = 0
        if power == .sleep { power = .standby }
        guard settings.revertOnReset else { return }
        settings = ATAChannel.Settings()
        settings.revertOnReset = true
    }
}
