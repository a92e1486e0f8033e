// The other sides of the execution phase: the FIFO without DMA, the DMA channel, the medium.

extension FDC82077 {
    // MARK: FIFO without DMA (4.2)

    mutating func writeTransfer(_ value: UInt8, at now: UInt64) {
        guard isNonDMA, state.transfer.step == .host, opcode?.writes == true else { return }
        let position = Int(state.transfer.position)
        if position < Self.sectorSize { state.buffer[position] = value }
        tookByte(at: now)
    }

    mutating func readTransfer(at now: UInt64) {
        guard isNonDMA, state.transfer.step == .host, opcode?.writes == false else { return }
        tookByte(at: now)
    }

    /// With the FIFO the host has an interrupt for as many bytes as its threshold, without for each.
    private mutating func tookByte(at now: UInt64) {
        state.transfer.position &+= 1
        let group = state.configuration.contains(.fifoDisabled) ? 1 : state.configuration.threshold
        if Int(state.transfer.position) % group == 0 { interruptDrops &+= 1 }
        if Int(state.transfer.position) >= hostLength { hostDone(at: now) }
    }

    /// Bytes that the host moves at once.
    private var hostLength: Int { opcode == .formatTrack ? 4 : Self.sectorSize }

    // MARK: DMA

    public enum Direction: Equatable, Sendable {
        /// The disk is read.
        case toHost
        case toDisk
    }

    /// DRQ, and for what; nil: not asserted.
    public var dmaRequest: Direction? {
        guard state.phase == .execution, !isNonDMA, isGateOpen, let code = opcode, code.movesData else { return nil }
        return code.writes ? .toDisk : .toHost
    }

    /// The channel runs in the direction of `dmaRequest`, or does not any more. A new command begins without it.
    public mutating func setChannelReady(_ isReady: Bool) { isChannelReady = isReady && dmaRequest != nil }

    /// What the channel is to move now, once; nil: nothing. Ask after each access and each event.
    /// - Returns: bytes of the sector that go to memory, or how many are wanted from there.
    public mutating func takeMovement() -> (direction: Direction, bytes: [UInt8], count: Int)? {
        guard isChannelReady, moving == 0, state.transfer.step == .host, let direction = dmaRequest else { return nil }
        let range = Int(state.transfer.position)..<hostLength
        guard !range.isEmpty else { return nil }
        moving = range.count
        return (direction, direction == .toHost ? Array(state.buffer[range]) : [], range.count)
    }

    /// The channel has moved bytes of what `takeMovement` gave. Some, while it does not run any more, are the last: terminal count.
    /// - Parameter data: those that came for the disk.
    public mutating func moved(_ count: Int, data: [UInt8] = [], at now: UInt64) {
        let wanted = moving
        moving = 0
        guard wanted > 0, state.phase == .execution, state.transfer.step == .host else { return }
        let count = min(max(count, 0), wanted)
        let position = Int(state.transfer.position)
        for (index, byte) in data.prefix(count).enumerated() where position + index < Self.sectorSize {
            state.buffer[position + index] = byte
        }
        state.transfer.position &+= UInt16(count)
        if count < wanted { isChannelReady = false }
        if count > 0, !isChannelReady { state.transfer.isEnding = true }
        if state.transfer.isEnding || Int(state.transfer.position) >= hostLength { hostDone(at: now) }
    }

    // MARK: Medium

    public struct Request: Equatable, Sendable {
        public var tag: UInt64
        /// The drive.
        public var unit: Int
        public var isWrite: Bool
        /// Of the image; one sector.
        public var sector: UInt64
        /// What is written.
        public var data: [UInt8]
    }

    public enum Outcome: Equatable, Sendable { case success, writeProtected, failed }

    /// What the medium is to do, once; nil: nothing. Ask after each access and each event.
    public mutating func takeRequest() -> Request? {
        guard state.phase == .execution, state.transfer.step == .medium, issued == nil, let code = opcode else {
            return nil
        }
        guard let place else {
            fail(.missingAddressMark)
            return nil
        }
        lastTag &+= 1
        issued = lastTag
        return Request(
            tag: lastTag, unit: unit, isWrite: code.writes, sector: place, data: code.writes ? state.buffer : [])
    }

    /// The medium has done a request; others than the last are stale and do nothing.
    /// - Parameter data: the sector, of a read.
    public mutating func complete(_ tag: UInt64, _ outcome: Outcome, data: [UInt8] = [], at now: UInt64) {
        guard issued == tag else { return }
        issued = nil
        guard state.phase == .execution, state.transfer.step == .medium, let code = opcode else { return }
        switch outcome {
        case .writeProtected: fail(.notWritable)
        case .failed:
            state.transfer.status2.insert(.dataErrorInData)
            fail(.dataError)
        case .success where code.writes: sectorDone(at: now)
        case .success:
            guard data.count == Self.sectorSize else { return fail(.dataError) }
            state.buffer = data
            offer(at: now)
        }
    }

    /// The request that the medium had will never complete: it is asked for anew.
    public mutating func requestAgain() { issued = nil }

    // MARK: Disks

    /// The disk is taken out of a drive, or put in again.
    public mutating func setOpen(_ unit: Int, _ isOpen: Bool, at now: UInt64) {
        guard drives.indices.contains(unit), state.units[unit].isOpen != isOpen else { return }
        state.units[unit].isOpen = isOpen
        changed(unit, at: now)
    }

    /// Another disk is in the drive; nil: none is.
    public mutating func change(_ unit: Int, _ format: FloppyFormat?, isReadOnly: Bool, at now: UInt64) {
        guard drives.indices.contains(unit) else { return }
        drives[unit] = Drive(format, isReadOnly: isReadOnly)
        state.units[unit].isOpen = false
        changed(unit, at: now)
    }

    /// What was under way with the old disk looks for its sector anew.
    private mutating func changed(_ unit: Int, at now: UInt64) {
        state.units[unit].isChanged = true
        guard state.phase == .execution, unit == self.unit else { return }
        if state.transfer.step == .medium {
            issued = nil
            state.transfer.step = .searching
            state.transfer.deadline = Transfer.never
        }
        turnAgain(at: now)
    }
}
