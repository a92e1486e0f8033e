import PluginKit
import Testing

@testable import ExitCounters

@Suite struct QuantityTests {
    @Test(
        arguments: [
            (0, "0 ns"), (999, "999 ns"), (1000, "1.00 us"), (1234, "1.23 us"), (1235, "1.24 us"), (9994, "9.99 us"),
            (9995, "10.0 us"), (45_600, "45.6 us"), (99_950, "100 us"), (812_000, "812 us"), (999_499, "999 us"),
            (999_500, "1.00 ms"), (1_000_000, "1.00 ms"), (12_345_678, "12.3 ms"), (1_270_000_000, "1.27 s"),
            (812_000_000_000, "812 s"), (86_400_000_000_000, "86400 s"), (UInt64.max, "18446744073 s"),
        ] as [(UInt64, String)])
    func timesHaveThreeDigitsAndAUnit(_ nanoseconds: UInt64, _ text: String) {
        #expect(timeText(nanoseconds) == text)
    }

    @Test func sharesHaveOneDecimal() {
        #expect(shareText(1, of: 3) == "33.3%")
        #expect(shareText(3, of: 3) == "100.0%")
        #expect(shareText(0, of: 3) == "0.0%")
        #expect(shareText(0, of: 0) == "-")
        #expect(shareText(.max, of: 1) == "100.0%")
    }

    @Test func ratesAreForASecond() {
        #expect(rateText(100, nanoseconds: 2_000_000_000) == "50/s")
        #expect(rateText(1, nanoseconds: 0) == nil)
        #expect(rateText(.max, nanoseconds: 1) == nil)
    }
}

@Suite struct ReportTests {
    private func note(
        _ counters: inout ExitCounters, _ reason: UInt16, _ address: UInt64, time: UInt64, cost: UInt64,
        owner: UInt64 = 0, named name: String = ""
    ) {
        var exit = bp_exit()
        exit.reason = reason
        exit.address = address
        exit.time = time
        counters.note(exit, nanoseconds: cost, ownerHash: owner) { name }
    }

    @Test func reportIsAlignedAndSortedByTime() {
        var counters = ExitCounters()
        for index in 0..<1000 as Range<UInt64> {
            note(&counters, 30, 0x3f8, time: index * 1_000_000, cost: 1200, owner: 1, named: "com1")
        }
        note(&counters, 30, 0x80, time: 1_500_000_000, cost: 700)
        note(&counters, 48, 0xfee0_0010, time: 1_800_000_000, cost: 45_000, owner: 2, named: "apic")
        note(&counters, 12, 0, time: 2_000_000_000, cost: 354_300)
        #expect(
            counters.report(top: 2) == [
                "1003 exits in 2.00 s of virtual time (502/s), 1.60 ms in the VMM",
                "count   share    total     mean      min      max  exit",
                " 1001   75.0%  1.20 ms  1.20 us   700 ns  1.20 us  I/O instruction",
                "    1   22.1%   354 us   354 us   354 us   354 us  HLT",
                "    1    2.8%  45.0 us  45.0 us  45.0 us  45.0 us  EPT violation",
                " 1003  100.0%  1.60 ms  1.60 us   700 ns   354 us  all",
                "ports and pages: 2 of 3, by time in the VMM",
                "count  share    total     mean      min      max  address          owner",
                " 1000  75.0%  1.20 ms  1.20 us  1.20 us  1.20 us  port 0x3f8       com1",
                "    1   2.8%  45.0 us  45.0 us  45.0 us  45.0 us  page 0xfee00000  apic",
                "    1   0.0%   700 ns   700 ns   700 ns   700 ns  1 more",
            ])
    }

    @Test func whatNobodyAnswersHasNoOwner() {
        var counters = ExitCounters()
        note(&counters, 30, 0x80, time: 0, cost: 800)
        #expect(counters.report(top: 20).last?.hasSuffix("port 0x80  (none)") == true)
        note(&counters, 30, 0x80, time: 0, cost: 800, owner: 1, named: "post")
        #expect(counters.report(top: 20).last?.hasSuffix("port 0x80  (none), others") == true)
    }

    @Test func machineWithoutAddressesHasNoSecondTable() {
        var counters = ExitCounters()
        note(&counters, 12, 0, time: 7, cost: 10)
        #expect(counters.report(top: 20).count == 4)
        #expect(counters.report(top: 20)[0] == "1 exit in 0 ns of virtual time, 10 ns in the VMM")
    }

    @Test func overflowIsShown() {
        var counters = ExitCounters(capacity: 4)
        for port in 0..<10 as Range<UInt64> { note(&counters, 30, port, time: 0, cost: 10) }
        let last = counters.report(top: 20).last
        #expect(last?.contains("other") == true)
        #expect(last?.hasSuffix("(table is full)") == true)
        #expect(last?.contains("    7") == true)
    }

    /// A snapshot that was loaded may put the clock back.
    @Test func clockThatGoesBackDoesNotTrap() {
        var counters = ExitCounters()
        note(&counters, 12, 0, time: .max, cost: .max)
        note(&counters, 12, 0, time: 0, cost: .max)
        #expect(counters.report(top: 20)[0].hasPrefix("2 exits in 0 ns of virtual time, "))
    }
}

@Suite struct UndefinedOpcodeTests {
    @Test func placesAreListedWithTheirBytesAndCounts() {
        var counters = ExitCounters()
        var exit = bp_exit()
        exit.address = 6  // reason 0, an exception; vector 6, #UD
        var reads = 0
        for rip in [0x7c0d, 0x7c0d, 0xf_fff5] as [UInt64] {
            exit.rip = rip
            counters.note(exit, nanoseconds: 100, ownerHash: 0) { "" }
            counters.noteUndefined(rip: rip) {
                reads += 1
                return rip == 0x7c0d ? [0x0f, 0x0a, 0xc0, 1, 2, 3, 4, 5, 6] : []
            }
        }
        #expect(reads == 2)
        #expect(
            counters.report(top: 1).suffix(3) == [
                "count  rip      bytes", "    2  0x7c0d   0f 0a c0 01 02 03 04 05", "    1  0xffff5  (not readable)",
            ], "\(counters.report(top: 1))")
        counters.clear()
        #expect(counters.report(top: 1) == ["no exits"])
    }

    @Test func placesBeyondTheLimitAreCountedTogether() {
        var opcodes = UndefinedOpcodes(limit: 2)
        for rip in [1, 2, 3, 4, 1] as [UInt64] { opcodes.note(rip: rip) { [0xff] } }
        #expect(opcodes.rows.map(\.count) == [2, 1])
        #expect(opcodes.others == 2)
        #expect(opcodes.lines.last == "    2  elsewhere")
    }
}
