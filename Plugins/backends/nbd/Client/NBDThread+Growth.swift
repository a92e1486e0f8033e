import BackendSupport
import CBackendSupport
import Glibc

extension NBDThread {
    /// Nothing is with the server: it ends, as it does without its connection, with all that it holds written back; the image is made larger, and another
    /// server takes its place.
    func grow(to size: UInt64, _ connection: NBDConnection) {
        wantedSize = nil
        guard case .image(let path, let format) = engine.source.place else { return }
        (isGrowing, mayHaveGrown) = (true, true)
        connection.end(milliseconds: 300)
        link = .down(until: 0)
        server?.end()
        server = nil
        do throws(NBDError) { try QEMUImage.resize(path, format, to: size) } catch {
            // It is as it was: its server is to come back.
            engine.link.log(.error, "'\(path)' is not made larger: \(error.text)")
        }
        begin()
    }
}

/// `qemu-img` on an image that nobody has open.
enum QEMUImage {
    /// In milliseconds; to make an image larger is to write a few bytes.
    private static let patience = 10_000

    static func resize(_ path: String, _ format: ImageFormat, to size: UInt64) throws(NBDError) {
        let program = try NBDServer.program("qemu-img")
        let arguments = [program, "resize", "-q", "-f", format.rawValue, "--", path, String(size)]
        let output: Descriptor
        let process: Int32
        do throws(HostCallError) { (output, process) = try NBDServer.spawn(program, arguments) } catch {
            throw NBDError("'\(program)' cannot be started: " + error.text)
        }
        var words: [UInt8] = []
        let deadline = HostClock.milliseconds + patience
        while bh_reap(process) != 1 {
            listen(output, &words)
            guard HostClock.milliseconds < deadline else {
                _ = bh_kill(process, SIGKILL)
                for _ in 0..<500 where bh_reap(process) != 1 { usleep(2000) }
                throw NBDError("qemu-img does not end")
            }
            usleep(2000)
        }
        listen(output, &words)
        guard words.isEmpty else { throw NBDError(Lines.clean(String(decoding: words, as: UTF8.self))) }
    }

    /// It says nothing where all is well.
    private static func listen(_ output: Descriptor, _ words: inout [UInt8]) {
        var bytes = [UInt8](repeating: 0, count: 1024)
        while words.count < 4096, case .bytes(let count) = bytes.withUnsafeMutableBytes({ output.read(into: $0) }) {
            words += bytes[..<count]
        }
    }
}
