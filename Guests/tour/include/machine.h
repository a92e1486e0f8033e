/* What Swift cannot say: port instructions, interrupt flag, raw memory, and the symbols of entry.S and link.ld.
 * Everything here is inline, and addresses are integers, so that no pointer reaches the Swift side.
 * Each function that lets interrupts in clobbers memory, so that what a handler has changed is read again. */
#ifndef TOUR_MACHINE_H
#define TOUR_MACHINE_H

#include <stdint.h>

#define TOUR_INLINE static inline __attribute__((always_inline))

/* --- I/O ports --- */

TOUR_INLINE uint8_t port_in8(uint16_t port) {
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

TOUR_INLINE uint16_t port_in16(uint16_t port) {
    uint16_t value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

TOUR_INLINE uint32_t port_in32(uint16_t port) {
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

TOUR_INLINE void port_out8(uint16_t port, uint8_t value) {
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

TOUR_INLINE void port_out16(uint16_t port, uint16_t value) {
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

TOUR_INLINE void port_out32(uint16_t port, uint32_t value) {
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

/* `count` 16-bit words between a port and memory, as one string instruction. */
TOUR_INLINE void port_in_words(uint16_t port, uint32_t address, uint32_t count) {
    __asm__ volatile("rep insw" : "+D"(address), "+c"(count) : "d"(port) : "memory");
}

TOUR_INLINE void port_out_words(uint16_t port, uint32_t address, uint32_t count) {
    __asm__ volatile("rep outsw" : "+S"(address), "+c"(count) : "d"(port) : "memory");
}

/* --- CPU --- */

TOUR_INLINE void cpu_enable_interrupts(void) { __asm__ volatile("sti" ::: "memory"); }
TOUR_INLINE void cpu_disable_interrupts(void) { __asm__ volatile("cli" ::: "memory"); }

/* HLT, entered with interrupts off: STI holds them for one more instruction, so none is lost between the two. */
TOUR_INLINE void cpu_wait_for_interrupt(void) { __asm__ volatile("sti; hlt; cli" ::: "memory"); }

TOUR_INLINE void cpu_invalid_opcode(void) { __asm__ volatile("ud2" ::: "memory"); }

__attribute__((noreturn)) TOUR_INLINE void cpu_halt_forever(void) {
    for (;;) __asm__ volatile("cli; hlt" ::: "memory");
}

/* An exception without an IDT: the exception, the #GP and the double fault that follow end in a shutdown. */
TOUR_INLINE void cpu_triple_fault(void) {
    struct { uint16_t limit; uint32_t base; } __attribute__((packed)) none = {0, 0};
    __asm__ volatile("lidt %0; int3" : : "m"(none) : "memory");
}

/* --- Memory by physical address (no paging: linear is physical) --- */

TOUR_INLINE uint8_t memory_read8(uint32_t address) { return *(volatile uint8_t *)address; }
TOUR_INLINE uint16_t memory_read16(uint32_t address) { return *(volatile uint16_t *)address; }
TOUR_INLINE uint32_t memory_read32(uint32_t address) { return *(volatile uint32_t *)address; }
TOUR_INLINE void memory_write8(uint32_t address, uint8_t value) { *(volatile uint8_t *)address = value; }
TOUR_INLINE void memory_write16(uint32_t address, uint16_t value) { *(volatile uint16_t *)address = value; }
TOUR_INLINE void memory_write32(uint32_t address, uint32_t value) { *(volatile uint32_t *)address = value; }

/* --- entry.S and link.ld --- */

extern uint8_t tour_image_start[], tour_image_end[];
extern uint8_t tour_sector_memory[];
extern volatile uint32_t tour_shared[];

TOUR_INLINE uint32_t image_start(void) { return (uint32_t)tour_image_start; }
TOUR_INLINE uint32_t image_end(void) { return (uint32_t)tour_image_end; }

/* Room for 9 sectors of 512 bytes: see Buffer in Memory.swift. */
TOUR_INLINE uint32_t sector_memory(void) { return (uint32_t)tour_sector_memory; }

/* The words that interrupt handlers and the rest of the kernel share: see Shared.swift. */
TOUR_INLINE uint32_t shared_load(uint32_t index) { return tour_shared[index]; }
TOUR_INLINE void shared_store(uint32_t index, uint32_t value) { tour_shared[index] = value; }

/* Calls body(context). 0: it returned; 1: an exception ended it (tour_interrupt answered 1). */
int32_t tour_guard(void (*body)(void *), void *context);

#endif
