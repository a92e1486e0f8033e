import PCIConfiguration
import Testing

/// The headers against PCI 3.0, 6.1 and 6.2, and the bridge specification 1.2, 3.2.
@Suite struct HeaderTests {
    @Test func identityReadsAtItsOffsets() {
        let space = ConfigurationSpace(layout())
        #expect(space.dword(0x00) == 0x100E_8086)
        #expect(space.dword(0x08) == 0x0200_0003)
        #expect(space.dword(0x2C) == 0x1100_1AF4)
        #expect(space.byte(0x0E) == 0x00)
        #expect(space.word(0x3C) == 0x0100)
        #expect(space.dword(0x04) == 0x0200_0000, "medium DEVSEL, everything off")
    }

    @Test func identityCannotBeWritten() {
        var space = ConfigurationSpace(layout())
        for offset: UInt32 in [0x00, 0x08, 0x28, 0x2C, 0x34, 0x38] {
            let before = space.dword(offset)
            space.write(offset, width: 4, 0xFFFF_FFFF)
            #expect(space.dword(offset) == before)
        }
    }

    @Test func everyWidthReadsItsBytes() {
        let space = ConfigurationSpace(layout())
        #expect(space.read(0x01, width: 1) == 0x80)
        #expect(space.read(0x01, width: 2) == 0x0E80)
        #expect(space.read(0x01, width: 3) == 0x10_0E80)
        #expect(space.read(0x01, width: 4) == 0x0010_0E80)
        #expect(space.read(0xFE, width: 4) == 0xFFFF_0000, "ones beyond the space")
        #expect(space.read(0x100, width: 4) == 0xFFFF_FFFF)
        #expect(space.read(0xFFFF_FFFF, width: 4) == 0xFFFF_FFFF)
        #expect(space.read(0, width: 0) == 0xFFFF_FFFF)
        #expect(space.read(0, width: 8) == 0xFFFF_FFFF)
    }

    @Test func writesTouchOnlyTheirBytes() {
        var space = ConfigurationSpace(layout())
        space.write(0x0C, width: 1, 0x1234_5610)
        #expect(space.dword(0x0C) == 0x0000_0010)
        space.write(0x0D, width: 2, 0xFF40)
        #expect(space.dword(0x0C) == 0x0000_4010, "latency timer; the header type is read-only")
        space.write(0x3C, width: 4, 0xFFFF_FF0B)
        #expect(space.dword(0x3C) == 0x0000_010B, "the line is writable, the pin is not")
    }

    @Test func commandHasItsWritableBits() {
        var space = ConfigurationSpace(layout())
        space.write(0x04, width: 2, 0xFFFF)
        #expect(space.word(0x04) == 0x0547)
        var other = ConfigurationSpace(
            Layout(.function, .init(vendor: 1, device: 2, classCode: 0), command: [.memory]))
        other.write(0x04, width: 2, 0xFFFF)
        #expect(other.word(0x04) == 0x0002)
    }

    @Test func statusErrorsAreClearedByOnes() {
        var space = ConfigurationSpace(layout())
        space.record([.receivedMasterAbort, .detectedParity, .signaledTargetAbort])
        #expect(space.word(0x06) == 0xAA00)
        space.write(0x06, width: 2, 0x0000)
        #expect(space.word(0x06) == 0xAA00)
        space.write(0x06, width: 2, 0x2000)
        #expect(space.word(0x06) == 0x8A00)
        space.write(0x07, width: 1, 0xFF)
        #expect(space.word(0x06) == 0x0200)
        space.write(0x04, width: 4, 0xFFFF_0000)
        #expect(space.word(0x06) == 0x0200, "DEVSEL is read-only")
    }

    @Test func interruptStatusShowsWhateverTheDisableBitSays() {
        var space = ConfigurationSpace(layout())
        #expect(!space.interruptAsserted)
        space.interruptPending = true
        #expect(space.interruptAsserted && space.word(0x06) == 0x0208)
        let changes = space.write(0x04, width: 2, 0x0400)
        #expect(changes == .interrupt)
        #expect(!space.interruptAsserted && space.word(0x06) == 0x0208)
        var without = ConfigurationSpace(layout(pin: 0))
        without.interruptPending = true
        #expect(!without.interruptAsserted)
    }

    @Test func multifunctionBitIsTheBusesToSet() {
        var space = ConfigurationSpace(layout())
        space.isMultifunction = true
        #expect(space.byte(0x0E) == 0x80 && space.dword(0x0C) == 0x0080_0000)
        var bridge = ConfigurationSpace(layout(.bridge))
        bridge.isMultifunction = true
        #expect(bridge.byte(0x0E) == 0x81)
    }

    @Test func writesSayWhatTheyChanged() throws {
        var made = layout()
        try made.addBaseAddress(0, .memory32(prefetchable: false), size: 0x1000)
        var space = ConfigurationSpace(made)
        #expect(space.write(0x04, width: 2, 0x0002) == .windows)
        #expect(space.write(0x04, width: 2, 0x0002) == [], "nothing new")
        #expect(space.write(0x04, width: 2, 0x0006) == .busMaster)
        #expect(space.write(0x04, width: 2, 0x0001) == [.windows, .busMaster])
        #expect(space.write(0x10, width: 4, 0x8000_0000) == .windows)
        #expect(space.write(0x3C, width: 1, 0x05) == .other)
        #expect(space.write(0x00, width: 4, 0) == [])
    }

    @Test func resetGivesBackTheResetValues() {
        var space = ConfigurationSpace(layout())
        let fresh = space.state
        space.write(0x04, width: 2, 0x07)
        space.write(0x3C, width: 1, 0x0B)
        space.reset()
        #expect(space.state == fresh)
    }

    // MARK: The device's own registers

    @Test func ownRegistersHaveTheirOwnRules() throws {
        var made = layout()
        try made.define(0x40, width: 4, reset: 0x1234_5678, writable: 0x0000_FF00, clearable: 0x00FF_0000, changing: 1)
        var space = ConfigurationSpace(made)
        space.write(0x40, width: 4, 0x0030_AB00)
        #expect(space.dword(0x40) == 0x1204_AB78)
        space.set(0x40, width: 4, to: 0xFFFF_FFFF)
        #expect(space.dword(0x40) == 0x12FF_FF79, "the device reaches what it declared and no more")
    }

    @Test func registersDoNotOverlap() throws {
        var made = layout()
        try made.define(0x40, width: 4)
        #expect(throws: LayoutError.occupied(0x42)) { try made.define(0x42, width: 1) }
        #expect(throws: LayoutError.noRoom) { try made.define(0x3C, width: 1) }
        #expect(throws: LayoutError.noRoom) { try made.define(0xFE, width: 4) }
        #expect(throws: LayoutError.badSize(5)) { try made.define(0x80, width: 5) }
    }

    // MARK: Bridges

    @Test func bridgeHeaderHasItsReadOnlyCodes() {
        var bridge = ConfigurationSpace(layout(.bridge))
        #expect(bridge.byte(0x0E) == 0x01)
        #expect(bridge.dword(0x1C) == 0x0200_0101)
        for offset: UInt32 in stride(from: 0x18, to: 0x34, by: 4) { bridge.write(offset, width: 4, 0xFFFF_FFFF) }
        #expect(bridge.dword(0x18) == 0xFFFF_FFFF)
        #expect(bridge.word(0x1C) == 0xF1F1)
        #expect(bridge.dword(0x20) == 0xFFF0_FFF0)
        #expect(bridge.dword(0x24) == 0xFFF1_FFF1)
        #expect(bridge.dword(0x28) == 0xFFFF_FFFF && bridge.dword(0x2C) == 0xFFFF_FFFF)
        #expect(bridge.dword(0x30) == 0xFFFF_FFFF)
        bridge.write(0x3E, width: 2, 0xFFFF)
        #expect(bridge.word(0x3E) == 0x0B7F)
    }

    @Test func bridgeTakesTheBusesBetweenItsNumbers() {
        var bridge = ConfigurationSpace(layout(.bridge))
        #expect(bridge.forwarding(toBus: 0) == nil, "not numbered yet")
        #expect(bridge.write(0x18, width: 4, 0x0004_0200) == .bridge)
        #expect(bridge.primaryBus == 0 && bridge.secondaryBus == 2 && bridge.subordinateBus == 4)
        #expect(bridge.forwarding(toBus: 1) == nil)
        #expect(bridge.forwarding(toBus: 2) == .here)
        #expect(bridge.forwarding(toBus: 4) == .beyond)
        #expect(bridge.forwarding(toBus: 5) == nil)
    }

    @Test func bridgeForwardsItsWindows() {
        var bridge = ConfigurationSpace(layout(.bridge))
        bridge.write(0x1C, width: 2, 0xD0C0)
        bridge.write(0x20, width: 4, 0xFE10_FE00)
        bridge.write(0x24, width: 4, 0x8000_8000)
        bridge.write(0x28, width: 4, 0x1)
        bridge.write(0x2C, width: 4, 0x2)
        #expect(!bridge.forwards(port: 0xC000) && !bridge.forwards(memory: 0xFE00_0000), "off in Command")
        bridge.write(0x04, width: 2, 0x0003)
        #expect(bridge.ioWindow == 0xC000...0xDFFF)
        #expect(bridge.memoryWindow == 0xFE00_0000...0xFE1F_FFFF)
        #expect(bridge.prefetchableWindow == 0x1_8000_0000...0x2_800F_FFFF)
        #expect(bridge.forwards(port: 0xC000) && bridge.forwards(port: 0xDFFF) && !bridge.forwards(port: 0xE000))
        #expect(bridge.forwards(memory: 0xFE1F_FFFF) && !bridge.forwards(memory: 0xFE20_0000))
        #expect(bridge.forwards(memory: 0x2_0000_0000))
        bridge.write(0x20, width: 4, 0xFE00_FE10)
        #expect(bridge.memoryWindow == nil, "a limit below its base closes the window")
    }

    @Test func isaModeLeavesThreeQuartersOfEachKilobyte() {
        var bridge = ConfigurationSpace(layout(.bridge))
        bridge.write(0x1C, width: 2, 0xC0C0)
        bridge.write(0x04, width: 2, 0x0001)
        bridge.write(0x3E, width: 2, 0x0004)
        #expect(bridge.forwards(port: 0xC0FF) && bridge.forwards(port: 0xC400))
        #expect(!bridge.forwards(port: 0xC100) && !bridge.forwards(port: 0xC3FF))
    }

    @Test func vgaModeForwardsTheFrameBufferAndThePorts() {
        var bridge = ConfigurationSpace(layout(.bridge))
        bridge.write(0x1C, width: 2, 0x00F0)
        bridge.write(0x20, width: 4, 0x0000_FFF0)
        bridge.write(0x24, width: 4, 0x0000_FFF0)
        bridge.write(0x04, width: 2, 0x0003)
        #expect(!bridge.forwards(memory: 0xA_0000))
        bridge.write(0x3E, width: 2, 0x0008)
        #expect(bridge.forwards(memory: 0xA_0000) && bridge.forwards(memory: 0xB_FFFF))
        #expect(!bridge.forwards(memory: 0xC_0000))
        for port: UInt32 in [0x3B0, 0x3BB, 0x3C0, 0x3DF, 0x7C0] { #expect(bridge.forwards(port: port)) }
        for port: UInt32 in [0x3BC, 0x3BF, 0x3E0, 0x3AF] { #expect(!bridge.forwards(port: port)) }
        bridge.write(0x3E, width: 2, 0x0018)
        #expect(!bridge.forwards(port: 0x7C0), "all 16 bits are decoded")
    }

    @Test func secondaryResetIsALevel() {
        var bridge = ConfigurationSpace(layout(.bridge))
        #expect(bridge.write(0x3E, width: 2, 0x40) == .bridge)
        #expect(bridge.resetsSecondary)
        bridge.write(0x3E, width: 2, 0)
        #expect(!bridge.resetsSecondary)
    }
}
