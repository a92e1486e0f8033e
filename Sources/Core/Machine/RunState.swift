// How a machine runs, pauses, resets and ends. One thread for each vCPU; what must find the machine quiet (reset, pause,
// policy changes, the end) runs on vCPU 0's thread once all others are parked.

import CBackplane
import CHost
import Glibc

/// Guarded by the machine's lock.
struct RunState {
    /// Who holds a paused machine: it runs once nobody does.
    struct Pauses: OptionSet {
        let rawValue: UInt8
        static let byOperator = Self(rawValue: 1 << 0)
        static let byPolicy = Self(rawValue: 1 << 1)
        static let byDebugger = Self(rawValue: 1 << 2)
    }

    var isStarted = false
    var pauses: Pauses = []
    var parked = 0
    var wantsReset = false
    /// A reset has happened that this vCPU has not yet carried out, by vCPU.
    var cpuResets: [Bool] = []
    var pendingEnd: MachineEnd?
    var end: MachineEnd?
    var quietWork: [() -> Void] = []
    var resetCount: UInt64 = 0
    /// CPUs that were loaded.
    var cpuLoads: UInt64 = 0
    /// Of vCPU 0, in virtual nanoseconds.
    var haltedTime: UInt64 = 0
    var haltedSince: UInt64?
    /// `stopped` has been told, and `resumed` not yet.
    var isStoppedTold = false
    /// How long vCPU 0 has stood still for quiet work.
    var pauseTimes = PauseTimes()
    /// vCPUs that wait in HLT.
    var halted = 0
    /// What the board of guests was told last.
    var wasBusy = false
    /// Who asked for which mode, the last one counts.
    var runModes: [(owner: PluginInstance, mode: RunMode, quantum: UInt64)] = []

    var mustPark: Bool { !pauses.isEmpty || wantsReset || pendingEnd != nil || !quietWork.isEmpty }
}

extension Machine {
    // MARK: Requests, with the lock held

    /// The first one wins.
    func requestEnd(_ status: Int32, _ reason: String) {
        guard state.pendingEnd == nil else { return }
        state.pendingEnd = MachineEnd(status: status, reason: reason)
        deferred.cancelAll()
        callIn()
        unpark()
    }

    func requestReset() {
        state.wantsReset = true
        deferred.cancelAll()
        callIn()
        unpark()
    }

    /// Until an operator continues it, or its debugger, which is told.
    func pauseByPolicy() {
        state.pauses.insert(.byPolicy)
        callIn()
        if debugger.notify != nil { hold(DebugStop(vcpu: 0, reason: .interrupted)) }
    }

    /// Brings all vCPUs back to the core.
    func callIn() {
        for (vcpu, cpu) in zip(vcpus, cpus) {
            vcpu.set(ch_attention_leave)
            cpu.kick()
            deferred.nudge(Int(vcpu.index))
        }
        // An idle vCPU waits there.
        if isCounted { loop.wake() }
    }

    // MARK: From any thread

    /// Resets all instances, and starts the vCPUs and the event loop.
    public func start() throws(MachineError) {
        ch_thread_begin(host)
        defer { ch_thread_begin(nil) }
        try locked { () throws(MachineError) in
            guard !state.isStarted else { return }
            state.isStarted = true
            state.cpuResets = vcpus.map { _ in false }
            for instance in instances {
                for call in instance.description.onStart { try invokeOnStart(call, on: instance) }
            }
            if !cpus.isEmpty {
                for instance in instances where instance.description.type.kind != .loader {
                    instance.reset(warm: false)
                }
                drain()
            }
            for instance in instances where instance.description.type.kind != .loader || cpus.isEmpty {
                try instance.start()
            }
            if let fault = state.pendingEnd { throw MachineError(fault.reason, status: fault.status) }
            clock.resume()
            try startThreads()
        }
    }

    /// With the lock held, for which the new threads wait.
    private func startThreads() throws(MachineError) {
        do throws(MachineError) {
            try loop.start()
            loop.timersChanged()
            for vcpu in vcpus where !cpus.isEmpty { try startThread(for: vcpu) }
        } catch {
            // Those that have begun end at once: `tearDown` waits for them.
            state.end = MachineEnd(status: error.status, reason: error.description)
            throw error
        }
    }

    private func invokeOnStart(_ call: InstanceDescription.Call, on instance: PluginInstance) throws(MachineError) {
        do throws(MethodError) {
            _ = try instance.invoke(call.method, call.arguments)
        } catch {
            throw MachineError("on-start of '\(instance.id)': \(error)", location: call.location)
        }
    }

    private func startThread(for vcpu: VCPU) throws(MachineError) {
        try spawnThread("vcpu\(vcpu.index)") { [self] in
            runVCPU(vcpu)
            lock.held { _ in liveThreads -= 1 }
            ch_store(endWord, 1)
            ch_wake(endWord)
        }
        // It waits for the lock, which the caller holds.
        liveThreads += 1
    }

    /// Blocks until the guest or a policy ends the machine; then quiesces, disconnects and destroys everything. `tell` is called before
    /// the next guest of the process comes to the foreground.
    public func waitForEnd(_ tell: (MachineEnd) -> Void = { _ in }) -> MachineEnd {
        while ch_load(endWord) == 0 { ch_wait(endWord, 0, -1) }
        let end = finish()
        tell(end)
        seat.end()
        return end
    }

    /// Asks the machine to end, as if a policy had said so.
    public func stop(_ status: Int32, _ reason: String) {
        lock.held { _ in requestEnd(status, reason) }
    }

    /// The operator's stop and continue: not nested. While it is stopped the guest stands still, and its clock too. Continuing
    /// ends a policy's pause too.
    public func setStopped(_ isStopped: Bool) {
        lock.held { _ in
            if isStopped {
                if state.pauses.insert(.byOperator).inserted { callIn() }
            } else {
                state.pauses.subtract([.byOperator, .byPolicy])
                unpark()
            }
        }
    }

    public func reset() {
        lock.held { _ in requestReset() }
    }

    /// Runs `body` on vCPU 0's thread, with the lock held and all vCPUs between instructions (or in an access whose answer is owed). False:
    /// the machine has ended, or its vCPUs did not come to rest within 10 s; `body` never runs then.
    public func atQuietPoint(_ body: @escaping () -> Void) -> Bool {
        guard state.isStarted else { return false }
        return runQuiet(timeout: Machine.quietLimit, body) == .done
    }

    enum QuietOutcome { case done, ended, timedOut }

    /// As `atQuietPoint`, but gives up after `timeout` ns, and `body` never runs then. A machine that has not started, or has
    /// no CPU, is always quiet: `body` runs at once.
    func runQuiet(timeout: UInt64, _ body: @escaping () -> Void) -> QuietOutcome {
        let done = Flag()
        var isCancelled = false
        let atOnce: QuietOutcome? = lock.held { _ in
            if state.end != nil { return .ended }
            if !state.isStarted || cpus.isEmpty {
                body()
                drain()
                return .done
            }
            state.quietWork.append {
                if isCancelled { return }
                body()
                done.set()
            }
            callIn()
            unpark()
            return nil
        }
        if let atOnce { return atOnce }
        let deadline = ch_monotonic().addingReportingOverflow(timeout)
        let isDone = done.wait {
            ch_load(self.endWord) == 0 && (deadline.overflow || ch_monotonic() < deadline.partialValue)
        }
        if isDone { return .done }
        let isOver = lock.held { _ in
            isCancelled = true
            return state.end != nil
        }
        // It may have run just before it was cancelled.
        return done.isSet ? .done : isOver ? .ended : .timedOut
    }

    /// An operator asks the guest to power off: by its power button if an instance has one, else the policies decide.
    public func powerButton() {
        loop.post(nil) { [self] in
            tell(.powerButton)
            if let button = powerButtons.first(where: { !$0.instance.isOffline }) {
                return button.instance.call(ch_activity_power_button) {
                    button.handler(button.instance.raw, button.argument)
                }
            }
            exits.askPower()
        }
    }
}
