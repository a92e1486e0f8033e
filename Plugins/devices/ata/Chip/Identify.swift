// IDENTIFY DEVICE: the 256 words, built in the buffer when the guest asks.

extension ATAChannel {
    mutating func identify(_ index: UInt8) {
        let drive = drive(index)
        let settings = state[index].settings
        for i in 0..<Self.sectorSize { state.buffer[i] = 0 }
        putGeometry(drive, settings)
        putNames(drive)
        putCapabilities(settings)
        putCapacity(drive)
        put(93, hardwareResetResult(index))
        putChecksum()
    }

    /// IDENTIFY PACKET DEVICE (8.16).
    mutating func identifyPacketDevice(_ index: UInt8) {
        let drive = drive(index)
        for i in 0..<Self.sectorSize { state.buffer[i] = 0 }
        put(0, 0x85C0)  // CD-ROM, removable, DRQ soon after PACKET without an interrupt, packets of 12 bytes
        putNames(drive)
        put(49, 0x0E00 | (hasDMA ? 0x0100 : 0))
        put(50, 0x4000)
        put(53, hasDMA ? 0x0006 : 0x0002)
        putTransferModes(state[index].settings)
        put(80, 0x0078)
        put(82, 0x4218)  // NOP, DEVICE RESET, PACKET, power management
        put(83, 0x5000)  // FLUSH CACHE
        put(84, 0x4000)
        put(85, 0x4218)
        put(86, 0x1000)
        put(87, 0x4000)
        put(93, hardwareResetResult(index))
        putChecksum()
    }

    private mutating func putNames(_ drive: Drive) {
        putText(drive.serial, at: 10, words: 10)
        putText(drive.firmware, at: 23, words: 4)
        putText(drive.model, at: 27, words: 20)
    }

    private mutating func putTransferModes(_ settings: Settings) {
        put(64, 0x0003)  // PIO modes 3 and 4
        put(67, 120)  // PIO cycle, ns, without flow control and with IORDY
        put(68, 120)
        if hasDMA { putDMA(settings.dmaMode) }
    }

    private mutating func putGeometry(_ drive: Drive, _ settings: Settings) {
        put(0, 0x0040)  // ATA device, not removable
        put(1, drive.geometry.cylinders)
        put(2, 0xC837)  // no SET FEATURES needed to spin up, this response is complete
        put(3, UInt16(drive.geometry.heads))
        put(6, UInt16(drive.geometry.sectorsPerTrack))
        let current = translation(settings, drive)
        put(54, current.cylinders)
        put(55, UInt16(current.heads))
        put(56, UInt16(current.sectorsPerTrack))
        put32(57, UInt32(truncatingIfNeeded: current.capacity))
    }

    private mutating func putCapabilities(_ settings: Settings) {
        put(20, 3)  // ATA-3: a buffer with read-ahead ...
        put(21, UInt16(Self.bufferSectors))  // ... of so many sectors; both retired since ATA-4
        put(47, 0x8000 | UInt16(Self.bufferSectors))
        put(49, 0x0E00 | (hasDMA ? 0x0100 : 0))  // LBA; IORDY, may be disabled; DMA; own standby timer values
        put(50, 0x4000)
        put(51, 0x0200)  // PIO mode 2 for hosts that know no word 64
        put(53, hasDMA ? 0x0007 : 0x0003)  // words 54-58 and 64-70 are valid, with DMA word 88 too
        put(59, settings.multiple == 0 ? 0 : 0x0100 | UInt16(settings.multiple))
        putTransferModes(settings)
        put(80, 0x0078)  // ATA-3 to ATA/ATAPI-6
        put(82, 0x4068)  // NOP, read look-ahead, write cache, power management
        put(83, 0x7400)  // FLUSH CACHE EXT, FLUSH CACHE, 48-bit addresses
        put(84, 0x4000)
        put(85, 0x4008 | (settings.lookAhead ? 0x0040 : 0) | (settings.writeCache ? 0x0020 : 0))
        put(86, 0x3400)
        put(87, 0x4000)
    }

    /// Modes that there are, and the one that is selected: its code's low bits are its number.
    private mutating func putDMA(_ mode: UInt8) {
        let selected = 0x0100 as UInt16 &<< UInt16(mode & 7)
        put(63, 0x0007 | (mode & 0x20 != 0 ? selected : 0))  // multiword DMA 0 to 2
        put(65, 120)  // its cycle, ns: least, recommended
        put(66, 120)
        put(88, 0x003F | (mode & 0x40 != 0 ? selected : 0))  // Ultra DMA 0 to 5
    }

    private mutating func putCapacity(_ drive: Drive) {
        put32(60, drive.sectorsLBA28)
        put32(100, UInt32(truncatingIfNeeded: drive.sectorsLBA48))
        put32(102, UInt32(truncatingIfNeeded: drive.sectorsLBA48 &>> 32))
    }

    /// Word 93: how the devices found each other at the hardware reset. Device numbers are by jumper. SeaBIOS skips its
    /// search for device 1 where device 0 says that it answers for it (bit 6).
    private func hardwareResetResult(_ index: UInt8) -> UInt16 {
        if index == 1 { return 0x4B00 }  // number by jumper, PDIAG- asserted
        return 0x400B | (drive1.isPresent ? 0x0030 : 0x0040)
    }

    /// Word 255: signature 0xA5, then what makes the sum of all 512 bytes zero.
    private mutating func putChecksum() {
        state.buffer[510] = 0xA5
        var sum: UInt8 = 0
        for i in 0..<511 { sum &+= state.buffer[i] }
        state.buffer[511] = 0 &- sum
    }

    private mutating func put(_ word: Int, _ value: UInt16) {
        state.buffer[word * 2] = UInt8(truncatingIfNeeded: value)
        state.buffer[word * 2 + 1] = UInt8(truncatingIfNeeded: value &>> 8)
    }

    private mutating func put32(_ word: Int, _ value: UInt32) {
        put(word, UInt16(truncatingIfNeeded: value))
        put(word + 1, UInt16(truncatingIfNeeded: value &>> 16))
    }

    /// Each word holds its first character in the high byte.
    private mutating func putText(_ text: String, at word: Int, words: Int) {
        for (index, byte) in Drive.characters(text, count: words * 2).enumerated() {
            state.buffer[word * 2 + (index ^ 1)] = byte
        }
    }
}
