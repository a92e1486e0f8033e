/* backplane/pci.h - one function of a PCI bus, for devices in C: what PCIKit is for those in Swift.
 *
 * Inline functions over plugin.h, in the plugin's own library: no part of the ABI, and nothing that a plugin must use. It keeps configuration
 * space, claims and maps what the base address registers decode, and drives the interrupt pin. SPDX-License-Identifier: Apache-2.0
 *
 *     typedef struct device { bp_pci_function pci; ... } device;      the first member: bus functions find it by the instance's `self`
 *     static const bp_slot bus_slot = { .name = "bus", .interface = "pci/1", .client = &bp_pci_client_functions, ... };
 *
 *     create:   bp_pci_init, then bp_pci_registers, bp_pci_region, bp_pci_capability, bp_pci_define
 *     connect:  bp_pci_connect             reset:  bp_pci_reset
 *     save:     bp_pci_save                load:   bp_pci_load, and where all is good bp_pci_take
 *
 * The class's library needs minor 4. "6.2.5" and the like: sections of the PCI Local Bus Specification 3.0. */
#ifndef BACKPLANE_PCI_H
#define BACKPLANE_PCI_H

#include <backplane/plugin.h>
#include <string.h>

/* Registers of the type 0 header (6.1), and bits of Command (6.2.2). */
enum {
    BP_PCI_VENDOR = 0x00, BP_PCI_DEVICE = 0x02, BP_PCI_COMMAND = 0x04, BP_PCI_STATUS = 0x06, BP_PCI_REVISION = 0x08, BP_PCI_BAR0 = 0x10,
    BP_PCI_SUBSYSTEM_VENDOR = 0x2C, BP_PCI_SUBSYSTEM = 0x2E, BP_PCI_ROM = 0x30, BP_PCI_CAPABILITIES = 0x34, BP_PCI_INTERRUPT_LINE = 0x3C,
    BP_PCI_INTERRUPT_PIN = 0x3D, BP_PCI_FIRST_FREE = 0x40
};
enum {
    BP_PCI_COMMAND_IO = 1 << 0, BP_PCI_COMMAND_MEMORY = 1 << 1, BP_PCI_COMMAND_MASTER = 1 << 2, BP_PCI_COMMAND_INTX_OFF = 1 << 10,
    BP_PCI_COMMAND_WRITABLE = 0x0547, BP_PCI_STATUS_INTERRUPT = 1 << 3, BP_PCI_STATUS_CAPABILITIES = 1 << 4
};
/* What a base address register decodes (6.2.5.1). Of 64-bit memory it takes the next register too. */
enum { BP_PCI_IO = 0x1, BP_PCI_MEMORY = 0x0, BP_PCI_MEMORY_64 = 0x4, BP_PCI_PREFETCHABLE = 0x8 };

typedef struct bp_pci_window {
    uint64_t length;    /* bytes, a power of two; 0: there is none */
    uint32_t kind;      /* BP_PCI_IO ... */
    bp_claim claim;     /* its registers */
    bp_id region;       /* or its memory */
    bp_id made;         /* the claim or the mapping; 0: none yet */
} bp_pci_window;

typedef struct bp_pci_function {
    const bp_host *host;
    const bp_io_1 *io;
    const bp_memory_1 *memory;
    bp_peer bus;
    bp_pci_window windows[7];   /* base address registers 0 to 5, and the expansion ROM */
    uint8_t config[256], reset[256], writable[256], clearable[256];
    uint32_t next_capability, last_capability;
    uint8_t pending;            /* the device has an interrupt to deliver */
    uint8_t driven;             /* the level of its pin; 2: to be said again */
    void (*changed)(void *self); /* may be set after bp_pci_init: the guest has changed configuration space */
} bp_pci_function;

typedef struct bp_pci_identity {
    uint16_t vendor, device, subsystem_vendor, subsystem;
    uint32_t class_code;        /* base class, sub-class, programming interface: 0x020000 is an Ethernet controller */
    uint8_t revision;
    uint8_t interrupt_pin;      /* 1 to 4 for INTA# to INTD#; 0: none */
} bp_pci_identity;

static inline uint32_t bp_pci_get(const uint8_t *bytes, uint32_t offset, uint32_t width) {
    uint32_t value = 0;
    for (uint32_t i = 0; i < width && i < 4 && offset < 256 - i; i++) value |= (uint32_t)bytes[offset + i] << (8 * i);
    return value;
}
static inline void bp_pci_put(uint8_t *bytes, uint32_t offset, uint32_t width, uint32_t value) {
    for (uint32_t i = 0; i < width && i < 4 && offset < 256 - i; i++) bytes[offset + i] = (uint8_t)(value >> (8 * i));
}

/* ---- Making: in create ------------------------------------------------------------------------------------------- */

static inline void bp_pci_init(bp_pci_function *f, const bp_host *host, const bp_pci_identity *who) {
    memset(f, 0, sizeof *f);
    f->host = host;
    f->driven = 2;
    f->next_capability = BP_PCI_FIRST_FREE;
    bp_pci_put(f->reset, BP_PCI_VENDOR, 2, who->vendor);
    bp_pci_put(f->reset, BP_PCI_DEVICE, 2, who->device);
    bp_pci_put(f->reset, BP_PCI_STATUS, 2, 1 << 9); /* medium DEVSEL */
    bp_pci_put(f->reset, BP_PCI_REVISION, 4, who->revision | who->class_code << 8);
    bp_pci_put(f->reset, BP_PCI_SUBSYSTEM_VENDOR, 2, who->subsystem_vendor);
    bp_pci_put(f->reset, BP_PCI_SUBSYSTEM, 2, who->subsystem);
    bp_pci_put(f->reset, BP_PCI_INTERRUPT_PIN, 1, who->interrupt_pin <= 4 ? who->interrupt_pin : 0);
    bp_pci_put(f->writable, BP_PCI_COMMAND, 2, BP_PCI_COMMAND_WRITABLE);
    bp_pci_put(f->clearable, BP_PCI_STATUS, 2, 0xF900);
    bp_pci_put(f->writable, 0x0C, 2, 0xFFFF); /* cache line size, latency timer */
    bp_pci_put(f->writable, BP_PCI_INTERRUPT_LINE, 1, 0xFF);
    memcpy(f->config, f->reset, sizeof f->config);
}

/* A window of `length` bytes: a power of two, of 4 to 256 for I/O, of at least 16 for registers in memory, of at least 4096 for a region. */
static inline bp_status bp_pci_window_at(bp_pci_function *f, uint32_t index, uint32_t kind, uint64_t length) {
    int wide = kind & BP_PCI_MEMORY_64, io = kind & BP_PCI_IO;
    if ((io ? kind != BP_PCI_IO : kind & ~(uint32_t)(BP_PCI_MEMORY_64 | BP_PCI_PREFETCHABLE)) || index > (wide ? 4u : 5u) || !length || (length & (length - 1)) || (io ? length < 4 || length > 256 : length < 16) ||
        (!wide && length > 1u << 31))
        return bp_fail(f->host, BP_INVALID, "base address register %u cannot be so", index);
    for (uint32_t i = 0; i < 6; i++) {
        const bp_pci_window *other = &f->windows[i];
        if (other->length && i <= index + (wide != 0) && index <= i + ((other->kind & BP_PCI_MEMORY_64) != 0))
            return bp_fail(f->host, BP_INVALID, "base address register %u is taken", index);
    }
    f->windows[index].length = length;
    f->windows[index].kind = kind;
    uint64_t mask = ~(length - 1);
    bp_pci_put(f->reset, BP_PCI_BAR0 + 4 * index, 4, kind);
    bp_pci_put(f->writable, BP_PCI_BAR0 + 4 * index, 4, (uint32_t)mask & (io ? ~3u : ~15u));
    if (wide) bp_pci_put(f->writable, BP_PCI_BAR0 + 4 * index + 4, 4, (uint32_t)(mask >> 32));
    memcpy(f->config, f->reset, sizeof f->config);
    return BP_OK;
}

/* Base address register `index` decodes the device's registers: `claim` without space, base and length. */
static inline bp_status bp_pci_registers(bp_pci_function *f, uint32_t index, uint32_t kind, uint64_t length, const bp_claim *claim) {
    bp_status status = bp_pci_window_at(f, index, kind, length);
    if (status == BP_OK) f->windows[index].claim = *claim;
    return status;
}

/* Base address register `index` decodes a region of `length` bytes (memory->region). */
static inline bp_status bp_pci_region(bp_pci_function *f, uint32_t index, uint32_t kind, uint64_t length, bp_id region) {
    if ((kind & BP_PCI_IO) || length < 4096) return bp_fail(f->host, BP_INVALID, "a region is memory, of 4096 bytes at least");
    bp_status status = bp_pci_window_at(f, index, kind, length);
    if (status == BP_OK) f->windows[index].region = region;
    return status;
}

/* The expansion ROM (6.2.5.2): a region of a power of two of bytes, 4 KiB to 16 MiB. */
static inline bp_status bp_pci_rom(bp_pci_function *f, uint32_t length, bp_id region) {
    if (length < 4096 || length > 1 << 24 || (length & (length - 1)))
        return bp_fail(f->host, BP_INVALID, "an expansion ROM of %u bytes cannot be", length);
    f->windows[6].length = length;
    f->windows[6].region = region;
    bp_pci_put(f->writable, BP_PCI_ROM, 4, ~(length - 1) | 1);
    return BP_OK;
}

/* A register of the device's own of 1 to 4 bytes, at 0x40 or above: reset value, bits that the guest writes, bits that it clears by writing 1. All other
 * bits keep their reset value: what the device itself changes lies behind a base address register. */
static inline bp_status bp_pci_define(bp_pci_function *f, uint32_t offset, uint32_t width, uint32_t reset, uint32_t writable, uint32_t clearable) {
    if (offset < BP_PCI_FIRST_FREE || offset > 255 || !width || width > 4 || width > 256 - offset)
        return bp_fail(f->host, BP_INVALID, "a register of %u bytes at 0x%02x cannot be", width, offset);
    if (f->next_capability < offset + width && offset >= f->next_capability) f->next_capability = (offset + width + 3) & ~3u;
    bp_pci_put(f->reset, offset, width, reset);
    bp_pci_put(f->writable, offset, width, writable);
    bp_pci_put(f->clearable, offset, width, clearable);
    memcpy(f->config, f->reset, sizeof f->config);
    return BP_OK;
}

/* One more capability (6.7), of `length` bytes with the two of the list, behind all that was defined; bp_pci_define, from its third byte on, says what is
 * in it. Its offset; 0: no room. */
static inline uint32_t bp_pci_capability(bp_pci_function *f, uint8_t id, uint32_t length) {
    uint32_t offset = f->next_capability;
    if (length < 2 || length > 256 || offset + length > 256) return 0;
    f->next_capability = (offset + length + 3) & ~3u;
    uint32_t link = f->last_capability + 1;
    if (!f->last_capability) link = BP_PCI_CAPABILITIES;
    f->reset[link] = (uint8_t)offset;
    f->reset[BP_PCI_STATUS] |= BP_PCI_STATUS_CAPABILITIES;
    f->last_capability = offset;
    f->reset[offset] = id;
    memcpy(f->config, f->reset, sizeof f->config);
    return offset;
}

/* ---- Interrupt and memory -------------------------------------------------------------------------------------------- */

static inline uint32_t bp_pci_command(const bp_pci_function *f) { return bp_pci_get(f->config, BP_PCI_COMMAND, 2); }

static inline void bp_pci_settle(bp_pci_function *f) {
    const bp_pci *bus = (const bp_pci *)f->bus.functions;
    uint32_t pin = f->config[BP_PCI_INTERRUPT_PIN];
    uint8_t level = f->pending && !(bp_pci_command(f) & BP_PCI_COMMAND_INTX_OFF);
    if (!bus || !pin || level == f->driven) return;
    f->driven = level;
    bus->intx(f->bus.self, f->bus.index, pin, level);
}

/* The device has an interrupt to deliver (1), or none any more (0). A level that has not changed costs nothing. */
static inline void bp_pci_interrupt(bp_pci_function *f, int pending) {
    f->pending = pending != 0;
    bp_pci_settle(f);
}

/* DMA: BP_REFUSED while the guest does not let the function master the bus. */
static inline bp_status bp_pci_dma_read(bp_pci_function *f, uint64_t address, void *bytes, uint64_t length) {
    return bp_pci_command(f) & BP_PCI_COMMAND_MASTER ? f->memory->read(f->host, address, bytes, length) : BP_REFUSED;
}
static inline bp_status bp_pci_dma_write(bp_pci_function *f, uint64_t address, const void *bytes, uint64_t length) {
    return bp_pci_command(f) & BP_PCI_COMMAND_MASTER ? f->memory->write(f->host, address, bytes, length) : BP_REFUSED;
}

/* ---- Windows ----------------------------------------------------------------------------------------------------------- */

/* Where window `index` answers now; 0: nowhere. Address 0 is none, nor is what reaches the end of its space: the size is asked for by writing
 * ones, with decoding on (6.2.5.1). */
static inline uint64_t bp_pci_address(const bp_pci_function *f, uint32_t index) {
    if (index > 6) return 0;
    const bp_pci_window *w = &f->windows[index];
    int rom = index == 6, io = w->kind & BP_PCI_IO;
    uint32_t low = bp_pci_get(f->config, BP_PCI_BAR0 + (rom ? 0x20 : 4 * index), 4);
    uint64_t address = low & (rom ? ~0x7FFu : io ? ~3u : ~15u);
    if (!w->length || !(bp_pci_command(f) & (io ? BP_PCI_COMMAND_IO : BP_PCI_COMMAND_MEMORY)) || (rom && !(low & 1))) return 0;
    if (w->kind & BP_PCI_MEMORY_64) address |= (uint64_t)bp_pci_get(f->config, BP_PCI_BAR0 + 4 * index + 4, 4) << 32;
    uint64_t end = address + w->length;
    if (io) return end <= 0x10000 ? address : 0;
    return end > address && end != (uint64_t)1 << 32 ? address : 0;
}

static inline void bp_pci_update(bp_pci_function *f) {
    for (uint32_t i = 0; i < 7; i++) {
        bp_pci_window *w = &f->windows[i];
        uint64_t address = bp_pci_address(f, i);
        if (!w->length) continue;
        if (w->region) {
            if (address && !w->made) f->memory->map(f->host, w->region, 0, address, w->length, 0, &w->made);
            else if (address) f->memory->move(f->host, w->made, address);
            if (w->made) f->memory->direct(f->host, w->made, address ? BP_MAP_READ | BP_MAP_WRITE : 0);
        } else if (address && w->made) {
            f->io->move(f->host, w->made, address);
        } else if (address) {
            w->claim.size = sizeof w->claim;
            w->claim.space = w->kind & BP_PCI_IO ? BP_SPACE_PORT : BP_SPACE_MEMORY;
            w->claim.base = address;
            w->claim.length = w->length;
            f->io->claim(f->host, &w->claim, &w->made);
        } else if (w->made) {
            f->io->release(f->host, w->made);
            w->made = 0;
        }
    }
}

/* ---- Lifecycle ---------------------------------------------------------------------------------------------------------- */

static inline bp_status bp_pci_connect(bp_pci_function *f, const char *slot) {
    const bp_wiring_1 *wiring = (const bp_wiring_1 *)f->host->service(f->host, "wiring/1");
    f->io = (const bp_io_1 *)f->host->service(f->host, "io/1");
    f->memory = (const bp_memory_1 *)f->host->service(f->host, "memory/1");
    if (!wiring || !f->io || !f->memory || f->memory->size <= offsetof(bp_memory_1, direct))
        return bp_fail(f->host, BP_UNSUPPORTED, "this host cannot have PCI devices");
    f->bus.size = sizeof f->bus;
    bp_status status = wiring->peer(f->host, slot, 0, &f->bus);
    return status == BP_NOT_FOUND ? BP_OK : status; /* an optional slot that is not wired */
}

static inline void bp_pci_reset(bp_pci_function *f) {
    memcpy(f->config, f->reset, sizeof f->config);
    f->pending = 0;
    bp_pci_update(f);
    bp_pci_settle(f);
}

/* ---- Configuration space ------------------------------------------------------------------------------------------------ */

static inline bp_status bp_pci_config_read(void *self, uint32_t index, uint32_t offset, uint32_t width, uint32_t flags, uint32_t *out) {
    const bp_pci_function *f = (const bp_pci_function *)self;
    (void)index, (void)flags; /* no read has a side effect */
    if (!width || width > 4 || offset > 256 - width) return BP_INVALID; /* reads as ones */
    uint32_t value = bp_pci_get(f->config, offset, width);
    if (f->pending && offset <= BP_PCI_STATUS && BP_PCI_STATUS < offset + width)
        value |= (uint32_t)BP_PCI_STATUS_INTERRUPT << (8 * (BP_PCI_STATUS - offset));
    *out = value;
    return BP_OK;
}

static inline bp_status bp_pci_config_write(void *self, uint32_t index, uint32_t offset, uint32_t width, uint32_t value) {
    bp_pci_function *f = (bp_pci_function *)self;
    (void)index;
    if (!width || width > 4 || offset > 256 - width) return BP_INVALID;
    uint32_t before = bp_pci_get(f->config, offset, width);
    for (uint32_t i = 0; i < width; i++) {
        uint8_t byte = (uint8_t)(value >> (8 * i)), *old = &f->config[offset + i];
        *old = (uint8_t)((*old & ~f->writable[offset + i]) | (byte & f->writable[offset + i]));
        *old &= (uint8_t)~(byte & f->clearable[offset + i]);
    }
    if (bp_pci_get(f->config, offset, width) == before) return BP_OK;
    bp_pci_update(f);
    bp_pci_settle(f);
    if (f->changed) f->changed(self);
    return BP_OK;
}

/* RST#: configuration space only. A device with registers of its own has a bus_reset that resets these too. */
static inline void bp_pci_bus_reset(void *self, uint32_t index) {
    (void)index;
    bp_pci_reset((bp_pci_function *)self);
}

/* The client's table of a slot of "pci/1". A device with its own bus_reset makes such a table of its own. */
static const bp_pci_client bp_pci_client_functions = {
    sizeof(bp_pci_client), 0, bp_pci_config_read, bp_pci_config_write, bp_pci_bus_reset,
};

/* ---- State --------------------------------------------------------------------------------------------------------------- */

static inline bp_status bp_pci_save(const bp_pci_function *f, const bp_state_1 *fields, bp_state *state) {
    return fields->put_bytes(state, "configuration", f->config, sizeof f->config, 0);
}

/* Reads what bp_pci_save wrote into `config` and changes nothing; what no guest can have made is refused. */
static inline bp_status bp_pci_load(const bp_pci_function *f, const bp_state_1 *fields, bp_state *state, uint8_t config[256]) {
    const void *bytes;
    uint64_t length;
    bp_status status = fields->get_bytes(state, "configuration", &bytes, &length);
    if (status != BP_OK) return bp_fail(f->host, status, "the state has no bytes \"configuration\"");
    if (length != 256) return bp_fail(f->host, BP_INVALID, "configuration space of %llu bytes", (unsigned long long)length);
    memcpy(config, bytes, 256);
    for (uint32_t i = 0; i < 256; i++)
        if ((config[i] ^ f->reset[i]) & ~(f->writable[i] | f->clearable[i]))
            return bp_fail(f->host, BP_INVALID, "bits of register 0x%02x cannot be so", i);
    return BP_OK;
}

/* Takes over what bp_pci_load has read. `pending`: whether the device has an interrupt to deliver. */
static inline void bp_pci_take(bp_pci_function *f, const uint8_t config[256], int pending) {
    memcpy(f->config, config, sizeof f->config);
    f->pending = pending != 0;
    f->driven = 2;
    bp_pci_update(f);
    bp_pci_settle(f);
}

#endif
