import BackendSupport
import CBackendSupport
import Glibc

/// The network's own thread, which waits for the host's sockets, and the frames between it and the card. Nothing here waits for the
/// machine: what one side has no room for waits in a queue of its own, and is lost beyond.
public final class NetworkThread: @unchecked Sendable {
    public struct Counters: Equatable, Sendable {
        public var sent: UInt64 = 0
        public var received: UInt64 = 0
        public var lost: UInt64 = 0
    }

    private let link: HostLink
    private let postArgument: UInt
    private let monitor = Monitor()
    /// Written to end the thread's wait.
    private let bell: Descriptor
    /// The thread's own, once there is one.
    private let stack: SlirpStack

    // Guarded by `monitor`.
    private var fromGuest = FrameQueue()
    private var toGuest = FrameQueue()
    private var totals = Counters()
    /// Frames that the card takes now.
    private var room = 0
    private var isPosted = false
    private var isRung = false
    /// The thread waits for room.
    private var isThrottled = false
    private var isStopping = false

    private var thread: WorkerThread?

    /// Where frames for the card wait and it has room, `link.post(postArgument)` says so.
    public init(_ settings: NetworkSettings, link: HostLink, postArgument: UInt) throws(NetworkSettings.Problem) {
        self.link = link
        self.postArgument = postArgument
        do throws(SlirpStack.Failure) { stack = try SlirpStack(settings) } catch {
            throw NetworkSettings.Problem(text: error.text)
        }
        do throws(HostCallError) { bell = try Descriptor.event() } catch {
            throw NetworkSettings.Problem(text: "an event descriptor cannot be made: " + error.text)
        }
    }

    // MARK: The owner's side, which never waits but in `stop`

    public func start() throws(HostCallError) {
        guard thread == nil else { return }
        thread = try WorkerThread("bp-net") { [self] in run() }
    }

    /// A frame of the guest's.
    public func send(_ frame: UnsafeRawBufferPointer) {
        monitor.locked {
            totals.sent &+= 1
            fromGuest.append(frame)
            ring()
        }
    }

    /// The card takes `frames` in all. Those that wait are posted.
    public func ready(_ frames: Int) {
        monitor.locked {
            room = frames
            post()
        }
    }

    /// Frames for the card, at most `limit` and what it has room for, after a post. What is left is posted anew.
    public func take(limit: Int) -> [[UInt8]] {
        monitor.locked {
            isPosted = false
            let frames = toGuest.take(min(limit, room))
            room -= frames.count
            totals.received &+= UInt64(frames.count)
            if isThrottled, toGuest.isHalfEmpty { ring() }
            post()
            return frames
        }
    }

    public var counters: Counters {
        monitor.locked {
            var result = totals
            result.lost = fromGuest.lost &+ toGuest.lost
            return result
        }
    }

    /// Ends the thread and all connections. False: a host call does not return; the thread ends when it does.
    public func stop(milliseconds: Int = 1000) -> Bool {
        monitor.locked {
            isStopping = true
            ring()
        }
        let hasEnded = thread?.join(milliseconds: milliseconds) ?? true
        link.cut()
        return hasEnded
    }

    // MARK: Inside, with the monitor held

    private func ring() {
        guard !isRung else { return }
        isRung = true
        bell.ring()
    }

    private func post() {
        if !isPosted, room > 0, !toGuest.isEmpty { isPosted = link.post(postArgument) }
    }

    // MARK: The thread

    private func run() {
        stack.deliver = { [unowned self] frame in
            monitor.locked { toGuest.append(frame) }
        }
        stack.complain = { [unowned self] text in link.log(.debug, "the guest: " + text) }
        while let (frames, takes) = nextWork() {
            for frame in frames { stack.input(frame) }
            // What the stack answered at once goes before the wait. A post that the host did not take is tried again soon.
            let isLate = monitor.locked {
                post()
                return !isPosted && room > 0 && !toGuest.isEmpty
            }
            stack.wait(milliseconds: isLate ? 10 : 1000, wake: bell.raw, takes: takes)
            monitor.locked { post() }
        }
        stack.deliver = { _ in }
        stack.complain = { _ in }
    }

    /// nil: the end.
    private func nextWork() -> (frames: [[UInt8]], takes: Bool)? {
        monitor.locked {
            if isRung {
                isRung = false
                bell.silence()
            }
            guard !isStopping else { return nil }
            isThrottled = !toGuest.isHalfEmpty
            return (fromGuest.take(.max), !isThrottled)
        }
    }
}
