/// 82093AA I/O APIC, 24 pins: the chip only.
///
/// Source: Intel 82093AA data sheet (290566). Where its bus was the APIC's three wires, messages leave as writes to
/// 0xFEE0_0000 and up (SDM volume 3, "Message Signalled Interrupts"), as from every later I/O APIC.
///
/// Not modelled: the arbitration on the serial bus (its register shows the ID), delivery status (a message is never on
/// its way), and the polarity of pins: it is kept and read back, and `setLine` says whether a line is asserted, not
/// whether it is high (guests program what their tables say, machines wire assertions; KVM does so too).
public struct IOAPIC: Sendable {
    public static let pins: UInt8 = 24

    // MARK: Registers

    /// What IOREGSEL selects; from 0x10 on the redirection table, two for each pin.
    enum Register: UInt8 { case id = 0, version = 1, arbitration = 2 }
    private static let table: UInt8 = 0x10

    /// Bits 10:8 of an entry; 3 and 6 are reserved.
    public enum Delivery: UInt8, Sendable {
        case fixed = 0, lowestPriority = 1, systemManagement = 2, nonMaskable = 4, initialize = 5, external = 7
    }

    /// Redirection table entry.
    public struct Entry: Equatable, Sendable {
        public var rawValue: UInt64
        public init(rawValue: UInt64) { self.rawValue = rawValue }
        static let masked = Self(rawValue: 1 << 16)
        static let known: UInt64 = 0xFF00_0000_0001_FFFF
        /// Delivery status (12) and remote IRR (14) are the chip's.
        static let writable: UInt64 = known & ~0x5000

        public var vector: UInt8 { UInt8(truncatingIfNeeded: rawValue) }
        public var delivery: Delivery? { Delivery(rawValue: UInt8(rawValue &>> 8 & 7)) }
        public var isLogical: Bool { rawValue & 1 << 11 != 0 }
        public var isActiveLow: Bool { rawValue & 1 << 13 != 0 }
        public var isMasked: Bool { rawValue & 1 << 16 != 0 }
        public var destination: UInt8 { UInt8(rawValue &>> 56) }
        /// Fixed and lowest priority only: the others are edges whatever bit 15 says.
        public var isLevelTriggered: Bool {
            rawValue & 1 << 15 != 0 && (delivery == .fixed || delivery == .lowestPriority)
        }
        /// A local APIC has a level's interrupt and has not ended it.
        public var remoteRequest: Bool {
            get { rawValue & 1 << 14 != 0 }
            set { rawValue = rawValue & ~(1 << 14) | (newValue ? 1 << 14 : 0) }
        }
    }

    // MARK: State: a snapshot is exactly this, and its defaults are the reset values

    public struct State: Equatable, Sendable {
        /// IOREGSEL.
        public var select: UInt8 = 0
        /// Bits 27:24 of register 0.
        public var id: UInt8 = 0
        /// One for each pin.
        public var entries = [Entry](repeating: .masked, count: Int(IOAPIC.pins))
        /// Pins that are asserted, kept so that a restored machine sees no false edge.
        public var lines: UInt32 = 0
        public init() {}
    }

    public private(set) var state = State()
    /// Pins whose message has not been taken: on its way to the owner, not state of the chip.
    private var unsent: UInt32 = 0

    public init() {}

    /// RESET. The pins keep their levels: others drive them.
    public mutating func reset() {
        let lines = state.lines
        state = State()
        state.lines = lines
        unsent = 0
    }

    /// Takes over a saved state. False, and nothing changes, where it is one that no chip can be in.
    public mutating func restore(_ saved: State) -> Bool {
        guard saved.entries.count == Int(Self.pins), saved.id < 16, saved.lines &>> UInt32(Self.pins) == 0,
            saved.entries.allSatisfy({
                $0.rawValue & ~(Entry.known & ~(1 << 12)) == 0 && (!$0.remoteRequest || $0.isLevelTriggered)
            })
        else { return false }
        state = saved
        unsent = 0
        return true
    }

    // MARK: Guest side

    /// A read of 32 bits at `offset` in the page; nil: there is no register.
    public func read(_ offset: UInt16) -> UInt32? {
        switch offset {
        case 0x00: UInt32(state.select)
        case 0x10: window
        default: nil
        }
    }

    /// A write of 32 bits; false: there is no register.
    public mutating func write(_ offset: UInt16, _ value: UInt32) -> Bool {
        switch offset {
        case 0x00: state.select = UInt8(truncatingIfNeeded: value)
        case 0x10: writeWindow(value)
        default: return false
        }
        return true
    }

    /// The pin and half that IOREGSEL selects in the table.
    private var selectedEntry: (pin: UInt8, isHigh: Bool)? {
        let (offset, underflow) = state.select.subtractingReportingOverflow(Self.table)
        guard !underflow, offset &>> 1 < Self.pins else { return nil }
        return (offset &>> 1, offset & 1 != 0)
    }

    /// Reserved registers read 0.
    private var window: UInt32 {
        if let (pin, isHigh) = selectedEntry {
            return UInt32(truncatingIfNeeded: self[pin].rawValue &>> (isHigh ? 32 : 0))
        }
        switch Register(rawValue: state.select) {
        case .id, .arbitration: return UInt32(state.id) &<< 24
        case .version: return UInt32(Self.pins &- 1) &<< 16 | 0x11
        case nil: return 0
        }
    }

    private mutating func writeWindow(_ value: UInt32) {
        if let (pin, isHigh) = selectedEntry { return writeEntry(pin, isHigh, value) }
        if state.select == Register.id.rawValue { state.id = UInt8(value &>> 24 & 15) }
    }

    /// An entry that is an edge has no remote IRR: software clears a stuck one by making it an edge and a level again
    /// (Linux does, where there is no EOI register).
    private mutating func writeEntry(_ pin: UInt8, _ isHigh: Bool, _ value: UInt32) {
        let old = self[pin].rawValue
        let mask: UInt64 = isHigh ? 0xFFFF_FFFF_0000_0000 : 0xFFFF_FFFF
        let written = (UInt64(value) &<< (isHigh ? 32 : 0)) & mask & Entry.writable
        var entry = Entry(rawValue: old & ~(mask & Entry.writable) | written)
        if !entry.isLevelTriggered { entry.remoteRequest = false }
        self[pin] = entry
        sample(pin)
    }

    // MARK: Host side

    /// Pin `pin` (0...23; others are ignored) is asserted or not. An edge at a masked pin is lost, as the data sheet says.
    public mutating func setLine(_ pin: UInt8, _ asserted: Bool) {
        guard pin < Self.pins else { return }
        let bit: UInt32 = 1 &<< UInt32(pin)
        let rises = asserted && state.lines & bit == 0
        state.lines = asserted ? state.lines | bit : state.lines & ~bit
        guard rises else { return }
        if self[pin].isLevelTriggered { return sample(pin) }
        if !self[pin].isMasked && self[pin].delivery != nil { unsent |= bit }
    }

    /// A level asks while it is asserted, not masked, and no local APIC has its interrupt.
    private mutating func sample(_ pin: UInt8) {
        let entry = self[pin]
        guard entry.isLevelTriggered, !entry.isMasked, !entry.remoteRequest, state.lines &>> UInt32(pin) & 1 != 0
        else { return }
        self[pin].remoteRequest = true
        unsent |= 1 &<< UInt32(pin)
    }

    /// A local APIC broadcasts the end of `vector`: a pin that is still asserted asks again.
    public mutating func endOfInterrupt(_ vector: UInt8) {
        for pin in 0..<Self.pins where self[pin].remoteRequest && self[pin].vector == vector {
            self[pin].remoteRequest = false
            sample(pin)
        }
    }

    /// A write of 32 bits that is an interrupt.
    public struct Message: Equatable, Sendable {
        public var address: UInt64
        public var data: UInt32
        public init(address: UInt64, data: UInt32) {
            self.address = address
            self.data = data
        }
    }

    /// The next message; call it after each change until it answers nil.
    public mutating func takeMessage() -> Message? {
        guard unsent != 0 else { return nil }
        let pin = UInt8(truncatingIfNeeded: unsent.trailingZeroBitCount)
        unsent &= unsent &- 1
        let entry = self[pin]
        let trigger: UInt32 = entry.isLevelTriggered ? 1 << 15 | 1 << 14 : 0
        return Message(
            address: 0xFEE0_0000 | UInt64(entry.destination) &<< 12 | (entry.isLogical ? 1 << 2 : 0),
            data: UInt32(truncatingIfNeeded: entry.rawValue & 0x7FF) | trigger)
    }

    /// Pins count modulo the table: never out of bounds.
    private subscript(pin: UInt8) -> Entry {
        get { state.entries[Int(pin % Self.pins)] }
        set { state.entries[Int(pin % Self.pins)] = newValue }
    }
}
