import BackendSupport
import Foundation
import OverlayStore
import Testing

/// The file's format, by its own numbers.
@Suite struct FileTests {
    private let folder: Folder
    private let geometry = DiskGeometry(sectorSize: 512, sectors: 2049)
    init() throws { folder = try Folder() }

    private func error(_ geometry: DiskGeometry? = nil) -> String? {
        do throws(OverlayError) {
            // The map is read by the engine.
            let base = [UInt8](repeating: 0, count: Int((geometry ?? self.geometry).length))
            let bench = try Bench(folder.file, base: base, sectorSize: (geometry ?? self.geometry).sectorSize)
            _ = bench.engine.stop()
            return nil
        } catch { return error.text }
    }

    private func change(_ body: (inout [UInt8]) -> Void) throws {
        var bytes = contents(folder.file)
        body(&bytes)
        try Data(bytes).write(to: URL(fileURLWithPath: folder.file))
    }

    private func number(_ bytes: [UInt8], _ range: Range<Int>) -> UInt64 {
        bytes[range].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// 2049 sectors are 257 clusters of 4096 bytes, whose bits fit into one block behind the header.
    @Test func aNewFileHasItsHeaderAndTakesNoRoom() throws {
        #expect(error() == nil)
        let bytes = contents(folder.file)
        #expect(bytes.count == 4096 + 4096 + 257 * 4096)
        #expect(bytes.starts(with: "BPOVRLAY".utf8))
        #expect(number(bytes, 8..<12) == 1 && number(bytes, 12..<16) == 4096)
        #expect(number(bytes, 16..<24) == 2049 * 512 && number(bytes, 24..<28) == 512)
        #expect(number(bytes, 32..<40) == 4096 && number(bytes, 40..<48) == 8192)
        var status = stat()
        #expect(stat(folder.file, &status) == 0 && status.st_blocks * 512 <= 16 << 10)
        #expect(error() == nil)
    }

    @Test func anotherBaseIsRefused() throws {
        #expect(error() == nil)
        #expect(
            error(DiskGeometry(sectorSize: 512, sectors: 2050))
                == "'\(folder.file)' belongs to a base of 1049088 bytes in sectors of 512; this one has 1049600 in sectors of 512"
        )
        #expect(error(DiskGeometry(sectorSize: 1024, sectors: 1024))?.contains("belongs to a base of") == true)
    }

    @Test func whatIsDamagedIsSaidToBeSo() throws {
        #expect(error() == nil)
        let whole = contents(folder.file)
        for offset in [8, 17, 30, 41, 50, 60, 4095] {
            try change { $0[offset] ^= 0x10 }
            #expect(error()?.hasSuffix("its header is damaged") == true, "\(offset)")
            try Data(whole).write(to: URL(fileURLWithPath: folder.file))
        }
        try change { $0[0] = 0 }
        #expect(error() == "'\(folder.file)' is no overlay")
        try Data(whole.dropLast()).write(to: URL(fileURLWithPath: folder.file))
        #expect(error() == "'\(folder.file)' is cut off: it has \(whole.count - 1) bytes of \(whole.count)")
        try Data(whole.prefix(100)).write(to: URL(fileURLWithPath: folder.file))
        #expect(error() == "'\(folder.file)' is no overlay, or one without its header")
        try Data(whole).write(to: URL(fileURLWithPath: folder.file))
        // Cluster 257 is beyond the end.
        try change { $0[4096 + 32] = 0b10 }
        #expect(error() == "'\(folder.file)': its map of clusters is damaged: it has some beyond the disk's end")
        try change { $0[4096 + 32] = 0b1 }
        #expect(error() == nil)
    }

    @Test func aSecondMachineIsRefused() throws {
        let first = try OverlayFile(path: folder.file, geometry: geometry)
        #expect(error() == "'\(folder.file)' is in use by another machine")
        withExtendedLifetime(first) {}
    }

    @Test func onlyRegularFilesOfPossibleSizesWillDo() throws {
        func text(_ path: String, _ geometry: DiskGeometry) -> String? {
            do throws(OverlayError) {
                _ = try OverlayFile(path: path, geometry: geometry)
                return nil
            } catch { return error.text }
        }
        #expect(text("/dev/null", geometry) == "'/dev/null' is no regular file")
        #expect(text(folder.path, geometry)?.contains("cannot be opened for writing") == true)
        #expect(text(folder.file, .init(sectorSize: 512, sectors: 1 << 50))?.contains("is too large") == true)
        #expect(text(folder.file, .init(sectorSize: 512, sectors: 0))?.contains("is too large") == true)
    }
}
