import BackendSupport
import CBackendSupport
import Glibc

/// A `qemu-nbd` that serves one image to one connection: started and ended by one thread, with which it ends too, however that ends (also
/// by a kill of this process). Without that connection it writes back what it holds and goes.
public final class NBDServer {
    private let process: Int32
    private let socket: String
    private let folder: String
    private let output: Descriptor
    /// Nothing more will come from there.
    private var isSilent = false
    private var words: [UInt8] = []
    private var isReaped = false
    private var wasConnected = false

    /// Of one server: what is beyond goes unread.
    private static let wordsLimit = 8192

    /// The program, as this process's PATH has it.
    public static func program(_ name: String = "qemu-nbd") throws(NBDError) -> String {
        let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/local/bin:/usr/bin"
        for folder in path.split(separator: ":") where access("\(folder)/\(name)", X_OK) == 0 {
            return "\(folder)/\(name)"
        }
        throw NBDError(
            "image: there is no program '\(name)', which opens it (Debian has it in the package qemu-utils)")
    }

    init(path: String, format: ImageFormat, isReadOnly: Bool) throws(NBDError) {
        let program = try NBDServer.program()
        folder = try NBDServer.makeFolder()
        socket = folder + "/socket"
        // Without --persistent it ends when its only client is gone.
        var arguments = [program, "--format=" + format.rawValue, "--socket=" + socket, "--shared=1", "--discard=unmap"]
        if isReadOnly { arguments.append("--read-only") }
        arguments += ["--", path]
        do throws(HostCallError) {
            (output, process) = try NBDServer.spawn(program, arguments)
        } catch {
            rmdir(folder)
            throw NBDError("'\(program)' cannot be started: " + error.text)
        }
    }

    deinit { end() }

    private static func makeFolder() throws(NBDError) -> String {
        let usual = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        // A socket's path has at most 107 bytes.
        let parent = usual.utf8.count <= Int(BH_PATH_LIMIT) - 40 ? usual : "/tmp"
        var path = Array((parent + "/backplane-nbd-XXXXXX").utf8CString)
        let result = bh_private_folder(&path)
        guard result == 0 else {
            throw NBDError("a folder for a socket cannot be made in '\(parent)': " + HostCallError.text(of: -result))
        }
        return String(decoding: path.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    static func spawn(_ program: String, _ arguments: [String]) throws(HostCallError) -> (Descriptor, Int32) {
        var ends: [Int32] = [0, 0]
        try HostCallError.check(bh_pipe(&ends))
        let (output, input) = (Descriptor(ends[0]), Descriptor(ends[1]))
        var texts: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
        defer { texts.forEach { free($0) } }
        texts.append(nil)
        return (output, try HostCallError.check(bh_spawn(program, texts, input.raw)))
    }

    /// A connected socket; nil: it does not listen yet.
    func connect() throws(NBDError) -> Int32? {
        var progress: Int32 = 0
        let descriptor = bh_unix_connect(socket, &progress)
        if descriptor >= 0 {
            wasConnected = true
            // Nobody else comes in, and nothing is left behind whatever happens to this process.
            removeFolder()
            return descriptor
        }
        if hasEnded { throw NBDError(lastWords ?? "qemu-nbd has ended without a word") }
        return nil
    }

    var hasEnded: Bool {
        if !isReaped { isReaped = bh_reap(process) == 1 }
        return isReaped
    }

    /// What it has said so far; the first of its lines, without its name.
    var lastWords: String? {
        listen()
        let text = String(decoding: words, as: UTF8.self)
        guard let line = text.split(separator: "\n").first else { return nil }
        let name = "qemu-nbd: "
        return Lines.clean(line.hasPrefix(name) ? line.dropFirst(name.count) : line)
    }

    /// Becomes readable when it says something; -1: it does not any more.
    var descriptor: Int32 { isSilent ? -1 : output.raw }

    func listen() {
        var bytes = [UInt8](repeating: 0, count: 1024)
        while !isSilent {
            switch bytes.withUnsafeMutableBytes({ output.read(into: $0) }) {
            case .bytes(let count):
                words += bytes[..<min(count, max(0, NBDServer.wordsLimit - words.count))]
            case .wouldBlock: return
            case .end, .failed:
                isSilent = true
                return
            }
        }
    }

    /// Waits until it has gone by itself, as it does without its connection, and helps it then.
    func end() {
        removeFolder()
        for (number, patience) in [(0, wasConnected ? 2000 : 0), (SIGTERM, 1000), (SIGKILL, 1000)] as [(Int32, Int)] {
            if hasEnded { return }
            if number != 0 { _ = bh_kill(process, number) }
            let deadline = HostClock.milliseconds + patience
            while !hasEnded, HostClock.milliseconds < deadline {
                listen()
                usleep(2000)
            }
        }
    }

    private func removeFolder() {
        unlink(socket)
        rmdir(folder)
    }
}
