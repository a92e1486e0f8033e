import Glibc
import Images
import Testing

@Suite struct ImageFileTests {
    /// A directory of the test's own, removed with everything in it.
    private final class Folder {
        let path: String
        init() {
            var template = Array("/tmp/backplane-images-XXXXXX".utf8CString)
            path = mkdtemp(&template).map { String(cString: $0) } ?? ""
        }
        deinit {
            for name in ["file", "empty", "pipe"] { unlink(path + "/" + name) }
            rmdir(path)
        }
        func write(_ name: String, _ bytes: [UInt8]) -> String {
            let file = path + "/" + name
            let descriptor = open(file, O_CREAT | O_WRONLY | O_TRUNC, 0o600)
            _ = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            close(descriptor)
            return file
        }
    }

    private func error(_ path: String, limit: UInt64 = 1 << 20) -> String? {
        do {
            _ = try ImageFile.read(path, limit: limit)
            return nil
        } catch { return error.text }
    }

    @Test func aFileIsReadWhole() throws {
        let bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let folder = Folder()
        let path = folder.write("file", bytes)
        #expect(try ImageFile.read(path, limit: 300_000) == bytes)
        #expect(ImageFile.isRegularFile(path))
    }

    @Test func whatCannotBeReadIsNamed() {
        let folder = Folder()
        let missing = folder.path + "/nothing"
        #expect(error(missing) == "cannot open \(missing): No such file or directory")
        #expect(error(folder.path) == "\(folder.path) is a directory")
        #expect(error(folder.write("empty", [])) == "\(folder.path)/empty is empty")
        let file = folder.write("file", [1, 2, 3])
        #expect(error(file, limit: 2) == "\(file) has 3 bytes, more than the 2 that are allowed")
        #expect(!ImageFile.isRegularFile(missing))
        #expect(!ImageFile.isRegularFile(folder.path))
    }

    @Test func aPipeIsRefusedWithoutWaitingForIt() {
        let folder = Folder()
        let pipe = folder.path + "/pipe"
        #expect(mkfifo(pipe, 0o600) == 0)
        #expect(error(pipe) == "\(pipe) is not a regular file")
    }

    @Test func theNameIsWhatFollowsTheLastSlash() {
        #expect(ImageFile.name("/a/b/kernel.elf") == "kernel.elf")
        #expect(ImageFile.name("kernel.elf") == "kernel.elf")
    }
}
