import Images
import Testing

@Suite struct RAMMapTests {
    @Test func touchingAndOverlappingPiecesBecomeOne() {
        let map = RAMMap(ram: [0x2000..<0x3000, 0..<0x1000, 0x1000..<0x2800, 0x5000..<0x5000])
        #expect(map.ranges == [0..<0x3000])
        #expect(map.total == 0x3000)
    }

    @Test func romHidesRAM() {
        let map = RAMMap(ram: [0..<0x200000], reserved: [0xE0000..<0x100000, 0x1FF000..<0x300000])
        #expect(map.ranges == [0..<0xE0000, 0x100000..<0x1FF000])
    }

    @Test func whatIsReservedIsKeptApartFromWhatIsTakenOut() {
        var map = RAMMap(ram: [0..<0x200000], reserved: [0xE000_0000..<0xE010_0000, 0xE010_0000..<0xE020_0000])
        map.remove(0x1000..<0x2000)
        #expect(map.ranges == [0..<0x1000, 0x2000..<0x200000])
        #expect(map.reserved == [0xE000_0000..<0xE020_0000])
    }

    @Test func removingTakesOutOnlyWhatIsThere() {
        var map = RAMMap(ram: [0x1000..<0x4000, 0x8000..<0x9000])
        map.remove(0x3000..<0x8800)
        #expect(map.ranges == [0x1000..<0x3000, 0x8800..<0x9000])
        map.remove(0..<0x1000)
        map.remove(0x2000..<0x2000)
        #expect(map.ranges == [0x1000..<0x3000, 0x8800..<0x9000])
        map.remove(0..<UInt64.max)
        #expect(map.ranges.isEmpty)
    }

    @Test func onlyWhatIsInOnePieceIsContained() {
        let map = RAMMap(ram: [0..<0xA0000, 0x100000..<0x400000])
        #expect(map.contains(0, 0xA0000))
        #expect(!map.contains(0, 0xA0001))
        #expect(map.contains(0x3FFFFF, 1))
        #expect(!map.contains(0x3FFFFF, 2))
        #expect(!map.contains(0x3FFFFF, .max))
        #expect(!map.contains(0xA0000, 1))
        #expect(map.contains(0xA0000, 0))
    }

    @Test func itIsNamedByItsPieces() {
        #expect(RAMMap(ram: []).text == "none")
        #expect(RAMMap(ram: [0..<0xA0000]).text == "0x0-0x9ffff")
        #expect(RAMMap(ram: [0..<0xA0000, 0x100000..<0x400000]).text == "0x0-0x9ffff and 0x100000-0x3fffff")
        #expect(RAMMap(ram: [0..<1, 2..<3, 4..<5]).text == "0x0-0x0, 0x2-0x2 and 0x4-0x4")
    }
}
