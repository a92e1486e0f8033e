import BackendSupport
import Foundation
import Glibc
import RawImage
import Testing

@Suite struct ImageFileTests {
    private let folder: Folder
    init() throws { folder = try Folder() }

    private func open(
        _ path: String, _ mode: ImageMode = .readWrite, sector: UInt32 = 512
    ) throws(ImageError) -> ImageFile {
        try ImageFile(path: path, mode: mode, sectorSize: sector)
    }

    private func text(_ path: String, _ mode: ImageMode = .readWrite, sector: UInt32 = 512) -> String? {
        do throws(ImageError) {
            _ = try open(path, mode, sector: sector)
            return nil
        } catch {
            return error.text
        }
    }

    @Test func geometryIsInWholeSectors() throws {
        let path = try folder.image(count: 512 * 9)
        let file = try open(path)
        #expect(file.geometry == DiskGeometry(sectorSize: 512, sectors: 9))
        #expect(file.warnings == [])
    }

    @Test func aTailIsIgnoredAndSaidSo() throws {
        let path = try folder.image(count: 10000)
        let file = try open(path, sector: 4096)
        #expect(file.geometry == DiskGeometry(sectorSize: 4096, sectors: 2))
        #expect(file.warnings == ["'\(path)' has 10000 bytes, not a multiple of 4096: the last 1808 are ignored"])
    }

    @Test func lessThanASectorIsAnError() throws {
        let path = try folder.image(count: 511)
        #expect(text(path) == "'\(path)' has 511 bytes, less than one sector of 512")
    }

    @Test func aMissingFileSuggestsHowToMakeOne() {
        let path = folder.path + "/none.img"
        #expect(text(path) == "there is no file '\(path)': `backplane disk create` makes one")
    }

    @Test func onlyFilesAndBlockDevicesAreImages() throws {
        let fifo = folder.path + "/fifo"
        try #require(mkfifo(fifo, 0o600) == 0)
        for mode in [ImageMode.readWrite, .readOnly, .snapshot] {
            #expect(text(fifo, mode) == "'\(fifo)' is neither a regular file nor a block device")
            #expect(text("/dev/zero", mode) == "'/dev/zero' is neither a regular file nor a block device")
        }
        #expect(text(folder.path) == "'\(folder.path)' is a directory, not a disk image")
    }

    @Test func aSecondWriterIsRefused() throws {
        let path = try folder.image(count: 512)
        var first: ImageFile? = try open(path)
        for mode in [ImageMode.readWrite, .readOnly, .snapshot] {
            #expect(text(path, mode) == "'\(path)' is in use by another writer")
        }
        #expect(first != nil)
        first = nil
        #expect(text(path) == nil)
    }

    @Test func readersShareAndKeepWritersOut() throws {
        let path = try folder.image(count: 512)
        let first = try open(path, .readOnly)
        let second = try open(path, .snapshot)
        #expect(text(path) == "'\(path)' is in use by a reader, and cannot be opened for writing meanwhile")
        withExtendedLifetime((first, second)) {}
    }

    /// As the host lists it: a lock of the open file, not of the process, so that other processes meet it too.
    @Test func theLockIsTheHosts() throws {
        let path = try folder.image(count: 512)
        let inode = try Descriptor.open(path, O_RDONLY).status().inode
        let file = try open(path)
        let all = try Descriptor.open("/proc/locks", O_RDONLY)
        var text: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        while case .bytes(let count) = piece.withUnsafeMutableBytes({ all.read(into: $0) }) { text += piece[..<count] }
        let lines = String(decoding: text, as: UTF8.self).split(separator: "\n")
        let line = lines.first { $0.contains(":\(inode) ") }
        #expect(line?.contains("OFDLCK") == true && line?.contains("WRITE") == true)
        withExtendedLifetime(file) {}
    }

    @Test func rangesBeyondTheEndAreFound() {
        let disk = DiskGeometry(sectorSize: 512, sectors: 10)
        #expect(disk.bytes(sector: 9, count: 1)! == (4608, 512))
        #expect(disk.bytes(sector: 10, count: 0)! == (5120, 0))
        #expect(disk.bytes(sector: 10, count: 1) == nil)
        #expect(disk.bytes(sector: 9, count: 2) == nil)
        #expect(disk.bytes(sector: .max, count: 1) == nil)
        #expect(disk.bytes(sector: 1, count: .max) == nil)
        #expect(disk.bytes(sector: 1 << 55, count: 1 << 55) == nil)
    }
}
