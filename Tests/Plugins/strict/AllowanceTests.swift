import PluginKit
import Testing

@testable import StrictAllowance

@Suite struct AllowanceTests {
    @Test func nothingIsAllowedByItself() {
        let none = Allowance.ports([])
        #expect(!none.allows(0, width: 1))
        #expect(!none.allows(0xffff, width: 1))
        #expect(none.watched == [0...0xffff])
    }

    @Test func everyByteOfAnAccessMustBeAllowed() {
        let post = Allowance.ports([0x80...0x83])
        #expect(post.allows(0x80, width: 4))
        #expect(post.allows(0x83, width: 1))
        #expect(!post.allows(0x82, width: 4))
        #expect(!post.allows(0x7f, width: 1))
        #expect(!post.allows(0x7f, width: 2))
        #expect(!post.allows(0x84, width: 1))
    }

    @Test func adjacentAndOverlappingRangesAreOne() {
        let ports = Allowance.ports([0x84...0x87, 0x80...0x83, 0x81...0x85])
        #expect(ports.allows(0x82, width: 4))
        #expect(ports == .ports([0x80...0x87]))
    }

    /// Every access is either watched or allowed as a whole: checked for all ports and widths.
    @Test(
        arguments: [
            [], [0x80...0x80], [0...3], [0xfffc...0xffff], [0...0xffff], [0x80...0x8f, 0x92...0x95, 0x2f8...0x2ff],
            [1...1, 3...3],
        ] as [[ClosedRange<UInt64>]])
    func whatIsNotWatchedIsAllowed(_ ranges: [ClosedRange<UInt64>]) {
        let ports = Allowance.ports(ranges)
        let watched = ports.watched
        var wrong = 0
        for port in 0...0xffff as ClosedRange<UInt64> where !watched.contains(where: { $0.contains(port) }) {
            for width in [1, 2, 4] as [UInt32] {
                let last = min(port + UInt64(width) - 1, 0xffff)
                let isAllowed = (port...last).allSatisfy { byte in ranges.contains { $0.contains(byte) } }
                if !isAllowed || !ports.allows(port, width: width) { wrong += 1 }
            }
        }
        #expect(wrong == 0)
    }

    @Test func accessesInsideAnAllowedRangeAreNotWatched() {
        // A 4-byte access from 0x8d on reaches 0x90.
        #expect(Allowance.ports([0x80...0x8f]).watched == [0...0x7f, 0x8d...0xffff])
        #expect(Allowance.ports([0...0xffff]).watched == [])
    }

    @Test func endOfMemoryIsNoEdge() {
        let top = Allowance.memory([0xffff_ffff_0000_0000...UInt64.max])
        #expect(top.allows(UInt64.max, width: 8))
        #expect(top.allows(UInt64.max - 3, width: 4))
        #expect(!top.allows(0xffff_fffe_ffff_ffff, width: 1))
        #expect(top.watched == [0...0xffff_fffe_ffff_ffff])
        #expect(Allowance.memory([0...UInt64.max]).watched == [])
    }
}

@Suite struct StrictRulesTests {
    private let io: UInt16 = 30
    private let eptViolation: UInt16 = 48

    private func access(_ reason: UInt16, _ address: UInt64, flags: UInt16 = 4, value: UInt64 = 0) -> bp_exit {
        var exit = bp_exit()
        exit.reason = reason
        exit.flags = flags
        exit.width = 1
        exit.rip = 0x1000f3
        exit.address = address
        exit.value = value
        return exit
    }

    @Test func unclaimedAccessIsForbidden() {
        let rules = StrictRules()
        #expect(rules.forbids(access(io, 0x2f9)))
        #expect(rules.forbids(access(eptViolation, 0xfee0_0000)))
        #expect(!rules.forbids(access(io, 0x3f8, flags: 0)))
        #expect(!rules.forbids(access(12, 0)))
    }

    @Test func allowedAccessFloats() {
        var rules = StrictRules()
        rules.ports = .ports([0x80...0x80])
        rules.memory = .memory([0xfee0_0000...0xfee0_0fff])
        #expect(!rules.forbids(access(io, 0x80)))
        #expect(rules.forbids(access(io, 0x81)))
        #expect(!rules.forbids(access(eptViolation, 0xfee0_0fff)))
        #expect(rules.forbids(access(eptViolation, 0x80)))
    }

    @Test func eachSpaceCanBeLeftOut() {
        var rules = StrictRules()
        rules.checksPorts = false
        #expect(!rules.forbids(access(io, 0x2f9)))
        #expect(rules.wants.map(\.reason) == [48])
        rules.checksPorts = true
        rules.checksMemory = false
        #expect(!rules.forbids(access(eptViolation, 0xfee0_0000)))
        #expect(rules.wants == [.init(reason: 30, range: 0...0xffff)])
    }

    @Test func sentenceNamesTheAccessAndTheNearestClaim() {
        let text = StrictRules().sentence(access(io, 0x2f9, flags: 4 | 1, value: 0x41), nearest: "com1 0x3f8-0x3ff")
        #expect(
            text == "guest wrote 0x41 (1 byte) to port 0x2f9 at rip 0x1000f3: nothing claims it; "
                + "the nearest claim is com1 0x3f8-0x3ff")
    }

    @Test func sentenceSaysWhereThereIsNoClaim() {
        let text = StrictRules().sentence(access(eptViolation, 0xfee0_0000, flags: 4 | 8), nearest: nil)
        #expect(
            text == "guest read 1 byte from memory 0xfee00000 just before rip 0x1000f3: nothing claims it; "
                + "no instance claims any memory")
    }

    @Test func sentenceShowsOnlyTheBytesWritten() {
        var exit = access(io, 0x2f9, flags: 4 | 1 | 2, value: 0xffff_ffff_1234_5678)
        exit.width = 2
        let text = StrictRules().sentence(exit, nearest: nil)
        #expect(text.hasPrefix("guest wrote 0x5678 (2 bytes) to port 0x2f9 by string I/O at rip 0x1000f3:"))
        exit.width = UInt32.max
        #expect(StrictRules().sentence(exit, nearest: nil).contains("0xffffffff12345678"))
    }
}
