import Testing
@testable import RTC146818

/// A chip with a clock and the PC's two ports. Numbers are the data sheet's.
struct Bench {
    var chip = RTC146818()
    var now: UInt64 = 0

    subscript(_ register: UInt8) -> UInt8 {
        mutating get {
            chip.write(0, register, at: now)
            return chip.read(1, at: now)
        }
        set {
            chip.write(0, register, at: now)
            chip.write(1, newValue, at: now)
        }
    }

    /// Registers 9, 8, 7, 6, 4, 2, 0: year to second.
    var time: [UInt8] { mutating get { [9, 8, 7, 6, 4, 2, 0].map { self[$0] } } }

    mutating func wait(_ ns: UInt64) { now += ns }
    mutating func wait(seconds: UInt64) { now += seconds * 1_000_000_000 }

    /// A chip whose second begins with the machine's, set to `seconds` since 1970, with register B as given.
    static func at(_ seconds: Int64, registerB: UInt8 = 0x02, century: UInt8? = 0x32) -> Bench {
        var bench = Bench(chip: RTC146818(centuryRegister: century))
        bench[0x0B] = registerB
        bench.chip.setTime(seconds: seconds, nanoseconds: 0, at: 0)
        return bench
    }

    /// A chip whose time registers the guest has written, at machine time 0, when a second begins.
    static func set(
        _ h: UInt8, _ m: UInt8, _ s: UInt8, dow: UInt8 = 1, date: UInt8 = 1, month: UInt8 = 1,
        year: UInt8 = 1, registerB: UInt8 = 0x02
    ) -> Bench {
        var bench = Bench.at(0, registerB: registerB)
        bench[0x0B] = registerB | 0x80
        for (register, value) in [(0, s), (2, m), (4, h), (6, dow), (7, date), (8, month), (9, year)]
            as [(UInt8, UInt8)]
        { bench[register] = value }
        bench[0x0B] = registerB
        return bench
    }
}
