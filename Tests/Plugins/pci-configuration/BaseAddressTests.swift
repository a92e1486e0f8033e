import Testing
@testable import PCIConfiguration

/// Base address registers against PCI 3.0, 6.2.5.
@Suite struct BaseAddressTests {
    typealias Window = ConfigurationSpace.Window

    private func card() throws -> ConfigurationSpace {
        var made = layout()
        try made.addBaseAddress(0, .memory32(prefetchable: false), size: 0x2_0000)
        try made.addBaseAddress(1, .io, size: 64)
        try made.addBaseAddress(2, .memory64(prefetchable: true), size: 0x2_0000_0000)
        try made.addBaseAddress(4, .memory32(prefetchable: true), size: 16)
        try made.addROM(size: 0x1_0000)
        return ConfigurationSpace(made)
    }

    @Test func onesReadBackAsTheSize() throws {
        var space = try card()
        #expect(space.size(0x10) == 0xFFFE_0000)
        #expect(space.size(0x14) == 0xFFFF_FFC1)
        #expect(space.size(0x18) == 0x0000_000C)
        #expect(space.size(0x1C) == 0xFFFF_FFFE)
        #expect(space.size(0x20) == 0xFFFF_FFF8)
        #expect(space.size(0x24) == 0x0000_0000, "not there")
        #expect(space.size(0x30) == 0xFFFF_0001)
    }

    @Test func lowBitsSayTheKind() throws {
        let space = try card()
        #expect([0x10, 0x14, 0x18, 0x20, 0x30].map { space.dword($0) } == [0x0, 0x1, 0xC, 0x8, 0x0])
    }

    @Test func addressesAreKeptToTheirSize() throws {
        var space = try card()
        space.write(0x10, width: 4, 0xFEBD_FFFF)
        #expect(space.dword(0x10) == 0xFEBC_0000)
        space.write(0x14, width: 2, 0xC0FF)
        #expect(space.dword(0x14) == 0x0000_C0C1)
    }

    @Test func windowsFollowTheRegistersAndTheCommand() throws {
        var space = try card()
        space.write(0x10, width: 4, 0xFEBC_0000)
        space.write(0x14, width: 4, 0xC040)
        space.write(0x1C, width: 4, 0x4)
        space.write(0x20, width: 4, 0xE000_0010)
        #expect(space.windows.allSatisfy { !$0.isEnabled })
        space.write(0x04, width: 2, 0x0001)
        #expect(space.windows.map(\.isEnabled) == [false, true, false, false, false])
        space.write(0x04, width: 2, 0x0003)
        space.write(0x30, width: 4, 0xFEB0_0001)
        #expect(
            space.windows == [
                Window(
                    source: .baseAddress(0), space: .memory, address: 0xFEBC_0000, size: 0x2_0000,
                    isPrefetchable: false, isEnabled: true),
                Window(
                    source: .baseAddress(1), space: .io, address: 0xC040, size: 64, isPrefetchable: false,
                    isEnabled: true),
                Window(
                    source: .baseAddress(2), space: .memory, address: 0x4_0000_0000, size: 0x2_0000_0000,
                    isPrefetchable: true, isEnabled: true),
                Window(
                    source: .baseAddress(4), space: .memory, address: 0xE000_0010, size: 16, isPrefetchable: true,
                    isEnabled: true),
                Window(
                    source: .rom, space: .memory, address: 0xFEB0_0000, size: 0x1_0000, isPrefetchable: true,
                    isEnabled: true),
            ])
    }

    @Test func romNeedsItsOwnEnableAndMemorySpace() throws {
        var space = try card()
        space.write(0x04, width: 2, 0x0002)
        space.write(0x30, width: 4, 0xFEB0_0000)
        #expect(space.windows.last?.isEnabled == false)
        space.write(0x30, width: 4, 0xFEB0_0001)
        #expect(space.windows.last?.isEnabled == true)
        space.write(0x04, width: 2, 0x0001)
        #expect(space.windows.last?.isEnabled == false)
        space.write(0x30, width: 4, 0xFFFF_FFFE)
        #expect(space.dword(0x30) == 0xFFFF_0000, "how software asks for the ROM's size")
    }

    @Test func zeroAndSizingPatternsClaimNothing() throws {
        var space = try card()
        space.write(0x04, width: 2, 0x0003)
        #expect(space.windows.allSatisfy { !$0.isEnabled }, "all at 0")
        for offset: UInt32 in [0x10, 0x14, 0x18, 0x1C, 0x20, 0x30] { space.write(offset, width: 4, 0xFFFF_FFFF) }
        #expect(space.windows.allSatisfy { !$0.isEnabled }, "all ones")
        space.write(0x14, width: 4, 0x0001_0000)
        #expect(space.windows[1].isEnabled == false, "no such port")
        space.write(0x14, width: 4, 0xFFC0)
        #expect(space.windows[1].isEnabled, "the last 64 ports")
    }

    @Test func smallest64BitWindowStaysOffWhileItIsSized() throws {
        var made = layout()
        try made.addBaseAddress(0, .memory64(prefetchable: false), size: 0x1000)
        var space = ConfigurationSpace(made)
        space.write(0x04, width: 2, 0x0002)
        space.write(0x10, width: 4, 0xFFFF_FFFF)
        #expect(space.windows[0].isEnabled == false, "the last page below 4 GiB is the firmware's")
        space.write(0x14, width: 4, 0xFFFF_FFFF)
        #expect(space.windows[0].isEnabled == false)
        space.write(0x10, width: 4, 0x8000_0000)
        space.write(0x14, width: 4, 0x0000_0001)
        #expect(space.windows[0].address == 0x1_8000_0000 && space.windows[0].isEnabled)
    }

    @Test func bridgeHasTwoRegistersAndItsROMAt38() throws {
        var made = layout(.bridge)
        try made.addBaseAddress(1, .memory32(prefetchable: false), size: 0x100)
        try made.addROM(size: 0x800)
        #expect(throws: LayoutError.noSuchIndex(2)) { try made.addBaseAddress(2, .io, size: 4) }
        #expect(throws: LayoutError.noSuchIndex(1)) {
            try made.addBaseAddress(1, .memory64(prefetchable: false), size: 16)
        }
        var bridge = ConfigurationSpace(made)
        #expect(bridge.size(0x14) == 0xFFFF_FF00)
        #expect(bridge.size(0x38) == 0xFFFF_F801)
        #expect(bridge.write(0x38, width: 4, 0x1000_0001) == .windows)
    }

    @Test func makersErrorsAreNamed() throws {
        var made = layout()
        try made.addBaseAddress(1, .memory64(prefetchable: false), size: 16)
        #expect(throws: LayoutError.occupied(0x18)) { try made.addBaseAddress(2, .io, size: 4) }
        #expect(throws: LayoutError.occupied(0x10)) {
            try made.addBaseAddress(0, .memory64(prefetchable: false), size: 16)
        }
        #expect(throws: LayoutError.noSuchIndex(6)) { try made.addBaseAddress(6, .io, size: 4) }
        #expect(throws: LayoutError.noSuchIndex(-1)) { try made.addBaseAddress(-1, .io, size: 4) }
        #expect(throws: LayoutError.noSuchIndex(5)) {
            try made.addBaseAddress(5, .memory64(prefetchable: false), size: 16)
        }
        for size: UInt64 in [0, 2, 3, 48, 512] {
            #expect(throws: LayoutError.badSize(size)) { try made.addBaseAddress(0, .io, size: size) }
        }
        #expect(throws: LayoutError.badSize(1 << 32)) {
            try made.addBaseAddress(0, .memory32(prefetchable: false), size: 1 << 32)
        }
        #expect(throws: LayoutError.badSize(1024)) { try made.addROM(size: 1024) }
        try made.addROM(size: 2048)
        #expect(throws: LayoutError.twice) { try made.addROM(size: 2048) }
    }
}
