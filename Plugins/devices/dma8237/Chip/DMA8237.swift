/// One 8237A: addresses, counts and modes of four channels. It moves nothing: it says which units of memory come next, and counts them.
///
/// Source: Intel 8237A data sheet (231466). Comments name its sections.
///
/// Departures: a software request, which a channel in block mode serves, runs to its terminal count at once, and nothing is moved: no device
/// has the data bus.
///
/// Not modelled: memory-to-memory transfers (the command bit is kept, the temporary register stays 0), priorities, timing and the
/// polarities of DREQ and DACK: channels do not wait for each other.
public struct DMA8237: Sendable {
    // MARK: Registers

    public struct Command: OptionSet, Equatable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        static let disabled = Self(rawValue: 1 << 2)
    }

    /// Bits 7:2 of a mode register; bits 1:0 choose the channel and are 0 here.
    public struct Mode: RawRepresentable, Equatable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue & 0xFC }

        /// Bits 3:2.
        public enum Transfer: UInt8, Sendable { case verify, write, read, illegal }
        public var transfer: Transfer { Transfer(rawValue: rawValue >> 2 & 3) ?? .illegal }
        public var autoinitializes: Bool { rawValue & 0x10 != 0 }
        public var decrements: Bool { rawValue & 0x20 != 0 }
        var isBlock: Bool { rawValue & 0xC0 == 0x80 }
        public var isCascade: Bool { rawValue & 0xC0 == 0xC0 }
    }

    // MARK: State: a snapshot is exactly this, and its defaults are the values after RESET

    public struct Channel: Equatable, Sendable {
        public var mode = Mode(rawValue: 0)
        public var baseAddress: UInt16 = 0
        /// One less than the units of a transfer.
        public var baseCount: UInt16 = 0
        public var address: UInt16 = 0
        public var count: UInt16 = 0
        public init() {}
    }

    public struct State: Equatable, Sendable {
        public var channels = [Channel](repeating: Channel(), count: 4)
        public var command: Command = []
        /// Bit n: channel n is masked.
        public var mask: UInt8 = 0xF
        /// Bit n: a software request of channel n.
        public var requests: UInt8 = 0
        /// Bit n: channel n has reached terminal count since the last read of the status.
        public var terminalCounts: UInt8 = 0
        /// The byte pointer: the next byte of a word is the high one.
        public var isHighByteNext = false
        public init() {}
    }

    public private(set) var state = State()

    /// Host side: bit n is DREQ of channel n. Not state: devices drive it.
    public var dreq: UInt8 = 0

    public init() {}

    /// Takes over a saved state.
    /// - Returns: false, and nothing is changed, where the state is one that the chip cannot be in.
    public mutating func restore(_ saved: State) -> Bool {
        guard saved.channels.count == 4, saved.mask < 16, saved.requests < 16, saved.terminalCounts < 16 else {
            return false
        }
        state = saved
        return true
    }

    /// RESET: as Master Clear. Addresses, counts and modes are undefined then, and 0 here.
    public mutating func reset() { state = State() }

    // MARK: Guest side

    /// Of the 16 registers.
    public mutating func read(_ register: UInt8) -> UInt8 {
        let value = peek(register)
        if register < 8 { state.isHighByteNext.toggle() }
        if register == 8 { state.terminalCounts = 0 }
        return value
    }

    /// The same without side effects.
    public func peek(_ register: UInt8) -> UInt8 {
        switch register {
        case 0..<8:
            let channel = state.channels[Int(register >> 1)]
            let word = register & 1 == 0 ? channel.address : channel.count
            return UInt8(truncatingIfNeeded: state.isHighByteNext ? word >> 8 : word)
        case 8: return dreq << 4 | state.terminalCounts
        case 0xD: return 0
        case 0xF: return state.mask  // as PIIX3 has it (290550, 2.5.1)
        default: return 0xFF
        }
    }

    public mutating func write(_ register: UInt8, _ value: UInt8) {
        let bit = UInt8(1) << (value & 3)
        switch register {
        case 0..<8: writeWord(register, value)
        case 8: state.command = Command(rawValue: value)
        case 9: if value & 4 != 0 { state.requests |= bit } else { state.requests &= ~bit }
        case 0xA: if value & 4 != 0 { state.mask |= bit } else { state.mask &= ~bit }
        case 0xB: state.channels[Int(value & 3)].mode = Mode(rawValue: value)
        case 0xC: state.isHighByteNext = false
        case 0xD: masterClear()
        case 0xE: state.mask = 0
        case 0xF: state.mask = value & 0xF
        default: break
        }
        serveSoftwareRequests()
    }

    /// The base and the current register are written together.
    private mutating func writeWord(_ register: UInt8, _ value: UInt8) {
        let isHigh = state.isHighByteNext
        state.isHighByteNext.toggle()
        func set(_ word: inout UInt16) {
            word = isHigh ? word & 0x00FF | UInt16(value) << 8 : word & 0xFF00 | UInt16(value)
        }
        let index = Int(register >> 1)
        if register & 1 == 0 {
            set(&state.channels[index].baseAddress)
            set(&state.channels[index].address)
        } else {
            set(&state.channels[index].baseCount)
            set(&state.channels[index].count)
        }
    }

    private mutating func masterClear() {
        state.command = []
        (state.mask, state.requests, state.terminalCounts, state.isHighByteNext) = (0xF, 0, 0, false)
    }

    private mutating func serveSoftwareRequests() {
        guard state.requests != 0, !state.command.contains(.disabled) else { return }
        for index in 0..<4 where state.requests &>> UInt8(index) & 1 != 0 && state.channels[index].mode.isBlock {
            _ = advance(index, by: unitsLeft(index))
        }
    }

    // MARK: Host side

    /// The channel answers DREQ (0...3): the chip is enabled, the channel is not masked.
    public func answers(_ channel: Int) -> Bool {
        !state.command.contains(.disabled) && state.mask &>> UInt8(channel & 3) & 1 == 0
    }

    public func mode(_ channel: Int) -> Mode { state.channels[channel & 3].mode }

    /// To terminal count: 1...65536.
    public func unitsLeft(_ channel: Int) -> Int { Int(state.channels[channel & 3].count) + 1 }

    /// Neighbouring units of a transfer.
    public struct Run: Equatable, Sendable {
        /// Of the first unit.
        public var address: UInt16
        public var units: Int
        /// The second unit is below the first.
        public var descends: Bool
    }

    /// Where the channel's next units are, in their order: at most two runs, since the address wraps at 65536 units.
    /// - Parameter units: 0...65536.
    public func runs(_ channel: Int, units: Int) -> [Run] {
        let (first, descends) = (state.channels[channel & 3].address, mode(channel).decrements)
        let room = descends ? Int(first) + 1 : 0x1_0000 - Int(first)
        let parts = [(first, min(units, room)), (descends ? 0xFFFF : 0, units - min(units, room))]
        return parts.filter { $0.1 > 0 }.map { Run(address: $0.0, units: $0.1, descends: descends) }
    }

    /// Units have been moved.
    /// - Parameter units: 0...`unitsLeft`.
    /// - Returns: whether this was terminal count. The channel is masked then, or starts anew where it autoinitializes.
    public mutating func advance(_ index: Int, by units: Int) -> Bool {
        let index = index & 3
        let isEnd = units >= unitsLeft(index)
        let step = UInt16(truncatingIfNeeded: units)
        var channel = state.channels[index]
        channel.address = channel.mode.decrements ? channel.address &- step : channel.address &+ step
        channel.count = channel.count &- step
        if isEnd {
            let bit = UInt8(1) << UInt8(index)
            state.terminalCounts |= bit
            state.requests &= ~bit
            if channel.mode.autoinitializes {
                (channel.address, channel.count) = (channel.baseAddress, channel.baseCount)
            } else {
                state.mask |= bit
            }
        }
        state.channels[index] = channel
        return isEnd
    }
}
