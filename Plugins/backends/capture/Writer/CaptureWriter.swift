import BackendSupport
import PluginKit

/// Writes frames to a capture file on a thread of its own: the host's disk may be slow, full, or never answer, and the machine waits for none of it.
/// What the thread is behind with is bounded; what is lost is counted in the next frame's block.
public final class CaptureWriter: @unchecked Sendable {
    public struct Counters: Equatable, Sendable {
        public var captured: UInt64 = 0
        public var lost: UInt64 = 0

        public init(captured: UInt64 = 0, lost: UInt64 = 0) { (self.captured, self.lost) = (captured, lost) }
    }

    /// In bytes, of blocks that wait.
    public static let queueLimit = 8 << 20
    /// Milliseconds from a failed write to the next.
    private static let pause = 1000

    private let name: String
    private let file: CaptureFile
    private let limit: Int64
    private let link: HostLink
    private let monitor = Monitor()

    // Guarded by `monitor`.
    private var waiting: [[UInt8]] = []
    private var waitingBytes = 0
    private var counters = Counters()
    /// Of `counters.lost`, what no block tells of yet.
    private var untold: UInt64 = 0
    private var isFull = false
    private var isStopping = false

    // The thread's own.
    private var failure: Int32?

    private var thread: WorkerThread?

    /// - Parameters:
    ///   - name: how messages call the file.
    ///   - limit: its length in bytes, at most.
    public init(name: String, file: CaptureFile, limit: Int64, link: HostLink) {
        self.name = name
        self.file = file
        self.limit = limit
        self.link = link
    }

    // MARK: The owner's side; nothing blocks but `stop`

    public func start(head: [UInt8]) throws(HostCallError) {
        guard thread == nil else { return }
        try file.append(PageLayout.next([head], at: 0).bytes)
        thread = try WorkerThread("bp-capture") { [self] in run() }
    }

    public func add(_ frame: UnsafeRawBufferPointer, at time: UInt64, _ direction: PcapNG.Direction) {
        monitor.locked {
            guard !isFull, waitingBytes + frame.count <= Self.queueLimit else { return lose(1) }
            let block = PcapNG.packet(frame, at: time, direction, lost: untold)
            untold = 0
            waiting.append(block)
            waitingBytes += block.count
            if waiting.count == 1 { monitor.wake() }
        }
    }

    public var totals: Counters { monitor.locked { counters } }

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

    private func run() {
        while let blocks = next() {
            var rest = blocks[...]
            while !rest.isEmpty {
                let (bytes, count) = PageLayout.next(rest, at: file.length)
                guard write(bytes, count, left: rest.count) else { break }
                rest = rest.dropFirst(count)
            }
        }
    }

    /// nil: the end.
    private func next() -> [[UInt8]]? {
        monitor.locked {
            while waiting.isEmpty {
                if isStopping { return nil }
                monitor.wait()
            }
            defer { (waiting, waitingBytes) = ([], 0) }
            return waiting
        }
    }

    /// - Parameters:
    ///   - count: frames in these bytes.
    ///   - left: frames that are to be written, with these.
    /// - Returns: false: all of those are lost.
    private func write(_ bytes: [UInt8], _ count: Int, left: Int) -> Bool {
        guard file.length + Int64(bytes.count) <= limit else {
            end(left)
            return false
        }
        do throws(HostCallError) {
            try file.append(bytes)
            if failure != nil { link.log(.warning, "'\(name)' can be written again") }
            failure = nil
            monitor.locked { counters.captured &+= UInt64(count) }
            return true
        } catch {
            if failure != error.code {
                link.log(.error, "'\(name)' cannot be written: \(error.text); frames are not captured until it can be")
            }
            failure = error.code
            pause(left)
            return false
        }
    }

    /// It is tried again with what comes after a while; the end does not wait for that.
    private func pause(_ lost: Int) {
        monitor.locked {
            let deadline = Monitor.Deadline(milliseconds: Self.pause)
            while !isStopping, monitor.wait(until: deadline) {}
            lose(UInt64(lost + waiting.count))
            (waiting, waitingBytes) = ([], 0)
        }
    }

    /// The file has its length.
    private func end(_ lost: Int) {
        monitor.locked {
            lose(UInt64(lost + waiting.count))
            (isFull, waiting, waitingBytes) = (true, [], 0)
        }
        link.log(.info, "'\(name)' is as long as it may be: no more frames are captured")
    }

    /// With the monitor held.
    private func lose(_ count: UInt64) {
        counters.lost &+= count
        untold &+= count
    }
}
