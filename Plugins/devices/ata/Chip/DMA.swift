// READ DMA and WRITE DMA (ATA/ATAPI-6, 8.26, 8.61 and 9.8): data goes by a DMA channel, which the host controller's bus master is.
// The chip keeps none of it: the owner holds one piece of up to `dmaSectors` sectors between medium and channel.

extension ATAChannel {
    /// Sectors that move at once.
    public static let dmaSectors = 128

    public enum DMADirection: Equatable, Sendable {
        /// Data-in: the drive is read.
        case toHost
        /// Data-out.
        case toDevice
    }

    /// Where a DMA command is. Not state: after a restore the piece under way is moved anew.
    enum DMAStep: Equatable, Sendable {
        /// For the channel.
        case waiting
        /// A request of so many sectors is with the host.
        case medium(UInt32)
        /// So many sectors are read, and for the channel.
        case read(UInt32)
        /// So many sectors are on their way through the channel.
        case moving(UInt32)
        /// So many sectors have come by the channel, and are for the medium.
        case gathered(UInt32)
    }

    // MARK: Pins

    /// DMARQ, in a command that moves data by DMA; nil: not asserted.
    public var dmaRequest: DMADirection? {
        guard state.transfer.phase == .requested else { return nil }
        switch state.transfer.kind {
        case .dmaRead, .packetDMA, .replyDMA: return .toHost
        case .dmaWrite: return .toDevice
        default: return nil
        }
    }

    /// The channel runs in the direction of `dmaRequest`, or does not any more. A new command begins without it.
    public mutating func setChannelReady(_ isReady: Bool) { isChannelReady = isReady && dmaRequest != nil }

    // MARK: Host side

    /// What the channel is to move now, once; nil: nothing. Ask after each guest access, each `complete` and each answer of the channel.
    /// - Returns: bytes of the last read request that go to memory, or that are wanted from there for the next write request.
    public mutating func takeMovement() -> (direction: DMADirection, byteCount: Int)? {
        guard isChannelReady, let direction = dmaRequest else { return nil }
        if state.transfer.kind == .replyDMA {
            guard dmaStep == .waiting else { return nil }
            dmaStep = .moving(1)
            return (direction, Int(state.transfer.filled))
        }
        let sectors: UInt32
        switch dmaStep {
        case .read(let count): sectors = count
        case .waiting where direction == .toDevice: sectors = piece
        default: return nil
        }
        dmaStep = .moving(sectors)
        return (direction, Int(sectors) * Self.sectorSize)
    }

    /// The channel has moved bytes of what `takeMovement` gave; fewer where it came to its end. What is no whole sector moves again with the
    /// channel's next start: hosts that follow the programming interface give lists that are long enough.
    public mutating func moved(_ byteCount: Int) {
        guard case .moving(let wanted) = dmaStep, let direction = dmaRequest else { return }
        // A reply ends with the transfer, however much of it the host took.
        if state.transfer.kind == .replyDMA { return finishPacket() }
        let sectors = min(wanted, UInt32(clamping: byteCount / Self.sectorSize))
        if sectors < wanted { isChannelReady = false }
        dmaStep = .waiting
        guard sectors > 0 else { return }
        if direction == .toHost { advanceDMA(sectors) } else { dmaStep = .gathered(sectors) }
    }

    // MARK: Inside

    mutating func startDMA(_ kind: Transfer.Kind, _ index: UInt8, extended: Bool) {
        guard hasDMA else { return abort() }
        guard kind == .dmaRead || !drive(index).readOnly else { return fail([.writeProtected, .aborted]) }
        guard start(kind, index, extended: extended, block: 1) else { return }
        state.transfer.phase = .requested
        forgetChannel()
    }

    mutating func forgetChannel() { (dmaStep, isChannelReady) = (.waiting, false) }

    /// The request that a DMA command has for the medium now.
    func dmaMediumRequest(tag: UInt64) -> Request? {
        let isRead = state.transfer.kind != .dmaWrite
        let sectors: UInt32
        switch dmaStep {
        case .medium(let count): sectors = count
        case .waiting where isRead && isChannelReady: sectors = piece
        case .gathered(let count): sectors = count
        default: return nil
        }
        return Request(
            tag: tag, drive: Int(state.select.index), operation: isRead ? .read : .write, sector: state.transfer.next,
            sectors: Int(sectors), writeThrough: !isRead && !state[state.select.index].settings.writeCache,
            usesChannel: true)
    }

    /// Ends a DMA command's request. A read that fails is tried again sector by sector, as with PIO; of a write that fails the registers
    /// name the first sector of the piece.
    mutating func completeDMA(_ request: Request, _ outcome: Outcome) {
        dmaStep = .waiting
        let sectors = UInt32(truncatingIfNeeded: request.sectors)
        guard outcome == .success else {
            return failRequest(outcome, request.operation == .read ? sectors : 1)
        }
        if state.transfer.singles > 0 { state.transfer.singles &-= 1 }
        if request.operation == .read { dmaStep = .read(sectors) } else { advanceDMA(sectors) }
    }

    /// Sectors of the next piece.
    private var piece: UInt32 {
        if state.transfer.singles > 0 { return 1 }
        let there = transferLimit &- state.transfer.next
        return UInt32(truncatingIfNeeded: min(UInt64(state.transfer.remaining), there, UInt64(Self.dmaSectors)))
    }

    private mutating func advanceDMA(_ sectors: UInt32) {
        advance(sectors)
        if state.transfer.remaining == 0 {
            if state.transfer.kind.isPacket { finishPacket() } else { finish() }
        } else if state.transfer.next >= transferLimit {
            failAtEnd()
        }
    }
}
