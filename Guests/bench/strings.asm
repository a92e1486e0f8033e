; String instructions with a repeat prefix: a fifth of each turn's elements each is moved by bytes, moved by quadwords, stored by
; doublewords, searched and compared. What is counted is elements.
%include "long.inc"
per_turn equ 5 * 1000
%macro SETUP 0
%endmacro
%macro LEAVES 0
%endmacro
%macro TURN 0
    mov esi, 0x100001
    mov edi, 0x200003
    mov ecx, 1000
    rep movsb
    mov esi, 0x110000
    mov edi, 0x210000
    mov ecx, 1000
    rep movsq
    mov edi, 0x220000
    mov ecx, 1000
    mov eax, ebp
    rep stosd
    mov edi, 0x230000           ; zeros, and a search for what is not there
    mov ecx, 1000
    mov al, 1
    repne scasb
    mov esi, 0x240000           ; both zeros
    mov edi, 0x250000
    mov ecx, 1000
    repe cmpsb
%endmacro
IMAGE
