import BackendSupport
import Testing

@Suite struct ByteRingTests {
    private func everything(_ ring: inout ByteRing) -> [UInt8] {
        var bytes: [UInt8] = []
        while !ring.isEmpty { bytes += ring.take(.max) }
        return bytes
    }

    @Test func bytesComeOutInTheirOrderAcrossTheWrap() {
        var ring = ByteRing(limit: 10000)
        #expect(ring.append(pattern(4000)) == 4000)
        ring.consume(3500)
        #expect(ring.append(pattern(3000, from: 4000)) == 3000)
        #expect(ring.count == 3500)
        #expect(everything(&ring) == pattern(3500, from: 3500))
    }

    @Test func growingKeepsAWrappedQueueInOrder() {
        var ring = ByteRing(limit: 1 << 20)
        #expect(ring.append(pattern(4096)) == 4096)
        ring.consume(4000)
        #expect(ring.append(pattern(4000, from: 4096)) == 4000)
        #expect(ring.append(pattern(100_000, from: 8096)) == 100_000)
        #expect(everything(&ring) == pattern(104_096, from: 4000))
    }

    @Test func nothingBeyondTheLimitIsTaken() {
        var ring = ByteRing(limit: 100)
        #expect(ring.append(pattern(80)) == 80)
        #expect(ring.append(pattern(80, from: 80)) == 20)
        #expect(ring.space == 0)
        #expect(ring.append(pattern(1)) == 0)
        #expect(everything(&ring) == pattern(100))
    }

    @Test func takeNeverGivesMoreThanAsked() {
        var ring = ByteRing(limit: 100)
        _ = ring.append(pattern(10))
        #expect(ring.take(3) == [0, 1, 2])
        #expect(ring.take(-1) == [])
        #expect(ring.count == 7)
    }

    @Test func consumingMoreThanThereIsEmptiesIt() {
        var ring = ByteRing(limit: 100)
        _ = ring.append(pattern(10))
        ring.consume(.max)
        #expect(ring.isEmpty)
        ring.consume(.min)
        #expect(ring.append([7]) == 1)
        #expect(ring.take(1) == [7])
    }

    /// Against a plain array, with sizes that wrap and grow.
    @Test func behavesAsAnArrayDoes() {
        var random = SystemRandomNumberGenerator()
        var ring = ByteRing(limit: 20000)
        var model: [UInt8] = []
        for _ in 0..<2000 {
            let bytes = (0..<Int.random(in: 0...3000, using: &random)).map { _ in UInt8.random(in: 0...255) }
            let taken = ring.append(bytes)
            #expect(taken == min(bytes.count, 20000 - model.count))
            model += bytes.prefix(taken)
            let out = ring.take(Int.random(in: 0...3000, using: &random))
            #expect(out == Array(model.prefix(out.count)))
            model.removeFirst(out.count)
            #expect(ring.count == model.count)
        }
    }
}
