import BackendSupport
import CaptureWriting
import Glibc
import SplitMix
import Testing

/// A reader of pcapng by draft-ietf-opsawg-pcapng, with its own numbers.
private struct Reader {
    struct Packet: Equatable {
        var time: UInt64
        var bytes: [UInt8]
        /// By code.
        var options: [Int: [UInt8]]
    }

    var packets: [Packet] = []
    var interfaceOptions: [Int: [UInt8]] = [:]
    var linkType = 0

    /// nil: the file ends within a block, or a block's two lengths differ.
    init?(_ bytes: [UInt8]) {
        func number(_ offset: Int, _ count: Int) -> UInt64 {
            bytes[offset..<offset + count].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        var offset = 0
        while offset < bytes.count {
            guard bytes.count - offset >= 12 else { return nil }
            let (type, length) = (number(offset, 4), Int(number(offset + 4, 4)))
            guard length >= 12, length % 4 == 0, length <= bytes.count - offset,
                number(offset + length - 4, 4) == length
            else { return nil }
            let end = offset + length - 4
            switch type {
            case 0x0A0D_0D0A:
                guard offset == 0, number(8, 4) == 0x1A2B_3C4D, number(12, 2) == 1, number(14, 2) == 0 else {
                    return nil
                }
            case 1:
                linkType = Int(number(offset + 8, 2))
                interfaceOptions = Self.options(bytes[(offset + 16)..<end])
            case 6:
                let count = Int(number(offset + 20, 4))
                let padded = (count + 3) / 4 * 4
                guard number(offset + 8, 4) == 0, number(offset + 24, 4) == count, 28 + padded <= length - 4 else {
                    return nil
                }
                packets.append(
                    Packet(
                        time: number(offset + 12, 4) << 32 | number(offset + 16, 4),
                        bytes: Array(bytes[offset + 28..<offset + 28 + count]),
                        options: Self.options(bytes[(offset + 28 + padded)..<end])))
            case 0x8000_0000: break  // local use: to be skipped
            default: return nil
            }
            offset += length
        }
    }

    private static func options(_ bytes: ArraySlice<UInt8>) -> [Int: [UInt8]] {
        var (rest, options): (ArraySlice<UInt8>, [Int: [UInt8]]) = (bytes, [:])
        while rest.count >= 4 {
            let words = Array(rest.prefix(4))
            let (code, length) = (Int(words[0]) | Int(words[1]) << 8, Int(words[2]) | Int(words[3]) << 8)
            if code == 0 { break }
            options[code] = Array(rest.dropFirst(4).prefix(length))
            rest = rest.dropFirst(4 + (length + 3) / 4 * 4)
        }
        return options
    }
}

private final class Files {
    let directory: String
    init() {
        var template = Array("/tmp/backplane-capture-XXXXXX".utf8CString)
        directory = mkdtemp(&template).map { String(cString: $0) } ?? "/tmp"
    }
    deinit {
        unlink(path)
        rmdir(directory)
    }
    var path: String { directory + "/frames.pcapng" }
    var contents: [UInt8] {
        guard let file = fopen(path, "r") else { return [] }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 64 << 20)
        let count = fread(&bytes, 1, bytes.count, file)
        return Array(bytes.prefix(count))
    }
}

@Suite struct CaptureTests {
    private final class Log: @unchecked Sendable {
        let monitor = Monitor()
        private var lines: [String] = []
        func add(_ line: String) { monitor.locked { lines.append(line) } }
        var all: [String] { monitor.locked { lines } }
    }

    private func writer(_ files: Files, _ log: Log, limit: Int64 = 1 << 40) throws -> CaptureWriter {
        let writer = CaptureWriter(
            name: "it", file: try CaptureFile(path: files.path), limit: limit,
            link: HostLink(post: { _ in true }, log: { _, line in log.add(line) }))
        try writer.start(head: PcapNG.head(interface: "cap0"))
        return writer
    }

    private func frame(_ count: Int, _ first: UInt8 = 0x52) -> [UInt8] {
        [first] + (1..<max(count, 1)).map { UInt8(truncatingIfNeeded: $0) }
    }

    @Test func fileHasFramesWithTimesAndDirections() throws {
        let (files, log) = (Files(), Log())
        let writer = try writer(files, log)
        let frames = [frame(60), frame(61, 0x33), [UInt8](repeating: 0xFF, count: 62), frame(1514), frame(1)]
        for (index, frame) in frames.enumerated() {
            frame.withUnsafeBytes {
                writer.add($0, at: 1_700_000_000_123_456_789 + UInt64(index), index % 2 == 0 ? .outbound : .inbound)
            }
        }
        #expect(writer.stop())
        let reader = try #require(Reader(files.contents))
        #expect(reader.linkType == 1)
        #expect(reader.interfaceOptions[2] == Array("cap0".utf8) && reader.interfaceOptions[9] == [9])
        #expect(reader.packets.map(\.bytes) == frames)
        #expect(reader.packets.map(\.time) == (0..<5).map { 1_700_000_000_123_456_789 + $0 })
        // epb_flags: outbound is 2, inbound 1; unicast 1, multicast 2 and broadcast 3 in bits 4:2.
        #expect(
            reader.packets.map { $0.options[2] } == [
                [6, 0, 0, 0], [9, 0, 0, 0], [14, 0, 0, 0], [5, 0, 0, 0], [2, 0, 0, 0],
            ])
        #expect(writer.totals == .init(captured: 5, lost: 0))
    }

    @Test func fileIsValidAtEveryMomentThatAReaderLooks() throws {
        let (files, log) = (Files(), Log())
        let writer = try writer(files, log)
        // An empty file has its head.
        #expect(Reader(files.contents)?.packets.isEmpty == true)
        for round in 1...20 {
            frame(round * 50).withUnsafeBytes { writer.add($0, at: UInt64(round), .inbound) }
            while writer.totals.captured < UInt64(round) { usleep(1000) }
            #expect(Reader(files.contents)?.packets.count == round)
        }
        #expect(writer.stop())
    }

    /// Of the lengths that there are, none but those beyond a page leave a write that reaches over its end.
    @Test func writesStayWithinAPage() throws {
        var random = SplitMix64(seed: 6)
        var blocks = (0..<3000).map { number in
            let size = [Int(random.next() % 1600), 1514, 4040 + Int(random.next() % 16), Int(random.next() % 9000)][
                Int(random.next() % 4)]
            return frame(size).withUnsafeBytes { PcapNG.packet($0, at: UInt64(number), .inbound, lost: 0) }
        }[...]
        var file = PcapNG.head(interface: "x")
        while !blocks.isEmpty {
            let (bytes, count) = PageLayout.next(blocks, at: Int64(file.count))
            try #require(!bytes.isEmpty)
            let isLong = blocks.prefix(count).contains { $0.count > 4084 && $0.count != 4096 }
            #expect(isLong || file.count / 4096 == (file.count + bytes.count - 1) / 4096)
            file += bytes
            blocks = blocks.dropFirst(count)
        }
        let reader = try #require(Reader(file))
        #expect(reader.packets.map(\.time) == (0..<3000).map { UInt64($0) })
    }

    @Test func fileThatIsAsLongAsItMayBeEndsWithAWholeBlock() throws {
        let (files, log) = (Files(), Log())
        let writer = try writer(files, log, limit: 4096)
        for _ in 0..<100 {
            frame(500).withUnsafeBytes { writer.add($0, at: 1, .inbound) }
            usleep(500)
        }
        #expect(writer.stop())
        let bytes = files.contents
        #expect(bytes.count <= 4096 && bytes.count > 1000)
        #expect(Reader(bytes)?.packets.count == Int(writer.totals.captured))
        #expect(log.all == ["'it' is as long as it may be: no more frames are captured"])
    }

    /// RLIMIT_FSIZE would end the process by a signal: /dev/full is no regular file, and a tmpfs of its own needs root.
    @Test(.enabled(if: geteuid() == 0)) func fullDiskIsALineInTheLogAndTheFileStaysWhole() throws {
        let (files, log) = (Files(), Log())
        guard mount("none", files.directory, "tmpfs", 0, "size=64k") == 0 else {
            return print("no tmpfs can be mounted")
        }
        defer { umount2(files.directory, 2) /* MNT_DETACH */ }
        let writer = try writer(files, log)
        for _ in 0..<20 {
            for _ in 0..<10 { frame(1000).withUnsafeBytes { writer.add($0, at: 1, .outbound) } }
            usleep(2000)
        }
        #expect(writer.stop())
        #expect(
            log.all == ["'it' cannot be written: No space left on device; frames are not captured until it can be"])
        let totals = writer.totals
        #expect(Reader(files.contents)?.packets.count == Int(totals.captured))
        #expect(totals.lost > 0 && totals.captured + totals.lost == 200)
    }

    @Test func whatCannotBeWrittenIsRefused() throws {
        let files = Files()
        #expect(throws: HostCallError(code: EISDIR)) { try CaptureFile(path: files.directory) }
        #expect(throws: HostCallError(code: EINVAL)) { try CaptureFile(path: "/dev/null") }
        let first = try CaptureFile(path: files.path)
        #expect(throws: HostCallError(code: EAGAIN)) { try CaptureFile(path: files.path) }
        withExtendedLifetime(first) {}
    }

    @Test func lostFramesAreToldOfInTheNextBlock() throws {
        let bytes = frame(60).withUnsafeBytes { PcapNG.packet($0, at: 5, .inbound, lost: 0x1234) }
        let reader = try #require(Reader(PcapNG.head(interface: "x") + bytes))
        #expect(reader.packets.first?.options[4] == [0x34, 0x12, 0, 0, 0, 0, 0, 0])
    }
}
