import ATA
import Testing

/// The channel as known drivers use it, step by step as their sources have it.
@Suite struct ATADriverTests {
    /// libata `ata_devchk`.
    private func devchk(_ rig: inout Rig, _ device: UInt8) -> Bool {
        rig.chip.write(6, device)
        for (count, low) in [(UInt8(0x55), UInt8(0xAA)), (0xAA, 0x55), (0x55, 0xAA)] {
            rig.chip.write(2, count)
            rig.chip.write(3, low)
        }
        return rig.chip.read(2) == 0x55 && rig.chip.read(3) == 0xAA
    }

    /// libata `ata_sff_dev_classify`: an ATA device is there.
    private func classify(_ rig: inout Rig, _ device: UInt8) -> Bool {
        rig.chip.write(6, device)
        guard rig.chip.read(1) <= 1, rig.chip.read(4) == 0, rig.chip.read(5) == 0 else { return false }
        return rig.chip.read(7) != 0
    }

    /// libata `ata_sff_softreset`: which devices it finds.
    private func libataProbe(_ rig: inout Rig) -> [Bool] {
        _ = devchk(&rig, 0xA0)
        _ = devchk(&rig, 0xB0)
        rig.chip.write(6, 0xA0)
        rig.chip.writeControl(0x08)
        rig.chip.writeControl(0x0C)
        rig.chip.writeControl(0x08)
        let status = rig.chip.read(7)
        if status == 0xFF { return [false, false] }  // -ENODEV
        #expect(status & 0x80 == 0)
        return [classify(&rig, 0xA0), classify(&rig, 0xB0)]
    }

    @Test func libataFindsWhatIsThere() throws {
        let drive = try Drive(sectors: 5000)
        for (first, second) in [(true, true), (true, false), (false, true), (false, false)] {
            var rig = Rig(first ? drive : .absent, second ? drive : .absent)
            #expect(libataProbe(&rig) == [first, second])
        }
    }

    /// SeaBIOS `ata_detect` for one device: registers that hold their values, IDENTIFY PACKET, Status, IDENTIFY.
    private func seabiosFinds(_ rig: inout Rig, _ device: UInt8) -> Bool {
        if rig.chip.read(7) == 0xFF { return false }
        rig.chip.write(6, device)
        rig.chip.write(2, 0x55)
        rig.chip.write(3, 0xAA)
        guard rig.chip.read(2) == 0x55, rig.chip.read(3) == 0xAA, rig.chip.read(6) == device else { return false }
        rig.chip.writeControl(0x0A)
        rig.command(0xA1, device: device)
        let packet = rig.chip.read(7)
        if packet & 0x01 == 0 && packet & 0x08 != 0 { return false }  // would be taken for a CD-ROM
        if rig.chip.read(7) == 0 { return false }
        guard rig.chip.read(7) & 0x40 != 0 else { return false }
        rig.command(0xEC, device: device)
        guard rig.chip.read(7) & 0x89 == 0x08 else { return false }
        for _ in 0..<128 { _ = rig.chip.readData(width: 4) }
        _ = rig.chip.alternateStatus
        let done = rig.chip.read(7) & 0xA9 == 0
        rig.chip.writeControl(0x08)
        #expect(!rig.chip.interruptAsserted)
        return done
    }

    @Test func seabiosFindsWhatIsThere() throws {
        let drive = try Drive(sectors: 5000)
        for (first, second) in [(true, true), (true, false), (false, false)] {
            var rig = Rig(first ? drive : .absent, second ? drive : .absent)
            #expect(seabiosFinds(&rig, 0xA0) == first)
            #expect(seabiosFinds(&rig, 0xB0) == second)
        }
    }

    /// SeaBIOS skips device 1 on this word.
    @Test func seabiosReadsThatDevice1IsAbsent() throws {
        var rig = try Rig(sectors: 5000)
        #expect(rig.identify()[93] & 0xDF61 == 0x4041)
    }

    /// SeaBIOS `ata_reset` for device 1: select until the Device register reads back.
    @Test func device1IsSelectableAfterAReset() throws {
        let drive = try Drive(sectors: 5000)
        var rig = Rig(drive, drive)
        rig.chip.writeControl(0x0E)
        rig.chip.writeControl(0x0A)
        #expect(rig.chip.read(7) & 0x80 == 0)
        rig.chip.write(6, 0xB0)
        #expect(rig.chip.read(6) == 0xB0)
        #expect(rig.chip.read(7) & 0x40 == 0x40)
    }

    /// A polling read with nIEN set, alternate status before status, 32-bit data (SeaBIOS `ata_pio_transfer`).
    @Test func polledDoubleWordRead() throws {
        var rig = try Rig(sectors: 5000)
        rig.chip.writeControl(0x0A)
        rig.lba28(0x20, 77, count: 3)
        for sector in UInt64(77)..<80 {
            var polls = 0
            while rig.chip.read(7) & 0x80 != 0, polls < 100 {
                polls += 1
                rig.serve()
            }
            #expect(rig.chip.read(7) == 0x58)
            var bytes: [UInt8] = []
            for _ in 0..<128 {
                let value = rig.chip.readData(width: 4)
                bytes += [0, 8, 16, 24].map { UInt8(value >> $0 & 0xFF) }
            }
            #expect(bytes == Rig.pattern(sector))
            _ = rig.chip.alternateStatus
        }
        #expect(rig.chip.read(7) == 0x50)
        rig.chip.writeControl(0x08)
        #expect(!rig.chip.interruptAsserted)
    }

    /// GRUB writes the high bytes for every command, then the low ones: a 28-bit command sees only the low ones.
    @Test func highBytesDoNotDisturbA28BitCommand() throws {
        var rig = try Rig(sectors: 5000)
        rig.chip.write(6, 0xE0)
        rig.registers(0xFF, 0xFF, 0xFF, 0xFF)
        rig.registers(1, 0x34, 0x02, 0x00)
        rig.chip.write(7, 0x20)
        rig.serve()
        #expect(rig.bulk(1024) == Rig.pattern(0x234))
        #expect(rig.status == 0x50)
    }

    /// libata drains a read that it gives up: data while DRQ, then it resets.
    @Test func drainingEndsARead() throws {
        var rig = try Rig(sectors: 5000)
        rig.lba28(0xC4, 0, count: 16)
        rig.serve()
        var words = 0
        while rig.chip.read(7) & 0x08 != 0, words < 32768 {
            _ = rig.chip.readData(width: 2)
            words += 1
        }
        #expect(words == 16 * 256)
        #expect(libataProbe(&rig) == [true, false])
    }

    /// libata takes the block size that it finds, and the drive accepts the PIO mode that it then sets.
    @Test func libataSetup() throws {
        var rig = try Rig(sectors: 5000)
        let words = rig.identify()
        #expect(words[47] >> 8 == 0x80 && words[59] & 0x1FF == 0x110)
        #expect(words[49] & 0x0200 != 0 && words[49] & 0x0100 == 0)
        #expect(words[53] & 0x0002 != 0 && words[64] & 0x0003 == 0x0003)
        rig.command(0xEF, features: 0x03, count: 0x0C)
        #expect(rig.status == 0x50)
    }

    /// The old IDE driver compares Status and Alternate Status before it trusts the latter.
    @Test func bothStatusRegistersAgree() throws {
        var rig = try Rig(sectors: 5000)
        for device: UInt8 in [0xA0, 0xB0] {
            rig.chip.write(6, device)
            #expect(rig.chip.alternateStatus == rig.chip.read(7))
        }
    }
}
