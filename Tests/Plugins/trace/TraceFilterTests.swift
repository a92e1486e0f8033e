import PluginKit
import Testing

@testable import TraceFormat

@Suite struct TraceFilterTests {
    private func filter(kinds: [UInt16] = [], ports: [ClosedRange<UInt64>] = []) -> TraceFilter {
        var filter = TraceFilter()
        filter.kinds = kinds
        filter.ports = ports
        return filter
    }

    @Test func nothingSaidMeansAllThatHappensAnyway() {
        // BP_WANT_ALL, which makes no engine intercept more; BP_WANT_OBSERVE.
        #expect(filter().wants == [.init(reason: 0xffff, range: 0...UInt64.max, options: .init(rawValue: 4))])
        #expect(filter().takes(exit(12)))
        #expect(filter().takes(exit(30, width: 1, address: 0x3f8)))
    }

    @Test func operatorsRequestIsNoExit() {
        #expect(!filter().takes(exit(0, flags: 64)))
    }

    @Test func namedKindsAreRequiredAndWantedOnce() {
        let wants = filter(kinds: [31, 10, 31]).wants
        #expect(wants.map(\.reason) == [10, 31])
        // BP_WANT_OBSERVE and BP_WANT_REQUIRED.
        #expect(wants.allSatisfy { $0.options.rawValue == 4 | 1 && $0.range == 0...UInt64.max })
    }

    @Test func kindsThatEveryEngineDeliversNeedNotBeRequired() {
        #expect(filter(kinds: [2, 12, 30, 48]).wants.allSatisfy { $0.options.rawValue == 4 })
    }

    @Test func portsAloneMeanNothingButTheirIO() {
        let wants = filter(ports: [0x3f8...0x3ff]).wants
        #expect(wants.map(\.reason) == [30])
        // A 4-byte access to 0x3f5 reaches 0x3f8.
        #expect(wants.map(\.range) == [0x3f5...0x3ff])
    }

    @Test func portsNarrowOnlyIO() {
        let wants = filter(kinds: [30, 48], ports: [0x60...0x60]).wants
        #expect(wants.map(\.reason) == [30, 48])
        #expect(wants.map(\.range) == [0x5d...0x60, 0...UInt64.max])
    }

    @Test func portsDoNotAddIOToOtherKinds() {
        #expect(filter(kinds: [12], ports: [0x60...0x64]).wants.map(\.reason) == [12])
    }

    @Test func wantedRangesAreDisjoint() {
        #expect(
            filter(ports: [0x64...0x64, 0x60...0x60, 0x80...0x80, 0...1]).wants.map(\.range)
                == [0...1, 0x5d...0x60, 0x61...0x64, 0x7d...0x80])
        #expect(filter(ports: [0x60...0x70, 0x62...0x64]).wants.map(\.range) == [0x5d...0x70])
    }

    @Test func accessThatTouchesAPortIsTaken() {
        let com1 = filter(ports: [0x3f8...0x3ff])
        #expect(com1.takes(exit(30, width: 1, address: 0x3f8)))
        #expect(com1.takes(exit(30, width: 4, address: 0x3f5)))
        #expect(com1.takes(exit(30, width: 2, address: 0x3ff)))
        #expect(!com1.takes(exit(30, width: 2, address: 0x3f6)))
        #expect(!com1.takes(exit(30, width: 1, address: 0x400)))
        #expect(!com1.takes(exit(30, width: 0, address: 0x3f7)))
    }
}
