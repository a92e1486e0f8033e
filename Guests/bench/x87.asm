; x87: arithmetic on the stack, loads and stores of each format, comparisons, constants, a root. 22 instructions a turn, two of
; them the loop's.
%include "long.inc"
per_turn equ 22
%macro SETUP 0
    fninit
    fldpi
    fstp qword [rsi]
    mov dword [rsi + 16], 12345
%endmacro
%macro LEAVES 0
%endmacro
%macro TURN 0
    fld qword [rsi]
    fld1
    fadd st0, st1
    fmul st0, st1
    fxch st1
    fsub st0, st1
    fdiv qword [rsi]
    fabs
    fsqrt
    fild dword [rsi + 16]
    fmulp st1, st0
    fst dword [rdi]
    fcomi st0, st1
    fchs
    faddp st1, st0
    fld st0
    fstp tword [rdi + 16]
    fistp dword [rdi + 32]
    fnstcw [rdi + 40]
    fnstsw ax
%endmacro
IMAGE
