import Testing
import UserNetwork

@Suite struct FrameQueueTests {
    private func frame(_ number: Int, count: Int = 60) -> [UInt8] {
        [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: count)
    }

    private func append(_ queue: inout FrameQueue, _ frame: [UInt8]) { frame.withUnsafeBytes { queue.append($0) } }

    @Test func framesComeInTheirOrder() {
        var queue = FrameQueue()
        var next = 0
        for number in 0..<5000 {
            append(&queue, frame(number))
            if number % 3 == 2 {
                for taken in queue.take(3) {
                    #expect(taken == frame(next))
                    next += 1
                }
            }
        }
        #expect(next + queue.count == 5000 && queue.lost == 0)
        let (none, rest) = (queue.take(-1), queue.take(.max))
        #expect(none.isEmpty && rest.count == 5000 - next && queue.isEmpty)
    }

    @Test func whatHasNoRoomIsLostAndCounted() {
        var queue = FrameQueue()
        for number in 0..<600 { append(&queue, frame(number)) }
        #expect(queue.count == 512 && queue.lost == 88 && !queue.isHalfEmpty)
        let taken = queue.take(300)
        #expect(taken.count == 300 && queue.isHalfEmpty)
        append(&queue, frame(1, count: 65_550))
        #expect(queue.count == 212 && queue.lost == 89, "longer than any frame")
        for _ in 0..<100 { append(&queue, frame(2, count: 65_000)) }
        #expect(queue.lost == 89 + 85, "1 MiB holds 15 of them beside the rest")
    }
}
