@testable import ROM
import Testing

@Suite struct ROMLayoutTests {
    private func layout(
        _ size: UInt64, at: UInt64? = nil, end: UInt64? = nil, aliases: [UInt64] = [], aliasSize: UInt64? = nil
    ) throws(ROMProblem) -> ROMLayout {
        try ROMLayout(imageSize: size, at: at, end: end, aliases: aliases, aliasSize: aliasSize)
    }

    /// A 256 KiB BIOS of a PC: it ends at 4 GiB, and its last 128 KiB answer below 1 MiB.
    @Test func aBIOSEndsAtFourGiBAndShowsBelowOneMiB() throws {
        let bios = try layout(0x40000, end: 0x1_0000_0000, aliases: [0xE0000])
        #expect(
            bios.mappings == [
                .init(offset: 0, address: 0xFFFC_0000, length: 0x40000),
                .init(offset: 0x20000, address: 0xE0000, length: 0x20000),
            ])
        #expect(bios.imageOffset == 0)
    }

    @Test func aSmallBIOSShowsWhole() throws {
        let bios = try layout(0x10000, end: 0x1_0000_0000, aliases: [0xF0000])
        #expect(bios.mappings[1] == .init(offset: 0, address: 0xF0000, length: 0x10000))
    }

    @Test func paddingIsBehindAnImageThatIsPlacedByItsStart() throws {
        let rom = try layout(0x8001, at: 0xC8000)
        #expect(rom.length == 0x9000)
        #expect(rom.imageOffset == 0)
        #expect(rom.mappings == [.init(offset: 0, address: 0xC8000, length: 0x9000)])
    }

    @Test func paddingIsInFrontOfAnImageThatIsPlacedByItsEnd() throws {
        let rom = try layout(0x8001, end: 0x1_0000_0000)
        #expect(rom.length == 0x9000)
        #expect(rom.imageOffset == 0xFFF)
        #expect(rom.mappings == [.init(offset: 0, address: 0xFFFF_7000, length: 0x9000)])
    }

    @Test func exactlyOnePlaceIsGiven() {
        #expect(throws: ROMProblem.noPlace) { try layout(1) }
        #expect(throws: ROMProblem.twoPlaces) { try layout(1, at: 0, end: 0x1000) }
    }

    @Test func addressesAreThoseOfPages() {
        #expect(throws: ROMProblem.notAtPage("at", 0xC8800)) { try layout(1, at: 0xC8800) }
        #expect(throws: ROMProblem.notAtPage("end", 0xFFFF)) { try layout(1, end: 0xFFFF) }
        #expect(throws: ROMProblem.notAtPage("alias", 0x801)) { try layout(1, at: 0, aliases: [0x801]) }
        #expect(throws: ROMProblem.aliasSizeNotPages(100)) { try layout(1, at: 0, aliasSize: 100) }
        #expect(throws: ROMProblem.aliasSizeNotPages(0)) { try layout(1, at: 0, aliasSize: 0) }
    }

    @Test func nothingGoesBeyondTheAddresses() {
        #expect(throws: ROMProblem.endBelowSize(0x1000, length: 0x2000)) { try layout(0x1001, end: 0x1000) }
        #expect(throws: ROMProblem.beyondAddresses(address: 0xFFFF_FFFF_FFFF_F000, length: 0x2000)) {
            try layout(0x2000, at: 0xFFFF_FFFF_FFFF_F000)
        }
        #expect(throws: ROMProblem.beyondAddresses(address: 0, length: .max)) { try layout(.max, at: 0) }
    }

    @Test func mappingsDoNotOverlap() {
        #expect(throws: ROMProblem.overlap(0xE0000, 0xF0000)) {
            try layout(0x20000, at: 0xE0000, aliases: [0xF0000], aliasSize: 0x1000)
        }
        #expect(throws: ROMProblem.overlap(0x1000, 0x1000)) {
            try layout(0x1000, at: 0, aliases: [0x1000, 0x1000])
        }
        #expect(throws: ROMProblem.aliasLargerThanImage(0x2000, image: 0x1000)) {
            try layout(0x1000, at: 0, aliases: [0x10000], aliasSize: 0x2000)
        }
    }
}
