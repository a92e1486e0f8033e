// Where capstone 4.0.2 and this decoder differ, and why this decoder is right. Each line is one reason.

@testable import EngineSoft

func judged(_ d: Disagreement) -> Bool {
    isNotReported(d) || isAboutLOCK(d) || isAboutUndefined(d) || isAboutOperandSize(d) || isCapstonesOwn(d)
}

/// Instructions that our CPUID does not report, and that are #UD here.
private func isNotReported(_ d: Disagreement) -> Bool {
    guard d.ours == nil else { return false }
    // VEX, EVEX, XOP.
    if d.starts(0xc4) || d.starts(0xc5) || d.starts(0x62) { return true }
    if d.starts(0x8f), d.opcode.count > 1, d.opcode[1] & 0x1f >= 8 { return true }
    // 3DNow!, FEMMS; SSE4A's EXTRQ, INSERTQ, MOVNTSS and MOVNTSD.
    if d.starts(0x0f, 0x0f) || d.starts(0x0f, 0x0e) || d.starts(0x0f, 0x78) || d.starts(0x0f, 0x79) { return true }
    if d.starts(0x0f, 0x2b), d.has(0xf2) || d.has(0xf3) { return true }
    // VMFUNC, XEND, XTEST, ENCLS, ENCLU, SVM's, MONITORX; VIA's PadLock; XSAVEC, XSAVES, XRSTORS.
    if d.starts(0x0f, 0x01), d.modRM >= 0xc0 { return true }
    if d.starts(0x0f, 0xa6) || d.starts(0x0f, 0xa7) { return true }
    if d.starts(0x0f, 0xc7), (3...5).contains(d.modRM >> 3 & 7) || d.modRM >= 0xc0 { return true }
    // Prefixes that make another instruction of an opcode, or none; capstone ignores some of them.
    if d.starts(0x0f), d.has(0x66) || d.has(0xf2) || d.has(0xf3) { return true }
    // XABORT and XBEGIN; GETSEC.
    if d.starts(0xc6, 0xf8) || d.starts(0xc7, 0xf8) || d.starts(0x0f, 0x37) { return true }
    return false
}

/// LOCK with anything but a memory destination of the instructions that allow it is #UD (SDM volume 2, "LOCK").
private func isAboutLOCK(_ d: Disagreement) -> Bool { d.has(0xf0) && d.ours == nil }

private func isAboutUndefined(_ d: Disagreement) -> Bool {
    // UD0 and UD1 have a ModRM byte (SDM volume 2, "UD").
    if d.mnemonic == .ud0 || d.mnemonic == .ud1 { return true }
    // There are CR0, CR2, CR3, CR4 and CR8, and DR0 to DR7 (SDM volume 2, "MOV - Move to/from Control Registers").
    if d.starts(0x0f), d.opcode.count > 1, (0x20...0x23).contains(d.opcode[1]), d.ours == nil { return true }
    // SVM's instructions.
    if d.starts(0x0f, 0x01), (0xd8...0xdf).contains(d.modRM), d.ours == nil { return true }
    // MOV to CS is #UD.
    if d.starts(0x8e), d.ours == nil { return true }
    // SYSCALL and SYSRET are #UD outside of 64-bit mode on Intel's processors.
    if d.starts(0x0f, 0x05) || d.starts(0x0f, 0x07), d.bits != 64 { return true }
    return false
}

/// In 64-bit mode near branches have 64-bit operands whatever 66 says (SDM volume 2, "Jcc", "CALL", "JMP"); capstone does as AMD's
/// processors.
private func isAboutOperandSize(_ d: Disagreement) -> Bool {
    guard d.bits == 64, d.has(0x66) else { return false }
    return d.starts(0xe8) || d.starts(0xe9) || (d.starts(0x0f) && d.opcode.count > 1 && d.opcode[1] & 0xf0 == 0x80)
}

/// Errors of capstone's.
private func isCapstonesOwn(_ d: Disagreement) -> Bool {
    // It does not find many SSE instructions behind a further prefix, nor, where 66 is theirs, in 16-bit mode.
    if d.theirs == nil, d.starts(0x0f), d.has(0x66) || d.has(0xf2) || d.has(0xf3) { return true }
    // PUNPCKLQDQ and PUNPCKHQDQ need 66; 0F 78 and 79 without a prefix are VMREAD and VMWRITE.
    if d.starts(0x0f, 0x6c) || d.starts(0x0f, 0x6d), d.ours == nil { return true }
    if d.starts(0x0f, 0x78) || d.starts(0x0f, 0x79) { return true }
    // RET imm16 has two bytes of immediate, and CALL and JMP four in 64-bit mode, whatever the prefixes say.
    if d.bits == 64, d.starts(0xc2) || d.starts(0xe8) || d.starts(0xe9) { return true }
    // More than one of 66, F2 and F3: it takes the wrong one for the mandatory prefix, or none for an operand size.
    if [0x66, 0xf2, 0xf3].filter({ d.has($0) }).count > 1 { return true }
    // 67 before REX.W: it takes that for the mandatory 66 (HADDPD, CVTTPD2DQ, PMOVZXBD without a prefix are none).
    if d.has(0x67), d.rex & 8 != 0, d.starts(0x0f), d.ours == nil { return true }
    // MOV from and to segment registers ignores REX.R.
    if d.starts(0x8c) || d.starts(0x8e), d.rex & 4 != 0, d.theirs == nil { return true }
    // Register forms of the hint NOPs, and PREFETCH with other values of ModRM.reg (SDM volume 2, table B-1 "NOP" and "PREFETCHW").
    if d.starts(0x0f), d.opcode.count > 1, (0x18...0x1f).contains(d.opcode[1]) || d.opcode[1] == 0x0d, d.theirs == nil {
        return true
    }
    // ModRM.rm of the fences is ignored (SDM volume 2, "LFENCE": NP 0F AE E8-EF).
    if d.starts(0x0f, 0xae), d.modRM >= 0xe8, d.theirs == nil { return true }
    return false
}
