import BackendSupport
import Glibc
import PluginKit

/// A disk that is its base but for the clusters that an overlay's file has. It does one request after the other, in steps: each
/// asks the base or the file's thread for one thing, and goes on when that is there. All of it runs on the machine's side, with
/// its lock: what it asks the base for comes at times that do not depend on the host.
public final class OverlayEngine {
    /// What it reaches. None of these calls back before it returns.
    public struct Surroundings {
        /// A request to the base: operation, offset and length in bytes, data, tag.
        public var base: (BlockOperation, UInt64, Int, UnsafeMutableRawPointer?, UInt64) -> Void
        public var complete: (UInt64, Status) -> Void
        /// A job has gone to the thread, whose post will come.
        public var expect: () -> Void
        public var quiesced: () -> Void
        public var log: (LogLevel, String) -> Void

        public init(
            base: @escaping (BlockOperation, UInt64, Int, UnsafeMutableRawPointer?, UInt64) -> Void,
            complete: @escaping (UInt64, Status) -> Void, expect: @escaping () -> Void,
            quiesced: @escaping () -> Void, log: @escaping (LogLevel, String) -> Void
        ) {
            (self.base, self.complete, self.expect) = (base, complete, expect)
            (self.quiesced, self.log) = (quiesced, log)
        }
    }

    struct Active {
        var request: DiskRequest
        /// Bytes of it that are done.
        var done = 0
        var isAbandoned = false
    }

    /// Changes on their way to the base. They stay in the file until all of them are on the base's disk.
    struct Commit {
        var next: UInt64 = 0
        var bytes: UInt64 = 0
        /// Clusters that the guest has written since it began: they stay.
        var written = ClusterMap()
    }

    public static let queueLimit = 256
    static let pieceLength = 128 << 10
    private static let cluster = OverlayFile.clusterSize

    let file: OverlayFile
    let surroundings: Surroundings
    let piece = Piece(count: OverlayEngine.pieceLength + 2 * Int(OverlayFile.clusterSize))
    /// Bytes of one step.
    let stepLength: Int
    var map: ClusterMap
    var active: Active?
    var commit: Commit?
    private let thread: OverlayThread
    private var queue: [DiskRequest] = []
    /// What goes on when the base, or the thread, has answered.
    private var next: ((Status) -> Void)?
    private var baseTag: UInt64 = 0
    private var isInBase = false
    private var isDirty = false
    private var wantsQuiet = false
    private var isCommitsTurn = false
    private var reported: [Int32] = []
    private var isAdvancing = false

    /// - Parameter baseLimit: the most bytes that the base takes in one request; at least a cluster.
    public init(
        _ file: OverlayFile, baseLimit: Int, link: HostLink, postArgument: UInt, _ surroundings: Surroundings
    ) throws(OverlayError) {
        self.file = file
        self.surroundings = surroundings
        let cluster = Int(OverlayEngine.cluster)
        stepLength = max(cluster, min(OverlayEngine.pieceLength, baseLimit / cluster * cluster))
        map = try file.loadMap()
        thread = OverlayThread(file, piece, link: link, postArgument: postArgument)
    }

    public func start() throws(HostCallError) { try thread.start() }
    /// The base touches nothing any more. False: the host's disk does not answer.
    public func stop(milliseconds: Int = 1000) -> Bool { thread.stop(milliseconds: milliseconds) }

    /// Bytes that are the overlay's own.
    public var ownBytes: UInt64 { UInt64(map.count) * OverlayEngine.cluster }
    /// Bytes that a commit has written; nil: there is none under way.
    public var committed: UInt64? { commit?.bytes }
    /// Nothing waits or is under way.
    public var isIdle: Bool { queue.isEmpty && active == nil && next == nil && commit == nil }

    /// An answer of the base or the thread will come.
    var isAtWork: Bool { next != nil }

    // MARK: From the client

    /// False: too many wait already.
    public func submit(_ request: DiskRequest) -> Bool {
        guard queue.count < OverlayEngine.queueLimit else { return false }
        queue.append(request)
        advance()
        return true
    }

    /// What the base or the thread is doing comes to its end; nobody hears of it.
    public func cancelAll() {
        queue.removeAll()
        active?.isAbandoned = true
    }

    /// False: `quiesced` will say when everything is done and on the disk.
    public func quiesce() -> Bool {
        if isIdle, !isDirty, map.dirty.isEmpty { return true }
        wantsQuiet = true
        advance()
        return false
    }

    // MARK: Answers

    public func baseCompleted(_ tag: UInt64, _ status: Status) {
        guard isInBase, tag == baseTag else { return }
        isInBase = false
        resume(status)
    }

    /// What the thread has posted.
    public func posted() {
        guard let result = thread.takeResult() else { return }
        switch result {
        case .success(let isDone): resume(isDone ? .ok : .unsupported)
        case .failure(let error):
            report(error)
            resume(Status(host: error.code))
        }
    }

    private func resume(_ status: Status) {
        let body = next
        next = nil
        body?(status)
        advance()
    }

    private func report(_ error: HostCallError) {
        guard !reported.contains(error.code), reported.count < 16 else { return }
        reported.append(error.code)
        surroundings.log(.error, "'\(file.path)': \(error.text); the guest is told, and this is said once")
    }

    // MARK: Steps

    func ask(_ job: OverlayThread.Job, then body: @escaping (Status) -> Void) {
        next = body
        surroundings.expect()
        thread.perform(job)
    }

    /// `place`: in the piece.
    func ask(
        base operation: BlockOperation, _ offset: UInt64, _ length: Int, place: Int,
        then body: @escaping (Status) -> Void
    ) {
        next = body
        isInBase = true
        baseTag &+= 1
        let data = operation == .flush ? nil : piece.bytes.baseAddress.map { $0 + place }
        surroundings.base(operation, offset, length, data, baseTag)
    }

    /// Goes on where nothing is under way.
    func wake() { advance() }

    private func advance() {
        guard !isAdvancing else { return }
        isAdvancing = true
        defer { isAdvancing = false }
        while next == nil {
            if active != nil {
                step()
            } else if commit != nil, queue.isEmpty || isCommitsTurn {
                isCommitsTurn = false
                commitStep()
            } else if !queue.isEmpty {
                isCommitsTurn = true
                active = Active(request: queue.removeFirst())
            } else if wantsQuiet {
                settle()
            } else {
                return
            }
        }
    }

    func finish(_ status: Status) {
        guard let done = active else { return }
        active = nil
        if !done.isAbandoned { surroundings.complete(done.request.tag, status) }
    }

    /// Clusters that are in the file now.
    func own(_ range: Range<UInt64>) {
        for cluster in range {
            map.insert(cluster)
            commit?.written.insert(cluster)
        }
    }

    func markDirty() { isDirty = true }

    func flush(then body: @escaping (Status) -> Void) {
        let pages = map.takeDirty()
        isDirty = false
        ask(.flush(pages)) { [unowned self] status in
            if status != .ok {
                map.giveBack(pages)
                isDirty = true
            }
            body(status)
        }
    }

    private func settle() {
        wantsQuiet = false
        flush { [unowned self] _ in surroundings.quiesced() }
    }
}
