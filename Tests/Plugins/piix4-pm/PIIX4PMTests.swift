import SplitMix
import PCIConfiguration
import Testing
@testable import PIIX4PM

/// Power management against the PIIX4 data sheet (290562), chapter 7, and ACPI 1.0b, 4.7.
@Suite struct PIIX4PMTests {
    /// SCI_EN set, as an operating system does it.
    private func acpi() throws -> PIIX4PM {
        var chip = try PIIX4PM()
        _ = chip.write(0x04, width: 2, 0x0001, at: 0)
        return chip
    }

    // MARK: Configuration space

    @Test func identityIsWhatFirmwareLooksFor() throws {
        let chip = try PIIX4PM()
        #expect(chip.readConfiguration(0x00, width: 4) == 0x7113_8086)
        #expect(chip.readConfiguration(0x08, width: 4) == 0x0680_0003)
        #expect(chip.readConfiguration(0x04, width: 4) == 0x0280_0000)
        #expect(chip.readConfiguration(0x3D, width: 1) == 0x01)
        #expect(chip.configuration.windows.isEmpty, "PMBA is no base address register")
    }

    @Test func pmbaIsAtOffset40AndNeedsItsEnable() throws {
        var chip = try PIIX4PM()
        #expect(chip.readConfiguration(0x40, width: 4) == 0x0000_0001)
        chip.writeConfiguration(0x80, width: 1, 0xFF)
        #expect(chip.readConfiguration(0x80, width: 1) == 0x01 && chip.ioBase == nil)
        chip.writeConfiguration(0x40, width: 4, 0xFFFF_063E)
        #expect(chip.readConfiguration(0x40, width: 4) == 0x0000_0601 && chip.ioBase == 0x600)
        chip.writeConfiguration(0x40, width: 4, 0xB000)
        #expect(chip.ioBase == 0xB000)
        chip.writeConfiguration(0x80, width: 1, 0)
        #expect(chip.ioBase == nil)
    }

    @Test func seaBIOSFindsNoManagementToInstall() throws {
        var chip = try PIIX4PM()
        #expect(chip.readConfiguration(0x58, width: 4) & 1 << 25 != 0 && chip.readConfiguration(0x5B, width: 1) == 0x02)
        #expect(try PIIX4PM(hasManagementMode: true).readConfiguration(0x58, width: 4) == 0)
        chip.writeConfiguration(0x58, width: 4, 0)
        chip.reset(at: 0)
        #expect(chip.readConfiguration(0x5B, width: 1) == 0x02)
        chip.writeConfiguration(0x90, width: 4, 0xFFFF_FFFF)
        #expect(chip.readConfiguration(0x90, width: 4) == 0, "no SMBus")
    }

    // MARK: Timer: 3.579545 MHz

    @Test func timerCountsItsFrequency() throws {
        let chip = try PIIX4PM()
        #expect(chip.peek(0x08, width: 4, at: 0) == 0)
        #expect(chip.peek(0x08, width: 4, at: 279) == 0 && chip.peek(0x08, width: 4, at: 280) == 1)
        #expect(chip.peek(0x08, width: 4, at: 1_000_000_000) == 3_579_545)
        #expect(chip.peek(0x08, width: 4, at: 5_000_000_000) == 17_897_725 - 0x100_0000, "24 bits")
        #expect(chip.peek(0x0A, width: 1, at: 1_000_000_000) == 3_579_545 >> 16)
        #expect(chip.peek(0x0B, width: 1, at: 5_000_000_000) == 0)
        #expect(PMTimer.ticks(at: 31_536_000_000_000_000) == 112_884_531_120_000, "a year")
    }

    /// Bit 23 changes every 2^23 ticks: 2.343484437 s.
    @Test func overflowComesWithEveryChangeOfBit23() throws {
        var chip = try acpi()
        _ = chip.write(0x02, width: 2, 0x0001, at: 0)
        #expect(chip.nextEvent(at: 0) == 2_343_484_438)
        chip.advance(to: 2_343_484_437)
        #expect(!chip.sciAsserted && chip.read(0x08, width: 4, at: 2_343_484_437) == 0x7F_FFFF)
        chip.advance(to: 2_343_484_438)
        #expect(chip.sciAsserted && chip.read(0x08, width: 4, at: 2_343_484_438) == 0x80_0000)
        #expect(chip.read(0x00, width: 2, at: 2_343_484_438) == 0x0001)
        #expect(chip.nextEvent(at: 2_343_484_438) == nil)
        _ = chip.write(0x00, width: 2, 0x0001, at: 2_343_484_438)
        #expect(!chip.sciAsserted && chip.nextEvent(at: 2_343_484_438) == 4_686_968_875)
        chip.advance(to: 4_686_968_875)
        #expect(chip.sciAsserted, "back to 0 is a change too")
    }

    @Test func longSleepsAndTheEndOfTimeAreExact() throws {
        var chip = try acpi()
        _ = chip.write(0x02, width: 2, 0x0001, at: 0)
        chip.advance(to: .max)
        #expect(chip.sciAsserted && chip.peek(0x00, width: 2, at: 0) == 1)
        _ = chip.write(0x00, width: 2, 0xFFFF, at: .max)
        #expect(chip.nextEvent(at: .max) == nil)
    }

    // MARK: Events

    @Test func powerButtonRaisesSCIWhereEnabled() throws {
        var chip = try PIIX4PM()
        chip.pressPowerButton()
        #expect(chip.read(0x00, width: 2, at: 0) == 0x0100 && !chip.sciAsserted)
        _ = chip.write(0x02, width: 2, 0x0100, at: 0)
        #expect(!chip.sciAsserted, "SCI_EN is not set")
        _ = chip.write(0x04, width: 2, 0x0001, at: 0)
        #expect(chip.sciAsserted)
        _ = chip.write(0x00, width: 2, 0x0001, at: 0)
        #expect(chip.sciAsserted, "another bit")
        _ = chip.write(0x01, width: 1, 0x01, at: 0)
        #expect(!chip.sciAsserted)
    }

    @Test func enablesHaveTheirBits() throws {
        var chip = try acpi()
        _ = chip.write(0x02, width: 2, 0xFFFF, at: 0)
        #expect(chip.read(0x02, width: 2, at: 0) == 0x0521)
        _ = chip.write(0x0E, width: 2, 0xFFFF, at: 0)
        #expect(chip.read(0x0E, width: 2, at: 0) == 0x0F01)
        chip.signalRealTimeClock()
        #expect(chip.read(0x00, width: 4, at: 0) == 0x0521_0400 && chip.sciAsserted)
        _ = chip.write(0x00, width: 2, 0x0400, at: 0)
        chip.resume()
        #expect(chip.read(0x00, width: 2, at: 0) == 0x8000 && !chip.sciAsserted, "WAK_STS has no enable")
    }

    @Test func generalPurposeEvents() throws {
        var chip = try acpi()
        chip.signal([.lid, .init(rawValue: 0x8000)])
        #expect(chip.read(0x0C, width: 2, at: 0) == 0x0800 && !chip.sciAsserted)
        _ = chip.write(0x0E, width: 2, 0x0800, at: 0)
        #expect(chip.sciAsserted)
        _ = chip.write(0x0D, width: 1, 0x08, at: 0)
        #expect(!chip.sciAsserted && chip.read(0x0C, width: 4, at: 0) == 0x0800_0000)
    }

    /// 0xF1 and 0xF0 are what FADT's ACPI_ENABLE and ACPI_DISABLE say.
    @Test func managementCommandsSwitchSCI() throws {
        var chip = try PIIX4PM()
        chip.write(.status, 0x55)
        chip.write(.control, 0xF1)
        #expect(chip.read(0x04, width: 2, at: 0) == 0x0001 && chip.isACPIEnabled)
        #expect(chip.read(.control) == 0xF1 && chip.read(.status) == 0x55)
        chip.write(.control, 0x00)
        #expect(chip.read(0x04, width: 2, at: 0) == 0x0001)
        chip.write(.control, 0xF0)
        #expect(chip.read(0x04, width: 2, at: 0) == 0x0000 && !chip.isACPIEnabled)
        var managed = try PIIX4PM(hasManagementMode: true)
        managed.write(.control, 0xF1)
        #expect(managed.read(0x04, width: 2, at: 0) == 0, "its own code does that")
        chip.reset(at: 0)
        #expect(chip.read(.control) == 0 && chip.read(.status) == 0)
    }

    @Test func aLoaderFindsItWhereTheMachinePutsIt() throws {
        var chip = try PIIX4PM(ioBase: 0x600)
        #expect(chip.ioBase == 0x600 && chip.readConfiguration(0x40, width: 4) == 0x0000_0601)
        chip.writeConfiguration(0x40, width: 4, 0xB000)
        #expect(chip.ioBase == 0xB000)
        chip.reset(at: 0)
        #expect(chip.ioBase == 0x600)
        #expect(try PIIX4PM().ioBase == nil)
    }

    // MARK: Sleep

    @Test func suspendEnableGoesToTheType() throws {
        for (type, expected) in [(0, .off), (1, .toRAM), (2, .poweredContextLost), (4, .powered), (7, nil)]
            as [(UInt32, PIIX4PM.Suspend?)]
        {
            var chip = try acpi()
            #expect(chip.write(0x04, width: 2, type << 10 | 1, at: 0) == nil, "without SUS_EN nothing happens")
            #expect(chip.write(0x04, width: 2, 0x2001 | type << 10, at: 0) == expected)
            #expect(chip.read(0x04, width: 2, at: 0) == 1 | type << 10, "SUS_EN reads as 0")
            #expect(chip.write(0x05, width: 1, 0x20 | type << 2, at: 0) == expected)
        }
    }

    @Test func otherRegistersKeepWhatIsTheirs() throws {
        var chip = try acpi()
        #expect(chip.read(0x34, width: 4, at: 0) == 0x7FFF_BFFF)
        _ = chip.write(0x34, width: 4, 0x1234_5678, at: 0)
        _ = chip.write(0x14, width: 2, 0xFFFF, at: 0)
        #expect(chip.read(0x34, width: 4, at: 0) == 0x1234_5678 && chip.read(0x14, width: 2, at: 0) == 0)
        #expect(chip.read(0x40, width: 4, at: 0) == 0xFFFF_FFFF && chip.read(0x3F, width: 2, at: 0) == 0xFF00)
    }

    // MARK: State

    @Test func randomUseNeverTrapsAndARestoredCopyAnswersTheSame() throws {
        var (first, second) = (try PIIX4PM(), try PIIX4PM())
        var dice = SplitMix64(seed: 3)
        var now: UInt64 = 0
        var differences = 0
        for step in 0..<100_000 {
            let bits = dice.next()
            now &+= bits >> 60 == 0 ? bits >> 30 : bits >> 44
            let offset = bits & 15 == 0 ? UInt32(truncatingIfNeeded: bits >> 8) : UInt32(bits >> 8 & 0x3F)
            let (width, value) = (UInt32(bits >> 40 & 7), UInt32(truncatingIfNeeded: dice.next()))
            switch bits >> 4 & 15 {
            case 0...5:
                if first.write(offset, width: width, value, at: now)
                    != second.write(offset, width: width, value, at: now)
                {
                    differences += 1
                }
            case 6...9:
                if first.peek(offset, width: width, at: now) != second.read(offset, width: width, at: now) {
                    differences += 1
                }
                _ = first.read(offset, width: width, at: now)
            case 10, 11:
                first.writeConfiguration(offset &* 4, width: width, value)
                second.writeConfiguration(offset &* 4, width: width, value)
            case 12:
                first.signal(.init(rawValue: UInt16(truncatingIfNeeded: value)));
                second.signal(.init(rawValue: UInt16(truncatingIfNeeded: value)))
            case 13: first.pressPowerButton(); second.pressPowerButton()
            case 14:
                first.write(.control, UInt8(truncatingIfNeeded: value));
                second.write(.control, UInt8(truncatingIfNeeded: value))
            default: first.advance(to: now); second.advance(to: now)
            }
            if first.nextEvent(at: now) != second.nextEvent(at: now) || first.sciAsserted != second.sciAsserted {
                differences += 1
            }
            guard step % 64 == 0 else { continue }
            second = try PIIX4PM()
            let taken = second.restore(first.state)
            #expect(taken && second.state == first.state && second.ioBase == first.ioBase)
            guard differences == 0 else { break }
        }
        #expect(differences == 0)
    }

    @Test func statesThatCannotBeAreRefused() throws {
        var chip = try PIIX4PM()
        for (index, damage)
            in ([
                { $0.status = .init(rawValue: 2) }, { $0.enable = .resume }, { $0.control = .init(rawValue: 0x2000) },
                { $0.generalEnable = .init(rawValue: 2) }, { $0.other = [] }, { $0.other[0x38] = 1 },
                { $0.configuration.bytes[0x40] = 0 },
            ] as [(inout PIIX4PM.State) -> Void]).enumerated()
        {
            var bad = chip.state
            damage(&bad)
            let taken = chip.restore(bad)
            #expect(!taken, "damage \(index)")
        }
    }
}
