// Execution phase on a disk (5.1): the search for sectors, and where a command ends.

extension FDC82077 {
    /// The unit of the command, which has a drive's number in its second byte.
    var unit: Int { state.bytes.count > 1 ? Int(state.bytes[1] & 3) : 0 }
    /// FORMAT TRACK's SC, EOT of others.
    private var lastSector: UInt8 { opcode == .formatTrack ? state.bytes[3] : state.bytes[6] }
    private var isMultiTrack: Bool { state.bytes[0] & 0x80 != 0 && opcode != .readTrack }
    private var skips: Bool { state.bytes[0] & 0x20 != 0 }

    mutating func startTransfer(_ code: Opcode, at now: UInt64) {
        let bytes = state.bytes
        state.phase = .execution
        state.transfer = Transfer()
        state.transfer.head = bytes[1] >> 2 & 1
        forgetHost()
        var wait = Self.latency
        if bytes.count == 9 {
            (state.transfer.c, state.transfer.h) = (bytes[2], bytes[3])
            (state.transfer.r, state.transfer.n) = (bytes[4], bytes[5])
            if state.configuration.contains(.impliedSeeks) {
                state.transfer.hasSought = true
                wait &+= step(unit, by: Int(bytes[2]) - Int(state.units[unit].knownCylinder))
            }
        }
        if code != .readID { state.lastSectors = lastSector }
        state.transfer.deadline = now &+ wait
    }

    /// A disk or a motor may have come that a command waits for.
    mutating func turnAgain(at now: UInt64) {
        guard state.phase == .execution, state.transfer.step == .searching,
            state.transfer.deadline == Transfer.never
        else { return }
        state.transfer.deadline = now &+ Self.latency
    }

    // MARK: Sectors

    /// The place under the head is there.
    mutating func search(at now: UInt64) {
        guard let code = opcode else { return toCommandPhase() }
        guard let format = medium(unit), state.output.hasMotor(unit) else {
            return state.transfer.deadline = Transfer.never
        }
        if code.writes, isWriteProtected(unit) { return fail(.notWritable) }
        if code == .formatTrack {
            return Int(state.transfer.done) < Int(lastSector) ? askHost(at: now) : complete()
        }
        guard isReadable(format) else { return fail(.missingAddressMark) }
        if code == .readID { return tellID(format, at: now) }
        if code == .readTrack {
            if !matches(format, sector: trackSector(format)) { state.transfer.status1.insert(.noData) }
        } else if !matches(format, sector: state.transfer.r) {
            return fail(.noData)
        }
        switch code {
        case .writeData, .writeDeleted: askHost(at: now)
        case .readDeleted where skips:
            state.transfer.status2.insert(.controlMark)
            sectorDone(at: now)
        default: state.transfer.step = .medium
        }
    }

    /// Address marks are found: MFM, the format's data rate, a track that is recorded.
    private func isReadable(_ format: FloppyFormat) -> Bool {
        state.bytes[0] & 0x40 != 0 && format.rates.contains(state.rate)
            && state.units[unit].cylinder < format.cylinders && state.transfer.head < format.heads
    }

    /// The ID field of a sector of this track is the one that is looked for.
    private mutating func matches(_ format: FloppyFormat, sector: UInt8) -> Bool {
        let transfer = state.transfer
        guard transfer.c == state.units[unit].cylinder else {
            state.transfer.status2.insert(.wrongCylinder)
            return false
        }
        return transfer.h == transfer.head && transfer.n == 2 && transfer.r == sector
            && (1...format.sectors).contains(sector)
    }

    /// READ TRACK takes them as they come from the index hole on.
    private func trackSector(_ format: FloppyFormat) -> UInt8 {
        UInt8(truncatingIfNeeded: state.transfer.done % UInt16(format.sectors)) &+ 1
    }

    /// The next one that comes along.
    private mutating func tellID(_ format: FloppyFormat, at now: UInt64) {
        let passed = UInt8(truncatingIfNeeded: now / Self.sectorTime % UInt64(format.sectors))
        (state.transfer.c, state.transfer.h) = (state.units[unit].cylinder, state.transfer.head)
        (state.transfer.r, state.transfer.n) = (passed &+ 1, 2)
        complete()
    }

    /// Where in the image the sector is that `medium` asks for; nil: there is none any more.
    var place: UInt64? {
        guard let format = medium(unit) else { return nil }
        let sector = opcode == .readTrack ? trackSector(format) : state.transfer.r
        return format.place(cylinder: state.units[unit].cylinder, head: state.transfer.head, sector: sector)
    }

    private mutating func askHost(at now: UInt64) {
        (state.transfer.step, state.transfer.position) = (.host, 0)
        state.transfer.deadline = now &+ Self.patience
    }

    /// The buffer has a sector for the host.
    mutating func offer(at now: UInt64) {
        if opcode == .verify { sectorDone(at: now) } else { askHost(at: now) }
    }

    /// The host has moved what it could: all of the sector, or up to terminal count.
    mutating func hostDone(at now: UInt64) {
        guard let code = opcode else { return toCommandPhase() }
        guard code.writes else { return sectorDone(at: now) }
        if code == .formatTrack { return formatSector(at: now) }
        for index in Int(state.transfer.position)..<Self.sectorSize { state.buffer[index] = 0 }
        state.transfer.step = .medium
    }

    /// The ID field has come. A sector that the image has no place for is lost.
    private mutating func formatSector(at now: UInt64) {
        if state.transfer.position < 4 { return complete() }
        (state.transfer.c, state.transfer.h) = (state.buffer[0], state.buffer[1])
        (state.transfer.r, state.transfer.n) = (state.buffer[2], state.buffer[3])
        guard let format = medium(unit), isReadable(format), matches(format, sector: state.transfer.r) else {
            state.transfer.status2 = []
            return sectorDone(at: now)
        }
        state.buffer = [UInt8](repeating: state.bytes[5], count: Self.sectorSize)
        state.transfer.step = .medium
    }

    // MARK: Ends

    mutating func sectorDone(at now: UInt64) {
        guard let code = opcode else { return toCommandPhase() }
        state.transfer.done &+= 1
        if code == .formatTrack {
            let goesOn = state.transfer.done < UInt16(lastSector) && !state.transfer.isEnding
            return goesOn ? searchNext(at: now) : complete()
        }
        // Every sector has the mark of ordinary data.
        if code == .readDeleted, !skips {
            state.transfer.status2.insert(.controlMark)
            return complete()
        }
        if code == .verify, state.bytes[1] & 0x80 != 0, state.transfer.done >= UInt16(state.bytes[8]) {
            state.transfer.isEnding = true
        }
        let isAtEnd = code == .readTrack ? state.transfer.done >= UInt16(lastSector) : state.transfer.r == lastSector
        let (head, isOver) = isAtEnd ? nextTrack() : (state.transfer.head, false)
        if !isAtEnd { state.transfer.r &+= 1 }
        if state.transfer.isEnding { return complete() }
        if !isOver {
            state.transfer.head = head
            return searchNext(at: now)
        }
        if code == .verify, state.bytes[1] & 0x80 == 0 { return complete() }
        fail(.endOfCylinder)
    }

    /// Table 5-6: what follows the last sector of a track.
    /// - Returns: the head that goes on, and whether the command is at its end.
    private mutating func nextTrack() -> (UInt8, Bool) {
        state.transfer.r = 1
        let goesOn = isMultiTrack && state.transfer.head == 0
        if isMultiTrack { state.transfer.h ^= 1 }
        if !goesOn { state.transfer.c &+= 1 }
        return (goesOn ? 1 : state.transfer.head, !goesOn)
    }

    private mutating func searchNext(at now: UInt64) {
        (state.transfer.step, state.transfer.position) = (.searching, 0)
        state.transfer.deadline = now &+ Self.sectorTime
    }

    /// The host did not come in time. A sector that it has begun to write is filled with zeros.
    mutating func overrun(at now: UInt64) {
        state.transfer.status1.insert(.overrun)
        guard opcode == .writeData || opcode == .writeDeleted, state.transfer.position > 0 else { return complete() }
        state.transfer.isEnding = true
        hostDone(at: now)
    }

    mutating func fail(_ status: Status1) {
        state.transfer.status1.insert(status)
        complete()
    }

    private mutating func complete() {
        let transfer = state.transfer
        var status: Status0 = transfer.hasSought ? [.seekEnd] : []
        if !transfer.status1.isEmpty { status.insert(.abnormal) }
        let select = transfer.head << 2 | UInt8(unit)
        finish(
            [
                status.rawValue | select, transfer.status1.rawValue, transfer.status2.rawValue, transfer.c, transfer.h,
                transfer.r, transfer.n,
            ], interrupts: true)
    }
}
