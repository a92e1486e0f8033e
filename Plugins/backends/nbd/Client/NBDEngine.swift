import BackendSupport
import CBackendSupport
import Glibc
import PluginKit

/// A disk behind a server: its requests go there several at a time, from a thread of this engine's own, and their
/// completions come in the order of submission.
///
/// The thread transfers through buffers of its own, so that neither a stalled server nor a lost connection holds a
/// client's. While there is no connection requests fail at once; it is tried anew with growing pauses.
public final class NBDEngine: DiskEngine, @unchecked Sendable {
    public struct Statistics: DiskStatistics, Equatable, Sendable {
        public var reads = 0, readBytes = 0, writes = 0, writtenBytes = 0, flushes = 0, discards = 0, errors = 0
        /// Requests that wait or are being worked on.
        public var waiting = 0
        /// Commands that the server was sent.
        public var parts = 0
        public var connections = 0
        public var isConnected = false
    }

    /// Requests that may wait, completions not yet fetched included.
    public static let limit = 256
    /// For a server's first answer, and for each later connection.
    public static let patience = 5000

    public let source: NBDSource
    let link: HostLink
    private let postArgument: UInt
    private let monitor = Monitor()
    /// Written to end the thread's wait.
    let bell: Descriptor

    // Guarded by `monitor`.
    private var queue: [DiskRequest] = []
    private var inWork = 0
    private var epoch: UInt64 = 0
    private var news = DiskNews()
    private var isNewsPosted = false
    private var wantsQuiet = false
    private var isStopping = false
    private var totals = Statistics()
    private var isRung = false
    private var isDirty = false
    private var opened: Result<NBDExport, NBDError>?
    private var sectorSize: UInt64 = 512
    private var wantedSize: UInt64?

    private var thread: WorkerThread?
    /// On the image; let go when the thread has ended.
    private var lock: FileLock?

    /// News come by `link.post(postArgument)`.
    public init(_ source: NBDSource, link: HostLink, postArgument: UInt) throws(NBDError) {
        self.source = source
        self.link = link
        self.postArgument = postArgument
        do throws(HostCallError) { bell = try Descriptor.event() } catch {
            throw NBDError("an event descriptor cannot be made: " + error.text)
        }
    }

    // MARK: The owner's side; nothing waits for the server but `open` and `stop`

    /// Connects. What is exported stays so: a later connection to something else is not used.
    public func open(sectorSize: UInt32 = 512, milliseconds: Int = NBDEngine.patience) throws(NBDError) -> NBDExport {
        lock = try source.lock()
        self.sectorSize = UInt64(sectorSize)
        do throws(HostCallError) {
            thread = try WorkerThread("bp-nbd") { [self] in NBDThread(self, patience: milliseconds).run() }
        } catch {
            throw NBDError("a thread cannot be started: " + error.text)
        }
        // The thread's own limit is a little shorter, but for the resolution of a name.
        let deadline = Monitor.Deadline(milliseconds: milliseconds + 500)
        let result: Result<NBDExport, NBDError>? = monitor.locked {
            while opened == nil, monitor.wait(until: deadline) {}
            return opened
        }
        guard case .success(let export) = result else {
            // A resolution of a name that hangs goes on alone: this call has its limit too.
            _ = stop(milliseconds: 500)
            if case .failure(let error) = result { throw error }
            throw NBDError("'\(source.name)' cannot be reached within \(milliseconds / 1000) s")
        }
        return export
    }

    public func start() throws(HostCallError) {}

    public func submit(_ request: DiskRequest) -> Bool {
        monitor.locked {
            guard queue.count + inWork + news.completions.count < NBDEngine.limit else { return false }
            queue.append(request)
            queue[queue.count - 1].epoch = epoch
            ring()
            return true
        }
    }

    @discardableResult
    public func cancelAll() -> Bool {
        monitor.locked {
            epoch &+= 1
            queue.removeAll(keepingCapacity: true)
            news.completions = []
            ring()
            if news.isQuiet { return false }
            isNewsPosted = false
            return true
        }
    }

    /// The image is to have so many bytes, more than it has; the news will say that it has them. Requests wait meanwhile.
    public func grow(to size: UInt64) {
        monitor.locked {
            wantedSize = size
            ring()
        }
    }

    public func quiesce() -> Bool {
        monitor.locked {
            if queue.isEmpty, inWork == 0, !isDirty, news.completions.isEmpty { return true }
            wantsQuiet = true
            ring()
            return false
        }
    }

    public func takeNews(limit: Int = .max) -> DiskNews {
        monitor.locked {
            let taken = news.take(limit: limit)
            isNewsPosted = false
            postNews()
            return taken
        }
    }

    public var statistics: Statistics {
        monitor.locked {
            var result = totals
            result.waiting = queue.count + inWork
            return result
        }
    }

    /// A server that stalls is left alone.
    public func stop() -> Bool { stop(milliseconds: NBDEngine.patience) }

    private func stop(milliseconds: Int) -> Bool {
        cancelAll()
        monitor.locked {
            isStopping = true
            ring()
        }
        let hasEnded = thread?.join(milliseconds: milliseconds) ?? true
        if hasEnded { lock = nil }
        link.cut()
        return hasEnded
    }

    // MARK: With the monitor held

    private func ring() {
        guard !isRung else { return }
        isRung = true
        bell.ring()
    }

    private func postNews() { if !news.isEmpty, !isNewsPosted { isNewsPosted = link.post(postArgument) } }

    // MARK: The thread's side

    struct Work {
        var requests: [DiskRequest]
        var epoch: UInt64
        /// The machine wants to be quiet, and nothing waits.
        var settles: Bool
        /// A post was not taken.
        var isLate: Bool
        /// The image is to grow to so many bytes.
        var size: UInt64?
    }

    /// nil: the end.
    func takeWork() -> Work? {
        monitor.locked {
            if isRung {
                isRung = false
                bell.silence()
            }
            guard !isStopping else { return nil }
            postNews()
            let requests = queue
            queue.removeAll(keepingCapacity: true)
            inWork += requests.count
            let settles = wantsQuiet && inWork == 0
            if settles { wantsQuiet = false }
            defer { wantedSize = nil }
            return Work(
                requests: requests, epoch: epoch, settles: settles, isLate: !news.isEmpty && !isNewsPosted,
                size: wantedSize)
        }
    }

    func hasOpened(_ result: Result<NBDExport, NBDError>) {
        monitor.locked {
            opened = result
            monitor.wake()
        }
    }

    var sectorLength: UInt64 { monitor.locked { sectorSize } }

    /// Runs `body` with the client's buffer, unless the request was cancelled.
    func withBuffer(of request: DiskRequest, _ body: (UnsafeMutableRawPointer) -> Void) -> Bool {
        monitor.locked {
            guard request.epoch == epoch, !isStopping, let data = request.data else { return false }
            body(data)
            return true
        }
    }

    func finish(_ finished: [(request: DiskRequest, status: Status)]) {
        guard !finished.isEmpty else { return }
        monitor.locked {
            for (request, status) in finished {
                inWork -= 1
                totals.count(request, status)
                guard request.epoch == epoch, !isStopping else { continue }
                news.completions.append(DiskCompletion(tag: request.tag, status: status))
            }
            postNews()
        }
    }

    func hasGrown(to size: UInt64) {
        monitor.locked {
            news.sectors = size / sectorSize
            postNews()
        }
    }

    func becomeQuiet() {
        monitor.locked {
            news.isQuiet = true
            postNews()
        }
    }

    func setDirty(_ value: Bool) { monitor.locked { isDirty = value } }
    var hasUnflushedWrites: Bool { monitor.locked { isDirty } }
    func countPart() { monitor.locked { totals.parts += 1 } }
    func setConnected(_ value: Bool) {
        monitor.locked {
            totals.isConnected = value
            if value { totals.connections += 1 }
        }
    }
}
