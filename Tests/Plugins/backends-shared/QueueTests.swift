import Testing

@testable import BackendSupport

@Suite struct OutputQueueTests {
    @Test func clientIsThrottledAbove64KiBAndReleasedBelow16KiB() {
        var queue = OutputQueue()
        #expect(queue.append(count: 65536).throttle == nil)
        #expect(queue.append(count: 1).throttle == true)
        #expect(queue.append(count: 1).throttle == nil)
        #expect(queue.consume(65538 - 16384).throttle == nil)
        #expect(queue.isThrottled)
        #expect(queue.consume(1).throttle == false)
        #expect(queue.consume(1).throttle == nil)
    }

    @Test func bytesBeyondOneMiBAreDroppedCountedAndToldOnce() {
        var queue = OutputQueue()
        #expect(queue.append(count: 1_048_576) == OutputQueue.Effect(throttle: true, isFirstLoss: false))
        #expect(queue.append(count: 5) == OutputQueue.Effect(throttle: nil, isFirstLoss: true))
        #expect(queue.append(count: 7) == OutputQueue.Effect(throttle: nil, isFirstLoss: false))
        #expect(queue.dropped == 12)
        #expect(queue.count == 1_048_576)
    }

    @Test func whatFitsOfAWriteIsKept() {
        var queue = OutputQueue()
        _ = queue.append(count: 1_048_570)
        #expect(queue.append(count: 10).isFirstLoss)
        #expect(queue.count == 1_048_576)
        #expect(queue.dropped == 4)
    }

    @Test func emptyingReleasesTheClient() {
        var queue = OutputQueue()
        _ = queue.append(count: 100_000)
        #expect(queue.removeAll().throttle == false)
        #expect(queue.isEmpty)
        #expect(queue.removeAll().throttle == nil)
    }

    @Test func frontIsACopyThatStays() {
        var queue = OutputQueue()
        _ = queue.append(pattern(100))
        #expect(queue.front(3) == [0, 1, 2])
        #expect(queue.front(3) == [0, 1, 2])
        _ = queue.consume(2)
        #expect(queue.front(2) == [2, 3])
    }
}

@Suite struct InputQueueTests {
    @Test func breakKeepsItsPlaceAmongTheBytes() {
        var queue = InputQueue()
        _ = queue.append(pattern(3))
        queue.appendBreak()
        _ = queue.append(pattern(2))
        queue.ready(2)
        #expect(queue.next() == [0, 1])
        let early = queue.takeBreak()
        #expect(!early, "a byte comes before it")
        queue.ready(10)
        #expect(queue.next() == [2])
        #expect(!queue.canSend && queue.isAtBreak)
        let taken = [queue.takeBreak(), queue.takeBreak()]
        #expect(taken == [true, false])
        #expect(queue.next() == [0, 1])
    }

    @Test func breakNeedsNoRoomAndSixteenAreKept() {
        var queue = InputQueue()
        for _ in 0..<20 { queue.appendBreak() }
        var count = 0
        while queue.takeBreak() { count += 1 }
        #expect(count == 16)
    }

    @Test func nothingGoesWithoutRoom() {
        var queue = InputQueue()
        #expect(queue.append(pattern(10)) == 10)
        #expect(!queue.canSend)
        #expect(queue.next() == [])
        queue.ready(4)
        #expect(queue.canSend)
        #expect(queue.next() == [0, 1, 2, 3])
        #expect(!queue.canSend)
        #expect(queue.next() == [])
    }

    @Test func roomIsATotalAndNotAnAddition() {
        var queue = InputQueue()
        queue.ready(3)
        queue.ready(3)
        _ = queue.append(pattern(10))
        #expect(queue.next().count == 3)
        queue.ready(2)
        queue.ready(0)
        #expect(queue.next() == [])
    }

    @Test func roomIsKeptForLater() {
        var queue = InputQueue()
        queue.ready(16)
        _ = queue.append(pattern(10))
        #expect(queue.next().count == 10)
        _ = queue.append(pattern(10, from: 10))
        #expect(queue.next() == pattern(6, from: 10))
    }

    @Test func endlessRoomIsNoTrap() {
        var queue = InputQueue()
        queue.ready(.max)
        _ = queue.append(pattern(10))
        #expect(queue.next() == pattern(10))
    }

    @Test func takesNoMoreThan64KiB() {
        var queue = InputQueue()
        #expect(queue.append(pattern(70000)) == 65536)
        #expect(queue.space == 0)
        queue.ready(100)
        #expect(queue.next().count == 100)
        #expect(queue.space == 100)
    }
}

@Suite struct FrameRoomTests {
    /// The card says "room for 16" at the first of ten frames, and is heard after the last.
    @Test func whatACardSaysWhileItGetsFramesIsNotTheWholeTruth() {
        var room = FrameRoom()
        room.ready(16)
        let mayBeStale = room.sent(10)
        #expect(mayBeStale && room.frames == 6)
        room.ready(16)
        #expect(room.frames == 7, "nine may have come after it said so")
        room.settled()
        room.ready(16)
        #expect(room.frames == 16)
        let isStale = room.sent(1)
        #expect(!isStale)
        room.ready(16)
        #expect(room.frames == 16, "of one it knows")
        _ = room.sent(20)
        #expect(room.frames == 0)
        room.ready(.max)
        #expect(room.frames == .max - 19)
    }

    /// A card with room for 64, which says so anew where half of that is left, hears of a burst of any length to its last frame.
    @Test(arguments: 1...200) func aBurstNeverEndsWithBothWaitingForEachOther(frames: Int) {
        var (room, waiting, granted) = (FrameRoom(), frames, 64)
        room.ready(64)
        while waiting > 0 {
            let count = min(FrameRoom.mostAtOnce, room.frames, waiting)
            guard count > 0 else {
                Issue.record("\(waiting) frames wait, and the card has room for \(granted)")
                return
            }
            waiting -= count
            var said: [UInt64] = []
            for _ in 0..<count {
                granted -= 1
                if granted <= 32 {
                    granted = 64
                    said.append(64)
                }
            }
            let settles = room.sent(count)
            for frames in said { room.ready(frames) }
            if settles { room.settled() }
        }
    }
}
