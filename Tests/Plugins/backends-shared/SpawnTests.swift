import BackendSupport
import CBackendSupport
import Glibc
import Testing

@Suite struct SpawnTests {
    private final class Box: @unchecked Sendable { var process: Int32 = 0 }

    private func spawn(_ words: [String], output: Int32) -> Int32 {
        var texts = words.map { strdup($0) }
        defer { texts.forEach { free($0) } }
        texts.append(nil)
        return bh_spawn(words[0], texts, output)
    }

    private func pipe() -> (out: Descriptor, in: Descriptor) {
        var ends: [Int32] = [0, 0]
        #expect(bh_pipe(&ends) == 0)
        return (Descriptor(ends[0]), Descriptor(ends[1]))
    }

    private func ends(_ process: Int32) -> Bool {
        for _ in 0..<12000 {
            if bh_reap(process) == 1 { return true }
            usleep(5000)
        }
        return false
    }

    @Test func aProgramHasItsOutputAndNothingElseOpen() throws {
        let (out, input) = pipe()
        let leaked = dup(out.raw)
        let process = spawn(["/bin/sh", "-c", "ls /proc/self/fd; read x || echo none >&2"], output: input.raw)
        #expect(process > 0)
        #expect(ends(process))
        var bytes = [UInt8](repeating: 0, count: 200)
        guard case .bytes(let count) = bytes.withUnsafeMutableBytes({ out.read(into: $0) }) else {
            Issue.record("nothing was said")
            return
        }
        // 3 is the folder that ls reads.
        #expect(String(decoding: bytes[..<count], as: UTF8.self) == "0\n1\n2\n3\nnone\n")
        close(leaked)
    }

    @Test func aProgramThatIsNotThereIsAnError() {
        let (_, input) = pipe()
        #expect(spawn(["/nowhere/x"], output: input.raw) == -ENOENT)
        #expect(spawn(["/etc/passwd"], output: input.raw) == -EACCES)
    }

    @Test func aProgramEndsWithTheThreadThatStartedIt() throws {
        let (box, (_, input)) = (Box(), pipe())
        let thread = try WorkerThread("parent") { box.process = spawn(["/bin/sleep", "100000"], output: input.raw) }
        #expect(thread.join(milliseconds: 60000))
        #expect(box.process > 0)
        #expect(ends(box.process))
    }
}
