import BackendSupport
import Foundation
import Glibc
import Testing

@testable import RawImage

@Suite struct MediumTests {
    private let folder: Folder
    init() throws { folder = try Folder() }

    private func medium(_ path: String, _ mode: ImageMode) throws -> ImageMedium {
        try ImageMedium(try ImageFile(path: path, mode: mode, sectorSize: 512), directory: folder.path)
    }

    private func read(_ medium: ImageMedium, _ offset: UInt64, _ count: Int) throws -> [UInt8] {
        let buffer = Buffer(count: count)
        try medium.read(at: offset, into: buffer.raw)
        return buffer.bytes
    }

    private func write(_ medium: ImageMedium, _ offset: UInt64, _ bytes: [UInt8]) throws {
        try medium.write(at: offset, UnsafeRawBufferPointer(Buffer(bytes).raw))
    }

    @Test func readWriteReachesTheFile() throws {
        let path = try folder.image(count: 4096)
        let disk = try medium(path, .readWrite)
        try write(disk, 1024, [UInt8](repeating: 7, count: 512))
        try disk.flush()
        var expected = pattern(4096)
        expected.replaceSubrange(1024..<1536, with: [UInt8](repeating: 7, count: 512))
        #expect(Folder.contents(path) == expected)
        #expect(try read(disk, 0, 4096) == expected)
    }

    @Test func snapshotLeavesTheFileAlone() throws {
        let path = try folder.image(count: 65536)
        let disk = try medium(path, .snapshot)
        try write(disk, 512, [UInt8](repeating: 7, count: 1024))
        #expect(try read(disk, 512, 1024) == [UInt8](repeating: 7, count: 1024))
        #expect(Folder.contents(path) == pattern(65536))
        #expect(disk.overlayLength == 4096)
        let again = try medium(path, .snapshot)
        #expect(try read(again, 512, 1024) == Array(pattern(65536)[512..<1536]))
    }

    @Test func theOverlayHasNoName() throws {
        let path = try folder.image(count: 8192)
        let disk = try medium(path, .snapshot)
        try write(disk, 0, [UInt8](repeating: 1, count: 512))
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["disk.img"])
    }

    /// The rest of a cluster that is written in part is the image's; an image may end inside a cluster.
    @Test func partialClustersAreFilledFromTheImage() throws {
        let count = 3 * 4096 + 512
        let path = try folder.image(count: count)
        let disk = try medium(path, .snapshot)
        var model = pattern(count)
        let writes = [(4096 + 512, 512), (4096 * 3, 512), (4000, 200), (0, 1), (count - 1, 1), (4095, 4098)]
        for (offset, length) in writes {
            let bytes = [UInt8](repeating: UInt8(length % 200), count: length)
            try write(disk, UInt64(offset), bytes)
            model.replaceSubrange(offset..<(offset + length), with: bytes)
            #expect(try read(disk, 0, count) == model)
        }
        #expect(disk.overlayLength == 4 * 4096)
    }

    @Test func snapshotBehavesAsAFileDoes() throws {
        let count = 40 * 4096 + 1536
        let path = try folder.image(count: count)
        let disk = try medium(path, .snapshot)
        var model = pattern(count)
        for _ in 0..<400 {
            let start = Int.random(in: 0..<count)
            let length = Int.random(in: 0...min(20000, count - start))
            if Bool.random() {
                let bytes = (0..<length).map { _ in UInt8.random(in: 0...255) }
                try write(disk, UInt64(start), bytes)
                model.replaceSubrange(start..<(start + length), with: bytes)
            } else {
                #expect(try read(disk, UInt64(start), length) == Array(model[start..<(start + length)]))
                // Not where a file system cannot tell.
                let cached = Buffer(count: length)
                if disk.readAtOnce(at: UInt64(start), into: cached.raw) {
                    #expect(cached.bytes == Array(model[start..<(start + length)]))
                }
            }
        }
        #expect(try read(disk, 0, count) == model)
        #expect(Folder.contents(path) == pattern(count))
    }

    @Test func aFileThatWasCutShortIsAnError() throws {
        let path = try folder.image(count: 8192)
        let disk = try medium(path, .readWrite)
        #expect(truncate(path, 4096) == 0)
        #expect(throws: HostCallError(code: 5)) { try read(disk, 0, 8192) }
    }

    @Test func aFolderThatTakesNoOverlayIsASentence() throws {
        let path = try folder.image(count: 512)
        let file = try ImageFile(path: path, mode: .snapshot, sectorSize: 512)
        let error = try #require(throws: ImageError.self) { try ImageMedium(file, directory: "/nowhere") }
        #expect(
            error.text
                == "a temporary file for mode: snapshot cannot be made in '/nowhere': No such file or directory")
    }

    @Test func clustersFarApartAreToldApart() {
        var set = ClusterSet()
        let numbers: [UInt64] = [0, 63, 64, 32767, 32768, 1 << 40, UInt64.max]
        for number in numbers { set.insert(number) }
        for number in numbers { #expect(set.contains(number)) }
        for number in [1, 62, 65, 32766, 32769, 1 << 41] as [UInt64] { #expect(!set.contains(number)) }
        set.insert(64)
        #expect(set.count == 7)
    }
}

@Suite struct HoleTests {
    /// What a file system without holes answers is no error: the worker writes zeros then.
    @Test func zeroesAreAHoleInTheFile() throws {
        let folder = try Folder()
        let path = folder.path + "/disk.img"
        let file = try #require(fopen(path, "w"))
        fwrite([UInt8](repeating: 0xAA, count: 1 << 20), 1, 1 << 20, file)
        fclose(file)
        let image = try ImageFile(path: path, mode: .readWrite, sectorSize: 512)
        let medium = try ImageMedium(image, directory: folder.path)
        guard try medium.punch(at: 8192, length: 65536) else { return }
        var bytes = [UInt8](repeating: 1, count: 3 * 4096)
        try bytes.withUnsafeMutableBytes { try medium.read(at: 4096, into: $0) }
        #expect(bytes[..<4096].allSatisfy { $0 == 0xAA } && bytes[4096...].allSatisfy { $0 == 0 })
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_size == 1 << 20 && status.st_blocks * 512 < 1 << 20)
    }

    @Test func snapshotsKnowNoHoles() throws {
        let folder = try Folder()
        let path = folder.path + "/disk.img"
        let file = try #require(fopen(path, "w"))
        fwrite([UInt8](repeating: 0xAA, count: 8192), 1, 8192, file)
        fclose(file)
        let medium = try ImageMedium(
            try ImageFile(path: path, mode: .snapshot, sectorSize: 512), directory: folder.path)
        #expect(try !medium.punch(at: 0, length: 4096))
    }
}
