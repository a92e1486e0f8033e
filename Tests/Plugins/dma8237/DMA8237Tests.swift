@testable import DMA8237
import SplitMix
import Testing

/// One controller against the 8237A data sheet (231466): registers 0 to 7 are address and count of each channel, 8 command and status,
/// 9 request, 0xA mask, 0xB mode, 0xC clear byte pointer, 0xD master clear and temporary, 0xE clear mask, 0xF all mask bits.
@Suite struct DMA8237Tests {
    /// Channel 2 with a mode, an address and a count, unmasked.
    private func chip(mode: UInt8, address: UInt16, count: UInt16) -> DMA8237 {
        var chip = DMA8237()
        chip.write(0xB, mode)
        chip.write(0xC, 0)
        chip.write(4, UInt8(address & 0xFF))
        chip.write(4, UInt8(address >> 8))
        chip.write(5, UInt8(count & 0xFF))
        chip.write(5, UInt8(count >> 8))
        chip.write(0xA, 2)
        return chip
    }

    private func word(_ chip: inout DMA8237, _ register: UInt8) -> UInt16 {
        chip.write(0xC, 0)
        let low = chip.read(register)
        let high = chip.read(register)
        return UInt16(low) | UInt16(high) << 8
    }

    @Test func afterResetAllChannelsAreMasked() {
        var chip = DMA8237()
        #expect(chip.read(0xF) == 0xF && chip.read(8) == 0 && chip.read(0xD) == 0)
        #expect((0..<4).allSatisfy { !chip.answers($0) })
        chip.write(0xE, 0)
        #expect((0..<4).allSatisfy { chip.answers($0) } && chip.read(0xF) == 0)
        chip.write(0xF, 0b0101)
        #expect((0..<4).map { chip.answers($0) } == [false, true, false, true])
        chip.write(0xA, 0b101)
        #expect(!chip.answers(1))
        chip.write(0xA, 0b000)
        #expect(chip.answers(0))
    }

    @Test func commandBit2DisablesTheController() {
        var chip = chip(mode: 0x46, address: 0, count: 1)
        #expect(chip.answers(2))
        chip.write(8, 0x04)
        #expect(!chip.answers(2))
        chip.write(8, 0x10)
        #expect(chip.answers(2))
    }

    @Test func theBytePointerTogglesForReadsAndWritesOfAllChannels() {
        var chip = DMA8237()
        chip.write(0, 0x34)
        chip.write(3, 0x12)  // the high byte of channel 1's count
        chip.write(2, 0x78)
        #expect(chip.read(2) == 0, "the high byte")
        #expect(chip.read(2) == 0x78)
        #expect(chip.peek(3) == 0x12 && chip.peek(3) == 0x12, "a peek toggles nothing")
        chip.write(0xC, 0)
        #expect(chip.peek(0) == 0x34)
    }

    @Test func aCountOfNIsNPlusOneUnits() {
        var chip = chip(mode: 0x46, address: 0x1000, count: 511)
        #expect(chip.unitsLeft(2) == 512)
        #expect(chip.runs(2, units: 512) == [.init(address: 0x1000, units: 512, descends: false)])
        let isEnd = chip.advance(2, by: 511)
        #expect(!isEnd && word(&chip, 4) == 0x11FF && word(&chip, 5) == 0)
        let isLast = chip.advance(2, by: 1)
        #expect(isLast && word(&chip, 4) == 0x1200 && word(&chip, 5) == 0xFFFF)
        #expect(!chip.answers(2), "terminal count masks the channel")
        #expect(chip.peek(8) == 0x04 && chip.read(8) == 0x04 && chip.read(8) == 0, "a read of the status clears it")
    }

    @Test func autoinitializationStartsAnewUnmasked() {
        var chip = chip(mode: 0x56, address: 0xABCD, count: 7)
        let isEnd = chip.advance(2, by: 8)
        #expect(isEnd && chip.answers(2) && chip.read(8) == 0x04)
        #expect(word(&chip, 4) == 0xABCD && word(&chip, 5) == 7)
    }

    @Test func addressesDescendAndWrapIn64KiB() {
        var down = chip(mode: 0x66, address: 2, count: 4)
        #expect(
            down.runs(2, units: 5) == [
                .init(address: 2, units: 3, descends: true), .init(address: 0xFFFF, units: 2, descends: true),
            ])
        _ = down.advance(2, by: 5)
        #expect(word(&down, 4) == 0xFFFD)
        var up = chip(mode: 0x46, address: 0xFFFE, count: 0xFFFF)
        #expect(up.unitsLeft(2) == 65536)
        #expect(
            up.runs(2, units: 65536) == [
                .init(address: 0xFFFE, units: 2, descends: false), .init(address: 0, units: 65534, descends: false),
            ])
        let isEnd = up.advance(2, by: 65536)
        #expect(isEnd && word(&up, 4) == 0xFFFE)
    }

    /// Mode bits 3:2 are verify, write, read, illegal; 7:6 demand, single, block, cascade.
    @Test func modesAreTakenApart() {
        var chip = DMA8237()
        for (value, transfer) in [(0x40, .verify), (0x44, .write), (0x48, .read), (0x4C, .illegal)]
            as [(UInt8, DMA8237.Mode.Transfer)]
        {
            chip.write(0xB, value | 3)
            #expect(chip.mode(3).transfer == transfer)
        }
        chip.write(0xB, 0xC1)
        #expect(chip.mode(1).isCascade && !chip.mode(3).isCascade)
    }

    @Test func masterClearIsAReset() {
        var chip = chip(mode: 0x46, address: 0x1234, count: 0)
        chip.write(8, 0x04)
        chip.write(9, 0x05)
        chip.write(0, 1)
        _ = chip.advance(2, by: 1)
        chip.write(0xD, 0)
        #expect(chip.read(8) == 0 && chip.read(0xF) == 0xF && chip.state.command == [] && chip.state.requests == 0)
        chip.write(0, 0xEE)
        #expect(chip.state.channels[0].address & 0xFF == 0xEE, "the byte pointer is at the low byte")
    }

    /// The request register: a channel in block mode runs to terminal count, masked or not.
    @Test func softwareRequestsAreServedInBlockMode() {
        var chip = chip(mode: 0x86, address: 0x100, count: 15)
        chip.write(0xF, 0xF)
        chip.write(9, 0x06)
        #expect(chip.read(8) == 0x04 && word(&chip, 4) == 0x110 && chip.state.requests == 0)
        var single = self.chip(mode: 0x46, address: 0x100, count: 15)
        single.write(9, 0x06)
        #expect(single.state.requests == 4 && single.read(8) == 0)
        single.write(9, 0x02)
        #expect(single.state.requests == 0)
    }

    @Test func statusShowsWhoAsks() {
        var chip = DMA8237()
        chip.dreq = 0b0100
        #expect(chip.read(8) == 0x40 && chip.read(8) == 0x40)
    }

    @Test func statesThatCannotBeAreRefused() {
        var chip = DMA8237()
        for (index, damage)
            in ([
                { $0.mask = 16 }, { $0.requests = 16 }, { $0.terminalCounts = 16 }, { $0.channels = [] },
            ] as [(inout DMA8237.State) -> Void]).enumerated()
        {
            var bad = chip.state
            damage(&bad)
            let taken = chip.restore(bad)
            #expect(!taken, "damage \(index)")
        }
    }
}
