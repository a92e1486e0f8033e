public import PluginKit
public import Virtio

/// Base of the classes that are virtio devices: queues, status and their state. A subclass has one slot for its transport, by `slot`, and says
/// what it is (`connectDevice`) and what it does with a buffer (`work`).
open class VirtioDevice: Instance {
    /// The slot of every virtio device, at position 0 of its class.
    public static var slot: Slot {
        Slot(
            "transport", "virtio/1", doc: "what gives it to the guest: a virtio-pci, a virtio-mmio")
    }

    /// Constant from connect on.
    public private(set) final var identity = VirtioIdentity(type: 0, features: [], queues: 0, entries: 0, configSize: 0)
    public private(set) final var features: VirtioFeatures = []
    public private(set) final var queues: [VirtQueue] = []
    public private(set) final var memory: GuestRAM?
    private var transport = VirtioTransport.unwired
    private var isRunning = false
    private var hasFailed = false
    private var isQuiet = false
    private var hasStarted = false
    /// While a driver was coming up, which may have read it before: it is told once it is ready.
    private var hasConfigChanged = false
    /// Goes on with a queue that had more than one callback does.
    private var timer: PluginKit.Timer?
    private var clock: Clock?
    /// Queues of which buffers may be available that nobody will tell of: more than one callback takes, or what could not be done.
    private var unfinished: Set<Int> = []
    /// Buffers that this callback still takes.
    private var left = 0
    /// Virtual nanoseconds until a long queue goes on: the guest runs meanwhile, even if its queue never ends.
    private static let pause: UInt64 = 20_000
    /// A guest that breaks the rules again and again fills no log: once until the machine is reset.
    private var hasComplained = false

    // MARK: What a device is made of

    /// Fetch peers; what the device is.
    open func connectDevice() throws(PluginError) -> VirtioIdentity { identity }
    /// A buffer was taken from a queue. Call `finish` for it, now or later.
    /// - Returns: false: nothing can be done with it now; it is taken again at the next `resume`.
    open func work(_ queue: Int, _ chain: Chain) throws(VirtQueue.Violation) -> Bool { true }
    /// Whether the queue's buffers are taken as they come; others wait until the device asks by `nextBuffer`.
    open func isServed(_ queue: Int) -> Bool { true }
    /// What is under way is dropped: no memory is used after it.
    open func abandon() {}
    /// The same for one queue.
    open func abandonQueue(_ queue: Int) { abandon() }
    /// The driver, or the machine, has reset it: registers of the device's own are as at first.
    open func wasReset() {}
    /// Before `wasReset`, where the machine is as just made: what peers said is of no use any more, and they say it anew.
    open func poweredOn() {}
    /// False: these features do not go together.
    open func accepts(_ features: VirtioFeatures) -> Bool { true }
    /// The driver is ready, or goes on with the machine: buffers may be there.
    open func began() {}
    /// After `wasReset`, where peers may be called already: those that wait for room may have it.
    open func becameIdle() {}
    /// The machine goes on, whatever the driver does: peers have forgotten what they were told.
    open func machineGoesOn() {}
    open func readConfig(_ offset: UInt32, width: UInt8) -> UInt32 { .max }
    open func writeConfig(_ offset: UInt32, width: UInt8, _ value: UInt32) {}
    /// Something is under way that has to end before the machine is saved; `host.quiesced()` will be called.
    open var isBusy: Bool { false }

    // MARK: What it may call

    /// Whether buffers may be taken and used.
    public final var mayWork: Bool { isLive && !isQuiet }
    /// Whether buffers that were taken may be used.
    public final var isLive: Bool { isRunning && !hasFailed }

    /// Takes what there is in the queue, and hands it to `work`.
    public final func resume(_ queue: Int) {
        guard mayWork, let memory, queues.indices.contains(queue) else { return }
        unfinished.remove(queue)
        left = Int(identity.entries)
        do throws(VirtQueue.Violation) {
            while left > 0, mayWork, let chain = try queues[queue].take(memory) {
                left -= 1
                guard try work(queue, chain) else {
                    queues[queue].giveBack()
                    unfinished.insert(queue)
                    break
                }
            }
        } catch { fail(error, queue) }
        publish(queue)
        guard left <= 0, let clock else { return }
        unfinished.insert(queue)
        timer?.set(at: clock.now &+ Self.pause)
    }

    /// The buffer that `work` has was that much more work than another: calls of the host's kernel... A callback takes as many as the queue has entries.
    public final func spend(_ work: Int) { left -= work }

    /// The next buffer of a queue that is not served; nil: there is none, or not now.
    public final func nextBuffer(_ queue: Int) -> Chain? {
        guard mayWork, let memory, queues.indices.contains(queue) else { return nil }
        do throws(VirtQueue.Violation) { return try queues[queue].take(memory) } catch {
            fail(error, queue)
            return nil
        }
    }

    /// The buffer that was taken last was not used.
    public final func giveBack(_ queue: Int) { queues[queue].giveBack() }

    /// A buffer is done with; `publish` shows it.
    public final func finish(_ queue: Int, _ chain: Chain, written: UInt32) {
        guard isLive, let memory, queues.indices.contains(queue) else { return }
        do throws(VirtQueue.Violation) {
            try queues[queue].put(chain.head, written: written, memory)
        } catch { fail(error, queue) }
    }

    /// Shows the driver what was finished, and tells it where it wants that.
    public final func publish(_ queue: Int) {
        guard isLive, let memory, queues.indices.contains(queue) else { return }
        do throws(VirtQueue.Violation) {
            if try queues[queue].publish(memory) { transport.used(queue: UInt32(queue)) }
        } catch { fail(error, queue) }
    }

    /// The guest broke the rules: the device does nothing more until it is reset. What is under way ends by itself: who calls a device back may be
    /// on the stack, where it cannot be told to stop.
    public final func fail(_ violation: VirtQueue.Violation, _ queue: Int) {
        guard !hasFailed else { return }
        hasFailed = true
        if !hasComplained { host.log(.warning, "queue \(queue): \(violation.sentence); the device needs a reset") }
        hasComplained = true
        transport.needsReset()
    }

    public final func configChanged() { if isRunning { transport.configChanged() } else { hasConfigChanged = true } }

    // MARK: The transport's side

    public final override func virtioDescription(slot: Int) -> VirtioDescription {
        let identity = identity
        return VirtioDescription(
            type: UInt32(identity.type), features: identity.features.rawValue, queues: UInt32(identity.queues),
            entries: UInt32(identity.entries), configSize: identity.configSize)
    }

    public final override func virtioStatus(slot: Int, _ status: VirtioStatus, features: UInt64) -> Bool {
        guard !status.isEmpty else {
            stop()
            return true
        }
        let accepted = VirtioFeatures(rawValue: features)
        let isRunning = status.contains(.driverOK) && !hasFailed
        if !self.isRunning || !isRunning { take(accepted) }
        guard !status.contains(.featuresOK) || accepts(accepted) else { return false }
        if isRunning != self.isRunning {
            self.isRunning = isRunning
            if isRunning { begin() } else { abandon() }
            if isRunning, hasConfigChanged {
                hasConfigChanged = false
                transport.configChanged()
            }
        }
        return true
    }

    private func take(_ accepted: VirtioFeatures) {
        features = accepted.intersection(identity.features)
        for index in queues.indices { queues[index].features = features }
    }

    private func stop() {
        abandon()
        (isRunning, hasFailed, hasConfigChanged) = (false, false, false)
        features = []
        unfinished = []
        timer?.cancel()
        queues = [VirtQueue](repeating: VirtQueue(), count: identity.queues)
        wasReset()
        if hasStarted { becameIdle() }
    }

    private func begin() {
        began()
        for index in queues.indices where isServed(index) { resume(index) }
    }

    public final override func virtioQueue(slot: Int, _ queue: UInt32, is layout: VirtioQueueLayout?) {
        let index = Int(queue)
        guard queues.indices.contains(index) else { return }
        guard let layout else {
            abandonQueue(index)
            return queues[index].reset()
        }
        let place = VirtQueue.Layout(
            entries: UInt16(clamping: layout.entries), descriptors: layout.descriptors, driver: layout.driver,
            device: layout.device)
        queues[index].features = features
        if !queues[index].enable(place, most: identity.entries) { fail(.notMemory, index) }
    }

    public final override func virtioKicked(slot: Int, queue: UInt32) {
        guard mayWork, queues.indices.contains(Int(queue)) else { return }
        if isServed(Int(queue)) { resume(Int(queue)) } else { kicked(Int(queue)) }
    }

    /// Buffers are available in a queue that is not served.
    open func kicked(_ queue: Int) {}

    public final override func virtioConfigRead(slot: Int, _ offset: UInt32, width: UInt8, isPeek: Bool) -> UInt32 {
        guard offset < identity.configSize, UInt32(width) <= identity.configSize - offset else { return .max }
        return readConfig(offset, width: width)
    }

    public final override func virtioConfigWrite(slot: Int, _ offset: UInt32, width: UInt8, _ value: UInt32) {
        guard offset < identity.configSize, UInt32(width) <= identity.configSize - offset else { return }
        writeConfig(offset, width: width, value)
    }

    // MARK: Lifecycle

    public final override func connect() throws(PluginError) {
        transport = try host.virtioTransport("transport")
        memory = GuestRAM(try host.memory)
        clock = try host.clock
        timer = try host.clock.timer(cookie: .max)
        identity = try connectDevice()
    }

    public final override func reset(warm: Bool) {
        hasComplained = false
        if !warm { poweredOn() }
        stop()
    }

    public final override func timerFired(cookie: UInt64, at now: UInt64) {
        if cookie == .max { finishQueues() } else { timerExpired(cookie: cookie) }
    }

    /// One of the device's own, whose cookie is not `UInt64.max`.
    open func timerExpired(cookie: UInt64) {}

    private func finishQueues() { for queue in unfinished.sorted() { resume(queue) } }

    public final override func quiesce() throws(PluginError) -> Bool {
        isQuiet = true
        return !isBusy
    }

    /// To be called when something that was under way has ended.
    public final func settleQuiet() { if isQuiet, !isBusy { host.quiesced() } }

    public final override func start() throws(PluginError) {
        (isQuiet, hasStarted) = (false, true)
        machineGoesOn()
        guard isLive else { return }
        began()
        finishQueues()
    }

    open override func disconnect() { abandon() }

    // MARK: State

    /// An override calls it first.
    open override func save(to state: StateWriter) throws(PluginError) {
        state.put("features", features.rawValue)
        state.put("is-running", isRunning)
        state.put("has-failed", hasFailed)
        if hasConfigChanged { state.put("config-changed", true, optional: true) }
        state.put("unfinished", unfinished.reduce(0 as UInt64) { $0 | 1 << UInt64($1) })
        state.put("queues", queues.flatMap { $0.state.bytes })
    }

    /// An override calls it when nothing can fail any more.
    open override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        let saved = VirtioFeatures(rawValue: try state.get("features"))
        let bytes = try state.get("queues", count: VirtQueue.State.size * identity.queues)
        let (isRunning, hasFailed): (Bool, Bool) = (try state.get("is-running"), try state.get("has-failed"))
        let unfinished: UInt64 = try state.get("unfinished")
        let hasConfigChanged: Bool = state.has("config-changed") ? try state.get("config-changed") : false
        guard saved.isSubset(of: identity.features) else { throw PluginError("features that it does not have") }
        var queues: [VirtQueue] = []
        for index in 0..<identity.queues {
            var queue = VirtQueue()
            let part = bytes[index * VirtQueue.State.size..<(index + 1) * VirtQueue.State.size]
            guard let state = VirtQueue.State(bytes: part), queue.restore(state, most: identity.entries) else {
                throw PluginError("queue \(index) cannot be so")
            }
            queue.features = saved
            queues.append(queue)
        }
        abandon()
        (features, self.queues, self.isRunning, self.hasFailed) = (saved, queues, isRunning, hasFailed)
        self.hasConfigChanged = hasConfigChanged
        self.unfinished = Set((0..<min(identity.queues, 64)).filter { unfinished >> UInt64($0) & 1 != 0 })
    }
}

extension VirtQueue.Violation {
    var sentence: String {
        switch self {
        case .notMemory: "a ring, a descriptor or a buffer is not in memory"
        case .indexJumped: "the available index has jumped"
        case .noSuchDescriptor: "there is no descriptor of that number"
        case .endlessChain: "a chain of descriptors does not end"
        case .badIndirect: "a table of indirect descriptors cannot be so"
        case .badOrder: "a buffer to be read is behind one to be written"
        case .tooLong: "a chain is longer than 4 GiB"
        case .badRequest: "a request cannot be answered"
        }
    }
}
