// The bench's door into a machine: its owner's thread drives it, in place of vCPUs and the event loop.

public import CBackplane
import CHost
import SplitMix

extension Machine {
    package var now: UInt64 { clock.now }

    /// As at power-on (`warm` false) or RESET, for every instance but loaders.
    package func resetInstances(warm: Bool) {
        _ = try? locked { () throws(MachineError) in
            endSpans()
            for instance in instances where instance.description.type.kind != .loader { instance.reset(warm: warm) }
        }
    }

    /// Moves a manual clock on, firing each timer at its own time.
    package func advance(to time: UInt64) {
        _ = try? locked { () throws(MachineError) in
            while let deadline = timers.nextDeadline, deadline <= time {
                clock.advance(to: deadline)
                loop.runTimers()
                // A timer that sets itself for the past fires again at once, at most as often as there are nanoseconds.
                if timers.nextDeadline == deadline, deadline >= clock.now { clock.advance(to: deadline &+ 1) }
            }
            clock.advance(to: time)
        }
    }

    /// Runs what other threads have posted.
    package func runPosted() { loop.runPosted() }

    /// Of a machine that nothing else drives, the calling thread is vCPU 0's.
    private func driveCPU() {
        if !state.isStarted || cpus.isEmpty { exits.threads[0] = ch_thread_id() }
    }

    /// Serves host descriptors that are ready and what was posted, after waiting for either for at most `milliseconds`.
    package func serveHost(milliseconds: Int32) { loop.poll(milliseconds: milliseconds) }

    /// Whether an instance watches a host descriptor.
    package var watchesDescriptors: Bool {
        lock.held { _ in loop.hasWatches }
    }

    /// When the next timer fires, in virtual nanoseconds; nil: none is set.
    package var nextTimer: UInt64? {
        lock.held { _ in timers.nextDeadline }
    }

    /// What `MachineOptions.record` calls the instance.
    package func recordName(of instance: PluginInstance) -> UInt { UInt(bitPattern: instance.node) }

    /// A port or memory access as vCPU 0 makes it; `value` nil reads.
    package func access(port: UInt16, width: UInt8, value: UInt64? = nil) -> UInt64 {
        driveCPU()
        return value.map { exits.portWrite(0, port: port, width: width, value: $0, rip: 0).value }
            ?? exits.portRead(0, port: port, width: width, rip: 0).value
    }

    package func access(address: UInt64, width: UInt8, value: UInt64? = nil) -> UInt64 {
        driveCPU()
        return value.map { exits.memoryWrite(0, address: address, width: width, value: $0, rip: 0).value }
            ?? exits.memoryRead(0, address: address, width: width, rip: 0).value
    }

    /// RDMSR, or WRMSR of `value`; nil: #GP, or the CPU's own.
    package func access(msr: UInt32, value: UInt64? = nil) -> UInt64? {
        driveCPU()
        var exit = bp_exit()
        exit.size = UInt32(MemoryLayout<bp_exit>.size)
        exit.reason = UInt16(value == nil ? BP_EXIT_RDMSR : BP_EXIT_WRMSR)
        exit.address = UInt64(msr)
        exit.value = value ?? 0
        return exits.event(&exit) == .handled ? exit.value : nil
    }

    /// String I/O; `bytes` holds whole elements.
    package func accessString(port: UInt16, width: UInt8, _ bytes: UnsafeMutableRawBufferPointer, isWrite: Bool) {
        guard let base = bytes.baseAddress, width > 0 else { return }
        let count = bytes.count / Int(width)
        driveCPU()
        if isWrite {
            _ = exits.portWriteString(0, port: port, width: width, count: count, from: base, rip: 0)
        } else {
            _ = exits.portReadString(0, port: port, width: width, count: count, into: base, rip: 0)
        }
    }

    /// Reads a claim without side effects; nil: nothing claims it, or it does not take this width.
    package func peek(space: ClaimSummary.Kind, address: UInt64, width: UInt8) -> UInt64? {
        lock.held { _ in exits.peek(space.space, address, width) }
    }

    package func acknowledgeInterrupt() -> UInt8? {
        driveCPU()
        return exits.acknowledgeInterrupt(0)
    }

    /// What a plugin, a policy or an operator has asked for.
    package var requestedEnd: MachineEnd? { state.pendingEnd }
    package func clearRequests() {
        lock.held { _ in
            state.pendingEnd = nil
            state.wantsReset = false
        }
    }
    package var hasResetRequest: Bool { state.wantsReset }

    /// Disconnects and destroys everything. Of a machine that has not started, or whose `start` has thrown.
    package func tearDown() {
        ch_thread_begin(host)
        withoutCPUs { _ in dismantle() }
        ch_thread_begin(nil)
        loop.join()
        seat.end()
    }
}

// MARK: In place of a running machine, from one thread

extension Machine {
    /// The calling thread drives this machine from here on: crash reports name its instances, and vcpu/1 answers them.
    package func adoptThread() {
        ch_thread_begin(host)
        exits.threads[0] = ch_thread_id()
    }

    /// As `adoptThread`, for a thread that has done that already and has driven another machine since. Cheap.
    package func becomeCurrent() { ch_thread_begin(host) }

    /// What a crash report says where it happens outside of every callback; "" ends it.
    package static func setActivity(_ text: String) { ch_set_activity(text) }

    /// The thread drives no machine any more.
    package func releaseThread() { ch_thread_begin(nil) }

    /// `start` of every instance, without an event loop or vCPUs.
    package func startInstances() throws(MachineError) {
        try locked { () throws(MachineError) in
            for instance in instances { try instance.start() }
        }
    }

    /// True: it is at rest. False: `hasQuiesced` will say so, once what it waits for has come.
    package func quiesce(_ instance: PluginInstance) -> Bool {
        (try? locked { () throws(MachineError) in instance.quiesce() }) ?? true
    }

    package func hasQuiesced(_ instance: PluginInstance) -> Bool {
        (try? locked { () throws(MachineError) in instance.hasQuiesced }) ?? true
    }

    package func save(_ instance: PluginInstance) throws(MachineError) -> StateBuffer {
        try locked { () throws(MachineError) in try instance.save() }
    }

    /// Leaves the instance as it was where it throws.
    package func load(_ state: StateBuffer, into instance: PluginInstance) throws(MachineError) {
        try locked { () throws(MachineError) in try instance.load(state) }
    }

    /// Runs `body` as a callback of `instance`: what it calls may be queued, and is delivered before this returns.
    package func perform(as instance: PluginInstance, _ body: () -> Void) {
        _ = try? locked { () throws(MachineError) in
            if !instance.isOffline { instance.call(ch_activity_posted) { body() } }
        }
    }

    /// An exit that is neither I/O nor memory, as the engine of vCPU 0 reports it.
    package func event(_ exit: inout bp_exit) -> EventResult {
        driveCPU()
        return exits.event(&exit)
    }

    /// A loader's part of a reset; the CPU is the engine's.
    package func resetLoaders(warm: Bool) {
        _ = try? locked { () throws(MachineError) in
            for instance in instances where instance.description.type.kind == .loader { instance.reset(warm: warm) }
        }
    }

    /// What waits for a point where the vCPUs are quiet; without vCPUs that is now.
    package func runQuietWork() {
        guard !state.quietWork.isEmpty || !state.pauses.isEmpty else { return }
        _ = try? locked { () throws(MachineError) in
            state.pauses = []
            while !state.quietWork.isEmpty {
                let work = state.quietWork
                state.quietWork = []
                for item in work { item() }
            }
        }
    }

    /// Fires what is due up to `time`, each timer at its own time, but no more than `limit` callbacks: the clock stops
    /// at the last one then. Answers how many fired, and the most that fired without the clock moving on.
    package func advance(to time: UInt64, limit: Int) -> (fired: Int, atOnce: Int) {
        var fired = 0
        var atOnce = 0
        var most = 0
        _ = try? locked { () throws(MachineError) in
            while fired < limit, let deadline = timers.nextDeadline, deadline <= time {
                if deadline > clock.now { atOnce = 0 }
                clock.advance(to: deadline)
                guard let entry = timers.takeDue(at: clock.now) else { break }
                fired += 1
                atOnce += 1
                most = max(most, atOnce)
                if entry.owner.isOffline { continue }
                entry.owner.call(ch_activity_timer, entry.cookie) {
                    entry.handler(entry.owner.raw, entry.cookie, clock.now)
                }
                drain()
            }
            if fired < limit { clock.advance(to: time) }
        }
        return (fired, most)
    }

    /// Moves the clock on without firing anything: before the first reset.
    package func setTime(_ time: UInt64) { clock.advance(to: time) }

    /// How many accesses have been deferred so far; from any thread.
    package var deferredCount: UInt64 { ch_load64(exits.tokens) }

    /// Callbacks of the instance on the call stack.
    package func depth(of instance: PluginInstance) -> Int { Int(instance.node.pointee.depth) }

    /// What the instance holds of the machine.
    package func holdings(of instance: PluginInstance) -> (claims: Int, mappings: Int, timers: Int, wants: Int) {
        lock.held { _ in
            let claims = (1..<max(1, exits.claims.count)).count {
                exits.claimRecords[$0].isLive && exits.claimRecords[$0].node == instance.node
            }
            let mappings = memory.mappings.count { $0.owner == ObjectIdentifier(instance) }
            return (
                claims, mappings, timers.entries.count { $0.owner === instance },
                policies.wants(of: instance).count
            )
        }
    }

    /// The entropy that `host/1` gives next, where the description seeds it.
    package var entropyState: UInt64? {
        get { random?.state }
        set { random = newValue.map { SplitMix64(seed: $0) } }
    }

    /// The instance's own memory regions by key, as a snapshot holds them.
    package func regions(of instance: PluginInstance) -> [String: [UInt8]] {
        lock.held { _ in
            var contents: [String: [UInt8]] = [:]
            for region in memory.regions where region.owner === instance { contents[region.key] = Array(region.bytes) }
            return contents
        }
    }

    package func setRegions(_ contents: [String: [UInt8]], of instance: PluginInstance) {
        lock.held { _ in
            for region in memory.regions where region.owner === instance {
                // SAFETY: never more than the region's own bytes.
                if let bytes = contents[region.key] { region.bytes.copyBytes(from: bytes.prefix(region.bytes.count)) }
            }
        }
    }

    /// Guest RAM, from its beginning.
    package var ramContents: [UInt8] {
        get {
            guard let ram else { return [] }
            return Array(UnsafeRawBufferPointer(start: ram.base, count: Int(ram.length)))
        }
        set {
            guard let ram else { return }
            let target = UnsafeMutableRawBufferPointer(start: ram.base, count: Int(ram.length))
            target.copyBytes(from: newValue.prefix(target.count))
        }
    }
}
