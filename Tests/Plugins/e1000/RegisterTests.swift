import E1000
import Testing

/// Registers, EEPROM, PHY and interrupts: the manual (317453), chapters 5, 8 and 13.
@Suite struct E1000RegisterTests {
    // MARK: Reset

    @Test func resetValuesAreTheManuals() {
        let chip = E1000(address: station)
        for (offset, value): (UInt32, UInt32) in [
            (0x0000, 0x0000_0001), (0x0008, 0x0000_0081), (0x0038, 0x8100), (0x00C0, 0), (0x00D0, 0), (0x0100, 0),
            (0x0400, 0), (0x0028, 0x00C2_8001), (0x002C, 0x0100), (0x0030, 0x8808), (0x1000, 0x0010_0030),
            (0x5400, 0x1200_5452), (0x5404, 0x8000_5634), (0x5408, 0), (0x540C, 0), (0x4000, 0), (0x2810, 0),
        ] { #expect(chip.peek(offset) == value, "\(offset)") }
    }

    @Test func aResetKeepsEEPROMAndCableOnly() {
        var bench = Bench()
        bench.set(0x5400, 1)
        bench.set(0x5200, 0xFFFF_FFFF)
        bench.set(0xD0, 0xFFFF)
        bench.chip.setCarrier(false, at: 0)
        bench.set(0x0000, 1 << 26)
        #expect(bench.chip.peek(0x0000) == 1)
        #expect(bench.chip.peek(0x5400) == 0x1200_5452)
        #expect(bench.chip.peek(0x5200) == 0)
        #expect(bench.chip.peek(0xD0) == 0)
        #expect(bench.chip.peek(0x0100) == 0)
        #expect(bench.chip.interruptAsserted == false)
        bench.set(0x0000, 0x40)
        #expect(bench.chip.isLinkUp == false)
    }

    @Test func reservedBitsDoNotStick() {
        var bench = Bench()
        for (offset, value): (UInt32, UInt32) in [
            (0x2800, 0xFFFF_FFF0), (0x2808, 0x000F_FF80), (0x2810, 0xFFFF), (0x2818, 0xFFFF), (0x3808, 0x000F_FF80),
            (0x5404, 0x8003_FFFF), (0x00C4, 0xFFFF), (0x0038, 0xFFFF), (0x0008, 0x83), (0x5000, 0x3FF), (0x7FFC, 0),
        ] {
            bench.set(offset, 0xFFFF_FFFF)
            #expect(bench.chip.peek(offset) == value, "\(offset)")
        }
    }

    @Test func theWindowOfTwoRegistersReachesAll() {
        var bench = Bench()
        bench.chip.writeWindow(0, 0x5408, at: 0)
        bench.chip.writeWindow(4, 0x1234_5678, at: 0)
        #expect(bench.chip.peek(0x5408) == 0x1234_5678)
        #expect(bench.chip.readWindow(0, at: 0) == 0x5408)
        #expect(bench.chip.readWindow(4, at: 0) == 0x1234_5678)
        bench.chip.writeWindow(0, 0xFFFF_FFFF, at: 0)
        #expect(bench.chip.readWindow(4, at: 0) == 0)
    }

    // MARK: EEPROM

    private func read(_ bench: inout Bench, _ word: UInt32) -> UInt16 {
        bench.set(0x14, word << 8 | 1)
        let value = bench.get(0x14)
        #expect(value & 0x10 != 0, "done")
        return UInt16(value >> 16)
    }

    @Test func theEEPROMHasTheAddressItsIDsAndItsSum() {
        var bench = Bench()
        let words = (0..<64).map { read(&bench, UInt32($0)) }
        #expect(Array(words.prefix(3)) == [0x5452, 0x1200, 0x5634])
        #expect(words[0x0D] == 0x100E)
        #expect(words[0x0E] == 0x8086)
        #expect(words.reduce(0, &+) == 0xBABA)
        bench.set(0x14, 0x0300)
        #expect(bench.get(0x14) == 0x0300, "no start, nothing done")
    }

    /// Linux's way: DI is set while SK is low, SK rises and falls.
    private func shiftOut(_ bench: inout Bench, _ value: UInt32, _ bits: Int) {
        for bit in (0..<bits).reversed() {
            let data: UInt32 = value >> UInt32(bit) & 1 == 1 ? 4 : 0
            for pins in [0x42 | data, 0x43 | data, 0x42 | data] { bench.set(0x10, pins) }
        }
    }

    private func shiftIn(_ bench: inout Bench, _ bits: Int) -> UInt32 {
        (0..<bits).reduce(0) { value, _ in
            bench.set(0x10, 0x43)
            let bit = bench.get(0x10) >> 3 & 1
            bench.set(0x10, 0x42)
            return value << 1 | bit
        }
    }

    @Test func aGuestThatBangsBitsReadsTheSameWords() {
        var bench = Bench()
        bench.set(0x10, 0x40)
        #expect(bench.get(0x10) & 0x1C0 == 0x1C0, "request, grant, present")
        for word: UInt32 in [0, 1, 2, 0x0D, 0x3F] {
            bench.set(0x10, 0x42)
            shiftOut(&bench, 0b110 << 6 | word, 9)
            #expect(bench.get(0x10) & 8 == 0, "the dummy zero")
            #expect(UInt16(shiftIn(&bench, 16)) == read(&bench, word))
            bench.set(0x10, 0x40)
        }
        bench.set(0x10, 0x42)
        shiftOut(&bench, 0b0_110_000000, 10)
        #expect(shiftIn(&bench, 48) == 0x1200_5634, "on through the words; what went before the start bit is nothing")
    }

    @Test func wordsAreWrittenOnlyWhileThatIsEnabled() {
        var bench = Bench()
        func command(_ value: UInt32, _ bits: Int) {
            bench.set(0x10, 0x42)
            shiftOut(&bench, value, bits)
            bench.set(0x10, 0x40)
        }
        let write: UInt32 = (0b101 << 6 | 0x20) << 16 | 0xBEEF
        command(write, 25)
        #expect(read(&bench, 0x20) == 0)
        command(0b100_110000, 9)
        command(write, 25)
        #expect(read(&bench, 0x20) == 0xBEEF)
        bench.set(0x10, 0x42)
        #expect(bench.get(0x10) & 8 != 0, "ready")
        bench.set(0x10, 0x40)
        command(0b111 << 6 | 0x20, 9)
        #expect(read(&bench, 0x20) == 0xFFFF)
        command(0b100_000000, 9)
        command(write, 25)
        #expect(read(&bench, 0x20) == 0xFFFF)
    }

    // MARK: PHY

    private func phy(_ bench: inout Bench, _ register: UInt32, write: UInt32? = nil, phy: UInt32 = 1) -> UInt32 {
        bench.set(0x20, phy << 21 | register << 16 | (write.map { 1 << 26 | $0 } ?? 2 << 26))
        return bench.get(0x20)
    }

    @Test func thePHYIsAMarvellAtAddressOne() {
        var bench = Bench()
        #expect(phy(&bench, 2) & 0x5000_FFFF == 0x1000_0141)
        #expect(phy(&bench, 3) & 0xFFFF == 0x0C20)
        #expect(phy(&bench, 2, phy: 2) & 0x5000_0000 == 0x5000_0000, "ready, with an error")
        #expect(phy(&bench, 1) & 0x24 == 0x24)
        #expect(phy(&bench, 17) & 0xEC00 == 0xAC00, "1000 Mb/s, full duplex, resolved, link")
        #expect(phy(&bench, 5) & 0x1E0 == 0x1E0)
        bench.chip.setCarrier(false, at: 0)
        #expect(phy(&bench, 1) & 0x24 == 0)
        #expect(phy(&bench, 17) & 0x0C00 == 0)
    }

    @Test func negotiationIsOverAtOnceAndSaysSo() {
        var bench = Bench()
        _ = phy(&bench, 0, write: 0x1200)
        #expect(bench.get(0xC0) == 0x04)
        #expect(phy(&bench, 0) & 0xFFFF == 0x1000)
        _ = phy(&bench, 0, write: 0x8000)
        #expect(phy(&bench, 0) & 0xFFFF == 0x1140)
        bench.set(0x20, 1 << 29 | 2 << 26 | 1 << 21)
        #expect(bench.get(0xC0) & 0x200 != 0, "MDAC where it was asked for")
    }

    @Test func theLinkNeedsTheCableAndSetLinkUp() {
        var bench = Bench()
        #expect(bench.get(0x08) & 3 == 3)
        bench.chip.setCarrier(false, at: 0)
        #expect(bench.get(0x08) & 3 == 1)
        #expect(bench.get(0xC0) == 0x04)
        bench.chip.setCarrier(true, at: 0)
        _ = bench.get(0xC0)
        bench.set(0x00, 0x01)
        #expect(bench.get(0x08) & 3 == 1)
        #expect(bench.get(0xC0) == 0x04)
    }

    // MARK: Interrupts

    @Test func causesAreMaskedSetAndClearedByReading() {
        var bench = Bench()
        bench.set(0xC8, 0x84)
        #expect(bench.chip.interruptAsserted == false)
        bench.set(0xD0, 0x04)
        #expect(bench.chip.interruptAsserted == true)
        bench.set(0xD0, 0x10)
        #expect(bench.get(0xD0) == 0x14)
        bench.set(0xD8, 0x04)
        #expect(bench.chip.interruptAsserted == false)
        bench.set(0xD0, 0x80)
        #expect(bench.chip.interruptAsserted == true)
        #expect(bench.get(0xC0) == 0x84)
        #expect(bench.chip.interruptAsserted == false)
        #expect(bench.get(0xC0) == 0)
        bench.set(0xC8, 0x84)
        bench.set(0xC0, 0x80)
        #expect(bench.get(0xC0) == 0x04, "a write clears what it names")
    }

    @Test func throttlingKeepsInterruptsApart() {
        var bench = Bench()
        bench.set(0xC4, 1000)
        bench.set(0xD0, 0x80)
        bench.now = 10_000
        bench.set(0xC8, 0x80)
        #expect(bench.chip.interruptAsserted == true, "the first comes at once")
        _ = bench.get(0xC0)
        bench.now = 20_000
        bench.set(0xC8, 0x80)
        #expect(bench.chip.interruptAsserted == false)
        #expect(bench.chip.nextDeadline == 10_000 + 256_000)
        bench.chip.advance(to: 265_999)
        #expect(bench.chip.interruptAsserted == false)
        bench.chip.advance(to: 266_000)
        #expect(bench.chip.interruptAsserted == true)
        #expect(bench.chip.nextDeadline == nil)
    }
}
