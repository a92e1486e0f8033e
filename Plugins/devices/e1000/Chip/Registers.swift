extension E1000 {
    // MARK: Registers

    /// Offsets of those that do something. `Kept` has those that only keep what is written.
    enum Register: UInt32 {
        case control = 0x0000, controlAgain = 0x0004, status = 0x0008, eepromControl = 0x0010, eepromRead = 0x0014
        case mdi = 0x0020, vlanType = 0x0038
        case cause = 0x00C0, throttle = 0x00C4, causeSet = 0x00C8, maskSet = 0x00D0, maskClear = 0x00D8
        case receiveControl = 0x0100, transmitControl = 0x0400
        case receiveBaseLow = 0x2800, receiveBaseHigh = 0x2804, receiveLength = 0x2808
        case receiveHead = 0x2810, receiveTail = 0x2818
        case transmitBaseLow = 0x3800, transmitBaseHigh = 0x3804, transmitLength = 0x3808
        case transmitHead = 0x3810, transmitTail = 0x3818
        case receiveChecksum = 0x5000
    }

    /// Registers without an effect here: offset, reset value, what a guest can write.
    static let kept: [(offset: UInt32, reset: UInt32, writable: UInt32)] = [
        (0x0018, 0, 0xFFFF_FFFF),  // CTRL_EXT
        (0x0028, 0x00C2_8001, 0xFFFF_FFFF), (0x002C, 0x0100, 0xFFFF), (0x0030, 0x8808, 0xFFFF),  // FCAL, FCAH, FCT
        (0x0170, 0, 0xFFFF), (0x0178, 0, 0xFFFF_FFFF),  // FCTTV, TXCW
        (0x0410, 0x0060_2008, 0x3FFF_FFFF), (0x0458, 0, 0xFFFF),  // TIPG, AIFS
        (0x0E00, 0x0706_8302, 0xFFFF_FFFF), (0x1000, 0x0010_0030, 0xFFFF),  // LEDCTL, PBA
        (0x2160, 0, 0x8000_FFF8), (0x2168, 0, 0xFFF8),  // FCRTL, FCRTH
        (0x2820, 0, 0xFFFF), (0x2828, 0x0001_0000, 0x013F_3F3F),  // RDTR, RXDCTL
        (0x282C, 0, 0xFFFF), (0x2C00, 0, 0xFFF),  // RADV, RSRPD
        (0x3000, 0, 0xFFFF_FFFF), (0x3820, 0, 0xFFFF),  // TXDMAC, TIDV
        (0x3828, 0, 0xFF3F_3F3F), (0x382C, 0, 0xFFFF),  // TXDCTL, TADV
        (0x3830, 0x0100_0400, 0xFFFF_FFFF),  // TSPMT
        (0x5800, 0, 0xF), (0x5808, 0, 0xF_00FF), (0x5810, 0, 0),  // WUC, WUFC, WUS
        (0x5820, 0, 0xFFFF_FFFF), (0x5838, 0, 0x1_000F),  // MANC, IPAV
    ]

    /// CTRL.
    public struct Control: OptionSet, Equatable, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        public static let fullDuplex = Self(rawValue: 1 << 0)
        public static let setLinkUp = Self(rawValue: 1 << 6)
        public static let reset = Self(rawValue: 1 << 26)
        public static let vlanMode = Self(rawValue: 1 << 30)
        public static let phyReset = Self(rawValue: 1 << 31)
        static let clearing: Control = [.reset, .phyReset]
    }

    /// ICR, ICS, IMS and IMC.
    public struct Cause: OptionSet, Equatable, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        public static let transmitWrittenBack = Self(rawValue: 1 << 0)  // TXDW
        public static let transmitQueueEmpty = Self(rawValue: 1 << 1)  // TXQE
        public static let linkChange = Self(rawValue: 1 << 2)  // LSC
        public static let receiveMinimum = Self(rawValue: 1 << 4)  // RXDMT0
        public static let receiveOverrun = Self(rawValue: 1 << 6)  // RXO
        public static let receiveTimer = Self(rawValue: 1 << 7)  // RXT0
        public static let mdiComplete = Self(rawValue: 1 << 9)  // MDAC
        static let known: UInt32 = 0x1_F6DF
    }

    /// RCTL.
    public struct ReceiveControl: OptionSet, Equatable, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        public static let enabled = Self(rawValue: 1 << 1)
        public static let storeBadPackets = Self(rawValue: 1 << 2)
        public static let unicastPromiscuous = Self(rawValue: 1 << 3)
        public static let multicastPromiscuous = Self(rawValue: 1 << 4)
        public static let longPackets = Self(rawValue: 1 << 5)
        public static let broadcasts = Self(rawValue: 1 << 15)
        public static let vlanFilter = Self(rawValue: 1 << 18)
        public static let extendedSize = Self(rawValue: 1 << 25)
        public static let stripsCRC = Self(rawValue: 1 << 26)
        static let writable: UInt32 = 0x06DF_F7FE

        /// BSIZE and BSEX, bytes; the reserved code is 2048.
        var bufferSize: Int {
            let code = rawValue >> 16 & 3
            let size = 2048 >> Int(code)
            return contains(.extendedSize) && code != 0 ? size &* 16 : size
        }
        /// MO: by how much the last 16 bits of an address are shifted for the multicast table.
        var multicastShift: UInt16 {
            switch rawValue >> 12 & 3 {
            case 0: 4
            case 1: 3
            case 2: 2
            default: 0
            }
        }
        /// RDMTS: half, quarter or eighth of the ring.
        var minimumShift: UInt32 { min(rawValue >> 8 & 3, 2) &+ 1 }
    }

    /// TCTL.
    public struct TransmitControl: OptionSet, Equatable, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        public static let enabled = Self(rawValue: 1 << 1)
        public static let padsShortPackets = Self(rawValue: 1 << 3)
        static let writable: UInt32 = 0x03FF_FFFA
    }

    /// RXCSUM.
    public struct ReceiveChecksum: OptionSet, Equatable, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        public static let ip = Self(rawValue: 1 << 8)
        public static let transport = Self(rawValue: 1 << 9)
        var start: Int { Int(rawValue & 0xFF) }
    }

    /// A descriptor ring: 16 bytes a descriptor, at a multiple of 16; lengths are multiples of 128 bytes.
    public struct Ring: Equatable, Sendable {
        public var baseLow: UInt32 = 0
        public var baseHigh: UInt32 = 0
        public var length: UInt32 = 0
        public var head: UInt32 = 0
        public var tail: UInt32 = 0
        public init() {}

        var count: UInt32 { length / 16 }
        /// What hardware owns: 0 where head or tail lie outside of the ring.
        var available: UInt32 {
            guard head < count, tail < count else { return 0 }
            return tail >= head ? tail &- head : count &- head &+ tail
        }
        var headAddress: UInt64 { (UInt64(baseHigh) << 32 | UInt64(baseLow)) &+ UInt64(head) &* 16 }
        mutating func advance() { head = head &+ 1 >= count ? 0 : head &+ 1 }
        var isPossible: Bool {
            baseLow & 15 == 0 && length & ~0xF_FF80 == 0 && head <= 0xFFFF && tail <= 0xFFFF
        }
    }

    /// RAL and RAH.
    public struct ReceiveAddress: Equatable, Sendable {
        public var low: UInt32 = 0
        public var high: UInt32 = 0
        static let highWritable: UInt32 = 0x8003_FFFF
        public init() {}
        var isValid: Bool { high & 1 << 31 != 0 }
        /// AS: 0 the destination, 1 the source; 2 and 3 are reserved.
        var matchesSource: Bool { high >> 16 & 3 == 1 }
        func matches(_ address: ArraySlice<UInt8>) -> Bool {
            let value = UInt64(high & 0xFFFF) << 32 | UInt64(low)
            return address.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) } == value
        }
    }
}
