/* backplane/plugin.h - the Backplane plugin ABI, major 1, minor 10.
 *
 * This header is the reference: a plugin needs nothing else, and the bundled plugins use nothing else. C11, no variadic
 * function in any table, no type of any other language. SPDX-License-Identifier: Apache-2.0
 *
 * Rules that hold everywhere
 *  - Every struct starts with `size`, its sizeof in the header that its writer was built with. Fields are only appended.
 *    Whoever reads a struct reads no field beyond `size`. Reserved fields are zero. Before a call that fills in a struct
 *    (`out`) its owner sets `size`; the other end writes no byte beyond it, and leaves there how many it has filled in.
 *  - Text is UTF-8. `const char *` in a descriptor is NUL-terminated and lives as long as the library. Text with a length
 *    is borrowed for the call.
 *  - Contracts. Each function says when it may run:
 *      [locked]   the machine's lock is held; one callback of this machine runs at a time. A callback needs no lock of its own.
 *      [any]      from any thread, at any time between create and the end of destroy.
 *    Services without a mark are [locked]: they may be called only from a callback of the same instance, and none but log/1, host/1,
 *    memory->region and clock->timer in its create. Those that are "from connect on" may be called from the instance's own connect
 *    on; in destroy only what gives something back (release, unmap, cancel, unwatch, unwant...), and log/1.
 *    A call that this forbids is refused, and named in the log with its instance, service and reason; so is an argument that no
 *    author can have meant. Answers are BP_REFUSED, BP_INVALID and BP_NOT_FOUND; 0 where there is no status.
 *  - The host never enters an instance that is already on the call stack: such calls wait in a queue until its outermost
 *    callback returns (asynchronous ones), or answer BP_BUSY (synchronous ones).
 *  - No callback may block: other callbacks, and the guest's exits, wait for it. One that does not return is named by the
 *    watchdog and ends the process. Work that blocks belongs on a thread of the plugin's own, which comes back by
 *    `events->post`. Of an answer that is owed for as long - of a deferred access, a block request - only a line is written: the
 *    machine goes on, and the operator can take the instance off line.
 */
#ifndef BACKPLANE_PLUGIN_H
#define BACKPLANE_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_ABI_MAJOR 1
#define BP_ABI_MINOR 10

/* ---- Status ------------------------------------------------------------------------------------------------------ */

/* The result of a callback or of a service. A callback that answers BP_FAULT says why with `host->fail` before. */
typedef int32_t bp_status;
enum {
    BP_OK = 0,
    BP_NO_REGISTER = 1,  /* handler: the claim has no register here; the guest reads all ones, a write is dropped */
    BP_BAD_WIDTH = 2,    /* handler: not at this width; the guest reads all ones, a write is dropped */
    BP_DEFERRED = 3,     /* handler: the answer comes later by `io->complete(token)` */
    BP_FAULT = 4,        /* the instance is broken: the machine's fault policy decides (stop, reset, offline) */
    BP_PENDING = 5,      /* quiesce: not yet; `state->quiesced` will say when */
    BP_BUSY = 6,         /* the other end is on the call stack, or a limited thing is in use */
    BP_NOT_FOUND = 7,    /* no such name, id, wire, field */
    BP_INVALID = 8,      /* an argument or a saved state is not valid */
    BP_OVERLAP = 9,      /* something of equal priority is there already */
    BP_NO_MEMORY = 10,   /* out of a bounded resource */
    BP_REFUSED = 11,     /* not allowed, or not now */
    BP_STALE = 12,       /* completion of something that was cancelled */
    BP_IO_ERROR = 13,    /* the host's medium failed */
    BP_READ_ONLY = 14,   /* write to a read-only medium */
    BP_NO_SPACE = 15,    /* the host's medium is full */
    BP_UNSUPPORTED = 16, /* not offered by this engine, class or peer */
    BP_OUT_OF_RANGE = 17 /* beyond the end of the medium or of guest memory */
};

typedef uint64_t bp_id; /* of a claim, region, mapping, timer, watch...; never 0 and never used again */

/* ---- Values: what the machine file gives and methods take -------------------------------------------------------- */

/* Types of properties and of method parameters. A value is resolved from its text by the declared type, never guessed. */
enum {
    BP_BOOL = 1,      /* true/false, on/off, yes/no; `u` is 0 or 1 */
    BP_UNSIGNED = 2,  /* decimal, 0x, 0o, 0b; `u` */
    BP_SIGNED = 3,    /* `i` */
    BP_SIZE = 4,      /* bytes, with B KiB MiB GiB TiB (and k, M, G as 1024s); `u` */
    BP_DURATION = 5,  /* ns us ms s min h; `u` in nanoseconds */
    BP_PORT = 6,      /* I/O port 0..0xffff; `u` */
    BP_ADDRESS = 7,   /* guest-physical address; `u` */
    BP_TEXT = 8,      /* `text`, `length` bytes, NUL-terminated too */
    BP_PATH = 9,      /* as text; relative ones are resolved against the machine file's directory */
    BP_CHOICE = 10,   /* one of `choices`; `text`, and `last` its index */
    BP_RANGE = 11,    /* "0x60-0x64" or "0x60": inclusive; `u` first, `last` last */
    BP_FLOAT = 12     /* `f` */
};

/* Passed in arrays, so it stays as it is for the whole of major 1. */
typedef struct bp_value {
    uint32_t size;
    uint16_t type;
    uint16_t flags;  /* BP_VALUE_* */
    union {
        uint64_t u;
        int64_t i;
        double f;
        const char *text;
        const struct bp_value *items; /* of a list */
    };
    uint64_t length; /* bytes of text, or items of a list */
    uint64_t last;   /* BP_RANGE: its end. BP_CHOICE: the index of the choice */
} bp_value;
enum {
    BP_VALUE_GIVEN = 1,  /* the machine file gives it */
    BP_VALUE_ABSENT = 2, /* neither given nor defaulted */
    BP_VALUE_LIST = 4    /* `items`, `length` of them */
};

typedef struct bp_property {
    uint32_t size;
    uint16_t type;             /* BP_BOOL... */
    uint16_t flags;            /* BP_PROPERTY_* */
    const char *name;          /* lower-case words with hyphens */
    const char *default_value; /* as it would be written in the machine file; NULL: none */
    const char *doc;           /* one sentence */
    const char *unit;          /* for people: "Hz", "sectors"; may be NULL */
    const char *const *choices;/* BP_CHOICE: NULL-terminated */
    int64_t minimum, maximum;  /* with BP_PROPERTY_BOUNDED; of a list, of each item */
} bp_property;
enum {
    BP_PROPERTY_REQUIRED = 1,
    BP_PROPERTY_LIST = 2,
    BP_PROPERTY_BOUNDED = 4,
    BP_PROPERTY_LIVE = 8       /* may be set while the machine runs, by `set_property` */
};

/* ---- Interfaces and wires ---------------------------------------------------------------------------------------- */

/* An interface is a versioned table of functions, "name/version", each taking (void *self, uint32_t index, ...): at most four
 * further parameters, all of integer or pointer type (a host puts forwarding functions between two ends). The table starts
 * with uint32_t size; functions follow at 8-byte steps. `index` is, for functions of the provider, the N of `instance.N` in
 * the machine file; for functions of the client, (slot's position in the class << 16) | position in the slot. */
typedef struct bp_peer {
    uint32_t size;
    uint32_t index;
    void *self;
    const void *functions;
} bp_peer;

/* Parameter and result types of interface functions and of methods. */
enum {
    BP_T_VOID = 0, BP_T_BOOL = 1 /* uint8_t */, BP_T_U8 = 2, BP_T_U16 = 3, BP_T_U32 = 4, BP_T_U64 = 5, BP_T_I64 = 6, BP_T_F64 = 7,
    BP_T_TEXT = 8,    /* const char *, NUL-terminated, borrowed; as a method's result: by `host->reply` */
    BP_T_STATUS = 9,  /* bp_status */
    BP_T_IN = 10,     /* const void *: the next parameter is its length in bytes */
    BP_T_OUT = 11,    /* void *: the next parameter is its length in bytes */
    BP_T_IN_STRUCT = 12, /* const pointer to a struct that starts with its size */
    BP_T_OUT_STRUCT = 13,/* pointer to a struct that starts with its size, filled in by the callee */
    BP_T_POINTER = 14,/* opaque; such a function cannot cross a process boundary */
    BP_T_OUT_U32 = 15,/* uint32_t *, filled in by the callee; since 1.4 */
    BP_T_OUT_U64 = 16 /* uint64_t *, the same */
};

typedef struct bp_function {
    uint32_t size;
    uint16_t result;           /* BP_T_* */
    uint16_t flags;            /* BP_FUNCTION_* */
    const char *name;
    const uint16_t *parameters;/* BP_T_*, after self and index */
    uint32_t parameter_count;  /* 0..4 */
    uint32_t since;            /* 0: the interface has had it from the beginning, and every table holds it. Otherwise (since 1.4; 0 before) it
                                * was appended, and a table may end before it or hold NULL: the host then answers in its place, with
                                * BP_UNSUPPORTED where it returns a status, with 0 or nothing else */
} bp_function;
enum { BP_FUNCTION_ASYNC = 1 }; /* returns nothing; may be queued with copies of its IN and IN_STRUCT arguments */

typedef struct bp_interface {
    uint32_t size;
    uint32_t provider_count, client_count;
    const char *name;          /* "stream/1" */
    const bp_function *const *provider; /* what the providing end implements */
    const bp_function *const *client;   /* what the other end implements; may be empty */
} bp_interface;

/* A named, typed place of a class to be wired. */
typedef struct bp_slot {
    uint32_t size;
    uint32_t flags;            /* BP_SLOT_* */
    const char *name;
    const char *interface;     /* "irq-line/1" */
    const char *doc;
    const void *client;        /* the client's function table, or NULL where the interface has no client side */
} bp_slot;
enum { BP_SLOT_OPTIONAL = 1, BP_SLOT_MANY = 2 };

/* What a class offers to be wired to. */
typedef struct bp_provided {
    uint32_t size;
    uint32_t flags;            /* BP_PROVIDED_* */
    const char *name;          /* "irq-line/1" */
    const char *doc;
    const bp_interface *descriptor; /* NULL for the interfaces of this header, which every host knows */
    uint32_t count;            /* instance.0 ... instance.(count-1); 1: `instance` alone names it too */
    uint32_t reserved;
} bp_provided;
enum {
    BP_PROVIDED_SHARED = 1,    /* any number of wires to one index; otherwise one */
    BP_PROVIDED_MAY_CYCLE = 2  /* wires of this interface may form a cycle of instances */
};

/* irq-line/1: one interrupt input of a controller. Devices do not call it: they use the irq/1 service, which counts the
 * assertions of each driver of a shared line and calls `set` when the line as a whole changes. */
typedef struct bp_irq_line {
    uint32_t size, reserved;
    void (*set)(void *self, uint32_t index, uint32_t level); /* [locked] asynchronous; level 0 or 1 */
} bp_irq_line;

/* irq-controller/1: what `cpu: interrupts:` names, and what one controller is to another: a local APIC's slot for the PIC whose output is its
 * LINT0, an I/O APIC's slot for the local APICs that take its messages. The controller drives its output with `irq->output`: it goes to the CPUs
 * where `cpu: interrupts:` names it, and to every instance that is wired to it. */
typedef struct bp_irq_controller {
    uint32_t size, reserved;
    uint32_t (*acknowledge)(void *self, uint32_t index, uint32_t vcpu); /* [locked] the INTA cycle; the vector, 0..255 */
    /* Since 1.4. [locked] asynchronous: a message signalled interrupt, as a write of `data` to `address` (SDM volume 3, 10.11). `requester`: who
     * sends it, as in bp_access. */
    void (*message)(void *self, uint32_t index, uint64_t address, uint64_t data, uint64_t requester);
} bp_irq_controller;
typedef struct bp_irq_controller_client { /* since 1.4 */
    uint32_t size, reserved;
    void (*intr)(void *self, uint32_t index, uint32_t vcpu, uint32_t level);   /* [locked] asynchronous: the controller's output for a vCPU */
    void (*eoi)(void *self, uint32_t index, uint32_t vcpu, uint32_t vector);   /* [locked] asynchronous: the end of a level-triggered interrupt */
} bp_irq_controller_client;

/* stream/1: bytes both ways, e.g. a UART and a terminal. Everything is asynchronous. */
typedef struct bp_stream {
    uint32_t size, reserved;
    void (*write)(void *self, uint32_t index, const void *bytes, uint64_t length); /* provider takes all; see throttle */
    void (*ready)(void *self, uint32_t index, uint64_t room);  /* the client can now take `room` bytes in all */
    void (*event)(void *self, uint32_t index, uint32_t event); /* BP_STREAM_* of the client's side */
} bp_stream;
typedef struct bp_stream_client {
    uint32_t size, reserved;
    void (*receive)(void *self, uint32_t index, const void *bytes, uint64_t length); /* never more than `room` */
    void (*throttle)(void *self, uint32_t index, uint32_t on); /* 1: write no more, 0: go on */
    void (*event)(void *self, uint32_t index, uint32_t event); /* BP_STREAM_* of the provider's side */
    /* Since 1.9. The window at the provider's side has so many character cells; 0, 0: it does not know. */
    void (*window)(void *self, uint32_t index, uint32_t columns, uint32_t rows);
} bp_stream_client;
enum {
    BP_STREAM_BREAK = 1, BP_STREAM_BREAK_END = 2,
    BP_STREAM_OPEN = 3, BP_STREAM_CLOSED = 4,                   /* somebody is at the other end: DCD */
    BP_STREAM_DTR_ON = 5, BP_STREAM_DTR_OFF = 6, BP_STREAM_RTS_ON = 7, BP_STREAM_RTS_OFF = 8
};

/* block/1: a medium of 512-byte sectors (or another size that `info` gives). */
typedef struct bp_block_info {
    uint32_t size;
    uint32_t sector_size;      /* bytes, a power of two from 512 */
    uint64_t sectors;
    uint32_t read_only;        /* 0 or 1 */
    uint32_t maximum_sectors;  /* of one request; 0: no limit */
    uint32_t operations;       /* since 1.6: which of DISCARD and WRITE_ZEROES the medium knows, 1 << BP_BLOCK_* */
    uint32_t reserved;
} bp_block_info;
typedef struct bp_block_request {
    uint32_t size;
    uint32_t operation;        /* BP_BLOCK_* */
    uint64_t sector, count;    /* in sectors */
    void *data;                /* of READ and WRITE count * sector_size bytes, the client's, untouched by it until completion or cancel_all */
    uint64_t tag;              /* the client's own */
} bp_block_request;
enum {
    BP_BLOCK_READ = 0, BP_BLOCK_WRITE = 1, BP_BLOCK_FLUSH = 2,
    BP_BLOCK_DISCARD = 3,      /* 1.6, no data: the sectors' contents are of no use any more, and read as anything */
    BP_BLOCK_WRITE_ZEROES = 4  /* 1.6, no data: the sectors read as zeros; a medium may give back the room that they took */
};
typedef struct bp_block {
    uint32_t size, reserved;
    bp_status (*info)(void *self, uint32_t index, bp_block_info *out);             /* synchronous; from connect on */
    void (*submit)(void *self, uint32_t index, const bp_block_request *request);   /* asynchronous; each gets one `complete` */
    bp_status (*cancel_all)(void *self, uint32_t index);      /* synchronous; when it returns, no buffer is touched any more
                                                                 and no completion of an earlier submit will come */
    /* Since 1.8, synchronous: the medium is that of another file from now on - a path of the host, UTF-8 without NUL, `length` bytes - and `info`
     * tells of it. For drives with removable media, which ask in a method and have nothing submitted then. Where it fails - the provider says
     * why with `fail` - the medium stays. BP_UNSUPPORTED: this provider's media are fixed. */
    bp_status (*insert)(void *self, uint32_t index, const void *path, uint64_t length, uint32_t flags /* BP_BLOCK_READ_ONLY */);
} bp_block;
enum { BP_BLOCK_READ_ONLY = 1 }; /* the file is not written, whatever it allows */
typedef struct bp_block_client {
    uint32_t size, reserved;
    void (*complete)(void *self, uint32_t index, uint64_t tag, uint32_t status); /* a bp_status; never inside its submit */
    /* Since 1.9, asynchronous: the medium has `sectors` from now on, and `info` tells of them; nothing else of it has changed. Requests that
     * were submitted before may have been judged by the old size. */
    void (*resized)(void *self, uint32_t index, uint64_t sectors);
} bp_block_client;

/* net/1: Ethernet frames without FCS. */
typedef struct bp_net {
    uint32_t size, reserved;
    void (*send)(void *self, uint32_t index, const void *frame, uint64_t length);  /* asynchronous; provider copies */
    void (*ready)(void *self, uint32_t index, uint64_t frames);                    /* the client has room for `frames` in all */
} bp_net;
typedef struct bp_net_client {
    uint32_t size, reserved;
    void (*receive)(void *self, uint32_t index, const void *frame, uint64_t length);
    void (*link)(void *self, uint32_t index, uint32_t up);
} bp_net_client;

/* pci/1 (since 1.4): a PCI bus and the functions on it. The bus is the provider, and the index of a wire is the function's device and function
 * number, device << 3 | function: `pci.3` and `pci.3.1` in a machine file. A function claims and maps what its BARs decode itself, and moves it
 * when they change; a bridge is a function on one side and a bus on the other. Configuration mechanism #1, ECAM and INTx routing belong to the
 * host bridge's plugin. Offsets and widths of configuration space are the access's own: 1, 2 or 4 bytes, naturally aligned.
 * Since 1.9: an access for a bus behind a bridge goes to the bridge (header type 1, and the bus within its secondary and subordinate number) with
 * BP_PCI_BEHIND in `offset`, and the rest of that as ECAM has it: bus << 20 | device << 15 | function << 12 | offset. No other function gets one. */
typedef struct bp_pci {
    uint32_t size, reserved;
    void (*intx)(void *self, uint32_t index, uint32_t pin, uint32_t level); /* asynchronous; pin 1 to 4 for INTA# to INTD#; the bus counts who
                                                                              asserts a line that is shared */
    uint32_t (*location)(void *self, uint32_t index);                       /* bus << 8 | index, as the guest has numbered the buses now */
} bp_pci;
typedef struct bp_pci_client {
    uint32_t size, reserved;
    /* Synchronous. `flags`: BP_PCI_*. BP_BUSY, while the function is on the call stack, reads as ones. */
    bp_status (*config_read)(void *self, uint32_t index, uint32_t offset, uint32_t width, uint32_t flags, uint32_t *out);
    bp_status (*config_write)(void *self, uint32_t index, uint32_t offset, uint32_t width, uint32_t value);
    void (*bus_reset)(void *self, uint32_t index);                          /* asynchronous: RST# of the bus */
} bp_pci_client;
enum { BP_PCI_PEEK = 1 };        /* a read without side effects */
#define BP_PCI_BEHIND 0x80000000

/* display/1 (since 1.5): what a machine shows. The device that shows something is the client, and its slot takes many; who looks - draws it, sends
 * it, keeps it - is the provider. The host may be one more that looks, behind the wires of a machine file. Pictures are pulled: one that nobody asks
 * for costs nothing. `refresh` asks for one, and the device answers, soon after: with `surface` or `cells`, where what it said last on this wire is no
 * longer true (at first always), with `damage` for each rectangle that has changed since this wire's last `frame`, and with `frame`, even where
 * nothing has changed. In between it says nothing.
 * Pixels and cells are in memory of the device, by regions: `memory->attach` gives their bytes, read-only for who looks. Cells, fonts and palettes change
 * while the device answers a refresh and at a reset, never otherwise; pixels whenever the guest writes. Offsets and sizes are the other end's word:
 * check them against the length of the region. */
enum {                         /* formats of pixels, little-endian, bits from the highest down */
    BP_PIXELS_XRGB8888 = 1, BP_PIXELS_RGB888 = 2 /* 3 bytes */, BP_PIXELS_RGB565 = 3, BP_PIXELS_XRGB1555 = 4,
    BP_PIXELS_INDEXED8 = 5     /* a byte each: its colour is in the palette */
};
typedef struct bp_display_surface {
    uint32_t size;
    uint32_t format;           /* BP_PIXELS_* */
    uint32_t width, height;    /* 0: nothing is shown, the screen is dark */
    uint32_t stride;           /* bytes from one line to the next */
    uint32_t reserved;
    bp_id region;
    uint64_t offset;           /* of the first pixel */
    bp_id palette_region;      /* of INDEXED8: 256 times uint32_t 0x00RRGGBB at */
    uint64_t palette_offset;
} bp_display_surface;
typedef struct bp_cell {       /* passed in memory, so it stays as it is for the whole of major 1 */
    uint32_t character;        /* in Unicode, as the device knows it: what a font is loaded with is the guest's secret. 0: a space */
    uint16_t glyph;            /* its picture in the font */
    uint8_t colors;            /* in the palette: 3:0 foreground, 7:4 background */
    uint8_t flags;             /* BP_CELL_* */
} bp_cell;
enum { BP_CELL_BLINKS = 1, BP_CELL_UNDERLINED = 2 };
typedef struct bp_display_cells {
    uint32_t size;
    uint32_t columns, rows;
    uint32_t cell_width, cell_height; /* in dots: 1 to 16, 1 to 32 */
    uint32_t flags;            /* BP_CELLS_* */
    uint32_t cursor_column, cursor_row; /* where BP_CELLS_CURSOR is set */
    uint32_t cursor_first, cursor_last; /* the lines of the cell that it covers */
    uint32_t underline;        /* the line of a cell where underlined ones have theirs */
    uint32_t glyphs;           /* pictures in the font */
    bp_id region;              /* holds cells and font */
    uint64_t cells;            /* offset of columns * rows times bp_cell, row by row */
    uint64_t font;             /* offset of `glyphs` times 32 lines of uint16_t, dots in bits cell_width - 1 (left) to 0 */
    uint32_t palette[16];      /* 0x00RRGGBB */
} bp_display_cells;
enum { BP_CELLS_CURSOR = 1, BP_CELLS_FONT_CHANGED = 2 /* the font is another than with the last `cells` */ };
typedef struct bp_display {
    uint32_t size, reserved;
    void (*surface)(void *self, uint32_t index, const bp_display_surface *surface);  /* asynchronous, all four */
    void (*cells)(void *self, uint32_t index, const bp_display_cells *cells);
    void (*damage)(void *self, uint32_t index, uint32_t x, uint32_t y, uint32_t width, uint32_t height); /* pixels, or cells */
    void (*frame)(void *self, uint32_t index, uint64_t time);    /* the picture is whole; as of this virtual time */
} bp_display;
typedef struct bp_display_client {
    uint32_t size, reserved;
    void (*refresh)(void *self, uint32_t index, uint32_t flags); /* asynchronous; BP_REFRESH_* */
} bp_display_client;
enum { BP_REFRESH_ALL = 1 };     /* as if it were this wire's first */

/* input/1 (since 1.5): a keyboard, a mouse, a tablet is the provider; who has an operator before it is the client. The host may be one more client
 * of each, for the operator's `sendkey`. Events are those of Linux's evdev (input-event-codes.h): type, code, value; BP_EV_SYN, code 0, ends what
 * belongs together, and what has no end yet may wait for it. What a device does not have does nothing. A device whose guest is slow drops
 * whole packets, and never the release of what it has pressed. A client that loses its operator releases what it has pressed. */
enum { BP_EV_SYN = 0, BP_EV_KEY = 1 /* value 1: down, 0: up; buttons too */, BP_EV_REL = 2, BP_EV_ABS = 3 /* 0 to 32767 */ };
typedef struct bp_input {
    uint32_t size, reserved;
    void (*event)(void *self, uint32_t index, uint32_t type, uint32_t code, int64_t value); /* asynchronous */
    bp_status (*takes)(void *self, uint32_t index, uint32_t *out);                          /* synchronous; OR of BP_INPUT_*; from connect on */
} bp_input;
typedef struct bp_input_client {
    uint32_t size, reserved;
    void (*leds)(void *self, uint32_t index, uint32_t mask); /* asynchronous; bits by evdev's LED_*: 0 num, 1 caps, 2 scroll lock. When they change;
                                                                none is lit at first */
} bp_input_client;
enum {
    BP_INPUT_KEYS = 1 /* of a keyboard */, BP_INPUT_BUTTONS = 2 /* of a pointer */, BP_INPUT_RELATIVE = 4, BP_INPUT_ABSOLUTE = 8, BP_INPUT_LEDS = 16
};
/* dma-channel/1 (since 1.5): a channel of a DMA controller or of a bus master, which moves bytes between guest memory and the device that is wired
 * to it; where in memory is the controller's business alone. A drive is wired so to its IDE controller's bus master, a floppy controller to an 8237.
 * Everything is asynchronous, and comes in the order in which it was said:
 *   the device      request(BP_DMA_*): it has bytes for memory or takes some, or neither any more (DMARQ)
 *   the controller  ready(1): the guest has programmed the channel in this direction and started it; 0: it runs no more
 *   the device      while it is ready, one at a time: write(bytes) or read(length), at most BP_DMA_MOST bytes
 *   the controller  one answer to each, moved(length) or data(bytes). Fewer bytes than were asked for, 0 too: the channel came to its end,
 *                   or memory did not answer; ready(0) came before it, and what was not moved waits for the next ready(1).
 * A controller that counts (an 8237) also says ready(0) before the answer that takes it to its end exactly, its terminal count, and ready(1) after it
 * where it starts anew by itself: bytes were moved and the channel is not ready, so that was the last of them. */
typedef struct bp_dma_channel {
    uint32_t size, reserved;
    void (*request)(void *self, uint32_t index, uint32_t direction);
    void (*write)(void *self, uint32_t index, const void *bytes, uint64_t length);
    void (*read)(void *self, uint32_t index, uint64_t length);
    void (*interrupt)(void *self, uint32_t index, uint32_t level); /* the device's interrupt line, for bus masters whose status tells of it */
} bp_dma_channel;
typedef struct bp_dma_channel_client {
    uint32_t size, reserved;
    void (*ready)(void *self, uint32_t index, uint32_t on);
    void (*moved)(void *self, uint32_t index, uint64_t length);
    void (*data)(void *self, uint32_t index, const void *bytes, uint64_t length);
} bp_dma_channel_client;
enum { BP_DMA_NONE = 0, BP_DMA_TO_MEMORY = 1, BP_DMA_FROM_MEMORY = 2, BP_DMA_MOST = 65536 };
/* A name kept for what comes: "bus/1". */
/* tables/1 (since 1.5): tables that describe the machine to its guest - ACPI, SMBIOS - as files that firmware finds by their names. Who makes
 * them provides; firmware devices and loaders take them. From reset on. Numbers, names and lengths stay as they are; what is read is of the
 * moment, and may change with what the guest does (where it has put a block of ports). */
typedef struct bp_table_file {
    uint32_t size, reserved;
    uint64_t length;           /* bytes */
    char name[56];             /* NUL-terminated, as fw_cfg names it: "etc/acpi/tables" */
} bp_table_file;
typedef struct bp_tables {
    uint32_t size, reserved;
    uint32_t (*count)(void *self, uint32_t index);
    bp_status (*describe)(void *self, uint32_t index, uint32_t number, bp_table_file *out);
    bp_status (*read)(void *self, uint32_t index, uint32_t number, uint64_t offset, void *bytes, uint64_t length); /* BP_OUT_OF_RANGE */
} bp_tables;
/* virtio/1 (since 1.6): a virtio device (the client) behind a transport (the provider), which gives it to the guest on PCI, by MMIO registers, or
 * as its author likes. Names and numbers are those of virtio 1.2. The transport has the registers, negotiates and interrupts; the device has
 * its configuration space and its queues, and reads and writes guest memory by itself. What the guest sets is told at once and in the guest's
 * order, so that the device never has to ask: its functions run while the transport is on the stack. */
typedef struct bp_virtio_device {
    uint32_t size;
    uint32_t type;             /* section 5: 1 net, 2 block, 3 console... */
    uint64_t features;         /* what it offers, by bit, with VERSION_1 and those of its queues; the transport leaves out what it cannot do */
    uint32_t queues;
    uint32_t entries;          /* of each queue at most; a power of two, at most 32768 */
    uint32_t config_size;      /* bytes */
    uint32_t reserved;
} bp_virtio_device;
typedef struct bp_virtio_queue {
    uint32_t size;
    uint32_t entries;          /* 0: the queue is not enabled, or has been reset (2.6.1): none of its memory is used any more */
    uint64_t descriptors, driver, device; /* physical addresses of the descriptor table, of the driver's area (available ring) and the device's (used) */
} bp_virtio_queue;
typedef struct bp_virtio {
    uint32_t size, reserved;
    void (*used)(void *self, uint32_t index, uint32_t queue);    /* asynchronous, all three. The guest is to be told of used buffers */
    void (*config_changed)(void *self, uint32_t index);          /* of configuration space, in a way of which the guest is to be told */
    void (*needs_reset)(void *self, uint32_t index);             /* 2.1.2: the guest has broken the rules, or something has failed for good; the device
                                                                    does nothing more until its status is 0 */
} bp_virtio;
typedef struct bp_virtio_client {
    uint32_t size, reserved;
    /* What the device is; synchronous, as all but kick; from reset on, and it stays as it is until disconnect. */
    bp_status (*device)(void *self, uint32_t index, bp_virtio_device *out);
    /* The guest has written the status (BP_VIRTIO_*), or it counts in another way now: DRIVER_OK is left out while the transport keeps the device
     * from memory (a PCI function that is no bus master). `features`: those that the guest has accepted so far, of those offered; they count from
     * FEATURES_OK on, of legacy drivers (no VERSION_1) from DRIVER_OK on. With FEATURES_OK, another answer than BP_OK: not these features. 0 is a
     * reset: when it returns, the device uses no memory and no queue any more. */
    bp_status (*status)(void *self, uint32_t index, uint32_t status, uint64_t features);
    bp_status (*queue)(void *self, uint32_t index, uint32_t queue, const bp_virtio_queue *is);
    void (*kick)(void *self, uint32_t index, uint32_t queue);    /* asynchronous: buffers are available (2.7.13) */
    /* Configuration space: 1, 2 or 4 bytes, naturally aligned and within it. `flags`: BP_VIRTIO_PEEK. */
    bp_status (*config_read)(void *self, uint32_t index, uint32_t offset, uint32_t width, uint32_t flags, uint32_t *out);
    bp_status (*config_write)(void *self, uint32_t index, uint32_t offset, uint32_t width, uint32_t value);
} bp_virtio_client;
enum { BP_VIRTIO_PEEK = 1 };     /* a read without side effects */
enum {                           /* 2.1: the status */
    BP_VIRTIO_ACKNOWLEDGE = 1, BP_VIRTIO_DRIVER = 2, BP_VIRTIO_DRIVER_OK = 4, BP_VIRTIO_FEATURES_OK = 8, BP_VIRTIO_NEEDS_RESET = 64,
    BP_VIRTIO_FAILED = 128
};
/* Names kept for what comes: "bus/1", "display/1", "input/1". */

/* ---- The instance's context and its services ----------------------------------------------------------------------- */

typedef struct bp_host bp_host;
struct bp_host {               /* one for each instance; valid from create to the end of destroy */
    uint32_t size;
    uint32_t reserved;
    const char *id;            /* the instance's id in the machine file */
    void *opaque;              /* the host's */
    const void *(*service)(const bp_host *host, const char *name); /* [any] a table below by its name, NULL: not offered */
    void (*fail)(const bp_host *host, const char *utf8, uint64_t length);   /* [locked] the sentence that explains the status returned next */
    void (*reply)(const bp_host *host, const void *bytes, uint64_t length); /* [locked] in a method: its text result, copied */
};

/* An access to a claim. */
typedef struct bp_access {
    uint32_t size;
    uint8_t width;             /* 1, 2, 4 or 8 bytes; always one that the claim takes */
    uint8_t flags;             /* BP_ACCESS_* */
    uint16_t space;            /* BP_SPACE_* */
    uint32_t vcpu;             /* or BP_NO_VCPU */
    uint32_t requester;        /* 0: a CPU; otherwise who does DMA or asks (a debugger is BP_REQUESTER_HOST) */
    uint64_t offset;           /* from the claim's base */
    uint64_t address;          /* absolute */
    uint64_t cookie;           /* the claim's */
    uint64_t token;            /* for `io->complete`, if the handler answers BP_DEFERRED; 0: this access cannot be deferred */
} bp_access;
enum {
    BP_ACCESS_PEEK = 1,        /* read without any side effect, as for a debugger */
    BP_ACCESS_DMA = 2,
    BP_ACCESS_STRING = 4       /* part of a string instruction */
};
#define BP_NO_VCPU UINT32_MAX
#define BP_REQUESTER_HOST UINT32_MAX
enum {
    BP_SPACE_PORT = 0, BP_SPACE_MEMORY = 1,
    BP_SPACE_MSR = 2           /* 1.5: model-specific registers by number; RDMSR and WRMSR at CPL 0. Width 8 only. BP_NO_REGISTER is #GP(0) */
};

/* [locked] `value` holds the register in its low `width` bytes; higher ones are ignored on read and zero on write. */
typedef bp_status (*bp_read_handler)(void *self, const bp_access *access, uint64_t *value);
typedef bp_status (*bp_write_handler)(void *self, const bp_access *access, uint64_t value);
/* [locked] A string instruction: up to `count` elements of `access->width` bytes at one offset, packed in `bytes`. Sets
 * `done`; what is left is offered again element by element. Never deferred. */
typedef bp_status (*bp_bulk_read_handler)(void *self, const bp_access *access, void *bytes, uint64_t count, uint64_t *done);
typedef bp_status (*bp_bulk_write_handler)(void *self, const bp_access *access, const void *bytes, uint64_t count, uint64_t *done);

typedef struct bp_claim {
    uint32_t size;
    uint16_t space;            /* BP_SPACE_* */
    uint8_t widths;            /* OR of 1, 2, 4, 8: widths that the handlers take. A wider access is split, little-endian. Of a
                                * narrower read the core reads the register of the least such width, aligned in the claim, and
                                * gives the bytes that were asked for; a narrower write is dropped. */
    uint8_t flags;             /* since 1.4: BP_CLAIM_*; 0 before */
    uint64_t base, length;     /* length > 0; ports: base + length <= 0x10000; MSRs: <= 0x100000000, of claims in connect only, and before what
                                * the CPU itself has of these numbers. The machine's CPUs have a local APIC (CPUID.1:EDX.APIC, as long as bit 11
                                * of what the guest wrote there is set) where IA32_APIC_BASE (0x1b) is claimed */
    int32_t priority;          /* the highest answers; equal ones may not overlap at load, later the earlier one wins */
    uint32_t reserved2;
    uint64_t cookie;           /* handed to the handlers */
    const char *name;          /* for people: "command block"; copied; may be NULL */
    bp_read_handler read;      /* NULL: reads as all ones */
    bp_write_handler write;    /* NULL: dropped */
    bp_bulk_read_handler read_bulk;   /* NULL: element by element */
    bp_bulk_write_handler write_bulk;
} bp_claim;
/* WHOLE: the claim answers only accesses of its widths that lie wholly inside it. It gets them unsplit, before all other claims; every other
 * access falls through to what lies below (0xCF8 takes dwords, and leaves 0xCF9 to its owner). READS, WRITES: only that direction; the other
 * falls through. Neither: both. An older host ignores the flags: a plugin that lives by them needs minor 4. */
enum { BP_CLAIM_WHOLE = 1, BP_CLAIM_READS = 2, BP_CLAIM_WRITES = 4 };
/* Directions of claims and mappings. What does not answer a direction is not there for it. */
enum { BP_MAP_READ = 1, BP_MAP_WRITE = 2 };

/* "io/1": claims. From connect on. */
typedef struct bp_io_1 {
    uint32_t size, reserved;
    bp_status (*claim)(const bp_host *host, const bp_claim *claim, bp_id *out);  /* BP_INVALID, BP_OVERLAP (at load only) */
    bp_status (*release)(const bp_host *host, bp_id claim);
    bp_status (*move)(const bp_host *host, bp_id claim, uint64_t base);
    bp_status (*complete)(const bp_host *host, uint64_t token, bp_status status, uint64_t value); /* [any] BP_STALE: cancelled */
    /* Since 1.4. Which directions (BP_MAP_*, of those that the claim's flags allow) it answers from now on; 0: it is off, and keeps its place.
     * Cheap, while the guest runs. */
    bp_status (*direct)(const bp_host *host, bp_id claim, uint32_t directions);
} bp_io_1;

/* "memory/1": guest-physical memory. Copies are bounded by memory: BP_OUT_OF_RANGE where any byte is none (or ROM, of a
 * write), nothing copied then. From connect on, but `region`; contents may be written from reset on (reset of a machine does not clear RAM). */
typedef struct bp_span {       /* memory for DMA */
    uint32_t size;
    uint32_t reserved;
    bp_id id;
    void *base;
    uint64_t length;           /* may be less than asked for: what is contiguous */
} bp_span;
enum { BP_SPAN_FROM_GUEST = 1, BP_SPAN_TO_GUEST = 2 };
/* What a range of `layout` is, and what a region is to be. Memory of a device - video RAM, a card's buffers - is never main memory: loaders
 * put nothing there, and firmware's tables tell the guest that it is reserved. So a region of the kind RAM is device memory too; one
 * that is to be main memory, as a memory card's is, says so. */
enum {
    BP_REGION_RAM = 0,         /* layout: main memory. region: as BP_REGION_DEVICE */
    BP_REGION_ROM = 1,         /* guest writes are dropped */
    BP_REGION_DEVICE = 2,      /* 1.4: the guest reads and writes it as it does RAM, and it is a device's. Hosts before 1.4: as RAM */
    BP_REGION_MAIN = 3         /* 1.4, of a region only: main memory, BP_REGION_RAM in the layout */
};
typedef struct bp_memory_range {
    uint32_t size;
    uint32_t kind;             /* BP_REGION_* */
    uint64_t base, length;
} bp_memory_range;
typedef struct bp_mapping {    /* since 1.4; every number of bytes is a multiple of 4096 */
    uint32_t size;
    uint32_t directions;       /* BP_MAP_*; one that is not named falls through to what lies below */
    bp_id region;              /* one of the instance's own; 0: the machine's RAM, whose offset 0 the guest sees at address 0 */
    uint64_t offset, address, length;
    int32_t priority;          /* as with claims: the highest answers, RAM itself comes last of all */
    uint32_t reserved;
} bp_mapping;
typedef struct bp_memory_1 {
    uint32_t size, reserved;
    bp_status (*read)(const bp_host *host, uint64_t address, void *bytes, uint64_t length);
    bp_status (*write)(const bp_host *host, uint64_t address, const void *bytes, uint64_t length);
    bp_status (*span)(const bp_host *host, uint64_t address, uint64_t length, uint32_t direction, bp_span *out);
    bp_status (*span_release)(const bp_host *host, bp_id span, uint64_t written); /* marks pages dirty, drops decoded code; a
                                                                                     reset of the machine ends spans too */
    /* A region of the plugin's own memory, saved with the machine by the core under `key`. At most 256 MiB a region, 1 GiB an instance. It
     * begins as zeros; a reset changes no byte of it and moves no mapping: what must be there after a reset, the instance's `reset` puts
     * there. */
    bp_status (*region)(const bp_host *host, const char *key, uint32_t kind, uint64_t length, bp_id *out, void **base);
    bp_status (*map)(const bp_host *host, bp_id region, uint64_t offset, uint64_t address, uint64_t length, int32_t priority, bp_id *mapping);
    bp_status (*unmap)(const bp_host *host, bp_id mapping);
    bp_status (*move)(const bp_host *host, bp_id mapping, uint64_t address);
    bp_status (*layout)(const bp_host *host, uint32_t index, bp_memory_range *out); /* all memory that the guest sees, ascending; BP_NOT_FOUND ends */
    /* Since 1.4. As `map`, of any directions, and of the machine's RAM too: PAM and SMRAM are RAM mapped above ROM, A20 is the first MiB of RAM
     * mapped again at 1 MiB. */
    bp_status (*map_as)(const bp_host *host, const bp_mapping *mapping, bp_id *out);
    /* Since 1.4. Which directions (of those that it was mapped with) a mapping answers from now on; 0: it is off, and keeps its place. Cheap,
     * while the guest runs. */
    bp_status (*direct)(const bp_host *host, bp_id mapping, uint32_t directions);
    /* Since 1.5. The bytes of another instance's region, by the id that its owner told (a display's surface): to look at, until disconnect.
     * BP_NOT_FOUND: there is none. */
    bp_status (*attach)(const bp_host *host, bp_id region, void **base, uint64_t *length);
    /* Since 1.9. What the guest has in this range of the machine's RAM is of no use any more: the host gets the memory back, and it reads as zeros
     * until somebody writes there again. Of pages of 4096 bytes that lie in the range as a whole; the rest stays. BP_OUT_OF_RANGE where any
     * byte is none of the machine's RAM that the guest can write there (ROM, a device's memory): nothing has happened then. BP_UNSUPPORTED: the
     * host cannot take it back; what lies in pieces, as around the hole below 4 GiB, may have gone in part, and the rest stays as it is. */
    bp_status (*discard)(const bp_host *host, uint64_t address, uint64_t length);
} bp_memory_1;

/* "irq/1": pins. Levels are recorded at once and delivered when the outermost callback has returned. Once created: who connects
 * earlier may call the instance before its own connect. */
typedef struct bp_irq_1 {
    uint32_t size, reserved;
    bp_status (*line)(const bp_host *host, const char *slot, uint32_t position, bp_id *out); /* BP_NOT_FOUND: not wired. From connect on */
    bp_status (*set)(const bp_host *host, bp_id line, uint32_t level);
    bp_status (*pulse)(const bp_host *host, bp_id line);              /* up and down: one edge */
    bp_status (*output)(const bp_host *host, uint32_t vcpu, uint32_t level); /* irq-controller/1 only: the INTR pin of the vCPU, or of who is
                                                                       * wired to the controller. BP_REFUSED: nobody is */
    bp_status (*nmi)(const bp_host *host, uint32_t vcpu);
} bp_irq_1;

/* "msi/1" (since 1.6): message signalled interrupts, each a write of `data` to `address` that reaches the controller which `cpu: interrupts:` names
 * (irq-controller/1 `message`). A vector is registered once, and told what its message is whenever the guest changes it, so that a host can raise it
 * without the instance. Registered vectors, their messages and what is pending are the instance's to save: it programs and raises them anew in
 * load. From connect on. */
typedef struct bp_msi_1 {
    uint32_t size, reserved;
    bp_status (*vector)(const bp_host *host, bp_id *out);  /* masked at first; BP_NO_MEMORY: more than 2048 of an instance */
    bp_status (*program)(const bp_host *host, bp_id vector, uint64_t address, uint64_t data, uint32_t masked); /* sends what was pending,
                                                                                                                where it is masked no more */
    bp_status (*raise)(const bp_host *host, bp_id vector); /* [any] while it is masked it becomes pending */
    bp_status (*pending)(const bp_host *host, bp_id vector, uint32_t *out); /* 0 or 1 */
    bp_status (*forget)(const bp_host *host, bp_id vector);                 /* what is pending is dropped, as by a reset */
} bp_msi_1;

/* "clock/1": the machine's virtual clock, in nanoseconds from 0 at power-on. It stands still while the machine is paused. `timer` in
 * create too, the others once created. */
typedef void (*bp_timer_handler)(void *self, uint64_t cookie, uint64_t now); /* [locked] once for each setting */
typedef struct bp_clock_1 {
    uint32_t size, reserved;
    uint64_t (*now)(const bp_host *host);
    bp_status (*timer)(const bp_host *host, bp_timer_handler handler, uint64_t cookie, bp_id *out);
    bp_status (*set)(const bp_host *host, bp_id timer, uint64_t deadline); /* absolute; replaces the earlier one; past: at once, not inside */
    bp_status (*cancel)(const bp_host *host, bp_id timer);
    /* Since 1.10. 1: a counted clock, with which runs repeat exactly. What a plugin does must not depend then on how fast the host is, nor on what
     * lies in its caches; answers come by `events->expect`. 0: another clock. */
    uint32_t (*is_counted)(const bp_host *host);
} bp_clock_1;

/* "events/1": host file descriptors and work from other threads. From connect on, but `post`. */
typedef void (*bp_event_handler)(void *self, uint64_t cookie, int32_t descriptor, uint32_t events); /* [locked] on the event loop */
typedef void (*bp_posted)(void *self, void *argument); /* [locked] */
enum { BP_EVENT_READ = 1, BP_EVENT_WRITE = 2, BP_EVENT_HANGUP = 4, BP_EVENT_ERROR = 8 }; /* level-triggered */
typedef struct bp_events_1 {
    uint32_t size, reserved;
    bp_status (*watch)(const bp_host *host, int32_t descriptor, uint32_t events, bp_event_handler handler, uint64_t cookie, bp_id *out);
    bp_status (*change)(const bp_host *host, bp_id watch, uint32_t events); /* 0: none for now */
    bp_status (*unwatch)(const bp_host *host, bp_id watch); /* the descriptor stays the plugin's, to close afterwards */
    bp_status (*post)(const bp_host *host, bp_posted function, void *argument); /* [any] BP_REFUSED once disconnect has begun */
    /* Since 1.2. Announces a post of this function and argument, the answer to something that was just asked of the host. With a counted
       clock (repeatable runs) it is then delivered `delay` virtual ns from now, neither sooner nor later: the guest's time stands still
       until it comes, for at most 10 s of the host's. One announcement for each post. Other clocks: nothing happens. */
    bp_status (*expect)(const bp_host *host, bp_posted function, void *argument, uint64_t delay);
    void (*forget)(const bp_host *host, bp_posted function, void *argument); /* since 1.2: what was announced will not come */
} bp_events_1;

/* "log/1" */
enum { BP_LOG_TRACE = 0, BP_LOG_DEBUG = 1, BP_LOG_INFO = 2, BP_LOG_WARNING = 3, BP_LOG_ERROR = 4 };
typedef struct bp_log_1 {
    uint32_t size, reserved;
    void (*write)(const bp_host *host, uint32_t level, const char *utf8, uint64_t length); /* [any] */
    uint32_t (*level)(const bp_host *host);                                                /* [any] lowest that is kept */
} bp_log_1;

/* "state/1": tagged fields in save and load. Keys are unique in an instance, at most 255 bytes. */
typedef struct bp_state bp_state; /* for the callback that it is handed to: refused later */
enum { BP_FIELD_OPTIONAL = 1 };  /* a reader that does not know the key ignores it; otherwise it refuses the state */
typedef struct bp_state_1 {
    uint32_t size, reserved;
    bp_status (*put_unsigned)(bp_state *state, const char *key, uint64_t value, uint32_t flags);
    bp_status (*put_bytes)(bp_state *state, const char *key, const void *bytes, uint64_t length, uint32_t flags);
    bp_status (*get_unsigned)(bp_state *state, const char *key, uint64_t *value);           /* BP_NOT_FOUND, BP_INVALID: other type */
    bp_status (*get_bytes)(bp_state *state, const char *key, const void **bytes, uint64_t *length); /* borrowed until load returns */
    void (*quiesced)(const bp_host *host);  /* after quiesce answered BP_PENDING */
} bp_state_1;

/* "machine/1": requests; they take effect after the callback, at a point where the vCPUs are quiet. From connect on. */
typedef struct bp_machine_1 {
    uint32_t size, reserved;
    void (*stop)(const bp_host *host, uint32_t exit_status); /* ends the machine with the guest's own odd status, or a policy's */
    void (*reset)(const bp_host *host);
    void (*power_off)(const bp_host *host);
    bp_status (*on_power_button)(const bp_host *host, bp_posted handler, void *argument); /* [locked] handler: an operator asks the guest to power off */
    void (*pause)(const bp_host *host);      /* since 1.3: as BP_VERDICT_PAUSE; an operator continues the machine */
} bp_machine_1;

/* "console/1": a client of the terminal that the host's control plane owns. One console for an instance. From connect on. */
typedef struct bp_console_1 {
    uint32_t size, reserved;
    bp_status (*open)(const bp_host *host, void (*receive)(void *self, const void *bytes, uint64_t length) /* [locked] */,
                      void (*throttle)(void *self, uint32_t on) /* [locked] */);
    bp_status (*write)(const bp_host *host, const void *bytes, uint64_t length); /* takes all; throttle(1) says: enough */
    bp_status (*ready)(const bp_host *host, uint64_t room);                      /* can receive `room` bytes in all */
    /* Since minor 1 (look at `size`). The operator sends a break, as on a serial line: after all bytes that `receive` got
     * before. From open on; who does not ask gets none. */
    bp_status (*on_break)(const bp_host *host, void (*received)(void *self) /* [locked] */);
    /* Since 1.7. As `open`, for a console that paints the window. `shown` gets its size in character cells when the console comes to the
     * operator's foreground, where the window is clear and the cursor at its upper left, and whenever the size changes; 0, 0 when something else
     * takes its place. What it writes while it is not shown is lost. BP_UNSUPPORTED: there is no window, or its terminal is a dumb one. */
    bp_status (*open_window)(const bp_host *host, void (*receive)(void *self, const void *bytes, uint64_t length) /* [locked] */,
                             void (*throttle)(void *self, uint32_t on) /* [locked] */,
                             void (*shown)(void *self, uint32_t columns, uint32_t rows) /* [locked] */);
    /* Since 1.9, from `open` on. The terminal's size in character cells: soon, where it is known, and whenever it changes. Not in machines with a
     * counted clock, whose runs repeat wherever they are looked at. */
    bp_status (*on_size)(const bp_host *host, void (*sized)(void *self, uint32_t columns, uint32_t rows) /* [locked] */);
} bp_console_1;

/* "host/1": the outside world; fixed by the machine file where runs must repeat. */
typedef struct bp_host_1 {
    uint32_t size, reserved;
    void (*wall_clock)(const bp_host *host, int64_t *seconds, uint32_t *nanoseconds); /* UTC since 1970, of this virtual instant */
    void (*entropy)(const bp_host *host, void *bytes, uint64_t length);
} bp_host_1;

/* "vcpu/1": CPU state, for loaders (in reset) and policies (in decide and observe). BP_REFUSED on another thread than the vCPU's. */
typedef struct bp_segment {
    uint64_t base;
    uint32_t limit;            /* in bytes, expanded */
    uint16_t selector;
    uint16_t attributes;       /* as in a VMCS: type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15; bit 8: unusable */
} bp_segment;
typedef struct bp_registers {
    uint32_t size, reserved;
    uint64_t general[16];      /* RAX RCX RDX RBX RSP RBP RSI RDI R8-R15: the order of the encoding */
    uint64_t rip, rflags;
    bp_segment es, cs, ss, ds, fs, gs, ldtr, tr;
    uint64_t gdtr_base, idtr_base;
    uint16_t gdtr_limit, idtr_limit;
    uint32_t reserved2;
    uint64_t cr0, cr2, cr3, cr4, cr8, efer;
    uint64_t dr[8];            /* DR4 and DR5 unused */
} bp_registers;
typedef struct bp_vcpu_1 {
    uint32_t size, reserved;
    bp_status (*get)(const bp_host *host, uint32_t vcpu, bp_registers *out);
    bp_status (*set)(const bp_host *host, uint32_t vcpu, const bp_registers *registers); /* BP_INVALID: no such state */
    bp_status (*read_linear)(const bp_host *host, uint32_t vcpu, uint64_t address, void *bytes, uint64_t length);
    /* Since 1.3, from reset on. Instructions that the vCPU has retired; BP_UNSUPPORTED: the engine does not count them. Exact in
     * exits, in reset and in the handler of `at_retired`; elsewhere it may be behind while the guest runs. */
    bp_status (*retired)(const bp_host *host, uint32_t vcpu, uint64_t *out);
    /* Since 1.3, from reset on. `handler` runs once, [locked], on the vCPU's thread between two instructions, as soon as it has
     * retired `count`. One for each instance and vCPU: a later call replaces it, and a NULL handler takes it back. */
    bp_status (*at_retired)(const bp_host *host, uint32_t vcpu, uint64_t count, bp_posted handler, void *argument);
} bp_vcpu_1;

/* ---- Exits and policies -------------------------------------------------------------------------------------------- */

/* SDM volume 3, appendix C: basic exit reasons. */
enum {
    BP_EXIT_EXCEPTION = 0, BP_EXIT_EXTERNAL_INTERRUPT = 1, BP_EXIT_TRIPLE_FAULT = 2, BP_EXIT_INIT = 3, BP_EXIT_SIPI = 4,
    BP_EXIT_INTERRUPT_WINDOW = 7, BP_EXIT_NMI_WINDOW = 8, BP_EXIT_TASK_SWITCH = 9, BP_EXIT_CPUID = 10, BP_EXIT_HLT = 12,
    BP_EXIT_INVLPG = 14, BP_EXIT_RDPMC = 15, BP_EXIT_RDTSC = 16, BP_EXIT_VMCALL = 18, BP_EXIT_CR = 28, BP_EXIT_DR = 29,
    BP_EXIT_IO = 30, BP_EXIT_RDMSR = 31, BP_EXIT_WRMSR = 32, BP_EXIT_ENTRY_FAILURE = 33, BP_EXIT_MWAIT = 36,
    BP_EXIT_MONITOR_TRAP = 37 /* single step, breakpoint: debug */, BP_EXIT_MONITOR = 39, BP_EXIT_PAUSE = 40,
    BP_EXIT_DESCRIPTOR_TABLE = 46, BP_EXIT_LDTR_TR = 47, BP_EXIT_EPT_VIOLATION = 48 /* MMIO, watched memory */,
    BP_EXIT_RDTSCP = 51, BP_EXIT_WBINVD = 54, BP_EXIT_XSETBV = 55, BP_EXIT_RDRAND = 57, BP_EXIT_INVPCID = 58,
    BP_EXIT_RDSEED = 61, BP_EXIT_REASONS = 64
};
/* VMX instructions (VMCLEAR ... VMXON) are reported with their own numbers, 19 to 27. */

typedef struct bp_exit {
    uint32_t size;
    uint16_t reason;           /* BP_EXIT_* */
    uint16_t flags;            /* BP_EXITF_* */
    uint32_t vcpu;
    uint32_t width;            /* bytes of an access; length of an instruction otherwise, 0: not known */
    uint64_t rip;
    uint64_t address;          /* port, guest-physical address, MSR, CPUID leaf, CR or DR number, exception vector */
    uint64_t value;            /* written, or to be read; CPUID: EAX; exception: error code; triple fault: 0 */
    uint64_t extra[4];         /* CPUID: subleaf, EBX, ECX, EDX; string I/O: count; exception: CR2 */
    uint64_t time;             /* virtual nanoseconds; of I/O and memory exits only where somebody observes them, else 0 */
    uint64_t sequence;         /* number of this exit on its vCPU */
} bp_exit;
enum {
    BP_EXITF_WRITE = 1, BP_EXITF_STRING = 2, BP_EXITF_UNCLAIMED = 4,
    BP_EXITF_RIP_PAST = 8,     /* `rip` is past the instruction (KVM after OUT or a store) */
    BP_EXITF_INTERRUPTS_ENABLED = 16, /* RFLAGS.IF, where the engine knows it (HLT does) */
    BP_EXITF_ERROR_CODE = 32,
    BP_EXITF_ASK_POWER = 64,   /* not an exit: an operator asks, and no instance has a power button */
    BP_EXITF_RAM = 128         /* 1.3: a write to plain memory, which BP_WANT_RAM_WRITES has brought out */
};

/* What a policy answers. */
enum {
    BP_VERDICT_CONTINUE = 0,   /* ask the next policy; at last the core's default */
    BP_VERDICT_HANDLED = 1,    /* done; a read's result is in `exit->value` */
    BP_VERDICT_INJECT = 2,     /* an exception: `vector` 0..31, `error_code`; only where the engine is precise (BP_WANT_PRECISE); of
                                * RDMSR and WRMSR every engine raises #GP. What cannot be raised is the policy's fault */
    BP_VERDICT_PAUSE = 3,      /* the machine stands still after this exit, which the rest of the chain still decides */
    BP_VERDICT_STOP = 4,       /* with `status`; `host->fail` gives the reason */
    BP_VERDICT_RESET = 5,
    BP_VERDICT_SWITCH = 6,     /* guest number `status` (0: the next) to the foreground; the rest of the chain still decides */
    BP_VERDICT_DELAY = 7       /* 1.3: the vCPU stands still for `delay`, its clock goes on; then the rest of the chain decides */
};
typedef struct bp_verdict {
    uint32_t size;
    uint32_t vector;
    uint32_t error_code;
    uint32_t has_error_code;
    uint32_t status;           /* exit status of the process, design: 0 powered off, 6 halted for ever, 8 stopped by a policy */
    uint32_t reserved;
    uint64_t delay;            /* 1.3: virtual nanoseconds, at most 10^9; ends early where the machine is paused, reset or changed */
} bp_verdict;
typedef struct bp_outcome {
    uint32_t size;
    uint32_t verdict;          /* BP_VERDICT_* */
    uint64_t nanoseconds;      /* spent in the VMM for this exit */
    const char *owner;         /* id of the instance that answered, NULL: none */
} bp_outcome;

typedef struct bp_want {       /* which exits a policy sees; with BP_WANT_DECIDE, _OBSERVE or _COUNTED */
    uint32_t size;
    uint16_t reason;           /* BP_EXIT_* or BP_WANT_ALL */
    uint16_t flags;            /* BP_WANT_* */
    uint64_t first, last;      /* ports, addresses, MSRs, leaves, CR numbers, vectors: inclusive. All: 0, UINT64_MAX */
} bp_want;
#define BP_WANT_ALL 0xffff     /* all reasons that the engine delivers anyway; never makes an engine intercept more */
enum {
    BP_WANT_REQUIRED = 1,      /* an engine that cannot deliver it is an error at load */
    BP_WANT_DECIDE = 2,        /* call `decide` */
    BP_WANT_OBSERVE = 4,       /* call `observe` with the outcome and its cost */
    BP_WANT_UNCLAIMED = 8,     /* I/O and memory: only what no instance claims */
    BP_WANT_PRECISE = 16,      /* the policy injects: needs the engine's ability precise-inject */
    BP_WANT_COUNTED = 64,      /* 1.3: the policy needs an engine that counts instructions ("vcpu/1" at_retired) */
    BP_WANT_RAM_WRITES = 32    /* 1.3, of BP_EXIT_EPT_VIOLATION: the guest's writes to plain memory in the range too. All writes
                                * to its pages exit, those beside the range unseen; DMA does not */
};
typedef struct bp_exit_1 {     /* "exit/1", for policies; from connect on, and later at any callback */
    uint32_t size, reserved;
    bp_status (*want)(const bp_host *host, const bp_want *want, bp_id *out); /* BP_UNSUPPORTED: required and not delivered */
    bp_status (*unwant)(const bp_host *host, bp_id want);
    bp_status (*nearest_claim)(const bp_host *host, uint32_t space, uint64_t address, char *utf8, uint64_t *length);
                               /* text such as "com1 0x3f8-0x3ff"; `length` in: room, out: bytes */
} bp_exit_1;

/* "guests/1" (since minor 3), for policies; from connect on: the machines of this process. They are numbered from 1, as the keys
 * are that switch between them; one of them is in the foreground and has the terminal. A guest sees nothing of the others. */
typedef struct bp_guests_1 {
    uint32_t size, reserved;
    uint32_t (*count)(const bp_host *host);
    uint32_t (*own)(const bp_host *host);        /* this machine's number */
    uint32_t (*foreground)(const bp_host *host); /* a number; 0: all have ended */
    bp_status (*name)(const bp_host *host, uint32_t number, char *utf8, uint64_t *length); /* `length` in: room, out: bytes */
    /* Another guest comes to the foreground, soon after. 0: the next one that runs. BP_NOT_FOUND: there is none, or it has ended. */
    bp_status (*bring)(const bp_host *host, uint32_t number);
    /* When this machine runs: BP_RUN_*. While it may not, its vCPUs and its clock stand still, between two instructions; input still
     * reaches its devices. `quantum` in ns: how long a turn lasts while others wait for theirs; a guest in HLT gives its turn up, and its
     * clock goes on. Of several policies the last call counts; it is void when its policy goes. BP_INVALID: no such mode. */
    bp_status (*run_when)(const bp_host *host, uint32_t mode, uint64_t quantum);
} bp_guests_1;
enum { BP_RUN_ALWAYS = 0, BP_RUN_FOREGROUND = 1, BP_RUN_IN_TURN = 2 };

/* Names kept for what comes: "msr/1", "cpuid/1". */

typedef struct bp_policy {
    uint32_t size, reserved;
    uint32_t (*decide)(void *self, bp_exit *exit, bp_verdict *verdict);          /* [locked] BP_VERDICT_* */
    void (*observe)(void *self, const bp_exit *exit, const bp_outcome *outcome); /* [locked] */
} bp_policy;

/* ---- Classes and the library --------------------------------------------------------------------------------------- */

typedef struct bp_parameter {
    uint32_t size;
    uint32_t type;             /* BP_T_BOOL ... BP_T_TEXT */
    const char *name;
} bp_parameter;
typedef struct bp_method {
    uint32_t size;
    uint32_t result;           /* BP_T_VOID ... BP_T_STATUS */
    const char *name;
    const char *doc;
    const bp_parameter *const *parameters;
    uint32_t parameter_count;  /* at most 8 */
    uint32_t flags;            /* reserved */
    void (*function)(void);    /* really (void *self, parameters...); [locked] */
} bp_method;

/* What a class says of its instances for the tables of firmware (since 1.9): a device of the ACPI name space each, as a rule. Who makes tables gives it
 * its name, _UID, _STA, and _CRS from what the instance has claimed and the lines that it is wired to, so that none of that stands in a plugin.
 * Functions of a PCI bus need no node; one with a role, a template or links has _ADR in place of _HID and _CRS.
 * Text is ASCII. Lists end with NULL and have at most 64 entries of 1 to 63 bytes. A list that is not there (NULL) means all that the instance has; one
 * without entries none. */
enum {                         /* roles: what others find through it */
    BP_NODE_DEVICE = 0,
    BP_NODE_HOST_BRIDGE = 1,   /* the root of the PCI bus that the instance provides. `slots`: the slot of lines that INTx leads to, that of pin p (1 to 4) of
                                * device d to number (d - 1 + p - 1) & 3; then, where there is one, the slot of the lines that it leads to beside, which
                                * the guest uses with an I/O APIC */
    BP_NODE_ISA_BRIDGE = 2,    /* what is on no bus is behind it. `links` where it routes PCI's interrupts too */
    BP_NODE_LINES = 3,         /* no device; for its flags */
    BP_NODE_LOCAL_APIC = 4,    /* no device; `claims`: its registers */
    BP_NODE_IO_APIC = 5,       /* the same */
    BP_NODE_POWER = 6          /* no device. `claims`: 64 ports as a PIIX4 has them: PM1 event at 0, control at 4, timer at 8, GPE0 at 12. `slots`: SCI */
};
enum {
    BP_NODE_NUMBERS_LINES = 1, /* number n of its irq-line/1 is global system interrupt n, below 16 IRQ n */
    BP_NODE_LEVEL = 2,         /* its interrupts are levels, active high, that may be shared; otherwise edges, as ISA's */
    BP_NODE_OPTIONAL = 4,      /* claims that it names need not be there: where none is, the node is left out */
    BP_NODE_HIDDEN = 8,        /* _STA: not shown to users */
    BP_NODE_ONE_RANGE = 16     /* its ports as one range, holes and all */
};
typedef struct bp_firmware_node {
    uint32_t size;
    uint16_t role;             /* BP_NODE_* */
    uint16_t flags;
    const char *hid;           /* "PNP0501": three capital letters and four hex digits; or "QEMU0002": four capital letters or digits and four hex digits.
                                * NULL for functions of PCI, and for roles that make no device */
    const char *const *cids;   /* _CID, of the same form; NULL: none */
    const char *const *claims; /* names of claims (bp_claim) whose ports or memory it has. Each is there once connect is done, or the node is optional */
    const char *const *slots;  /* names of slots of irq-line/1 and dma-channel/1 whose interrupts and channels it has */
    const uint8_t *aml;        /* declarations in ACPI machine language that its device has too, at most 65536 bytes; no statements (Scope, If)
                                * but in methods */
    uint64_t aml_length;
    const char *const *links;  /* names, of four characters, of interrupt link devices (PNP0C0F) that `aml` defines, by number of the instance's
                                * irq-line/1. Their _PRS is added: it depends on the machine */
} bp_firmware_node;

enum { BP_DEVICE = 1, BP_POLICY = 2, BP_LOADER = 3, BP_BACKEND = 4 };
enum { BP_CLASS_NOT_SAVABLE = 1 };
enum { BP_RESET_POWER_ON = 0, BP_RESET_WARM = 1 };

typedef struct bp_class bp_class;
struct bp_class {
    uint32_t size;
    uint16_t kind;             /* BP_DEVICE ... */
    uint16_t flags;            /* BP_CLASS_* */
    uint32_t state_version;    /* of save; load gets the saved one */
    uint32_t property_count, slot_count, provided_count, method_count;
    uint32_t reserved;
    const char *name;          /* unique among the plugins found: the `plugin:` of the machine file */
    const char *summary;
    const bp_property *const *properties;
    const bp_slot *const *slots;
    const bp_provided *const *provided;
    const bp_method *const *methods;
    const bp_policy *policy;   /* BP_POLICY only */
    void *user;                /* the plugin's */

    /* Lifecycle, all [locked], in this order. Any may be NULL but create and destroy.
     *  create     checks its properties (values[i] belongs to properties[i], borrowed) and makes the instance. No service but
     *             log/1, host/1, memory->region and clock->timer may be used. On failure: `fail`, a status, nothing left behind.
     *  query      gives one interface; `client` is the other end (its functions may be called from start on), NULL where the
     *             interface has none. Called before any connect.
     *  connect    claims ports and memory, fetches peers and lines. Backends first, then devices, policies, the loader.
     *  reset      to the state after power-on (kind 0) or RESET (kind 1). Devices first, then the loader, which writes memory
     *             and registers. Before the first start and whenever the machine is reset.
     *  start      the guest is about to run (again).
     *  quiesce    before a save or the end: BP_OK, or BP_PENDING and later `quiesced`. Devices first, then backends.
     *  save, load between quiesce and start; load treats its input as hostile and leaves the instance unchanged on failure.
     *  disconnect no peer may be used after it. Claims, timers and watches that are left are released by the host.
     *  destroy    frees it. */
    bp_status (*create)(const bp_class *cls, const bp_host *host, const bp_value *values, void **self);
    bp_status (*query_interface)(void *self, const char *name, uint32_t index, const bp_peer *client, bp_peer *out);
    bp_status (*connect)(void *self);
    void (*reset)(void *self, uint32_t kind);
    bp_status (*start)(void *self);
    bp_status (*quiesce)(void *self);
    bp_status (*save)(void *self, bp_state *state);
    bp_status (*load)(void *self, uint32_t version, bp_state *state);
    void (*disconnect)(void *self);
    void (*destroy)(void *self);
    bp_status (*set_property)(void *self, uint32_t property, const bp_value *value); /* BP_PROPERTY_LIVE ones */

    /* Since 1.4, may be NULL. In place of create where a machine file is only checked (`backplane check`): says, by `fail` and a
     * status, whether create would succeed now, and changes nothing outside of the process: makes, locks and connects to nothing,
     * and opens nothing for writing. Services as in create. A class of backends without it is then not looked at; of the other
     * kinds create and connect are called. */
    bp_status (*check)(const bp_class *cls, const bp_host *host, const bp_value *values);

    /* Since 1.9: what an instance is to an operating system that has to be told of it (bp_firmware_node), at most 16 nodes; 0: PCI tells of it, or
     * nobody needs to know. */
    uint32_t node_count, reserved_nodes;
    const bp_firmware_node *const *nodes;
};

/* "wiring/1": the other ends of the instance's own slots. From connect on. */
typedef struct bp_wiring_1 {
    uint32_t size, reserved;
    bp_status (*peer)(const bp_host *host, const char *slot, uint32_t position, bp_peer *out); /* BP_NOT_FOUND: not wired */
    uint32_t (*count)(const bp_host *host, const char *slot);                                  /* wires of the slot */
} bp_wiring_1;

/* "survey/1" (since 1.5): what the machine is made of, by number: for those who describe it to its guest. From reset on. */
enum {
    BP_SURVEY_INSTANCE = 1,    /* in the order of the machine file */
    BP_SURVEY_CLAIM = 2,       /* claims that answer something now */
    BP_SURVEY_WIRE = 3
};
typedef struct bp_survey_item {
    uint32_t size;
    uint32_t kind;             /* BP_SURVEY_* */
    uint32_t instance;         /* whose it is: its number as an instance */
    uint32_t index;            /* claim: BP_SPACE_*. wire: the N of the other end, `instance.N` */
    uint64_t base, length;     /* claim */
    uint32_t target;           /* wire: the number of the instance at the other end */
    uint32_t position;         /* wire: position in its slot */
    char name[64];             /* instance: its id. claim: its name. wire: its slot. Cut off where it is longer */
    char type[64];             /* instance: its class. wire: its interface */
} bp_survey_item;
typedef struct bp_survey_1 {
    uint32_t size, reserved;
    uint32_t (*count)(const bp_host *host, uint32_t kind);
    bp_status (*get)(const bp_host *host, uint32_t kind, uint32_t number, bp_survey_item *out); /* BP_NOT_FOUND: there are fewer */
    /* Since 1.9. A node of the class of an instance (its number), as the class declares it; the host has checked it, and what it points to is there
     * until disconnect. BP_NOT_FOUND: there are fewer. */
    bp_status (*node)(const bp_host *host, uint32_t instance, uint32_t number, bp_firmware_node *out);
} bp_survey_1;

enum { BP_PLUGIN_UNLOADABLE = 1 };  /* may be dlclosed once no instance is left; never true of a Swift library */

typedef struct bp_plugin {
    uint32_t size;
    uint16_t abi_major;        /* BP_ABI_MAJOR of this header */
    uint16_t abi_minor;        /* the lowest minor that the library needs */
    uint32_t flags;            /* BP_PLUGIN_* */
    uint32_t class_count;
    const char *name, *version, *summary, *licence; /* licence: an SPDX identifier */
    const bp_class *const *classes;
} bp_plugin;

/* The one symbol that a library exports. Called once after dlopen, on any thread, with the host's ABI version; returns a
 * static descriptor, NULL if it cannot work with this host. It must do nothing else. */
typedef const bp_plugin *(*bp_plugin_entry)(uint32_t host_major, uint32_t host_minor);
#if defined(__GNUC__)
#define BP_EXPORT __attribute__((visibility("default")))
#else
#define BP_EXPORT
#endif
#if !defined(BP_NO_ENTRY_PROTOTYPE) && !defined(__swift__)
BP_EXPORT const bp_plugin *backplane_plugin(uint32_t host_major, uint32_t host_minor);
#endif

/* ---- Helpers for C ------------------------------------------------------------------------------------------------- */
#if !defined(BP_NO_HELPERS) && !defined(__swift__)
#include <stdarg.h>
#include <stdio.h>
/* `return bp_fail(host, BP_INVALID, "mode %u is not 0 to 5", mode);` */
#if defined(__GNUC__)
__attribute__((unused, format(printf, 3, 4)))
#endif
static inline bp_status bp_fail(const bp_host *host, bp_status status, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0) length = 0;
    if ((size_t)length >= sizeof text) length = (int)sizeof text - 1;
    host->fail(host, text, (uint64_t)length);
    return status;
}
#endif

#ifdef __cplusplus
}
#endif
#endif
