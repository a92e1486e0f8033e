// What a snapshot of the channel holds, and the check of one that comes from outside.

extension ATAChannel {
    /// Bytes in a sector, and sectors in the channel's buffer: the largest block of READ and WRITE MULTIPLE.
    public static let sectorSize = 512
    public static let bufferSectors = 16
    public static let bufferSize = 8192

    /// The two devices, the registers that they share, and the command in progress. The defaults are the reset values.
    public struct State: Equatable, Sendable {
        public var device0 = Device()
        public var device1 = Device()
        public var select = DeviceSelect()
        public var control: DeviceControl = []
        public var transfer = Transfer()
        /// `bufferSize` bytes: read data not yet taken by the guest, or written data not yet taken by the medium.
        public var buffer = [UInt8](repeating: 0, count: ATAChannel.bufferSize)
        public init() {}

        public subscript(index: UInt8) -> Device {
            get { index == 0 ? device0 : device1 }
            set { if index == 0 { device0 = newValue } else { device1 = newValue } }
        }
    }

    /// What each device has of its own. The default register values are the signature of an ATA device.
    public struct Device: Equatable, Sendable {
        public var status: Status = [.ready, .seekComplete]
        /// Error register: `ErrorBits` after a command, a `DiagnosticCode` after a reset.
        public var error = DiagnosticCode.passed.rawValue
        public var features: UInt8 = 0
        /// Two-byte stacks (48-bit Address feature set): the low byte was written last, the high byte before it.
        public var sectorCount: UInt16 = 1
        public var lbaLow: UInt16 = 1
        public var lbaMid: UInt16 = 0
        public var lbaHigh: UInt16 = 0
        public var interruptPending = false
        public var settings = Settings()
        public var power = PowerMode.active
        public var packet = PacketState()
        public init() {}
    }

    /// What a packet device has beside. The defaults are a disk's.
    public struct PacketState: Equatable, Sendable {
        /// What REQUEST SENSE tells, and the drive then forgets.
        public var sense = Sense.none
        /// What the next command but a few is refused with, once; none: nothing.
        public var attention = Sense.none
        /// PREVENT ALLOW MEDIUM REMOVAL.
        public var isLocked = false
        /// The disc is out.
        public var isOpen = false
        /// The button was pressed while the drive was locked: the guest is to hear of it.
        public var isEjectWanted = false
        public init() {}
    }

    /// What a software reset keeps unless SET FEATURES 0xCC asked otherwise.
    public struct Settings: Equatable, Sendable {
        public var writeCache = true
        public var lookAhead = true
        /// SET FEATURES 0xCC: a software reset brings the power-on defaults back. 0x66, the power-on value, keeps.
        public var revertOnReset = false
        /// Sectors in a block of READ and WRITE MULTIPLE: 1, 2, 4, 8 or 16; 0: these commands are off. On from the
        /// start, as firmware leaves it on a PC: libata uses what it finds in IDENTIFY word 59 and never sets it.
        public var multiple: UInt8 = 16
        /// SET FEATURES 0x03's last DMA mode. Without DMA always this one, and not shown.
        public var dmaMode: UInt8 = 0x42
        /// INITIALIZE DEVICE PARAMETERS: heads 1...16 and sectors 1...255; both 0: the drive's own geometry.
        public var heads: UInt8 = 0
        public var sectorsPerTrack: UInt8 = 0
        public init() {}
    }

    public enum PowerMode: UInt8, Sendable { case active, idle, standby, sleep }

    /// The command in progress, which is always the selected device's. The defaults mean that there is none.
    public struct Transfer: Equatable, Sendable {
        public enum Phase: UInt8, Sendable {
            case idle
            case requested  // BSY: a `Request` waits for the host or is with it
            case dataIn  // DRQ: the guest reads buffer[position..<blockEnd]
            case dataOut  // DRQ: the guest writes buffer[position..<blockEnd]
        }
        public enum Kind: UInt8, Sendable {
            case identify, read, write, verify, flush, standby, sleep, dmaRead, dmaWrite
            case packet  // the command packet itself
            case reply, replyDMA  // what a packet command tells, from the buffer
            case packetRead, packetDMA  // blocks of a disc

            var isPacket: Bool { rawValue >= Self.packet.rawValue }
        }
        public enum Addressing: UInt8, Sendable { case chs, lba28, lba48 }

        public var phase = Phase.idle
        public var kind = Kind.identify
        public var addressing = Addressing.chs
        /// Sectors in a DRQ data block: 1, 2, 4, 8 or 16.
        public var block: UInt8 = 1
        /// Sectors still to be requested one at a time, to find out which one of a failed request is bad.
        public var singles: UInt8 = 0
        /// First sector not yet given to the guest (read) or to the medium (write), or not yet verified.
        public var next: UInt64 = 0
        /// Sectors from `next` to the end of the command, 1...65536 while there is one.
        public var remaining: UInt32 = 0
        /// Bytes, even. Where the guest is in the buffer; in a requested write, where the medium is.
        public var position: UInt16 = 0
        /// End of the current DRQ data block; in a write, of all data received and not yet on the medium.
        public var blockEnd: UInt16 = 0
        /// End of the data that reads have fetched.
        public var filled: UInt16 = 0
        /// Of a packet command: the most bytes in a DRQ data block, even. 0 for others.
        public var limit: UInt16 = 0
        public init() {}

        var isFlush: Bool { kind == .flush || kind == .standby || kind == .sleep }
    }

    /// Takes a saved state, which may be hostile. False, and nothing changed, where it breaks an invariant or does not
    /// fit this channel's drives. A request that was with the host is asked for again, under a new tag.
    public mutating func restore(_ saved: State) -> Bool {
        guard saved.buffer.count == Self.bufferSize, DeviceControl.implemented.isSuperset(of: saved.control),
            isSound(saved.device0, drive: drive0), isSound(saved.device1, drive: drive1)
        else { return false }
        if saved.transfer.phase == .idle {
            guard saved.transfer == Transfer() else { return false }
        } else {
            guard !saved.control.contains(.softwareReset), isSound(saved.transfer, in: saved) else { return false }
        }
        state = saved
        outstanding = nil
        forgetChannel()
        return true
    }

    private func isSound(_ device: Device, drive: Drive) -> Bool {
        guard drive.isPresent else { return device == Device() }
        guard drive.isPacketDevice || device.packet == PacketState(), device.packet.sense.isSound,
            [.none, .reset, .mediumChanged].contains(device.packet.attention)
        else { return false }
        let settings = device.settings
        let own = settings.heads == 0 && settings.sectorsPerTrack == 0
        return Status([.ready, .seekComplete, .error, .deviceFault]).isSuperset(of: device.status)
            && (hasDMA ? Self.isDMAMode(settings.dmaMode) : settings.dmaMode == Settings().dmaMode)
            && (settings.multiple == 0 || Self.isBlockSize(settings.multiple))
            && (own || ((1...16).contains(settings.heads) && settings.sectorsPerTrack > 0))
    }

    static func isBlockSize(_ sectors: UInt8) -> Bool { sectors <= 16 && sectors.nonzeroBitCount == 1 }

    private func isSound(_ transfer: Transfer, in saved: State) -> Bool {
        let index = saved.select.index
        guard isPresent(index), saved[index].power != .sleep,
            Self.isBlockSize(transfer.block), transfer.position & 1 == 0
        else { return false }
        if transfer.kind.isPacket { return drive(index).isPacketDevice && isSoundPacket(transfer, drive(index)) }
        guard transfer.limit == 0, transfer.kind == .identify || !drive(index).isPacketDevice || transfer.isFlush else {
            return false
        }
        let isDMA = transfer.kind == .dmaRead || transfer.kind == .dmaWrite
        guard transfer.singles <= (isDMA ? Self.dmaSectors : Self.bufferSectors), hasDMA || !isDMA else { return false }
        let limit = limit(transfer.addressing, settings: saved[index].settings, drive: drive(index))
        switch transfer.kind {
        case .identify: return isSoundIdentify(transfer)
        case .read: return isSoundRead(transfer, limit: limit)
        case .write: return !drive(index).readOnly && isSoundWrite(transfer, limit: limit)
        case .dmaWrite where drive(index).readOnly: return false
        case .verify, .dmaRead, .dmaWrite:
            return transfer.phase == .requested && hasSectors(transfer, 1, limit: limit) && transfer.block == 1
                && transfer.position == 0 && transfer.blockEnd == 0 && transfer.filled == 0
        case .flush, .standby, .sleep:
            var plain = Transfer()
            plain.phase = .requested
            plain.kind = transfer.kind
            return transfer == plain
        case .packet, .reply, .replyDMA, .packetRead, .packetDMA: return false
        }
    }

    /// `count` sectors from `next` are on the drive and belong to the command.
    private func hasSectors(_ transfer: Transfer, _ count: Int, limit: UInt64) -> Bool {
        (1...65536).contains(transfer.remaining) && count >= 1 && count <= Int(transfer.remaining)
            && transfer.next < limit && UInt64(truncatingIfNeeded: count) <= limit &- transfer.next
    }

    private func isSoundIdentify(_ transfer: Transfer) -> Bool {
        var plain = Transfer()
        plain.phase = .dataIn
        plain.remaining = 1
        plain.blockEnd = 512
        plain.filled = 512
        plain.position = transfer.position
        return transfer == plain && transfer.position < 512
    }

    private func isSoundRead(_ transfer: Transfer, limit: UInt64) -> Bool {
        let block = Int(min(UInt32(transfer.block), transfer.remaining)) * Self.sectorSize
        let (position, end, filled) = (Int(transfer.position), Int(transfer.blockEnd), Int(transfer.filled))
        guard filled % Self.sectorSize == 0, filled <= Self.bufferSize,
            hasSectors(transfer, block / Self.sectorSize, limit: limit)
        else { return false }
        switch transfer.phase {
        case .requested: return position == 0 && end == 0 && filled < block
        case .dataIn:
            return end % Self.sectorSize == 0 && end >= block && position >= end - block && position < end
                && end <= filled
                && hasSectors(transfer, (filled - end + block) / Self.sectorSize, limit: limit)
        case .idle, .dataOut: return false
        }
    }

    private func isSoundWrite(_ transfer: Transfer, limit: UInt64) -> Bool {
        let (position, end) = (Int(transfer.position), Int(transfer.blockEnd))
        guard end % Self.sectorSize == 0, end <= Self.bufferSize, position < end, transfer.filled == 0,
            hasSectors(transfer, 1, limit: limit)
        else { return false }
        switch transfer.phase {
        case .requested:
            return position % Self.sectorSize == 0 && (end - position) / Self.sectorSize <= Int(transfer.remaining)
        case .dataOut: return end / Self.sectorSize <= Int(transfer.remaining)
        case .idle, .dataIn: return false
        }
    }
}
