/// The two 8237A of a PC/AT with their page registers. The first has channels 0 to 3 of bytes, and asks for the bus by channel 4 of the
/// second; that has channels 5 to 7 of words.
///
/// Sources: Intel 8237A data sheet (231466); IBM Personal Computer AT Technical Reference (1502494), "DMA"; PIIX3 (290550), 2.5.1.
///
/// Not modelled: addresses above 16 MiB.
public struct DMAPair: Sendable {
    // MARK: State: a snapshot is exactly this

    public struct State: Equatable, Sendable {
        public var first = DMA8237.State()
        public var second = DMA8237.State()
        /// Ports 0x80 to 0x8F. A channel has one of them, or none; the rest are memory.
        public var pages = [UInt8](repeating: 0, count: 16)
        public init() {}
    }

    private var first = DMA8237()
    private var second = DMA8237()
    private var pages = [UInt8](repeating: 0, count: 16)
    /// Channel 4 cascades after reset, and is open.
    private let cascades: Bool

    /// - Parameter cascades: what firmware sets up elsewhere.
    public init(cascades: Bool = false) {
        self.cascades = cascades
        setUp()
    }

    private mutating func setUp() {
        guard cascades else { return }
        second.write(0xB, 0xC0)
        second.write(0xA, 0x00)
    }

    public var state: State {
        var state = State()
        (state.first, state.second, state.pages) = (first.state, second.state, pages)
        return state
    }

    /// Takes over a saved state.
    /// - Returns: false, and nothing is changed, where the state is one that the chips cannot be in.
    public mutating func restore(_ saved: State) -> Bool {
        var copy = self
        guard saved.pages.count == 16, copy.first.restore(saved.first), copy.second.restore(saved.second) else {
            return false
        }
        copy.pages = saved.pages
        self = copy
        return true
    }

    /// RESET. Page registers have no such pin; after power-on (`isCold`) they are 0.
    public mutating func reset(isCold: Bool) {
        if isCold { pages = [UInt8](repeating: 0, count: 16) }
        first.reset()
        second.reset()
        setUp()
    }

    // MARK: Guest side

    /// A port of the first chip (0x00 to 0x0F), of the second (0xC0 to 0xDF, each register at two) or of the pages (0x80 to 0x8F).
    public mutating func read(port: UInt16) -> UInt8 {
        switch port {
        case 0x00...0x0F: first.read(UInt8(port))
        case 0xC0...0xDF: second.read(UInt8((port - 0xC0) >> 1))
        default: peek(port: port)
        }
    }

    /// The same without side effects.
    public func peek(port: UInt16) -> UInt8 {
        switch port {
        case 0x00...0x0F: first.peek(UInt8(port))
        case 0xC0...0xDF: second.peek(UInt8((port - 0xC0) >> 1))
        case 0x80...0x8F: pages[Int(port - 0x80)]
        default: 0xFF
        }
    }

    public mutating func write(port: UInt16, _ value: UInt8) {
        switch port {
        case 0x00...0x0F: first.write(UInt8(port), value)
        case 0xC0...0xDF: second.write(UInt8((port - 0xC0) >> 1), value)
        case 0x80...0x8F: pages[Int(port - 0x80)] = value
        default: break
        }
    }

    // MARK: Host side

    public static let channels = 8
    /// Page registers of channels 0 to 7; of 4 it is that of refresh, and leads nowhere.
    private static let pagePorts: [Int] = [0x7, 0x3, 0x1, 0x2, 0xF, 0xB, 0x9, 0xA]

    /// Bytes of a unit of the channel: 1 or 2.
    public static func unit(_ channel: Int) -> Int { channel < 4 ? 1 : 2 }

    private func chip(_ channel: Int) -> DMA8237 { channel < 4 ? first : second }

    /// DREQ of a channel 0...7.
    public mutating func setRequest(_ channel: Int, _ level: Bool) {
        guard (0..<Self.channels).contains(channel) else { return }
        let bit = UInt8(1) << UInt8(channel & 3)
        if channel < 4 {
            if level { first.dreq |= bit } else { first.dreq &= ~bit }
        } else {
            if level { second.dreq |= bit } else { second.dreq &= ~bit }
        }
    }

    /// The channel is programmed for a device that asks in this direction, and gets the bus. A verify transfer is of both directions.
    public func answers(_ channel: Int, toMemory: Bool) -> Bool {
        guard (0..<Self.channels).contains(channel), channel != 4 else { return false }
        let (chip, index) = (chip(channel), channel & 3)
        guard chip.answers(index), !chip.mode(index).isCascade else { return false }
        guard channel > 4 || second.answers(0) && second.mode(0).isCascade else { return false }
        switch chip.mode(index).transfer {
        case .verify: return true
        case .write: return toMemory
        case .read: return !toMemory
        case .illegal: return false
        }
    }

    /// A piece of memory that a transfer goes through.
    public struct Piece: Equatable, Sendable {
        /// Of the first unit; below 16 MiB.
        public var address: UInt32
        public var bytes: Int
        /// The second unit is below the first; within a unit bytes ascend.
        public var descends: Bool
    }

    /// What a transfer did.
    public struct Movement: Equatable, Sendable {
        /// In their order; none for a verify transfer, which counts and moves nothing.
        public var pieces: [Piece] = []
        public var bytes = 0
        public var isTerminalCount = false
        public init() {}
    }

    /// Moves on by up to `bytes`, to terminal count at most. Of words an odd byte at the end counts as one.
    public mutating func move(_ channel: Int, bytes: Int) -> Movement {
        guard (0..<Self.channels).contains(channel), bytes > 0 else { return Movement() }
        let (index, unit) = (channel & 3, Self.unit(channel))
        let units = min((bytes + unit - 1) / unit, chip(channel).unitsLeft(index))
        var movement = Movement()
        movement.bytes = min(bytes, units * unit)
        if chip(channel).mode(index).transfer != .verify {
            var left = movement.bytes
            for run in chip(channel).runs(index, units: units) {
                let bytes = min(left, run.units * unit)
                movement.pieces.append(
                    Piece(address: address(channel, run.address), bytes: bytes, descends: run.descends))
                left -= bytes
            }
        }
        movement.isTerminalCount =
            channel < 4 ? first.advance(index, by: units) : second.advance(index, by: units)
        return movement
    }

    /// A channel of words has A16:1 from the chip, and A23:17 from its page.
    private func address(_ channel: Int, _ unit: UInt16) -> UInt32 {
        let page = UInt32(pages[Self.pagePorts[channel]])
        return channel < 4 ? page << 16 | UInt32(unit) : (page & 0xFE) << 16 | UInt32(unit) << 1
    }
}
