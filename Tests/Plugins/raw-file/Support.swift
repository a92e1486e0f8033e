import BackendSupport
import PluginKit

@testable import RawImage

/// A medium in memory that waits in each call until it may go on, and can fail.
final class SlowMedium: DiskMedium, @unchecked Sendable {
    let name = "slow"
    let overlayLength: UInt64 = 0
    private let monitor = Monitor()
    private var bytes: [UInt8]
    private var isHeld = false
    private var passes = 0
    private var isInside = false
    private var failure: Int32?
    private var isCached = false
    private var calls: [String] = []

    init(count: Int) { bytes = pattern(count) }

    /// Each call waits from now on.
    func hold() { monitor.locked { isHeld = true } }
    /// The call that waits goes on, the next one waits.
    func passOne() {
        monitor.locked {
            passes += 1
            monitor.wake()
        }
    }
    func letGo() {
        monitor.locked {
            isHeld = false
            monitor.wake()
        }
    }
    /// Reads can be had at once from now on.
    func cache() { monitor.locked { isCached = true } }
    func fail(_ code: Int32?) { monitor.locked { failure = code } }
    var log: [String] { monitor.locked { calls } }
    var contents: [UInt8] { monitor.locked { bytes } }

    /// Until a call hangs in here.
    func waitForCall() -> Bool {
        let deadline = Monitor.Deadline(milliseconds: 5000)
        return monitor.locked {
            while !isInside {
                if !monitor.wait(until: deadline) { return isInside }
            }
            return true
        }
    }

    private func call(_ text: String, _ body: () -> Void) throws(HostCallError) {
        let code: Int32? = monitor.locked {
            calls.append(text)
            isInside = true
            monitor.wake()
            while isHeld, passes == 0 { monitor.wait() }
            if isHeld { passes -= 1 }
            isInside = false
            if failure == nil { body() }
            return failure
        }
        if let code { throw HostCallError(code: code) }
    }

    func read(at offset: UInt64, into target: UnsafeMutableRawBufferPointer) throws(HostCallError) {
        try call("read \(offset) \(target.count)") {
            target.copyBytes(from: bytes[Int(offset)..<(Int(offset) + target.count)])
        }
    }
    func readAtOnce(at offset: UInt64, into target: UnsafeMutableRawBufferPointer) -> Bool {
        monitor.locked {
            guard isCached else { return false }
            calls.append("cached \(offset) \(target.count)")
            target.copyBytes(from: bytes[Int(offset)..<(Int(offset) + target.count)])
            return true
        }
    }
    func write(at offset: UInt64, _ source: UnsafeRawBufferPointer) throws(HostCallError) {
        try call("write \(offset) \(source.count)") {
            bytes.replaceSubrange(Int(offset)..<(Int(offset) + source.count), with: source)
        }
    }
    func flush() throws(HostCallError) { try call("flush") {} }
}

/// A worker on a medium, and what it told.
final class Bench: @unchecked Sendable {
    let worker: DiskWorker
    private let box = Box()

    final class Box: @unchecked Sendable {
        let monitor = Monitor()
        var posts = 0
        var refusals = 0
        var lines: [String] = []
    }

    /// `clock`: nanoseconds of the host's.
    init(_ medium: any DiskMedium, clock: @escaping @Sendable () -> UInt64 = { HostClock.now }) {
        let box = box
        worker = DiskWorker(
            medium,
            link: HostLink(
                post: { argument in
                    box.monitor.locked {
                        guard argument == 3, box.refusals == 0 else {
                            box.refusals -= 1
                            return false
                        }
                        box.posts += 1
                        box.monitor.wake()
                        return true
                    }
                }, log: { _, text in box.monitor.locked { box.lines.append(text) } }),
            postArgument: 3, clock: clock)
    }

    var log: [String] { box.monitor.locked { box.lines } }
    var posts: Int { box.monitor.locked { box.posts } }
    /// The next posts are not taken.
    func refuse(_ count: Int) { box.monitor.locked { box.refusals = count } }

    /// Completions until there are `count`, or five seconds have passed; and whether the worker said that it is quiet.
    func news(_ count: Int, untilQuiet: Bool = false) -> (tags: [UInt64], statuses: [Status], isQuiet: Bool) {
        let deadline = Monitor.Deadline(milliseconds: 5000)
        var all = DiskNews()
        while all.completions.count < count || (untilQuiet && !all.isQuiet) {
            let isThere = box.monitor.locked {
                while box.posts == 0 {
                    if !box.monitor.wait(until: deadline) { return false }
                }
                box.posts -= 1
                return true
            }
            guard isThere else { break }
            let news = worker.takeNews()
            all.completions += news.completions
            all.isQuiet = all.isQuiet || news.isQuiet
        }
        return (all.completions.map(\.tag), all.completions.map(\.status), all.isQuiet)
    }
}

/// A client's buffer. Never freed: a test that ends early must not pull it away from a worker.
final class Buffer: @unchecked Sendable {
    let raw: UnsafeMutableRawBufferPointer
    init(_ bytes: [UInt8]) {
        raw = .allocate(byteCount: bytes.count, alignment: 16)
        raw.copyBytes(from: bytes)
    }
    convenience init(count: Int) { self.init([UInt8](repeating: 0xee, count: count)) }
    var bytes: [UInt8] { [UInt8](raw) }

    func request(_ operation: BlockOperation, at offset: UInt64, tag: UInt64) -> DiskRequest {
        .init(operation, offset: offset, length: raw.count, data: raw.baseAddress, tag: tag)
    }
}
