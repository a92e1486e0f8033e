/// The registers of the PC16550D, one type each, with the bit numbers of the data sheet's register summary.
extension UART16550 {
    /// IER, the Interrupt Enable Register: offset 1 with DLAB = 0.
    public struct InterruptEnable: OptionSet, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        public static let dataReady = Self(rawValue: 1 << 0)  // ERBFI; also the character timeout
        public static let transmitterEmpty = Self(rawValue: 1 << 1)  // ETBEI
        public static let lineStatus = Self(rawValue: 1 << 2)  // ELSI
        public static let modemStatus = Self(rawValue: 1 << 3)  // EDSSI
        static let all: Self = [.dataReady, .transmitterEmpty, .lineStatus, .modemStatus]
    }

    /// IIR bits 3:0, the data sheet's table "Interrupt Control Functions". A priority code, not a set of bits.
    public enum InterruptID: UInt8, Sendable {
        case modemStatus = 0b0000
        case none = 0b0001
        case transmitterEmpty = 0b0010
        case dataReady = 0b0100
        case lineStatus = 0b0110
        case characterTimeout = 0b1100
    }

    /// FCR, the FIFO Control Register: offset 2, write only.
    public struct FIFOControl: OptionSet, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        public static let enable = Self(rawValue: 1 << 0)
        public static let resetReceiver = Self(rawValue: 1 << 1)  // clears itself
        public static let resetTransmitter = Self(rawValue: 1 << 2)  // clears itself
        public static let dmaMode = Self(rawValue: 1 << 3)
        public static let triggerCode = Self(rawValue: 0b11 << 6)  // a code in bits 7:6
        static let stored: Self = [.enable, .dmaMode, .triggerCode]

        /// Characters in the receive FIFO that raise the data-ready interrupt.
        public var triggerLevel: UInt8 {
            switch rawValue >> 6 {
            case 0: 1
            case 1: 4
            case 2: 8
            default: 14
            }
        }
    }

    /// LCR, the Line Control Register: offset 3.
    public struct LineControl: OptionSet, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        public static let wordLengthCode = Self(rawValue: 0b11)  // 5 bits plus the code
        public static let longStop = Self(rawValue: 1 << 2)  // STB: 2 stop bits; 1.5 for 5-bit words
        public static let parity = Self(rawValue: 1 << 3)  // PEN
        public static let evenParity = Self(rawValue: 1 << 4)  // EPS
        public static let stickParity = Self(rawValue: 1 << 5)
        public static let setBreak = Self(rawValue: 1 << 6)
        public static let divisorAccess = Self(rawValue: 1 << 7)  // DLAB

        /// Data bits in a word, 5...8.
        public var wordLength: UInt8 { 5 &+ (rawValue & 0b11) }

        /// The bits of a byte that a word carries.
        public var dataMask: UInt8 { 0xFF &>> (8 &- wordLength) }

        /// A whole character on the line in half bit times: start, data, parity, and 1, 1.5 or 2 stop bits.
        public var characterHalfBits: UInt8 {
            let stop: UInt8 = !contains(.longStop) ? 2 : wordLength == 5 ? 3 : 4
            return 2 &* (1 &+ wordLength &+ (contains(.parity) ? 1 : 0)) &+ stop
        }
    }

    /// MCR, the MODEM Control Register: offset 4.
    public struct ModemControl: OptionSet, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        public static let dataTerminalReady = Self(rawValue: 1 << 0)
        public static let requestToSend = Self(rawValue: 1 << 1)
        public static let output1 = Self(rawValue: 1 << 2)
        public static let output2 = Self(rawValue: 1 << 3)
        public static let loopback = Self(rawValue: 1 << 4)
        static let all = Self(rawValue: 0x1F)
    }

    /// LSR, the Line Status Register: offset 5.
    public struct LineStatus: OptionSet, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        public static let dataReady = Self(rawValue: 1 << 0)
        public static let overrunError = Self(rawValue: 1 << 1)
        public static let parityError = Self(rawValue: 1 << 2)
        public static let framingError = Self(rawValue: 1 << 3)
        public static let breakInterrupt = Self(rawValue: 1 << 4)
        public static let transmitHoldingEmpty = Self(rawValue: 1 << 5)
        public static let transmitterEmpty = Self(rawValue: 1 << 6)
        public static let receiveFIFOError = Self(rawValue: 1 << 7)

        /// The errors that belong to one character; bits 4:2.
        public static let characterErrors: Self = [.parityError, .framingError, .breakInterrupt]
        /// What raises the line-status interrupt and a read of LSR clears.
        static let errors: Self = [.overrunError, .characterErrors]
    }

    /// MSR, the MODEM Status Register: offset 6.
    public struct ModemStatus: OptionSet, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        public static let deltaClearToSend = Self(rawValue: 1 << 0)
        public static let deltaDataSetReady = Self(rawValue: 1 << 1)
        public static let trailingEdgeRing = Self(rawValue: 1 << 2)
        public static let deltaCarrierDetect = Self(rawValue: 1 << 3)
        public static let clearToSend = Self(rawValue: 1 << 4)
        public static let dataSetReady = Self(rawValue: 1 << 5)
        public static let ringIndicator = Self(rawValue: 1 << 6)
        public static let carrierDetect = Self(rawValue: 1 << 7)

        static let lines: Self = [.clearToSend, .dataSetReady, .ringIndicator, .carrierDetect]
        static let deltas: Self = [.deltaClearToSend, .deltaDataSetReady, .trailingEdgeRing, .deltaCarrierDetect]
    }
}
