// Command and result phase (4.1, 4.3), and the commands that have no execution phase on a disk (5.2).

extension FDC82077 {
    /// Of the command whose bytes are there.
    var opcode: Opcode? { state.phase == .result ? nil : state.bytes.first.flatMap(Opcode.init(byte:)) }

    // MARK: FIFO

    mutating func writeData(_ value: UInt8, at now: UInt64) {
        guard !isInReset else { return }
        switch state.phase {
        case .command: writeCommand(value, at: now)
        case .execution: writeTransfer(value, at: now)
        case .result: break
        }
    }

    private mutating func writeCommand(_ value: UInt8, at now: UInt64) {
        state.bytes.append(value)
        guard let code = opcode else { return finish([Status0.invalid.rawValue]) }
        if state.bytes.count == code.length { run(code, at: now) }
    }

    var peekData: UInt8 {
        guard !isInReset else { return 0 }
        switch state.phase {
        case .command: return 0
        case .execution:
            let isRead = isNonDMA && state.transfer.step == .host && opcode?.writes == false
            let position = Int(state.transfer.position)
            return isRead && position < Self.sectorSize ? state.buffer[position] : 0
        case .result: return Int(state.position) < state.bytes.count ? state.bytes[Int(state.position)] : 0
        }
    }

    mutating func readData(at now: UInt64) -> UInt8 {
        let value = peekData
        guard !isInReset else { return value }
        switch state.phase {
        case .command: break
        case .execution: readTransfer(at: now)
        case .result:
            state.resultInterrupts = false
            state.position &+= 1
            if Int(state.position) >= state.bytes.count { endResult() }
        }
        return value
    }

    private mutating func endResult() {
        toCommandPhase()
        // Another seek has ended meanwhile. What polling found has no further interrupt.
        let ended = state.units.contains { $0.isPending && $0.status & 0xC0 != Status0.polled.rawValue }
        if ended { state.isSenseRaised = true }
    }

    /// The result phase.
    mutating func finish(_ bytes: [UInt8], interrupts: Bool = false) {
        toCommandPhase()
        (state.phase, state.bytes, state.resultInterrupts) = (.result, bytes, interrupts)
    }

    // MARK: Commands

    private mutating func run(_ code: Opcode, at now: UInt64) {
        let bytes = state.bytes
        switch code {
        case .readData, .readDeleted, .writeData, .writeDeleted, .readTrack, .verify, .readID, .formatTrack:
            startTransfer(code, at: now)
        case .specify: end { $0.specified = [bytes[1], bytes[2]] }
        case .configure:
            end {
                ($0.configuration, $0.precompensationTrack) = (Configuration(rawValue: bytes[2]), bytes[3])
            }
        case .perpendicular:
            // OW: bits of drives count only with it.
            let mask: UInt8 = bytes[1] & 0x80 != 0 ? 0x3F : 0x03
            end { $0.perpendicular = $0.perpendicular & ~mask | bytes[1] & mask }
        case .lock:
            state.isLocked = bytes[0] & 0x80 != 0
            finish([state.isLocked ? 0x10 : 0x00])
        case .version: finish([0x90])
        case .senseDriveStatus: finish([status3(bytes[1])])
        case .senseInterrupt: senseInterrupt()
        case .dumpRegisters: finish(registers)
        case .recalibrate: recalibrate(Int(bytes[1] & 3), at: now)
        case .seek:
            let unit = Int(bytes[1] & 3)
            seek(unit, by: Int(bytes[2]) - Int(state.units[unit].knownCylinder), at: now)
        case .relativeSeek: seek(Int(bytes[1] & 3), by: bytes[0] & 0x40 != 0 ? Int(bytes[2]) : -Int(bytes[2]), at: now)
        }
    }

    /// Of a command without a result.
    private mutating func end(_ change: (inout State) -> Void) {
        toCommandPhase()
        change(&state)
    }

    /// ST3: write protection, two ones, track 0, head and drive as they were given.
    private func status3(_ select: UInt8) -> UInt8 {
        let unit = Int(select & 3)
        return select & 7 | 0x28 | (isWriteProtected(unit) ? 0x40 : 0) | (isAtTrack0(unit) ? 0x10 : 0)
    }

    /// 5.2.8: without an interrupt to tell of, an invalid command.
    private mutating func senseInterrupt() {
        guard let unit = state.units.firstIndex(where: \.isPending) else {
            return finish([Status0.invalid.rawValue])
        }
        state.units[unit].isPending = false
        state.isSenseRaised = false
        finish([state.units[unit].status, state.units[unit].knownCylinder])
    }

    private var registers: [UInt8] {
        state.units.map(\.knownCylinder) + state.specified + [
            state.lastSectors, (state.isLocked ? 0x80 : 0) | state.perpendicular, state.configuration.rawValue,
            state.precompensationTrack,
        ]
    }
}
