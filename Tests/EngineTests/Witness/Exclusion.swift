import CBackplane

/// A kind of difference that is KVM's or its processor's doing, judged by the SDM.
struct Exclusion: Sendable {
    let reason: String
    let covers: @Sendable (WitnessCase, _ kvm: WitnessEnd, _ soft: WitnessEnd, _ differences: [String]) -> Bool

    /// Where the handler of a vector has halted.
    private static func halted(_ end: WitnessEnd, at vector: Int) -> Bool {
        end.registers.rip == UInt64(Image.handlers + vector * 16 + 3)
    }

    private static func names(_ one: WitnessCase, _ names: [String]) -> Bool {
        one.names.contains { names.contains($0) }
    }

    private static func isUserWith(_ one: WitnessCase, _ list: [String]) -> Bool { one.mode.isUser && names(one, list) }

    private static let farTransfers = ["far jmp", "far call", "far jmp memory", "far call memory", "retf", "iret"]
    private static let unknown = [
        "verr", "verw", "lar", "lsl", "arpl", "int n", "int3, into, int1", "bound", "load far pointer", "sysenter",
        "sldt, str",
    ]

    /// Those of this host's KVM.
    static let here: [Exclusion] =
        if KVMHost.box == "tcg" { vendors + tcg } else { processors + (KVMHost.runsSupervisorCode ? [] : emulators) }

    private static let linearMSRs: [UInt64] = [
        0x175, 0x176, 0xc000_0082, 0xc000_0083, 0xc000_0100, 0xc000_0101, 0xc000_0102,
    ]

    /// Of what the host's processor has and the software CPU has not.
    static let processors: [Exclusion] =
        vendors + [
            Exclusion(reason: "with LA57 MSRs take addresses of 57 bits, in all modes (SDM volume 2, WRMSR)") {
                one, _, soft, _ in
                names(one, ["wrmsr"]) && halted(soft, at: 13)
                    && linearMSRs.contains(soft.registers.general.1 & 0xffff_ffff)
            },
            Exclusion(reason: "with RTM bit 16 of DR6 can be written (SDM volume 3, 17.2.3)") {
                one, kvm, soft, differences in
                names(one, ["mov to dr"]) && differences.count == 1
                    && kvm.registers.dr.6 ^ soft.registers.dr.6 == 1 << 16
            },
        ]

    /// Of a KVM that runs supervisor code on the processor: where AMD's does otherwise than the SDM says, and CPUID names Intel.
    static let vendors: [Exclusion] = [
        Exclusion(reason: "SYSCALL and SYSRET of compatibility mode are AMD's; Intel's raise #UD (SDM volume 2)") {
            one, _, soft, _ in
            one.mode == .compatibility && names(one, ["syscall", "sysret"]) && halted(soft, at: 6)
        },
        Exclusion(reason: "SYSENTER and SYSEXIT of long mode raise #UD on AMD's (SDM volume 2: both are there)") {
            one, kvm, _, _ in
            one.mode.isLong && names(one, ["sysenter", "sysexit"]) && halted(kvm, at: 6)
        },
        Exclusion(reason: "AMD's SYSENTER MSRs take addresses that are not canonical (SDM volume 2, WRMSR: #GP)") {
            one, _, soft, _ in
            names(one, ["wrmsr"]) && halted(soft, at: 13) && [0x175, 0x176].contains(soft.registers.general.1)
        },
    ]

    /// Of the host in a box, whose processor is QEMU's TCG (7.2). That its faults do not push RF (SDM volume 3, 17.3.1.1) `WitnessTests` leaves out of what it compares.
    static let tcg: [Exclusion] = [
        Exclusion(reason: "WRMSR takes addresses that are not canonical (SDM volume 2, WRMSR: #GP)") {
            one, _, soft, _ in
            names(one, ["wrmsr"]) && halted(soft, at: 13)
                && [0x175, 0x176, 0xc000_0082, 0xc000_0100, 0xc000_0101, 0xc000_0102].contains(soft.registers.general.1)
        },
        Exclusion(reason: "far transfers do not mark the code segment as accessed (SDM volume 3, 3.4.5.1)") {
            one, _, _, differences in
            names(one, farTransfers + ["int n"])
                && differences.allSatisfy {
                    $0.hasPrefix("cs.attributes") || $0.hasPrefix("[2") && $0.dropFirst(5).first == "]"
                }
        },
        Exclusion(
            reason:
                "#GP of an offset beyond the segment's limit names the selector, and CALL has pushed by then (SDM volume 2: #GP(0))"
        ) {
            one, kvm, soft, differences in
            names(one, farTransfers) && halted(kvm, at: 13) && halted(soft, at: 13)
                && differences.allSatisfy { $0.hasSuffix("soft 0") }
        },
        Exclusion(reason: "an operand to be changed is read before it is known whether it can be written") {
            one, _, _, differences in
            names(one, ["modify page"]) && differences.allSatisfy { $0.hasPrefix("[") || $0.hasPrefix("cr2") }
                || differences.allSatisfy { $0.hasSuffix(" KVM 0 soft 2") }
        },
        Exclusion(
            reason:
                "in long mode #GP for a gate has 16 times the vector in its error code (SDM volume 3, 6.13: 8 times)"
        ) {
            one, kvm, soft, differences in
            one.mode.isLong && names(one, ["int3, into, int1", "int n"]) && halted(kvm, at: 13) && halted(soft, at: 13)
                && differences.count == 1 && differences[0].hasPrefix("[")
        },
        Exclusion(
            reason:
                "in ring 3 MOV of CR1 and CR5 is #GP before it is #UD (SDM volume 3, table 6-2: faults of decoding come first)"
        ) { one, kvm, soft, _ in
            names(one, ["mov from cr"]) && halted(kvm, at: 13) && halted(soft, at: 6)
        },
        Exclusion(reason: "bit 12 of DR6 is what was written (SDM volume 3, figure 17-1: 0)") {
            one, kvm, soft, differences in
            names(one, ["mov to dr"]) && differences.count == 1 && kvm.registers.dr.6 ^ soft.registers.dr.6 == 1 << 12
        },
        Exclusion(reason: "LAR leaves bits 19:16 clear (SDM volume 2, LAR: undefined)") { one, kvm, soft, differences in
            names(one, ["lar"]) && differences.count == 1
                && kvm.registers.general.1 ^ soft.registers.general.1 == 0xf_0000
        },
        Exclusion(reason: "in long mode LAR knows gates of 286 tasks and calls (SDM volume 2, LAR, table of types)") {
            one, kvm, soft, _ in
            one.mode.isLong && names(one, ["lar"]) && kvm.registers.rflags & 0x40 != 0
                && soft.registers.rflags & 0x40 == 0
        },
        Exclusion(reason: "SYSRET leaves VIF and VIP (SDM volume 2, SYSRET: R11 AND 3C7FD7H)") { one, kvm, soft, _ in
            names(one, ["sysret"]) && kvm.registers.rflags ^ soft.registers.rflags == 0x18_0000
        },
        Exclusion(
            reason:
                "a handler's segment that is neither present nor of 64 bits is #NP (SDM volume 3, 6.14.1; no order is given)"
        ) {
            one, kvm, soft, _ in
            one.mode.isLong && names(one, ["int n"]) && halted(kvm, at: 11) && halted(soft, at: 13)
        },
        Exclusion(reason: "no limit is looked at where instructions are fetched (SDM volume 3, 5.3)") {
            one, kvm, soft, _ in
            names(one, farTransfers)
                && (one.mode.is16 && kvm.kind == .endless || halted(kvm, at: 14) && halted(soft, at: 13))
        },
    ]

    /// Of a KVM that emulates ring 0, an instruction at a time, by the host kernel's emulator, as nested hosts' do, and runs ring 3 on the host's own
    /// segments and tables.
    static let emulators: [Exclusion] = [
        Exclusion(reason: "in ring 3 it raises #UD for what its emulator does not know") { one, kvm, _, _ in
            halted(kvm, at: 6) && isUserWith(one, unknown + farTransfers)
        },
        Exclusion(reason: "in ring 3 its IRET raises #GP(0), whatever is wrong or right with the frame") {
            one, _, _, _ in
            isUserWith(one, ["iret"])
        },
        Exclusion(reason: "IRET of long mode looks at SS before CS, and not at its type (SDM volume 2, IRET)") {
            one, _, _, _ in
            one.mode == .long && names(one, ["iret"])
        },
        Exclusion(reason: "INT3 and INT n of long mode shut it down, or pass by the gate's DPL") { one, kvm, _, _ in
            one.mode.isLong && names(one, ["int3, into, int1", "int n"])
                && (kvm.kind == .shutdown || halted(kvm, at: 3) || halted(kvm, at: 4))
        },
        Exclusion(reason: "in ring 3 of 64-bit mode the guest sees the host's IF") { one, _, _, differences in
            one.mode == .longUser && names(one, ["pushf", "syscall"])
                && (names(one, ["syscall"]) || differences.allSatisfy { $0.hasPrefix("[8e") || $0.hasPrefix("[15") })
        },
        Exclusion(reason: "in ring 3 it does not set A and D (SDM volume 3, 4.8)") { one, _, _, differences in
            one.mode.isUser && differences.allSatisfy { $0.hasPrefix("[15") }
        },
        Exclusion(reason: "it runs no 32-bit paging, and drops CR0.PG") { one, _, soft, _ in
            !one.mode.isLong && names(one, ["mov to cr0"]) && soft.kind == .shutdown
        },
        Exclusion(
            reason:
                "MOV of CR1 and CR5 is #UD before it is #GP (SDM volume 3, table 6-2: faults of decoding come first)"
        ) {
            one, kvm, soft, _ in names(one, ["mov from cr"]) && halted(kvm, at: 13) && halted(soft, at: 6)
        },
        Exclusion(reason: "WRMSR of IA32_PAT takes memory types that are reserved (SDM volume 3, table 12-10)") {
            one, _, soft, _ in
            names(one, ["wrmsr"]) && halted(soft, at: 13) && soft.registers.general.1 == 0x277
        },
        Exclusion(reason: "ring 3 of 64-bit mode runs on the host's segments and tables") { one, _, _, _ in
            one.mode == .longUser
                && names(
                    one,
                    [
                        "mov sreg", "mov from sreg", "pop sreg", "load far pointer", "lar", "lsl", "verr", "verw",
                        "popf", "iret",
                        "retf", "far jmp memory", "far call memory",
                    ])
        },
        Exclusion(reason: "LTR of a selector of the LDT names no selector in its error code (SDM volume 2, LTR)") {
            one, _, soft, differences in
            names(one, ["ltr"]) && halted(soft, at: 13) && differences.count == 1 && differences[0].hasPrefix("[6e")
        },
        Exclusion(reason: "real mode's interrupt table has no limit to it (SDM volume 2, INT n)") { one, _, _, _ in
            one.mode == .real && names(one, ["lgdt, lidt"])
        },
        Exclusion(reason: "POPF does not set AC (SDM volume 2, POPF, table 4-21)") { one, kvm, soft, differences in
            names(one, ["popf"]) && differences.count == 1 && kvm.registers.rflags ^ soft.registers.rflags == 1 << 18
        },
        Exclusion(reason: "delivery does not add the base of SS") { _, _, soft, _ in soft.registers.ss.base == 0x100 },
        Exclusion(reason: "an operand to be changed is read before it is known whether it can be written") {
            one, _, _, differences in
            names(one, ["modify page"]) && differences.allSatisfy { $0.hasPrefix("[") || $0.hasPrefix("cr2") }
        },
        Exclusion(reason: "a far transfer that fails for its offset marks the descriptor as accessed all the same") {
            one, _, _, differences in
            names(one, farTransfers) && differences.allSatisfy { $0.hasPrefix("[2") }
        },
        Exclusion(
            reason:
                "a write across pages is done up to the one that faults (SDM volume 3, 6.5: a fault leaves nothing done)"
        ) {
            one, _, _, differences in
            names(one, ["write page", "modify page", "push to page"]) && differences.allSatisfy { $0.hasPrefix("[2") }
        },
        Exclusion(reason: "SYSRET of 32 bits takes CS from STAR 63:48 alone, and R11 sets NT (SDM volume 2, SYSRET)") {
            one, _, _, _ in
            names(one, ["sysret"]) && !one.mode.isUser
        },
    ]
}
