import NetworkSwitch
import SplitMix
import Synchronization
import Testing

/// A port of a switch, and how often it was woken.
private final class Station: Sendable {
    let hub: LearningSwitch
    let number: Int
    private let wakes: Wakes

    private final class Wakes: Sendable {
        let count = Mutex(0)
    }

    init(_ hub: LearningSwitch, room: Int = 4096) throws {
        let wakes = Wakes()
        self.hub = hub
        self.wakes = wakes
        number = try #require(
            hub.join {
                wakes.count.withLock { $0 += 1 }
                return true
            })
        hub.ready(room, number)
    }

    var wakeCount: Int { wakes.count.withLock { $0 } }
    var lost: UInt64 { hub.counters(number).lost }

    func send(_ frame: [UInt8]) { frame.withUnsafeBytes { hub.send($0, from: number) } }
    func take(_ limit: Int = .max) -> [[UInt8]] { hub.take(limit, number) }
}

private let everybody = [UInt8](repeating: 0xFF, count: 6)
private func address(_ last: UInt8) -> [UInt8] { [0x52, 0x54, 0, 0, 0, last] }
private func frame(to: [UInt8], from: [UInt8], count: Int = 60, _ fill: UInt8 = 0) -> [UInt8] {
    to + from + [0x88, 0xB5] + [UInt8](repeating: fill, count: count - 14)
}

@Suite struct LearningSwitchTests {
    @Test func unknownAddressesReachEveryOtherPortAndKnownOnesTheirs() throws {
        let hub = LearningSwitch()
        let (a, b, c) = (try Station(hub), try Station(hub), try Station(hub))
        a.send(frame(to: address(2), from: address(1)))
        #expect([a, b, c].map { $0.take().count } == [0, 1, 1])
        b.send(frame(to: address(1), from: address(2)))
        #expect([a, b, c].map { $0.take().count } == [1, 0, 0])
        a.send(frame(to: address(2), from: address(1)))
        #expect([a, b, c].map { $0.take().count } == [0, 1, 0])
        a.send(frame(to: everybody, from: address(1)))
        #expect([a, b, c].map { $0.take().count } == [0, 1, 1])
        a.send(frame(to: [0x33, 0x33, 0, 0, 0, 1], from: address(1)))
        #expect([a, b, c].map { $0.take().count } == [0, 1, 1])
    }

    @Test func addressThatMovesIsFoundWhereItWasSeenLast() throws {
        let hub = LearningSwitch()
        let (a, b, c) = (try Station(hub), try Station(hub), try Station(hub))
        a.send(frame(to: everybody, from: address(9)))
        b.send(frame(to: everybody, from: address(9)))
        _ = (a.take(), b.take(), c.take())
        c.send(frame(to: address(9), from: address(3)))
        #expect([a, b, c].map { $0.take().count } == [0, 1, 0])
        b.send(frame(to: address(9), from: address(4)))
        #expect([a, b, c].map { $0.take().count } == [0, 0, 0], "it is behind the port that the frame came from")
        hub.leave(b.number)
        c.send(frame(to: address(9), from: address(3)))
        #expect([a, c].map { $0.take().count } == [1, 0], "who has left is forgotten")
    }

    @Test func whatIsNoFrameGoesNowhereAndGroupsAreNotLearned() throws {
        let hub = LearningSwitch()
        let (a, b) = (try Station(hub), try Station(hub))
        for count in [0, 1, 13, 65_550, 200_000] { a.send([UInt8](repeating: 0xFF, count: count)) }
        #expect(b.take().isEmpty && a.lost == 5)
        for count in [14, 65_549] { a.send([UInt8](repeating: 0xFF, count: count)) }
        #expect(b.take().map(\.count) == [14, 65_549])
        #expect(hub.counters(a.number).addresses == 0)
    }

    @Test func oneWhoFloodsCostsOnlyItself() throws {
        let hub = LearningSwitch()
        let (flood, peer, victim) = (try Station(hub), try Station(hub), try Station(hub, room: 0))
        for number in 0..<100_000 {
            flood.send(frame(to: everybody, from: address(1), UInt8(truncatingIfNeeded: number)))
        }
        for _ in 0..<10 { peer.send(frame(to: everybody, from: address(2), 0xAA)) }
        #expect(victim.lost == 100_000 - 512, "a half of 1024 frames is each sender's")
        hub.ready(4096, victim.number)
        let first = victim.take(20)
        #expect(first.filter { $0[14] == 0xAA && $0[11] == 2 }.count == 10, "lanes take turns")
        #expect(first.filter { $0[11] == 1 }.map { $0[14] } == (0..<10).map { UInt8($0) }, "each in its order")
        #expect(victim.take().count == 502)
    }

    @Test func stalledReaderHoldsABoundedNumberOfBytes() throws {
        let hub = LearningSwitch()
        let (a, b, stalled) = (try Station(hub), try Station(hub), try Station(hub, room: 0))
        for _ in 0..<1000 { a.send(frame(to: everybody, from: address(1), count: 60_000)) }
        _ = b.take()
        hub.ready(4096, stalled.number)
        let held = stalled.take().reduce(0) { $0 + $1.count }
        #expect(held > 400_000 && held <= 512 << 10)
        #expect(stalled.wakeCount > 0)
    }

    @Test func portThatHasNoRoomIsNotWoken() throws {
        let hub = LearningSwitch()
        let (a, b) = (try Station(hub), try Station(hub, room: 0))
        for _ in 0..<5 { a.send(frame(to: everybody, from: address(1))) }
        #expect(b.wakeCount == 0 && b.take().isEmpty)
        hub.ready(2, b.number)
        #expect(b.wakeCount == 1)
        a.send(frame(to: everybody, from: address(1)))
        #expect(b.wakeCount == 1, "once until it takes")
        #expect(b.take().count == 2 && b.wakeCount == 1)
        hub.ready(64, b.number)
        #expect(b.wakeCount == 2)
        #expect(b.take(3).count == 3 && b.wakeCount == 3, "one is left")
        #expect(b.take().count == 1)
    }

    @Test func addressesThatAPortInventsPushOutItsOwn() throws {
        let hub = LearningSwitch()
        let (liar, honest, third) = (try Station(hub), try Station(hub), try Station(hub))
        honest.send(frame(to: everybody, from: address(7)))
        for number in 0..<10_000 {
            liar.send(frame(to: address(7), from: [2, 0, 0, 0, UInt8(number >> 8), UInt8(number & 0xFF)]))
        }
        #expect(hub.counters(liar.number).addresses == 256 && hub.counters(honest.number).addresses == 1)
        _ = third.take()
        third.send(frame(to: address(7), from: address(3)))
        #expect(third.lost == 0 && !honest.take().isEmpty)
    }

    @Test func portsAreBoundedAndNumbersAreNotUsedAgain() throws {
        let hub = LearningSwitch()
        let numbers = (0..<128).compactMap { _ in hub.join { true } }
        #expect(Set(numbers).count == 128)
        let oneMore = hub.join { true }
        #expect(oneMore == nil)
        hub.leave(numbers[5])
        let next = try #require(hub.join { true })
        #expect(!numbers.contains(next))
        [UInt8](repeating: 1, count: 60).withUnsafeBytes { hub.send($0, from: numbers[5]) }
        #expect(hub.counters(next).received == 0 && hub.counters(numbers[5]) == .init())
    }

    @Test func namesLeadToOneSwitchAsLongAsSomebodyHasIt() throws {
        var first: LearningSwitch? = SwitchRegistry.find("a-lan-of-this-test")
        #expect(SwitchRegistry.find("a-lan-of-this-test") === first)
        #expect(SwitchRegistry.find("another-lan-of-this-test") !== first)
        let number = try #require(first).join { true }
        first = nil
        let later = SwitchRegistry.find("a-lan-of-this-test").join { true }
        #expect(number == 1 && later == 1, "it was made anew")
    }

    /// Frames of all ports at once, from threads of their own, while ports come and go.
    @Test func portsOfManyThreadsLoseNoneOfWhatHasRoom() async throws {
        let hub = LearningSwitch()
        let sink = try Station(hub)
        sink.send(frame(to: everybody, from: address(100)))
        await withTaskGroup(of: Void.self) { group in
            for sender in 1...4 as ClosedRange<UInt8> {
                group.addTask {
                    guard let number = hub.join({ true }) else { return }
                    for index in 0..<100 {
                        frame(to: address(100), from: address(sender), UInt8(index)).withUnsafeBytes {
                            hub.send($0, from: number)
                        }
                    }
                }
            }
            group.addTask {
                for _ in 0..<200 { if let number = hub.join({ true }) { hub.leave(number) } }
            }
        }
        let frames = sink.take()
        for sender in 1...4 as ClosedRange<UInt8> {
            #expect(frames.filter { $0[11] == sender }.map { $0[14] } == (0..<100).map { UInt8($0) })
        }
    }
}
