// The type 1 header: a PCI-to-PCI bridge's buses and what it forwards from its primary to its secondary side
// (bridge specification 1.2, 3.2.5 and chapter 4).

extension ConfigurationSpace.Layout {
    mutating func putBridge(_ deviceSelect: ConfigurationSpace.DeviceSelect) {
        put(Register.primaryBus, 4, writable: 0xFFFF_FFFF)  // three bus numbers and the secondary latency timer
        put(Register.ioBase, 2, reset: 0x0101, writable: 0xF0F0)  // code 1: 32-bit addresses
        put(
            Register.secondaryStatus, 2, reset: UInt32(deviceSelect.rawValue &<< 9),
            clearable: UInt32(ConfigurationSpace.Status.clearable.rawValue))
        put(Register.memoryBase, 4, writable: 0xFFF0_FFF0)
        put(Register.prefetchableBase, 4, reset: 0x0001_0001, writable: 0xFFF0_FFF0)  // code 1: 64-bit addresses
        put(Register.prefetchableBaseUpper, 4, writable: 0xFFFF_FFFF)
        put(Register.prefetchableLimitUpper, 4, writable: 0xFFFF_FFFF)
        put(Register.ioBaseUpper, 4, writable: 0xFFFF_FFFF)
        put(
            Register.bridgeControl, 2,
            writable: UInt32(ConfigurationSpace.BridgeControl.writable.rawValue),
            clearable: UInt32(ConfigurationSpace.BridgeControl.discardTimerStatus.rawValue))
    }
}

extension ConfigurationSpace {
    public var primaryBus: UInt8 { state.bytes[Int(Register.primaryBus)] }
    public var secondaryBus: UInt8 { state.bytes[Int(Register.secondaryBus)] }
    public var subordinateBus: UInt8 { state.bytes[Int(Register.subordinateBus)] }

    /// A bridge's; empty in a type 0 header.
    public var bridgeControl: BridgeControl {
        layout.header == .bridge ? BridgeControl(rawValue: register16(Register.bridgeControl)) : []
    }

    /// Where a bridge takes a configuration access (3.1.2.1.2): nil: it does not.
    public enum Forwarding: Equatable, Sendable {
        /// To the bus behind it, as a type 0 access.
        case here
        /// To a bus further down, as a type 1 access.
        case beyond
    }

    public func forwarding(toBus bus: UInt8) -> Forwarding? {
        guard layout.header == .bridge, secondaryBus != 0, bus >= secondaryBus, bus <= subordinateBus else {
            return nil
        }
        return bus == secondaryBus ? .here : .beyond
    }

    /// RST# of the secondary bus.
    public var resetsSecondary: Bool { bridgeControl.contains(.secondaryReset) }

    /// The I/O addresses that the bridge forwards, without the exceptions of ISA mode and the additions of VGA; nil: none.
    public var ioWindow: ClosedRange<UInt32>? {
        guard layout.header == .bridge else { return nil }
        let (base, limit) = (register16(Register.ioBase), register16(Register.ioLimit) & 0xFF)
        let first = UInt32(base & 0xF0) &<< 8 | UInt32(register16(Register.ioBaseUpper)) &<< 16
        let last = UInt32(limit & 0xF0) &<< 8 | UInt32(register16(Register.ioLimitUpper)) &<< 16 | 0xFFF
        return first <= last ? first...last : nil
    }

    /// The memory that the bridge forwards as not prefetchable; nil: none.
    public var memoryWindow: ClosedRange<UInt64>? {
        guard layout.header == .bridge else { return nil }
        let first = UInt64(register16(Register.memoryBase) & 0xFFF0) &<< 16
        let last = UInt64(register16(Register.memoryLimit) & 0xFFF0) &<< 16 | 0xF_FFFF
        return first <= last ? first...last : nil
    }

    /// The memory that the bridge forwards as prefetchable; nil: none.
    public var prefetchableWindow: ClosedRange<UInt64>? {
        guard layout.header == .bridge else { return nil }
        let first =
            UInt64(register16(Register.prefetchableBase) & 0xFFF0) &<< 16
            | UInt64(register32(Register.prefetchableBaseUpper)) &<< 32
        let last =
            UInt64(register16(Register.prefetchableLimit) & 0xFFF0) &<< 16 | 0xF_FFFF
            | UInt64(register32(Register.prefetchableLimitUpper)) &<< 32
        return first <= last ? first...last : nil
    }

    /// The bridge takes an I/O access on its primary bus to its secondary one.
    public func forwards(port: UInt32) -> Bool {
        guard layout.header == .bridge, command.contains(.io), powerState == .d0 else { return false }
        if bridgeControl.contains(.vga), Self.isVGA(port: port, all16Bits: bridgeControl.contains(.vga16Bit)) {
            return true
        }
        guard let window = ioWindow, window.contains(port) else { return false }
        // ISA mode leaves the last 768 bytes of each KiB of the first 64 KiB to the primary side (3.2.5.18, bit 2).
        return !(bridgeControl.contains(.isa) && port < 0x1_0000 && port & 0x300 != 0)
    }

    /// The bridge takes a memory access on its primary bus to its secondary one.
    public func forwards(memory address: UInt64) -> Bool {
        guard layout.header == .bridge, command.contains(.memory), powerState == .d0 else { return false }
        if bridgeControl.contains(.vga), (0xA_0000...0xB_FFFF).contains(address) { return true }
        return memoryWindow?.contains(address) == true || prefetchableWindow?.contains(address) == true
    }

    /// Ports 3B0-3BB and 3C0-3DF, and their aliases where address bits 15:10 are not looked at (4.5.1).
    private static func isVGA(port: UInt32, all16Bits: Bool) -> Bool {
        guard port < 0x1_0000 else { return false }
        let decoded = all16Bits ? port : port & 0x3FF
        return (0x3B0...0x3BB).contains(decoded) || (0x3C0...0x3DF).contains(decoded)
    }
}
