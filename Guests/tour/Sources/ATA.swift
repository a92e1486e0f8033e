import Machine

/// Why a drive did not do what it was asked.
enum ATAError: Error {
    case timeout
    /// With the status and error registers.
    case refused(status: UInt8, error: UInt8)
    case noDataRequest(status: UInt8)
}

/// The task-file registers of an ATA channel with up to two drives, used by PIO.
/// Source: ATA/ATAPI-6 (T13/1410D), sections 7 (registers), 8 (commands) and 9 (protocols).
/// Not used: DMA, multiple mode, CHS addressing.
struct ATAChannel {
    static let primary = ATAChannel(index: 0, command: 0x1F0, control: 0x3F6)
    static let secondary = ATAChannel(index: 1, command: 0x170, control: 0x376)

    let index: UInt8
    private let command: UInt16
    private let control: UInt16
    /// Nil: completion is polled.
    var line: UInt8?
    /// False where only the command block answers: then there is no reset, and each look at the status acknowledges.
    private var hasControl = true

    private init(index: UInt8, command: UInt16, control: UInt16) {
        self.index = index
        self.command = command
        self.control = control
    }

    // MARK: Registers

    private var data: UInt16 { command }
    private var error: Port { Port(command &+ 1) }
    private var sectorCount: Port { Port(command &+ 2) }
    private var low: Port { Port(command &+ 3) }
    private var mid: Port { Port(command &+ 4) }
    private var high: Port { Port(command &+ 5) }
    private var device: Port { Port(command &+ 6) }
    private var statusPort: Port { Port(command &+ 7) }
    private var commandPort: Port { Port(command &+ 7) }
    private var alternateStatus: Port { Port(control) }
    private var deviceControl: Port { Port(control) }

    struct Status: Flags {
        let rawValue: UInt8
        static let error = Self(rawValue: 1 << 0)
        static let dataRequest = Self(rawValue: 1 << 3)
        static let deviceFault = Self(rawValue: 1 << 5)
        static let busy = Self(rawValue: 1 << 7)
        static let floating: UInt8 = 0xFF  // what no drive at all reads as
    }

    enum Command: UInt8 {
        case readSectors = 0x20, readSectorsExt = 0x24, writeSectors = 0x30, writeSectorsExt = 0x34
        case identifyPacket = 0xA1, flushCache = 0xE7, identify = 0xEC
    }

    private static let softReset: UInt8 = 0x04  // device control
    private static let lba: UInt8 = 0xE0  // device: LBA, and the bits that were once always 1
    private static let secondDrive: UInt8 = 0x10  // device

    /// Without acknowledging the interrupt, where there is a control block.
    private var quietStatus: Status { Status(rawValue: (hasControl ? alternateStatus : statusPort).read()) }
    private var isFree: Bool { !quietStatus.contains(.busy) }

    /// The interrupt handler's part: reading the status withdraws the interrupt.
    func acknowledgeInterrupt() {
        _ = statusPort.read()
        Shared.completions(index).increment()
    }

    // MARK: Presence

    enum Kind { case absent, disk, packet }

    /// Resets the channel where there is one. False: nothing answers.
    mutating func open(_ clock: Clock) -> Bool {
        select(0)
        let status = statusPort.read()
        hasControl = alternateStatus.read() != 0xFF || status == 0xFF
        guard keepsRegisters(0, clock) || keepsRegisters(1, clock) else { return false }
        guard hasControl else { return true }
        deviceControl.write(Self.softReset)
        settle()
        deviceControl.write(0)
        settle()
        return clock.wait(milliseconds: 2000, until: { isFree })
    }

    private func keepsRegisters(_ drive: UInt8, _ clock: Clock) -> Bool {
        select(drive)
        guard quietStatus.rawValue != Status.floating else { return false }
        guard clock.wait(milliseconds: 2000, until: { isFree }) else { return false }
        sectorCount.write(0x55)
        low.write(0xAA)
        return sectorCount.read() == 0x55 && low.read() == 0xAA
    }

    /// From the signature that a reset leaves. Drive 0 answers for a missing drive 1, but with a status of 0.
    func kind(of drive: UInt8) -> Kind {
        select(drive)
        if mid.read() == 0x14, high.read() == 0xEB { return .packet }
        let status = quietStatus
        return status.isEmpty || status.rawValue == Status.floating ? .absent : .disk
    }

    private func select(_ drive: UInt8, address: UInt8 = 0) {
        device.write(Self.lba | (drive == 0 ? 0 : Self.secondDrive) | (address & 0x0F))
        settle()
    }

    /// 400 ns, in which a status is not valid yet: four reads of an ISA port.
    private func settle() {
        for _ in 0..<4 { _ = alternateStatus.read() }
    }

    // MARK: Commands

    /// Starts IDENTIFY and leaves its data where they are.
    func startIdentify(_ drive: UInt8, _ command: Command) {
        select(drive)
        commandPort.write(command.rawValue)
        settle()
    }

    /// Polled: takes IDENTIFY's data to `Buffer.identity`.
    func finishIdentify(_ clock: Clock) throws(ATAError) {
        guard clock.wait(milliseconds: 2000, until: { isFree }) else { throw .timeout }
        try check(wanting: .dataRequest)
        port_in_words(data, Buffer.identity.address, Buffer.sectorSize / 2)
        _ = statusPort.read()
    }

    func read(_ drive: UInt8, _ sector: UInt32, into buffer: Buffer, sectors: UInt32, _ clock: Clock)
        throws(ATAError)
    {
        var seen = Shared.completions(index).value
        start(.readSectors, or: .readSectorsExt, drive, sector, sectors)
        for number in 0..<sectors {
            try complete(after: seen, wanting: .dataRequest, clock)
            seen = Shared.completions(index).value
            port_in_words(data, buffer.address &+ number &* Buffer.sectorSize, Buffer.sectorSize / 2)
        }
    }

    /// The first sector is asked for without an interrupt; one follows each sector.
    func write(_ drive: UInt8, _ sector: UInt32, from buffer: Buffer, sectors: UInt32, _ clock: Clock)
        throws(ATAError)
    {
        start(.writeSectors, or: .writeSectorsExt, drive, sector, sectors)
        guard clock.wait(milliseconds: 2000, until: { isFree }) else { throw .timeout }
        for number in 0..<sectors {
            try check(wanting: .dataRequest)
            let seen = Shared.completions(index).value
            port_out_words(data, buffer.address &+ number &* Buffer.sectorSize, Buffer.sectorSize / 2)
            try complete(after: seen, wanting: .none, clock)
        }
    }

    func flush(_ drive: UInt8, _ clock: Clock) throws(ATAError) {
        let seen = Shared.completions(index).value
        select(drive)
        commandPort.write(Command.flushCache.rawValue)
        try complete(after: seen, wanting: .none, clock)
    }

    private func start(_ short: Command, or long: Command, _ drive: UInt8, _ sector: UInt32, _ sectors: UInt32) {
        let isLong = sector > 0x0FFF_FFFF - sectors
        select(drive, address: isLong ? 0 : UInt8(truncatingIfNeeded: sector >> 24))
        if isLong {  // high halves go first: each register holds two bytes
            sectorCount.write(0)
            low.write(UInt8(truncatingIfNeeded: sector >> 24))
            mid.write(0)
            high.write(0)
        }
        sectorCount.write(UInt8(truncatingIfNeeded: sectors))
        low.write(UInt8(truncatingIfNeeded: sector))
        mid.write(UInt8(truncatingIfNeeded: sector >> 8))
        high.write(UInt8(truncatingIfNeeded: sector >> 16))
        commandPort.write((isLong ? long : short).rawValue)
        settle()
    }

    /// By interrupt where one comes, else by polling. A shared line may announce what is not ours.
    private func complete(after seen: UInt32, wanting wanted: Status, _ clock: Clock) throws(ATAError) {
        let isInterruptDriven = line != nil
        if !isInterruptDriven { settle() }
        let isDone = clock.wait(milliseconds: 5000) {
            (!isInterruptDriven || Shared.completions(index).value != seen) && isFree
        }
        guard isDone else { throw .timeout }
        try check(wanting: wanted)
        if !isInterruptDriven { _ = statusPort.read() }
    }

    private func check(wanting wanted: Status) throws(ATAError) {
        let status = quietStatus
        if status.containsAny(of: .error | .deviceFault) {
            _ = statusPort.read()
            throw .refused(status: status.rawValue, error: error.read())
        }
        guard status.contains(wanted) else { throw .noDataRequest(status: status.rawValue) }
    }
}
