extension PIT8254 {
    /// One of the three counters, in ticks of its CLK. What it holds was true at tick `since`; everything later
    /// follows from it by arithmetic, because no mode needs more than the place in the count to know its output.
    ///
    /// The data sheet's names: CR is `countRegister`, CE follows from `period` and `elapsed`, OL is `latchedCount`.
    public struct Counter: Equatable, Sendable {
        // MARK: Registers

        /// Control word bits 3:1. 6 and 7 are 2 and 3.
        public enum Mode: UInt8, Sendable {
            case interruptOnTerminalCount, oneShot, rateGenerator, squareWave, softwareStrobe, hardwareStrobe
        }

        /// Control word bits 5:4. 0 is the latch command and never kept.
        public enum Access: UInt8, Sendable { case low = 1, high = 2, lowThenHigh = 3 }

        // MARK: State: a snapshot is exactly this, and its defaults are the reset values

        /// Bits 5:0 of the control word as it was written, which the read-back status shows.
        public var control: UInt8 = 0x30
        /// CR: the last count that was written completely.
        public var countRegister: UInt16 = 0
        /// Whether a count was written since the control word: without one nothing is loaded.
        public var hasCount = false
        /// The first byte of a count of two, while `awaitsHighWrite`.
        public var firstByte: UInt8 = 0
        public var awaitsHighWrite = false
        public var awaitsHighRead = false
        public var latchedCount: UInt16?
        public var latchedStatus: UInt8?
        public var gate = true
        /// CR holds what CE has not got yet; also set by a control word.
        public var nullCount = true
        /// A write or a trigger loads CE at tick `since` + 1.
        public var loadsNextTick = false
        /// CE was loaded since the control word.
        public var isLoaded = false
        /// Modes 4 and 5: the strobe is over although the count still stands at zero (the gate stopped it there).
        public var strobeEnded = false
        /// The count in CE's sequence, 1...65536 (10000 in BCD); 0 only while nothing is loaded.
        public var period: UInt32 = 0
        /// Ticks counted since the load. Modes 2 and 3 keep it below `period`: the place in the cycle, which in
        /// mode 3 starts with the high half.
        public var elapsed: UInt64 = 0
        public var since: UInt64 = 0
        /// What CE shows while nothing is loaded: where the control word stopped it.
        public var idleCount: UInt16 = 0
        /// Rising edges of OUT until `since`, wrapping.
        public var risingEdges: UInt64 = 0

        public init() {}

        /// Whether a counter can be in this state. The bounds also keep all sums below 64 bits.
        var isPossible: Bool {
            guard control & 0xC0 == 0, control & 0x30 != 0, since <= InputClock.lastTick else { return false }
            guard !awaitsHighWrite && !awaitsHighRead || access == .lowThenHigh else { return false }
            guard hasCount || (!loadsNextTick && !isLoaded) else { return false }
            guard isLoaded else { return period == 0 && elapsed == 0 && !strobeEnded }
            guard period >= 1, period <= modulus, elapsed <= since &+ 65_536 else { return false }
            return isPeriodic ? elapsed < length : true
        }

        // MARK: Guest side

        mutating func program(_ control: UInt8, at tick: UInt64) {
            let before = output(advancingTo: tick)
            var fresh = Counter()
            fresh.control = control & 0x3F
            fresh.idleCount = count
            (fresh.gate, fresh.since, fresh.risingEdges) = (gate, since, risingEdges)
            self = fresh
            noteEdge(from: before)
        }

        mutating func write(_ byte: UInt8, at tick: UInt64) {
            let before = output(advancingTo: tick)
            switch access {
            case .low: accept(UInt16(byte))
            case .high: accept(UInt16(byte) << 8)
            case .lowThenHigh where awaitsHighWrite:
                awaitsHighWrite = false
                accept(UInt16(byte) << 8 | UInt16(firstByte))
            case .lowThenHigh:
                firstByte = byte
                awaitsHighWrite = true
            }
            noteEdge(from: before)
        }

        /// A complete count. Modes 0 and 4 load it at the next tick; 2 and 3 do so only if they do not count yet,
        /// and else at the end of the cycle; 1 and 5 wait for a trigger.
        private mutating func accept(_ count: UInt16) {
            countRegister = count
            hasCount = true
            nullCount = true
            switch mode {
            case .interruptOnTerminalCount, .softwareStrobe: loadsNextTick = true
            case .rateGenerator, .squareWave: loadsNextTick = loadsNextTick || !isLoaded
            case .oneShot, .hardwareStrobe: break
            }
        }

        mutating func read(at tick: UInt64) -> UInt8 {
            let value = peek(at: tick)
            if latchedStatus != nil {
                latchedStatus = nil
                return value
            }
            if access == .lowThenHigh { awaitsHighRead.toggle() }
            if !awaitsHighRead { latchedCount = nil }
            return value
        }

        func peek(at tick: UInt64) -> UInt8 {
            if let latchedStatus { return latchedStatus }
            let count = latchedCount ?? advanced(to: tick).count
            let isHigh = access == .high || awaitsHighRead
            return UInt8(truncatingIfNeeded: isHigh ? count >> 8 : count)
        }

        /// A second latch before the first was read is ignored.
        mutating func latchCount(at tick: UInt64) {
            if latchedCount == nil { latchedCount = advanced(to: tick).count }
        }

        mutating func latchStatus(at tick: UInt64) {
            if latchedStatus == nil { latchedStatus = advanced(to: tick).status }
        }

        // MARK: Host side

        /// A rising edge is a trigger in modes 1, 2, 3 and 5, once there is a count.
        mutating func setGate(_ level: Bool, at tick: UInt64) {
            guard level != gate else { return }
            let before = output(advancingTo: tick)
            gate = level
            if level && hasCount && isTriggered { loadsNextTick = true }
            noteEdge(from: before)
        }

        func advanced(to tick: UInt64) -> Counter {
            var counter = self
            counter.advance(to: tick)
            return counter
        }

        /// Brings the state to `tick`; a tick before `since` changes nothing. A load clears what could cause another
        /// one, so that there is at most one on the way.
        mutating func advance(to tick: UInt64) {
            if let load = nextLoad, load.tick <= tick { perform(load) }
            glide(to: tick)
        }

        /// The first tick after `since` at which OUT changes, as far as it is known now.
        var nextChange: UInt64? {
            guard let load = nextLoad else { return nextChangeWithoutLoad }
            if let change = nextChangeWithoutLoad, change < load.tick { return change }
            var loaded = self
            loaded.perform(load)
            return loaded.output == output ? loaded.nextChangeWithoutLoad : load.tick
        }

        // MARK: Pins, derived from the state and never stored

        /// OUT at tick `since`. Before the first load it is what the control word makes it.
        var output: Bool {
            switch mode {
            case .interruptOnTerminalCount:
                isLoaded && !loadsNextTick && !awaitsHighWrite && elapsed >= length
            case .oneShot: !(isLoaded && elapsed < length)
            // A count of 1 is illegal in modes 2 and 3. OUT then stays high: no edge at all.
            case .rateGenerator: !isCycling || elapsed != length &- 1
            case .squareWave: !isCycling || elapsed < highTicks
            case .softwareStrobe, .hardwareStrobe: !isStrobing
            }
        }

        /// CE at tick `since`, as a read shows it.
        var count: UInt16 {
            guard isLoaded else { return idleCount }
            let modulus = UInt64(modulus)
            let value: UInt64
            switch mode {
            case .rateGenerator: value = length &- elapsed
            case .squareWave:
                let place = elapsed < highTicks ? elapsed : elapsed &- highTicks
                value = (length & ~1) &- 2 &* place
            case .interruptOnTerminalCount, .oneShot, .softwareStrobe, .hardwareStrobe:
                value = length &+ modulus &- elapsed % modulus
            }
            let shown = UInt16(truncatingIfNeeded: value % modulus)
            return isDecimal ? Self.decimal(shown) : shown
        }

        /// Status byte of the read-back command.
        var status: UInt8 { (output ? 0x80 : 0) | (nullCount ? 0x40 : 0) | control }
    }
}

// MARK: - What the control word says

extension PIT8254.Counter {
    public var mode: Mode {
        let code = control >> 1 & 0b111
        return Mode(rawValue: code > 5 ? code & 0b011 : code) ?? .interruptOnTerminalCount
    }

    public var access: Access { Access(rawValue: control >> 4 & 0b11) ?? .lowThenHigh }

    public var isDecimal: Bool { control & 1 != 0 }

    private var modulus: UInt32 { isDecimal ? 10_000 : 65_536 }

    private var isPeriodic: Bool { mode == .rateGenerator || mode == .squareWave }

    private var isStrobe: Bool { mode == .softwareStrobe || mode == .hardwareStrobe }

    /// Whether a rising GATE loads the count.
    private var isTriggered: Bool { mode != .interruptOnTerminalCount && mode != .softwareStrobe }

    /// The count in CR, where 0 is the largest. BCD digits above 9 have no defined meaning: they weigh as they are.
    private var registerValue: UInt32 {
        var value = UInt32(countRegister)
        if isDecimal {
            value = (value >> 12) &* 1000 &+ (value >> 8 & 15) &* 100 &+ (value >> 4 & 15) &* 10 &+ (value & 15)
            value %= 10_000
        }
        return value == 0 ? modulus : value
    }

    private static func decimal(_ value: UInt16) -> UInt16 {
        (value / 1000) << 12 | (value / 100 % 10) << 8 | (value / 10 % 10) << 4 | value % 10
    }
}

// MARK: - Counting

extension PIT8254.Counter {
    /// A transfer from CR to CE. `startsLow`: in mode 3, at the end of a high half.
    private struct Load {
        var tick: UInt64
        var startsLow = false
    }

    private var length: UInt64 { UInt64(period) }

    /// Mode 3: an odd count is one tick longer high than low.
    private var highTicks: UInt64 { (length &+ 1) / 2 }

    /// Whether CLK counts. GATE is sampled once a tick; modes 1 and 5 do not look at its level.
    private var isCounting: Bool {
        switch mode {
        case .interruptOnTerminalCount: isLoaded && gate && !awaitsHighWrite
        case .oneShot, .hardwareStrobe: isLoaded
        case .rateGenerator, .squareWave, .softwareStrobe: isLoaded && gate
        }
    }

    /// Modes 2 and 3: whether OUT follows the place in the cycle. It is high while the gate is low, and from a
    /// trigger to the load that it asks for.
    private var isCycling: Bool { isCounting && !loadsNextTick && period > 1 }

    private var isStrobing: Bool { isStrobe && isLoaded && elapsed == length && !strobeEnded }

    private var nextLoad: Load? {
        if loadsNextTick { return Load(tick: since &+ 1) }
        guard isPeriodic, isCounting, nullCount, hasCount else { return nil }
        if mode == .squareWave && elapsed < highTicks {
            return Load(tick: since &+ highTicks &- elapsed, startsLow: true)
        }
        return Load(tick: since &+ length &- elapsed)
    }

    private var nextChangeWithoutLoad: UInt64? {
        guard let distance = ticksToChange else { return nil }
        return since &+ distance
    }

    private var ticksToChange: UInt64? {
        if isStrobing { return 1 }
        guard isCounting else { return nil }
        switch mode {
        case .rateGenerator:
            guard period > 1 else { return nil }
            return elapsed == length &- 1 ? 1 : length &- 1 &- elapsed
        case .squareWave:
            guard period > 1 else { return nil }
            return (elapsed < highTicks ? highTicks : length) &- elapsed
        case .interruptOnTerminalCount, .oneShot, .softwareStrobe, .hardwareStrobe:
            return elapsed < length ? length &- elapsed : nil
        }
    }

    /// OUT at `tick`, before what happens to the counter there.
    private mutating func output(advancingTo tick: UInt64) -> Bool {
        advance(to: tick)
        return output
    }

    /// Counts the edge that a change just made: OUT follows a control word, a count or a falling gate at once.
    private mutating func noteEdge(from before: Bool) {
        if !before && output { risingEdges &+= 1 }
    }

    private mutating func perform(_ load: Load) {
        glide(to: load.tick &- 1)
        let before = output
        period = registerValue
        elapsed = load.startsLow && period > 1 ? highTicks : 0
        since = load.tick
        (isLoaded, loadsNextTick, nullCount, strobeEnded) = (true, false, false, false)
        noteEdge(from: before)
    }

    /// Counts up to `tick`, with no load on the way.
    private mutating func glide(to tick: UInt64) {
        guard tick > since else { return }
        let distance = tick &- since
        since = tick
        if isCounting {
            risingEdges &+= risingEdges(within: distance)
            elapsed &+= distance
            if isPeriodic { elapsed %= length }
        } else if isStrobing {
            strobeEnded = true
            risingEdges &+= 1
        }
    }

    /// Rising edges in the next `distance` ticks of counting.
    private func risingEdges(within distance: UInt64) -> UInt64 {
        switch mode {
        case .interruptOnTerminalCount, .oneShot:
            return elapsed < length && distance >= length &- elapsed ? 1 : 0
        case .rateGenerator, .squareWave:
            return period > 1 ? (elapsed &+ distance) / length : 0
        case .softwareStrobe, .hardwareStrobe:
            return elapsed <= length && !strobeEnded && distance > length &- elapsed ? 1 : 0
        }
    }
}
