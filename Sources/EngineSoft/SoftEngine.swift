// The whole x86 CPU in software: runs where there is no KVM, delivers every exit, repeats exactly.

public import Core
import CBackplane
import CHost

/// One virtual machine of the software engine.
public final class SoftEngine: Engine {
    public let name = "soft"
    public let abilities = EngineAbilities(
        exits: SoftEngine.exitReasons, preciseInject: true, countedClock: true, linearBreakpoints: true)
    private var memory: [MappedMemory] = []
    private var intercepts = Intercepts()
    private var cpus: [SoftCPU] = []
    let options: SoftOptions

    /// Basic exit reasons (SDM volume 3, appendix C) beyond those of every engine.
    static let exitReasons = [
        BP_EXIT_EXCEPTION, BP_EXIT_EXTERNAL_INTERRUPT, BP_EXIT_INTERRUPT_WINDOW, BP_EXIT_TASK_SWITCH, BP_EXIT_CPUID,
        BP_EXIT_INVLPG, BP_EXIT_RDPMC, BP_EXIT_RDTSC, BP_EXIT_VMCALL, BP_EXIT_CR, BP_EXIT_DR, BP_EXIT_RDMSR,
        BP_EXIT_WRMSR,
        BP_EXIT_MWAIT, BP_EXIT_MONITOR_TRAP, BP_EXIT_MONITOR, BP_EXIT_PAUSE, BP_EXIT_DESCRIPTOR_TABLE, BP_EXIT_LDTR_TR,
        BP_EXIT_RDTSCP, BP_EXIT_WBINVD, BP_EXIT_XSETBV, BP_EXIT_RDRAND, BP_EXIT_INVPCID, BP_EXIT_RDSEED,
        19, 20, 21, 22, 23, 24, 25, 26, 27,  // VMX instructions
    ]

    public init(options: SoftOptions = SoftOptions()) { self.options = options }

    public func updateMemory(_ range: ClosedRange<UInt64>, _ memory: [MappedMemory]) throws(EngineError) {
        MappedMemory.replace(range, in: &self.memory, by: memory)
        for cpu in cpus { cpu.memoryChanged(range, memory, whole: self.memory) }
    }

    public func setIntercepts(_ intercepts: Intercepts) throws(EngineError) {
        self.intercepts = intercepts
        for cpu in cpus { cpu.setIntercepts(intercepts) }
    }

    public func didWriteCode(page: UInt64) {
        for cpu in cpus { cpu.didWriteCode(page: page) }
    }

    public func makeCPU(_ vcpu: VCPU) throws(EngineError) -> any CPU {
        let cpu = SoftCPU(vcpu: vcpu, options: options)
        cpu.memoryChanged(0...UInt64.max, memory, whole: memory)
        cpu.setIntercepts(intercepts)
        cpus.append(cpu)
        if cpus.count > 1 { for cpu in cpus { cpu.memory.blocks.sharesFlags = true } }
        return cpu
    }
}

/// How the engine works; the defaults are right for machines, others are for tests.
public struct SoftOptions: Sendable {
    /// Every block holds one instruction.
    public var singleStepsAlways = false
    /// The block arena is emptied after so many look-ups; 0: when it is full.
    public var emptiesArenaEvery = 0
    public var translation = Translation.on
    /// Runs of a block before it is translated, where not all are at once.
    public var translatesAfter: UInt32 = 64
    /// What is never translated.
    public var interpreted: Set<TranslationFamily> = []
    public init() {}
}
