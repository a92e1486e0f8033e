// The vCPU loop. Rules of this file: no allocation, no ARC traffic, no lock while the guest runs. What changes in the
// loop is in `Progress`, behind a pointer, because every access to a class's own variable is checked for exclusivity at
// run time.

import CBackplane
import CHost
public import Core

/// One virtual CPU of /dev/kvm.
public final class KVMCPU: CPU {
    /// What the loop changes.
    struct Progress {
        /// The last exit's instruction is not finished: KVM does the rest at the next KVM_RUN.
        var accessPending = false
        /// A function of `exits` is running.
        var inExit = false
        /// `setRegisters` was called in an exit: `deferred` is applied when the instruction is finished.
        var hasDeferred = false
        /// `request_interrupt_window` is set.
        var windowRequested = false
        /// `completePending` met the end of a run: `stashed` is what the next `run` returns.
        var hasStashed = false
        /// HLT was the last instruction.
        var hasHalted = false
        /// By `restore`, in HLT: the next `run` comes back as the one did that was saved.
        var reportsHalt = false
    }

    let engine: KVMEngine
    let vcpu: VCPU
    let index: UInt32
    // SAFETY of the four: `core` and `progress` are allocated in init and freed in deinit; kvm_run is mapped between
    // them; the exit handler outlives the VCPU, which this object keeps alive.
    let core: UnsafeMutablePointer<ch_kvm_cpu>
    let progress: UnsafeMutablePointer<Progress>
    let shared: UnsafeMutablePointer<kvm_run>
    let exits: Unmanaged<ExitHandler>

    var deferred: (from: bp_registers, to: bp_registers)?
    var stashed: RunEnd?
    /// Without EFER, which KVM_SET_SREGS sets.
    let powerOnMSRs: [kvm_msr_entry]
    var debug = DebugControl()
    /// A single step begins at a HLT: RIP behind it.
    var haltEnd: UInt64?

    init(engine: KVMEngine, vcpu: VCPU) throws(EngineError) {
        let core = UnsafeMutablePointer<ch_kvm_cpu>.allocate(capacity: 1)
        core.initialize(to: ch_kvm_cpu())
        do throws(EngineError) {
            _ = try check(ch_kvm_create_vcpu(engine.kvm, engine.vm, vcpu.index, core), "KVM_CREATE_VCPU")
            _ = try check(
                ch_kvm_set_cpuid(core.pointee.fd, engine.cpuid, UInt32(engine.cpuid.count)), "KVM_SET_CPUID2")
        } catch {
            if core.pointee.run != nil { ch_kvm_destroy_vcpu(core) }
            core.deallocate()
            throw error
        }
        core.pointee.attention = UnsafePointer(vcpu.attention)
        core.pointee.hold = UnsafePointer(engine.hold)
        self.engine = engine
        self.vcpu = vcpu
        self.core = core
        index = vcpu.index
        exits = Unmanaged.passUnretained(vcpu.exits)
        shared = core.pointee.run
        progress = .allocate(capacity: 1)
        progress.initialize(to: Progress())
        powerOnMSRs = PowerOn.msrs(kvm: engine.kvm, vcpu: core.pointee.fd).filter { $0.index != MSR.efer }
        ch_run_sync_registers(shared)
        try reset()
    }

    deinit {
        engine.forget(core)
        ch_kvm_destroy_vcpu(core)
        core.deallocate()
        progress.deallocate()
    }

    public func kick() { ch_kvm_kick(core) }

    // MARK: The loop

    public func run() -> RunEnd {
        let entered = ch_kvm_thread_enter(core)
        if entered < 0 { return .failed(EngineError("sigaction: \(errorText(entered))")) }
        defer { ch_kvm_thread_leave(core) }
        if progress.pointee.hasStashed { return takeStashed() }
        if progress.pointee.reportsHalt { return haltedAsLoaded() }
        progress.pointee.hasHalted = false
        if debug.singleStep { noteStep() }
        while true {
            var known: UInt32 = 0
            if ch_load(vcpu.attention) != 0 || progress.pointee.windowRequested {
                switch attend() {
                case .go: break
                case .goWaiting: known = ch_attention_interrupt
                case .goHolding: known = ch_attention_interrupt | ch_attention_nmi
                case .leave: return finishAccess() ?? .attention
                case .fail(let result): return .failed(EngineError("KVM_INTERRUPT or KVM_NMI: \(errorText(result))"))
                }
            }
            let result = ch_kvm_run(core, known)
            if result != 0 {
                if result == -4 || result == -11 {  // EINTR, EAGAIN
                    if ch_load(engine.hold) != 0 { ch_wait(engine.hold, 1, 100_000_000) }
                    continue
                }
                return .failed(failure("KVM_RUN: \(errorText(result))"))
            }
            if let end = dispatch() { return end }
            if progress.pointee.hasDeferred, let end = finishAccess() { return end }
        }
    }

    /// Hands one exit over; not nil where it ends the run.
    func dispatch() -> RunEnd? {
        let reason = ch_run_reason(shared)
        if reason == KVM_EXIT_IO {
            portAccess()
            return nil
        }
        if reason == KVM_EXIT_MMIO {
            memoryAccess()
            return nil
        }
        return rareExit(reason)
    }

    // MARK: Interrupts

    enum Attention {
        case go
        /// INTR is high and the guest cannot take it yet: KVM was asked for the interrupt window.
        case goWaiting
        /// A debugger steps one instruction: interrupts wait.
        case goHolding
        case leave
        case fail(Int32)
    }

    /// Takes NMI and INTR, as far as the guest can.
    @inline(never)
    private func attend() -> Attention {
        if vcpu.mustLeave { return .leave }
        if debug.singleStep, debug.holdsInterrupts {
            ch_run_set_window(shared, false)
            progress.pointee.windowRequested = vcpu.interruptRequested
            return .goHolding
        }
        if ch_load(vcpu.attention) & ch_attention_nmi != 0, vcpu.takeNMI() {
            let result = ch_kvm_nmi(core.pointee.fd)
            if result < 0 { return .fail(result) }
        }
        var isAnswered = true
        if vcpu.interruptRequested, ch_run_ready(shared) {
            if let vector = acknowledge() {
                let result = ch_kvm_interrupt(core.pointee.fd, UInt32(vector))
                if result < 0 { return .fail(result) }
                ch_run_set_ready(shared, false)
            } else {
                isAnswered = false
            }
        }
        // Where nobody answers, the window is not asked for: it is open, and would come back at once for ever.
        let waits = vcpu.interruptRequested
        ch_run_set_window(shared, waits && isAnswered)
        progress.pointee.windowRequested = waits && isAnswered
        return waits ? .goWaiting : .go
    }

    private func acknowledge() -> UInt8? {
        progress.pointee.inExit = true
        defer { progress.pointee.inExit = false }
        return exits._withUnsafeGuaranteedRef { $0.acknowledgeInterrupt(index) }
    }

    // MARK: Ports

    /// `rep outs` comes once for each element, `rep ins` in chunks.
    private func portAccess() {
        progress.pointee.accessPending = true
        progress.pointee.inExit = true
        let port = ch_run_io_port(shared)
        let width = ch_run_io_width(shared)
        let rip = ch_run_rip(shared)
        // SAFETY: KVM put count * width bytes there, within kvm_run's mapping.
        let data = ch_run_io_data(shared)!
        if ch_run_io_count(shared) != 1 {
            portString(port: port, width: width, data: data, rip: rip)
        } else if ch_run_io_is_out(shared) {
            let value: UInt64 =
                switch width {
                case 1: UInt64(data.load(as: UInt8.self))
                case 2: UInt64(data.loadUnaligned(as: UInt16.self))
                default: UInt64(data.loadUnaligned(as: UInt32.self))
                }
            _ = exits._withUnsafeGuaranteedRef { $0.portWrite(index, port: port, width: width, value: value, rip: rip) }
        } else {
            let value = exits._withUnsafeGuaranteedRef { $0.portRead(index, port: port, width: width, rip: rip).value }
            switch width {
            case 1: data.storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
            case 2: data.storeBytes(of: UInt16(truncatingIfNeeded: value), as: UInt16.self)
            default: data.storeBytes(of: UInt32(truncatingIfNeeded: value), as: UInt32.self)
            }
            ch_run_set_ready(shared, false)
        }
        progress.pointee.inExit = false
    }

    @inline(never)
    private func portString(port: UInt16, width: UInt8, data: UnsafeMutableRawPointer, rip: UInt64) {
        let count = Int(ch_run_io_count(shared))
        if ch_run_io_is_out(shared) {
            _ = exits._withUnsafeGuaranteedRef {
                $0.portWriteString(index, port: port, width: width, count: count, from: data, rip: rip)
            }
        } else {
            _ = exits._withUnsafeGuaranteedRef {
                $0.portReadString(index, port: port, width: width, count: count, into: data, rip: rip)
            }
            ch_run_set_ready(shared, false)
        }
    }

    // MARK: Memory

    /// After a read, whether the guest can take an interrupt is known only when KVM has finished the instruction (it
    /// may be a POPF from such memory): `ready` is dropped, and the interrupt window asked for instead.
    private func memoryAccess() {
        progress.pointee.accessPending = true
        progress.pointee.inExit = true
        let address = ch_run_mmio_address(shared)
        let width = UInt8(truncatingIfNeeded: ch_run_mmio_length(shared))
        let rip = ch_run_rip(shared)
        if ch_run_mmio_is_write(shared) {
            let unused = 64 &- UInt64(width) &* 8
            let value = (ch_run_mmio_value(shared) &<< unused) &>> unused
            _ = exits._withUnsafeGuaranteedRef {
                $0.memoryWrite(index, address: address, width: width, value: value, rip: rip)
            }
        } else {
            let value = exits._withUnsafeGuaranteedRef {
                $0.memoryRead(index, address: address, width: width, rip: rip).value
            }
            ch_run_set_mmio_value(shared, value)
            ch_run_set_ready(shared, false)
        }
        progress.pointee.inExit = false
    }

    // MARK: The rest

    @inline(never)
    private func rareExit(_ reason: UInt32) -> RunEnd? {
        switch Int32(truncatingIfNeeded: reason) {
        case KVM_EXIT_HLT:
            progress.pointee.accessPending = false
            progress.pointee.hasHalted = true
            return .halted(interruptsEnabled: ch_run_interrupt_flag(shared), rip: ch_run_rip(shared))
        case KVM_EXIT_X86_RDMSR:
            msrAccess(write: false)
            return nil
        case KVM_EXIT_X86_WRMSR:
            msrAccess(write: true)
            return nil
        case KVM_EXIT_IRQ_WINDOW_OPEN, KVM_EXIT_INTR, KVM_EXIT_SET_TPR, KVM_EXIT_NMI:
            progress.pointee.accessPending = false
            return nil
        case KVM_EXIT_DEBUG:
            progress.pointee.accessPending = false
            return debugEnd()
        case KVM_EXIT_SHUTDOWN:
            progress.pointee.accessPending = false
            return .shutdown
        default:
            progress.pointee.accessPending = false
            return isEmulatedBreakpoint(reason)
                ? .debug(DebugEvent(kind: .softwareBreakpoint, rip: ch_run_rip(shared), dr6: DR6.fixed))
                : .failed(exitFailure(reason))
        }
    }

    private func msrAccess(write: Bool) {
        progress.pointee.accessPending = true
        progress.pointee.inExit = true
        let msr = ch_run_msr_index(shared)
        var value = ch_run_msr_value(shared)
        let isDone: Bool
        let isUnknown = isUnknown(msr)
        let isWanted = engine.intercepts.wants(msr, write: write, isUnknown: isUnknown)
        switch isWanted ? ask(msr, &value, write: write, isUnknown: isUnknown) : .unhandled {
        case .handled:
            isDone = true
            // KVM's CPUID follows its own copy.
            if write, msr == 0x1b, engine.intercepts.hasLocalAPIC {
                var copy = value
                _ = HostMSR.access(vcpu: core.pointee.fd, shared: shared, index: msr, value: &copy, write: true)
            }
        case .inject: isDone = false  // KVM can answer with #GP only
        case .unhandled:
            isDone = HostMSR.access(vcpu: core.pointee.fd, shared: shared, index: msr, value: &value, write: write)
        }
        ch_run_set_msr(shared, value, !isDone)
        ch_run_set_ready(shared, false)
        progress.pointee.inExit = false
    }

    /// Whether the CPU has no such MSR. KVM says so of what it did not filter; of the rest a read tells, but for two commands
    /// that can only be written (IA32_PRED_CMD, IA32_FLUSH_CMD).
    private func isUnknown(_ msr: UInt32) -> Bool {
        if ch_run_msr_is_unknown(shared) { return true }
        guard engine.intercepts.wantsUnknown, msr != 0x49, msr != 0x10b else { return false }
        var value: UInt64 = 0
        return ch_kvm_get_msr(core.pointee.fd, msr, &value) != 0
    }

    private func ask(_ msr: UInt32, _ value: inout UInt64, write: Bool, isUnknown: Bool) -> EventResult {
        var exit = bp_exit()
        exit.size = UInt32(MemoryLayout<bp_exit>.size)
        exit.reason = write ? 32 : 31
        exit.flags = (write ? UInt16(BP_EXITF_WRITE) : 0) | (isUnknown ? UInt16(BP_EXITF_UNCLAIMED) : 0)
        exit.vcpu = index
        exit.rip = ch_run_rip(shared)
        exit.address = UInt64(msr)
        exit.value = value
        exit.width = 2  // 0f 30, 0f 32
        let result = exits._withUnsafeGuaranteedRef { $0.event(&exit) }
        if !write { value = exit.value }
        return result
    }
}
