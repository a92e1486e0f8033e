/* The only assembly of the tour: multiboot header, entry, interrupt stubs, the guard that an exception
 * returns to, and the four memory functions that compilers expect. AT&T syntax, clang's own assembler.
 * Source: Multiboot Specification 0.6.96, section 3; Intel SDM volume 3, chapter 6. */

        .set    CODE, 0x08
        .set    DATA, 0x10
        .set    VECTORS, 48                     /* 32 exceptions and 16 IRQ lines */
        .set    STUB_SIZE, 16
        .set    PUSHES_ERROR_CODE, 0x60227D00   /* vectors 8, 10-14, 17, 21, 29 and 30, a bit each */

/* --- Multiboot header: an ELF32 image needs no address fields --- */

        .set    MULTIBOOT_MAGIC, 0x1BADB002
        .set    MULTIBOOT_FLAGS, 0x00000003     /* modules on page boundaries, memory information wanted */

        .section .multiboot, "a"
        .balign 4
        .long   MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

/* --- Entry: EAX is the loader's magic, EBX the address of its information --- */

        .section .text.entry, "ax"
        .globl  _start
_start:
        cli
        cld
        movl    %eax, %esi
        movl    %ebx, %edi
        lgdt    gdt_pointer
        ljmp    $CODE, $1f
1:      movw    $DATA, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %fs
        movw    %ax, %gs
        movw    %ax, %ss
        movl    $stack_top, %esp
        xorl    %ebp, %ebp
        pushl   $0
        popfl
        call    fill_idt
        lidt    idt_pointer
        subl    $8, %esp
        pushl   %edi
        pushl   %esi
        call    tour_main                       /* tour_main(magic, information): never returns */
2:      cli
        hlt
        jmp     2b

/* Stubs are STUB_SIZE bytes each, so a gate's address follows from its vector. */
fill_idt:
        movl    $stubs, %eax
        movl    $idt, %ebx
        movl    $VECTORS, %ecx
1:      movw    %ax, (%ebx)
        movw    $CODE, 2(%ebx)
        movw    $0x8E00, 4(%ebx)                /* present, ring 0, 32-bit interrupt gate */
        movl    %eax, %edx
        shrl    $16, %edx
        movw    %dx, 6(%ebx)
        addl    $STUB_SIZE, %eax
        addl    $8, %ebx
        decl    %ecx
        jnz     1b
        ret

/* --- Interrupts: every stub leaves vector and error code for one common path --- */

        .section .text.interrupts, "ax"
        .balign STUB_SIZE
stubs:
        .set    vector, 0
        .rept   VECTORS
        .balign STUB_SIZE
        .if     ((PUSHES_ERROR_CODE >> vector) & 1) == 0
        pushl   $0
        .endif
        pushl   $vector
        jmp     interrupt
        .set    vector, vector + 1
        .endr

interrupt:
        pushal
        cld
        movl    %esp, %eax
        pushl   %eax
        call    tour_interrupt                  /* tour_interrupt(frame address): 0 resume, 1 leave the guarded call */
        addl    $4, %esp
        testl   %eax, %eax
        jnz     unwind
        /* Only an interrupt gets here, so interrupts were on. Not by IRET: KVM's instruction emulator has none for
         * protected mode, and there are hosts that run all of ring 0 in it. STI holds interrupts until after the RET.
         * EFLAGS moves to the place of CS and EIP to that of EFLAGS, which leaves the stack as it was. */
        movl    48(%esp), %eax                  /* EFLAGS, without IF */
        andl    $~0x200, %eax
        movl    40(%esp), %ecx                  /* EIP */
        movl    %eax, 44(%esp)
        movl    %ecx, 48(%esp)
        popal
        addl    $12, %esp
        popfl
        sti
        ret

/* int32_t tour_guard(void (*body)(void *), void *context): 0 if body returned, 1 if an exception ended it. */
        .globl  tour_guard
tour_guard:
        pushl   %ebp
        pushl   %ebx
        pushl   %esi
        pushl   %edi
        movl    20(%esp), %eax
        movl    24(%esp), %ecx
        pushl   guard_stack
        movl    %esp, guard_stack
        subl    $8, %esp
        pushl   %ecx
        call    *%eax
        addl    $12, %esp
        xorl    %eax, %eax
leave_guard:
        popl    guard_stack
        popl    %edi
        popl    %esi
        popl    %ebx
        popl    %ebp
        ret

unwind:
        cmpl    $0, guard_stack
        je      1f
        movl    guard_stack, %esp
        movl    $1, %eax
        jmp     leave_guard
1:      cli
        hlt
        jmp     1b

/* --- What compiled code calls for copies and fills --- */

        .section .text.memory, "ax"
        .globl  memcpy, memmove, memset, memcmp
memmove:
        movl    4(%esp), %eax
        subl    8(%esp), %eax
        cmpl    12(%esp), %eax                  /* destination inside source: copy from the end */
        jae     memcpy
        pushl   %esi
        pushl   %edi
        movl    20(%esp), %ecx
        movl    12(%esp), %edi
        movl    16(%esp), %esi
        leal    -1(%edi,%ecx), %edi
        leal    -1(%esi,%ecx), %esi
        std
        rep movsb
        cld
        popl    %edi
        popl    %esi
        movl    4(%esp), %eax
        ret

memcpy:
        pushl   %esi
        pushl   %edi
        movl    12(%esp), %edi
        movl    16(%esp), %esi
        movl    20(%esp), %ecx
        rep movsb
        popl    %edi
        popl    %esi
        movl    4(%esp), %eax
        ret

memset:
        pushl   %edi
        movl    8(%esp), %edi
        movb    12(%esp), %al
        movl    16(%esp), %ecx
        rep stosb
        popl    %edi
        movl    4(%esp), %eax
        ret

memcmp:
        pushl   %esi
        pushl   %edi
        movl    12(%esp), %esi
        movl    16(%esp), %edi
        movl    20(%esp), %ecx
        xorl    %eax, %eax
        xorl    %edx, %edx                      /* sets ZF, for a count of 0 */
        repe cmpsb
        je      1f
        movzbl  -1(%esi), %eax
        movzbl  -1(%edi), %edx
        subl    %edx, %eax
1:      popl    %edi
        popl    %esi
        ret

/* --- Tables --- */

        .section .data.tables, "aw"
        .balign 8
gdt:    .quad   0
        .quad   0x00CF9A000000FFFF              /* CODE: flat, 32-bit, ring 0 */
        .quad   0x00CF92000000FFFF              /* DATA: flat, ring 0 */
gdt_pointer:
        .word   gdt_pointer - gdt - 1
        .long   gdt
        .balign 4
idt_pointer:
        .word   VECTORS * 8 - 1
        .long   idt

/* --- Zeroed by the loader --- */

        .section .bss, "aw", @nobits
        .balign 16
idt:    .skip   VECTORS * 8
guard_stack:
        .skip   4
        .balign 16
        .globl  tour_shared, tour_sector_memory
tour_shared:
        .skip   512 * 4
tour_sector_memory:
        .skip   9 * 512
        .balign 16
stack:  .skip   16 * 1024
stack_top:

        .section .note.GNU-stack, "", @progbits
