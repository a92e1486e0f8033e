import BackendSupport
import Foundation
import NBDClient
import PluginKit
import enum PluginKit.BlockOperation
import Testing

/// Images behind a qemu-nbd of the engine's own.
@Suite(.enabled(if: Peers.hasQEMU), .serialized) struct QEMUTests {
    private let folder: Folder
    init() throws { folder = try Folder() }

    private func source(_ path: String, _ format: ImageFormat? = nil, readOnly: Bool = false) throws -> NBDSource {
        try NBDSource(image: path, format: format, isReadOnly: readOnly)
    }

    private func error(_ body: () throws -> Void) -> String {
        do {
            try body()
            return ""
        } catch { return (error as? NBDError)?.text ?? "\(error)" }
    }

    /// A qcow2 image over a raw one of a mebibyte that tells its place.
    private func image() throws -> (path: String, base: String) {
        let base = try folder.write("base.img", pattern(1 << 20))
        let path = folder.path + "/disk, with: a name.qcow2"
        let made = try Peers.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", path)
        try #require(made.status == 0, "\(made.output)")
        return (path, base)
    }

    private func contents(_ path: String) -> [UInt8] {
        FileManager.default.contents(atPath: path).map { [UInt8]($0) } ?? []
    }

    /// Those that have `path` as an argument.
    private func processes(_ path: String) -> [Int32] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap { Int32($0) }.filter { number in
            guard let line = FileManager.default.contents(atPath: "/proc/\(number)/cmdline") else { return false }
            let words = line.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
            return words.first?.hasSuffix("qemu-nbd") == true && words.last == path
        }
    }

    @Test func aQcow2ImageReadsThroughItsBackingFileAndLeavesItAlone() throws {
        let (path, base) = try image()
        let bench = try Bench(try source(path))
        #expect(bench.export.size == 1 << 20)
        let target = Buffer(count: 1 << 20)
        #expect(bench.perform(.read, target) == .ok)
        #expect(target.holds(pattern(1 << 20)))
        let written = Buffer(pattern(70000 / 512 * 512, 9))
        #expect(bench.perform(.write, written, at: 512) == .ok)
        #expect(bench.perform(.writeZeroes, at: 512 << 10, length: 64 << 10) == .ok)
        #expect(bench.perform(.discard, at: 640 << 10, length: 64 << 10) == .ok)
        #expect(bench.perform(.flush) == .ok)
        #expect(bench.engine.stop())
        #expect(processes(path) == [])
        #expect(contents(base).elementsEqual(pattern(1 << 20)) as Bool)
        let check = try Peers.run("qemu-img", "check", path)
        #expect(check.status == 0, "\(check.output)")
        let again = try Bench(try source(path))
        #expect(again.perform(.read, target) == .ok)
        #expect(target.bytes[512..<(512 + written.raw.count)].elementsEqual(written.bytes) as Bool)
        #expect(target.bytes[(512 << 10)..<(576 << 10)].allSatisfy { $0 == 0 } as Bool)
        #expect(again.engine.stop())
    }

    /// Nothing is left of the folder with the socket once it is connected.
    @Test func theSocketIsNobodyElses() throws {
        let (path, _) = try image()
        let bench = try Bench(try source(path))
        let number = try #require(processes(path).first)
        let line = try #require(FileManager.default.contents(atPath: "/proc/\(number)/cmdline"))
        let words = line.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
        let socket = try #require(words.first { $0.hasPrefix("--socket=") }).dropFirst(9)
        #expect(
            !FileManager.default.fileExists(
                atPath: (socket as Substring).split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 }))
        #expect(bench.engine.stop())
    }

    @Test func anImageGrowsAndRequestsWaitMeanwhile() throws {
        let (path, _) = try image()
        let bench = try Bench(try source(path))
        let written = Buffer(pattern(4096, 3))
        #expect(bench.perform(.write, written) == .ok)
        bench.engine.grow(to: 2 << 20)
        #expect(bench.perform(.write, written, at: (2 << 20) - 4096) == .ok)
        #expect(bench.engine.statistics.connections == 2 && bench.engine.statistics.errors == 0)
        let target = Buffer(count: 4096)
        #expect(bench.perform(.read, target) == .ok && target.holds(pattern(4096, 3)))
        bench.engine.grow(to: 1 << 20)
        #expect(bench.perform(.read, target, at: (2 << 20) - 4096) == .ok, "qemu-img refuses to shrink it")
        #expect(target.holds(pattern(4096, 3)) && bench.engine.statistics.connections == 3)
        #expect(bench.engine.stop())
        let check = try Peers.run("qemu-img", "check", path)
        #expect(check.status == 0, "\(check.output)")
    }

    @Test func aKilledServerIsStartedAgain() throws {
        let (path, _) = try image()
        let bench = try Bench(try source(path))
        let written = Buffer(pattern(4096, 3))
        #expect(bench.perform(.write, written) == .ok)
        #expect(bench.perform(.flush) == .ok)
        let number = try #require(processes(path).first)
        kill(number, SIGKILL)
        #expect(bench.waits(for: false) && bench.waits(for: true))
        #expect(processes(path).count == 1 && processes(path) != [number])
        let target = Buffer(count: 4096)
        #expect(bench.perform(.read, target) == .ok)
        #expect(target.holds(written.bytes))
        #expect(bench.engine.stop())
        #expect(processes(path) == [])
    }

    @Test func aStoppedServerHoldsUpTheEndForItsTimeOnly() throws {
        let (path, _) = try image()
        let bench = try Bench(try source(path))
        let number = try #require(processes(path).first)
        kill(number, SIGSTOP)
        #expect(bench.engine.submit(Buffer(count: 512).request(.read, at: 0, tag: 1)))
        #expect(bench.engine.stop())
        #expect(processes(path) == [])
    }

    @Test func anImageThatCannotBeOpenedIsNamedWithTheReason() throws {
        let (path, base) = try image()
        let first = try Bench(try source(path))
        let locked = error { _ = try Bench(try source(path)) }
        #expect(locked == "'\(path)' is in use by another writer")
        #expect(first.engine.stop())
        try FileManager.default.removeItem(atPath: base)
        let missing = error { _ = try Bench(try source(path)) }
        #expect(missing.contains("base.img") && missing.contains("No such file"), "\(missing)")
        let cut = try folder.write("cut.qcow2", Array(contents(path).prefix(40)))
        let text = error { _ = try Bench(try source(cut)) }
        #expect(text.hasPrefix("'\(cut)': ") && text.count > cut.count + 10, "\(text)")
        #expect(processes(cut) == [] && processes(path) == [])
    }

    @Test func aCircularChainIsAnError() throws {
        let (path, base) = try image()
        #expect(try Peers.run("qemu-img", "rebase", "-u", "-f", "qcow2", "-b", path, "-F", "qcow2", path).status == 0)
        let text = error { _ = try Bench(try source(path)) }
        #expect(text.hasPrefix("'\(path)': "), "\(text)")
        #expect(processes(path) == [])
        withExtendedLifetime(base) {}
    }

    /// qemu-nbd would let two write a raw image.
    @Test(arguments: [ImageFormat.raw, .qcow2]) func aSecondWriterIsRefused(_ format: ImageFormat) throws {
        let (path, base) = try image()
        let one = format == .raw ? base : path
        let first = try Bench(try source(one, format))
        for readOnly in [false, true] {
            let text = error { _ = try Bench(try source(one, format, readOnly: readOnly)) }
            #expect(text == "'\(one)' is in use by another writer")
        }
        #expect(first.engine.stop())
        let reader = try Bench(try source(one, format, readOnly: true))
        #expect(
            error { _ = try Bench(try source(one, format)) }
                == "'\(one)' is in use by a reader, and cannot be opened for writing meanwhile")
        #expect(reader.engine.stop())
    }

    @Test func readOnlyMayBeSharedAndIsNotWritten() throws {
        let (path, _) = try image()
        let (first, second) = (try Bench(try source(path, readOnly: true)), try Bench(try source(path, readOnly: true)))
        #expect(first.export.isReadOnly)
        #expect(second.perform(.write, Buffer(count: 512)) == .readOnly)
        #expect(first.engine.stop() && second.engine.stop())
    }

    /// What a guest writes to a raw image must not make it another format at the next start.
    @Test func aGuessedRawImageDoesNotBecomeAQcow2() throws {
        let path = try folder.write("raw.img", pattern(64 << 10))
        let header = Buffer([0x51, 0x46, 0x49, 0xfb] + [UInt8](repeating: 0, count: 508))
        let guessed = try Bench(try source(path))
        #expect(guessed.perform(.write, header) == .refused)
        #expect(guessed.perform(.write, header, at: 512) == .ok)
        #expect(guessed.log.first?.contains("format: raw allows it") == true)
        #expect(guessed.engine.stop())
        #expect(Array(contents(path).prefix(512)) == pattern(512))
        let named = try Bench(try source(path, .raw))
        #expect(named.perform(.write, header) == .ok)
        #expect(named.engine.stop())
        let again = try Bench(try source(path, .raw))
        #expect(again.export.size == 64 << 10)
        #expect(again.engine.stop())
    }
}
