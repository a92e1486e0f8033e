// What a snapshot holds, and the check of one that comes from outside.

extension FDC82077 {
    public static let sectorSize = 512
    public static let units = 4

    /// The defaults are the values after RESET.
    public struct State: Equatable, Sendable {
        public var output = OutputRegister()
        public var rate = DataRate.kbps250
        public var tape: UInt8 = 0
        /// SPECIFY: SRT and HUT, HLT and ND.
        public var specified: [UInt8] = [0, 0]
        public var configuration: Configuration = .fifoDisabled
        public var precompensationTrack: UInt8 = 0
        public var isLocked = false
        /// D3:0, GAP, WGATE.
        public var perpendicular: UInt8 = 0
        /// SC of the last format, EOT of the last other transfer.
        public var lastSectors: UInt8 = 0
        public var units = [Unit](repeating: Unit(), count: FDC82077.units)
        /// INT for the end of a seek or for polling.
        public var isSenseRaised = false
        public var phase = Phase.command
        /// The command's so far, until its end; then the result's.
        public var bytes: [UInt8] = []
        /// Of the next result byte.
        public var position: UInt8 = 0
        /// The result has an interrupt, until its first byte is read.
        public var resultInterrupts = false
        public var transfer = Transfer()
        /// A sector on its way, or the four bytes of FORMAT TRACK.
        public var buffer = [UInt8](repeating: 0, count: FDC82077.sectorSize)
        public init() {}
    }

    public enum Phase: UInt8, Sendable { case command, execution, result }

    /// A drive, and what the chip knows of it.
    public struct Unit: Equatable, Sendable {
        /// PCN.
        public var knownCylinder: UInt8 = 0
        /// Where the head is.
        public var cylinder: UInt8 = 0
        /// When a seek ends; 0: there is none.
        public var seekEnd: UInt64 = 0
        /// ST0 for SENSE INTERRUPT STATUS, where `isPending`; of a seek in progress, what it will be.
        public var status: UInt8 = 0
        public var isPending = false
        /// The drive's disk change latch: set until a step finds a disk.
        public var isChanged = true
        /// The disk has been taken out.
        public var isOpen = false
        public init() {}
    }

    /// The execution phase.
    public struct Transfer: Equatable, Sendable {
        public enum Step: UInt8, Sendable {
            /// The head waits for a sector, which comes at `deadline`; `never`: nothing turns.
            case searching
            /// Bytes go from or to the host, until `deadline`.
            case host
            /// A `Request` waits for the medium or is with it.
            case medium
        }
        public var step = Step.searching
        public var deadline: UInt64 = 0
        public var c: UInt8 = 0
        public var h: UInt8 = 0
        public var r: UInt8 = 0
        public var n: UInt8 = 0
        public var head: UInt8 = 0
        public var status1: Status1 = []
        public var status2: Status2 = []
        /// The head has moved for it.
        public var hasSought = false
        /// Bytes of the buffer that the host has moved.
        public var position: UInt16 = 0
        /// Sectors that are done.
        public var done: UInt16 = 0
        /// Terminal count, or an overrun: the sector is the last.
        public var isEnding = false
        public init() {}
        static let never = UInt64.max
    }

    /// Takes over a saved state.
    /// - Returns: false, and nothing is changed, where the state is one that the chip cannot be in.
    public mutating func restore(_ saved: State) -> Bool {
        guard saved.units.count == Self.units, saved.buffer.count == Self.sectorSize, saved.specified.count == 2,
            saved.tape < 4, saved.perpendicular < 64, saved.transfer.position <= Self.sectorSize,
            saved.transfer.head < 2, saved.transfer.status1.isSubset(of: .all),
            saved.transfer.status2.isSubset(of: .all), Self.isConsistent(saved)
        else { return false }
        state = saved
        forgetHost()
        return true
    }

    private static func isConsistent(_ saved: State) -> Bool {
        switch saved.phase {
        case .result: return Int(saved.position) < saved.bytes.count && saved.bytes.count <= 10
        case .command:
            guard let first = saved.bytes.first else { return true }
            guard let code = Opcode(byte: first) else { return false }
            return saved.bytes.count < code.length
        case .execution:
            guard let code = saved.bytes.first.flatMap(Opcode.init(byte:)), code.isOnDisk,
                saved.bytes.count == code.length
            else { return false }
            switch saved.transfer.step {
            case .searching: return true
            case .medium: return code != .readID
            case .host:
                let length = code == .formatTrack ? 4 : sectorSize
                return code.movesData && saved.transfer.position < length
            }
        }
    }
}
