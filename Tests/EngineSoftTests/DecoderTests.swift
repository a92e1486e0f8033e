import Disassembly
import Testing

@testable import EngineSoft

@Suite struct DecoderTests {
    /// Every opcode of every map and x87 with every ModRM byte, and random sequences; a soak takes every sequence of three bytes too.
    @Test(
        .enabled(if: Disassembler.isInstalled, "libcapstone is not installed (scripts/setup.sh)"),
        arguments: [16, 32, 64])
    func lengthsAreThoseOfCapstone(bits: Int) throws {
        var comparison = try #require(LengthComparison(bits: bits))
        var random = Randomness(seed: Soak.seed &+ UInt64(bits))
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 24) { bytes in
            everyOpcode(bytes, &comparison, &random)
            threeBytes(bytes, &comparison, &random)
            for _ in 0..<(200_000 * Soak.factor) {
                noise(bytes, from: 0, &random)
                // Many prefixes, and the opcode maps.
                for index in 0..<random.below(5) {
                    bytes[index] = random.pick([0x66, 0x67, 0xf2, 0xf3, 0x2e, 0x48, 0x41, 0x64, 0x0f, 0x0f])
                }
                comparison.compare(UnsafePointer(bytes.baseAddress!), judged)
            }
        }
        #expect(comparison.compared > 1_500_000)
        let examples = comparison.disagreements.prefix(40).map(\.text).joined(separator: "\n")
        #expect(
            comparison.disagreementCount == 0,
            "seed \(Soak.seed), \(comparison.disagreementCount) of \(comparison.compared)\n\(examples)")
    }

    private func noise(_ bytes: UnsafeMutableBufferPointer<UInt8>, from: Int, _ random: inout Randomness) {
        let (low, high) = (random.next(), random.next())
        for index in from..<16 {
            bytes[index] = UInt8(truncatingIfNeeded: (index < 8 ? low : high) >> UInt64(index % 8 * 8))
        }
    }

    private func everyOpcode(
        _ bytes: UnsafeMutableBufferPointer<UInt8>, _ comparison: inout LengthComparison, _ random: inout Randomness
    ) {
        let maps: [[UInt8]] = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]]
        for prefix in [[], [0x66], [0xf2], [0xf3]] as [[UInt8]] {
            for head in maps.map({ prefix + $0 }) {
                for tail in 0..<(1 << 16) {
                    noise(bytes, from: 0, &random)
                    for (index, byte) in head.enumerated() { bytes[index] = byte }
                    bytes[head.count] = UInt8(tail >> 8)
                    bytes[head.count + 1] = UInt8(tail & 0xff)
                    comparison.compare(UnsafePointer(bytes.baseAddress!), judged)
                }
            }
        }
    }

    /// Eight of the third byte's values, without a soak.
    private func threeBytes(
        _ bytes: UnsafeMutableBufferPointer<UInt8>, _ comparison: inout LengthComparison, _ random: inout Randomness
    ) {
        let count = Soak.factor > 1 ? 256 : 8
        for head in 0..<(1 << 16) {
            noise(bytes, from: 2, &random)
            (bytes[0], bytes[1]) = (UInt8(head >> 8), UInt8(head & 0xff))
            let first = Int(bytes[2])
            for third in 0..<count {
                bytes[2] = UInt8(truncatingIfNeeded: first &+ third &* (256 / count))
                comparison.compare(UnsafePointer(bytes.baseAddress!), judged)
            }
        }
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
