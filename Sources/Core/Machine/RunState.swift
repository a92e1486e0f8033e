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
    /// The tables are built once at the end of a change, whatever it asks for.
    var isChangingPolicies = false
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
            ch_lock_acquire(&host.pointee.lock)
            liveThreads -= 1
            ch_lock_release(&host.pointee.lock)
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
        ch_lock_acquire(&host.pointee.lock)
        requestEnd(status, reason)
        ch_lock_release(&host.pointee.lock)
    }

    /// The operator's stop and continue: not nested. While it is stopped the guest stands still, and its clock too. Continuing
    /// ends a policy's pause too.
    public func setStopped(_ isStopped: Bool) {
        ch_lock_acquire(&host.pointee.lock)
        if isStopped {
            if state.pauses.insert(.byOperator).inserted { callIn() }
        } else {
            state.pauses.subtract([.byOperator, .byPolicy])
            unpark()
        }
        ch_lock_release(&host.pointee.lock)
    }

    public func reset() {
        ch_lock_acquire(&host.pointee.lock)
        requestReset()
        ch_lock_release(&host.pointee.lock)
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
        ch_lock_acquire(&host.pointee.lock)
        host.pointee.holder = ch_thread_id()
        guard state.end == nil, state.isStarted, !cpus.isEmpty else {
            let isOver = state.end != nil
            if !isOver {
                body()
                drain()
            }
            ch_lock_release(&host.pointee.lock)
            return isOver ? .ended : .done
        }
        state.quietWork.append {
            if isCancelled { return }
            body()
            done.set()
        }
        callIn()
        unpark()
        ch_lock_release(&host.pointee.lock)
        let deadline = ch_monotonic().addingReportingOverflow(timeout)
        let isDone = done.wait {
            ch_load(self.endWord) == 0 && (deadline.overflow || ch_monotonic() < deadline.partialValue)
        }
        if isDone { return .done }
        ch_lock_acquire(&host.pointee.lock)
        isCancelled = true
        let isOver = state.end != nil
        ch_lock_release(&host.pointee.lock)
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

    // MARK: A vCPU's thread

    private func runVCPU(_ vcpu: VCPU) {
        ch_thread_begin(host)
        defer { ch_thread_end() }
        let cpu = cpus[Int(vcpu.index)]
        ch_lock_acquire(&host.pointee.lock)
        exits.threads[Int(vcpu.index)] = ch_thread_id()
        host.pointee.holder = ch_thread_id()
        if vcpu.index == 0 { loadAndStart(cpu) } else { state.cpuResets[Int(vcpu.index)] = true }
        while park(vcpu, cpu) {
            if isCounted { serveCountedTime() }
            if hasAlarms { serveInstructionAlarms(vcpu, cpu) }
            ch_lock_release(&host.pointee.lock)
            let end = cpu.run()
            ch_lock_acquire(&host.pointee.lock)
            host.pointee.holder = ch_thread_id()
            handle(end, vcpu, cpu)
            drain()
        }
        ch_lock_release(&host.pointee.lock)
    }

    /// The loader's first reset, and then its start.
    private func loadAndStart(_ cpu: any CPU) {
        resetCPUAndLoad(cpu)
        for instance in instances where instance.description.type.kind == .loader {
            do throws(MachineError) {
                try instance.start()
            } catch {
                requestEnd(error.status, error.description)
            }
        }
    }

    private func resetCPUAndLoad(_ cpu: any CPU) {
        do throws(EngineError) {
            try cpu.reset()
        } catch {
            requestEnd(6, "the CPU cannot be reset: \(error)")
        }
        for instance in instances where instance.description.type.kind == .loader {
            instance.reset(warm: state.resetCount > 0)
        }
        drain()
    }

    /// With the lock held: waits while the machine must be quiet. False: it has ended.
    private func park(_ vcpu: VCPU, _ cpu: any CPU) -> Bool {
        var begin: UInt64 = 0
        noteBusy()
        repeat {
            while mustPark || state.end != nil {
                if state.end != nil { return false }
                let seen = ch_load(parkWord)
                // Only what the host does to a running guest is a pause of its own.
                let isChange = state.pauses.isEmpty && !state.wantsReset && seat.mayRun
                if vcpu.index == 0, begin == 0, isChange { begin = ch_monotonic() }
                do throws(EngineError) { try cpu.completePending() } catch { requestEnd(6, "\(error)") }
                state.parked += 1
                if vcpu.index == 0 {
                    if becomeQuiet(isAmidAccess: false) { begin = .max }
                } else {
                    waitParked(seen)
                }
                state.parked -= 1
                carryOutReset(vcpu, cpu)
            }
            _ = ch_clear_bits(vcpu.attention, ch_attention_leave)
            // The board withdraws the right without the lock, and sets the bit then.
        } while !seat.mayRun
        armDebugger(Int(vcpu.index), cpu)
        if begin != 0, begin != .max { state.pauseTimes.note(ch_monotonic() &- begin) }
        return true
    }

    /// In an access whose answer is owed: the vCPU is as good as between two instructions for all but a reset and the end, which cancel
    /// the wait and come right after the instruction. What it has been asked meanwhile it is told again then: the leave bit stays.
    func standStill(_ vcpu: Int) {
        state.parked += 1
        if vcpu == 0 { _ = becomeQuiet(isAmidAccess: true) } else { waitParked(ch_load(parkWord)) }
        state.parked -= 1
    }

    /// On vCPU 0's thread: waits for the others, then does what waits for a quiet machine. True: the machine was paused too.
    private func becomeQuiet(isAmidAccess: Bool) -> Bool {
        while true {
            let seen = ch_load(parkWord)
            if state.parked >= vcpus.count { break }
            waitParked(seen)
        }
        clock.pause()
        ch_store(&host.pointee.is_standing, 1)
        unpatchAll()
        var hasWaited = false
        repeat {
            let seen = ch_load(parkWord)
            // Before the work of a command that comes after `stop` or `cont`, so that its answer comes after the event.
            if state.isStoppedTold != !state.pauses.isEmpty {
                state.isStoppedTold.toggle()
                hasWaited = true
                tell(state.isStoppedTold ? .stopped : .resumed)
            }
            let work = state.quietWork
            state.quietWork = []
            for item in work { item() }
            if isAmidAccess, state.mustEndDeferred { break }
            if state.wantsReset, state.pendingEnd == nil {
                performReset()
                // Who looks at the CPU while the machine is paused sees it reset.
                if !state.pauses.isEmpty { carryOutReset(vcpus[0], cpus[0]) }
            }
            drain()
            if isAmidAccess, state.mustEndDeferred { break }
            if let end = state.pendingEnd {
                state.end = end
                break
            }
            noteBusy()
            if !state.pauses.isEmpty || !seat.mayRun, state.quietWork.isEmpty, !state.wantsReset {
                hasWaited = true
                waitParked(seen)
            }
        } while mustPark
        noteBusy()
        ch_store(&host.pointee.is_standing, 0)
        if state.end == nil {
            let duration = clock.resume()
            for cpu in cpus where duration > 0 { cpu.didPause(nanoseconds: duration) }
            loop.timersChanged()
        }
        if let end = state.end {
            tell(.ended(end))
            debugger.notify?()
        } else if state.isStoppedTold, state.pauses.isEmpty {
            state.isStoppedTold = false
            tell(.resumed)
        }
        unpark()
        return hasWaited
    }

    /// Until `unpark`; `seen`: the word before what is waited for was looked at.
    private func waitParked(_ seen: UInt32) {
        // The backends go on in a pause, and with a counted clock nobody else serves them. In another guest's turn they wait: what they
        // deliver has its virtual time, which a schedule must not change.
        if isCounted, !state.pauses.isEmpty { return pollHost(milliseconds: 100) }
        ch_lock_release(&host.pointee.lock)
        ch_wait(parkWord, seen, 100_000_000)
        if isCounted { loop.runRequests() }
        ch_lock_acquire(&host.pointee.lock)
        host.pointee.holder = ch_thread_id()
    }

    func unpark() {
        _ = ch_add(parkWord, 1)
        ch_wake(parkWord)
        if isCounted { loop.wake() }
    }

    private func performReset() {
        state.wantsReset = false
        state.resetCount += 1
        endSpans()
        for vcpu in vcpus { _ = ch_clear_bits(vcpu.attention, ch_attention_nmi) }
        for instance in instances where instance.description.type.kind != .loader { instance.reset(warm: true) }
        drain()
        state.cpuResets = vcpus.map { _ in true }
        debuggerDidReset()
        tell(.reset)
    }

    private func carryOutReset(_ vcpu: VCPU, _ cpu: any CPU) {
        guard state.end == nil, state.cpuResets.indices.contains(Int(vcpu.index)), state.cpuResets[Int(vcpu.index)]
        else { return }
        state.cpuResets[Int(vcpu.index)] = false
        if vcpu.index == 0 {
            resetCPUAndLoad(cpu)
        } else {
            do throws(EngineError) { try cpu.reset() } catch { requestEnd(6, "\(error)") }
        }
    }

    private func handle(_ end: RunEnd, _ vcpu: VCPU, _ cpu: any CPU) {
        switch end {
        case .attention: break
        case .halted(let interruptsEnabled, let rip): halt(vcpu, cpu, interruptsEnabled, rip)
        case .shutdown: tripleFault(vcpu, cpu)
        case .debug(let event): debugEvent(event, vcpu, cpu)
        case .failed(let error): requestEnd(6, "engine '\(engine?.name ?? "none")': \(error)")
        }
    }

    private func halt(_ vcpu: VCPU, _ cpu: any CPU, _ interruptsEnabled: Bool, _ rip: UInt64) {
        if exits.policies.reasons >> UInt64(BP_EXIT_HLT) & 1 != 0 {
            var exit = bp_exit()
            exit.reason = UInt16(BP_EXIT_HLT)
            exit.vcpu = vcpu.index
            exit.width = 1
            exit.rip = rip
            exit.flags = UInt16(BP_EXITF_RIP_PAST) | (interruptsEnabled ? UInt16(BP_EXITF_INTERRUPTS_ENABLED) : 0)
            if exits.ask(&exit) == .handled { return stepOverHalt(vcpu, cpu) }
        }
        drain()
        debugger.halted.insert(Int(vcpu.index))
        defer { debugger.halted.remove(Int(vcpu.index)) }
        stepOverHalt(vcpu, cpu)
        // With interrupts disabled only an NMI ends the HLT. A pause, or work for a quiet machine, does not.
        let wakes = ch_attention_nmi | (interruptsEnabled ? ch_attention_interrupt : 0)
        let changes = state.resetCount &+ state.cpuLoads
        if vcpu.index == 0 { state.haltedSince = clock.now }
        if !isCounted { noteHalted(1) }
        defer {
            if !isCounted { noteHalted(-1) }
            if let since = state.haltedSince, vcpu.index == 0 {
                state.haltedTime &+= clock.now &- since
                state.haltedSince = nil
            }
        }
        repeat {
            if isCounted {
                if ch_load(vcpu.attention) & (wakes | ch_attention_leave) == 0 { skipIdleTime() }
            } else {
                ch_lock_release(&host.pointee.lock)
                vcpu.sleep(until: wakes | ch_attention_leave)
                ch_lock_acquire(&host.pointee.lock)
                host.pointee.holder = ch_thread_id()
            }
            if vcpu.mustLeave, !park(vcpu, cpu) { return }
        } while ch_load(vcpu.attention) & wakes == 0 && state.resetCount &+ state.cpuLoads == changes
    }

    /// A debugger's step ends behind the HLT, in which the CPU stays.
    private func stepOverHalt(_ vcpu: VCPU, _ cpu: any CPU) {
        guard let armed = debugger.armed.dropFirst(Int(vcpu.index)).first, armed.control.singleStep else { return }
        didStep(Int(vcpu.index), cpu, dr6: 1 << 14)
    }

    private func tripleFault(_ vcpu: VCPU, _ cpu: any CPU) {
        var exit = bp_exit()
        exit.reason = UInt16(BP_EXIT_TRIPLE_FAULT)
        exit.vcpu = vcpu.index
        if let registers = try? cpu.registers() { exit.rip = registers.rip }
        if exits.ask(&exit) == .unhandled { requestReset() }
    }

    // MARK: The end

    private func finish() -> MachineEnd {
        ch_thread_begin(host)
        defer { ch_thread_begin(nil) }
        acquireWithoutCPUs()
        summarizeCounted()
        quiesceAll()
        dismantle()
        let end = state.end ?? state.pendingEnd ?? MachineEnd(status: 6, reason: "the machine has no CPU")
        ch_lock_release(&host.pointee.lock)
        loop.join()
        return end
    }

    /// Takes the lock once no vCPU's thread runs any more.
    func acquireWithoutCPUs() {
        while true {
            ch_lock_acquire(&host.pointee.lock)
            if liveThreads == 0 { break }
            ch_lock_release(&host.pointee.lock)
            usleep(200)
        }
        host.pointee.holder = ch_thread_id()
    }

    /// Devices first, then the rest. Who flushes gets ten seconds, and is named where the watchdog's time is shorter.
    private func quiesceAll() {
        // The guest is no more: what comes from the host may come at once.
        loop.forgetAllExpected()
        let order =
            instances.filter { $0.description.type.kind == .device }
            + instances.filter { $0.description.type.kind != .device }
        for instance in order {
            let isDone = instance.quiesce()
            drain()
            if isDone { continue }
            let begin = ch_monotonic()
            let patience = max(10_000_000_000, description.watchdog)
            var isNamed = description.watchdog == 0
            while !instance.hasQuiesced, ch_monotonic() &- begin < patience {
                if !isNamed, ch_monotonic() &- begin >= description.watchdog {
                    isNamed = true
                    log(.warning, instance.id, "owes the end of quiesce, for \(durationText(description.watchdog))")
                }
                if isCounted { pollHost(milliseconds: 0) }
                ch_lock_release(&host.pointee.lock)
                usleep(500)
                ch_lock_acquire(&host.pointee.lock)
                host.pointee.holder = ch_thread_id()
                drain()
            }
            if !instance.hasQuiesced {
                log(.warning, instance.id, "does not come to rest within \(durationText(patience))")
            }
        }
        drain()
    }
}

/// Set once, by another thread.
final class Flag: @unchecked Sendable {
    // SAFETY: one word, accessed atomically.
    private let word = UnsafeMutablePointer<UInt32>.allocate(capacity: 1)
    init() { word.initialize(to: 0) }
    deinit { word.deallocate() }

    func set() {
        ch_store(word, 1)
        ch_wake(word)
    }

    var isSet: Bool { ch_load(word) != 0 }

    /// False: `goOn` said no before it was set.
    func wait(while goOn: () -> Bool) -> Bool {
        while ch_load(word) == 0 {
            if !goOn() { return ch_load(word) != 0 }
            ch_wait(word, 0, 50_000_000)
        }
        return true
    }
}
