// Commands that move data or need the medium: PIO data-in, PIO data-out, and non-data ones that wait
// (ATA/ATAPI-6 chapter 9).

extension ATAChannel {
    // MARK: Starting

    /// What the buffer holds of IDENTIFY DEVICE or IDENTIFY PACKET DEVICE.
    mutating func offerIdentification() {
        state.transfer.kind = .identify
        state.transfer.remaining = 1
        state.transfer.filled = 512
        offerBlock(512)
    }

    /// - Parameter block: sectors in a DRQ data block; 0: the MULTIPLE commands are off, and this one is aborted.
    mutating func startRead(_ index: UInt8, extended: Bool, block: UInt8) {
        guard block > 0 else { return abort() }
        guard start(.read, index, extended: extended, block: block) else { return }
        beginReadBlock()
    }

    mutating func startWrite(_ index: UInt8, extended: Bool, block: UInt8) {
        guard block > 0 else { return abort() }
        guard !drive(index).readOnly else { return fail([.writeProtected, .aborted]) }
        guard start(.write, index, extended: extended, block: block) else { return }
        acceptBlock()
    }

    mutating func startVerify(_ index: UInt8, extended: Bool) {
        guard start(.verify, index, extended: extended, block: 1) else { return }
        state.transfer.phase = .requested
    }

    /// Standby and sleep write the cache back first: a guest may cut the power after them.
    mutating func startFlush(_ kind: Transfer.Kind) {
        state.transfer.kind = kind
        state.transfer.phase = .requested
    }

    /// Takes the address and count from the registers; false: there is no such sector, and the command has failed with
    /// the registers as the host wrote them.
    mutating func start(_ kind: Transfer.Kind, _ index: UInt8, extended: Bool, block: UInt8) -> Bool {
        guard let addressed = addressed(index, extended: extended), addressed.sector < addressed.limit else {
            fail(.idNotFound)
            return false
        }
        state[index].power = .active
        state.transfer.kind = kind
        state.transfer.addressing = addressed.addressing
        state.transfer.block = block
        state.transfer.next = addressed.sector
        state.transfer.remaining = addressed.count
        return true
    }

    // MARK: Where the command is

    /// The end of the drive as the command in progress addresses it. Above `next` in every phase but idle.
    var transferLimit: UInt64 {
        let addressing = state.transfer.addressing
        return state.select.index == 0
            ? limit(addressing, settings: state.device0.settings, drive: drive0)
            : limit(addressing, settings: state.device1.settings, drive: drive1)
    }

    /// Sectors in the next DRQ data block, when `received` of those that remain have passed already.
    private func blockSectors(after received: UInt32 = 0) -> UInt32 {
        min(UInt32(state.transfer.block), state.transfer.remaining &- received)
    }

    /// ERR and IDNF at the first sector after the drive's end, all before it being done.
    mutating func failAtEnd() {
        let limit = transferLimit
        let passed = UInt32(truncatingIfNeeded: limit &- state.transfer.next)
        putProgress(sector: limit, left: state.transfer.remaining &- passed)
        fail(.idNotFound)
    }

    // MARK: Reads

    /// The guest has taken the last word of a data block.
    mutating func endReadBlock() {
        if state.transfer.kind == .identify { return finish(interrupt: false) }
        if state.transfer.kind.isPacket { return endPacketBlock() }
        let sectors = blockSectors()
        state.transfer.next &+= UInt64(sectors)
        state.transfer.remaining &-= sectors
        putProgress(sector: state.transfer.next &- 1, left: state.transfer.remaining)
        if state.transfer.remaining == 0 { finish(interrupt: false) } else { beginReadBlock() }
    }

    /// Offers the next block from what has been read ahead, or asks the host for more.
    private mutating func beginReadBlock() {
        let sectors = blockSectors()
        guard UInt64(sectors) <= transferLimit &- state.transfer.next else { return failAtEnd() }
        let bytes = UInt16(truncatingIfNeeded: sectors) &* 512
        if state.transfer.filled &- state.transfer.position >= bytes { return offerBlock(bytes) }
        state.transfer.position = 0
        state.transfer.blockEnd = 0
        state.transfer.filled = 0
        state.transfer.phase = .requested
    }

    /// DRQ and an interrupt before each block.
    private mutating func offerBlock(_ bytes: UInt16) {
        state.transfer.blockEnd = state.transfer.position &+ bytes
        state.transfer.phase = .dataIn
        raiseInterrupt()
    }

    mutating func fetched(_ sectors: UInt32, _ data: Span<UInt8>) {
        let start = Int(state.transfer.filled)
        let count = Int(sectors) * Self.sectorSize
        guard data.count >= count, start + count <= state.buffer.count else {
            return failRequest(.deviceFault, sectors)
        }
        var buffer = state.buffer.mutableSpan
        copyBytes(count, from: data, at: 0, to: &buffer, at: start)
        state.transfer.filled &+= UInt16(truncatingIfNeeded: count)
        let block = UInt16(truncatingIfNeeded: blockSectors()) &* 512
        if state.transfer.filled >= block { offerBlock(block) }
    }

    // MARK: Writes

    /// DRQ without an interrupt: the first block of a write needs none.
    private mutating func acceptBlock() {
        state.transfer.position = 0
        state.transfer.blockEnd = UInt16(truncatingIfNeeded: blockSectors()) &* 512
        state.transfer.phase = .dataOut
    }

    /// The guest has written the last word of a data block. With the write cache on, blocks are gathered in the buffer
    /// before the medium is asked: WRITE SECTORS is then one host request for 16 sectors instead of 16.
    mutating func endWriteBlock() {
        if state.transfer.kind == .packet { return executePacket() }
        let received = UInt32(state.transfer.blockEnd) / 512
        putProgress(
            sector: state.transfer.next &+ UInt64(received) &- 1, left: state.transfer.remaining &- received)
        let more = UInt32(state.transfer.blockEnd) &+ blockSectors(after: received) &* 512
        if state[state.select.index].settings.writeCache, more > UInt32(state.transfer.blockEnd),
            more <= UInt32(Self.bufferSize), state.transfer.next &+ UInt64(received) < transferLimit
        {
            state.transfer.blockEnd = UInt16(truncatingIfNeeded: more)
            return raiseInterrupt()
        }
        state.transfer.position = 0
        state.transfer.phase = .requested
    }

    mutating func stored(_ sectors: UInt32) {
        advance(sectors)
        state.transfer.position &+= UInt16(truncatingIfNeeded: sectors) &* 512
        if state.transfer.position < state.transfer.blockEnd {
            if state.transfer.next >= transferLimit { failAtEnd() }
        } else if state.transfer.remaining == 0 {
            finish()
        } else if state.transfer.next >= transferLimit {
            failAtEnd()
        } else {
            acceptBlock()
            raiseInterrupt()
        }
    }

    // MARK: Verify and flush

    mutating func verified(_ sectors: UInt32) {
        advance(sectors)
        putProgress(sector: state.transfer.next &- 1, left: state.transfer.remaining)
        if state.transfer.remaining == 0 {
            finish()
        } else if state.transfer.next >= transferLimit {
            failAtEnd()
        }
    }

    mutating func flushed() {
        if state.transfer.kind == .standby { state[state.select.index].power = .standby }
        if state.transfer.kind == .sleep { state[state.select.index].power = .sleep }
        finish()
    }

    mutating func advance(_ sectors: UInt32) {
        state.transfer.next &+= UInt64(sectors)
        state.transfer.remaining &-= sectors
    }
}
