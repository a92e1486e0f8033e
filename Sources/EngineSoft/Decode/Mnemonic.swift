/// What an instruction does, by the SDM's name in lower case. Where one name means different things, a word says which.
enum Mnemonic: UInt16, CaseIterable {
    case ud, ud0, ud1, ud2
    // Arithmetic
    case add, or, adc, sbb, and, sub, xor, cmp, test, inc, dec, neg, not, mul, imul, imul2, imul3, div, idiv
    case rol, ror, rcl, rcr, shl, shr, sar, shld, shrd
    case aaa, aas, aad, aam, daa, das, cbw, cwd, xadd, cmpxchg, cmpxchg8b, cmpxchg16b, adcx, adox
    // Data transfer
    case mov, movzxb, movzxw, movsxb, movsxw, movsxd, lea, xchg, bswap, xlat, cmov, set, lahf, sahf, movbe, movnti
    case push, pop, pusha, popa, pushf, popf, enter, leave, nop, prefetch, crc32b, crc32v
    // Control flow
    case jmp, jmpIndirect, jmpFar, jmpFarIndirect, call, callIndirect, callFar, callFarIndirect, ret, retFar, jcc, jcxz, loop, loope
    case loopne, int3, int, into, int1, iret, bound
    // Strings
    case movs, cmps, stos, lods, scas, ins, outs
    // Bits
    case bt, bts, btr, btc, bsf, bsr, popcnt, tzcnt, lzcnt, andn, bextr, blsi, blsmsk, blsr
    // Flags
    case clc, stc, cmc, cld, std, cli, sti
    // I/O and system
    case in_, out_, hlt, cpuid, rdtsc, rdtscp, rdpmc, rdmsr, wrmsr, syscall, sysret, sysenter, sysexit, swapgs
    case lgdt, lidt, sgdt, sidt, lldt, ltr, sldt, str, lmsw, smsw, clts, verr, verw, lar, lsl, arpl
    case movSegment, movFromSegment, pushSegment, popSegment, lds, les, lss, lfs, lgs
    case movFromCR, movToCR, movFromDR, movToDR, invlpg, invpcid, invd, wbinvd, rsm, clac, stac
    case xgetbv, xsetbv, vmcall, vmlaunch, vmresume, vmxoff, vmptrld, vmclear, vmxon, vmptrst, vmread, vmwrite, vmmcall, vmrun
    case monitor, mwait, pause, rdrand, rdseed, rdpid, lfence, mfence, sfence, clflush, clflushopt
    case rdfsbase, rdgsbase, wrfsbase, wrgsbase
    // State
    case fxsave, fxrstor, xsave, xrstor, xsaveopt, ldmxcsr, stmxcsr, emms, fwait
    // x87 (Table+X87.swift) and SSE (Table+SSE.swift) follow.
}
