import Machine

/// The real-time clock.
/// Source: MC146818A data sheet, "Address Map" and "Registers"; the century byte at 0x32 is the IBM AT's.
enum RTC {
    private static let index = Port(0x70), data = Port(0x71)

    // MARK: Registers

    private enum Register {
        static let seconds: UInt8 = 0x00, minutes: UInt8 = 0x02, hours: UInt8 = 0x04
        static let day: UInt8 = 0x07, month: UInt8 = 0x08, year: UInt8 = 0x09, century: UInt8 = 0x32
        static let a: UInt8 = 0x0A, b: UInt8 = 0x0B, c: UInt8 = 0x0C, d: UInt8 = 0x0D
    }

    private static let updateInProgress: UInt8 = 0x80  // A
    private static let rate1024Hz: UInt8 = 0x26  // A: 32 768 Hz time base, rate 6
    private static let periodicEnable: UInt8 = 0x40  // B
    private static let binary: UInt8 = 0x04  // B
    private static let hours24: UInt8 = 0x02  // B
    private static let periodicFlag: UInt8 = 0x40  // C
    private static let afternoon: UInt8 = 0x80  // hours, in 12-hour mode

    private static func read(_ register: UInt8) -> UInt8 {
        index.write(register)
        return data.read()
    }

    private static func write(_ register: UInt8, _ value: UInt8) {
        index.write(register)
        data.write(value)
    }

    // MARK: Time of day

    struct Time: Equatable {
        var century: UInt8, year: UInt8, month: UInt8, day: UInt8
        var hours: UInt8, minutes: UInt8, seconds: UInt8
    }

    /// A bus without the chip answers every register alike.
    static var isPresent: Bool {
        let control = read(Register.b)
        return read(Register.a) != control || read(Register.d) != control
    }

    /// Outside an update, and the same twice. Nil where that cannot be had.
    static func time(_ clock: Clock) -> Time? {
        var before: Time?
        for _ in 0..<10 {
            guard clock.wait(milliseconds: 10, until: { read(Register.a) & updateInProgress == 0 }) else { return nil }
            let now = rawTime()
            if let before, before == now { return decoded(now) }
            before = now
        }
        return nil
    }

    private static func rawTime() -> Time {
        Time(
            century: read(Register.century), year: read(Register.year), month: read(Register.month),
            day: read(Register.day), hours: read(Register.hours), minutes: read(Register.minutes),
            seconds: read(Register.seconds))
    }

    private static func decoded(_ raw: Time) -> Time {
        let format = read(Register.b)
        let isBinary = format & binary != 0
        func number(_ value: UInt8) -> UInt8 { isBinary ? value : (value >> 4) &* 10 &+ (value & 15) }

        var hours = number(raw.hours & ~afternoon)
        if format & hours24 == 0 {
            if hours == 12 { hours = 0 }
            if raw.hours & afternoon != 0 { hours &+= 12 }
        }
        let century = number(raw.century)
        return Time(
            century: (19...21).contains(century) ? century : 20, year: number(raw.year), month: number(raw.month),
            day: number(raw.day), hours: hours, minutes: number(raw.minutes), seconds: number(raw.seconds))
    }

    // MARK: Periodic interrupt

    static func startPeriodic() {
        write(Register.a, rate1024Hz)
        _ = read(Register.c)
        write(Register.b, read(Register.b) | periodicEnable)
    }

    static func stopPeriodic() {
        write(Register.b, read(Register.b) & ~periodicEnable)
        _ = read(Register.c)
    }

    /// Reads register C, which withdraws the interrupt. True where a period had passed.
    static func acknowledge() -> Bool { read(Register.c) & periodicFlag != 0 }
}
