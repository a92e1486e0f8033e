import PCIConfiguration
import Testing

/// Capabilities against PCI 3.0, 6.7 and 6.8 and appendix H, and PM 1.2, 3.2.
@Suite struct CapabilityTests {
    // MARK: The list

    @Test func listIsEmptyUntilItHasAnEntry() throws {
        #expect(ConfigurationSpace(layout()).byte(0x34) == 0)
        var made = layout()
        try made.addPowerManagement(at: 0xDC)
        try made.addMSI(address64: false, at: 0xD0)
        try made.addVendorSpecific([1, 2])
        let space = ConfigurationSpace(made)
        #expect(space.word(0x06) == 0x0210, "Capabilities List")
        #expect(space.byte(0x34) == 0xDC)
        #expect(space.word(0xDC) == 0xD001)
        #expect(space.word(0xD0) == 0x4005)
        #expect(space.dword(0x40) == 0x0105_0009)
        #expect(space.byte(0x44) == 0x02)
    }

    @Test func roomIsFoundAroundOwnRegisters() throws {
        var made = layout()
        try made.define(0x44, width: 4)
        #expect(try made.addCapability(id: 0x10, length: 4) == 0x40)
        #expect(try made.addCapability(id: 0x10, length: 6) == 0x48)
        #expect(try made.addCapability(id: 0x10, length: 0x60) == 0x50)
        #expect(throws: LayoutError.noRoom) { try made.addCapability(id: 0x10, length: 0x60) }
        #expect(throws: LayoutError.noRoom) { try made.addCapability(id: 0x10, length: 4, at: 0xFE) }
        #expect(throws: LayoutError.occupied(0x44)) { try made.addCapability(id: 0x10, length: 4, at: 0x44) }
        #expect(throws: LayoutError.badSize(193)) { try made.addCapability(id: 0x10, length: 193) }
    }

    @Test func vendorSpecificBytesAreWritableWhereSaid() throws {
        var made = layout()
        try made.addVendorSpecific([0x10, 0x20, 0x30], writable: [0x00, 0xF0])
        var space = ConfigurationSpace(made)
        space.write(0x42, width: 4, 0xFFFF_FFFF)
        #expect(space.dword(0x40) == 0x1006_0009)
        #expect(space.word(0x44) == 0x30F0)
    }

    // MARK: Power management

    @Test func unsupportedPowerStatesAreDiscarded() throws {
        var made = layout()
        try made.addPowerManagement(d2: true, eventStates: 0b01001)
        var space = ConfigurationSpace(made)
        #expect(space.word(0x42) == 0x4C03, "version 3, D2, PME# from D0 and D3hot")
        #expect(space.word(0x44) == 0x0008, "No_Soft_Reset")
        #expect(space.write(0x44, width: 2, 0x0001) == [])
        #expect(space.powerState == .d0, "there is no D1")
        #expect(space.write(0x44, width: 2, 0x0002).contains(.power))
        #expect(space.powerState == .d2)
        space.write(0x44, width: 2, 0x0001)
        #expect(space.powerState == .d2)
        space.write(0x44, width: 2, 0x0003)
        #expect(space.powerState == .d3hot)
    }

    @Test func nothingIsClaimedOutsideOfD0() throws {
        var made = layout()
        try made.addBaseAddress(0, .io, size: 4)
        try made.addPowerManagement()
        var space = ConfigurationSpace(made)
        space.interruptPending = true
        space.write(0x10, width: 4, 0xC000)
        space.write(0x04, width: 2, 0x0005)
        #expect(space.windows[0].isEnabled && space.isBusMaster && space.interruptAsserted)
        #expect(space.write(0x44, width: 1, 0x03) == [.power, .windows, .interrupt, .other])
        #expect(!space.windows[0].isEnabled && !space.isBusMaster && !space.interruptAsserted)
        #expect(space.write(0x44, width: 1, 0x00).contains(.windows))
        #expect(space.windows[0].isEnabled, "No_Soft_Reset keeps the registers")
    }

    @Test func d3hotWithoutNoSoftResetResets() throws {
        var made = layout()
        try made.addBaseAddress(0, .io, size: 4)
        try made.addPowerManagement(keepsState: false)
        var space = ConfigurationSpace(made)
        space.write(0x10, width: 4, 0xC000)
        space.write(0x04, width: 2, 0x0001)
        space.write(0x44, width: 1, 0x03)
        #expect(space.dword(0x10) == 0xC001)
        #expect(space.write(0x44, width: 1, 0x00).contains(.softReset))
        #expect(space.dword(0x10) == 0x0001 && space.word(0x04) == 0 && space.powerState == .d0)
    }

    @Test func powerEventsNeedTheirEnable() throws {
        var made = layout()
        try made.addPowerManagement(eventStates: 0b1)
        var space = ConfigurationSpace(made)
        space.signalPowerEvent()
        #expect(space.word(0x44) == 0x8008 && !space.powerEventAsserted)
        space.write(0x44, width: 2, 0x0100)
        #expect(space.powerEventAsserted)
        space.write(0x44, width: 2, 0x8100)
        #expect(space.word(0x44) == 0x0108 && !space.powerEventAsserted)
        var plain = layout()
        try plain.addPowerManagement()
        var none = ConfigurationSpace(plain)
        none.signalPowerEvent()
        none.write(0x44, width: 2, 0x0100)
        #expect(none.word(0x44) == 0x0008, "no event in any state, no bits")
    }

    // MARK: MSI

    /// Message Control, and the offsets of data and mask in the capability's four forms (figure 6-9).
    @Test(
        arguments: [
            (false, false, 0x0000, 0x08, 0), (true, false, 0x0080, 0x0C, 0), (false, true, 0x0100, 0x08, 0x0C),
            (true, true, 0x0180, 0x0C, 0x10),
        ] as [(Bool, Bool, UInt32, UInt32, UInt32)])
    func msiHasFourForms(address64: Bool, masks: Bool, control: UInt32, data: UInt32, mask: UInt32) throws {
        var made = layout()
        try made.addMSI(vectors: 4, address64: address64, masks: masks, at: 0x50)
        var space = ConfigurationSpace(made)
        #expect(space.word(0x52) == control | 0x04)
        for offset: UInt32 in stride(from: 0x52, to: 0x68, by: 2) { space.write(offset, width: 2, 0xFFFF) }
        #expect(space.word(0x52) == control | 0x75)
        #expect(space.dword(0x54) == 0xFFFF_FFFC)
        if address64 { #expect(space.dword(0x58) == 0xFFFF_FFFF) }
        #expect(space.dword(0x50 + data) == 0x0000_FFFF)
        if masks {
            #expect(space.dword(0x50 + mask) == 0x0000_000F)
            #expect(space.dword(0x54 + mask) == 0, "pending bits are the function's")
        }
    }

    @Test func messagesReplaceTheLowBitsOfTheirData() throws {
        var made = layout()
        try made.addMSI(vectors: 8, at: 0x50)
        var space = ConfigurationSpace(made)
        space.write(0x54, width: 4, 0xFEE0_1000)
        space.write(0x58, width: 4, 0x2)
        space.write(0x5C, width: 2, 0x4047)
        #expect(space.signalMSI(0) == nil, "not enabled")
        space.write(0x52, width: 2, 0x0001)
        #expect(space.signalMSI(5) == InterruptMessage(address: 0x2_FEE0_1000, data: 0x4047), "one vector for all")
        space.write(0x52, width: 2, 0x0021)
        #expect(space.msiVectors == 4)
        #expect(space.signalMSI(0)?.data == 0x4044)
        #expect(space.signalMSI(3)?.data == 0x4047)
        #expect(space.signalMSI(7)?.data == 0x4047, "beyond those allotted")
        #expect(space.signalMSI(8) == nil)
        #expect(space.signalMSI(-1) == nil)
        space.write(0x52, width: 2, 0x0071)
        #expect(space.msiVectors == 8, "more than it has, and a reserved code")
    }

    @Test func maskedMessagesWaitInThePendingBits() throws {
        var made = layout()
        try made.addMSI(vectors: 2, masks: true, at: 0x50)
        var space = ConfigurationSpace(made)
        space.write(0x52, width: 2, 0x0011)
        space.write(0x54, width: 4, 0xFEE0_0000)
        space.write(0x60, width: 4, 0b10)
        #expect(space.signalMSI(0) != nil)
        #expect(space.signalMSI(1) == nil)
        #expect(space.signalMSI(1) == nil)
        #expect(space.dword(0x64) == 0b10)
        #expect(space.takeMSI() == nil)
        #expect(space.write(0x60, width: 4, 0).contains(.messages))
        #expect(space.takeMSI() == InterruptMessage(address: 0xFEE0_0000, data: 1))
        #expect(space.takeMSI() == nil && space.dword(0x64) == 0)
    }

    @Test func messagesTakeThePinsPlace() throws {
        var made = layout()
        try made.addMSI(at: 0x50)
        var space = ConfigurationSpace(made)
        space.interruptPending = true
        #expect(space.interruptAsserted)
        #expect(space.write(0x52, width: 2, 0x0001).contains(.interrupt))
        #expect(!space.interruptAsserted)
    }

    // MARK: MSI-X

    private func withMSIX(_ vectors: Int) throws -> ConfigurationSpace {
        var made = layout()
        try made.addBaseAddress(1, .memory32(prefetchable: false), size: 0x1000)
        try made.addMSIX(vectors: vectors, table: (1, 0), pending: (1, 0x800), at: 0x98)
        return ConfigurationSpace(made)
    }

    @Test func msixSaysWhereItsMemoryIs() throws {
        var space = try withMSIX(5)
        #expect(space.dword(0x98) == 0x0004_0011)
        #expect(space.dword(0x9C) == 0x0000_0001)
        #expect(space.dword(0xA0) == 0x0000_0801)
        space.write(0x9A, width: 2, 0xFFFF)
        #expect(space.word(0x9A) == 0xC004)
        #expect(space.msixControl == [.enable, .functionMask])
    }

    @Test func msixMemoryMustLieInAMemoryBAR() throws {
        var made = layout()
        try made.addBaseAddress(0, .io, size: 256)
        try made.addBaseAddress(1, .memory32(prefetchable: false), size: 0x1000)
        #expect(throws: LayoutError.badVectors(1)) { try made.addMSIX(vectors: 1, table: (0, 0), pending: (1, 0)) }
        #expect(throws: LayoutError.badVectors(1)) { try made.addMSIX(vectors: 1, table: (1, 4), pending: (1, 0)) }
        #expect(throws: LayoutError.badVectors(256)) {
            try made.addMSIX(vectors: 256, table: (1, 0x800), pending: (1, 0))
        }
        #expect(throws: LayoutError.badVectors(2049)) {
            try made.addMSIX(vectors: 2049, table: (1, 0), pending: (1, 0))
        }
        #expect(throws: LayoutError.badVectors(0)) { try made.addMSIX(vectors: 0, table: (1, 0), pending: (1, 0)) }
    }

    @Test func tableIsMaskedAfterResetAndKeepsReservedBitsZero() {
        var table = MSIXTable(vectors: 2)
        #expect(table.tableSize == 32 && table.pendingSize == 8)
        #expect(table.read(0, width: 8) == 0 && table.read(8, width: 8) == 0x1_0000_0000)
        for offset: UInt64 in stride(from: 0, to: 48, by: 8) { table.write(offset, width: 8, .max) }
        #expect(table.read(0, width: 4) == 0xFFFF_FFFC)
        #expect(table.read(4, width: 4) == 0xFFFF_FFFF)
        #expect(table.read(24, width: 8) == 0x1_FFFF_FFFF)
        #expect(table.read(32, width: 8) == 0 && table.read(.max, width: 8) == 0)
        table.write(.max, width: 8, .max)
    }

    @Test func msixVectorsWaitForBothMasks() throws {
        var space = try withMSIX(70)
        var table = MSIXTable(vectors: 70)
        table.write(69 * 16, width: 8, 0x1_FEE0_0000)
        table.write(69 * 16 + 8, width: 4, 0x31)
        #expect(table.signal(69, control: space.msixControl) == nil, "MSI-X is off")
        #expect(table.readPending(8, width: 8) == 0)
        space.write(0x9A, width: 2, 0xC000)
        #expect(table.signal(69, control: space.msixControl) == nil)
        #expect(table.readPending(8, width: 8) == 1 << 5)
        table.write(69 * 16 + 12, width: 4, 0)
        #expect(table.take(control: space.msixControl) == nil, "the function is masked")
        space.write(0x9A, width: 2, 0x8000)
        #expect(table.take(control: space.msixControl) == InterruptMessage(address: 0x1_FEE0_0000, data: 0x31))
        #expect(table.take(control: space.msixControl) == nil && table.readPending(8, width: 8) == 0)
        #expect(table.signal(69, control: space.msixControl)?.data == 0x31)
        #expect(table.signal(70, control: space.msixControl) == nil && table.signal(-1, control: nil) == nil)
    }
}
