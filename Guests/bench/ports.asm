; One port access and a loop around it: ACCESS is 1 for OUT 0x80, 2 for IN 0x61, 3 for OUT 0x3f8. What is counted is accesses.
%include "long.inc"
per_turn equ 1
%macro SETUP 0
    mov edx, 0x3f8
%endmacro
%macro LEAVES 0
%endmacro
%macro TURN 0
%if ACCESS == 1
    out 0x80, al
%elif ACCESS == 2
    in al, 0x61
%else
    out dx, al
%endif
%endmacro
IMAGE
