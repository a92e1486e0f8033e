/* lfsr - a port that reads as pseudo-random numbers. Also the model of a device plugin in C: it needs this file, the
 * header backplane/plugin.h and a C11 compiler:
 *
 *     cc -std=c11 -shared -fPIC -fvisibility=hidden -o lfsr.so lfsr.c
 *
 * The register is a 16-bit linear feedback shift register in Galois form for x^16 + x^14 + x^13 + x^11 + 1: a step
 * shifts right and, where a 1 falls out, exclusive-ors 0xB400 in. It passes through all 65535 values but 0, which it
 * could never leave. Source: P. Alfke, Xilinx XAPP 052, table 3 (taps 16, 14, 13, 11).
 *
 * Guest side, two ports:
 *     +0  byte: steps 8 times, reads as the low byte.  word: steps 16 times, reads as the whole register.
 *     +1  there is no register here of its own; a word at +0 covers it.
 * Writes are dropped. A peek, as a debugger makes it, shows the next value without stepping.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <backplane/plugin.h>
#include <stdlib.h>

/* ---- The chip: pure, no host in it ------------------------------------------------------------------------------- */

static uint16_t lfsr_after(uint16_t value, unsigned steps) {
    while (steps-- > 0) value = (uint16_t)((value >> 1) ^ ((value & 1) ? 0xB400 : 0));
    return value;
}

/* ---- The instance ------------------------------------------------------------------------------------------------ */

/* One struct for each instance, no global variable: a process may have many machines, a machine many of these. */
typedef struct lfsr {
    const bp_host *host;
    uint16_t base;  /* first port */
    uint16_t seed;  /* the register after reset; never 0 */
    uint16_t value; /* the register; never 0 */
} lfsr;

/* Handlers. The claim below takes widths 1 and 2 only, so no other comes here; the host splits the rest. */
static bp_status lfsr_read(void *self, const bp_access *access, uint64_t *value) {
    lfsr *device = self;
    if (access->offset != 0) return BP_NO_REGISTER;
    uint16_t next = lfsr_after(device->value, 8u * access->width);
    *value = next; /* the host takes the low `width` bytes */
    if (!(access->flags & BP_ACCESS_PEEK)) device->value = next;
    return BP_OK;
}

/* ---- Lifecycle --------------------------------------------------------------------------------------------------- */

/* values[i] belongs to lfsr_properties[i]: resolved, within the declared bounds, or the default. */
enum { PROPERTY_AT, PROPERTY_SEED };

static bp_status lfsr_create(const bp_class *cls, const bp_host *host, const bp_value *values, void **self) {
    (void)cls;
    /* What the bounds of one property cannot say is checked here. */
    if (values[PROPERTY_AT].u > 0xFFFE)
        return bp_fail(host, BP_INVALID, "at 0x%x leaves no room for two ports", (unsigned)values[PROPERTY_AT].u);
    lfsr *device = calloc(1, sizeof *device);
    if (!device) return bp_fail(host, BP_NO_MEMORY, "there is no memory for an instance");
    device->host = host;
    device->base = (uint16_t)values[PROPERTY_AT].u;
    device->seed = (uint16_t)values[PROPERTY_SEED].u;
    device->value = device->seed;
    *self = device;
    return BP_OK;
}

static bp_status lfsr_connect(void *self) {
    lfsr *device = self;
    const bp_io_1 *io = device->host->service(device->host, "io/1");
    if (!io) return bp_fail(device->host, BP_UNSUPPORTED, "this host does not offer the service io/1");
    bp_claim claim = {
        .size = sizeof claim,
        .space = BP_SPACE_PORT,
        .widths = 1 | 2,
        .base = device->base,
        .length = 2,
        .name = "random numbers",
        .read = lfsr_read, /* no write handler: writes are dropped */
    };
    bp_id id; /* the host releases what is left at disconnect */
    return io->claim(device->host, &claim, &id);
}

static void lfsr_reset(void *self, uint32_t kind) {
    lfsr *device = self;
    (void)kind; /* power-on and RESET are the same to it */
    device->value = device->seed;
}

static void lfsr_destroy(void *self) { free(self); }

/* ---- State: tagged fields, and what comes back is hostile -------------------------------------------------------- */

static bp_status lfsr_save(void *self, bp_state *state) {
    lfsr *device = self;
    const bp_state_1 *fields = device->host->service(device->host, "state/1");
    if (!fields) return bp_fail(device->host, BP_UNSUPPORTED, "this host does not offer the service state/1");
    return fields->put_unsigned(state, "value", device->value, 0);
}

static bp_status lfsr_load(void *self, uint32_t version, bp_state *state) {
    lfsr *device = self;
    (void)version; /* there is only 1 so far */
    const bp_state_1 *fields = device->host->service(device->host, "state/1");
    if (!fields) return bp_fail(device->host, BP_UNSUPPORTED, "this host does not offer the service state/1");
    uint64_t value;
    bp_status status = fields->get_unsigned(state, "value", &value);
    if (status != BP_OK) return bp_fail(device->host, status, "the state has no number \"value\"");
    if (value < 1 || value > 0xFFFF)
        return bp_fail(device->host, BP_INVALID, "value %llu is not 1 to 65535", (unsigned long long)value);
    device->value = (uint16_t)value;
    return BP_OK;
}

/* ---- Methods: ordinary functions, called by name with checked arguments ------------------------------------------ */

static bp_status lfsr_set_value(void *self, uint16_t value) {
    lfsr *device = self;
    if (value == 0) return bp_fail(device->host, BP_INVALID, "0 is no seed: the register would stay 0 for ever");
    device->value = value;
    return BP_OK;
}

static uint16_t lfsr_value(void *self) { return ((lfsr *)self)->value; }

/* ---- The class and the library: constants ------------------------------------------------------------------------ */

static const bp_property at_property = {
    .size = sizeof(bp_property), .type = BP_PORT, .name = "at", .default_value = "0x1e0",
    .doc = "The first of two ports.",
};
static const bp_property seed_property = {
    .size = sizeof(bp_property), .type = BP_UNSIGNED, .flags = BP_PROPERTY_BOUNDED, .name = "seed",
    .default_value = "0xACE1", .doc = "The register after each reset.", .minimum = 1, .maximum = 65535,
};
static const bp_property *const lfsr_properties[] = {
    [PROPERTY_AT] = &at_property, [PROPERTY_SEED] = &seed_property,
};

static const bp_parameter value_parameter = {.size = sizeof(bp_parameter), .type = BP_T_U16, .name = "value"};
static const bp_parameter *const seed_parameters[] = {&value_parameter};
static const bp_method seed_method = {
    .size = sizeof(bp_method), .result = BP_T_STATUS, .name = "seed", .parameters = seed_parameters,
    .parameter_count = 1, .doc = "Sets the register, until the next reset.",
    .function = (void (*)(void))lfsr_set_value,
};
static const bp_method state_method = {
    .size = sizeof(bp_method), .result = BP_T_U16, .name = "state", .doc = "Answers the register without stepping it.",
    .function = (void (*)(void))lfsr_value,
};
static const bp_method *const lfsr_methods[] = {&seed_method, &state_method};

static const bp_class lfsr_class = {
    .size = sizeof(bp_class), .kind = BP_DEVICE, .state_version = 1, .name = "lfsr",
    .summary = "a port that reads as pseudo-random numbers",
    .property_count = 2, .properties = lfsr_properties, .method_count = 2, .methods = lfsr_methods,
    .create = lfsr_create, .connect = lfsr_connect, .reset = lfsr_reset,
    .save = lfsr_save, .load = lfsr_load, .destroy = lfsr_destroy, /* all others: NULL, nothing to do */
};
static const bp_class *const lfsr_classes[] = {&lfsr_class};

static const bp_plugin lfsr_plugin = {
    .size = sizeof(bp_plugin), .abi_major = BP_ABI_MAJOR, .abi_minor = 0, /* nothing newer than 1.0 is used */
    .flags = BP_PLUGIN_UNLOADABLE, .name = "lfsr", .version = "1.0", .licence = "Apache-2.0",
    .summary = "a 16-bit linear feedback shift register", .class_count = 1, .classes = lfsr_classes,
};

/* The one symbol of the library. */
const bp_plugin *backplane_plugin(uint32_t host_major, uint32_t host_minor) {
    (void)host_minor; /* the host refuses what needs a newer minor, and names both */
    return host_major == BP_ABI_MAJOR ? &lfsr_plugin : NULL;
}
