extension E1000 {
    /// The Marvell 88E1011 behind MDIC. Source: IEEE 802.3, clause 22 for registers 0 to 15; the manual, "PHY Registers".
    /// Negotiation is over at once: a gigabit partner that can do everything.
    public struct PHY: Equatable, Sendable {
        public var control: UInt16 = 0x1140
        public var advertisement: UInt16 = 0x0DE1
        public var gigabitControl: UInt16 = 0x0E00
        public var specificControl: UInt16 = 0x0360
        public var interruptEnable: UInt16 = 0
        public var extendedControl: UInt16 = 0x0D60
        public var page: UInt16 = 0
        public var hasCarrier = true
        public init() {}

        static let address: UInt32 = 1

        var isPossible: Bool { control & 0x8200 == 0 }

        private var isDown: Bool { control & 1 << 11 != 0 }
        var isLinked: Bool { hasCarrier && !isDown }

        func read(_ register: UInt8) -> UInt16 {
            switch register {
            case 0: control
            case 1: 0x7949 | (isLinked ? 0x0024 : 0)  // extended status, abilities; link, negotiation complete
            case 2: 0x0141
            case 3: 0x0C20
            case 4: advertisement
            case 5: isLinked ? 0x45E1 : 0
            case 6: isLinked ? 0x000F : 0x0004
            case 9: gigabitControl
            case 10: isLinked ? 0x3C00 : 0
            case 15: 0x3000
            case 16: specificControl
            case 17: 0x8100 | (isLinked ? 0x2C00 : 0)  // 1000 Mb/s; full duplex, resolved, link
            case 18: interruptEnable
            case 20: extendedControl
            case 29: page
            default: 0
            }
        }

        /// True: negotiation has been started again.
        mutating func write(_ register: UInt8, _ value: UInt16) -> Bool {
            switch register {
            case 0:
                if value & 1 << 15 != 0 {
                    let hasCarrier = hasCarrier
                    self = PHY()
                    self.hasCarrier = hasCarrier
                    return true
                }
                control = value & ~0x8200
                return value & 0x1200 == 0x1200
            case 4: advertisement = value
            case 9: gigabitControl = value
            case 16: specificControl = value
            case 18: interruptEnable = value
            case 20: extendedControl = value
            case 29: page = value
            default: break
            }
            return false
        }
    }

    /// MDIC: data 15:0, register 20:16, PHY 25:21, operation 27:26 (1 write, 2 read), ready 28, interrupt 29, error 30.
    mutating func writeMDI(_ value: UInt32, at now: UInt64) {
        let operation = value >> 26 & 3
        var answer = value & 0x2FFF_FFFF | 1 << 28
        var restarts = false
        if value >> 21 & 31 != PHY.address || operation == 0 || operation == 3 {
            answer |= 1 << 30
        } else if operation == 1 {
            restarts = state.phy.write(UInt8(value >> 16 & 31), UInt16(truncatingIfNeeded: value))
        } else {
            answer = answer & ~0xFFFF | UInt32(state.phy.read(UInt8(value >> 16 & 31)))
        }
        state.mdi = answer
        if restarts && state.phy.isLinked { raise(.linkChange, at: now) }
        if value & 1 << 29 != 0 { raise(.mdiComplete, at: now) }
    }
}
