import PIT8254

/// The first nanosecond of `tick`, by 14.31818 MHz / 12.
func ns(_ tick: UInt64) -> UInt64 { (tick * 12_000_000_000 + 14_318_179) / 14_318_180 }

/// A chip and a clock that is set in ticks. What it asks about counter 0 leaves the chip as it was.
struct Bench {
    var chip = PIT8254()
    var tick: UInt64 = 0

    var now: UInt64 { ns(tick) }
    var output: Bool { chip.output(0, at: now) }

    var isNull: Bool {
        var copy = chip
        copy.write(3, 0xE2, at: now)
        return copy.read(0, at: now) & 0x40 != 0
    }

    /// CE of counter 0, in whatever form it is read. For chips that have nothing latched and no byte half read.
    var count: UInt16 {
        var copy = chip
        copy.write(3, 0xD2, at: now)
        let first = UInt16(copy.read(0, at: now))
        switch chip.state.counter0.control & 0x30 {
        case 0x10: return first
        case 0x20: return first << 8
        default: return first | UInt16(copy.read(0, at: now)) << 8
        }
    }

    mutating func write(_ port: UInt8, _ value: UInt8) { chip.write(port, value, at: now) }
    mutating func read(_ port: UInt8) -> UInt8 { chip.read(port, at: now) }
    func peek(_ port: UInt8) -> UInt8 { chip.peek(port, at: now) }
    mutating func gate(_ level: Bool) { chip.setGate(0, level, at: now) }

    /// Control word and a count of two bytes for counter 0, all in this tick.
    mutating func program(_ control: UInt8, _ count: UInt16) {
        write(3, control)
        if control & 0x30 == 0x10 { write(0, UInt8(truncatingIfNeeded: count)) } else { writeCount(count) }
    }

    mutating func writeCount(_ count: UInt16) {
        write(0, UInt8(truncatingIfNeeded: count))
        write(0, UInt8(count >> 8))
    }

    /// OUT0 at this tick (0) and the `ticks` after it.
    func outputs(_ ticks: UInt64) -> Waveform {
        Waveform(levels: (0...ticks).map { chip.output(0, at: ns(tick + $0)) })
    }

    /// CE at the `ticks` after this one.
    func counts(_ ticks: UInt64) -> [UInt16] {
        (1...ticks).map {
            var later = self
            later.tick += $0
            return later.count
        }
    }

    func edges(_ from: UInt64, _ to: UInt64) -> UInt64 { chip.risingEdges(0, from: ns(from), to: ns(to)) }

    struct Waveform {
        var levels: [Bool]
        var highTicks: [Int] { levels.indices.filter { levels[$0] } }
        var lowTicks: [Int] { levels.indices.filter { !levels[$0] } }
    }
}
