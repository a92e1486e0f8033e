// The CPU as /dev/kvm runs it. Interrupt controllers stay plugins: there is no in-kernel irqchip, and interrupts are
// injected from user space. Source: Documentation/virt/kvm/api.rst.
//
// Not delivered (KVM gives none of it to user space): CPUID, control register, descriptor table, PAUSE, RDTSC and
// external interrupt exits, VMCALL. Not precise: KVM may be half-way through an instruction, or past it, when it exits.

import CBackplane
import CHost
public import Core

/// One virtual machine of /dev/kvm.
public final class KVMEngine: Engine {
    public let name = "kvm"
    public static let abilities = EngineAbilities(
        exits: [BP_EXIT_RDMSR, BP_EXIT_WRMSR, BP_EXIT_MONITOR_TRAP], preciseInject: false, countedClock: false)
    public var abilities: EngineAbilities { Self.abilities }

    let kvm: Int32
    let vm: Int32
    /// Not 0 while the memory map changes: vCPUs stay outside the guest.
    /// SAFETY: allocated in init, freed in deinit; every CPU keeps its engine alive.
    let hold: UnsafeMutablePointer<UInt32>
    let cpuid: [kvm_cpuid_entry2]
    private lazy var breakpoints = BreakpointProbe()
    private let cpuLimit: Int
    private var slots = SlotTable()
    private(set) var intercepts = MSRIntercepts()
    /// vCPUs to keep outside the guest while slots change; its lock orders makeCPU, updateMemory and the end of a CPU.
    private var cpus: [UnsafeMutablePointer<ch_kvm_cpu>] = []
    private let cpusLock: UnsafeMutablePointer<ch_lock>

    /// Whether /dev/kvm opens and has what this engine needs; otherwise why not.
    public static func isAvailable() -> Result<Void, EngineError> {
        do throws(EngineError) {
            let kvm = try openKVM()
            ch_kvm_close(kvm)
            return .success(())
        } catch {
            return .failure(error)
        }
    }

    /// - Parameter cpuCount: how many CPUs `makeCPU` will be asked for, at least 1.
    public init(cpuCount: Int) throws(EngineError) {
        let kvm = try Self.openKVM()
        let vm: Int32
        do throws(EngineError) {
            cpuid = try GuestCPUID.make(kvm: kvm, cpuCount: cpuCount)
            vm = try check(ch_kvm_create_vm(kvm), "KVM_CREATE_VM")
        } catch {
            ch_kvm_close(kvm)
            throw error
        }
        self.kvm = kvm
        self.vm = vm
        cpuLimit = cpuCount
        // Bits 7:0 of EAX: physical address bits.
        let bits = cpuid.first { $0.function == 0x8000_0008 }.map { UInt64($0.eax & 0xff) } ?? 36
        slots.limit = 1 << min(max(bits, 32), 52)
        hold = .allocate(capacity: 1)
        hold.initialize(to: 0)
        cpusLock = .allocate(capacity: 1)
        cpusLock.initialize(to: ch_lock())
        try setUp()
    }

    deinit {
        ch_kvm_close(vm)
        ch_kvm_close(kvm)
        hold.deallocate()
        cpusLock.deallocate()
    }

    private static func openKVM() throws(EngineError) -> Int32 {
        let kvm = ch_kvm_open()
        guard kvm >= 0 else {
            let hint = kvm == -13 ? " (is the user in the group of /dev/kvm?)" : ""
            throw EngineError("cannot open /dev/kvm: \(errorText(kvm))\(hint)")
        }
        for (capability, name) in [
            (KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"), (KVM_CAP_READONLY_MEM, "KVM_CAP_READONLY_MEM"),
            (KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"), (KVM_CAP_SYNC_REGS, "KVM_CAP_SYNC_REGS"),
            (KVM_CAP_USER_NMI, "KVM_CAP_USER_NMI"), (KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS"),
            (KVM_CAP_DEBUGREGS, "KVM_CAP_DEBUGREGS"), (KVM_CAP_XSAVE, "KVM_CAP_XSAVE"),
        ] where ch_kvm_check(kvm, UInt32(capability)) <= 0 {
            ch_kvm_close(kvm)
            throw EngineError("/dev/kvm of this kernel lacks \(name)")
        }
        return kvm
    }

    /// Three pages and one, below 4 GiB and below where firmware lies, that Intel CPUs without "unrestricted guest"
    /// need for real mode; AMD's have no use for them and accept them.
    private func setUp() throws(EngineError) {
        if ch_kvm_check(vm, UInt32(KVM_CAP_SET_IDENTITY_MAP_ADDR)) > 0 {
            _ = try check(ch_kvm_set_identity_map(vm, 0xfeff_c000), "KVM_SET_IDENTITY_MAP_ADDR")
        }
        if ch_kvm_check(vm, UInt32(KVM_CAP_SET_TSS_ADDR)) > 0 {
            _ = try check(ch_kvm_set_tss_address(vm, 0xfeff_d000), "KVM_SET_TSS_ADDR")
        }
    }

    public func problem(with kind: DebugPoint.Kind) -> String? { breakpoints.problem(with: kind) }

    // MARK: Memory

    public func updateMemory(_ range: ClosedRange<UInt64>, _ memory: [MappedMemory]) throws(EngineError) {
        let changes = slots.changes(range, memory)
        if changes.isEmpty { return }
        // An address that loses its slot for a moment would come out as MMIO.
        let mustHold = changes.contains { if case .remove = $0 { true } else { false } }
        if mustHold { holdCPUs() }
        defer { if mustHold { releaseCPUs() } }
        for change in changes { try apply(change) }
    }

    private func apply(_ change: SlotTable.Change) throws(EngineError) {
        switch change {
        case .remove(let slot):
            _ = try check(ch_kvm_set_memory(vm, slot, 0, 0, 0, nil), "KVM_SET_USER_MEMORY_REGION (remove)")
        case .add(let slot, let memory):
            let flags = memory.isReadOnly ? UInt32(KVM_MEM_READONLY) : 0
            let result = ch_kvm_set_memory(vm, slot, flags, memory.address, memory.length, memory.host)
            let range = "0x\(hex(memory.address)), length 0x\(hex(memory.length))"
            _ = try check(result, "KVM_SET_USER_MEMORY_REGION (\(range))")
        }
        slots.did(change)
    }

    private func holdCPUs() {
        ch_store(hold, 1)
        ch_lock_acquire(cpusLock)
        for cpu in cpus { ch_kvm_wait_outside(cpu) }
        ch_lock_release(cpusLock)
    }

    private func releaseCPUs() {
        ch_store(hold, 0)
        ch_wake(hold)
    }

    /// KVM keeps no decoded code.
    public func didWriteCode(page: UInt64) {}

    /// The host's bytes at a guest-physical address, for the text of a failure; as many of `count` as lie in one slot.
    func bytes(at address: UInt64, count: Int) -> [UInt8] { slots.bytes(at: address, count: count) }

    func isReadOnly(_ address: UInt64) -> Bool { slots.isReadOnly(address) }

    // MARK: Intercepts

    /// Takes the ranges of RDMSR (31) and WRMSR (32); the other exits of KVM come anyway.
    public func setIntercepts(_ intercepts: Intercepts) throws(EngineError) {
        let wanted = MSRIntercepts(intercepts)
        if wanted == self.intercepts { return }
        try wanted.install(vm: vm)
        self.intercepts = wanted
    }

    // MARK: CPUs

    public func makeCPU(_ vcpu: VCPU) throws(EngineError) -> any CPU {
        guard vcpu.index < cpuLimit else {
            throw EngineError("vCPU \(vcpu.index): the machine was made for \(cpuLimit)")
        }
        let cpu = try KVMCPU(engine: self, vcpu: vcpu)
        ch_lock_acquire(cpusLock)
        cpus.append(cpu.core)
        ch_lock_release(cpusLock)
        return cpu
    }

    func forget(_ cpu: UnsafeMutablePointer<ch_kvm_cpu>) {
        ch_lock_acquire(cpusLock)
        cpus.removeAll { $0 == cpu }
        ch_lock_release(cpusLock)
    }
}
