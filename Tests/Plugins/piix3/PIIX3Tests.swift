import SplitMix
import PCIConfiguration
import PIIX3
import Testing

/// The ISA bridge against the PIIX3 data sheet (290550).
@Suite struct PIIX3Tests {
    @Test func identityAndResetValues() throws {
        let chip = try PIIX3()
        #expect(chip.read(0x00, width: 4) == 0x7000_8086 && chip.read(0x08, width: 4) == 0x0601_0000)
        #expect(chip.read(0x04, width: 4) == 0x0200_0007)
        for (offset, value) in [
            (0x4C, 0x4D), (0x4E, 0x03), (0x60, 0x80), (0x61, 0x80), (0x62, 0x80), (0x63, 0x80), (0x69, 0x02),
            (0x70, 0x80),
            (0x76, 0x0C), (0x77, 0x0C), (0x78, 0x02), (0xA0, 0x08), (0xA8, 0x0F),
        ] as [(UInt32, UInt32)] {
            #expect(chip.read(offset, width: 1) == value, "offset \(offset)")
        }
    }

    // MARK: PIRQ routes

    @Test func routesLeadToTheirLines() throws {
        var chip = try PIIX3()
        chip.pirqs = 0b1111
        #expect(chip.lines == 0, "all are off after reset")
        chip.write(0x60, width: 4, 0x0B0B_050A)
        #expect((0..<4).map(chip.route) == [10, 5, 11, 11])
        #expect(chip.lines == 1 << 10 | 1 << 5 | 1 << 11)
        chip.pirqs = 0b1000
        #expect(chip.lines == 1 << 11, "two share a line: one of them holds it")
        chip.pirqs = 0
        #expect(chip.lines == 0)
        chip.pirqs = 0b0001
        chip.write(0x60, width: 1, 0x8A)
        #expect(chip.lines == 0 && chip.route(0) == nil)
        #expect(chip.route(4) == nil && chip.route(-1) == nil)
    }

    @Test func reservedLinesAreNoRoutes() throws {
        var chip = try PIIX3()
        for line in UInt32(0)...15 {
            chip.write(0x61, width: 1, line)
            let reserved: Set<UInt32> = [0, 1, 2, 8, 13]
            #expect(chip.route(1) == (reserved.contains(line) ? nil : UInt8(line)))
        }
        chip.write(0x61, width: 1, 0x70)
        #expect(chip.read(0x61, width: 1) == 0, "bits 6:4 are reserved")
    }

    // MARK: Ports

    @Test func edgeLevelRegisterLeavesSystemInterruptsAlone() throws {
        var chip = try PIIX3()
        #expect(chip.write(.edgeLevel1, 0xFF) == .edgeLevel && chip.write(.edgeLevel2, 0xFF) == .edgeLevel)
        #expect(chip.read(.edgeLevel1) == 0xF8 && chip.read(.edgeLevel2) == 0xDE && chip.edgeLevel == 0xDEF8)
        #expect(chip.write(.edgeLevel1, 0xFF) == .nothing)
        chip.reset()
        #expect(chip.edgeLevel == 0)
    }

    @Test func resetControlActsWhereRCPURises() throws {
        var chip = try PIIX3()
        #expect(chip.write(.resetControl, 0x02) == .nothing)
        #expect(chip.write(.resetControl, 0x06) == .hardReset)
        #expect(chip.read(.resetControl) == 0x06)
        #expect(chip.write(.resetControl, 0x06) == .nothing, "it is up already")
        #expect(chip.write(.resetControl, 0x00) == .nothing)
        #expect(chip.write(.resetControl, 0xFC) == .softReset)
        chip.reset()
        #expect(chip.read(.resetControl) == 0)
    }

    @Test func managementPortsKeepAndTell() throws {
        var chip = try PIIX3()
        #expect(chip.write(.apmStatus, 0x42) == .nothing)
        #expect(chip.write(.apmControl, 0xF1) == .apm(0xF1) && chip.write(.apmControl, 0xF1) == .apm(0xF1))
        #expect(chip.read(.apmControl) == 0xF1 && chip.read(.apmStatus) == 0x42)
    }

    // MARK: State

    @Test func randomUseNeverTrapsAndARestoredCopyIsTheSame() throws {
        var (chip, copy) = (try PIIX3(), try PIIX3())
        var dice = SplitMix64(seed: 2)
        let ports: [PIIX3.Port] = [.apmControl, .apmStatus, .edgeLevel1, .edgeLevel2, .resetControl]
        for step in 0..<100_000 {
            let bits = dice.next()
            let value = UInt32(truncatingIfNeeded: bits >> 32)
            let offset = bits & 15 == 0 ? value : UInt32(bits >> 8 & 0xFF)
            switch bits >> 4 & 3 {
            case 0: _ = chip.write(ports[Int(bits >> 8 & 0xFF) % 5], UInt8(truncatingIfNeeded: value))
            case 1: chip.pirqs = UInt8(truncatingIfNeeded: value)
            default: chip.write(offset, width: UInt32(bits >> 16 & 7), value)
            }
            if chip.lines & ~0xDEF8 != 0 { Issue.record("line \(chip.lines)") }
            guard step % 64 == 0 else { continue }
            let taken = copy.restore(chip.state)
            copy.pirqs = chip.pirqs
            #expect(taken && copy.state == chip.state && copy.lines == chip.lines)
            if bits >> 60 == 0 { chip.reset() }
        }
    }

    @Test func statesThatCannotBeAreRefused() throws {
        var chip = try PIIX3()
        for (index, damage)
            in ([
                { $0.edgeLevel = 1 }, { $0.resetControl = .init(rawValue: 1) }, { $0.configuration.bytes[0] = 0 },
                { $0.configuration.bytes = [] },
            ] as [(inout PIIX3.State) -> Void]).enumerated()
        {
            var bad = chip.state
            damage(&bad)
            let taken = chip.restore(bad)
            #expect(!taken, "damage \(index)")
        }
    }
}
