import PluginKit
import Testing

@testable import GuardRules

@Suite struct AccessListTests {
    @Test func aDenyListDeniesWhatItNames() {
        let cmos = AccessList(deny: [0x70...0x71], last: 0xffff, widest: 4)
        #expect(cmos.denies(0x70) && cmos.denies(0x71))
        #expect(!cmos.denies(0x6f) && !cmos.denies(0x72))
        // A word at 0x6f reaches 0x70.
        #expect(cmos.denies(0x6f, count: 2) && cmos.denies(0x6d, count: 4) && !cmos.denies(0x6c, count: 4))
    }

    @Test func anAllowListDeniesAllOthersAndADenyListWins() {
        let list = AccessList(deny: [0x3fb...0x3fb], allow: [0x3f8...0x3ff], last: 0xffff, widest: 4)
        #expect(!list.denies(0x3f8) && list.denies(0x3fb) && list.denies(0x80) && list.denies(0xffff))
        #expect(list.denies(0x3ff, count: 2))
    }

    /// Whatever is not watched is not denied: all ports, all widths.
    @Test(
        arguments: [
            ([], []), ([0...0], []), ([0xffff...0xffff], []), ([], [0...0xffff]),
            ([5...9], [0x80...0x8f, 0x90...0x91]),
            ([0...0xffff], []), ([], [0x10...0x20]), ([0x70...0x71, 0x72...0x72], [0x60...0x7f]),
        ] as [([ClosedRange<UInt64>], [ClosedRange<UInt64>])])
    func nothingDeniedGoesUnseen(_ deny: [ClosedRange<UInt64>], _ allow: [ClosedRange<UInt64>]) {
        let list = AccessList(deny: deny, allow: allow, last: 0xffff, widest: 4)
        let watched = list.watched
        func isDenied(_ port: UInt64) -> Bool {
            deny.contains { $0.contains(port) } || (!allow.isEmpty && !allow.contains { $0.contains(port) })
        }
        var wrong = 0
        for port in 0...0xffff as ClosedRange<UInt64> {
            for width in [1, 2, 4] as [UInt64] {
                let expected = (port...min(0xffff, port + width - 1)).contains(where: isDenied)
                if list.denies(port, count: width) != expected { wrong += 1 }
                if expected, !watched.contains(where: { $0.contains(port) }) { wrong += 1 }
            }
        }
        #expect(wrong == 0)
    }

    @Test func theEndOfMemoryIsNoEdge() {
        let list = AccessList(deny: [UInt64.max...UInt64.max], last: .max, widest: 8)
        #expect(list.denies(UInt64.max - 3, count: 8) && !list.denies(0, count: 8))
        #expect(list.watched == [(UInt64.max - 7)...UInt64.max])
    }
}

@Suite struct GuardRulesTests {
    private func exit(_ reason: UInt16, _ address: UInt64, width: UInt32 = 1, write: Bool = false) -> bp_exit {
        var exit = bp_exit()
        exit.reason = reason
        exit.address = address
        exit.width = width
        exit.flags = write ? 1 : 0
        exit.rip = 0x7c05
        return exit
    }

    @Test func eachKindOfExitHasItsList() {
        var rules = GuardRules()
        rules[.ports].deny = [0x70...0x70]
        rules[.memory].deny = [0xfee0_0000...0xfee0_0fff]
        rules[.msrs].deny = [0x1b...0x1b]
        rules[.cpuid].deny = [0x4000_0000...0x4fff_ffff]
        rules[.hypercalls].deny = [9...9]
        func denied(_ exit: bp_exit) -> GuardRules.Space? { rules.denies(exit) { 9 } }
        #expect(denied(exit(30, 0x70)) == .ports && denied(exit(30, 0x71)) == nil)
        #expect(denied(exit(48, 0xfedf_ffff, width: 4)) == .memory && denied(exit(48, 0x70)) == nil)
        #expect(denied(exit(31, 0x1b)) == .msrs && denied(exit(32, 0x1b, write: true)) == .msrs)
        #expect(denied(exit(10, 0x4000_0001)) == .cpuid && denied(exit(10, 1)) == nil)
        // The number of a hypercall is RAX, whatever the exit's address is.
        #expect(denied(exit(18, 0)) == .hypercalls)
        #expect(rules.denies(exit(18, 9)) { 1 } == nil)
        #expect(denied(exit(12, 0x70)) == nil)
    }

    @Test func onlyWhatMayBeDeniedIsWanted() {
        var rules = GuardRules()
        #expect(rules.wants.isEmpty)
        rules[.ports].deny = [0x70...0x71]
        #expect(rules.wants == [.init(reason: 30, range: 0x6d...0x71, isPrecise: false)])
        rules[.msrs].deny = [0x10...0x10]
        rules.action = .inject
        // KVM can answer an MSR with #GP, and nothing else.
        #expect(rules.wants.map(\.isPrecise) == [true, false, false])
        #expect(rules.wants.map(\.reason) == [30, 31, 32])
    }

    @Test func droppedReadsGiveWhatAnEmptyBusGives() {
        var port = exit(30, 0x70)
        GuardRules.drop(&port, .ports)
        #expect(port.value == .max)
        var msr = exit(31, 0x10)
        msr.value = 5
        GuardRules.drop(&msr, .msrs)
        #expect(msr.value == 0)
        var write = exit(30, 0x70, write: true)
        write.value = 0x41
        GuardRules.drop(&write, .ports)
        #expect(write.value == 0x41)
    }

    @Test func theLogSaysWhoDidWhatWhere() {
        #expect(
            GuardRules.sentence(exit(30, 0x71), .ports, hypercall: 0)
                == "denied: guest read 1 byte from port 0x71 at rip 0x7c05")
        #expect(GuardRules.sentence(exit(31, 0x1b), .msrs, hypercall: 0) == "denied: guest read MSR 0x1b at rip 0x7c05")
        #expect(
            GuardRules.sentence(exit(18, 0), .hypercalls, hypercall: 9)
                == "denied: guest made hypercall 0x9 at rip 0x7c05")
    }
}
