// Packet devices (ATA/ATAPI-6, 9.4, 9.5, 9.10 and 9.12): how a command packet comes, how its data goes, how it ends. What the packets say is in
// DiscCommands.swift.

/// Sense key, additional sense code and its qualifier (SPC-3, 4.5).
public struct Sense: Equatable, Sendable {
    public var key: UInt8
    public var code: UInt8
    public var qualifier: UInt8

    public init(_ key: UInt8, _ code: UInt8, _ qualifier: UInt8 = 0) {
        (self.key, self.code, self.qualifier) = (key, code, qualifier)
    }

    public static let none = Self(0x0, 0x00)
    static let noDisc = Self(0x2, 0x3A, 0x00)
    static let unrecoveredRead = Self(0x3, 0x11, 0x00)
    static let internalFailure = Self(0x4, 0x44, 0x00)
    static let invalidCommand = Self(0x5, 0x20, 0x00)
    static let addressOutOfRange = Self(0x5, 0x21, 0x00)
    static let invalidField = Self(0x5, 0x24, 0x00)
    static let removalPrevented = Self(0x5, 0x53, 0x02)
    static let mediumChanged = Self(0x6, 0x28, 0x00)
    static let reset = Self(0x6, 0x29, 0x00)

    var isSound: Bool { key <= 0xF }
}

/// Interrupt reason, in the Sector Count register.
private enum Reason {
    static let command: UInt16 = 0b01  // CoD: a command packet is to come
    static let toHost: UInt16 = 0b10  // I/O: data is to be read
    static let done: UInt16 = 0b11
}

extension ATAChannel {
    static let packetSize: UInt16 = 12
    /// The byte count limit that a host cannot go beyond.
    private static let largestBlock: UInt16 = 0xFFFE

    mutating func executePacketDevice(_ opcode: Opcode?, _ index: UInt8) {
        switch opcode {
        case .packet: startPacket(index)
        case .identifyPacketDevice:
            identifyPacketDevice(index)
            offerIdentification()
        case .identifyDevice, .readSectors:
            // A host that takes it for a disk is told what it is (9.12, PACKET feature set).
            let signature = Device.packetDevice
            (state[index].sectorCount, state[index].lbaLow) = (signature.sectorCount, signature.lbaLow)
            (state[index].lbaMid, state[index].lbaHigh) = (signature.lbaMid, signature.lbaHigh)
            abort()
        case .standby, .standbyATA3, .standbyImmediate, .standbyImmediateATA3: startFlush(.standby)
        case .sleep, .sleepATA3: startFlush(.sleep)
        case .flushCache: startFlush(.flush)
        case .setFeatures, .idle, .idleATA3, .idleImmediate, .idleImmediateATA3, .checkPowerMode, .checkPowerModeATA3:
            if let opcode { executeNonData(opcode, index) }
        default: abort()
        }
    }

    /// DEVICE RESET, which a packet device takes at any time. False: the selected device is none.
    mutating func resetsPacketDevice() -> Bool {
        let index = state.select.index
        guard isPresent(index), drive(index).isPacketDevice, !state.control.contains(.softwareReset) else {
            return false
        }
        outstanding = nil
        forgetChannel()
        state.transfer = Transfer()
        noteDroppedInterrupt()
        state[index].showSignature(isPacketDevice: true)
        // It wakes a drive that sleeps.
        if state[index].power == .sleep { state[index].power = .standby }
        return true
    }

    // MARK: The packet

    private mutating func startPacket(_ index: UInt8) {
        let features = state[index].features
        // OVL is not offered; DMA is where there is a channel.
        guard features & 0b10 == 0, features & 0b01 == 0 || hasDMA else { return abort() }
        let count = (state[index].lbaHigh & 0xFF) &<< 8 | state[index].lbaMid & 0xFF
        state[index].power = .active
        state.transfer.kind = .packet
        state.transfer.addressing = .lba48
        state.transfer.limit = count < 2 ? Self.largestBlock : count & ~1
        state.transfer.blockEnd = Self.packetSize
        state.transfer.phase = .dataOut
        state[index].sectorCount = Reason.command
    }

    /// The packet's last word has been written.
    mutating func executePacket() {
        let index = state.select.index
        let packet = Array(state.buffer.prefix(Int(Self.packetSize)))
        (state.transfer.position, state.transfer.blockEnd) = (0, 0)
        execute(packet: packet, index)
    }

    // MARK: Data

    /// The packet command's data goes by the channel. A state from outside may ask for one that is not there: then it goes by the port.
    private var movesByDMA: Bool { hasDMA && state[state.select.index].features & 1 != 0 }

    /// At most `limit` bytes of a reply; none of it: the command is done.
    mutating func reply(_ bytes: [UInt8], limit: Int) {
        let count = min(bytes.count, limit, Self.bufferSize)
        guard count > 0 else { return finishPacket() }
        for index in 0..<count { state.buffer[index] = bytes[index] }
        // Words go: an odd byte has one beside it.
        if count & 1 != 0 { state.buffer[count] = 0 }
        state.transfer.filled = UInt16(count + (count & 1))
        if movesByDMA {
            state.transfer.kind = .replyDMA
            state.transfer.limit = 0
            state.transfer.phase = .requested
            forgetChannel()
        } else {
            state.transfer.kind = .reply
            offerPacketBlock()
        }
    }

    /// Blocks of the disc, which are on it.
    mutating func readBlocks(_ block: UInt64, count: UInt32) {
        guard count > 0 else { return finishPacket() }
        state.transfer.next = block * 4
        state.transfer.remaining = count &* 4
        state.transfer.phase = .requested
        if movesByDMA {
            state.transfer.kind = .packetDMA
            state.transfer.limit = 0
            forgetChannel()
        } else {
            state.transfer.kind = .packetRead
        }
    }

    mutating func fetchedBlocks(_ sectors: UInt32, _ data: Span<UInt8>) {
        let count = Int(sectors) * Self.sectorSize
        guard data.count >= count, count <= state.buffer.count else { return failPacket(.internalFailure) }
        var buffer = state.buffer.mutableSpan
        copyBytes(count, from: data, at: 0, to: &buffer, at: 0)
        state.transfer.position = 0
        state.transfer.filled = UInt16(truncatingIfNeeded: count)
        advance(sectors)
        offerPacketBlock()
    }

    /// DRQ and an interrupt before each block; the registers say how long it is.
    private mutating func offerPacketBlock() {
        let index = state.select.index
        let bytes = min(state.transfer.limit, state.transfer.filled &- state.transfer.position)
        state.transfer.blockEnd = state.transfer.position &+ bytes
        state.transfer.phase = .dataIn
        state[index].sectorCount = Reason.toHost
        state[index].lbaMid = bytes & 0xFF
        state[index].lbaHigh = bytes &>> 8
        raiseInterrupt()
    }

    /// The guest has taken the last word of a data block.
    mutating func endPacketBlock() {
        if state.transfer.position < state.transfer.filled { return offerPacketBlock() }
        guard state.transfer.kind == .packetRead, state.transfer.remaining > 0 else { return finishPacket() }
        (state.transfer.position, state.transfer.blockEnd, state.transfer.filled) = (0, 0, 0)
        state.transfer.phase = .requested
    }

    // MARK: The end

    mutating func finishPacket() {
        state[state.select.index].sectorCount = Reason.done
        forgetChannel()
        finish()
    }

    /// CHK with the sense key in the Error register; REQUEST SENSE has the rest.
    mutating func failPacket(_ sense: Sense) {
        let index = state.select.index
        state[index].packet.sense = sense
        state[index].error = sense.key &<< 4 | ErrorBits.aborted.rawValue
        state[index].status.insert(.error)
        finishPacket()
    }

    // MARK: What the owner does

    /// The data of a reply that `takeMovement` has announced, into the owner's buffer. False: what is announced is not the chip's.
    public func copyReply(into destination: inout MutableSpan<UInt8>) -> Bool {
        let count = Int(state.transfer.filled)
        guard state.transfer.kind == .replyDMA, destination.count >= count else { return false }
        copyBytes(count, from: state.buffer.span, at: 0, to: &destination, at: 0)
        return true
    }

    /// The operator takes the disc out of a CD-ROM drive, or puts it in. A command that is reading it goes on to its end.
    /// - Returns: false where the drive is none, or locked: then its guest is asked to let the disc go.
    public mutating func press(_ index: UInt8, opens: Bool) -> Bool {
        guard drive(index).isPacketDevice else { return false }
        if opens, isLocked(index) {
            state[index].packet.isEjectWanted = true
            return false
        }
        return setOpen(index, opens)
    }

    /// The guest keeps the disc in the drive.
    public func isLocked(_ index: UInt8) -> Bool { state[index].packet.isLocked && !state[index].packet.isOpen }

    /// - Returns: false where the drive is locked.
    mutating func setOpen(_ index: UInt8, _ isOpen: Bool) -> Bool {
        guard !isOpen || !state[index].packet.isLocked else { return false }
        state[index].packet.isEjectWanted = false
        guard state[index].packet.isOpen != isOpen else { return true }
        state[index].packet.isOpen = isOpen
        if !isOpen { state[index].packet.attention = .mediumChanged }
        return true
    }

    /// The operator puts another disc in the place of this one, through the tray. A command that was reading the old one ends as one without a disc.
    /// - Parameter sectors: of the new disc, in 512 bytes. Throws where it is no disc; then the drive stays open.
    /// - Returns: false where the drive is none, or locked, as `press`; nothing has changed.
    public mutating func change(_ index: UInt8, sectors: UInt64) throws(Drive.Problem) -> Bool {
        guard press(index, opens: true) else { return false }
        if state.select.index == index, state.transfer.kind == .packetRead || state.transfer.kind == .packetDMA {
            outstanding = nil
            failPacket(.noDisc)
        }
        setDrive(index, try drive(index).holding(sectors))
        return setOpen(index, false)
    }

    // MARK: A state from outside

    func isSoundPacket(_ transfer: Transfer, _ drive: Drive) -> Bool {
        let (position, end, filled) = (Int(transfer.position), Int(transfer.blockEnd), Int(transfer.filled))
        guard transfer.addressing == .lba48, transfer.block == 1, transfer.singles == 0, transfer.limit & 1 == 0,
            position & 1 == 0, end & 1 == 0, filled & 1 == 0, filled <= Self.bufferSize
        else { return false }
        let isRead = transfer.kind == .packetRead || transfer.kind == .packetDMA
        let isDMA = transfer.kind == .packetDMA || transfer.kind == .replyDMA
        guard hasDMA || !isDMA, isDMA == (transfer.limit == 0) else { return false }
        guard isRead || (transfer.next == 0 && transfer.remaining == 0) else { return false }
        guard transfer.next <= drive.sectors, UInt64(transfer.remaining) <= drive.sectors &- transfer.next else {
            return false
        }
        switch (transfer.kind, transfer.phase) {
        case (.packet, .dataOut): return filled == 0 && end == Int(Self.packetSize) && position < end
        case (.reply, .dataIn), (.packetRead, .dataIn):
            return position < end && end <= filled && end - position <= Int(transfer.limit)
        case (.replyDMA, .requested): return position == 0 && end == 0 && filled > 0
        case (.packetRead, .requested), (.packetDMA, .requested):
            return position == 0 && end == 0 && filled == 0 && transfer.remaining > 0
        default: return false
        }
    }
}

extension ATAChannel.Device {
    /// The signature of a packet device (9.12), which is not ready for anything but a packet.
    static let packetDevice: Self = {
        var device = Self()
        (device.status, device.lbaMid, device.lbaHigh) = ([], 0x14, 0xEB)
        return device
    }()

    /// Power-on, RESET- and SRST.
    mutating func resetPacketDevice() {
        showSignature(isPacketDevice: true)
        (features, power) = (0, .active)
        (packet.isLocked, packet.isEjectWanted, packet.sense, packet.attention) = (false, false, .none, .reset)
        if settings.revertOnReset {
            settings = ATAChannel.Settings()
            settings.revertOnReset = true
        }
    }
}
