import BackendSupport
import Foundation
import NBDClient
import PluginKit
import enum PluginKit.BlockOperation
import Testing

/// Against nbdkit, a server that can be told to be slow, wrong and gone.
@Suite(.enabled(if: Peers.hasNbdkit), .serialized) struct NbdkitTests {
    private let folder: Folder
    init() throws { folder = try Folder() }

    private func server(_ arguments: String...) throws -> Nbdkit { try Nbdkit(folder, arguments) }

    private func error(_ body: () throws -> Void) -> String {
        do {
            try body()
            return ""
        } catch { return (error as? NBDError)?.text ?? "\(error)" }
    }

    @Test func whatIsWrittenIsRead() throws {
        let bench = try Bench(try server("memory", "64M"))
        #expect(bench.export.size == 64 << 20)
        #expect(!bench.export.isReadOnly && bench.export.canFlush)
        #expect(bench.export.known == [.discard, .writeZeroes])
        let (source, target) = (Buffer(pattern(3_000_320)), Buffer(count: 3_000_320))
        #expect(bench.perform(.write, source, at: 1 << 20) == .ok)
        #expect(bench.perform(.flush) == .ok)
        #expect(bench.perform(.read, target, at: 1 << 20) == .ok)
        #expect(target.holds(source.bytes))
        #expect(bench.perform(.writeZeroes, at: 1 << 20, length: 1 << 20) == .ok)
        #expect(bench.perform(.discard, at: 2 << 20, length: 1 << 20) == .ok)
        #expect(bench.perform(.read, target, at: 1 << 20) == .ok)
        #expect(target.raw[..<(1 << 20)].allSatisfy { $0 == 0 } as Bool)
        #expect(bench.engine.statistics.errors == 0)
        #expect(bench.engine.stop())
    }

    /// 400384 bytes in commands of 65536: seven.
    @Test func requestsAreCutByTheServersLimit() throws {
        let bench = try Bench(
            try server(
                "--filter=blocksize-policy", "memory", "1M", "blocksize-minimum=512", "blocksize-preferred=4096",
                "blocksize-maximum=65536", "blocksize-error-policy=error"))
        #expect(bench.export.maximum == 65536)
        let source = Buffer(pattern(400_384))
        #expect(bench.perform(.write, source, at: 512) == .ok)
        #expect(bench.engine.statistics.parts == 7)
        let target = Buffer(count: 400_384)
        #expect(bench.perform(.read, target, at: 512) == .ok)
        #expect(target.holds(source.bytes))
        #expect(bench.perform(.writeZeroes, length: 1 << 20) == .ok)
        #expect(bench.engine.statistics.parts == 7 + 7 + 16)
        #expect(bench.engine.stop())
    }

    @Test func sectorsSmallerThanTheServersAreRefused() throws {
        let server = try server(
            "--filter=blocksize-policy", "memory", "1M", "blocksize-minimum=4096", "blocksize-preferred=4096",
            "blocksize-maximum=65536", "blocksize-error-policy=error")
        let text = error { _ = try Bench(server) }
        #expect(
            text
                == "'\(server.uri)': the server takes no requests of less than 4096 bytes: sector-size: 4096 has such sectors"
        )
        let bench = try Bench(server, sectorSize: 4096)
        #expect(bench.perform(.write, Buffer(pattern(8192)), at: 4096) == .ok)
        #expect(bench.engine.stop())
    }

    @Test(
        arguments: [
            ("error-pread=EIO", BlockOperation.read, Status.ioError), ("error-pwrite=ENOSPC", .write, .noSpace),
            ("error-pwrite=EPERM", .write, .readOnly), ("error-zero=EIO", .writeZeroes, .ioError),
            ("error-trim=EINVAL", .discard, .ok),
        ] as [(String, BlockOperation, Status)])
    func theServersErrorsAreTheGuests(_ setting: String, _ operation: BlockOperation, _ status: Status) throws {
        let bench = try Bench(try server("--filter=error", "memory", "1M", setting, "error-rate=100%"))
        let hasData = operation == .read || operation == .write
        for _ in 0..<3 {
            #expect(bench.perform(operation, hasData ? Buffer(count: 4096) : nil, at: 512, length: 4096) == status)
        }
        #expect(bench.log.count == (status == .ok ? 0 : 1))
        if status != .ok {
            #expect(bench.log[0].hasPrefix("\(operation) of '\(bench.engine.source.name)' at byte 512 failed: "))
        }
        #expect(bench.perform(.flush) == .ok)
        #expect(bench.engine.stop())
    }

    /// Eight reads that take a second each, one after the other: eight seconds.
    @Test func severalRequestsAreWithTheServerAtATime() throws {
        let bench = try Bench(try server("--filter=delay", "memory", "1M", "rdelay=1"))
        let begin = Date()
        for tag in 0..<8 as Range<UInt64> {
            #expect(bench.engine.submit(Buffer(count: 512).request(.read, at: tag * 4096, tag: tag)))
        }
        #expect(bench.news(8).completions == (0..<8).map { DiskCompletion(tag: $0, status: .ok) })
        #expect(-begin.timeIntervalSinceNow < 7.5)
        #expect(bench.engine.stop())
    }

    /// Reads of what writes before them change, all submitted at once.
    @Test func requestsThatOverlapAreDoneInTheirOrder() throws {
        let bench = try Bench(try server("--filter=delay", "memory", "1M", "wdelay=20ms"))
        let targets = (0..<20).map { _ in Buffer(count: 1024) }
        for index in 0..<20 {
            let source = Buffer([UInt8](repeating: UInt8(index), count: 1024))
            #expect(bench.engine.submit(source.request(.write, at: 512, tag: UInt64(2 * index))))
            #expect(bench.engine.submit(targets[index].request(.read, at: 1024, tag: UInt64(2 * index + 1))))
        }
        #expect(bench.news(40).completions.map(\.tag) == (0..<40).map { UInt64($0) })
        for (index, target) in targets.enumerated() {
            #expect(target.bytes[..<512].allSatisfy { $0 == UInt8(index) })
        }
        #expect(bench.engine.stop())
    }

    @Test func quiesceFlushesWhatTheGuestDidNot() throws {
        let log = folder.path + "/log"
        let bench = try Bench(try server("--filter=log", "memory", "1M", "logfile=\(log)"))
        #expect(bench.engine.quiesce())
        #expect(bench.perform(.write, Buffer(count: 512)) == .ok)
        #expect(!bench.engine.quiesce())
        #expect(bench.news(0, untilQuiet: true).isQuiet)
        #expect(bench.engine.quiesce())
        #expect(try String(contentsOfFile: log, encoding: .utf8).contains(" Flush "))
        #expect(bench.engine.stop())
    }

    @Test func aReadOnlyExportIsSaidToBeSo() throws {
        let bench = try Bench(try server("--readonly", "memory", "1M"))
        #expect(bench.export.isReadOnly)
        #expect(bench.perform(.write, Buffer(count: 512)) == .readOnly)
        #expect(bench.engine.stop())
    }

    /// The largest size that the protocol's users can have, and requests as long.
    @Test func aRidiculousSizeHoldsNothingUp() throws {
        let bench = try Bench(try server("null", "size=9223372036854775807"))
        #expect(bench.export.size == 9_223_372_036_854_775_807)
        let last = bench.export.size / 512 * 512 - 512
        #expect(bench.perform(.read, Buffer(count: 512), at: last) == .ok)
        #expect(bench.engine.submit(.init(.writeZeroes, offset: 0, length: Int(last), tag: 1)))
        #expect(bench.engine.submit(Buffer(count: 512).request(.read, at: last, tag: 2)))
        while bench.engine.statistics.parts < 100 { usleep(1000) }
        bench.engine.cancelAll()
        #expect(bench.perform(.read, Buffer(count: 512), at: last) == .ok)
        #expect(bench.engine.submit(.init(.writeZeroes, offset: 0, length: Int(last), tag: 1)))
        #expect(bench.engine.stop())
    }

    @Test func aServerThatDiesUnderRequestsFailsThemAndIsUsedAgainOnceItIsBack() throws {
        var server: Nbdkit? = try server("--filter=delay", "memory", "1M", "wdelay=3600")
        let bench = try Bench(try #require(server))
        let buffer = Buffer(pattern(512))
        #expect(bench.perform(.read, buffer) == .ok)
        for tag in 0..<30 as Range<UInt64> {
            #expect(bench.engine.submit(buffer.request(tag < 20 ? .write : .read, at: tag * 512, tag: tag)))
        }
        while bench.engine.statistics.parts < 17 { usleep(1000) }
        server?.kill()
        let news = bench.news(30)
        #expect(news.completions == (0..<30).map { DiskCompletion(tag: $0, status: .ioError) })
        #expect(bench.perform(.read, buffer) == .ioError)
        #expect(!bench.engine.statistics.isConnected)
        server = try self.server("memory", "1M")
        #expect(bench.waits(for: true))
        #expect(bench.perform(.read, buffer) == .ok)
        // What had gone out may be lost: the guest is told, once.
        #expect(bench.perform(.flush) == .ioError)
        #expect(bench.perform(.flush) == .ok)
        #expect(bench.engine.statistics.connections == 2)
        #expect(
            bench.log.contains {
                $0.contains("is lost: ") && $0.hasSuffix("the guest gets I/O errors until it is back")
            })
        #expect(bench.log.last == "'\(bench.engine.source.name)' is back")
        #expect(bench.engine.stop())
        withExtendedLifetime(server) {}
    }

    @Test func aDiskOfAnotherSizeIsNotUsedInItsPlace() throws {
        var server: Nbdkit? = try server("memory", "1M")
        let bench = try Bench(try #require(server))
        server?.kill()
        #expect(bench.waits(for: false))
        server = try self.server("memory", "2M")
        let words = "'\(bench.engine.source.name)' is not back: it has 2097152 bytes now, where the disk has 1048576"
        for _ in 0..<12000 where !bench.log.contains(words) { usleep(5000) }
        #expect(bench.log.contains(words))
        #expect(bench.perform(.read, Buffer(count: 512)) == .ioError)
        #expect(bench.engine.stop())
        withExtendedLifetime(server) {}
    }

    /// A stall keeps requests, but neither buffers nor the end.
    @Test func aStalledServerHoldsUpNeitherCancelNorTheEnd() throws {
        let server = try server("memory", "1M")
        let bench = try Bench(server)
        server.hold()
        let buffer = Buffer([UInt8](repeating: 0x55, count: 4096))
        for tag in 0..<40 as Range<UInt64> { #expect(bench.engine.submit(buffer.request(.read, at: 0, tag: tag))) }
        while bench.engine.statistics.parts < 16 { usleep(1000) }
        bench.engine.cancelAll()
        buffer.raw.copyBytes(from: [UInt8](repeating: 0x66, count: 4096))
        #expect(bench.engine.submit(Buffer(count: 512).request(.read, at: 0, tag: 99)))
        #expect(!bench.engine.quiesce())
        server.letGo()
        #expect(bench.news(1).completions.map(\.tag) == [99])
        #expect(buffer.bytes.allSatisfy { $0 == 0x66 })
        server.hold()
        #expect(bench.engine.submit(buffer.request(.write, at: 0, tag: 100)))
        #expect(bench.engine.stop())
        server.letGo()
    }

    @Test func aServerThatSaysNothingIsNotWaitedForLong() throws {
        let server = try server("memory", "1M")
        server.hold()
        let text = error {
            _ = try Bench(try NBDSource(uri: server.uri, export: nil, isReadOnly: false), milliseconds: 1000)
        }
        #expect(text == "'\(server.uri)': the server does not answer within 1 s")
        server.letGo()
    }

    @Test func whoIsNotThereIsSaidInOneLine() throws {
        let uri = "nbd+unix:///?socket=\(folder.path)/none"
        let text = error { _ = try Bench(try NBDSource(uri: uri, export: nil, isReadOnly: false)) }
        #expect(text.hasPrefix("'\(uri)': ") && text.hasSuffix("No such file or directory"))
        let server = try server("memory", "1M", "--exportname=x")
        #expect(server.isRunning)
        let closed = error { _ = try Bench(try NBDSource(uri: "nbd://127.0.0.1:1", export: nil, isReadOnly: false)) }
        #expect(closed.hasPrefix("'nbd://127.0.0.1:1': ") && closed.hasSuffix("Connection refused"))
    }

    /// What comes after a cancel is not answered, and nothing that came before it is.
    @Test func cancelDropsCompletionsThatNobodyHasFetched() throws {
        let bench = try Bench(try server("memory", "1M"))
        for tag in 0..<10 as Range<UInt64> {
            #expect(bench.engine.submit(Buffer(count: 512).request(.read, at: 0, tag: tag)))
        }
        bench.engine.cancelAll()
        #expect(bench.engine.takeNews().completions == [])
        #expect(bench.perform(.read, Buffer(count: 512)) == .ok)
        #expect(bench.engine.stop())
    }

    @Test func requestsBeyondTheLimitAreRefused() throws {
        let server = try server("memory", "1M")
        let bench = try Bench(server)
        server.hold()
        let buffer = Buffer(count: 512)
        for tag in 0..<256 as Range<UInt64> { #expect(bench.engine.submit(buffer.request(.read, at: 0, tag: tag))) }
        #expect(!bench.engine.submit(buffer.request(.read, at: 0, tag: 256)))
        server.letGo()
        #expect(bench.news(256).completions.count == 256)
        #expect(bench.engine.submit(buffer.request(.read, at: 0, tag: 257)))
        #expect(bench.engine.stop())
    }
}
