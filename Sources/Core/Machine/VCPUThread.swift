// A vCPU's thread: it runs the guest until it must stand still, and what waits for a quiet machine is done on vCPU 0's, once all others are parked.

import CBackplane
import CHost

extension Machine {
    func runVCPU(_ vcpu: VCPU) {
        ch_thread_begin(host)
        defer { ch_thread_end() }
        let cpu = cpus[Int(vcpu.index)]
        lock.held { held in
            exits.threads[Int(vcpu.index)] = ch_thread_id()
            if vcpu.index == 0 { loadAndStart(cpu) } else { state.cpuResets[Int(vcpu.index)] = true }
            while park(held, vcpu, cpu) {
                if isCounted { serveCountedTime(held) }
                if hasAlarms { serveInstructionAlarms(vcpu, cpu) }
                let end = held.dropped { cpu.run() }
                handle(held, end, vcpu, cpu)
                drain()
            }
        }
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

    /// Waits while the machine must be quiet. False: it has ended.
    private func park(_ held: borrowing HeldLock, _ vcpu: VCPU, _ cpu: any CPU) -> Bool {
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
                    if becomeQuiet(held, isAmidAccess: false) { begin = .max }
                } else {
                    waitParked(held, seen)
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
    func standStill(_ held: borrowing HeldLock, _ vcpu: Int) {
        state.parked += 1
        if vcpu == 0 { _ = becomeQuiet(held, isAmidAccess: true) } else { waitParked(held, ch_load(parkWord)) }
        state.parked -= 1
    }

    /// On vCPU 0's thread: waits for the others, then does what waits for a quiet machine. True: the machine was paused too.
    private func becomeQuiet(_ held: borrowing HeldLock, isAmidAccess: Bool) -> Bool {
        while true {
            let seen = ch_load(parkWord)
            if state.parked >= vcpus.count { break }
            waitParked(held, seen)
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
                waitParked(held, seen)
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
    private func waitParked(_ held: borrowing HeldLock, _ seen: UInt32) {
        // The backends go on in a pause, and with a counted clock nobody else serves them. In another guest's turn they wait: what they
        // deliver has its virtual time, which a schedule must not change.
        if isCounted, !state.pauses.isEmpty { return pollHost(held, milliseconds: 100) }
        held.dropped {
            ch_wait(parkWord, seen, 100_000_000)
            if isCounted { loop.runRequests() }
        }
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

    private func handle(_ held: borrowing HeldLock, _ end: RunEnd, _ vcpu: VCPU, _ cpu: any CPU) {
        switch end {
        case .attention: break
        case .halted(let interruptsEnabled, let rip): halt(held, vcpu, cpu, interruptsEnabled, rip)
        case .shutdown: tripleFault(held, vcpu, cpu)
        case .debug(let event): debugEvent(event, vcpu, cpu)
        case .failed(let error): requestEnd(6, "engine '\(engine?.name ?? "none")': \(error)")
        }
    }

    private func halt(
        _ held: borrowing HeldLock, _ vcpu: VCPU, _ cpu: any CPU, _ interruptsEnabled: Bool, _ rip: UInt64
    ) {
        if exits.policies.reasons >> UInt64(BP_EXIT_HLT) & 1 != 0 {
            var exit = bp_exit()
            exit.reason = UInt16(BP_EXIT_HLT)
            exit.vcpu = vcpu.index
            exit.width = 1
            exit.rip = rip
            exit.flags = UInt16(BP_EXITF_RIP_PAST) | (interruptsEnabled ? UInt16(BP_EXITF_INTERRUPTS_ENABLED) : 0)
            if exits.ask(held, &exit) == .handled { return stepOverHalt(vcpu, cpu) }
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
                if ch_load(vcpu.attention) & (wakes | ch_attention_leave) == 0 { skipIdleTime(held) }
            } else {
                held.dropped { vcpu.sleep(until: wakes | ch_attention_leave) }
            }
            if vcpu.mustLeave, !park(held, vcpu, cpu) { return }
        } while ch_load(vcpu.attention) & wakes == 0 && state.resetCount &+ state.cpuLoads == changes
    }

    /// A debugger's step ends behind the HLT, in which the CPU stays.
    private func stepOverHalt(_ vcpu: VCPU, _ cpu: any CPU) {
        guard let armed = debugger.armed.dropFirst(Int(vcpu.index)).first, armed.control.singleStep else { return }
        didStep(Int(vcpu.index), cpu, dr6: DR6.singleStep)
    }

    private func tripleFault(_ held: borrowing HeldLock, _ vcpu: VCPU, _ cpu: any CPU) {
        var exit = bp_exit()
        exit.reason = UInt16(BP_EXIT_TRIPLE_FAULT)
        exit.vcpu = vcpu.index
        if let registers = try? cpu.registers() { exit.rip = registers.rip }
        if exits.ask(held, &exit) == .unhandled { requestReset() }
    }
}
