// The power management and vendor specific capabilities (PM 1.2, 3.2; PCI 3.0, appendix H).

extension ConfigurationSpace {
    /// The power management capability, ID 1: 8 bytes.
    public struct PowerManagement: Equatable, Sendable {
        public let offset: UInt32
        public let hasD1: Bool
        public let hasD2: Bool
        /// No_Soft_Reset: registers survive D3hot.
        public let keepsState: Bool

        func has(_ state: PowerState) -> Bool {
            switch state {
            case .d0, .d3hot: true
            case .d1: hasD1
            case .d2: hasD2
            }
        }

        /// PMCSR's low byte as written, or with the old state where the new one does not exist (3.2.4).
        func accept(_ new: UInt8, instead old: UInt8) -> UInt8 {
            guard let state = PowerState(rawValue: new & 0b11), !has(state) else { return new }
            return (new & ~0b11) | (old & 0b11)
        }
    }

    private static let pmeEnable: UInt16 = 1 << 8
    private static let pmeStatus: UInt16 = 1 << 15

    /// D0 for a function without the capability.
    public var powerState: PowerState {
        guard let pm = layout.powerManagement else { return .d0 }
        return PowerState(rawValue: state.bytes[Int(pm.offset) &+ 4] & 0b11) ?? .d0
    }

    /// The function has a power management event: it sets PME_Status where the capability supports any.
    public mutating func signalPowerEvent() {
        guard let pm = layout.powerManagement else { return }
        set16(pm.offset &+ 4, register16(pm.offset &+ 4) | Self.pmeStatus)
    }

    /// The PME# pin.
    public var powerEventAsserted: Bool {
        guard let pm = layout.powerManagement else { return false }
        let both = Self.pmeEnable | Self.pmeStatus
        return register16(pm.offset &+ 4) & both == both
    }
}

extension ConfigurationSpace.Layout {
    /// - Parameter eventStates: bit n: PME# can come in state n (D0, D1, D2, D3hot, D3cold).
    public mutating func addPowerManagement(
        at offset: UInt32? = nil, d1: Bool = false, d2: Bool = false, eventStates: UInt8 = 0, keepsState: Bool = true
    ) throws(LayoutError) {
        guard powerManagement == nil else { throw .twice }
        let base = try addCapability(id: 0x01, length: 8, at: offset)
        let version: UInt32 = 3  // PM 1.2
        let states = UInt32(eventStates & 0x1F) &<< 11
        put(base &+ 2, 2, reset: version | (d1 ? 1 << 9 : 0) | (d2 ? 1 << 10 : 0) | states)
        let events = eventStates & 0x1F != 0
        put(
            base &+ 4, 2, reset: keepsState ? 1 << 3 : 0, writable: 0b11 | (events ? 1 << 8 : 0),
            clearable: events ? 1 << 15 : 0)
        powerManagement = ConfigurationSpace.PowerManagement(offset: base, hasD1: d1, hasD2: d2, keepsState: keepsState)
    }

    /// ID 9: the byte after the list's two is the length of all (appendix H).
    /// - Parameters:
    ///   - body: what follows the length byte; 0...189 bytes.
    ///   - writable: bits of the body that software writes; bytes that are missing have none.
    /// - Returns: the capability's offset; the body begins 3 bytes after it.
    @discardableResult
    public mutating func addVendorSpecific(
        _ body: [UInt8], writable: [UInt8] = [], at offset: UInt32? = nil
    ) throws(LayoutError) -> UInt32 {
        guard body.count <= 189 else { throw .badSize(UInt64(body.count)) }
        let length = UInt32(body.count) &+ 3
        let base = try addCapability(id: 0x09, length: length, at: offset)
        put(base &+ 2, 1, reset: length)
        for (i, byte) in body.enumerated() {
            put(
                base &+ 3 &+ UInt32(i), 1, reset: UInt32(byte),
                writable: i < writable.count ? UInt32(writable[i]) : 0)
        }
        return base
    }
}
