import BackendSupport
import PluginKit

/// A piece of a disk on its way: touched by the thread while it has a job, by the engine otherwise.
final class Piece: @unchecked Sendable {
    let bytes: UnsafeMutableRawBufferPointer
    init(count: Int) { bytes = .allocate(byteCount: count, alignment: 4096) }
    deinit { bytes.deallocate() }
}

/// The thread that does what may block, one job at a time.
final class OverlayThread: @unchecked Sendable {
    enum Job: Sendable {
        /// Nothing: only a way back that is not inside the call that asks.
        case pass
        /// Bytes of the disk, from or to `place` in the piece.
        case read(offset: UInt64, length: Int, place: Int)
        case write(offset: UInt64, length: Int, place: Int)
        case punch(offset: UInt64, length: UInt64)
        case flush([ClusterMap.Page])
        /// A flush of a map that tells of less; only then the clusters give back their room.
        case shrink([ClusterMap.Page], punches: Bool)
    }

    private let file: OverlayFile
    private let piece: Piece
    private let link: HostLink
    private let postArgument: UInt
    private let monitor = Monitor()

    // Guarded by `monitor`.
    private var job: Job?
    private var result: Result<Bool, HostCallError>?
    private var isPosted = false
    private var isStopping = false

    private var thread: WorkerThread?

    init(_ file: OverlayFile, _ piece: Piece, link: HostLink, postArgument: UInt) {
        (self.file, self.piece, self.link, self.postArgument) = (file, piece, link, postArgument)
    }

    func start() throws(HostCallError) { thread = try WorkerThread("bp-overlay") { [self] in run() } }

    /// Its result is posted. Only when there is none under way.
    func perform(_ job: Job) {
        monitor.locked {
            self.job = job
            monitor.wake()
        }
    }

    /// After a post. False: it cannot be done here (`punch`).
    func takeResult() -> Result<Bool, HostCallError>? {
        monitor.locked {
            defer { (result, isPosted) = (nil, false) }
            return result
        }
    }

    func stop(milliseconds: Int) -> Bool {
        monitor.locked {
            isStopping = true
            monitor.wake()
        }
        let hasEnded = thread?.join(milliseconds: milliseconds) ?? true
        link.cut()
        return hasEnded
    }

    private func run() {
        while let job = next() {
            let result: Result<Bool, HostCallError>
            do throws(HostCallError) { result = .success(try done(job)) } catch { result = .failure(error) }
            monitor.locked { self.result = result }
        }
    }

    /// nil: the end.
    private func next() -> Job? {
        monitor.locked {
            while !isStopping {
                if result != nil, !isPosted { isPosted = link.post(postArgument) }
                if let job {
                    self.job = nil
                    return job
                }
                // A post that the host could not take is tried again.
                if result == nil || isPosted {
                    monitor.wait()
                } else {
                    _ = monitor.wait(until: .init(milliseconds: 10))
                }
            }
            return nil
        }
    }

    private func done(_ job: Job) throws(HostCallError) -> Bool {
        switch job {
        case .pass: break
        case .read(let offset, let length, let place):
            try file.read(at: offset, into: .init(rebasing: piece.bytes[place..<(place + length)]))
        case .write(let offset, let length, let place):
            try file.write(at: offset, .init(rebasing: UnsafeRawBufferPointer(piece.bytes)[place..<(place + length)]))
        case .punch(let offset, let length): return try file.punch(at: offset, length: length)
        case .flush(let pages): try file.flush(pages)
        case .shrink(let pages, let punches):
            try file.flush(pages)
            if punches { _ = try file.punch(at: 0, length: file.clusters * OverlayFile.clusterSize) }
        }
        return true
    }
}
