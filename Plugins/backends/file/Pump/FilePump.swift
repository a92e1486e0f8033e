import BackendSupport
import CBackendSupport
import Glibc
import PluginKit

/// Writes a guest's output to a file, and reads its input from another, on a thread of its own: the host's disk may be
/// slow, or never answer. What waits is bounded, as any output queue.
///
/// A failed write is reported once and its bytes are dropped; when writing works again, that is reported with their
/// number.
public final class FilePump: @unchecked Sendable {
    /// What the owner is told by a post, and then fetches with `takeNews`.
    public struct News: OptionSet, Sendable {
        public let rawValue: UInt
        public init(rawValue: UInt) { self.rawValue = rawValue }
        /// The guest may write again, unless it has written too much since: see `isThrottled`.
        public static let released = News(rawValue: 1)
        /// After `drain`: all is written, or the reader of a pipe does not take it.
        public static let drained = News(rawValue: 2)
        /// `takeInput` has something, or never will again. Comes by a post of its own, `postArgument` + 1: one for each read.
        public static let input = News(rawValue: 4)
    }

    /// Bytes that `takeInput` gives at most.
    public static let inputChunk = 16 << 10
    private static let outputChunk = 64 << 10
    /// How long a drain waits for a pipe that nobody reads.
    private static let patience = (rounds: 10, milliseconds: 100 as Int32)

    private let name: String
    private let output: Descriptor
    private let input: Descriptor?
    private let link: HostLink
    private let postArgument: UInt
    private let monitor = Monitor()

    // Guarded by `monitor`.
    private var queue = OutputQueue()
    private var news: News = []
    private var isNewsPosted = false
    private var pendingInput: [UInt8] = []
    private var isInputPosted = true
    private var isInputAtEnd: Bool
    private var mustSync = false
    private var isDraining = false
    private var isStopping = false

    // The thread's own.
    private var failure: (code: Int32, lost: UInt64)?

    private var thread: WorkerThread?

    /// `name` is how messages call the output. News come by `link.post(postArgument)`.
    public init(name: String, output: Descriptor, input: Descriptor?, link: HostLink, postArgument: UInt) {
        self.name = name
        self.output = output
        self.input = input
        self.link = link
        self.postArgument = postArgument
        isInputAtEnd = input == nil
    }

    // MARK: The owner's side; nothing blocks but `stop`

    public func start() throws(HostCallError) {
        thread = try WorkerThread("bp-file") { [self] in run() }
    }

    public func write(_ bytes: UnsafeRawBufferPointer) -> OutputQueue.Effect {
        monitor.locked {
            monitor.wake()
            return queue.append(bytes)
        }
    }

    /// The guest must wait.
    public var isThrottled: Bool { monitor.locked { queue.isThrottled } }

    /// Asks that what was written until now reaches the disk.
    public func sync() {
        monitor.locked {
            mustSync = true
            monitor.wake()
        }
    }

    /// True: all is written. False: the news `drained` will come.
    public func drain() -> Bool {
        monitor.locked {
            isDraining = !queue.isEmpty
            monitor.wake()
            return !isDraining
        }
    }

    public func takeNews() -> News {
        monitor.locked {
            defer { news = [] }
            isNewsPosted = false
            return news
        }
    }

    /// What was read, nothing if the next part is not there yet.
    public func takeInput() -> [UInt8] {
        monitor.locked {
            defer {
                pendingInput = []
                monitor.wake()
            }
            return pendingInput
        }
    }

    /// Writes what waits, and ends the thread. False: the host does not answer; what was left is lost.
    public func stop(milliseconds: Int = 2000) -> Bool {
        monitor.locked {
            isStopping = true
            monitor.wake()
        }
        let hasEnded = thread?.join(milliseconds: milliseconds) ?? true
        link.cut()
        return hasEnded
    }

    // MARK: The thread

    private enum Job {
        case write([UInt8])
        case sync
        case read
        case end
    }

    private func run() {
        while true {
            switch monitor.locked({ nextJob() }) {
            case .write(let bytes): write(bytes)
            case .sync: sync(output)
            case .read: read()
            case .end: return
            }
        }
    }

    private func nextJob() -> Job {
        while true {
            // A post that the host could not take is tried again.
            if !news.subtracting(.input).isEmpty, !isNewsPosted, !isStopping { isNewsPosted = link.post(postArgument) }
            if !isInputPosted, !isStopping { isInputPosted = link.post(postArgument &+ 1) }
            if !queue.isEmpty { return .write(queue.front(FilePump.outputChunk)) }
            if mustSync {
                mustSync = false
                return .sync
            }
            if isStopping { return .end }
            if !isInputAtEnd, pendingInput.isEmpty { return .read }
            if isInputPosted, news.subtracting(.input).isEmpty || isNewsPosted {
                monitor.wait()
            } else {
                _ = monitor.wait(until: .init(milliseconds: 10))
            }
        }
    }

    private func write(_ bytes: [UInt8]) {
        var (done, rounds) = (0, 0)
        while done < bytes.count {
            let result = bytes.withUnsafeBytes { output.write(UnsafeRawBufferPointer(rebasing: $0[done...])) }
            switch result {
            case .bytes(let count):
                done += count
                rounds = 0
                report(success: true)
            case .failed(let code):
                report(code, lost: bytes.count - done)
                done = bytes.count
            case .wouldBlock, .end:
                rounds += 1
                guard waitForReader(rounds) else { return finish(done) }
            }
        }
        finish(done)
    }

    /// A pipe whose reader is slow. False: no more of this now.
    private func waitForReader(_ rounds: Int) -> Bool {
        _ = bh_poll(output.raw, Int16(POLLOUT), FilePump.patience.milliseconds)
        guard rounds >= FilePump.patience.rounds else { return true }
        return monitor.locked {
            if isStopping {
                link.log(.warning, "nobody reads '\(name)': the last output to it is lost")
                _ = queue.removeAll()
                return false
            }
            if isDraining {
                isDraining = false
                tell(.drained)
            }
            return true
        }
    }

    private func finish(_ count: Int) {
        monitor.locked {
            if queue.consume(count).throttle == false { tell(.released) }
            guard isDraining, queue.isEmpty else { return }
            isDraining = false
            tell(.drained)
        }
    }

    private func sync(_ descriptor: Descriptor) {
        let result = bh_fdatasync(descriptor.raw)
        // Pipes and terminals have nothing to sync.
        if result < 0, result != -EINVAL, result != -EROFS {
            link.log(.warning, "'\(name)' cannot be flushed to the disk: " + HostCallError.text(of: -result))
        }
    }

    private func read() {
        guard let input else { return }
        var bytes = [UInt8](repeating: 0, count: FilePump.inputChunk)
        let result = bytes.withUnsafeMutableBytes { input.read(into: $0) }
        if case .failed(let code) = result {
            link.log(.error, "the guest's input cannot be read further: " + HostCallError.text(of: code))
        }
        monitor.locked {
            guard case .bytes(let count) = result else {
                isInputAtEnd = true
                tell(.input)
                return
            }
            pendingInput = [UInt8](bytes.prefix(count))
            tell(.input)
        }
    }

    /// With the monitor held.
    private func tell(_ what: News) {
        news.insert(what)
        if what == .input {
            isInputPosted = isStopping || link.post(postArgument &+ 1)
            return
        }
        if !isNewsPosted, !isStopping { isNewsPosted = link.post(postArgument) }
    }

    private func report(_ code: Int32, lost: Int) {
        if failure?.code != code {
            link.log(
                .error, "'\(name)' cannot be written: \(HostCallError.text(of: code)); the guest's output is dropped")
        }
        failure = (code, (failure?.lost ?? 0) &+ UInt64(lost))
    }

    private func report(success: Bool) {
        guard let failure else { return }
        self.failure = nil
        link.log(.warning, "'\(name)' can be written again; \(failure.lost) bytes were lost")
    }
}
