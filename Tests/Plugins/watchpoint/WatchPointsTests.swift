import PluginKit
import Testing

@testable import WatchPoints

@Suite struct WatchPointsTests {
    private func exit(_ reason: UInt16, _ address: UInt64, _ value: UInt64 = 0, width: UInt32 = 1, write: Bool)
        -> bp_exit
    {
        var exit = bp_exit()
        exit.reason = reason
        exit.address = address
        exit.value = value
        exit.width = width
        exit.flags = write ? 1 : 0
        return exit
    }

    @Test func aPortIsTouchedByWideAccessesToo() {
        var points = WatchPoints()
        points.ports = [0x70...0x70]
        #expect(points.wants == [.init(reason: 30, range: 0x6d...0x70, isObserved: false)])
        #expect(points.matches(exit(30, 0x70, write: false), isOver: false))
        #expect(points.matches(exit(30, 0x6d, width: 4, write: true), isOver: false))
        #expect(!points.matches(exit(30, 0x6d, width: 2, write: true), isOver: false))
        #expect(!points.matches(exit(48, 0x70, write: true), isOver: false))
        // Once for each access.
        #expect(!points.matches(exit(30, 0x70, write: false), isOver: true))
    }

    @Test func aValueIsComparedUnderItsMask() {
        var points = WatchPoints()
        points.msrs = [0xc000_0080...0xc000_0080]
        points.value = 0x100
        points.mask = 0x100
        points.access = .write
        #expect(points.wants == [.init(reason: 32, range: 0xc000_0080...0xc000_0080, isObserved: false)])
        #expect(points.matches(exit(32, 0xc000_0080, 0x501, write: true), isOver: false))
        #expect(!points.matches(exit(32, 0xc000_0080, 0x401, write: true), isOver: false))
    }

    @Test func whatAReadGivesIsSeenAfterwards() {
        var points = WatchPoints()
        points.ports = [0x64...0x64]
        points.value = 1
        points.mask = 1
        #expect(points.wants.map(\.isObserved) == [true])
        let read = exit(30, 0x64, 0x1d, write: false)
        #expect(!points.matches(read, isOver: false) && points.matches(read, isOver: true))
        let write = exit(30, 0x64, 0x1d, write: true)
        #expect(points.matches(write, isOver: false) && !points.matches(write, isOver: true))
    }

    @Test func readsAndWritesAreToldApart() {
        var points = WatchPoints()
        points.controlRegisters = [0...0, 4...4]
        points.access = .write
        #expect(points.matches(exit(28, 4, write: true), isOver: false))
        #expect(
            !points.matches(exit(28, 4, write: false), isOver: false)
                && !points.matches(exit(28, 3, write: true), isOver: false))
        points.access = .read
        points.msrs = [1...1]
        #expect(points.wants.map(\.reason) == [31, 28, 28])
    }

    @Test func theEndOfMemoryIsNoEdge() {
        var points = WatchPoints()
        points.memory = [UInt64.max...UInt64.max]
        #expect(points.matches(exit(48, UInt64.max - 1, width: 8, write: true), isOver: false))
    }
}
