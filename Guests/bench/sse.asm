; SSE and SSE2: packed and scalar, single and double, integers, shuffles, conversions, comparisons. 26 instructions a turn, two of
; them the loop's.
%include "long.inc"
per_turn equ 26
%macro SETUP 0
    mov eax, 3
    cvtsi2sd xmm15, eax
    sqrtsd xmm15, xmm15         ; 1.732...
    movapd xmm14, xmm15
    unpcklpd xmm14, xmm14
    cvtpd2ps xmm13, xmm14
    movlhps xmm13, xmm13
    movapd xmm0, xmm14
    movaps xmm1, xmm13
    pxor xmm2, xmm2
    pcmpeqd xmm3, xmm3
%endmacro
%macro LEAVES 0
%endmacro
%macro TURN 0
    movaps xmm4, [rsi + 16]
    paddd xmm4, xmm3
    pxor xmm2, xmm4
    pshufd xmm5, xmm2, 0x1b
    punpcklwd xmm5, xmm4
    pmuludq xmm5, xmm3
    psrlq xmm5, 3
    movdqu [rdi + 33], xmm5
    addps xmm1, xmm13
    mulps xmm1, xmm13
    shufps xmm1, xmm1, 0x4e
    minps xmm1, xmm13
    movaps [rdi + 64], xmm1
    movsd xmm6, [rdi + 64]
    addpd xmm0, xmm14
    divsd xmm0, xmm15
    mulsd xmm0, xmm15
    subpd xmm0, xmm14
    cvttsd2si rax, xmm0
    cvtsi2sd xmm7, rax
    ucomisd xmm7, xmm15
    sqrtsd xmm7, xmm15
    movmskps edx, xmm1
    movq r8, xmm5
%endmacro
IMAGE
