; A boot sector for a PC with a VGA at 00:02.0: what a screen costs, for `scripts/bench_screens.py`. It rests until a letter comes on COM1, does what that
; says, and answers with a mark, a byte 1:
;
;     t  text, 80 by 25
;     g  1024 by 768 in 32 bits, by DISPI
;     f  a frame of that in which every pixel is another than in the last one
;     p  WRITES bytes to planar memory (mode 12h), one by one
;     q  WRITES bytes to it by REP STOSW
    bits 16
    org 0x7c00
    cpu 386

WIDTH equ 1024
HEIGHT equ 768

start:
    jmp 0:entry
entry:
    cli
    xor ax, ax
    mov ds, ax
    mov ss, ax
    mov sp, 0x7c00
    mov word [4 * 0x0c], received
    mov word [4 * 0x0c + 2], ax
    mov dx, 0x3f9           ; IER: received data
    mov al, 1
    out dx, al
    mov dx, 0x3fc           ; MCR: DTR, RTS, OUT2
    mov al, 0x0b
    out dx, al
    in al, 0x21
    and al, 0xef
    out 0x21, al

    sti
    call mark

next:
    cli
    mov al, [letter]
    mov byte [letter], 0
    test al, al
    jnz .do
    sti
    hlt
    jmp next
.do:
    sti
    mov bx, done
    push bx
    cmp al, 't'
    je text
    cmp al, 'g'
    je graphics
    cmp al, 'f'
    je frame
    cmp al, 'p'
    je planar
    cmp al, 'q'
    je fill
    ret
done:
    call mark
    jmp next

text:
    mov ax, 3
    int 0x10
    ret

graphics:
    mov si, modes
    mov cx, 5
.set:
    mov dx, 0x1ce
    lodsw
    out dx, ax
    inc dx
    lodsw
    out dx, ax
    loop .set
    mov eax, 0x80001010     ; 00:02.0, BAR 0
    mov dx, 0xcf8
    out dx, eax
    mov dx, 0xcfc
    in eax, dx
    and al, 0xf0
    mov [buffer], eax
    ret

; Red: x ^ y, green: x, blue: y, and all of them one more in each frame.
frame:
    cli
    lgdt [table]            ; 4 GiB by FS ("unreal" mode); firmware may have its own
    mov eax, cr0
    or al, 1
    mov cr0, eax
    mov bx, 8
    mov fs, bx
    and al, 0xfe
    mov cr0, eax
    mov edi, [buffer]
    xor ebx, ebx            ; y
.line:
    xor ecx, ecx            ; x
.pixel:
    mov eax, ecx
    xor al, bl
    add al, [count]
    shl eax, 8
    mov al, cl
    add al, [count]
    shl eax, 8
    mov al, bl
    add al, [count]
    and eax, 0xffffff
    mov [fs:edi], eax
    add edi, 4
    inc cx
    cmp cx, WIDTH
    jne .pixel
    inc bx
    cmp bx, HEIGHT
    jne .line
    inc byte [count]
    sti
    ret

planar:
    call mode
.write:
    mov [es:di], al
    inc al
    inc di
    dec ecx
    jnz .write
    ret

fill:
    call mode
    mov edx, ecx
    shr edx, 16
.block:
    mov cx, 0x8000
    rep stosw
    inc ax
    dec edx
    jnz .block
    ret

mode:
    mov ax, 0x12
    int 0x10
    mov ax, 0xa000
    mov es, ax
    xor di, di
    mov ecx, WRITES
    ret

mark:
    mov dx, 0x3fd
.busy:
    in al, dx
    test al, 0x20
    jz .busy
    mov dx, 0x3f8
    mov al, 1
    out dx, al
    ret

received:
    push ax
    push dx
    mov dx, 0x3f8
    in al, dx
    mov [letter], al
    mov al, 0x20
    out 0x20, al
    pop dx
    pop ax
    iret

modes:
    dw 4, 0, 1, WIDTH, 2, HEIGHT, 3, 32, 4, 0x41
    align 4
descriptors:
    dq 0
    dw 0xffff, 0, 0x9200, 0x00cf
table:
    dw 15
    dd descriptors
letter:
    db 0
count:
    db 0
buffer:
    dd 0
    times 510 - ($ - $$) db 0
    dw 0xaa55
