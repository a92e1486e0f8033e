import Images
import Testing

@Suite struct PlacementTests {
    private func placement(_ ram: Range<UInt64>, taken: [Range<UInt64>] = []) -> Placement {
        Placement(RAMMap(ram: [ram]), taken: taken)
    }

    @Test func theLowestAndTheHighestPlaceAreGivenOnce() {
        var room = placement(0..<0x10000)
        #expect(room.take(0x10, alignment: 16, in: 0..<0x10000) == 0x1000)
        #expect(room.take(0x10, alignment: 4096, in: 0..<0x10000) == 0x2000)
        #expect(room.takeHighest(0x1001, alignment: 4096, in: 0..<0x10000) == 0xE000)
        #expect(room.takeHighest(0x10, alignment: 4096, in: 0..<0x10000) == 0xD000)
        #expect(room.takeHighest(0x1000, alignment: 1, in: 0..<0xD800) == 0xC000)
    }

    @Test func boundsAndWhatIsTakenAreKept() {
        var room = placement(0..<0x10000, taken: [0x8000..<0x9000])
        #expect(room.takeHighest(0x1000, alignment: 4096, in: 0x7000..<0x9FFF) == 0x7000)
        #expect(room.takeHighest(0x1000, alignment: 4096, in: 0x7000..<0x9FFF) == nil)
        #expect(room.take(0x1000, alignment: 4096, in: 0x7000..<0x9FFF) == nil)
        #expect(room.takeHighest(0x100000, alignment: 1, in: 0..<0x10000) == nil)
    }

    @Test func theFirstPageAndWhatIsAbove4GiBAreNeverGiven() {
        var room = placement(0..<0x1_0000_1000, taken: [0x1000..<0xFFFF_F000])
        #expect(room.takeHighest(0x1000, alignment: 4096, in: 0..<UInt64.max) == 0xFFFF_F000)
        #expect(room.takeHighest(1, alignment: 1, in: 0..<UInt64.max) == nil)
        #expect(room.take(1, alignment: 1, in: 0..<UInt64.max) == nil)
    }
}
