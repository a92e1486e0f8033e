import SplitMix
import IOAPIC
import Testing

/// Intel 82093AA data sheet (290566-001).
@Suite struct IOAPICTests {
    // MARK: Registers

    @Test func resetValuesAreTheDataSheets() {
        var chip = IOAPIC()
        #expect(chip.read(0x00) == 0)
        #expect(chip.register(0) == 0)
        #expect(chip.register(1) == 0x0017_0011, "24 entries, version 11h")
        #expect(chip.register(2) == 0)
        for pin: UInt8 in 0..<24 {
            #expect(chip.register(0x10 + 2 * pin) == 0x0001_0000)
            #expect(chip.register(0x11 + 2 * pin) == 0)
        }
        #expect(chip.register(0x40) == 0)
        #expect(chip.register(0xFF) == 0)
    }

    @Test func onlyTheTwoWindowsAreDecoded() {
        var chip = IOAPIC()
        for offset: UInt16 in [1, 4, 0x11, 0x14, 0x20, 0x40, 0xFF0] {
            #expect(chip.read(offset) == nil)
            #expect(chip.write(offset, 1) == false)
        }
        #expect(chip.write(0, 0xFFFF_FF01) == true)
        #expect(chip.read(0) == 1)
    }

    @Test func idIsFourBitsAndArbitrationFollows() {
        var chip = IOAPIC()
        chip.set(0, 0xFFFF_FFFF)
        #expect(chip.register(0) == 0x0F00_0000)
        #expect(chip.register(2) == 0x0F00_0000)
        chip.set(1, 0)
        chip.set(2, 0)
        #expect(chip.register(1) == 0x0017_0011)
        #expect(chip.register(2) == 0x0F00_0000)
    }

    @Test func statusBitsOfAnEntryAreReadOnly() {
        var chip = IOAPIC()
        chip.set(0x12, 0xFFFF_FFFF)
        chip.set(0x13, 0xFFFF_FFFF)
        #expect(chip.register(0x12) == 0x0001_AFFF)
        #expect(chip.register(0x13) == 0xFF00_0000)
        #expect(chip.register(0x10) == 0x0001_0000, "its neighbours are untouched")
        #expect(chip.register(0x14) == 0x0001_0000)
    }

    // MARK: Edges

    @Test func anEdgeIsOneMessage() {
        var chip = IOAPIC()
        chip.set(0x18, 0x0000_0041)
        chip.set(0x19, 0x0300_0000)
        chip.setLine(4, true)
        #expect(chip.takeMessages() == [.init(address: 0xFEE0_3000, data: 0x41)])
        chip.setLine(4, true)
        #expect(chip.takeMessages() == [])
        chip.setLine(4, false)
        chip.setLine(4, true)
        #expect(chip.takeMessages() == [.init(address: 0xFEE0_3000, data: 0x41)], "no end is needed")
        #expect(chip.register(0x18) == 0x41)
    }

    @Test func anEdgeAtAMaskedPinIsLost() {
        var chip = IOAPIC()
        chip.setLine(4, true)
        chip.set(0x18, 0x41)
        #expect(chip.takeMessages() == [])
    }

    @Test func deliveryAndDestinationTravelInTheMessage() {
        for (low, high, address, data): (UInt32, UInt32, UInt64, UInt32) in [
            (0x0041, 0xFF00_0000, 0xFEEF_F000, 0x0041),  // fixed, physical, all
            (0x0941, 0x0F00_0000, 0xFEE0_F004, 0x0141),  // lowest priority, logical
            (0x0200, 0x0100_0000, 0xFEE0_1000, 0x0200),  // SMI
            (0x0400, 0x0100_0000, 0xFEE0_1000, 0x0400),  // NMI
            (0x8400, 0x0100_0000, 0xFEE0_1000, 0x0400),  // NMI is an edge even if programmed as a level
            (0x0500, 0x0100_0000, 0xFEE0_1000, 0x0500),  // INIT
            (0x0700, 0x0000_0000, 0xFEE0_0000, 0x0700),  // ExtINT
            (0xA041, 0x0000_0000, 0xFEE0_0000, 0xC041),  // level, active low
        ] {
            var chip = IOAPIC()
            chip.set(0x10, low)
            chip.set(0x11, high)
            chip.setLine(0, true)
            #expect(chip.takeMessages() == [.init(address: address, data: data)])
        }
        for reserved: UInt32 in [0x0341, 0x0641, 0x8341] {
            var chip = IOAPIC()
            chip.set(0x10, reserved)
            chip.setLine(0, true)
            #expect(chip.takeMessages() == [])
        }
    }

    // MARK: Levels

    @Test func aLevelAsksOnceUntilItsEndAndAgainWhileAsserted() {
        var chip = IOAPIC()
        chip.set(0x30, 0x8052)
        chip.setLine(16, true)
        #expect(chip.takeMessages() == [.init(address: 0xFEE0_0000, data: 0xC052)])
        #expect(chip.register(0x30) == 0xC052, "remote IRR")
        chip.setLine(16, false)
        chip.setLine(16, true)
        #expect(chip.takeMessages() == [])
        chip.endOfInterrupt(0x53)
        #expect(chip.takeMessages() == [], "another vector's end")
        chip.endOfInterrupt(0x52)
        #expect(chip.takeMessages() == [.init(address: 0xFEE0_0000, data: 0xC052)])
        chip.setLine(16, false)
        chip.endOfInterrupt(0x52)
        #expect(chip.takeMessages() == [])
        #expect(chip.register(0x30) == 0x8052)
    }

    @Test func anEndReachesAllPinsOfItsVector() {
        var chip = IOAPIC()
        for pin: UInt8 in [20, 3] {
            chip.set(0x10 + 2 * pin, 0x8052)
            chip.set(0x11 + 2 * pin, UInt32(pin) << 24)
            chip.setLine(pin, true)
        }
        #expect(chip.takeMessages().count == 2)
        chip.endOfInterrupt(0x52)
        #expect(chip.takeMessages().map(\.address) == [0xFEE0_3000, 0xFEE1_4000])
    }

    @Test func unmaskingAnAssertedLevelDelivers() {
        var chip = IOAPIC()
        chip.set(0x30, 0x1_8052)
        chip.setLine(16, true)
        #expect(chip.takeMessages() == [])
        chip.set(0x30, 0x8052)
        #expect(chip.takeMessages().count == 1)
        chip.set(0x30, 0x8053)
        #expect(chip.takeMessages() == [], "a write while remote IRR is set delivers nothing")
        #expect(chip.register(0x30) == 0xC053, "nor does it clear it")
    }

    @Test func anEndAtAMaskedPinWaitsForTheMaskToClear() {
        var chip = IOAPIC()
        chip.set(0x30, 0x8052)
        chip.setLine(16, true)
        _ = chip.takeMessages()
        chip.set(0x30, 0x1_8052)
        chip.endOfInterrupt(0x52)
        #expect(chip.takeMessages() == [])
        #expect(chip.register(0x30) == 0x1_8052)
        chip.set(0x30, 0x8052)
        #expect(chip.takeMessages().count == 1)
    }

    /// Linux's way to clear a remote IRR without an EOI register.
    @Test func makingAnEntryAnEdgeClearsItsRemoteIRR() {
        var chip = IOAPIC()
        chip.set(0x30, 0x8052)
        chip.setLine(16, true)
        _ = chip.takeMessages()
        chip.set(0x30, 0x1_0052)
        #expect(chip.register(0x30) == 0x1_0052)
        chip.set(0x30, 0x1_8052)
        #expect(chip.takeMessages() == [])
        chip.set(0x30, 0x8052)
        #expect(chip.takeMessages().count == 1)
    }

    @Test func anAssertedLevelThatBecomesAnEdgeAsksNothing() {
        var chip = IOAPIC()
        chip.setLine(16, true)
        chip.set(0x30, 0x52)
        #expect(chip.takeMessages() == [])
    }

    // MARK: Pins and states

    @Test func pinsAboveTwentyThreeAreIgnored() {
        var chip = IOAPIC()
        for pin: UInt8 in [24, 31, 32, 64, 255] { chip.setLine(pin, true) }
        #expect(chip.state.lines == 0)
    }

    @Test func aResetKeepsThePinsAndMasksAll() {
        var chip = IOAPIC()
        chip.set(0x30, 0x8052)
        chip.setLine(16, true)
        chip.reset()
        #expect(chip.takeMessages() == [])
        #expect(chip.register(0x30) == 0x1_0000)
        chip.set(0x30, 0x8052)
        #expect(chip.takeMessages().count == 1)
    }

    @Test func statesThatNoChipCanBeInAreRefused() {
        let broken: [(inout IOAPIC.State) -> Void] = [
            { $0.id = 16 }, { $0.lines = 1 << 24 }, { $0.entries.removeLast() },
            { $0.entries.append(.init(rawValue: 0)) },
            { $0.entries = [] }, { $0.entries[3].rawValue = 1 << 17 }, { $0.entries[3].rawValue = 1 << 12 },
            { $0.entries[3].rawValue = 1 << 14 },
        ]
        for change in broken {
            var chip = IOAPIC()
            chip.set(0x30, 0x8052)
            let before = chip.state
            var state = before
            change(&state)
            #expect(chip.restore(state) == false)
            #expect(chip.state == before)
        }
    }

    /// A chip whose owner saves and restores it at random goes on as one that runs through.
    @Test func randomOperationsNeitherTrapNorTellARestoredChipApart() {
        var random = SplitMix64(seed: 82093)
        var (chip, twin) = (IOAPIC(), IOAPIC())
        var messages = 0
        for step in 0..<100_000 {
            let seed = random.next()
            let (one, other) = (operate(&chip, seed), operate(&twin, seed))
            messages += one.count
            if one != other || chip.state != twin.state { return #expect(Bool(false), "step \(step)") }
            if step % 53 == 0 {
                var fresh = IOAPIC()
                guard fresh.restore(twin.state) else { return #expect(Bool(false), "\(twin.state)") }
                twin = fresh
            }
        }
        #expect(messages > 1000)
    }

    private func operate(_ chip: inout IOAPIC, _ seed: UInt64) -> [IOAPIC.Message] {
        var random = SplitMix64(seed: seed)
        let value = UInt32(truncatingIfNeeded: random.next())
        switch random.next() % 8 {
        case 0: chip.select(UInt8(truncatingIfNeeded: value))
        case 1, 2: chip.set(UInt8(value >> 8 & 0x3F), value & ~(value >> 3 & 0x1_0000))
        case 3: _ = chip.read(UInt16(value & 0x10))
        case 4: chip.endOfInterrupt(UInt8(truncatingIfNeeded: value))
        case 5: if value & 0xFF == 0 { chip.reset() }
        default: chip.setLine(UInt8(value & 31), value & 32 != 0)
        }
        return chip.takeMessages()
    }
}
