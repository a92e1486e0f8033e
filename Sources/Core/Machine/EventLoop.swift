// The machine's event loop: one thread with epoll for host descriptors, a timerfd for the virtual clock's next deadline, and
// an eventfd for work that other threads post.

import CBackplane
import CHost
import Glibc

/// What tells one post of an instance from another: its function and argument, as numbers.
struct PostKey: Equatable, Sendable {
    var function: UInt
    var argument: UInt

    init(_ function: @escaping bp_posted, _ argument: UnsafeMutableRawPointer?) {
        self.function = unsafeBitCast(function, to: UInt.self)
        self.argument = UInt(bitPattern: argument)
    }

    private init(argument: UInt) { (function, self.argument) = (0, argument) }
    /// Bytes for a client of the console.
    static let console = PostKey(argument: 1)
}

final class EventLoop: @unchecked Sendable {
    struct Watch {
        var id: bp_id
        var owner: PluginInstance
        var descriptor: Int32
        var handler: bp_event_handler
        var cookie: UInt64
        /// BP_EVENT_*; 0: not in epoll, which would still report hang-ups.
        var events: UInt32
    }

    private struct Work {
        var owner: PluginInstance?
        var key: PostKey?
        var body: () -> Void

        /// It was announced, and is due later.
        func isHeld(_ expectations: [Expectation]) -> Bool {
            guard let owner, let key else { return false }
            return expectations.contains { $0.owner === owner && $0.key == key }
        }
    }

    struct Expectation {
        var owner: PluginInstance
        var key: PostKey
        /// Virtual nanoseconds.
        var due: UInt64
    }

    unowned(unsafe) var machine: Machine!
    private let epoll: Int32
    private let timer: Int32
    private let wakeUp: Int32

    // Guarded by the machine's lock.
    private var watches: [bp_id: Watch] = [:]
    private var armed: UInt64?
    /// Counted time only: posts that are under way, and when they are delivered. In the order of their announcement.
    private(set) var expectations: [Expectation] = []

    // Guarded by `lock`.
    // SAFETY: freed in deinit.
    private let lock = UnsafeMutablePointer<ch_lock>.allocate(capacity: 1)
    private var posted: [Work] = []
    private var mustStop = false
    /// Instances whose disconnect has begun.
    private var closed: Set<ObjectIdentifier> = []
    private let stopped = Flag()
    private var isRunning = false

    private static let timerTag = UInt64.max
    private static let wakeTag = UInt64.max - 1
    static let postLimit = 1 << 20
    static let expectationLimit = 4096
    /// How long, in ns of the host, an announced post is waited for.
    private static let patience: UInt64 = 10_000_000_000

    init() throws(MachineError) {
        lock.initialize(to: ch_lock())
        epoll = ch_epoll_create()
        timer = ch_timerfd()
        wakeUp = ch_eventfd()
        let results = [
            epoll, timer, wakeUp, ch_epoll_add(epoll, timer, ch_event_read, EventLoop.timerTag),
            ch_epoll_add(epoll, wakeUp, ch_event_read, EventLoop.wakeTag),
        ]
        if let failed = results.first(where: { $0 < 0 }) {
            throw MachineError("the event loop: \(String(cString: strerror(-failed)))", status: 6)
        }
    }

    deinit {
        for descriptor in [epoll, timer, wakeUp] where descriptor >= 0 { close(descriptor) }
        lock.deallocate()
    }

    // MARK: Descriptors, with the machine's lock held

    private static func mask(_ events: UInt32) -> UInt32 {
        (events & UInt32(BP_EVENT_READ) != 0 ? ch_event_read : 0)
            | (events & UInt32(BP_EVENT_WRITE) != 0 ? ch_event_write : 0)
    }

    static func areKnown(_ events: UInt32) -> Bool {
        events & ~UInt32(BP_EVENT_READ | BP_EVENT_WRITE | BP_EVENT_HANGUP | BP_EVENT_ERROR) == 0
    }

    func watch(_ watch: Watch) -> bp_status {
        guard watches.count < 4096 else { return status(BP_NO_MEMORY) }
        let result = arm(watch, from: 0)
        guard result >= 0 else { return status(result == -EEXIST ? BP_BUSY : BP_INVALID) }
        watches[watch.id] = watch
        return status(BP_OK)
    }

    func change(_ id: bp_id, of owner: PluginInstance, _ events: UInt32) -> bp_status {
        guard var watch = watches[id], watch.owner === owner else { return status(BP_NOT_FOUND) }
        let before = watch.events
        watch.events = events
        guard arm(watch, from: before) >= 0 else { return status(BP_INVALID) }
        watches[id] = watch
        return status(BP_OK)
    }

    func unwatch(_ id: bp_id, of owner: PluginInstance) -> bp_status {
        guard let watch = watches[id], watch.owner === owner else { return status(BP_NOT_FOUND) }
        _ = ch_epoll_remove(epoll, watch.descriptor)
        watches[id] = nil
        return status(BP_OK)
    }

    /// An instance off line: its descriptors would be ready for ever.
    func mute(_ owner: PluginInstance, _ isMuted: Bool) {
        for var watch in watches.values where watch.owner === owner {
            let events = watch.events
            if isMuted { watch.events = 0 }
            _ = arm(watch, from: isMuted ? events : 0)
        }
    }

    /// Brings epoll from the events `before` to those of the watch.
    private func arm(_ watch: Watch, from before: UInt32) -> Int32 {
        let mask = EventLoop.mask(watch.events)
        switch (before == 0, watch.events == 0) {
        case (true, true): return 0
        case (false, true): return ch_epoll_remove(epoll, watch.descriptor)
        case (true, false): return ch_epoll_add(epoll, watch.descriptor, mask, watch.id)
        case (false, false): return ch_epoll_change(epoll, watch.descriptor, mask, watch.id)
        }
    }

    func removeAll(of owner: PluginInstance) {
        for watch in watches.values where watch.owner === owner { _ = unwatch(watch.id, of: owner) }
        expectations.removeAll { $0.owner === owner }
        ch_lock_acquire(lock)
        posted.removeAll { $0.owner === owner }
        ch_lock_release(lock)
    }

    var hasWatches: Bool { !watches.isEmpty }

    // MARK: Posts, from any thread

    /// False: too many wait, or the loop has ended.
    @discardableResult
    func post(_ owner: PluginInstance?, as key: PostKey? = nil, _ body: @escaping () -> Void) -> Bool {
        ch_lock_acquire(lock)
        let isClosed = owner.map { closed.contains(ObjectIdentifier($0)) } ?? false
        let isAccepted = posted.count < EventLoop.postLimit && !mustStop && !isClosed
        let isFirst = posted.isEmpty
        if isAccepted { posted.append(Work(owner: owner, key: key, body: body)) }
        ch_lock_release(lock)
        // Some that wait may be held back: in counted time each wakes.
        if isAccepted, isFirst || machine.isCounted { wake() }
        return isAccepted
    }

    /// Its disconnect begins: nothing more is posted for it.
    func refusePosts(of owner: PluginInstance) {
        ch_lock_acquire(lock)
        closed.insert(ObjectIdentifier(owner))
        ch_lock_release(lock)
    }

    /// It is gone, and its place in memory may be another instance's.
    func allowPosts(of owner: PluginInstance) {
        ch_lock_acquire(lock)
        closed.remove(ObjectIdentifier(owner))
        ch_lock_release(lock)
    }

    func wake() {
        var one: UInt64 = 1
        _ = write(wakeUp, &one, 8)
    }

    // MARK: Timers, with the machine's lock held

    /// Arms the timerfd for the next deadline.
    func timersChanged() {
        if machine.isCounted { return machine.countedEventsChanged() }
        guard machine.clock.source == .real else { return }
        let deadline = machine.timers.nextDeadline.flatMap { machine.clock.hostTime(of: $0) }
        guard deadline != armed else { return }
        armed = deadline
        // Zero would disarm it.
        _ = ch_timerfd_set(timer, deadline.map { max(1, $0) } ?? 0)
    }

    /// One round: a guest that sets a timer faster than it can be served must not keep the lock. What is due again fires at
    /// once in the next round, and the fair lock lets others in between.
    func runTimers() {
        let now = machine.clock.now
        for _ in 0..<machine.timers.entries.count {
            guard let entry = machine.timers.takeDue(at: now) else { return }
            guard !entry.owner.isOffline else { continue }
            entry.owner.call(ch_activity_timer, entry.cookie) {
                entry.handler(entry.owner.raw, entry.cookie, machine.clock.now)
            }
            machine.drain()
        }
    }

    // MARK: The thread

    /// In counted time there is no thread: vCPU 0 does its work, at the virtual times that are due.
    func start() throws(MachineError) {
        if machine.isCounted { return }
        try spawnThread("events") { [self] in
            ch_thread_begin(machine.host)
            run()
            ch_thread_end()
            stopped.set()
        }
        isRunning = true
    }

    /// With the machine's lock held or not; `join` waits for the thread.
    func stop() {
        ch_lock_acquire(lock)
        mustStop = true
        ch_lock_release(lock)
        wake()
    }

    func join() {
        if isRunning { _ = stopped.wait { true } }
        isRunning = false
    }

    private func run() {
        var events = [ch_event](repeating: ch_event(), count: 64)
        // Looked at before each wait and each event: the event that `stop` sent may have been taken by `runPosted`.
        while !isStopping {
            let count = ch_epoll_wait(epoll, &events, 64)
            if count < 0 { continue }
            for index in 0..<Int(count) where !isStopping { serve(events[index]) }
        }
    }

    private var isStopping: Bool {
        ch_lock_acquire(lock)
        defer { ch_lock_release(lock) }
        return mustStop
    }

    private func serve(_ event: ch_event) {
        if event.tag == EventLoop.wakeTag { return runPosted() }
        locked {
            if event.tag == EventLoop.timerTag {
                var expirations: UInt64 = 0
                _ = read(timer, &expirations, 8)
                armed = nil
                runTimers()
                timersChanged()
            } else if let watch = watches[event.tag], !watch.owner.isOffline {
                let events = EventLoop.reported(event.events)
                watch.owner.call(ch_activity_event, UInt64(truncatingIfNeeded: watch.descriptor)) {
                    watch.handler(watch.owner.raw, watch.cookie, watch.descriptor, events)
                }
            }
        }
    }

    private static func reported(_ mask: UInt32) -> UInt32 {
        var events = 0
        if mask & ch_event_read != 0 { events |= BP_EVENT_READ }
        if mask & ch_event_write != 0 { events |= BP_EVENT_WRITE }
        if mask & ch_event_error != 0 { events |= BP_EVENT_ERROR }
        if mask & ch_event_hangup != 0 { events |= BP_EVENT_HANGUP }
        return UInt32(events)
    }

    private func locked(_ body: () -> Void) {
        machine.lock.held { _ in
            body()
            machine.drain()
        }
    }

    /// Runs what was posted, each with the machine's lock held. The bench calls it on its own thread.
    func runPosted() {
        var count: UInt64 = 0
        _ = read(wakeUp, &count, 8)
        let held = machine.isCounted ? heldBack() : []
        ch_lock_acquire(lock)
        var work = posted
        posted = []
        if !held.isEmpty {
            posted = work.filter { $0.isHeld(held) }
            work.removeAll { $0.isHeld(held) }
        }
        ch_lock_release(lock)
        for item in work { locked { run(item) } }
    }

    /// Of what was posted only what an operator asks for; the rest waits. Without the machine's lock.
    func runRequests() {
        ch_lock_acquire(lock)
        let work = posted.filter { $0.owner == nil }
        posted.removeAll { $0.owner == nil }
        ch_lock_release(lock)
        for item in work { locked { run(item) } }
    }

    private func run(_ item: Work) {
        // The machine or the owner may have gone since it was taken; `dismantle` stops the loop under this lock.
        if isStopping { return }
        if let owner = item.owner, owner.phase != .connected || owner.isOffline { return }
        item.body()
    }

    // MARK: Counted time: on vCPU 0's thread

    private func heldBack() -> [Expectation] {
        machine.lock.held { _ in expectations }
    }

    /// Without the machine's lock: serves descriptors that are ready and posts that nobody announced, after waiting for any of them for
    /// at most `milliseconds` (negative: no limit).
    func poll(milliseconds: Int32) {
        var events = [ch_event](repeating: ch_event(), count: 64)
        let count = ch_epoll_wait_for(epoll, &events, 64, milliseconds)
        for index in 0..<Int(max(0, count)) where !isStopping && events[index].tag != EventLoop.wakeTag {
            serve(events[index])
        }
        runPosted()
    }

    /// A post that is under way is delivered at a virtual time of its own. False: there are too many.
    func expect(_ owner: PluginInstance, _ key: PostKey, at due: UInt64) -> Bool {
        guard expectations.count < EventLoop.expectationLimit else { return false }
        expectations.append(Expectation(owner: owner, key: key, due: due))
        return true
    }

    func forgetExpected(_ owner: PluginInstance, _ key: PostKey) {
        expectations.removeAll { $0.owner === owner && $0.key == key }
    }

    func forgetAllExpected() { expectations = [] }

    var nextExpected: UInt64? { expectations.map(\.due).min() }

    /// Delivers what was announced for now. The lock is given up while a post is waited for.
    func deliverExpected(_ held: borrowing HeldLock, at now: UInt64) {
        while let due = nextExpected, due <= now, let index = expectations.firstIndex(where: { $0.due == due }) {
            let expectation = expectations.remove(at: index)
            let until = ch_monotonic() &+ EventLoop.patience
            while true {
                if let work = takePosted(expectation) {
                    run(work)
                    machine.drain()
                    break
                }
                if expectation.owner.isOffline || machine.state.pendingEnd != nil || isStopping { break }
                if ch_monotonic() > until {
                    let text = "what it announced does not come within 10 s: this run will not repeat exactly"
                    machine.log(.warning, expectation.owner.id, text)
                    break
                }
                held.dropped { waitForPost() }
            }
        }
    }

    private func takePosted(_ expectation: Expectation) -> Work? {
        ch_lock_acquire(lock)
        defer { ch_lock_release(lock) }
        guard let index = posted.firstIndex(where: { $0.isHeld([expectation]) }) else { return nil }
        return posted.remove(at: index)
    }

    private func waitForPost() {
        var entry = pollfd(fd: wakeUp, events: Int16(POLLIN), revents: 0)
        _ = Glibc.poll(&entry, 1, 50)
        var count: UInt64 = 0
        _ = read(wakeUp, &count, 8)
    }
}
