/// 8254 programmable interval timer: the chip only, as a PC clocks it (`InputClock`). `SystemControlPortB.swift` is
/// what a PC wires to counters 1 and 2.
///
/// Source: Intel 8254 data sheet (231164). Nothing steps: a counter is computed from time stamps.
///
/// How to drive IRQ 0 from OUT0. The interrupt is OUT0's rising edge (in mode 2 the end of a low pulse of one tick).
/// Keep the last `risingEdges(0, at:)`; at `nextRisingEdge(0, at: now)`, and after every guest write, compare: the
/// difference is the number of interrupts, exact over writes and gate changes, to be delivered singly or coalesced.
/// For each delivered one lower the line and raise it, then leave it at `output(0, at: now)`. Where the line shall show
/// the low halves of modes 0, 1 and 3 too, wake at `nextEvent(0, at: now)` instead.
///
/// Resolution is a tick: a write or a gate change acts on the counts from the next falling edge of CLK on; the half
/// tick between the rising edge, where GATE is sampled, and the falling one is not told apart.
///
/// Where the data sheet is silent: a count of 1 in modes 2 and 3 (illegal) leaves OUT high; BCD digits above 9 weigh
/// as they are; a control word clears what is latched; after it CE shows its old count until it is loaded; a trigger
/// between the two bytes of a count loads the count before; a latch between the two byte reads does not move the
/// flip-flop, so that its high byte is read next.
///
/// Not modelled: the undefined power-up contents. Counter 1 starts as a PC's firmware leaves it (mode 2, count 18:
/// memory refresh), so that a machine without firmware has the refresh toggle; 0 and 2 wait for a control word.
public struct PIT8254: Sendable {
    // MARK: Registers

    /// Control word bits 7:6, the counter that it is for: 3 is the read-back command.
    private static let readBack: UInt8 = 3

    /// Read-back command, bits 7:6 = 11.
    struct ReadBack: OptionSet {
        let rawValue: UInt8
        static let withoutStatus = Self(rawValue: 1 << 4)
        static let withoutCount = Self(rawValue: 1 << 5)
        /// Bits 3:1 name counters 2...0.
        func names(_ channel: Int) -> Bool { rawValue >> 1 & (1 &<< UInt8(truncatingIfNeeded: channel)) != 0 }
    }

    // MARK: State: a snapshot is exactly this, and its defaults are the reset values

    public struct State: Equatable, Sendable {
        public var counter0 = Counter()
        public var counter1 = State.refresh
        public var counter2 = State.speaker
        public init() {}

        /// LSB only, mode 2, binary, count 18, loaded at tick 0.
        private static var refresh: Counter {
            var counter = Counter()
            counter.control = 0x14
            (counter.countRegister, counter.hasCount) = (18, true)
            (counter.period, counter.isLoaded, counter.nullCount) = (18, true, false)
            return counter
        }

        /// GATE2 is bit 0 of port B, which a reset clears.
        private static var speaker: Counter {
            var counter = Counter()
            counter.gate = false
            return counter
        }
    }

    public private(set) var state = State()

    public init() {}

    /// Power-up values. The totals of `risingEdges(_:at:)` start again: take them anew.
    public mutating func reset() { state = State() }

    /// Takes over a saved state. False, and nothing changes, where it is one that no chip can be in.
    public mutating func restore(_ saved: State) -> Bool {
        guard saved.counter0.isPossible, saved.counter1.isPossible, saved.counter2.isPossible else { return false }
        state = saved
        return true
    }

    // MARK: Guest side

    /// A read of A1:A0 = `offset` (bits above do not count). 0...2 are the counters; 3 is no operation, and the bus
    /// floats: FF. Takes a latched status or count, and moves the byte flip-flop.
    public mutating func read(_ offset: UInt8, at now: UInt64) -> UInt8 {
        guard offset & 3 != 3 else { return 0xFF }
        return state[Int(offset & 3)].read(at: InputClock.tick(at: now))
    }

    /// What `read` would answer, without side effect.
    public func peek(_ offset: UInt8, at now: UInt64) -> UInt8 {
        counter(Int(offset & 3))?.peek(at: InputClock.tick(at: now)) ?? 0xFF
    }

    public mutating func write(_ offset: UInt8, _ value: UInt8, at now: UInt64) {
        let tick = InputClock.tick(at: now)
        if offset & 3 == 3 {
            command(value, at: tick)
        } else {
            state[Int(offset & 3)].write(value, at: tick)
        }
    }

    private mutating func command(_ value: UInt8, at tick: UInt64) {
        let selected = value >> 6
        if selected == Self.readBack {
            readBack(ReadBack(rawValue: value), at: tick)
        } else if value & 0x30 == 0 {
            state[Int(selected)].latchCount(at: tick)
        } else {
            state[Int(selected)].program(value, at: tick)
        }
    }

    private mutating func readBack(_ command: ReadBack, at tick: UInt64) {
        for channel in 0..<3 where command.names(channel) {
            if !command.contains(.withoutCount) { state[channel].latchCount(at: tick) }
            if !command.contains(.withoutStatus) { state[channel].latchStatus(at: tick) }
        }
    }

    // MARK: Host side. A channel other than 0...2 is ignored, or answers as said

    /// Drives GATE of `channel`. On a PC 0 and 1 are tied high, as they start here, and port B drives 2.
    public mutating func setGate(_ channel: Int, _ level: Bool, at now: UInt64) {
        guard counter(channel) != nil else { return }
        state[channel].setGate(level, at: InputClock.tick(at: now))
    }

    /// Brings the state to `now`. Never needed, and no answer about `now` or later changes by it.
    public mutating func advance(to now: UInt64) {
        let tick = InputClock.tick(at: now)
        state.counter0.advance(to: tick)
        state.counter1.advance(to: tick)
        state.counter2.advance(to: tick)
    }

    /// The next time after `now` at which OUT of `channel` changes if nobody writes before; nil for never.
    public func nextEvent(_ channel: Int = 0, at now: UInt64) -> UInt64? {
        guard let tick = counter(channel)?.advanced(to: InputClock.tick(at: now)).nextChange else { return nil }
        return InputClock.time(of: tick)
    }

    /// The next time after `now` at which OUT of `channel` rises; nil for never.
    public func nextRisingEdge(_ channel: Int, at now: UInt64) -> UInt64? {
        guard let counter = counter(channel)?.advanced(to: InputClock.tick(at: now)) else { return nil }
        guard let first = counter.nextChange else { return nil }
        if !counter.output { return InputClock.time(of: first) }
        guard let second = counter.advanced(to: first).nextChange else { return nil }
        return InputClock.time(of: second)
    }

    /// Rising edges of OUT from reset to `now`, wrapping; edges that a write or a gate makes at once are among them.
    /// Exact for any `now` not before the last write. 0 for a channel that is not there.
    public func risingEdges(_ channel: Int, at now: UInt64) -> UInt64 {
        counter(channel)?.advanced(to: InputClock.tick(at: now)).risingEdges ?? 0
    }

    /// Rising edges of OUT after `start` and not after `end`: both times not before the last write to the channel
    /// (an earlier one counts as it). 0 where `end` is before `start`.
    public func risingEdges(_ channel: Int, from start: UInt64, to end: UInt64) -> UInt64 {
        guard end > start else { return 0 }
        return risingEdges(channel, at: end) &- risingEdges(channel, at: start)
    }

    // MARK: Pins, derived from the state and never stored

    /// OUT of `channel`; low for one that is not there.
    public func output(_ channel: Int, at now: UInt64) -> Bool {
        counter(channel)?.advanced(to: InputClock.tick(at: now)).output ?? false
    }

    /// GATE of `channel`; low for one that is not there.
    public func gate(_ channel: Int) -> Bool { counter(channel)?.gate ?? false }

    private func counter(_ channel: Int) -> Counter? { 0...2 ~= channel ? state[channel] : nil }
}

extension PIT8254.State {
    /// Counter `channel`; callers have checked that it is 0, 1 or 2.
    fileprivate subscript(channel: Int) -> PIT8254.Counter {
        get {
            switch channel {
            case 0: counter0
            case 1: counter1
            default: counter2
            }
        }
        set {
            switch channel {
            case 0: counter0 = newValue
            case 1: counter1 = newValue
            default: counter2 = newValue
            }
        }
    }
}
