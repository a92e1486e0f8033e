// The Command register: which command does what. Commands with data or a medium go on in Transfer.swift.

extension ATAChannel {
    mutating func writeCommand(_ code: UInt8) {
        let opcode = Opcode(rawValue: code)
        if opcode == .executeDiagnostic { return executeDiagnostic() }
        let index = state.select.index
        // An absent device executes nothing; one that sleeps wakes only by a reset.
        guard isPresent(index), state[index].power != .sleep else { return }
        begin(index)
        if drive(index).isPacketDevice {
            executePacketDevice(opcode, index)
        } else if let opcode {
            execute(opcode, index)
        } else if Opcode.recalibrate.contains(code) {
            state[index].power = .active
            finish()
        } else if Opcode.seek.contains(code) {
            seek(index)
        } else {
            abort()
        }
    }

    private mutating func execute(_ opcode: Opcode, _ index: UInt8) {
        switch opcode {
        case .readSectors, .readSectorsNoRetry: startRead(index, extended: false, block: 1)
        case .readSectorsExt: startRead(index, extended: true, block: 1)
        case .readMultiple: startRead(index, extended: false, block: state[index].settings.multiple)
        case .readMultipleExt: startRead(index, extended: true, block: state[index].settings.multiple)
        case .writeSectors, .writeSectorsNoRetry: startWrite(index, extended: false, block: 1)
        case .writeSectorsExt: startWrite(index, extended: true, block: 1)
        case .writeMultiple: startWrite(index, extended: false, block: state[index].settings.multiple)
        case .writeMultipleExt: startWrite(index, extended: true, block: state[index].settings.multiple)
        case .readDMA, .readDMANoRetry: startDMA(.dmaRead, index, extended: false)
        case .readDMAExt: startDMA(.dmaRead, index, extended: true)
        case .writeDMA, .writeDMANoRetry: startDMA(.dmaWrite, index, extended: false)
        case .writeDMAExt: startDMA(.dmaWrite, index, extended: true)
        case .verify, .verifyNoRetry: startVerify(index, extended: false)
        case .verifyExt: startVerify(index, extended: true)
        case .identifyDevice:
            identify(index)
            offerIdentification()
        case .flushCache, .flushCacheExt: startFlush(.flush)
        case .standby, .standbyATA3, .standbyImmediate, .standbyImmediateATA3: startFlush(.standby)
        case .sleep, .sleepATA3: startFlush(.sleep)
        default: executeNonData(opcode, index)
        }
    }

    mutating func executeNonData(_ opcode: Opcode, _ index: UInt8) {
        switch opcode {
        case .initializeParameters: initializeParameters(index)
        case .setMultipleMode: setMultipleMode(index)
        case .setFeatures: setFeatures(index)
        case .idle, .idleATA3, .idleImmediate, .idleImmediateATA3:
            state[index].power = .idle
            finish()
        case .checkPowerMode, .checkPowerModeATA3: checkPowerMode(index)
        case .readNativeMax: readNativeMax(index, extended: false)
        case .readNativeMaxExt: readNativeMax(index, extended: true)
        default: abort()  // NOP too: always aborted, its registers untouched
        }
    }

    // MARK: How a command begins and ends

    private mutating func begin(_ index: UInt8) {
        noteDroppedInterrupt()
        state[index].status = [.ready, .seekComplete]
        state[index].error = 0
        state[index].interruptPending = false
    }

    mutating func noteDroppedInterrupt() {
        if interruptAsserted { interruptDrops &+= 1 }
    }

    /// The command is done, with an interrupt unless it was a read, whose last interrupt came before its last block.
    mutating func finish(interrupt: Bool = true) {
        state.transfer = Transfer()
        if interrupt { raiseInterrupt() }
    }

    mutating func fail(_ error: ErrorBits, fault: Bool = false) {
        let index = state.select.index
        state[index].error = error.rawValue
        state[index].status.insert(.error)
        if fault { state[index].status.insert(.deviceFault) }
        finish()
    }

    mutating func abort() { fail(.aborted) }

    mutating func raiseInterrupt() { state[state.select.index].interruptPending = true }

    // MARK: Commands without data

    /// Both devices execute it, whichever is selected; device 0 answers, and with it selected.
    private mutating func executeDiagnostic() {
        noteDroppedInterrupt()
        state.select = DeviceSelect()
        for index: UInt8 in 0...1 where isPresent(index) && state[index].power != .sleep {
            state[index].showSignature(isPacketDevice: drive(index).isPacketDevice)
        }
        if drive0.isPresent && state.device0.power != .sleep { state.device0.interruptPending = true }
    }

    private mutating func seek(_ index: UInt8) {
        guard let addressed = addressed(index, extended: false), addressed.sector < addressed.limit else {
            return fail(.idNotFound)
        }
        state[index].power = .active
        finish()
    }

    /// ATA/ATAPI-4: sectors per track in Sector Count, the highest head in the Device register.
    private mutating func initializeParameters(_ index: UInt8) {
        let sectors = UInt8(truncatingIfNeeded: state[index].sectorCount)
        guard sectors > 0 else { return abort() }
        state[index].settings.sectorsPerTrack = sectors
        state[index].settings.heads = state.select.low + 1
        finish()
    }

    /// A power of two up to word 47 of IDENTIFY DEVICE, or zero for off. A refused value turns it off as well.
    private mutating func setMultipleMode(_ index: UInt8) {
        let sectors = UInt8(truncatingIfNeeded: state[index].sectorCount)
        let accepted = sectors == 0 || Self.isBlockSize(sectors)
        state[index].settings.multiple = accepted ? sectors : 0
        if accepted { finish() } else { abort() }
    }

    private mutating func checkPowerMode(_ index: UInt8) {
        let code: UInt16 =
            switch state[index].power {
            case .active: 0xFF
            case .idle: 0x80
            case .standby, .sleep: 0x00
            }
        state[index].sectorCount = (state[index].sectorCount & 0xFF00) | code
        finish()
    }

    /// In CHS as well, which ATA/ATAPI-4 has. Answered although the Host Protected Area is not claimed: the
    /// native maximum is then the only one.
    private mutating func readNativeMax(_ index: UInt8, extended: Bool) {
        let last = drive(index).sectors &- 1
        if extended {
            putAddress(last, .lba48)
        } else if state.select.isLBA {
            putAddress(min(last, 0x0FFF_FFFF), .lba28)
        } else {
            let capacity = limit(.chs, settings: state[index].settings, drive: drive(index))
            putAddress(capacity == 0 ? 0 : capacity &- 1, .chs)
        }
        finish()
    }

    private mutating func setFeatures(_ index: UInt8) {
        switch Feature(rawValue: state[index].features) {
        case .enableWriteCache: state[index].settings.writeCache = true
        case .disableWriteCache:
            // What is in the host's cache by then must be safe before the guest may rely on there being none.
            state[index].settings.writeCache = false
            return startFlush(.flush)
        case .setTransferMode:
            let mode = UInt8(truncatingIfNeeded: state[index].sectorCount)
            if hasDMA, Self.isDMAMode(mode) {
                state[index].settings.dmaMode = mode
            } else if !Self.isPIOMode(mode) {
                return abort()
            }
        case .disableLookAhead: state[index].settings.lookAhead = false
        case .enableLookAhead: state[index].settings.lookAhead = true
        case .keepSettings: state[index].settings.revertOnReset = false
        case .revertSettings: state[index].settings.revertOnReset = true
        case nil: return abort()
        }
        finish()
    }

    /// PIO default with and without IORDY, PIO flow control modes 0 to 4.
    private static func isPIOMode(_ value: UInt8) -> Bool { value <= 0x01 || (0x08...0x0C).contains(value) }

    /// Multiword DMA modes 0 to 2, Ultra DMA modes 0 to 5: one of them is selected.
    static func isDMAMode(_ value: UInt8) -> Bool { (0x20...0x22).contains(value) || (0x40...0x45).contains(value) }
}
