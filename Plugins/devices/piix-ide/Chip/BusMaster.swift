/// One channel's bus master: command, status, descriptor table pointer, and the walk through the table of physical region
/// descriptors in guest memory. It moves no data: it says where in memory the next bytes of a transfer belong.
///
/// Source: "Programming Interface for Bus Master IDE Controller" 1.0; PIIX3 data sheet (290550), 2.6.
///
/// Departures: a table that would cross a 64 KiB boundary, which the specification forbids, ends there with an error.
public struct BusMaster: Sendable {
    // MARK: Registers

    /// BMICX, offset 0.
    public struct Command: OptionSet, Equatable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        public static let start = Self(rawValue: 1 << 0)
        /// The bus master writes memory: the drive is read.
        public static let writesMemory = Self(rawValue: 1 << 3)
        static let all: Self = [.start, .writesMemory]
    }

    /// BMISX, offset 2.
    public struct Status: OptionSet, Equatable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        public static let active = Self(rawValue: 1 << 0)
        public static let error = Self(rawValue: 1 << 1)  // cleared by writing 1
        public static let interrupt = Self(rawValue: 1 << 2)  // cleared by writing 1
        public static let drive0Capable = Self(rawValue: 1 << 5)
        public static let drive1Capable = Self(rawValue: 1 << 6)
        static let writable: Self = [.drive0Capable, .drive1Capable]
        static let clearable: Self = [.error, .interrupt]
        static let all: Self = [.active, .error, .interrupt, .drive0Capable, .drive1Capable]
    }

    // MARK: State: a snapshot is exactly this, and its defaults are the reset values

    public struct State: Equatable, Sendable {
        public var command: Command = []
        public var status: Status = []
        /// BMIDTPX: bits 1:0 are 0.
        public var table: UInt32 = 0
        /// The walk: the next descriptor, what is left of the current region (address and 0...65536 bytes), and whether
        /// that was the table's last.
        public var nextDescriptor: UInt32 = 0
        public var address: UInt32 = 0
        public var left: UInt32 = 0
        public var isLast = false
        /// The drive's INTRQ as it was last seen.
        public var interruptLine = false

        public init() {}
    }

    public private(set) var state = State()

    public init() {}

    /// Takes over a saved state.
    /// - Returns: false, and nothing is changed, where the state is one that the chip cannot be in.
    public mutating func restore(_ saved: State) -> Bool {
        guard saved.command.isSubset(of: .all), saved.status.isSubset(of: .all), saved.table & 3 == 0,
            saved.nextDescriptor & 3 == 0, saved.left <= 0x1_0000,
            !saved.status.contains(.active) || saved.command.contains(.start)
        else { return false }
        state = saved
        return true
    }

    // MARK: Guest side

    /// Up to 4 of the 8 bytes. Has no side effect.
    public func read(_ offset: UInt32, width: UInt32) -> UInt32 {
        guard offset < 8 else { return .max }
        var value: UInt32 = 0
        for i in 0..<min(width, 4) { value |= UInt32(byte(offset &+ i)) &<< (i &* 8) }
        return value
    }

    private func byte(_ offset: UInt32) -> UInt8 {
        switch offset {
        case 0: state.command.rawValue
        case 2: state.status.rawValue
        case 4...7: UInt8(truncatingIfNeeded: state.table &>> ((offset & 3) &* 8))
        default: 0
        }
    }

    /// What a write orders.
    public enum Order: Equatable, Sendable {
        /// The transfer may begin: `gather` says where its bytes go.
        case start
        /// A transfer in progress is given up; what the drive has done is lost.
        case stop
    }

    /// Up to 4 of the 8 bytes.
    public mutating func write(_ offset: UInt32, width: UInt32, _ value: UInt32) -> Order? {
        guard offset < 8 else { return nil }
        var order: Order?
        for i in 0..<min(width, 4) where offset &+ i < 8 {
            let byte = UInt8(truncatingIfNeeded: value &>> (i &* 8))
            switch offset &+ i {
            case 0: order = writeCommand(Command(rawValue: byte).intersection(.all))
            case 2: writeStatus(Status(rawValue: byte))
            case 4...7: writeTable(byte, shift: (offset &+ i & 3) &* 8)
            default: break
            }
        }
        return order
    }

    /// The direction stays while a transfer is in progress.
    private mutating func writeCommand(_ value: Command) -> Order? {
        let started = state.command.contains(.start)
        let wasActive = state.status.contains(.active)
        let direction = wasActive ? state.command.intersection(.writesMemory) : value.intersection(.writesMemory)
        state.command = value.intersection(.start).union(direction)
        if value.contains(.start), !started {
            state.status.insert(.active)
            (state.nextDescriptor, state.address, state.left, state.isLast) = (state.table, 0, 0, false)
            return .start
        }
        guard !value.contains(.start), started else { return nil }
        state.status.remove(.active)
        return wasActive ? .stop : nil
    }

    private mutating func writeStatus(_ value: Status) {
        state.status.subtract(value.intersection(.clearable))
        state.status = state.status.subtracting(.writable).union(value.intersection(.writable))
    }

    private mutating func writeTable(_ byte: UInt8, shift: UInt32) {
        state.table = (state.table & ~(0xFF &<< shift) | UInt32(byte) &<< shift) & ~0b11
    }

    // MARK: Host side

    public var isActive: Bool { state.status.contains(.active) }
    public var writesMemory: Bool { state.command.contains(.writesMemory) }

    /// A piece of guest memory.
    public struct Extent: Equatable, Sendable {
        public var address: UInt32
        /// 1...65536 bytes; the piece may not reach beyond 4 GiB.
        public var length: UInt32
    }

    /// What a walk found.
    public struct Gathered: Equatable, Sendable {
        public var extents: [Extent] = []
        /// The sum of their lengths: fewer than were asked for where the table ended, failed, or has more than
        /// the number of pieces that was asked for.
        public var bytes: UInt32 = 0
        /// Why the walk ended early, if by the table.
        public var end: End?

        public enum End: Equatable, Sendable {
            /// The table's last descriptor is used up.
            case table
            /// A descriptor could not be read or is outside of what the specification allows. `error` is set.
            case failed
        }
    }

    /// Goes on in the table by at most `bytes`.
    /// - Parameters:
    ///   - pieces: the most extents that are wanted; held to 1...8192.
    ///   - fetch: reads the 8 bytes of a descriptor at a physical address, little-endian; nil: there is no memory, or the
    ///     function is no bus master.
    public mutating func gather(
        _ bytes: UInt32, pieces: Int = 1024, fetch: (UInt32) -> UInt64?
    ) -> Gathered {
        var found = Gathered()
        guard isActive else { return found }
        let most = min(max(pieces, 1), 8192)
        while found.bytes < bytes, found.extents.count < most {
            if state.left == 0 {
                if state.isLast { found.end = .table } else if !nextRegion(fetch) { found.end = .failed }
                if found.end != nil { break }
            }
            let length = min(state.left, bytes &- found.bytes)
            append(Extent(address: state.address, length: length), to: &found.extents)
            found.bytes &+= length
            state.address &+= length
            state.left &-= length
        }
        if found.end != nil { state.status.remove(.active) }
        return found
    }

    /// Neighbours become one piece, up to 64 KiB.
    private func append(_ extent: Extent, to extents: inout [Extent]) {
        if let last = extents.last, last.address &+ last.length == extent.address, extent.address != 0,
            last.length &+ extent.length <= 0x1_0000
        {
            extents[extents.count - 1].length = last.length &+ extent.length
        } else {
            extents.append(extent)
        }
    }

    /// Takes the next descriptor: bits 31:0 address, 47:32 bytes (0: 65536), 63 the last.
    private mutating func nextRegion(_ fetch: (UInt32) -> UInt64?) -> Bool {
        let place = state.nextDescriptor
        let crosses = place / 0x1_0000 != state.table / 0x1_0000 || place & 0xFFFF > 0xFFF8
        guard !crosses, let descriptor = fetch(place) else { return fail() }
        let address = UInt32(truncatingIfNeeded: descriptor) & ~1
        let count = UInt32(truncatingIfNeeded: descriptor >> 32) & 0xFFFE
        let length = count == 0 ? 0x1_0000 : count
        guard address <= 0 &- length else { return fail() }  // not beyond 4 GiB
        state.nextDescriptor = place &+ 8
        (state.address, state.left, state.isLast) = (address, length, descriptor >> 63 != 0)
        return true
    }

    private mutating func fail() -> Bool {
        state.status.insert(.error)
        return false
    }

    /// The drive has moved all that its command asked for. The bus master stays active where the table has more.
    public mutating func driveFinished() {
        if state.isLast && state.left == 0 { state.status.remove(.active) }
    }

    /// A transfer's memory could not be read or written.
    public mutating func memoryFailed() {
        state.status.insert(.error)
        state.status.remove(.active)
    }

    /// The drive's INTRQ; a rise is recorded. Give it after the data is in memory.
    public mutating func setInterruptLine(_ level: Bool) {
        if level && !state.interruptLine { state.status.insert(.interrupt) }
        state.interruptLine = level
    }
}
