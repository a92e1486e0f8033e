import FlatImage
import Images
import Testing

@Suite struct FlatImageTests {
    private func image(
        size: UInt64 = 512, address: UInt64 = 0x7C00, entry: UInt64 = 0x7C00, stack: UInt64 = 0x7C00,
        _ mode: FlatImage.Mode = .real
    ) throws(FlatImage.Problem) -> FlatImage {
        try FlatImage(size: size, address: address, entry: entry, stack: stack, mode: mode)
    }

    @Test func aBootSectorIsEnteredInSegmentZero() throws {
        let entry = try image().farEntry
        #expect(entry.segment == 0)
        #expect(entry.offset == 0x7C00)
    }

    @Test func anEntryAboveTheFirstSegmentHasTheSmallestOffset() throws {
        var entry = try image(entry: 0xFFFF).farEntry
        #expect((entry.segment, entry.offset) == (0, 0xFFFF))
        entry = try image(entry: 0x10000).farEntry
        #expect((entry.segment, entry.offset) == (0x1000, 0))
        entry = try image(entry: 0xFFFFB).farEntry
        #expect((entry.segment, entry.offset) == (0xFFFF, 0xB))
    }

    @Test func realModeReachesOneMiB() {
        #expect(throws: FlatImage.Problem.entryBeyondAddresses(0x100000, .real)) { try image(entry: 0x100000) }
        #expect(throws: Never.self) { try image(entry: 0x100000, .protected) }
        #expect(throws: FlatImage.Problem.entryBeyondAddresses(0x1_0000_0000, .protected)) {
            try image(entry: 0x1_0000_0000, .protected)
        }
    }

    @Test func theStackFitsItsRegister() {
        #expect(throws: Never.self) { try image(stack: 0xFFFF) }
        #expect(throws: FlatImage.Problem.stackBeyondSegment(0x10000, .real)) { try image(stack: 0x10000) }
        #expect(throws: Never.self) { try image(stack: 0xFFFF_FFFF, .protected) }
        #expect(throws: FlatImage.Problem.stackBeyondSegment(0x1_0000_0000, .protected)) {
            try image(stack: 0x1_0000_0000, .protected)
        }
    }

    @Test func theImageLiesBelowFourGiB() {
        #expect(throws: Never.self) { try image(size: 0x1000, address: 0xFFFF_F000) }
        #expect(throws: FlatImage.Problem.beyondFourGiB(size: 0x1001, address: 0xFFFF_F000)) {
            try image(size: 0x1001, address: 0xFFFF_F000)
        }
        #expect(throws: FlatImage.Problem.beyondFourGiB(size: 1, address: .max)) { try image(size: 1, address: .max) }
    }

    @Test func theErrorOfTooLittleRAMNamesBothSizes() throws {
        let ram = RAMMap(ram: [0..<0x8000])
        #expect(throws: Never.self) { try image(size: 0x400).check(fits: ram) }
        do {
            try image(size: 0x401).check(fits: ram)
            Issue.record("1025 bytes at 0x7c00 do not fit 32 KiB")
        } catch {
            #expect(
                error.text == "the image has 1025 bytes, 0x7c00 to 0x8000, which is not all RAM; RAM is 0x0-0x7fff, "
                    + "32768 bytes")
        }
    }
}
