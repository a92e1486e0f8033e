/// The templates of plugins in C: one source file, its unit test and a Makefile. Identifiers do not hold the plugin's
/// name, so that no name can collide with C or the header.
enum ScaffoldC {
    static let device = [
        Scaffold.File(path: "@NAME@.c", text: deviceSource),
        Scaffold.File(path: "test.c", text: deviceTest),
        Scaffold.File(path: "Makefile", text: makefile),
    ]
    static let policy = [
        Scaffold.File(path: "@NAME@.c", text: policySource),
        Scaffold.File(path: "test.c", text: policyTest),
        Scaffold.File(path: "Makefile", text: makefile),
    ]
    static let backend = [
        Scaffold.File(path: "@NAME@.c", text: backendSource),
        Scaffold.File(path: "test.c", text: backendTest),
        Scaffold.File(path: "Makefile", text: makefile),
    ]

    /// Tabs are make's.
    static let makefile = """
        # make: build @NAME@.so.  make test: unit tests, the bench, machine.yaml.  make clean
        PKG_CONFIG ?= pkg-config
        BACKPLANE ?= $(subst \\,,$(shell $(PKG_CONFIG) --variable=executable backplane))
        CFLAGS ?= -O2 -g
        ALL_CFLAGS = -std=c11 -Wall -Wextra $(shell $(PKG_CONFIG) --cflags backplane) $(CPPFLAGS) $(CFLAGS)

        all: @NAME@.so

        @NAME@.so: @NAME@.c | found
        \t$(CC) $(ALL_CFLAGS) -shared -fPIC -fvisibility=hidden $(LDFLAGS) -o $@ $<

        test-unit: test.c @NAME@.c | found
        \t$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $<

        test: @NAME@.so test-unit
        \t./test-unit
        \t"$(BACKPLANE)" plugin test ./@NAME@.so
        \t"$(BACKPLANE)" check machine.yaml

        clean:
        \trm -f @NAME@.so test-unit

        # What is missing is said once, in words.
        found:
        \t@$(PKG_CONFIG) --exists backplane || { \\
        \t  echo "pkg-config finds no Backplane: set PKG_CONFIG_PATH=PREFIX/lib/pkgconfig" >&2; exit 1; }

        .PHONY: all test clean found

        """

    // MARK: Device

    private static let deviceSource = #"""
        /* @NAME@ - a counter in three I/O ports, with a limit and an interrupt.
         *
         *     +0 COUNT   reads as the count, 0 to 255. A write adds its value, modulo 256.
         *     +1 LIMIT   the count that sets REACHED; 0: none.
         *     +2 STATUS  bit 0 REACHED, which drives the interrupt line. Writing a 1 clears it.
         */
        #include <backplane/plugin.h>
        #include <stdlib.h>

        /* ---- The chip: pure, no host in it; test.c tests it ----------------------------------------- */

        enum { COUNT = 0, LIMIT = 1, STATUS = 2, REGISTERS = 3 };
        enum { REACHED = 1 << 0 };

        typedef struct chip {
            uint8_t count, limit, status;
        } chip;

        static chip chip_after_reset(uint8_t limit) { return (chip){.limit = limit}; }

        static uint8_t chip_read(const chip *c, uint64_t offset) {
            switch (offset) {
            case COUNT: return c->count;
            case LIMIT: return c->limit;
            default: return c->status;
            }
        }

        static void chip_write(chip *c, uint64_t offset, uint8_t value) {
            switch (offset) {
            case COUNT: {
                unsigned sum = c->count + value;
                if (c->limit != 0 && sum >= c->limit) c->status |= REACHED;
                c->count = (uint8_t)sum;
                break;
            }
            case LIMIT: c->limit = value; break;
            default: c->status &= (uint8_t)~(value & REACHED); break;
            }
        }

        /* The pin, derived from the registers. */
        static int chip_interrupt(const chip *c) { return (c->status & REACHED) != 0; }

        /* ---- The instance: one struct for each, no global variable ----------------------------------- */

        typedef struct device {
            const bp_host *host;
            const bp_irq_1 *irq;
            bp_id line; /* 0: not wired */
            uint16_t base;
            uint8_t limit; /* LIMIT after a reset */
            chip chip;
        } device;

        /* Tells the line what the pin says; a level that has not changed costs nothing. */
        static void settle(device *d) {
            if (d->line) d->irq->set(d->host, d->line, (uint32_t)chip_interrupt(&d->chip));
        }

        /* Handlers. The claim takes bytes only; the host splits wider accesses. No read has a side effect, so that
         * a debugger's peek (BP_ACCESS_PEEK) needs no care. */
        static bp_status device_read(void *self, const bp_access *access, uint64_t *value) {
            device *d = self;
            *value = chip_read(&d->chip, access->offset);
            return BP_OK;
        }

        static bp_status device_write(void *self, const bp_access *access, uint64_t value) {
            device *d = self;
            chip_write(&d->chip, access->offset, (uint8_t)value);
            settle(d);
            return BP_OK;
        }

        /* ---- Lifecycle ------------------------------------------------------------------------------- */

        enum { PROPERTY_AT, PROPERTY_LIMIT, PROPERTIES };

        static bp_status device_create(const bp_class *cls, const bp_host *host, const bp_value *values, void **self) {
            (void)cls;
            if (values[PROPERTY_AT].u > 0x10000 - REGISTERS)
                return bp_fail(host, BP_INVALID, "at 0x%x leaves no room for three ports",
                               (unsigned)values[PROPERTY_AT].u);
            device *d = calloc(1, sizeof *d);
            if (!d) return bp_fail(host, BP_NO_MEMORY, "there is no memory for an instance");
            d->host = host;
            d->base = (uint16_t)values[PROPERTY_AT].u;
            d->limit = (uint8_t)values[PROPERTY_LIMIT].u; /* its bounds are declared below, and the host checks them */
            d->chip = chip_after_reset(d->limit);
            *self = d;
            return BP_OK;
        }

        static bp_status device_connect(void *self) {
            device *d = self;
            const bp_io_1 *io = d->host->service(d->host, "io/1");
            d->irq = d->host->service(d->host, "irq/1");
            if (!io || !d->irq) return bp_fail(d->host, BP_UNSUPPORTED, "this host lacks io/1 or irq/1");
            bp_status status = d->irq->line(d->host, "irq", 0, &d->line);
            if (status == BP_NOT_FOUND) d->line = 0; /* the slot is optional */
            else if (status != BP_OK) return bp_fail(d->host, status, "the interrupt line cannot be had");
            bp_claim claim = {
                .size = sizeof claim, .space = BP_SPACE_PORT, .widths = 1, .base = d->base, .length = REGISTERS,
                .name = "counter", .read = device_read, .write = device_write,
            };
            bp_id id; /* the host releases what is left at disconnect */
            return io->claim(d->host, &claim, &id);
        }

        static void device_reset(void *self, uint32_t kind) {
            device *d = self;
            (void)kind; /* power-on and RESET are the same to it */
            d->chip = chip_after_reset(d->limit);
            settle(d);
        }

        static void device_destroy(void *self) { free(self); }

        /* ---- State: tagged fields; what comes back is hostile ---------------------------------------- */

        static bp_status device_save(void *self, bp_state *state) {
            device *d = self;
            const bp_state_1 *fields = d->host->service(d->host, "state/1");
            if (!fields) return bp_fail(d->host, BP_UNSUPPORTED, "this host does not offer state/1");
            bp_status status = fields->put_unsigned(state, "count", d->chip.count, 0);
            if (status == BP_OK) status = fields->put_unsigned(state, "limit", d->chip.limit, 0);
            if (status == BP_OK) status = fields->put_unsigned(state, "status", d->chip.status, 0);
            return status;
        }

        static bp_status get(device *d, const bp_state_1 *fields, bp_state *state, const char *key, unsigned most,
                             uint8_t *out) {
            uint64_t value;
            bp_status status = fields->get_unsigned(state, key, &value);
            if (status != BP_OK) return bp_fail(d->host, status, "the state has no number \"%s\"", key);
            if (value > most)
                return bp_fail(d->host, BP_INVALID, "%s %llu is more than %u", key, (unsigned long long)value, most);
            *out = (uint8_t)value;
            return BP_OK;
        }

        static bp_status device_load(void *self, uint32_t version, bp_state *state) {
            device *d = self;
            (void)version; /* there is only 1 so far */
            const bp_state_1 *fields = d->host->service(d->host, "state/1");
            if (!fields) return bp_fail(d->host, BP_UNSUPPORTED, "this host does not offer state/1");
            chip loaded; /* the instance stays as it is until all of it is good */
            bp_status status = get(d, fields, state, "count", 255, &loaded.count);
            if (status == BP_OK) status = get(d, fields, state, "limit", 255, &loaded.limit);
            if (status == BP_OK) status = get(d, fields, state, "status", REACHED, &loaded.status);
            if (status != BP_OK) return status;
            d->chip = loaded;
            settle(d);
            return BP_OK;
        }

        /* ---- Methods: ordinary functions, called by name from on-start: and the monitor --------------- */

        static uint8_t device_count(void *self) { return ((device *)self)->chip.count; }

        static void device_clear(void *self) {
            device *d = self;
            d->chip.count = 0;
            d->chip.status = 0;
            settle(d);
        }

        /* ---- The class and the library: constants ---------------------------------------------------- */

        static const bp_property at_property = {
            .size = sizeof(bp_property), .type = BP_PORT, .name = "at", .default_value = "0x2e0",
            .doc = "The first of three ports.",
        };
        static const bp_property limit_property = {
            .size = sizeof(bp_property), .type = BP_UNSIGNED, .flags = BP_PROPERTY_BOUNDED, .name = "limit",
            .default_value = "0", .doc = "LIMIT after each reset; 0: none.", .minimum = 0, .maximum = 255,
        };
        static const bp_property *const properties[PROPERTIES] = {
            [PROPERTY_AT] = &at_property, [PROPERTY_LIMIT] = &limit_property,
        };

        static const bp_slot irq_slot = {
            .size = sizeof(bp_slot), .flags = BP_SLOT_OPTIONAL, .name = "irq", .interface = "irq-line/1",
            .doc = "Raised while REACHED is set.",
        };
        static const bp_slot *const slots[] = {&irq_slot};

        static const bp_method count_method = {
            .size = sizeof(bp_method), .result = BP_T_U8, .name = "count", .doc = "Answers the count.",
            .function = (void (*)(void))device_count,
        };
        static const bp_method clear_method = {
            .size = sizeof(bp_method), .result = BP_T_VOID, .name = "clear", .doc = "Sets count and status to 0.",
            .function = (void (*)(void))device_clear,
        };
        static const bp_method *const methods[] = {&count_method, &clear_method};

        /* What it is to an operating system with ACPI, by an ID of yours; its ports and its interrupt are found by what it claims and is wired to. */
        static const bp_firmware_node node = {.size = sizeof(bp_firmware_node), .hid = "BCKP0001"};
        static const bp_firmware_node *const nodes[] = {&node};

        static const bp_class device_class = {
            .size = sizeof(bp_class), .kind = BP_DEVICE, .state_version = 1, .name = "@NAME@",
            .summary = "a counter in three ports",
            .property_count = PROPERTIES, .properties = properties, .slot_count = 1, .slots = slots,
            .method_count = 2, .methods = methods,
            .create = device_create, .connect = device_connect, .reset = device_reset,
            .save = device_save, .load = device_load, .destroy = device_destroy, /* the others: nothing to do */
            .node_count = 1, .nodes = nodes,
        };
        static const bp_class *const classes[] = {&device_class};

        static const bp_plugin plugin = {
            .size = sizeof(bp_plugin), .abi_major = BP_ABI_MAJOR, .abi_minor = 0, /* the lowest minor that it needs */
            .flags = BP_PLUGIN_UNLOADABLE, .name = "@NAME@", .version = "0.1", .licence = "NONE",
            .summary = "a counter in three ports", .class_count = 1, .classes = classes,
        };

        /* The one symbol of the library. */
        const bp_plugin *backplane_plugin(uint32_t host_major, uint32_t host_minor) {
            (void)host_minor; /* the host refuses what needs a newer minor, and names both */
            return host_major == BP_ABI_MAJOR ? &plugin : NULL;
        }

        """#

    private static let deviceTest = #"""
        /* Tests of the chip alone: registers in, pins out. */
        #include "@NAME@.c"
        #include <stdio.h>

        static int failures;

        static void check(int is_good, const char *outcome) {
            if (!is_good) failures++;
            printf("%s %s\n", is_good ? "ok    " : "FAILED", outcome);
        }

        int main(void) {
            chip c = chip_after_reset(10);
            check(c.count == 0 && c.limit == 10 && !chip_interrupt(&c), "reset sets the limit and nothing else");

            chip_write(&c, 0, 9);
            check(chip_read(&c, 0) == 9 && !chip_interrupt(&c), "below the limit there is no interrupt");
            chip_write(&c, 0, 1);
            check(chip_read(&c, 2) == 1 && chip_interrupt(&c), "reaching the limit interrupts");
            chip_write(&c, 2, 0);
            check(chip_interrupt(&c), "writing 0 to STATUS clears nothing");
            chip_write(&c, 2, 1);
            check(chip_read(&c, 2) == 0 && !chip_interrupt(&c), "writing 1 to STATUS clears REACHED");

            c = chip_after_reset(0);
            chip_write(&c, 0, 255);
            chip_write(&c, 0, 2);
            check(chip_read(&c, 0) == 1 && !chip_interrupt(&c), "without a limit the count wraps in silence");

            c = chip_after_reset(255);
            chip_write(&c, 0, 200);
            chip_write(&c, 0, 200);
            check(chip_read(&c, 0) == 144 && chip_interrupt(&c), "a sum that wraps has passed the limit");
            return failures != 0;
        }

        """#
}
