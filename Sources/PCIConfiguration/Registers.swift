// The registers of the type 0 and type 1 headers (PCI 3.0, figure 6-1; bridge specification 1.2, figure 3-1).

/// Offsets of the registers.
enum Register {
    static let vendor: UInt32 = 0x00
    static let device: UInt32 = 0x02
    static let command: UInt32 = 0x04
    static let status: UInt32 = 0x06
    static let revision: UInt32 = 0x08
    static let classCode: UInt32 = 0x09
    static let cacheLineSize: UInt32 = 0x0C
    static let latencyTimer: UInt32 = 0x0D
    static let headerType: UInt32 = 0x0E
    static let baseAddresses: UInt32 = 0x10
    static let subsystemVendor: UInt32 = 0x2C
    static let subsystem: UInt32 = 0x2E
    static let capabilities: UInt32 = 0x34
    static let interruptLine: UInt32 = 0x3C
    static let interruptPin: UInt32 = 0x3D
    static let firstFree: UInt32 = 0x40

    // Type 1
    static let primaryBus: UInt32 = 0x18
    static let secondaryBus: UInt32 = 0x19
    static let subordinateBus: UInt32 = 0x1A
    static let secondaryLatency: UInt32 = 0x1B
    static let ioBase: UInt32 = 0x1C
    static let ioLimit: UInt32 = 0x1D
    static let secondaryStatus: UInt32 = 0x1E
    static let memoryBase: UInt32 = 0x20
    static let memoryLimit: UInt32 = 0x22
    static let prefetchableBase: UInt32 = 0x24
    static let prefetchableLimit: UInt32 = 0x26
    static let prefetchableBaseUpper: UInt32 = 0x28
    static let prefetchableLimitUpper: UInt32 = 0x2C
    static let ioBaseUpper: UInt32 = 0x30
    static let ioLimitUpper: UInt32 = 0x32
    static let bridgeControl: UInt32 = 0x3E
}

extension ConfigurationSpace {
    /// Command, offset 0x04 (6.2.2).
    public struct Command: OptionSet, Equatable, Sendable {
        public let rawValue: UInt16
        public init(rawValue: UInt16) { self.rawValue = rawValue }

        public static let io = Self(rawValue: 1 << 0)
        public static let memory = Self(rawValue: 1 << 1)
        public static let busMaster = Self(rawValue: 1 << 2)
        public static let specialCycles = Self(rawValue: 1 << 3)
        public static let writeAndInvalidate = Self(rawValue: 1 << 4)
        public static let paletteSnoop = Self(rawValue: 1 << 5)
        public static let parityErrors = Self(rawValue: 1 << 6)
        public static let systemErrors = Self(rawValue: 1 << 8)
        public static let fastBackToBack = Self(rawValue: 1 << 9)
        public static let interruptDisable = Self(rawValue: 1 << 10)

        /// What most functions let software write.
        public static let usual: Self = [.io, .memory, .busMaster, .parityErrors, .systemErrors, .interruptDisable]
    }

    /// Status, offset 0x06 (6.2.3), without the DEVSEL code in bits 10:9. A bridge's Secondary Status has the same bits.
    public struct Status: OptionSet, Equatable, Sendable {
        public let rawValue: UInt16
        public init(rawValue: UInt16) { self.rawValue = rawValue }

        public static let interrupt = Self(rawValue: 1 << 3)  // derived
        public static let capabilities = Self(rawValue: 1 << 4)
        public static let mhz66 = Self(rawValue: 1 << 5)
        public static let fastBackToBack = Self(rawValue: 1 << 7)
        public static let masterDataParity = Self(rawValue: 1 << 8)
        public static let signaledTargetAbort = Self(rawValue: 1 << 11)
        public static let receivedTargetAbort = Self(rawValue: 1 << 12)
        public static let receivedMasterAbort = Self(rawValue: 1 << 13)
        public static let signaledSystemError = Self(rawValue: 1 << 14)
        public static let detectedParity = Self(rawValue: 1 << 15)
        /// Cleared by writing 1.
        static let clearable = Self(rawValue: 0xF900)

        var low: UInt8 { UInt8(truncatingIfNeeded: rawValue) }
        var errors: UInt16 { rawValue & Self.clearable.rawValue }
    }

    /// Bits 10:9 of Status: how soon the function answers.
    public enum DeviceSelect: UInt16, Sendable { case fast = 0b00, medium = 0b01, slow = 0b10 }

    /// Bridge Control, offset 0x3E of a type 1 header (bridge specification, 3.2.5.18).
    public struct BridgeControl: OptionSet, Equatable, Sendable {
        public let rawValue: UInt16
        public init(rawValue: UInt16) { self.rawValue = rawValue }

        public static let parityErrors = Self(rawValue: 1 << 0)
        public static let systemErrors = Self(rawValue: 1 << 1)
        public static let isa = Self(rawValue: 1 << 2)
        public static let vga = Self(rawValue: 1 << 3)
        public static let vga16Bit = Self(rawValue: 1 << 4)
        public static let masterAbort = Self(rawValue: 1 << 5)
        public static let secondaryReset = Self(rawValue: 1 << 6)
        public static let fastBackToBack = Self(rawValue: 1 << 7)
        public static let primaryDiscardTimer = Self(rawValue: 1 << 8)
        public static let secondaryDiscardTimer = Self(rawValue: 1 << 9)
        public static let discardTimerStatus = Self(rawValue: 1 << 10)  // cleared by writing 1
        public static let discardTimerErrors = Self(rawValue: 1 << 11)
        static let writable = Self(rawValue: 0x0B7F)
    }

    /// D0 to D3hot, bits 1:0 of PMCSR (PM 1.2, 3.2.4).
    public enum PowerState: UInt8, Sendable { case d0 = 0, d1, d2, d3hot }
}
