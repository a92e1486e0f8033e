import Foundation
import PluginKit
import SplitMix
import Testing

import enum PluginKit.BlockOperation

@testable import OverlayStore

@Suite struct OverlayTests {
    private let folder: Folder
    init() throws { folder = try Folder() }

    private func same(_ left: some Sequence<UInt8>, _ right: some Sequence<UInt8>) -> Bool { left.elementsEqual(right) }

    @Test func itReadsAsItsBaseAndWritesBesideIt() throws {
        let base = pattern(1 << 20)
        let bench = try Bench(folder.file, base: base)
        #expect(same(bench.disk, base))
        let written = pattern(300_032, 7)
        #expect(bench.write(written, at: 5 * 512) == .ok)
        var expected = base
        expected.replaceSubrange(2560..<(2560 + 300_032), with: written)
        #expect(same(bench.disk, expected))
        #expect(same(bench.base, base) && bench.baseWrites == 0)
        #expect(bench.engine.stop())
    }

    /// A disk whose end is inside a cluster, all kinds of requests, against an array; then once more from the file.
    @Test(arguments: [1, 2, 3, 4] as [UInt64]) func itHoldsWhatWasWritten(_ seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let base = pattern(600 * 512, Int(seed))
        var expected = base
        var bench = try Bench(folder.file, base: base, baseLimit: seed == 2 ? 4096 : .max)
        for round in 0..<400 {
            let start = Int.random(in: 0..<600, using: &random)
            let count = Int.random(in: 1...(round % 10 == 0 ? 600 - start : min(600 - start, 20)), using: &random)
            let range = (start * 512)..<((start + count) * 512)
            switch Int.random(in: 0..<8, using: &random) {
            case 0...2:
                let bytes = pattern(range.count, round)
                expected.replaceSubrange(range, with: bytes)
                #expect(bench.write(bytes, at: range.lowerBound) == .ok)
            case 3:
                expected.replaceSubrange(range, with: [UInt8](repeating: 0, count: range.count))
                #expect(bench.perform(.writeZeroes, at: range.lowerBound, length: range.count) == .ok)
            case 4: #expect(bench.perform(.flush) == .ok)
            default:
                let buffer = Buffer([UInt8](repeating: 0xee, count: range.count))
                #expect(bench.perform(.read, at: range.lowerBound, buffer) == .ok)
                #expect(same(buffer.bytes, expected[range]))
            }
        }
        #expect(same(bench.disk, expected))
        #expect(same(bench.base, base))
        if !bench.engine.quiesce() { bench.pump() }
        #expect(bench.engine.stop())
        bench = try Bench(folder.path + "/other", base: base)
        try FileManager.default.copyItem(atPath: folder.file, toPath: folder.path + "/copy")
        let again = try Bench(folder.path + "/copy", base: base)
        #expect(same(again.disk, expected))
        #expect(again.engine.stop() && bench.engine.stop())
    }

    /// As the file is when the process is killed: what was flushed is there, and nothing tells of what was not.
    @Test func whatWasFlushedIsThereAfterAKill() throws {
        let base = pattern(1 << 20)
        let bench = try Bench(folder.file, base: base)
        #expect(bench.write(pattern(8192, 1), at: 4096) == .ok)
        #expect(bench.perform(.flush) == .ok)
        #expect(bench.write(pattern(8192, 2), at: 64 << 10) == .ok)
        try FileManager.default.copyItem(atPath: folder.file, toPath: folder.path + "/copy")
        let again = try Bench(folder.path + "/copy", base: base)
        var expected = base
        expected.replaceSubrange(4096..<12288, with: pattern(8192, 1))
        #expect(same(again.disk, expected))
        #expect(again.engine.stop() && bench.engine.stop())
    }

    @Test func quiesceFlushes() throws {
        let bench = try Bench(folder.file, base: pattern(1 << 20))
        #expect(bench.engine.quiesce())
        #expect(bench.write([UInt8](repeating: 1, count: 512), at: 0) == .ok)
        #expect(!bench.engine.quiesce())
        bench.pump()
        #expect(bench.isQuiet && bench.engine.quiesce())
        // The map's first bit (docs/machine-file.md, "Overlays").
        #expect(contents(folder.file)[4096] == 1)
        #expect(bench.engine.stop())
    }

    @Test func zerosAndWhatIsDiscardedTakeNoRoom() throws {
        let bench = try Bench(folder.file, base: pattern(4 << 20))
        #expect(bench.perform(.writeZeroes, length: 4 << 20) == .ok)
        #expect(bench.disk.allSatisfy { $0 == 0 } as Bool)
        #expect(bench.write(pattern(1 << 20), at: 0) == .ok)
        #expect(bench.perform(.discard, length: 4 << 20) == .ok)
        #expect(bench.perform(.flush) == .ok)
        var status = stat()
        #expect(stat(folder.file, &status) == 0 && status.st_blocks * 512 <= 64 << 10)
        #expect(bench.engine.stop())
    }

    @Test func theBasesErrorsAreTheGuests() throws {
        let bench = try Bench(folder.file, base: pattern(1 << 20))
        bench.baseFailure = (.read, .ioError)
        #expect(bench.perform(.read, Buffer([UInt8](repeating: 0, count: 512))) == .ioError)
        // Half a cluster needs the other half.
        #expect(bench.write([UInt8](repeating: 1, count: 512), at: 0) == .ioError)
        #expect(bench.write([UInt8](repeating: 1, count: 4096), at: 0) == .ok)
        bench.baseFailure = nil
        #expect(same(bench.disk, [UInt8](repeating: 1, count: 4096) + pattern(1 << 20)[4096...]))
        #expect(bench.engine.stop())
    }

    @Test func decidedRequestsAreAnsweredInTheirTurn() throws {
        let bench = try Bench(folder.file, base: pattern(1 << 20))
        #expect(bench.engine.submit(.init(.write, tag: 900, verdict: .outOfRange)))
        #expect(bench.completions[900] == nil)
        bench.pump()
        #expect(bench.completions[900] == .outOfRange)
        #expect(bench.engine.stop())
    }

    @Test func cancelledRequestsTouchNothingAndAreNotAnswered() throws {
        let bench = try Bench(folder.file, base: pattern(1 << 20))
        let buffer = Buffer([UInt8](repeating: 0xee, count: 1 << 20))
        let tags = [bench.submit(.read, buffer), bench.submit(.read, buffer)]
        bench.step()
        bench.engine.cancelAll()
        let seen = buffer.bytes
        let later = bench.perform(.write, at: 512, Buffer([UInt8](repeating: 5, count: 512)))
        #expect(later == .ok && tags.allSatisfy { bench.completions[$0] == nil })
        #expect(same(buffer.bytes, seen))
        #expect(bench.engine.stop())
    }

    // MARK: Commit and discard

    @Test func commitWritesAllChangesToTheBase() throws {
        let base = pattern(3 << 20)
        let bench = try Bench(folder.file, base: base)
        var expected = base
        for offset in [0, 4096 * 7 + 512, 1 << 20, (3 << 20) - 512] {
            let bytes = pattern(min(200_192, (3 << 20) - offset), offset)
            expected.replaceSubrange(offset..<(offset + bytes.count), with: bytes)
            #expect(bench.write(bytes, at: offset) == .ok)
        }
        #expect(same(bench.base, base))
        bench.engine.beginCommit()
        bench.pump()
        #expect(same(bench.base, expected) && same(bench.disk, expected))
        #expect(bench.engine.ownBytes == 0 && bench.engine.committed == nil)
        #expect(bench.log.count == 1 && bench.log[0].hasSuffix("KiB are the base's; 0 KiB have changed since"))
        // The file says the same.
        #expect(bench.engine.stop())
        try FileManager.default.copyItem(atPath: folder.file, toPath: folder.path + "/copy")
        let again = try Bench(folder.path + "/copy", base: expected)
        #expect(again.engine.ownBytes == 0 && same(again.disk, expected))
        #expect(again.engine.stop())
    }

    /// The guest writes between the steps of a commit, where that has been and where it has not.
    @Test func aCommitLeavesWhatIsWrittenMeanwhile() throws {
        let base = pattern(4 << 20)
        let bench = try Bench(folder.file, base: base)
        var expected = pattern(4 << 20, 50)
        #expect(bench.write(expected, at: 0) == .ok)
        bench.engine.beginCommit()
        for _ in 0..<20 { bench.step() }
        for offset in [0, 3 << 20] {
            let bytes = [UInt8](repeating: UInt8(offset >> 20), count: 1024)
            expected.replaceSubrange((offset + 512)..<(offset + 1536), with: bytes)
            _ = bench.submit(.write, at: offset + 512, Buffer(bytes))
        }
        bench.pump()
        #expect(bench.engine.committed == nil)
        #expect(same(bench.disk, expected))
        #expect(bench.engine.ownBytes == 2 * 4096)
        #expect(bench.engine.stop())
    }

    @Test(arguments: [(.write, .readOnly), (.flush, .ioError)] as [(BlockOperation, Status)])
    func aCommitThatFailsLosesNothing(_ operation: BlockOperation, _ status: Status) throws {
        let bench = try Bench(folder.file, base: pattern(1 << 20))
        let written = pattern(1 << 20, 3)
        #expect(bench.write(written, at: 0) == .ok)
        bench.baseFailure = (operation, status)
        bench.engine.beginCommit()
        bench.pump()
        #expect(
            bench.log.first?.hasPrefix("commit has come to nothing, and the overlay has all changes still: ") == true)
        #expect(bench.engine.ownBytes == 1 << 20 && bench.engine.committed == nil)
        #expect(same(bench.disk, written))
        #expect(bench.engine.stop())
    }

    @Test func discardGoesBackToTheBase() throws {
        let base = pattern(1 << 20)
        let bench = try Bench(folder.file, base: base)
        #expect(bench.write(pattern(1 << 20, 9), at: 0) == .ok)
        #expect(bench.perform(.flush) == .ok)
        _ = bench.submit(.flush)
        #expect(!bench.engine.isIdle)
        bench.pump()
        #expect(bench.engine.isIdle)
        bench.engine.discard()
        bench.pump()
        #expect(same(bench.disk, base) && bench.engine.ownBytes == 0)
        #expect(bench.engine.stop())
        try FileManager.default.copyItem(atPath: folder.file, toPath: folder.path + "/copy")
        let again = try Bench(folder.path + "/copy", base: base)
        #expect(same(again.disk, base))
        #expect(again.engine.stop())
    }
}
