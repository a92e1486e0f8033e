import PCIConfiguration

/// Intel 440FX host bridge (82441FX PMC): its configuration space and what it makes of the memory below 1 MiB. The latch
/// of configuration mechanism #1 is `ConfigurationAddress`.
///
/// Source: Intel 440FX PCIset data sheet (290549), 3.2. Comments name its registers.
///
/// Departures, and who needs them:
/// - `showsRAM` is a reset value of PAM that no bridge has, for machines without firmware: loaders put tables below 1 MiB.
/// - The subsystem is 1AF4:1100 where the data sheet has none: SeaBIOS tells by it that it runs in a virtual machine.
///
/// Not modelled: what the DRAM, error and turbo registers do; they keep what is written.
public struct I440FX: Sendable {
    // MARK: Registers

    enum Register {
        static let attributeMap: UInt32 = 0x59
        static let managementRAM: UInt32 = 0x72
    }

    /// SMRAM, offset 0x72.
    public struct ManagementRAM: OptionSet, Equatable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        public static let enable = Self(rawValue: 1 << 3)  // SMRAME
        public static let lock = Self(rawValue: 1 << 4)  // DLCK
        public static let closed = Self(rawValue: 1 << 5)  // DCLS
        public static let open = Self(rawValue: 1 << 6)  // DOPEN
    }

    /// What one of PAM's fields says about its addresses.
    public struct Segment: Equatable, Sendable {
        /// Physical address, and length in bytes.
        public var address: UInt32
        public var length: UInt32
        /// Reads go to RAM, otherwise to PCI.
        public var readsRAM: Bool
        /// Writes go to RAM, otherwise to PCI.
        public var writesRAM: Bool
    }

    // MARK: State: a snapshot is exactly the configuration space

    public private(set) var configuration: ConfigurationSpace

    /// - Parameter showsRAM: after reset PAM sends everything to RAM, not to PCI.
    public init(
        subsystemVendor: UInt16 = 0x1AF4, subsystem: UInt16 = 0x1100, showsRAM: Bool = false
    ) throws(LayoutError) {
        var layout = ConfigurationSpace.Layout(
            .function,
            .init(
                vendor: 0x8086, device: 0x1237, revision: 0x02, classCode: 0x06_00_00, subsystemVendor: subsystemVendor,
                subsystem: subsystem), status: .fastBackToBack)
        try layout.redefine(0x04, width: 2, reset: 0x0006, writable: 0x0140)  // PCICMD
        try layout.redefine(0x0C, width: 1, reset: 0)
        try layout.redefine(0x0D, width: 1, reset: 0, writable: 0xF8)  // MLT
        try layout.redefine(0x3C, width: 1, reset: 0)
        for (offset, width, reset, writable) in Self.registers {
            try layout.define(offset, width: width, reset: reset, writable: writable)
        }
        try layout.define(Register.attributeMap, width: 1, reset: showsRAM ? 0x30 : 0, writable: 0x30)
        for offset in Register.attributeMap &+ 1...Register.attributeMap &+ 6 {
            try layout.define(offset, width: 1, reset: showsRAM ? 0x33 : 0, writable: 0x33)
        }
        for offset in UInt32(0x60)...0x67 { try layout.define(offset, width: 1, reset: 0x01, writable: 0xFF) }  // DRB
        try layout.define(Register.managementRAM, width: 1, reset: 0x02, writable: 0x78)
        try layout.define(0x91, width: 1, clearable: 0x11)  // ERRSTS
        configuration = ConfigurationSpace(layout)
    }

    /// Offset, width, reset value and writable bits of what is only kept.
    private static let registers: [(UInt32, UInt32, UInt32, UInt32)] = [
        (0x50, 2, 0x0000, 0xFFFF),  // PMCCFG
        (0x52, 1, 0x00, 0xFF),  // DETURBO
        (0x53, 1, 0x83, 0xFF),  // DBC
        (0x54, 1, 0x00, 0xFF),  // AXC
        (0x55, 2, 0x0000, 0xFFFF),  // DRT
        (0x57, 1, 0x01, 0xFF),  // DRAMC
        (0x58, 1, 0x10, 0xFF),  // DRAMT
        (0x68, 1, 0x00, 0xFF),  // FDHC
        (0x70, 1, 0x00, 0xFF),  // MTT
        (0x71, 1, 0x10, 0xFF),  // CLT
        (0x90, 1, 0x00, 0xFF),  // ERRCMD
        (0x93, 1, 0x00, 0x06),  // TRC; its reset bits are the ISA bridge's port 0xCF9
    ]

    /// RST#.
    public mutating func reset() { configuration.reset() }

    /// Takes over a saved state.
    /// - Returns: false, and nothing is changed, where the state is one that the chip cannot be in.
    public mutating func restore(_ saved: ConfigurationSpace.State) -> Bool {
        var copy = self
        guard copy.configuration.restore(saved),
            !copy.managementRAM.contains([.lock, .open])
        else { return false }
        self = copy
        return true
    }

    // MARK: Guest side

    public func read(_ offset: UInt32, width: UInt32) -> UInt32 { configuration.read(offset, width: width) }

    public mutating func write(_ offset: UInt32, width: UInt32, _ value: UInt32) {
        let before = managementRAM
        configuration.write(offset, width: width, value)
        if managementRAM != before { settleManagementRAM(before) }
    }

    /// A set lock stays until reset, keeps SMRAME, and holds DOPEN at 0.
    private mutating func settleManagementRAM(_ before: ManagementRAM) {
        var now = managementRAM
        if before.contains(.lock) {
            now = now.symmetricDifference(now.symmetricDifference(before).intersection([.enable, .lock]))
        }
        if now.contains(.lock) { now.remove(.open) }
        configuration.set(Register.managementRAM, width: 1, to: UInt32(now.rawValue))
    }

    // MARK: Pins, derived from the state and never stored

    public var managementRAM: ManagementRAM {
        ManagementRAM(rawValue: UInt8(truncatingIfNeeded: read(Register.managementRAM, width: 1)))
    }

    /// RAM shows at 0xA0000 to 0xBFFFF outside of system management mode too.
    public var managementRAMIsOpen: Bool { managementRAM.contains([.enable, .open]) }

    /// The 13 fields of PAM, by address: 12 of 16 KiB from 0xC0000, and the last 64 KiB.
    public var segments: [Segment] {
        var result: [Segment] = []
        for field in UInt32(0)..<12 {
            let byte = read(Register.attributeMap &+ 1 &+ field / 2, width: 1)
            result.append(
                segment(0xC_0000 &+ field &* 0x4000, 0x4000, byte >> (field & 1 &* 4)))
        }
        result.append(segment(0xF_0000, 0x1_0000, read(Register.attributeMap, width: 1) >> 4))
        return result
    }

    private func segment(_ address: UInt32, _ length: UInt32, _ field: UInt32) -> Segment {
        Segment(address: address, length: length, readsRAM: field & 1 != 0, writesRAM: field & 2 != 0)
    }
}
