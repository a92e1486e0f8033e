// A debugger at a machine: one at a time, with a pause of its own, breakpoints, watchpoints and single steps on either engine. Debug events
// come on the vCPU's thread and only hold the machine; the debugger's own thread does the rest, at quiet points.
// Source: SDM volume 3, chapter 17.

public import CBackplane
import CHost

/// A place at which the guest stops.
public struct DebugPoint: Sendable, Hashable {
    public enum Kind: Sendable {
        /// An instruction is about to run: an engine's own breakpoint or INT3 in memory, and a debug register where neither can be.
        case software
        /// The same by one of the four debug registers.
        case hardware
        /// Data was written; read or written. An x86 has no breakpoint for reads alone: `read` stops at writes too.
        case write, read, access
    }

    public var kind: Kind
    /// Linear.
    public var address: UInt64
    /// In bytes; of instructions it does not matter.
    public var length: UInt64

    public init(kind: Kind, address: UInt64, length: UInt64 = 1) {
        self.kind = kind
        self.address = address
        self.length = length
    }

    var isCode: Bool { kind == .software || kind == .hardware }
}

public struct DebugStop: Sendable, Equatable {
    public enum Reason: Sendable, Equatable {
        /// The debugger has come, or asked for it; or a policy has paused the machine.
        case interrupted
        /// A single step is done, or a reset has ended it.
        case step
        case reached(DebugPoint)
    }

    public var vcpu: Int
    public var reason: Reason

    public init(vcpu: Int, reason: Reason) {
        self.vcpu = vcpu
        self.reason = reason
    }
}

public enum DebugPhase: Sendable, Equatable {
    case running
    case stopped(DebugStop)
    case ended(MachineEnd)
}

/// Guarded by the machine's lock.
struct DebuggerState {
    /// What one vCPU was last told, and whose its debug registers are.
    struct Armed {
        var control = DebugControl()
        var hardware: [DebugPoint] = []
    }

    /// Called with the lock held: it only wakes. nil: no debugger.
    var notify: (@Sendable () -> Void)?
    /// Why the guest stands still for the debugger; nil: it does not.
    var stop: DebugStop?
    var points: [DebugPoint] = []
    var stepping: Int?
    var armed: [Armed] = []
    /// By vCPU: where it goes on from. The breakpoint there was seen, and is passed by a step of its own.
    var passing: [Int: UInt64] = [:]
    /// By vCPU: an INT3 of ours, met by an address that has no breakpoint, which is passed in the same way.
    var passingPatch: [Int: UInt64] = [:]
    /// By vCPU: the guest-physical address at which it meets no INT3 of ours.
    var passedPlace: [Int: UInt64] = [:]
    /// vCPUs whose place is new to the debugger: it has written RIP, or another one stopped first.
    var unseen: Set<Int> = []
    /// vCPUs that wait in HLT.
    var halted: Set<Int> = []
    /// Linear addresses of software breakpoints that have a debug register of their own.
    var registered: Set<UInt64> = []
    /// Guest-physical addresses that hold our INT3 now, and what belongs there.
    var patches: [UInt64: UInt8] = [:]

    var isHolding: Bool { stop != nil }
    var isIdle: Bool { notify == nil && points.isEmpty && armed.allSatisfy { $0.control == DebugControl() } }
}

extension Machine {
    // MARK: The debugger comes and goes; from any thread

    /// Holds the guest. False: there is a debugger already, or the machine has ended. `notify` is called with the machine's lock held, when
    /// the guest stops or the machine ends: it must not block, nor call the machine.
    public func attachDebugger(notify: @escaping @Sendable () -> Void) -> Bool {
        lock.held { _ in
            guard debugger.notify == nil, state.end == nil else { return false }
            debugger.notify = notify
            hold(DebugStop(vcpu: 0, reason: .interrupted))
            return true
        }
    }

    /// The guest stands still until a debugger lets it go on, or leaves. Before `start`, no instruction runs.
    public func holdForDebugger() {
        lock.held { _ in hold(DebugStop(vcpu: 0, reason: .interrupted)) }
    }

    /// Its breakpoints are gone, and the guest goes on.
    public func detachDebugger() {
        let outcome = runQuiet(timeout: Machine.quietLimit) { [self] in forgetDebugger() }
        // The vCPUs do not come to rest: what they were told is taken back when they do.
        if outcome != .done { lock.held { _ in forgetDebugger() } }
    }

    private func forgetDebugger() {
        release()
        var left = DebuggerState()
        (left.armed, left.patches, left.halted) = (debugger.armed, debugger.patches, debugger.halted)
        debugger = left
    }

    // MARK: Stops

    func hold(_ stop: DebugStop) {
        if debugger.isHolding {
            // An interrupt and a breakpoint at once: the breakpoint is told. Of two breakpoints the second is met again.
            if stop.reason == .interrupted { return }
            if debugger.stop?.reason == .interrupted { debugger.stop = stop } else { debugger.unseen.insert(stop.vcpu) }
            return
        }
        debugger.stop = stop
        state.pauses.insert(.byDebugger)
        callIn()
        debugger.notify?()
    }

    private func release() {
        guard debugger.isHolding else { return }
        debugger.stop = nil
        state.pauses.remove(.byDebugger)
        unpark()
    }

    /// Stops the guest, wherever it is.
    public func interruptForDebugger() {
        lock.held { _ in if state.end == nil { hold(DebugStop(vcpu: 0, reason: .interrupted)) } }
    }

    /// What the guest does; where it has stopped, all vCPUs have come to rest.
    public func debugPhase() -> DebugPhase {
        for _ in 0..<2 {
            let phase = phaseNow()
            guard case .stopped = phase else { return phase }
            // Events of other vCPUs may still come.
            if runQuiet(timeout: Machine.quietLimit, {}) != .ended { break }
        }
        return phaseNow()
    }

    private func phaseNow() -> DebugPhase {
        lock.held { _ in state.end.map { .ended($0) } ?? debugger.stop.map { .stopped($0) } ?? .running }
    }

    /// Lets the guest go on, also where a policy had paused it; `step`: this vCPU runs one instruction, and the guest stops again. A
    /// breakpoint at which a vCPU stands is passed, unless the debugger has written RIP.
    public func resumeForDebugger(step: Int? = nil) throws(MachineError) {
        try whileQuiet { [self] in
            for (index, cpu) in cpus.enumerated() {
                let registers = debugger.unseen.contains(index) ? nil : try? cpu.registers()
                debugger.passing[index] = registers?.rip
            }
            debugger.unseen = []
            debugger.stepping = step
            state.pauses.remove(.byPolicy)
            release()
        }
    }

    /// As `runQuiet`; what `body` throws is thrown here.
    func whileQuiet(_ body: @escaping () throws(MachineError) -> Void) throws(MachineError) {
        var failure: MachineError?
        let outcome = runQuiet(timeout: Machine.quietLimit) { () in
            do throws(MachineError) { try body() } catch { failure = error }
        }
        if let failure { throw failure }
        switch outcome {
        case .done: return
        case .ended: throw Machine.hasEnded
        case .timedOut: throw MachineError("the vCPUs did not come to rest within 10 s")
        }
    }

    // MARK: Events, on a vCPU's thread with the lock held

    func debugEvent(_ event: DebugEvent, _ vcpu: VCPU, _ cpu: any CPU) {
        let index = Int(vcpu.index)
        switch event.kind {
        case .singleStep: didStep(index, cpu, dr6: event.dr6)
        case .softwareBreakpoint: didReachBreakpoint(index, cpu)
        case .hardwareBreakpoint: didReachRegister(index, cpu, dr6: event.dr6)
        }
    }

    /// Also of an instruction that ended otherwise: HLT.
    func didStep(_ index: Int, _ cpu: any CPU, dr6: UInt64) {
        let wasAsked = debugger.armed.indices.contains(index) && debugger.armed[index].control.singleStep
        debugger.passing[index] = nil
        debugger.passingPatch[index] = nil
        if debugger.stepping == index {
            hold(DebugStop(vcpu: index, reason: .step))
        } else if wasAsked {
            armDebugger(index, cpu)
        } else {
            giveBack(.trap(dr6: dr6), cpu)
        }
    }

    private func didReachBreakpoint(_ index: Int, _ cpu: any CPU) {
        let place = linearRIP(cpu)
        if let point = codePoint(at: place.linear) { return hold(DebugStop(vcpu: index, reason: .reached(point))) }
        // It has just been removed.
        if hasLinearBreakpoints { return armDebugger(index, cpu) }
        if let physical = try? cpu.translate(place.linear), debugger.patches[physical] != nil {
            debugger.passing[index] = place.rip
            debugger.passingPatch[index] = physical
            return armDebugger(index, cpu)
        }
        giveBack(.breakpoint, cpu)
    }

    private func didReachRegister(_ index: Int, _ cpu: any CPU, dr6: UInt64) {
        let armed = debugger.armed.indices.contains(index) ? debugger.armed[index].hardware : []
        guard let point = armed.indices.first(where: { dr6 >> UInt64($0) & 1 != 0 }).map({ armed[$0] }) else {
            return debugger.stepping == index ? didStep(index, cpu, dr6: dr6) : giveBack(.trap(dr6: dr6), cpu)
        }
        if !point.isCode {
            debugger.passing[index] = nil
            debugger.passingPatch[index] = nil
        }
        hold(DebugStop(vcpu: index, reason: .reached(point)))
    }

    private func giveBack(_ exception: DebugException, _ cpu: any CPU) {
        do throws(EngineError) {
            try cpu.giveBack(exception)
        } catch {
            log(.error, nil, "the guest's own \(exception == .breakpoint ? "#BP" : "#DB") is lost: \(error)")
        }
    }

    /// All vCPUs start anew: a step ends with that.
    func debuggerDidReset() {
        debugger.passing = [:]
        debugger.passingPatch = [:]
        debugger.passedPlace = [:]
        debugger.unseen = debugger.isHolding ? Set(cpus.indices) : []
        if let index = debugger.stepping, !debugger.isHolding { hold(DebugStop(vcpu: index, reason: .step)) }
    }
}

extension bp_registers {
    /// Where the next instruction is: RIP, outside of 64-bit mode in the code segment.
    public var linearRIP: UInt64 {
        let isLong = efer & EFER.lma != 0 && cs.attributes >> 13 & 1 != 0
        return isLong ? rip : (cs.base &+ rip) & 0xffff_ffff
    }
}
