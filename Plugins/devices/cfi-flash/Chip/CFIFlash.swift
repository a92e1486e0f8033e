/// A NOR flash on a bus of one byte, with Intel's command set (algorithm 0001H): its commands, status register, identifier and CFI table. What it
/// holds is the caller's.
/// Source: JESD68.01 (the table); data sheet of Intel's 28F640J3, section 9 and following. Not modelled: time, suspending, the one-time-programmable
/// register, and locks of blocks, which are taken and hold nothing. Clearing leaves the status register 0, as QEMU's flash has it: OVMF tells by that
/// that there is one.
public struct CFIFlash: Sendable {
    public enum Mode: UInt8, CaseIterable, Sendable {
        /// Reads give what the flash holds.
        case array
        case status, identifier, table
        /// The next write is: the byte, the confirmation, a count, a byte of the buffer, the confirmation, a lock's.
        case program, erase, count, buffer, confirm, lock
    }

    public struct State: Equatable, Sendable {
        public var mode = Mode.array
        public var status = CFIFlash.ready
        /// Of the first byte that the buffer holds; its bytes, and how many are to come.
        public var start: UInt64 = 0
        public var bytes: [UInt8] = []
        public var left = 0

        public init() {}
    }

    /// What a write asks for.
    public enum Change: Equatable, Sendable {
        case nothing
        /// Bits become 0 where those of the bytes are; none becomes 1.
        case program(UInt64, [UInt8])
        /// A block is all ones.
        case erase(UInt64)
    }

    static let ready: UInt8 = 0x80
    private static let eraseError: UInt8 = 0x20, programError: UInt8 = 0x10, locked: UInt8 = 0x02
    /// Of the buffer, in bytes.
    static let bufferSize: UInt64 = 32

    public private(set) var state = State()
    /// Both in bytes; `blockSize` is a power of two, and `size` a multiple of it.
    public let size: UInt64
    public let blockSize: UInt64
    private let isWritable: Bool

    public init(size: UInt64, blockSize: UInt64, isWritable: Bool) {
        (self.size, self.blockSize, self.isWritable) = (size, blockSize, isWritable)
    }

    public mutating func reset() { state = State() }

    /// false: no flash can be so, and nothing is changed.
    public mutating func restore(_ state: State) -> Bool {
        let most = Int(CFIFlash.bufferSize)
        let lefts = state.mode == .buffer ? 1...most : 0...0
        guard lefts.contains(state.left), state.bytes.count <= most - state.left, state.start <= size,
            size - state.start >= UInt64(state.bytes.count + state.left)
        else { return false }
        self.state = state
        return true
    }

    public var readsArray: Bool { state.mode == .array }

    // MARK: The bus

    /// `array`: what the flash holds there.
    public func read(_ offset: UInt64, array: UInt8) -> UInt8 {
        switch state.mode {
        case .array: array
        case .identifier: identifier(offset & 0xff)
        case .table: table(offset & 0xff)
        default: state.status
        }
    }

    /// Intel, 28F640J3; no block is locked.
    private func identifier(_ offset: UInt64) -> UInt8 { offset == 0 ? 0x89 : offset == 1 ? 0x17 : 0 }

    public mutating func write(_ offset: UInt64, _ value: UInt8) -> Change {
        switch state.mode {
        case .array, .status, .identifier, .table: command(value)
        case .program: return end(.program(offset, [value]), CFIFlash.programError)
        case .erase:
            guard value == 0xd0 else { return refuse() }
            return end(.erase(offset & ~(blockSize - 1)), CFIFlash.eraseError)
        case .count:
            guard UInt64(value) < CFIFlash.bufferSize else { return refuse() }
            (state.mode, state.left, state.bytes) = (.buffer, Int(value) + 1, [])
        case .buffer: return fill(offset, value)
        case .confirm:
            let (start, bytes) = (state.start, state.bytes)
            state.bytes = []
            guard value == 0xd0 else { return refuse() }
            return end(.program(start, bytes), CFIFlash.programError)
        case .lock:
            guard [0x01, 0xd0, 0x2f].contains(value) else { return refuse() }
            (state.mode, state.status) = (.status, CFIFlash.ready)
        }
        return .nothing
    }

    private mutating func command(_ value: UInt8) {
        switch value {
        case 0x70: state.mode = .status
        case 0x50: (state.mode, state.status) = (.array, 0)
        case 0x90: state.mode = .identifier
        case 0x98: state.mode = .table
        case 0x10, 0x40: state.mode = .program
        case 0x20: state.mode = .erase
        case 0xe8: (state.mode, state.status) = (.count, CFIFlash.ready)
        case 0x60: state.mode = .lock
        default: state.mode = .array
        }
    }

    /// Bytes of one buffer follow each other.
    private mutating func fill(_ offset: UInt64, _ value: UInt8) -> Change {
        if state.bytes.isEmpty {
            guard size - min(size, offset) >= UInt64(state.left) else { return refuse() }
            state.start = offset
        }
        guard offset == state.start + UInt64(state.bytes.count) else { return refuse() }
        state.bytes.append(value)
        state.left -= 1
        if state.left == 0 { state.mode = .confirm }
        return .nothing
    }

    private mutating func end(_ change: Change, _ error: UInt8) -> Change {
        (state.mode, state.status) = (.status, CFIFlash.ready)
        if isWritable { return change }
        state.status |= error | CFIFlash.locked
        return .nothing
    }

    /// A sequence of commands that there is not.
    private mutating func refuse() -> Change {
        (state.bytes, state.left) = ([], 0)
        (state.mode, state.status) = (.status, CFIFlash.ready | CFIFlash.eraseError | CFIFlash.programError)
        return .nothing
    }

    /// What the last write has asked for could not be kept.
    public mutating func fail(erasing: Bool) {
        state.status |= erasing ? CFIFlash.eraseError : CFIFlash.programError
    }

    // MARK: The table

    /// JESD68.01, table 1 to 4: 2.7 to 3.6 V, times of a real one, its size as a power of two (rounded up), one kind of blocks.
    private func table(_ offset: UInt64) -> UInt8 {
        let blocks = size / blockSize - 1
        let power = UInt8(UInt64.bitWidth - (size - 1).leadingZeroBitCount)
        let bytes: [UInt8] =
            [0x51, 0x52, 0x59, 0x01, 0x00, 0x31, 0x00, 0x00, 0x00, 0x00, 0x00]  // 10H: "QRY", 0001H, its own at 31H
            + [0x27, 0x36, 0x00, 0x00, 0x07, 0x07, 0x0a, 0x00, 0x04, 0x04, 0x04, 0x00]  // 1BH
            + [power, 0x00, 0x00, 0x05, 0x00, 0x01]  // 27H: size, x8, a buffer of 2^5 bytes, one kind
            + [byte(blocks), byte(blocks >> 8), byte(blockSize >> 8), byte(blockSize >> 16)]  // 2DH
            + [0x50, 0x52, 0x49, 0x31, 0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]  // 31H: "PRI", version 1.0, nothing optional
        guard offset >= 0x10, offset - 0x10 < UInt64(bytes.count) else { return 0 }
        return bytes[Int(offset - 0x10)]
    }

    private func byte(_ value: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: value) }
}
