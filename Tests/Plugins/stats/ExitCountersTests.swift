import PluginKit
import Testing

@testable import ExitCounters

private func exit(_ reason: UInt16, _ address: UInt64 = 0, time: UInt64 = 0) -> bp_exit {
    var exit = bp_exit()
    exit.reason = reason
    exit.address = address
    exit.time = time
    return exit
}

private let io: UInt16 = 30
private let eptViolation: UInt16 = 48
private let hlt: UInt16 = 12

extension ExitCounters {
    /// The tests' owners hash to their number.
    fileprivate mutating func note(_ exit: bp_exit, _ nanoseconds: UInt64, owner: UInt64 = 0, named name: String = "") {
        note(exit, nanoseconds: nanoseconds, ownerHash: owner) { name }
    }
}

@Suite struct CounterTests {
    @Test func meanIsBetweenTheShortestAndTheLongest() {
        var counter = Counter()
        for time in [300, 100, 800] as [UInt64] { counter.note(time) }
        #expect(counter.count == 3)
        #expect(counter.total == 1200)
        #expect(counter.shortest == 100)
        #expect(counter.longest == 800)
        #expect(counter.mean == 400)
    }

    @Test func emptyCounterAddsNothing() {
        var counter = Counter()
        counter.add(Counter())
        #expect(counter == Counter())
        #expect(counter.mean == 0)
        var other = Counter()
        other.note(70)
        counter.add(other)
        counter.add(Counter())
        #expect(counter == other)
    }

    @Test func sumsBeyond64BitsDoNotTrap() {
        var counter = Counter()
        for _ in 0..<3 { counter.note(.max) }
        #expect(counter.count == 3)
        #expect(counter.longest == .max)
    }
}

@Suite struct ExitCountersTests {
    @Test func kindsAreCountedByKeyAndByName() {
        var counters = ExitCounters()
        counters.note(exit(io, 0x3f8), 10)
        counters.note(exit(io, 0x3f9), 10)
        counters.note(exit(hlt), 10)
        #expect(counters.count(kind: "io") == 2)
        #expect(counters.count(kind: "I/O instruction") == 2)
        #expect(counters.count(kind: "i/o INSTRUCTION") == 2)
        #expect(counters.count(kind: "hlt") == 1)
        #expect(counters.count(kind: "HLT") == 1)
        #expect(counters.count(kind: "cpuid") == 0)
        #expect(counters.count(kind: "all") == 3)
        #expect(counters.count(kind: "ioo") == nil)
        #expect(counters.count(kind: "") == nil)
    }

    @Test func operatorsRequestIsNoExit() {
        var counters = ExitCounters()
        var request = exit(0)
        request.flags = 64
        counters.note(request, 10)
        #expect(counters.count(kind: "all") == 0)
        #expect(counters.count(kind: "exception") == 0)
    }

    @Test func reasonBeyondTheTableIsCounted() {
        var counters = ExitCounters()
        counters.note(exit(0xffff), 10)
        counters.note(exit(64), 10)
        counters.note(exit(63), 10)
        #expect(counters.kinds[64].count == 2)
        #expect(counters.kinds[63].count == 1)
        let report = counters.report(top: 0).joined(separator: "\n")
        #expect(report.contains("exit reason above 63"))
        #expect(report.contains("exit reason 63"))
    }

    @Test func portsAndPagesAreApart() {
        var counters = ExitCounters()
        counters.note(exit(io, 0x3f8), 10)
        counters.note(exit(eptViolation, 0x3f8_010), 20)
        counters.note(exit(eptViolation, 0x3f8_fff), 20)
        counters.note(exit(eptViolation, 0xffff_ffff_ffff_ffff), 5)
        let rows = counters.addresses.rows
        #expect(rows.map(\.address.isPort) == [false, true, false])
        #expect(rows.map(\.address.address) == [0x3f8_000, 0x3f8, 0xffff_ffff_ffff_f000])
        #expect(rows.map(\.counter.count) == [2, 1, 1])
    }

    @Test func portZeroAndPageZeroAreKeys() {
        var counters = ExitCounters()
        counters.note(exit(io, 0), 1)
        counters.note(exit(eptViolation, 0), 2)
        #expect(counters.addresses.count == 2)
    }

    @Test func nameIsAskedForAtFirstSightOnly() {
        var counters = ExitCounters()
        var asked = 0
        for _ in 0..<5 {
            counters.note(exit(io, 0x3f8), nanoseconds: 1, ownerHash: 7) {
                asked += 1
                return "com1"
            }
        }
        #expect(asked == 1)
        #expect(counters.addresses.owner(of: counters.addresses.rows[0]) == "com1")
    }

    @Test func ownersOfOnePageAreToldApart() {
        var counters = ExitCounters()
        counters.note(exit(eptViolation, 0xfee0_0000), 1, owner: 7, named: "apic")
        #expect(!counters.addresses.rows[0].hasMoreOwners)
        counters.note(exit(eptViolation, 0xfee0_0800), 1, owner: 8, named: "msi")
        let row = counters.addresses.rows[0]
        #expect(row.hasMoreOwners)
        #expect(counters.addresses.owner(of: row) == "apic")
    }

    /// 8 slots, of which 6 are used.
    @Test func fullTableCountsTheRestAsOther() {
        var counters = ExitCounters(capacity: 8)
        for port in 0..<20 as Range<UInt64> { counters.note(exit(io, port), 10) }
        for port in 0..<20 as Range<UInt64> { counters.note(exit(io, port), 10) }
        #expect(counters.addresses.count == 6)
        #expect(counters.addresses.rows.map(\.address.address) == [0, 1, 2, 3, 4, 5])
        #expect(counters.addresses.rows.allSatisfy { $0.counter.count == 2 })
        #expect(counters.addresses.other.count == 28)
        #expect(counters.count(kind: "io") == 40)
    }

    /// Against a dictionary, with addresses that collide in a small table.
    @Test func tableAgreesWithADictionary() {
        var table = AddressTable(capacity: 64)
        var expected: [UInt64: UInt64] = [:]
        var random: UInt64 = 12345
        for _ in 0..<5000 {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let port = random >> 40 & 0x1f00 | random >> 60 & 1
            guard expected[port] != nil || expected.count < 48 else { continue }
            table.note(.init(port: port), 1, ownerHash: 0) { "" }
            expected[port, default: 0] += 1
        }
        #expect(expected.count == 48)
        #expect(table.other.count == 0)
        let found = Dictionary(uniqueKeysWithValues: table.rows.map { ($0.address.address, $0.counter.count) })
        #expect(found == expected)
    }

    @Test func clearForgetsEverything() {
        var counters = ExitCounters(capacity: 8)
        for port in 0..<20 as Range<UInt64> { counters.note(exit(io, port, time: 5), 10, owner: 3, named: "x") }
        counters.clear()
        #expect(counters.report(top: 20) == ["no exits"])
        #expect(counters.addresses.count == 0)
        #expect(counters.addresses.other.count == 0)
        counters.note(exit(io, 9), 10)
        #expect(counters.addresses.owner(of: counters.addresses.rows[0]) == nil)
        #expect(counters.addresses.rows.count == 1)
    }
}
