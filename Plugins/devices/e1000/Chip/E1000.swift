/// Intel 82540EM gigabit Ethernet controller: the chip only, without its PCI configuration space.
///
/// Source: Intel, PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual (317453); below, "the manual".
/// The PHY is a Marvell 88E1011 at address 1; the EEPROM a 93C46 (64 words).
///
/// Not modelled: delays of interrupts other than ITR's (RDTR, RADV, TIDV, TADV: interrupts come at once); flow control; wake-up
/// and management; half duplex and its statistics; loopback; diagnostic memory. Frames on the wire have no FCS: where the
/// guest wants one in its buffers it reads zeroes. A packet in transmission is at most `longestPacket` bytes and
/// `mostSegments` segments; longer ones are dropped.
public struct E1000: Sendable {
    static let longestPacket = 1 << 17
    static let mostSegments = 2048

    // MARK: State: a snapshot is exactly this, and its defaults are the reset values

    public struct State: Equatable, Sendable {
        public var control: Control = [.fullDuplex]
        public var vlanType: UInt32 = 0x8100
        public var eeprom = EEPROM()
        public var phy = PHY()
        public var mdi: UInt32 = 1 << 28
        public var cause: Cause = []
        public var mask: Cause = []
        /// ITR: units of 256 nanoseconds between interrupts, 0 is no limit.
        public var throttle: UInt16 = 0
        /// The interrupt is signalled; it was, or could be, at a time that ITR allows.
        public var isSignalled = false
        /// No interrupt is signalled before, in nanoseconds.
        public var quietUntil: UInt64 = 0
        public var receiveControl: ReceiveControl = []
        public var receiveChecksum = ReceiveChecksum(rawValue: 0)
        public var receive = Ring()
        public var transmitControl: TransmitControl = []
        public var transmit = Ring()
        public var packet = Packet()
        public var addresses = [ReceiveAddress](repeating: ReceiveAddress(), count: 16)
        public var multicast = [UInt32](repeating: 0, count: 128)
        public var vlans = [UInt32](repeating: 0, count: 128)
        public var statistics = Statistics()
        /// In the order of the table `E1000.kept`.
        public var kept: [UInt32] = E1000.kept.map(\.reset)
        /// IOADDR of the I/O window.
        public var window: UInt32 = 0
        /// Whether the other end of the cable is there.
        public var hasCarrier = true
        public init() {}
    }

    public internal(set) var state = State()

    /// `address`: the station's, six bytes (missing ones are zero), in the EEPROM.
    public init(address: [UInt8]) {
        state.eeprom = EEPROM(address: address)
        loadAddress()
    }

    /// PCI reset and CTRL.RST: EEPROM and cable stay as they are.
    public mutating func reset() {
        var (eeprom, phy, hasCarrier) = (state.eeprom, state.phy, state.hasCarrier)
        eeprom.deselect()
        phy.hasCarrier = hasCarrier
        state = State()
        (state.eeprom, state.phy, state.hasCarrier) = (eeprom, phy, hasCarrier)
        loadAddress()
    }

    private mutating func loadAddress() {
        let words = state.eeprom.words
        state.addresses[0].low = UInt32(words[0]) | UInt32(words[1]) << 16
        state.addresses[0].high = UInt32(words[2]) | 1 << 31
    }

    /// Takes over a saved state. False, and nothing changes, where it is one that no chip can be in.
    public mutating func restore(_ saved: State) -> Bool {
        guard saved.isPossible else { return false }
        state = saved
        return true
    }

    // MARK: Host side

    /// The cable is plugged or pulled.
    public mutating func setCarrier(_ hasCarrier: Bool, at now: UInt64) {
        guard hasCarrier != state.hasCarrier else { return }
        state.hasCarrier = hasCarrier
        state.phy.hasCarrier = hasCarrier
        raise(.linkChange, at: now)
    }

    // MARK: Pins, derived from the state

    /// STATUS.LU.
    public var isLinkUp: Bool { state.hasCarrier && state.control.contains(.setLinkUp) }

    /// INTA#.
    public var interruptAsserted: Bool { state.isSignalled && isRequested }

    var isRequested: Bool { !state.cause.isDisjoint(with: state.mask) }

    // MARK: Interrupts

    /// When INTA# next rises although nothing else happens: the owner calls `advance` then.
    public var nextDeadline: UInt64? { isRequested && !state.isSignalled ? state.quietUntil : nil }

    /// Signals what waited for ITR. Its interval counts from one signal to the next.
    public mutating func advance(to now: UInt64) {
        guard isRequested else { return state.isSignalled = false }
        guard !state.isSignalled, now >= state.quietUntil else { return }
        state.isSignalled = true
        let (until, overflow) = now.addingReportingOverflow(UInt64(state.throttle) &* 256)
        state.quietUntil = overflow ? .max : until
    }

    mutating func raise(_ cause: Cause, at now: UInt64) {
        state.cause.formUnion(cause)
        advance(to: now)
    }
}

extension E1000.State {
    var isPossible: Bool {
        guard addresses.count == 16, multicast.count == 128, vlans.count == 128, kept.count == E1000.kept.count,
            addresses.allSatisfy({ $0.high & ~E1000.ReceiveAddress.highWritable == 0 }),
            zip(kept, E1000.kept).allSatisfy({ $0 & ~($1.writable | $1.reset) == 0 })
        else { return false }
        let known = cause.rawValue | mask.rawValue
        return control.isDisjoint(with: E1000.Control.clearing) && vlanType <= 0xFFFF && known & ~E1000.Cause.known == 0
            && receiveControl.rawValue & ~E1000.ReceiveControl.writable == 0
            && transmitControl.rawValue & ~E1000.TransmitControl.writable == 0 && receiveChecksum.rawValue <= 0x3FF
            && receive.isPossible && transmit.isPossible && packet.isPossible && eeprom.isPossible && phy.isPossible
            && statistics.isPossible && phy.hasCarrier == hasCarrier
    }
}
