import BackendSupport
import CBackendSupport
import Glibc
import Pictures

/// Writes pictures to files, on a thread of its own: the newest, where one comes before the last one is written.
public final class PictureFiles: Sendable {
    /// What was shown, as its device told it.
    public enum Shown: Sendable {
        case dark
        case cells(CellPicture)
        case pixels(Raster)
    }

    private final class State: @unchecked Sendable {
        /// All guarded by the monitor.
        var next: Shown?
        var isWriting = false
        var mustEnd = false
        var problem: String?
    }

    private let picture: String
    private let text: String?
    private let link: HostLink
    private let postArgument: UInt
    private let monitor = Monitor()
    private let state = State()
    private nonisolated(unsafe) var thread: WorkerThread?

    /// - Parameters:
    ///   - picture, text: paths; an existing file is replaced, whole.
    ///   - postArgument: what is posted whenever all that was given is written.
    public init(picture: String, text: String?, link: HostLink, postArgument: UInt) {
        (self.picture, self.text, self.link, self.postArgument) = (picture, text, link, postArgument)
    }

    public func start() throws(HostCallError) { thread = try WorkerThread("picture") { [self] in loop() } }

    public func write(_ shown: Shown) {
        monitor.locked {
            state.next = shown
            monitor.wake()
        }
    }

    public var isIdle: Bool { monitor.locked { state.next == nil && !state.isWriting } }

    /// Why the last one is not written; nil: it is.
    public func takeProblem() -> String? {
        monitor.locked {
            defer { state.problem = nil }
            return state.problem
        }
    }

    /// False: the host does not take the last one.
    public func stop() -> Bool {
        monitor.locked {
            state.mustEnd = true
            monitor.wake()
        }
        let hasEnded = thread?.join(milliseconds: 2000) ?? true
        link.cut()
        return hasEnded
    }

    // MARK: The thread

    private func loop() {
        while let shown = take() {
            let problem = save(shown)
            monitor.locked {
                state.isWriting = false
                if let problem { state.problem = problem }
            }
            _ = link.post(postArgument)
        }
    }

    private func take() -> Shown? {
        monitor.locked {
            while state.next == nil, !state.mustEnd { monitor.wait() }
            defer { state.next = nil }
            state.isWriting = state.next != nil
            return state.next
        }
    }

    private func save(_ shown: Shown) -> String? {
        let (raster, lines): (Raster, [String]) =
            switch shown {
            case .dark: (.dark, [])
            case .cells(let cells): (cells.raster, cells.text)
            case .pixels(let raster): (raster, [])
            }
        let results = [
            Self.replace(picture, raster.png), text.flatMap { Self.replace($0, Array(Self.page(lines).utf8)) },
        ]
        return results.compactMap { $0 }.first
    }

    private static func page(_ lines: [String]) -> String {
        let end = (lines.lastIndex { !$0.isEmpty }).map { $0 + 1 } ?? 0
        return lines.prefix(end).map { $0 + "\n" }.joined()
    }

    /// By a name beside it, so that nobody reads half a file. nil: done.
    static func replace(_ path: String, _ bytes: [UInt8]) -> String? {
        let part = path + ".part"
        do throws(HostCallError) {
            let file = try Descriptor.open(part, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
            if let code = write(bytes, to: file) { throw HostCallError(code: code) }
            guard rename(part, path) == 0 else { throw HostCallError(code: errno) }
            return nil
        } catch {
            unlink(part)
            return "'\(path)' cannot be written: \(error.text)"
        }
    }

    /// An errno; nil: done.
    private static func write(_ bytes: [UInt8], to file: Descriptor) -> Int32? {
        bytes.withUnsafeBytes { raw in
            var rest = raw[...]
            while !rest.isEmpty {
                switch file.write(UnsafeRawBufferPointer(rebasing: rest)) {
                case .bytes(let count): rest = rest.dropFirst(count)
                case .failed(let code): return code
                case .wouldBlock, .end: return EIO
                }
            }
            return nil
        }
    }
}
