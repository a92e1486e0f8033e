; Integer, memory and branches, as compiled code mixes them: of a turn's 29 instructions, with
; the loop's two, 6 read and 5 write memory, and 4 or 5 are branches.
%include "long.inc"
per_turn equ 29
%macro SETUP 0
%endmacro
%macro LEAVES 0
leaf:
    mov eax, [rsi + 64]
    rol eax, 5
    add [rdi + 64], eax
    ret
%endmacro
%macro TURN 0
    mov eax, [rsi + rcx * 4]
    add eax, edx
    xor edx, eax
    shl edx, 3
    lea rbx, [rax + rdx * 2 + 7]
    mov [rdi + rcx * 4], ebx
    test cl, 1
    jz %%even
    add r8, rbx
    sub r9d, eax
    jmp short %%join
%%even:                         ; as many instructions as the other way
    xor r8d, eax
    add r9, 3
    mov r10, r8
%%join:
    call leaf
    movzx r12d, byte [rsi + rcx]
    imul r12d, eax, 13
    push rbx
    cmp r12d, r8d
    cmova r11d, r12d
    pop r13
    shr r13, 7
    and r11d, 0xff
    mov [rdi + r11 * 8 + 0x4000], r13
    inc ecx
    and ecx, 1023
%endmacro
IMAGE
