import Glibc
import PluginKit

/// A disk's size.
public struct DiskGeometry: Equatable, Sendable {
    public let sectorSize: UInt32
    public let sectors: UInt64

    public init(sectorSize: UInt32, sectors: UInt64) {
        self.sectorSize = sectorSize
        self.sectors = sectors
    }

    /// In bytes.
    public var length: UInt64 { sectors * UInt64(sectorSize) }

    /// The byte range of some sectors; nil: beyond the end.
    public func bytes(sector: UInt64, count: UInt64) -> (offset: UInt64, length: Int)? {
        guard sector <= sectors, count <= sectors - sector else { return nil }
        return (sector * UInt64(sectorSize), Int(clamping: count * UInt64(sectorSize)))
    }
}

extension Status {
    /// What a client is told of a host call that failed with this errno.
    public init(host code: Int32) {
        switch code {
        case ENOSPC, EDQUOT, EFBIG: self = .noSpace
        case EROFS, EPERM: self = .readOnly
        default: self = .ioError
        }
    }
}

/// A request of "block/1" in bytes, as a disk's thread gets it.
public struct DiskRequest: @unchecked Sendable {
    public var operation: BlockOperation
    public var offset: UInt64
    public var length: Int
    /// SAFETY: `length` bytes of the client's, its promise until the completion or `cancelAll`; touched only with
    /// the engine's monitor held and the request not cancelled.
    public var data: UnsafeMutableRawPointer?
    public var tag: UInt64
    /// Decided already: the request only waits for its turn to complete.
    public var verdict: Status?
    /// The engine's: which `cancelAll` it came after.
    public var epoch: UInt64 = 0

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

extension DiskRequest {
    /// What a client of a disk asks for; decided already where that cannot be done.
    public init(_ request: BlockRequest, geometry: DiskGeometry, isReadOnly: Bool) {
        self.init(request.operation, tag: request.tag)
        guard request.operation != .flush else { return }
        let hasData = request.operation == .read || request.operation == .write
        if request.operation != .read, isReadOnly {
            verdict = .readOnly
        } else if let range = geometry.bytes(sector: request.sector, count: request.count) {
            (offset, length, data) = (range.offset, range.length, request.data)
            if hasData, length > 0, data == nil { verdict = .invalid }
        } else {
            verdict = .outOfRange
        }
    }
}

public struct DiskCompletion: Equatable, Sendable {
    public let tag: UInt64
    public let status: Status

    public init(tag: UInt64, status: Status) {
        self.tag = tag
        self.status = status
    }
}

public struct DiskNews: Sendable {
    /// In the order of submission.
    public var completions: [DiskCompletion] = []
    /// What `quiesce` asked for is done.
    public var isQuiet = false
    /// The disk has grown to so many sectors.
    public var sectors: UInt64?

    public init() {}

    public var isEmpty: Bool { completions.isEmpty && !isQuiet && sectors == nil }

    /// Takes out the first `limit` completions, and with the last ones that it is quiet.
    public mutating func take(limit: Int) -> DiskNews {
        var taken = self
        self = DiskNews()
        if taken.completions.count > limit {
            completions = Array(taken.completions[limit...])
            taken.completions.removeLast(taken.completions.count - limit)
            (isQuiet, taken.isQuiet) = (taken.isQuiet, false)
        }
        return taken
    }
}

/// What does a disk's I/O on a thread of its own. Only `stop` waits for the medium.
public protocol DiskEngine: AnyObject {
    func start() throws(HostCallError)
    /// What needs no waiting, done on the caller's thread. nil: it is to be submitted.
    func doneAtOnce(_ request: DiskRequest) -> Status?
    /// False: too many wait already.
    func submit(_ request: DiskRequest) -> Bool
    /// When it returns, no client's buffer is touched any more, and no completion of an earlier request comes. A write
    /// that had begun may still reach the medium, whole or in part, before anything that is submitted later.
    /// False: the post that is under way brings `isQuiet`; else what was posted is of no use any more.
    func cancelAll() -> Bool
    /// True: nothing waits, and everything is on the medium. False: the news `isQuiet` will come.
    func quiesce() -> Bool
    /// What is left beyond `limit` completions is posted anew.
    func takeNews(limit: Int) -> DiskNews
    /// Cancels what waits and ends the thread. False: the medium does not answer; the thread ends when it does.
    func stop() -> Bool
}

extension DiskEngine {
    public func doneAtOnce(_ request: DiskRequest) -> Status? { nil }
}

/// What a disk has done, and how often it has failed.
public protocol DiskStatistics {
    var reads: Int { get set }
    var readBytes: Int { get set }
    var writes: Int { get set }
    var writtenBytes: Int { get set }
    var flushes: Int { get set }
    var discards: Int { get set }
    var errors: Int { get set }
}

extension DiskStatistics {
    public mutating func count(_ request: DiskRequest, _ status: Status) {
        guard status == .ok else {
            errors += 1
            return
        }
        switch request.operation {
        case .read:
            reads += 1
            readBytes &+= request.length
        case .write:
            writes += 1
            writtenBytes &+= request.length
        case .flush: flushes += 1
        case .discard, .writeZeroes: discards += 1
        }
    }
}
