import Machine

/// Bounded waits, measured by the best means that was found to work.
struct Clock {
    enum Source {
        /// IRQ 0 delivers 100 Hz: the CPU halts between interrupts.
        case ticks
        /// The PIT counts down from `period`, but no interrupt is relied on.
        case counter(period: UInt32)
        /// Bit 4 of port 0x61 toggles every 15 microseconds on an AT.
        case refresh
        /// Nothing else is there: a port access is taken for a microsecond.
        case loops
    }

    var source: Source

    private static let systemControl = Port(0x61)
    private static let refreshBit: UInt8 = 0x10
    private static let refreshTogglesPerMillisecond: UInt32 = 66
    private static let loopsPerMillisecond: UInt32 = 1_000
    /// A source that stands still must not hang a wait: this many looks a millisecond end it, too.
    private static let looksPerMillisecond: UInt32 = 20_000

    /// For a machine without a PIT.
    static func withoutTimer() -> Clock {
        let first = systemControl.read() & refreshBit
        for _ in 0..<10_000 where systemControl.read() & refreshBit != first { return Clock(source: .refresh) }
        return Clock(source: .loops)
    }

    /// Until `done` says true: then true; or for about `milliseconds` (at most 10 000): then false.
    func wait(milliseconds: UInt32, until done: () -> Bool) -> Bool {
        switch source {
        case .ticks: halt(ticks: milliseconds / PIT.millisecondsPerTick + 2, until: done)
        case .counter(let period): count(clocks: milliseconds * PIT.clocksPerMillisecond, period, until: done)
        case .refresh: toggle(milliseconds, until: done)
        case .loops: loop(milliseconds, until: done)
        }
    }

    private func halt(ticks limit: UInt32, until done: () -> Bool) -> Bool {
        let start = Shared.ticks.value
        cpu_disable_interrupts()
        defer { cpu_enable_interrupts() }
        while !done() {
            guard Shared.ticks.value &- start < limit else { return false }
            cpu_wait_for_interrupt()
        }
        return true
    }

    private func count(clocks limit: UInt32, _ period: UInt32, until done: () -> Bool) -> Bool {
        var elapsed: UInt32 = 0
        var last = PIT.count
        var looks = limit / PIT.clocksPerMillisecond * Self.looksPerMillisecond
        while !done() {
            guard elapsed < limit, looks > 0 else { return false }
            let now = PIT.count
            elapsed += (last >= now ? last - now : last &+ period &- now) & 0xFFFF
            last = now
            looks -= 1
        }
        return true
    }

    private func toggle(_ milliseconds: UInt32, until done: () -> Bool) -> Bool {
        var toggles: UInt32 = 0
        var last = Self.systemControl.read() & Self.refreshBit
        var looks = milliseconds * Self.looksPerMillisecond
        while !done() {
            guard toggles < milliseconds * Self.refreshTogglesPerMillisecond, looks > 0 else { return false }
            let now = Self.systemControl.read() & Self.refreshBit
            if now != last { toggles += 1 }
            last = now
            looks -= 1
        }
        return true
    }

    private func loop(_ milliseconds: UInt32, until done: () -> Bool) -> Bool {
        for _ in 0..<milliseconds * Self.loopsPerMillisecond {
            if done() { return true }
            _ = Self.systemControl.read()
        }
        return done()
    }
}
