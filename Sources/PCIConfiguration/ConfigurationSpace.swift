/// Configuration space of one PCI function: 256 bytes, of which each bit is read-only, writable, or cleared by writing 1.
///
/// Source: PCI Local Bus Specification 3.0, chapter 6; PCI-to-PCI Bridge Architecture Specification 1.2, chapter 3; PCI
/// Bus Power Management Interface Specification 1.2, chapter 3. Comments name their sections.
///
/// Departures, and who needs them:
/// - A base address register claims nothing while it holds 0 or the all-ones pattern by which software asks for its size
///   (for memory also: while its window would end at 4 GiB or beyond 64 bits). The specification knows no invalid
///   address, but firmware sizes BARs with decoding on, and the last page below 4 GiB is its own ROM.
/// - A function in another power state than D0 claims nothing, and a bridge then forwards nothing.
///
/// Not modelled: parity and system errors (their bits can be set by the host side), BIST, CardBus, and extended
/// configuration space: offsets of 256 and above read as ones.
public struct ConfigurationSpace: Sendable {
    // MARK: State: a snapshot is exactly this, and its reset values are the layout's

    public struct State: Equatable, Sendable {
        /// Always 256 bytes, as the guest reads them, without what is derived: interrupt status and the multifunction bit.
        public var bytes: [UInt8]
        public init(bytes: [UInt8]) { self.bytes = bytes }
    }

    /// What the function has. Not state: it is the device's making.
    public let layout: Layout
    public internal(set) var state: State

    /// Host side: the function has an interrupt to deliver by its pin. It shows as Interrupt Status. Not state: the
    /// device derives it.
    public var interruptPending = false
    /// Host side: header type bit 7, which the bus sets where further functions are wired to the same device.
    public var isMultifunction = false

    public init(_ layout: Layout) {
        self.layout = layout
        state = State(bytes: layout.reset)
    }

    /// RST#: every register has its reset value.
    public mutating func reset() { state = State(bytes: layout.reset) }

    /// Takes over a saved state.
    /// - Returns: false, and nothing is changed, where a bit that nothing can change differs from its reset value, or
    ///   where the power state is one that the function does not have.
    public mutating func restore(_ saved: State) -> Bool {
        guard saved.bytes.count == Layout.size else { return false }
        for offset in 0..<Layout.size {
            let fixed = ~(layout.writable[offset] | layout.clearable[offset] | layout.changing[offset])
            guard (saved.bytes[offset] ^ layout.reset[offset]) & fixed == 0 else { return false }
        }
        if let offset = layout.powerManagement?.offset {
            let code = saved.bytes[Int(offset) &+ 4] & 0b11
            guard let power = PowerState(rawValue: code), layout.powerManagement?.has(power) == true else {
                return false
            }
        }
        state = saved
        return true
    }

    // MARK: Guest side

    /// Reads 1 to 4 bytes, little-endian. Has no side effect, so that it is the peek too.
    /// - Returns: ones for bytes beyond 255 and for any other width.
    public func read(_ offset: UInt32, width: UInt32) -> UInt32 {
        guard (1...4).contains(width), offset < UInt32(Layout.size) else { return .max }
        var value: UInt32 = 0
        for i in 0..<width { value |= UInt32(byte(offset &+ i)) &<< (i &* 8) }
        return value
    }

    /// Writes 1 to 4 bytes, little-endian; any other width, and bytes beyond 255, do nothing.
    /// - Returns: what the device has to look at again.
    @discardableResult
    public mutating func write(_ offset: UInt32, width: UInt32, _ value: UInt32) -> Changes {
        guard (1...4).contains(width), offset < UInt32(Layout.size) else { return [] }
        let power = powerState
        var changes: Changes = []
        for i in 0..<width {
            changes.formUnion(writeByte(offset &+ i, UInt8(truncatingIfNeeded: value &>> (i &* 8))))
        }
        if power != powerState { changes.formUnion(leave(power)) }
        return changes
    }

    /// What a write changed.
    public struct Changes: OptionSet, Equatable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// `windows` is to be read again.
        public static let windows = Self(rawValue: 1 << 0)
        /// The interrupt pin, or the choice between it and messages.
        public static let interrupt = Self(rawValue: 1 << 1)
        /// Messages: enables, masks, addresses, data.
        public static let messages = Self(rawValue: 1 << 2)
        /// Bus numbers, what a bridge forwards, or its secondary reset.
        public static let bridge = Self(rawValue: 1 << 3)
        /// Whether the function may start accesses to memory.
        public static let busMaster = Self(rawValue: 1 << 4)
        /// The power state.
        public static let power = Self(rawValue: 1 << 5)
        /// D3hot was left without No_Soft_Reset: the registers have been reset, and the device resets itself.
        public static let softReset = Self(rawValue: 1 << 6)
        /// Any other register.
        public static let other = Self(rawValue: 1 << 7)
    }

    private func byte(_ offset: UInt32) -> UInt8 {
        guard offset < UInt32(Layout.size) else { return 0xFF }
        let value = state.bytes[Int(offset)]
        switch offset {
        case Register.status: return value | (interruptPending ? Status.interrupt.low : 0)
        case Register.headerType: return value | (isMultifunction ? 0x80 : 0)
        default: return value
        }
    }

    private mutating func writeByte(_ offset: UInt32, _ value: UInt8) -> Changes {
        guard offset < UInt32(Layout.size) else { return [] }
        let index = Int(offset)
        let old = state.bytes[index]
        let writable = layout.writable[index]
        var new = (old & ~writable) | (value & writable)
        new &= ~(value & layout.clearable[index])
        if let pm = layout.powerManagement, offset == pm.offset &+ 4 { new = pm.accept(new, instead: old) }
        guard new != old else { return [] }
        state.bytes[index] = new
        return kind(offset, old ^ new)
    }

    private func kind(_ offset: UInt32, _ changed: UInt8) -> Changes {
        switch offset {
        case Register.command:
            let command = Command(rawValue: UInt16(changed))
            var changes: Changes = command.isDisjoint(with: [.io, .memory]) ? [] : .windows
            if command.contains(.busMaster) { changes.insert(.busMaster) }
            return changes.isEmpty ? .other : changes
        case Register.command &+ 1: return .interrupt
        case _ where layout.isWindow(offset): return .windows
        case _ where layout.header == .bridge && (0x18...0x3F).contains(offset): return .bridge
        case _ where layout.isMessage(offset): return [.messages, .interrupt]
        default: return .other
        }
    }

    /// The power state has changed from `old` (PM 1.2, 5.4: D3hot to D0 is a reset unless No_Soft_Reset).
    private mutating func leave(_ old: PowerState) -> Changes {
        guard old == .d3hot, layout.powerManagement?.keepsState == false else { return [.power, .windows, .interrupt] }
        reset()
        return [.power, .windows, .interrupt, .messages, .bridge, .busMaster, .softReset]
    }

    // MARK: Host side

    /// A register's bytes, which need not be writable by the guest: the device's own read-only bits, declared as
    /// `changing`. Bits that are not so declared stay, and so does the power state where it would be one that the function does not have.
    public mutating func set(_ offset: UInt32, width: UInt32, to value: UInt32) {
        guard offset < UInt32(Layout.size) else { return }
        for i in 0..<min(width, 4) where offset &+ i < UInt32(Layout.size) {
            let index = Int(offset &+ i)
            let mask = layout.changing[index] | layout.writable[index] | layout.clearable[index]
            let byte = UInt8(truncatingIfNeeded: value &>> (i &* 8))
            let old = state.bytes[index]
            state.bytes[index] = (old & ~mask) | (byte & mask)
            guard let power = layout.powerManagement, index == Int(power.offset) &+ 4 else { continue }
            let code = PowerState(rawValue: state.bytes[index] & 0b11)
            if code.map(power.has) != true { state.bytes[index] = state.bytes[index] & ~0b11 | old & 0b11 }
        }
    }

    /// Records errors in the Status register.
    public mutating func record(_ errors: Status) {
        set16(Register.status, register16(Register.status) | errors.errors)
    }

    public var command: Command { Command(rawValue: register16(Register.command)) }
    public var status: Status { Status(rawValue: UInt16(truncatingIfNeeded: read(Register.status, width: 2))) }
    /// What firmware wrote for the operating system; nothing here uses it.
    public var interruptLine: UInt8 { state.bytes[Int(Register.interruptLine)] }

    /// The function may start accesses to memory.
    public var isBusMaster: Bool { command.contains(.busMaster) && powerState == .d0 }

    // MARK: Pins, derived from the state and never stored

    /// The function's INTx# pin. Messages, when enabled, take its place (6.8.1.3, 6.8.2.3).
    public var interruptAsserted: Bool {
        interruptPending && layout.interruptPin != 0 && !command.contains(.interruptDisable) && !usesMessages
            && powerState == .d0
    }

    /// MSI or MSI-X is enabled.
    public var usesMessages: Bool { msiControl?.contains(.enable) == true || msixControl?.contains(.enable) == true }

    // MARK: Inside

    func register16(_ offset: UInt32) -> UInt16 {
        guard offset < UInt32(Layout.size &- 1) else { return .max }
        return UInt16(state.bytes[Int(offset)]) | UInt16(state.bytes[Int(offset &+ 1)]) &<< 8
    }

    func register32(_ offset: UInt32) -> UInt32 {
        UInt32(register16(offset)) | UInt32(register16(offset &+ 2)) &<< 16
    }

    mutating func set16(_ offset: UInt32, _ value: UInt16) { set(offset, width: 2, to: UInt32(value)) }
}
