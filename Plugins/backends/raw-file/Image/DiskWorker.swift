import BackendSupport
import Glibc
import PluginKit

/// The thread that does a disk's I/O, one request after the other in the order of their submission: so a flush comes
/// after the writes before it, and completions come in that order too.
///
/// The thread transfers through a buffer of its own. A host disk that hangs therefore never holds a client's buffer:
/// `cancelAll` waits for a copy of memory at most. (Measured: a 128 KiB read from the page cache takes 21 us instead of
/// 10.) A read that the page cache answers while nothing else is under way needs no thread: `doneAtOnce`.
public final class DiskWorker: DiskEngine, @unchecked Sendable {
    public struct Statistics: DiskStatistics, Equatable, Sendable {
        public var reads = 0, readBytes = 0, writes = 0, writtenBytes = 0, flushes = 0, discards = 0, errors = 0
        /// Requests that wait or are being worked on.
        public var waiting = 0
        /// Bytes that snapshot mode holds.
        public var overlay: UInt64 = 0
    }

    /// Requests that may wait, completions not yet fetched included.
    public static let limit = 256
    private static let stagingLength = 128 << 10
    /// What is done in so many ns of the host's clock is told at once: each post is two more threads' wake-up.
    private static let patience: UInt64 = 100_000

    private let medium: any DiskMedium
    private let link: HostLink
    private let postArgument: UInt
    private let clock: @Sendable () -> UInt64
    private let monitor = Monitor()

    // Guarded by `monitor`.
    private var queue = RequestQueue()
    private var isWorking = false
    private var epoch: UInt64 = 0
    private var news = DiskNews()
    private var isNewsPosted = false
    /// When the work began at the oldest of them.
    private var newsBegan: UInt64 = 0
    private var wantsQuiet = false
    private var isStopping = false
    private var totals = Statistics()
    /// Writes have completed since the last flush.
    private var isDirty = false

    // The owner's.
    private var burst = Burst()

    // The thread's own.
    private let staging = UnsafeMutableRawBufferPointer.allocate(byteCount: stagingLength, alignment: 4096)
    private var reported: [Int32] = []
    /// When it began with the request that it works on, in ns of the host's clock.
    private var began: UInt64 = 0

    private var thread: WorkerThread?

    /// News come by `link.post(postArgument)`. `clock`: nanoseconds of the host's.
    public init(
        _ medium: any DiskMedium, link: HostLink, postArgument: UInt,
        clock: @escaping @Sendable () -> UInt64 = { HostClock.now }
    ) {
        self.medium = medium
        self.link = link
        self.postArgument = postArgument
        self.clock = clock
    }

    deinit { staging.deallocate() }

    // MARK: The owner's side; nothing waits for the disk but `stop`

    public func start() throws(HostCallError) {
        thread = try WorkerThread("bp-disk") { [self] in run() }
    }

    /// A read that the host's page cache answers, while nothing waits or is worked on: there is no order to keep then, and the medium is nobody's.
    public func doneAtOnce(_ request: DiskRequest) -> Status? {
        guard request.operation == .read, request.verdict == nil, request.length > 0, let data = request.data,
            monitor.locked({ isIdle && !isStopping }), burst.admits(clock())
        else { return nil }
        let bytes = UnsafeMutableRawBufferPointer(start: data, count: request.length)
        guard medium.readAtOnce(at: request.offset, into: bytes) else { return nil }
        burst.end = clock()
        monitor.locked { totals.count(request, .ok) }
        return .ok
    }

    /// Only inside of `monitor`.
    private var isIdle: Bool { queue.isEmpty && !isWorking && !wantsQuiet && news.isEmpty }

    public func submit(_ request: DiskRequest) -> Bool {
        monitor.locked {
            guard queue.count + news.completions.count < DiskWorker.limit else { return false }
            var request = request
            request.epoch = epoch
            queue.append(request)
            // The thread looks for itself when it has worked.
            if !isWorking { monitor.wake() }
            return true
        }
    }

    @discardableResult
    public func cancelAll() -> Bool {
        monitor.locked {
            epoch &+= 1
            queue.removeAll()
            news.completions = []
            if news.isQuiet { return false }
            isNewsPosted = false
            return true
        }
    }

    public func quiesce() -> Bool {
        monitor.locked {
            if queue.isEmpty, !isWorking, !isDirty, news.completions.isEmpty { return true }
            wantsQuiet = true
            monitor.wake()
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
            result.waiting = queue.count + (isWorking ? 1 : 0)
            return result
        }
    }

    public func stop() -> Bool { stop(milliseconds: 1000) }

    public func stop(milliseconds: Int) -> Bool {
        cancelAll()
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
        case request(DiskRequest)
        case settle
        case end
    }

    private func run() {
        var job = monitor.locked { nextJob() }
        while true {
            switch job {
            case .request(let request):
                let status = perform(request)
                job = monitor.locked {
                    finish(request, status)
                    return nextJob()
                }
            case .settle:
                settle()
                job = monitor.locked { nextJob() }
            case .end: return
            }
        }
    }

    /// Waits for it. The owner is told of what has been done meanwhile.
    private func nextJob() -> Job {
        while true {
            if isStopping { return .end }
            if let request = queue.next() {
                began = clock()
                // Together where they come fast; a slow medium's each by itself.
                if began &- newsBegan >= DiskWorker.patience { postNews() }
                isWorking = true
                return .request(request)
            }
            isWorking = false
            // A post that the host could not take is tried again.
            postNews()
            if wantsQuiet {
                wantsQuiet = false
                isWorking = true
                return .settle
            }
            if isNewsPosted || news.isEmpty { monitor.wait() } else { _ = monitor.wait(until: .init(milliseconds: 10)) }
        }
    }

    private func tell() { monitor.locked { postNews() } }

    private func postNews() {
        if !news.isEmpty, !isNewsPosted { isNewsPosted = link.post(postArgument) }
    }

    private func finish(_ request: DiskRequest, _ status: Status) {
        totals.overlay = medium.overlayLength
        totals.count(request, status)
        guard request.epoch == epoch, !isStopping else { return }
        if news.isEmpty { newsBegan = began }
        news.completions.append(DiskCompletion(tag: request.tag, status: status))
    }

    private func settle() {
        if monitor.locked({ isDirty }) { _ = flush() }
        monitor.locked {
            isWorking = false
            news.isQuiet = true
            postNews()
        }
    }

    private func perform(_ request: DiskRequest) -> Status {
        if let verdict = request.verdict { return verdict }
        let hasData = request.operation == .read || request.operation == .write
        // It takes its time: what is done is not to wait for it.
        if !hasData { tell() }
        if request.operation == .flush { return flush() }
        guard !hasData || request.length == 0 || request.data != nil else { return .invalid }
        do throws(HostCallError) {
            guard hasData else { return try clear(request) }
            var done = 0
            while done < request.length {
                let count = min(request.length - done, staging.count)
                guard try transfer(request, done, count) else { return .stale }
                done += count
            }
            return .ok
        } catch {
            report(error, "\(request.operation)", at: request.offset)
            return Status(host: error.code)
        }
    }

    /// Zeros, as a hole where there can be one. What is discarded may stay as it is.
    private func clear(_ request: DiskRequest) throws(HostCallError) -> Status {
        guard request.length > 0 else { return .ok }
        monitor.locked { isDirty = true }
        if try medium.punch(at: request.offset, length: UInt64(request.length)) || request.operation == .discard {
            return .ok
        }
        staging.initializeMemory(as: UInt8.self, repeating: 0)
        var done = 0
        while done < request.length {
            guard monitor.locked({ request.epoch == epoch }) else { return .stale }
            let count = min(request.length - done, staging.count)
            try medium.write(at: request.offset + UInt64(done), .init(rebasing: staging[..<count]))
            done += count
        }
        return .ok
    }

    /// False: it was cancelled meanwhile.
    private func transfer(_ request: DiskRequest, _ done: Int, _ count: Int) throws(HostCallError) -> Bool {
        let part = UnsafeMutableRawBufferPointer(rebasing: staging[..<count])
        let offset = request.offset + UInt64(done)
        if request.operation == .read {
            if !medium.readAtOnce(at: offset, into: part) {
                tell()
                try medium.read(at: offset, into: part)
            }
            return withBuffer(of: request) { part.baseAddress?.copyMemory(to: $0 + done, count: count) }
        }
        let isThere = withBuffer(of: request) {
            part.baseAddress?.copyMemory(from: $0 + done, byteCount: count)
            isDirty = true
        }
        guard isThere else { return false }
        try medium.write(at: offset, UnsafeRawBufferPointer(part))
        return true
    }

    /// Runs `body` with the client's buffer, unless the request was cancelled.
    private func withBuffer(of request: DiskRequest, _ body: (UnsafeMutableRawPointer) -> Void) -> Bool {
        monitor.locked {
            guard request.epoch == epoch, let data = request.data else { return false }
            body(data)
            return true
        }
    }

    private func flush() -> Status {
        // First: what is written while the disk works is not covered.
        monitor.locked { isDirty = false }
        do throws(HostCallError) {
            try medium.flush()
            return .ok
        } catch {
            monitor.locked { isDirty = true }
            report(error, "flush", at: nil)
            return Status(host: error.code)
        }
    }

    private func report(_ error: HostCallError, _ operation: String, at offset: UInt64?) {
        guard !reported.contains(error.code), reported.count < 16 else { return }
        reported.append(error.code)
        let place = offset.map { " at byte \($0)" } ?? ""
        link.log(
            .error,
            "\(operation) of '\(medium.name)'\(place) failed: \(error.text); the guest is told, and this is said once")
    }
}

extension UnsafeMutableRawPointer {
    fileprivate func copyMemory(to target: UnsafeMutableRawPointer, count: Int) {
        target.copyMemory(from: self, byteCount: count)
    }
}
