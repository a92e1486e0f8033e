/// What an instruction does, by the SDM's name in lower case. Where one name means different things, a word says which.
enum Mnemonic: UInt16, CaseIterable {
    case ud, ud0, ud1, ud2
    // Arithmetic
    case add, or, adc, sbb, and, sub, xor, cmp, test, inc, dec, neg, not, mul, imul, imul2, imul3, div, idiv
    case rol, ror, rcl, rcr, shl, shr, sar, shld, shrd
    case aaa, aas, aad, aam, daa, das, cbw, cwd, xadd, cmpxchg, cmpxchg8b, cmpxchg16b, adcx, adox
    // Data transfer
    case mov, movzxb, movzxw, movsxb, movsxw, movsxd, lea, xchg, bswap, xlat, salc, cmov, set, lahf, sahf, movbe, movnti
    case push, pop, pusha, popa, pushf, popf, enter, leave, nop, prefetch, crc32b, crc32v
    // Control flow
    case jmp, jmpIndirect, jmpFar, jmpFarIndirect, call, callIndirect, callFar, callFarIndirect, ret, retFar, jcc, jcxz,
        loop, loope
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
    case xgetbv, xsetbv, vmcall, vmlaunch, vmresume, vmxoff, vmptrld, vmclear, vmxon, vmptrst, vmread, vmwrite, vmmcall,
        vmrun
    case monitor, mwait, pause, rdrand, rdseed, rdpid, lfence, mfence, sfence, clflush, clflushopt
    case rdfsbase, rdgsbase, wrfsbase, wrgsbase
    // State
    case fxsave, fxrstor, xsave, xrstor, xsaveopt, ldmxcsr, stmxcsr, emms, fwait
    // x87
    case fadd, faddp, fiadd, fmul, fmulp, fimul, fsub, fsubp, fisub, fsubr, fsubrp, fisubr, fdiv, fdivp, fidiv, fdivr,
        fdivrp, fidivr
    case fcom, fcomp, fcompp, ficom, ficomp, fucom, fucomp, fucompp, fcomi, fcomip, fucomi, fucomip, ftst, fxam
    case fld, fild, fbld, fst, fstp, fist, fistp, fisttp, fbstp, fld1, fldl2t, fldl2e, fldpi, fldlg2, fldln2, fldz,
        fxch, fcmov
    case fchs, fabs, fsqrt, frndint, f2xm1, fyl2x, fyl2xp1, fptan, fpatan, fsin, fcos, fsincos, fscale, fprem, fprem1,
        fxtract
    case fincstp, fdecstp, ffree, ffreep, fnop, fnclex, fninit, fldcw, fnstcw, fnstsw, fnstenv, fldenv, fnsave, frstor
    // MMX and SSE: moves
    case movaps, movapd, movdqa, movups, movupd, movdqu, lddqu, movntps, movntpd, movntdq, movntdqa, movntq, movss,
        movsd
    case movlps, movlpd, movhps, movhpd, movhlps, movlhps, movd, movq, movq2dq, movdq2q, movddup, movshdup, movsldup
    case movmskps, movmskpd, pmovmskb, maskmovdqu, maskmovq
    // Integer
    case punpcklbw, punpcklwd, punpckldq, packsswb, pcmpgtb, pcmpgtw, pcmpgtd, packuswb, punpckhbw, punpckhwd,
        punpckhdq, packssdw
    case punpcklqdq, punpckhqdq, pcmpeqb, pcmpeqw, pcmpeqd, psrlw, psrld, psrlq, psraw, psrad, psllw, pslld, psllq,
        psrldq, pslldq
    case paddb, paddw, paddd, paddq, psubb, psubw, psubd, psubq, paddsb, paddsw, paddusb, paddusw, psubsb, psubsw,
        psubusb, psubusw
    case pmullw, pmulhw, pmulhuw, pmuludq, pmaddwd, psadbw, pavgb, pavgw, pminub, pmaxub, pminsw, pmaxsw, pand, pandn,
        por, pxor
    case pshufd, pshufhw, pshuflw, pshufw, pextrw, pinsrw, pshufb, phaddw, phaddd, phaddsw, pmaddubsw, phsubw, phsubd,
        phsubsw
    case psignb, psignw, psignd, pmulhrsw, pabsb, pabsw, pabsd, palignr, pmuldq, pcmpeqq, packusdw, pminsb, pminsd,
        pminuw, pminud
    case pmaxsb, pmaxsd, pmaxuw, pmaxud, pmulld, phminposuw, pmovsxbw, pmovsxbd, pmovsxbq, pmovsxwd, pmovsxwq, pmovsxdq
    case pmovzxbw, pmovzxbd, pmovzxbq, pmovzxwd, pmovzxwq, pmovzxdq, pcmpgtq, ptest, pextrb, pextrd, pextrq, extractps
    case pinsrb, pinsrd, pinsrq, insertps, mpsadbw, pblendw, pblendvb, pcmpestri, pcmpestrm, pcmpistri, pcmpistrm
    // Floating point
    case addps, addpd, addss, addsd, mulps, mulpd, mulss, mulsd, subps, subpd, subss, subsd, divps, divpd, divss, divsd
    case minps, minpd, minss, minsd, maxps, maxpd, maxss, maxsd, sqrtps, sqrtpd, sqrtss, sqrtsd, rsqrtps, rsqrtss,
        rcpps, rcpss
    case andps, andpd, andnps, andnpd, orps, orpd, xorps, xorpd, unpcklps, unpcklpd, unpckhps, unpckhpd, shufps, shufpd
    case cmpps, cmppd, cmpss, cmpsd, comiss, comisd, ucomiss, ucomisd, haddps, haddpd, hsubps, hsubpd, addsubps,
        addsubpd
    case cvtps2pd, cvtpd2ps, cvtss2sd, cvtsd2ss, cvtdq2ps, cvtps2dq, cvttps2dq, cvtdq2pd, cvttpd2dq, cvtpd2dq
    case cvtsi2ss, cvtsi2sd, cvtss2si, cvttss2si, cvtsd2si, cvttsd2si, cvtpi2ps, cvtpi2pd, cvtps2pi, cvttps2pi,
        cvtpd2pi, cvttpd2pi
    case roundps, roundpd, roundss, roundsd, dpps, dppd, blendps, blendpd, blendvps, blendvpd
    // AES, PCLMULQDQ, SHA
    case aesenc, aesenclast, aesdec, aesdeclast, aesimc, aeskeygenassist, pclmulqdq
    case sha1nexte, sha1msg1, sha1msg2, sha1rnds4, sha256rnds2, sha256msg1, sha256msg2
}
