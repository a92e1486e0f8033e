import Testing

@testable import EngineSoft

@Suite struct DecoderTests {
    /// 3 * 2^24 sequences and as many random ones as a soak asks for.
    @Test(
        .enabled(if: Capstone.isInstalled, "libcapstone is not installed (scripts/setup.sh test)"),
        arguments: [16, 32, 64])
    func lengthsAreThoseOfCapstone(bits: Int) throws {
        var comparison = try #require(LengthComparison(bits: bits))
        var random = Randomness(seed: Soak.seed &+ UInt64(bits))
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 16) { bytes in
            guard let start = UnsafePointer(bytes.baseAddress) else { return }
            // Every sequence of three bytes, padded by what stays the same, and now and then by what does not.
            for index in 3..<16 { bytes[index] = 0x90 }
            for head in 0..<(1 << 24) as Range<UInt32> {
                (bytes[0], bytes[1], bytes[2]) = (UInt8(head & 0xff), UInt8(head >> 8 & 0xff), UInt8(head >> 16))
                if head & 0xff == 0 {
                    let noise = random.next()
                    for index in 0..<8 { bytes[3 + index] = UInt8(truncatingIfNeeded: noise >> UInt64(index * 8)) }
                }
                comparison.compare(start, judged)
            }
            for _ in 0..<(200_000 * Soak.factor) {
                for index in 0..<2 {
                    let noise = random.next()
                    for byte in 0..<8 { bytes[index * 8 + byte] = UInt8(truncatingIfNeeded: noise >> UInt64(byte * 8)) }
                }
                // Many prefixes, and the opcode maps.
                for index in 0..<random.below(5) {
                    bytes[index] = random.pick([0x66, 0x67, 0xf2, 0xf3, 0x2e, 0x48, 0x41, 0x64, 0x0f, 0x0f])
                }
                comparison.compare(start, judged)
            }
        }
        #expect(comparison.compared > 1 << 24)
        let examples = comparison.disagreements.prefix(60).map(\.text).joined(separator: "\n")
        #expect(comparison.disagreementCount == 0, "seed \(Soak.seed)\n\(examples)")
    }

    @Test func sixteenBytesAreTooLong() {
        var decoder = Decoder(features: .all)
        var i = Instruction()
        for (count, outcome) in [(14, Decoder.Outcome.instruction), (15, .tooLong), (30, .tooLong)] {
            let bytes = [UInt8](repeating: 0x66, count: count) + [0x90] + [UInt8](repeating: 0, count: 16)
            let found = bytes.withUnsafeBufferPointer {
                decoder.decode($0.baseAddress!, count: $0.count, mode: [.code64, .protected], into: &i)
            }
            #expect(found == outcome, "\(count) prefixes")
        }
    }
}
