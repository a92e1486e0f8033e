import CBackplane
import Testing

@testable import Core

/// Structs of plugins whose header is older or newer than this build's. Sizes are those of the header of ABI 1.0.
struct PassedStructTests {
    /// bp_memory_range: size 4, kind 4, base 8, length 8.
    private let range = bp_memory_range(size: 24, kind: 1, base: 0x1000, length: 0x2000)

    /// `words` as the memory of a plugin's struct, filled in; its words afterwards.
    private func written(_ words: [UInt64], least: UInt32 = 24) -> [UInt64] {
        var memory = words
        memory.withUnsafeMutableBytes {
            PassedStruct.write(
                range, to: $0.baseAddress!.assumingMemoryBound(to: bp_memory_range.self), least: least)
        }
        return memory
    }

    @Test func aStructOfTheSameSizeIsFilledIn() {
        #expect(written([24, 0, 0, 7]) == [24 | 1 << 32, 0x1000, 0x2000, 7])
    }

    /// As if ABI 1.0 had ended after `base`.
    @Test func anOlderStructIsNotOverrun() {
        #expect(written([16, 0, 7, 7], least: 16) == [16 | 1 << 32, 0x1000, 7, 7])
    }

    @Test func aLongerStructKeepsItsRestAndLearnsHowMuchIsThere() {
        #expect(written([32, 0, 0, 7]) == [24 | 1 << 32, 0x1000, 0x2000, 7])
    }

    @Test func aSizeThatWasNeverSetIsThatOfABI10() {
        #expect(written([0, 0, 7, 7], least: 16) == [16 | 1 << 32, 0x1000, 7, 7])
        #expect(written([0xffff_ffff, 0, 7, 7], least: 16) == [16 | 1 << 32, 0x1000, 7, 7])
    }

    /// bp_want: size 4, reason 2, flags 2, first 8, last 8.
    @Test func aShorterStructIsRefusedAndALongerOneIsRead() {
        func read(_ words: [UInt64], least: UInt32) -> bp_want? {
            words.withUnsafeBytes {
                PassedStruct.read(
                    $0.baseAddress!.assumingMemoryBound(to: bp_want.self), least: least,
                    empty: bp_want(size: 0, reason: 0, flags: 0, first: 0, last: 99))
            }
        }
        #expect(read([23 | 30 << 32, 1, 2], least: 24) == nil)
        #expect(read([32 | 30 << 32, 1, 2, 3], least: 24)?.last == 2)
        let older = read([16 | 30 << 32, 1, 2], least: 16)
        #expect(older?.first == 1 && older?.last == 99, "what it does not have is as in the empty one")
    }
}
