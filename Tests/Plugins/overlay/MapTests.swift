import Testing

@testable import OverlayStore

@Suite struct MapTests {
    /// Bit n % 8 of byte n / 8; a page has 32768 of them.
    @Test func pagesAreAsTheFileHasThem() {
        var map = ClusterMap()
        for cluster in [0, 9, 32767, 32768, 32769] as [UInt64] { map.insert(cluster) }
        map.insert(9)
        #expect(map.count == 5)
        let pages = map.takeDirty()
        #expect(pages.map(\.number) == [0, 1])
        #expect(pages[0].bytes.count == 4096 && pages[0].bytes[0] == 1 && pages[0].bytes[1] == 2)
        #expect(pages[0].bytes[4095] == 0x80 && pages[1].bytes[0] == 3)
        let none = map.takeDirty()
        #expect(none.isEmpty)
        map.giveBack(pages)
        #expect(map.dirty == [0, 1])
        var copy = ClusterMap()
        for page in pages {
            let isGood = copy.load(page.number, page.bytes, end: 32770)
            #expect(isGood)
        }
        #expect(copy.count == 5 && copy.contains(32769) && !copy.contains(32770) && copy.dirty.isEmpty)
        let isBad = !copy.load(1, pages[1].bytes, end: 32769)
        #expect(isBad)
    }

    @Test func runsEndWhereTheKindChanges() {
        var map = ClusterMap()
        for cluster in 5..<8 as Range<UInt64> { map.insert(cluster) }
        #expect(map.run(from: 0, limit: 100) == (false, 5))
        #expect(map.run(from: 5, limit: 100) == (true, 3))
        #expect(map.run(from: 5, limit: 2) == (true, 2))
        #expect(map.run(from: 8, limit: 9) == (false, 9))
        #expect(map.next(from: 0) == 5 && map.next(from: 6) == 6 && map.next(from: 8) == nil)
    }

    @Test func whatIsTakenOutIsDirty() {
        var (map, kept) = (ClusterMap(), ClusterMap())
        map.insert(1)
        map.insert(40000)
        kept.insert(2)
        _ = map.takeDirty()
        map.removeAll(but: kept)
        #expect(map.count == 1 && map.contains(2) && !map.contains(1) && !map.contains(40000))
        let pages = map.takeDirty()
        #expect(pages.map { page in page.bytes.contains { $0 != 0 } } == [true, false])
    }
}
