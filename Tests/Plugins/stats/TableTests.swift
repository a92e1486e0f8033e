import PluginKit
import Testing

@testable import ExitCounters

/// The counters as programs read them.
@Suite struct TableTests {
    @Test func everyKindAndAddressHasALineWithTabs() {
        var counters = ExitCounters()
        var exit = bp_exit()
        exit.reason = 30
        exit.address = 0x3f8
        counters.note(exit, nanoseconds: 5, ownerHash: 1) { "com1" }
        counters.note(exit, nanoseconds: 7, ownerHash: 1) { "com1" }
        exit.reason = 48
        exit.address = 0xd000_0123
        counters.note(exit, nanoseconds: 1, ownerHash: 0) { "" }
        exit.reason = 12
        counters.note(exit, nanoseconds: 2, ownerHash: 0) { "" }
        #expect(
            counters.table == [
                "kind\thlt\t1\t2\t", "kind\tio\t2\t12\t", "kind\tept-violation\t1\t1\t",
                "port\t0x3f8\t2\t12\tcom1", "memory\t0xd0000000\t1\t1\t",
            ])
    }

    @Test func nothingCountedIsNoLine() { #expect(ExitCounters().table == []) }
}
