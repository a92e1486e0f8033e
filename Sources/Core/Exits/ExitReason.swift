import CBackplane

/// Basic exit reasons by name, for messages (SDM volume 3, appendix C).
public enum ExitReason {
    public static func name(_ reason: Int) -> String {
        names[reason] ?? "exit \(reason)"
    }

    private static let names: [Int: String] = [
        BP_EXIT_EXCEPTION: "exception or NMI", BP_EXIT_EXTERNAL_INTERRUPT: "external interrupt",
        BP_EXIT_TRIPLE_FAULT: "triple fault", BP_EXIT_INIT: "INIT", BP_EXIT_SIPI: "SIPI",
        BP_EXIT_INTERRUPT_WINDOW: "interrupt window", BP_EXIT_NMI_WINDOW: "NMI window",
        BP_EXIT_TASK_SWITCH: "task switch", BP_EXIT_CPUID: "CPUID", BP_EXIT_HLT: "HLT", BP_EXIT_INVLPG: "INVLPG",
        BP_EXIT_RDPMC: "RDPMC", BP_EXIT_RDTSC: "RDTSC", BP_EXIT_VMCALL: "VMCALL", BP_EXIT_CR: "control register access",
        BP_EXIT_DR: "MOV DR", BP_EXIT_IO: "I/O instruction", BP_EXIT_RDMSR: "RDMSR", BP_EXIT_WRMSR: "WRMSR",
        BP_EXIT_ENTRY_FAILURE: "entry failure", BP_EXIT_MWAIT: "MWAIT", BP_EXIT_MONITOR_TRAP: "monitor trap flag",
        BP_EXIT_MONITOR: "MONITOR", BP_EXIT_PAUSE: "PAUSE", BP_EXIT_DESCRIPTOR_TABLE: "access to GDTR or IDTR",
        BP_EXIT_LDTR_TR: "access to LDTR or TR", BP_EXIT_EPT_VIOLATION: "EPT violation", BP_EXIT_RDTSCP: "RDTSCP",
        BP_EXIT_WBINVD: "WBINVD", BP_EXIT_XSETBV: "XSETBV", BP_EXIT_RDRAND: "RDRAND", BP_EXIT_INVPCID: "INVPCID",
        BP_EXIT_RDSEED: "RDSEED",
    ]
}
