import Testing
@testable import PCIConfiguration

/// Configuration mechanism #1 against PCI 3.0, 3.2.2.3.2.
@Suite struct ConfigurationAddressTests {
    @Test func latchKeepsItsBits() {
        var latch = ConfigurationAddress()
        #expect(latch.value == 0 && latch.target(0) == nil)
        latch.write(0xFFFF_FFFF)
        #expect(latch.value == 0x80FF_FFFC)
        latch.reset()
        #expect(latch.value == 0)
    }

    @Test func targetIsTakenApart() {
        var latch = ConfigurationAddress()
        latch.write(0x8001_0A3C)
        #expect(latch.target(1) == .init(bus: 1, device: 1, function: 2, offset: 0x3D))
        #expect(latch.target(3)?.index == 0x0A)
        latch.write(0x80FF_FFFC)
        #expect(latch.target(0) == .init(bus: 255, device: 31, function: 7, offset: 0xFC))
        #expect(latch.target(7)?.offset == 0xFF)
        latch.write(0x0001_0A3C)
        #expect(latch.target(0) == nil, "not enabled")
    }
}
