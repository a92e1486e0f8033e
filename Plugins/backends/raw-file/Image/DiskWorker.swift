import BackendSupport
import Glibc
import PluginKit

/// The thread that does a disk's I/O, one request after the other in the order of their submission: so a flush comes
/// after the writes before it, and completions come in that order too.
///
/// The thread transfers through a buffer of its own. A host disk that hangs therefore never holds a client's buffer:
/// `cancelAll` waits for a copy of memory at most. (Measured: a 128 KiB read from the page cache takes 21 us instead of
/// 10.)
public final class DiskWorker: @unchecked Sendable {
    public struct Request: @unchecked Sendable {
        public var operation: BlockOperation
        public var offset: UInt64
        public var length: Int
        /// SAFETY: `length` bytes of the client's, its promise until the completion or `cancelAll`; touched only with
        /// the monitor held and the request not cancelled.
        public var data: UnsafeMutableRawPointer?
        public var tag: UInt64
        /// Decided already: the request only waits for its turn to complete.
        public var verdict: Status?
        fileprivate var epoch: UInt64 = 0

        public init(
            _ operation: BlockOperation, offset: UInt64 = 0, length: Int = 0, data: UnsafeMutableRawPointer? = nil,
            tag: UInt64, verdict: Status? = nil
        ) {
            self.operation = operation
            self.offset = offset
            self.length = length
            self.data = data
            self.tag = tag
            self.verdict = verdict
        }
    }

    public struct Completion: Equatable, Sendable {
        public let tag: UInt64
        public let status: Status
    }

    public struct News: Sendable {
        /// In the order of submission.
        public var completions: [Completion] = []
        /// What `quiesce` asked for is done.
        public var isQuiet = false
    }

    public struct Statistics: Equatable, Sendable {
        public var reads = 0, readBytes = 0, writes = 0, writtenBytes = 0, flushes = 0, discards = 0, errors = 0
        /// Requests that wait or are being worked on.
        public var waiting = 0
        /// Bytes that snapshot mode holds.
        public var overlay: UInt64 = 0
    }

    /// Requests that may wait, completions not yet fetched included.
    public static let limit = 256
    private static let stagingLength = 128 << 10

    private let medium: any DiskMedium
    private let link: HostLink
    private let postArgument: UInt
    private let monitor = Monitor()

    // Guarded by `monitor`.
    private var queue: [Request] = []
    private var isWorking = false
    private var epoch: UInt64 = 0
    private var news = News()
    private var isNewsPosted = false
    private var wantsQuiet = false
    private var isStopping = false
    private var totals = Statistics()
    /// Writes have completed since the last flush.
    private var isDirty = false

    // The thread's own.
    private let staging = UnsafeMutableRawBufferPointer.allocate(byteCount: stagingLength, alignment: 4096)
    private var reported: [Int32] = []

    private var thread: WorkerThread?

    /// News come by `link.post(postArgument)`.
    public init(_ medium: any DiskMedium, link: HostLink, postArgument: UInt) {
        self.medium = medium
        self.link = link
        self.postArgument = postArgument
        queue.reserveCapacity(DiskWorker.limit)
    }

    deinit { staging.deallocate() }

    // MARK: The owner's side; nothing waits for the disk but `stop`

    public func start() throws(HostCallError) {
        thread = try WorkerThread("bp-disk") { [self] in run() }
    }

    /// False: too many wait already.
    public func submit(_ request: Request) -> Bool {
        monitor.locked {
            guard queue.count + news.completions.count < DiskWorker.limit else { return false }
            queue.append(request)
            queue[queue.count - 1].epoch = epoch
            monitor.wake()
            return true
        }
    }

    /// When it returns, no client's buffer is touched any more, and no completion of an earlier request comes. A write
    /// that the thread had begun may still reach the disk, whole or in part, before anything that is submitted later.
    /// False: the post that is under way brings `isQuiet`; else what was posted is of no use any more.
    @discardableResult
    public func cancelAll() -> Bool {
        monitor.locked {
            epoch &+= 1
            queue.removeAll(keepingCapacity: true)
            news.completions = []
            if news.isQuiet { return false }
            isNewsPosted = false
            return true
        }
    }

    /// True: nothing waits, and everything is on the disk. False: the news `isQuiet` will come.
    public func quiesce() -> Bool {
        monitor.locked {
            if queue.isEmpty, !isWorking, !isDirty, news.completions.isEmpty { return true }
            wantsQuiet = true
            monitor.wake()
            return false
        }
    }

    /// What is left beyond `limit` completions is posted anew.
    public func takeNews(limit: Int = .max) -> News {
        monitor.locked {
            var taken = news
            news = News()
            if taken.completions.count > limit {
                news.completions = Array(taken.completions[limit...])
                taken.completions.removeLast(taken.completions.count - limit)
            }
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

    /// Cancels what waits and ends the thread. False: the host's disk does not answer; the thread ends when it does.
    public func stop(milliseconds: Int = 1000) -> Bool {
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
        case request(Request)
        case settle
        case end
    }

    private func run() {
        while true {
            switch monitor.locked({ nextJob() }) {
            case .request(let request): finish(request, perform(request))
            case .settle: settle()
            case .end: return
            }
        }
    }

    private func nextJob() -> Job {
        while true {
            if isStopping { return .end }
            // A post that the host could not take is tried again.
            postNews()
            if !queue.isEmpty {
                isWorking = true
                return .request(queue.removeFirst())
            }
            if wantsQuiet {
                wantsQuiet = false
                isWorking = true
                return .settle
            }
            if isNewsPosted || !hasNews { monitor.wait() } else { _ = monitor.wait(until: .init(milliseconds: 10)) }
        }
    }

    private var hasNews: Bool { news.isQuiet || !news.completions.isEmpty }

    private func postNews() {
        if hasNews, !isNewsPosted { isNewsPosted = link.post(postArgument) }
    }

    private func settle() {
        if monitor.locked({ isDirty }) { _ = flush() }
        monitor.locked {
            isWorking = false
            news.isQuiet = true
            postNews()
        }
    }

    private func finish(_ request: Request, _ status: Status) {
        monitor.locked {
            isWorking = false
            totals.overlay = medium.overlayLength
            count(request, status)
            guard request.epoch == epoch, !isStopping else { return }
            news.completions.append(Completion(tag: request.tag, status: status))
            postNews()
        }
    }

    private func count(_ request: Request, _ status: Status) {
        guard status == .ok else {
            totals.errors += 1
            return
        }
        switch request.operation {
        case .read:
            totals.reads += 1
            totals.readBytes &+= request.length
        case .write:
            totals.writes += 1
            totals.writtenBytes &+= request.length
        case .flush: totals.flushes += 1
        case .discard, .writeZeroes: totals.discards += 1
        }
    }

    private func perform(_ request: Request) -> Status {
        if let verdict = request.verdict { return verdict }
        if request.operation == .flush { return flush() }
        let hasData = request.operation == .read || request.operation == .write
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
            return DiskWorker.status(of: error.code)
        }
    }

    /// Zeros, as a hole where there can be one. What is discarded may stay as it is.
    private func clear(_ request: Request) throws(HostCallError) -> Status {
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
    private func transfer(_ request: Request, _ done: Int, _ count: Int) throws(HostCallError) -> Bool {
        let part = UnsafeMutableRawBufferPointer(rebasing: staging[..<count])
        let offset = request.offset + UInt64(done)
        if request.operation == .read {
            try medium.read(at: offset, into: part)
            return withBuffer(of: request) { part.baseAddress?.copyMemory(to: $0 + done, count: count) }
        }
        guard withBuffer(of: request, { part.baseAddress?.copyMemory(from: $0 + done, byteCount: count) }) else {
            return false
        }
        monitor.locked { isDirty = true }
        try medium.write(at: offset, UnsafeRawBufferPointer(part))
        return true
    }

    /// Runs `body` with the client's buffer, unless the request was cancelled.
    private func withBuffer(of request: Request, _ body: (UnsafeMutableRawPointer) -> Void) -> Bool {
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
            return DiskWorker.status(of: error.code)
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

    static func status(of code: Int32) -> Status {
        switch code {
        case ENOSPC, EDQUOT, EFBIG: .noSpace
        case EROFS, EPERM: .readOnly
        default: .ioError
        }
    }
}

extension UnsafeMutableRawPointer {
    fileprivate func copyMemory(to target: UnsafeMutableRawPointer, count: Int) {
        target.copyMemory(from: self, byteCount: count)
    }
}
