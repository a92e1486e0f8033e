import BackendSupport
import CBackendSupport
import Glibc
import PluginKit

/// What stands between a machine's display and those who look at it from elsewhere. The machine's side is called with the machine's lock held and waits
/// for nothing but a short monitor; all encoding is done on the other side, the thread of whoever has the connections.
public final class DisplayHub: @unchecked Sendable {
    /// Milliseconds between two looks at the device: the least while something changes, the most while nothing does.
    private static let (shortest, longest): (Int64, Int64) = (20, 320)
    /// A device that has not answered for so long is asked anew, as if it were the first time: it may have been off line.
    private static let patience: Int64 = 2000
    /// A client waits no longer for its first picture.
    private static let firstPatience: Int64 = 1000
    /// A client that has not said by then what it wants is gone.
    private static let handshake: Int64 = 30_000

    /// What the machine's side is posted.
    public struct Posts: Sendable {
        public var refresh, refreshAll, input: UInt
        public init(refresh: UInt, refreshAll: UInt, input: UInt) {
            (self.refresh, self.refreshAll, self.input) = (refresh, refreshAll, input)
        }
    }

    /// One who looks. Of the thread.
    private struct Viewer {
        var session: Session
        var hand = OperatorInput.Hand()
        let since: Int64
        /// The picture's size is told when the next frame has come, or at last then.
        var sizeDeadline: Int64?
    }

    private let name: String
    private let link: HostLink
    private let posts: Posts
    private let clock: @Sendable () -> Int64
    private let wake: @Sendable () -> Void
    private let monitor = Monitor()

    // Guarded by `monitor`.
    private var isRunning = false
    private var snapshot: Snapshot?
    private var hasFrame = false
    /// The machine has begun to run: what the device was asked before is not answered any more.
    private var hasBegun = false
    private var mustAskAll = true
    private var input = OperatorInput()
    private var isInputPosted = false

    // Of the thread.
    private var image = ScreenImage()
    private var viewers: [Int: Viewer] = [:]
    private var lastViewer = 0
    /// When the device was asked; nil: it has answered.
    private var asked: Int64?
    private var nextLook: Int64 = 0
    private var interval = DisplayHub.shortest
    private var ending: Set<Int> = []

    /// - Parameters:
    ///   - name: what clients call their windows.
    ///   - clock: milliseconds of the host's time, never of a guest's.
    ///   - wake: ends the wait of the thread, from any other.
    public init(
        name: String, link: HostLink, posts: Posts, clock: @escaping @Sendable () -> Int64 = DisplayHub.monotonic,
        wake: @escaping @Sendable () -> Void
    ) {
        (self.name, self.link, self.posts, self.clock, self.wake) = (name, link, posts, clock, wake)
    }

    // MARK: The machine's side

    /// The machine runs, or stands still: then nobody is asked for pictures, and what operators enter waits.
    public func run(_ isRunning: Bool, pointer kinds: InputKinds) {
        monitor.locked {
            self.isRunning = isRunning
            input.pointerKinds = kinds
            // A machine whose state was loaded has forgotten what it said.
            mustAskAll = true
            hasBegun = hasBegun || isRunning
            // A post from before may be lost with what it was to be answered by.
            isInputPosted = false
            postInput()
        }
        wake()
    }

    /// The device's answer is whole. nil: nothing has changed. False: the last one has not been taken yet; what it has comes with the next.
    public func frame(_ snapshot: Snapshot?) -> Bool {
        let isTaken = monitor.locked {
            hasFrame = true
            guard let snapshot else { return true }
            guard self.snapshot == nil else { return false }
            self.snapshot = snapshot
            return true
        }
        wake()
        return isTaken
    }

    /// The next packet for keyboard or pointer; nil: a post says when there is one.
    func nextInput() -> OperatorInput.Packet? {
        monitor.locked {
            let packet = isRunning ? input.next() : nil
            if packet == nil { isInputPosted = false }
            return packet
        }
    }

    /// With the monitor held.
    private func postInput() {
        guard isRunning, !isInputPosted, !input.isEmpty else { return }
        isInputPosted = link.post(posts.input)
    }

    // MARK: The thread's side

    public var viewerCount: Int { viewers.count }

    /// Somebody has come; a number that stands for them.
    public func open() -> Int {
        lastViewer &+= 1
        viewers[lastViewer] = Viewer(session: Session(name: name), since: clock())
        return lastViewer
    }

    /// A sentence about the client: it is to be gone.
    public func receive(_ bytes: UnsafeRawBufferPointer, from viewer: Int) -> String? {
        guard let result = viewers[viewer]?.session.receive(bytes) else { return nil }
        for event in result.events { take(event, of: viewer) }
        if viewers[viewer]?.session.wantsSize == true, viewers[viewer]?.sizeDeadline == nil {
            viewers[viewer]?.sizeDeadline = clock() + Self.firstPatience
            nextLook = 0
        }
        return result.refusal?.text
    }

    public func hasOutput(for viewer: Int) -> Bool {
        viewers[viewer]?.session.withOutput { !$0.isEmpty } ?? false
    }

    /// `body` answers how many of the bytes it has taken.
    public func takeOutput(for viewer: Int, _ body: (UnsafeRawBufferPointer) -> Int) {
        guard let count = viewers[viewer]?.session.withOutput(body) else { return }
        viewers[viewer]?.session.consume(count)
        // What has changed meanwhile follows at once.
        viewers[viewer]?.session.update(from: image)
    }

    /// They are gone: what they held is let go.
    public func close(_ viewer: Int) {
        guard var gone = viewers.removeValue(forKey: viewer) else { return }
        ending.remove(viewer)
        monitor.locked {
            input.releaseAll(by: &gone.hand)
            postInput()
        }
    }

    /// Those that are to be gone, since they have nothing to say or another wants to be alone.
    public func takeEnding() -> Set<Int> {
        let now = clock()
        for (number, viewer) in viewers where !viewer.session.isOpen && now - viewer.since > Self.handshake {
            ending.insert(number)
        }
        defer { ending = [] }
        return ending
    }

    private func take(_ event: Session.Event, of viewer: Int) {
        guard var hand = viewers[viewer]?.hand, let session = viewers[viewer]?.session else { return }
        monitor.locked {
            switch event {
            case .exclusive: ending.formUnion(viewers.keys.filter { $0 != viewer })
            case .keyDown(let name, let codes): input.press(name, codes, by: &hand)
            case .keyUp(let name): input.release(name, by: &hand)
            case .pointer(let buttons, let x, let y):
                input.point(buttons, x: x, y: y, size: session.size, by: &hand)
            }
            postInput()
        }
        viewers[viewer]?.hand = hand
        // What comes of it is to be seen soon.
        if interval > Self.shortest {
            interval = Self.shortest
            nextLook = min(nextLook, clock() + interval)
        }
    }

    /// Gives everybody what is new, and asks the device where somebody waits for more.
    /// - Returns: milliseconds until this is to be done again at the latest.
    public func turn() -> Int32 {
        let now = clock()
        takeFrame(now)
        for number in Array(viewers.keys) {
            if let deadline = viewers[number]?.sizeDeadline, deadline <= now { tellSize(number) }
            viewers[number]?.session.update(from: image)
        }
        return Int32(clamping: max(1, look(now) - now))
    }

    private func takeFrame(_ now: Int64) {
        let (hasFrame, hasBegun, snapshot) = monitor.locked {
            defer { (self.hasFrame, self.hasBegun, self.snapshot) = (false, false, nil) }
            return (self.hasFrame, self.hasBegun, self.snapshot)
        }
        if hasBegun { (asked, nextLook) = (nil, 0) }
        guard hasFrame else { return }
        let begin = asked ?? now
        asked = nil
        interval = snapshot != nil ? Self.shortest : min(interval * 2, Self.longest)
        nextLook = begin + interval
        if let snapshot {
            let change = image.apply(snapshot)
            for number in Array(viewers.keys) { viewers[number]?.session.note(change) }
        }
        for (number, viewer) in viewers where viewer.sizeDeadline != nil { tellSize(number) }
    }

    private func tellSize(_ viewer: Int) {
        viewers[viewer]?.sizeDeadline = nil
        viewers[viewer]?.session.open(image)
    }

    /// - Returns: when to come back.
    private func look(_ now: Int64) -> Int64 {
        let deadlines = viewers.values.filter { !$0.session.isOpen }.map {
            $0.sizeDeadline ?? $0.since + Self.handshake + 1
        }
        let soonest = min(now + 60_000, deadlines.min() ?? .max)
        let isWatched = viewers.values.contains { $0.sizeDeadline != nil || $0.session.waitsForPicture }
        guard isWatched else { return soonest }
        let isLost = asked.map { now - $0 > Self.patience } ?? false
        if let asked, !isLost { return min(soonest, asked + Self.patience + 1) }
        guard now >= nextLook else { return min(soonest, nextLook) }
        let isAsked: Bool? = monitor.locked {
            guard isRunning else { return nil }
            let all = mustAskAll || isLost
            guard link.post(all ? posts.refreshAll : posts.refresh) else { return false }
            mustAskAll = false
            return true
        }
        guard let isAsked else { return soonest }
        if isAsked { asked = now } else { nextLook = now + Self.shortest }
        return min(soonest, isAsked ? now + Self.patience + 1 : nextLook)
    }

    /// Of the host's monotonic clock.
    public static let monotonic: @Sendable () -> Int64 = { Int64(HostClock.milliseconds) }
}
