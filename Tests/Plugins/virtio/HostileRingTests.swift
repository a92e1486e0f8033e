import SplitMix
import Testing
import Virtio

/// Rings, tables and indices of random bytes that are often nearly right.
@Suite struct HostileRingTests {
    @Test func randomRingsEndInBuffersOrViolationsAndNothingElse() throws {
        var random = SplitMix64(seed: 1)
        var (taken, violations) = (0, Set<String>())
        let ram = RAM()
        for round in 0..<20_000 {
            if round % 200 == 0 { fill(ram, &random) }
            var queue = VirtQueue()
            queue.features = random.next() % 4 == 0 ? [.version1] : [.version1, .indirectDescriptors, .eventIndex]
            guard enable(&queue, &random) else { continue }
            // As a rule the index is one that can be.
            if random.next() % 8 != 0, let layout = queue.state.layout {
                ram.put(random.next() % (UInt64(layout.entries) + 1), 2, at: layout.driver + 2)
            }
            do throws(VirtQueue.Violation) {
                for _ in 0..<40 {
                    guard let chain = try queue.take(ram) else { break }
                    #expect(chain.readable.count + chain.writable.count <= 1024 + 256)
                    taken += 1
                    _ = try chain.read(count: 1 << 16, ram)
                    let written = try chain.write([UInt8](repeating: 0xAA, count: 64), ram)
                    #expect(written <= chain.writableLength)
                    try queue.put(chain.head, written: written, ram)
                    _ = try queue.publish(ram)
                    // What the guest writes meanwhile.
                    ram.put(random.next(), 8, at: random.next() % 0xFFF8)
                }
            } catch { violations.insert("\(error)") }
            #expect(ram.bytes.count == 1 << 16)
        }
        #expect(taken > 5_000, "buffers were taken: \(taken)")
        #expect(violations.count >= 7, "and rules broken: \(violations)")
    }

    private func enable(_ queue: inout VirtQueue, _ random: inout SplitMix64) -> Bool {
        let size = UInt16(1) << UInt16(random.next() % 9)
        let mask: UInt64 = random.next() % 16 == 0 ? .max : 0xFFFF
        return queue.enable(
            .init(
                entries: size, descriptors: random.next() & mask & ~15, driver: random.next() & mask & ~1,
                device: random.next() & mask & ~3), most: 256)
    }

    private func fill(_ ram: RAM, _ random: inout SplitMix64) {
        for address in stride(from: 0, to: 0x10000, by: 16) as StrideTo<UInt64> {
            // Descriptors in RAM, short, with flags and successors that make sense now and then; small numbers in rings.
            let kind = random.next()
            let wild = kind % 32 == 0
            ram.put(wild ? random.next() : random.next() & 0xFFFF, 8, at: address)
            let length =
                wild ? random.next() & 0xFFFF_FFFF : kind & 4 == 0 ? (random.next() & 7) * 16 : random.next() & 0xFF
            let flags = [0, 1, 2, 3, 4, 1, 3, 0][Int(kind >> 8 & 7)]
            ram.put(length | UInt64(flags) << 32 | (random.next() & 0x1F) << 48, 8, at: address + 8)
        }
    }

    @Test func savedStatesThatNoDriverCanHaveMadeAreRefused() throws {
        var random = SplitMix64(seed: 2)
        var accepted = 0
        for _ in 0..<20_000 {
            var bytes = (0..<VirtQueue.State.size).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            if random.next() % 2 == 0 { (bytes[0], bytes[1], bytes[2], bytes[10], bytes[18]) = (8, 0, 0, 0, 0) }
            let state = try #require(VirtQueue.State(bytes: bytes[...]))
            var queue = VirtQueue()
            guard queue.restore(state, most: 128) else { continue }
            accepted += 1
            #expect(queue.state.bytes == bytes || state.layout == nil)
            _ = try? queue.take(RAM())
        }
        #expect(accepted > 1000)
        #expect(VirtQueue.State(bytes: [UInt8](repeating: 0, count: 31)[...]) == nil)
        #expect(VirtQueue.State(bytes: [UInt8](repeating: 0, count: 33)[...]) == nil)
    }
}
