// Host side: the chip does no I/O. It says what it needs, and waits with BSY set until it is told how that went.

extension ATAChannel {
    /// What the medium is to do, for at most `bufferSectors` sectors, with DMA `dmaSectors`.
    public struct Request: Equatable, Sendable {
        public enum Operation: UInt8, Sendable { case read, write, flush }
        /// Names the request in `complete`. Never used twice by one channel.
        public var tag: UInt64
        /// 0 or 1.
        public var drive: Int
        public var operation: Operation
        /// First sector and number of sectors; both 0 for a flush.
        public var sector: UInt64
        public var sectors: Int
        /// Write: the guest has turned the write cache off, so the data must be on the medium at completion.
        public var writeThrough: Bool
        /// The data is not the chip's: what is read goes to the DMA channel, what is written came from it.
        public var usesChannel = false

        public var byteCount: Int { sectors * ATAChannel.sectorSize }
    }

    /// How a request went.
    public enum Outcome: UInt8, Sendable {
        case success
        /// The medium could not read or write these sectors.
        case mediumError
        /// The medium turned out to be read-only.
        case writeProtected
        /// The medium has no room for the data (a sparse file on a full disk).
        case noSpace
        /// The medium is gone or failed in another way.
        case deviceFault
    }

    /// The request that waits to be carried out, once; nil: none, or the host has it already. Ask after each guest
    /// access and after each `complete`. A request that the guest abandons (by a reset) is not announced: its late
    /// completion is ignored, so requests of one drive must be carried out in the order in which they were taken.
    public mutating func takeRequest() -> Request? {
        guard outstanding == nil, let request = request(tag: lastTag &+ 1) else { return nil }
        lastTag = request.tag
        outstanding = request.tag
        if request.usesChannel { dmaStep = .medium(UInt32(truncatingIfNeeded: request.sectors)) }
        return request
    }

    /// Copies what a write request is to write.
    /// - Parameter destination: gets the first `Request.byteCount` bytes.
    /// - Returns: bytes copied; 0 where the tag is stale, the request is no write by PIO, or the destination is too short.
    public func copyData(of tag: UInt64, into destination: inout MutableSpan<UInt8>) -> Int {
        guard outstanding == tag, let request = request(tag: tag), request.operation == .write, !request.usesChannel
        else { return 0 }
        let start = Int(state.transfer.position)
        let count = request.byteCount
        guard destination.count >= count, start + count <= state.buffer.count else { return 0 }
        copyBytes(count, from: state.buffer.span, at: start, to: &destination, at: 0)
        return count
    }

    /// Ends a request. A failure of several sectors is not the guest's to see yet: they are requested again one by one,
    /// so that the registers name the bad one and those before it count as done.
    /// - Parameter data: for a successful read at least `Request.byteCount` bytes; fewer are a device fault.
    /// - Returns: false where the tag is stale, which changes nothing.
    @discardableResult
    public mutating func complete(_ tag: UInt64, _ outcome: Outcome, data: Span<UInt8> = Span<UInt8>()) -> Bool {
        guard outstanding == tag, let request = request(tag: tag) else { return false }
        outstanding = nil
        let sectors = UInt32(truncatingIfNeeded: request.sectors)
        if request.usesChannel {
            let isShort = request.operation == .read && data.count < request.byteCount
            completeDMA(request, outcome == .success && isShort ? .deviceFault : outcome)
            return true
        }
        guard outcome == .success || (outcome == .writeProtected && request.operation == .flush) else {
            failRequest(outcome, sectors)
            return true
        }
        if state.transfer.singles > 0 { state.transfer.singles &-= 1 }
        switch state.transfer.kind {
        case .read: fetched(sectors, data)
        case .write: stored(sectors)
        case .verify: verified(sectors)
        case .flush, .standby, .sleep: flushed()
        case .packetRead: fetchedBlocks(sectors, data)
        // Never requested; ended above.
        case .identify, .dmaRead, .dmaWrite, .packet, .reply, .replyDMA, .packetDMA: break
        }
        return true
    }

    /// The host has dropped the request that it had: it is asked for again, under a new tag.
    public mutating func requestAgain() { outstanding = nil }

    // MARK: Inside

    /// The request that the state stands for; nil: it stands for none.
    private func request(tag: UInt64) -> Request? {
        let transfer = state.transfer
        guard transfer.phase == .requested else { return nil }
        let drive = Int(state.select.index)
        let limit = transferLimit
        switch transfer.kind {
        case .identify, .packet, .reply, .replyDMA: return nil
        case .dmaRead, .dmaWrite, .packetDMA: return dmaMediumRequest(tag: tag)
        case .packetRead:
            return Request(
                tag: tag, drive: drive, operation: .read, sector: transfer.next,
                sectors: Int(min(transfer.remaining, UInt32(Self.bufferSectors))), writeThrough: false)
        case .flush, .standby, .sleep:
            return Request(tag: tag, drive: drive, operation: .flush, sector: 0, sectors: 0, writeThrough: false)
        case .read:
            let held = UInt32(transfer.filled) / 512
            let sectors = sectorsToAsk(transfer.remaining &- held, transfer.next &+ UInt64(held), limit, held: held)
            return Request(
                tag: tag, drive: drive, operation: .read, sector: transfer.next &+ UInt64(held), sectors: sectors,
                writeThrough: false)
        case .verify:
            let sectors = sectorsToAsk(transfer.remaining, transfer.next, limit, held: 0)
            return Request(
                tag: tag, drive: drive, operation: .read, sector: transfer.next, sectors: sectors, writeThrough: false)
        case .write:
            let received = UInt32(transfer.blockEnd &- transfer.position) / 512
            let sectors = sectorsToAsk(received, transfer.next, limit, held: 0)
            return Request(
                tag: tag, drive: drive, operation: .write, sector: transfer.next, sectors: sectors,
                writeThrough: !state[state.select.index].settings.writeCache)
        }
    }

    /// As many sectors as are wanted, exist from `next` on, and fit the buffer behind those that it holds.
    private func sectorsToAsk(_ wanted: UInt32, _ next: UInt64, _ limit: UInt64, held: UInt32) -> Int {
        if state.transfer.singles > 0 { return 1 }
        let room = UInt64(Self.bufferSectors) &- UInt64(held)
        return Int(truncatingIfNeeded: min(UInt64(wanted), limit &- next, room))
    }

    mutating func failRequest(_ outcome: Outcome, _ sectors: UInt32) {
        if state.transfer.kind.isPacket {
            return failPacket(outcome == .mediumError ? .unrecoveredRead : .internalFailure)
        }
        if sectors > 1 {
            state.transfer.singles = UInt8(truncatingIfNeeded: sectors)
            return
        }
        let kind = state.transfer.kind
        switch kind {
        case .read, .write, .verify, .dmaRead, .dmaWrite: showBadSector()
        case .identify, .flush, .standby, .sleep, .packet, .reply, .replyDMA, .packetRead, .packetDMA: break
        }
        switch (kind, outcome) {
        case (.read, .mediumError), (.verify, .mediumError), (.dmaRead, .mediumError): fail(.uncorrectable)
        case (.write, .writeProtected), (.dmaWrite, .writeProtected): fail([.writeProtected, .aborted])
        default: fail(.aborted, fault: true)
        }
    }

    /// The registers name the first sector that was not done, and how many were not.
    private mutating func showBadSector() {
        let held = state.transfer.kind == .read ? UInt32(state.transfer.filled) / 512 : 0
        putProgress(sector: state.transfer.next &+ UInt64(held), left: state.transfer.remaining &- held)
    }
}
