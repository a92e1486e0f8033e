import Testing

@testable import PageWatch

@Suite struct PageWatchTests {
    @Test func pagesThatChangedAreFoundExactly() throws {
        var memory = [UInt8](repeating: 7, count: 5 * 4096)
        func read(_ page: UInt64) -> [UInt8]? { page < 5 * 4096 ? Array(memory[Int(page)..<Int(page) + 4096]) : nil }
        var watch = try #require(PageWatch([0x1000...0x1000, 0x2fff...0x4000]))
        #expect(watch.pages == [0x1000, 0x2000, 0x3000, 0x4000])
        #expect(watch.changed(read) == [])
        watch.begin(read)
        #expect(watch.changed(read) == [])
        memory[0x0fff] = 1
        memory[0x2fff] = 1
        memory[0x3000] = 1
        #expect(watch.changed(read) == [0x2000, 0x3000])
        memory[0x3000] = 7
        #expect(watch.changed(read) == [0x2000])
        watch.begin(read)
        #expect(watch.changed(read) == [])
    }

    @Test func whatIsNotRAMIsZerosAndNoChange() throws {
        var watch = try #require(PageWatch([UInt64.max...UInt64.max]))
        watch.begin { _ in nil }
        #expect(watch.changed { _ in nil } == [])
        #expect(watch.changed { _ in [UInt8](repeating: 1, count: 4096) } == [0xffff_ffff_ffff_f000])
    }

    @Test func moreThanTheLimitIsRefused() {
        #expect(PageWatch([0...(64 << 20) - 1]) != nil)
        #expect(PageWatch([0...(64 << 20)]) == nil)
        #expect(PageWatch([0...UInt64.max]) == nil)
        #expect(PageWatch([0...(40 << 20), (100 << 20)...(140 << 20)]) == nil)
    }

    @Test func neighboursAreOneRange() {
        #expect(PageWatch.ranges(of: [0x1000, 0x2000, 0x5000]) == [0x1000...0x2fff, 0x5000...0x5fff])
        #expect(PageWatch.ranges(of: [0xffff_ffff_ffff_f000]) == [0xffff_ffff_ffff_f000...UInt64.max])
    }
}
