; A boot sector for a PC with PCI: between marks, what `scripts/bench_pc.py` times. A mark is a byte 1 on COM1; the next piece begins when one has come back.
;
;     SeaBIOS until here
;     10,000 blocks of code are run, so that they are decoded
;     FLIPS times PAM of 0xd0000 goes from PCI to RAM or back (82441FX, device 0, register 0x5c)
;     FLIPS times the VGA's frame buffer moves (device 2, register 0x10)
;     SECTORS sectors are read by INT 13h, which SeaBIOS does word by word
    bits 16
    org 0x7c00
    cpu 386

start:
    jmp 0:entry
entry:
    xor ax, ax
    mov ds, ax
    mov ss, ax
    mov sp, 0x7c00
    mov [drive], dl
    call mark

    mov ax, 0x1000
    mov es, ax
    xor di, di
    mov cx, 10000
.fill:
    mov eax, 0x909002eb     ; jmp over the next two
    stosd
    loop .fill
    mov byte [es:di], 0xcb  ; retf
    call 0x1000:0
    call mark

    mov ecx, FLIPS
    xor bl, bl
.flip:
    mov eax, 0x8000005c
    mov dx, 0xcf8
    out dx, eax
    xor bl, 0x33
    mov al, bl
    mov dx, 0xcfc
    out dx, al
    dec ecx
    jnz .flip
    call mark

    mov eax, 0x80001010
    mov dx, 0xcf8
    out dx, eax
    mov dx, 0xcfc
    in eax, dx
    mov ebx, eax
    mov ecx, FLIPS
.move:
    xor ebx, 0x01000000
    mov eax, 0x80001010
    mov dx, 0xcf8
    out dx, eax
    mov eax, ebx
    mov dx, 0xcfc
    out dx, eax
    dec ecx
    jnz .move
    call mark

    mov cx, SECTORS / 64
.read:
    push cx
    mov ah, 0x42
    mov dl, [drive]
    mov si, packet
    int 0x13
    pop cx
    jc failed
    add dword [packet + 8], 64
    loop .read
    call mark
    hlt

failed:
    mov al, 2
    jmp mark.say

mark:
    mov al, 1
.say:
    push ax
    mov dx, 0x3fd
.busy:
    in al, dx
    test al, 0x20
    jz .busy
    pop ax
    mov dx, 0x3f8
    out dx, al
    mov dx, 0x3fd
.wait:
    in al, dx
    test al, 1
    jz .wait
    mov dx, 0x3f8
    in al, dx
    ret

    align 4
packet:
    db 16, 0
    dw 64, 0, 0x2000
    dq 0
drive:
    db 0
    times 510 - ($ - $$) db 0
    dw 0xaa55
