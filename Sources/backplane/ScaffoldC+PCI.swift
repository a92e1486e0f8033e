// The template of a device on a PCI bus, in C.

extension ScaffoldC {
    static let pci = [
        Scaffold.File(path: "@NAME@.c", text: pciSource),
        Scaffold.File(path: "test.c", text: pciTest),
        Scaffold.File(path: "Makefile", text: makefile),
    ]

    private static let pciSource = #"""
        /* @NAME@ - a counter on a PCI bus, with a limit, an interrupt and a way to memory. Base address register 0, 32 bits each:
         *
         *     +0 COUNT   reads as the count. A write adds its value, modulo 2^32.
         *     +4 LIMIT   the count that sets REACHED; 0: none.
         *     +8 STATUS  bit 0 REACHED, which asserts INTA#; bit 1 FAILED: the last store did not reach memory. Writing a 1 clears.
         *     +C STORE   a write stores the count at this address, by DMA. Reads as 0.
         */
        #include <backplane/pci.h>
        #include <stdlib.h>

        /* ---- The chip: pure, no host in it; test.c tests it ----------------------------------------- */

        enum { COUNT = 0x0, LIMIT = 0x4, STATUS = 0x8, STORE = 0xC };
        enum { REACHED = 1 << 0, FAILED = 1 << 1 };

        typedef struct chip {
            uint32_t count, limit, status;
        } chip;

        static chip chip_after_reset(uint32_t limit) { return (chip){.limit = limit}; }

        static uint32_t chip_read(const chip *c, uint64_t offset) {
            switch (offset) {
            case COUNT: return c->count;
            case LIMIT: return c->limit;
            case STATUS: return c->status;
            default: return 0;
            }
        }

        static void chip_write(chip *c, uint64_t offset, uint32_t value) {
            switch (offset) {
            case COUNT: {
                uint64_t sum = (uint64_t)c->count + value;
                if (c->limit != 0 && sum >= c->limit) c->status |= REACHED;
                c->count = (uint32_t)sum;
                break;
            }
            case LIMIT: c->limit = value; break;
            case STATUS: c->status &= ~(value & (REACHED | FAILED)); break;
            default: break;
            }
        }

        static void chip_stored(chip *c, int succeeded) {
            if (succeeded) c->status &= ~(uint32_t)FAILED;
            else c->status |= FAILED;
        }

        /* The pin, derived from the registers. */
        static int chip_interrupt(const chip *c) { return (c->status & REACHED) != 0; }

        /* ---- The instance: one struct for each, no global variable ----------------------------------- */

        typedef struct device {
            bp_pci_function pci; /* first: the bus's functions find it by `self` */
            uint32_t limit;      /* LIMIT after a reset */
            chip chip;
        } device;

        static void settle(device *d) { bp_pci_interrupt(&d->pci, chip_interrupt(&d->chip)); }

        /* Handlers. The claim takes 32 bits; the host splits wider accesses. No read has a side effect, so that a debugger's peek
         * (BP_ACCESS_PEEK) needs no care. */
        static bp_status device_read(void *self, const bp_access *access, uint64_t *value) {
            device *d = self;
            *value = chip_read(&d->chip, access->offset);
            return access->offset <= STORE ? BP_OK : BP_NO_REGISTER;
        }

        static bp_status device_write(void *self, const bp_access *access, uint64_t value) {
            device *d = self;
            if (access->offset > STORE) return BP_NO_REGISTER;
            if (access->offset == STORE) {
                uint8_t bytes[4];
                for (int i = 0; i < 4; i++) bytes[i] = (uint8_t)(d->chip.count >> (8 * i));
                chip_stored(&d->chip, bp_pci_dma_write(&d->pci, value, bytes, sizeof bytes) == BP_OK);
            } else {
                chip_write(&d->chip, access->offset, (uint32_t)value);
            }
            settle(d);
            return BP_OK;
        }

        /* ---- Lifecycle ------------------------------------------------------------------------------- */

        static void device_reset(void *self, uint32_t kind) {
            device *d = self;
            (void)kind; /* power-on and RESET are the same to it */
            bp_pci_reset(&d->pci);
            d->chip = chip_after_reset(d->limit);
            settle(d);
        }

        static void device_bus_reset(void *self, uint32_t index) {
            (void)index;
            device_reset(self, 1);
        }

        static bp_status device_create(const bp_class *cls, const bp_host *host, const bp_value *values, void **self) {
            (void)cls;
            device *d = calloc(1, sizeof *d);
            if (!d) return bp_fail(host, BP_NO_MEMORY, "there is no memory for an instance");
            /* Vendor 1234H is nobody's, and class FFH is for what fits no other. */
            bp_pci_init(&d->pci, host, &(bp_pci_identity){.vendor = 0x1234, .device = 0x4242, .class_code = 0xff0000, .interrupt_pin = 1});
            bp_claim registers = {.widths = 4, .name = "counter", .read = device_read, .write = device_write};
            bp_status status = bp_pci_registers(&d->pci, 0, BP_PCI_MEMORY, 4096, &registers);
            if (status != BP_OK) {
                free(d);
                return status;
            }
            d->limit = (uint32_t)values[0].u; /* its bounds are declared below, and the host checks them */
            d->chip = chip_after_reset(d->limit);
            *self = d;
            return BP_OK;
        }

        static bp_status device_connect(void *self) { return bp_pci_connect(&((device *)self)->pci, "bus"); }

        static void device_destroy(void *self) { free(self); }

        /* ---- State: tagged fields; what comes back is hostile ---------------------------------------- */

        static bp_status device_save(void *self, bp_state *state) {
            device *d = self;
            const bp_state_1 *fields = d->pci.host->service(d->pci.host, "state/1");
            if (!fields) return bp_fail(d->pci.host, BP_UNSUPPORTED, "this host does not offer state/1");
            bp_status status = bp_pci_save(&d->pci, fields, state);
            if (status == BP_OK) status = fields->put_unsigned(state, "count", d->chip.count, 0);
            if (status == BP_OK) status = fields->put_unsigned(state, "limit", d->chip.limit, 0);
            if (status == BP_OK) status = fields->put_unsigned(state, "status", d->chip.status, 0);
            return status;
        }

        static bp_status get(device *d, const bp_state_1 *fields, bp_state *state, const char *key, uint32_t most, uint32_t *out) {
            uint64_t value;
            bp_status status = fields->get_unsigned(state, key, &value);
            if (status != BP_OK) return bp_fail(d->pci.host, status, "the state has no number \"%s\"", key);
            if (value > most)
                return bp_fail(d->pci.host, BP_INVALID, "%s %llu is more than %u", key, (unsigned long long)value, most);
            *out = (uint32_t)value;
            return BP_OK;
        }

        static bp_status device_load(void *self, uint32_t version, bp_state *state) {
            device *d = self;
            (void)version; /* there is only 1 so far */
            const bp_state_1 *fields = d->pci.host->service(d->pci.host, "state/1");
            if (!fields) return bp_fail(d->pci.host, BP_UNSUPPORTED, "this host does not offer state/1");
            chip loaded; /* the instance stays as it is until all of it is good */
            uint8_t configuration[256];
            bp_status status = bp_pci_load(&d->pci, fields, state, configuration);
            if (status == BP_OK) status = get(d, fields, state, "count", UINT32_MAX, &loaded.count);
            if (status == BP_OK) status = get(d, fields, state, "limit", UINT32_MAX, &loaded.limit);
            if (status == BP_OK) status = get(d, fields, state, "status", REACHED | FAILED, &loaded.status);
            if (status != BP_OK) return status;
            d->chip = loaded;
            bp_pci_take(&d->pci, configuration, chip_interrupt(&loaded));
            return BP_OK;
        }

        /* ---- The class and the library: constants ---------------------------------------------------- */

        static const bp_property limit_property = {
            .size = sizeof(bp_property), .type = BP_UNSIGNED, .flags = BP_PROPERTY_BOUNDED, .name = "limit",
            .default_value = "0", .doc = "LIMIT after each reset; 0: none.", .minimum = 0, .maximum = UINT32_MAX,
        };
        static const bp_property *const properties[] = {&limit_property};

        static const bp_pci_client bus_functions = {
            .size = sizeof(bp_pci_client), .config_read = bp_pci_config_read, .config_write = bp_pci_config_write,
            .bus_reset = device_bus_reset,
        };
        static const bp_slot bus_slot = {
            .size = sizeof(bp_slot), .name = "bus", .interface = "pci/1", .doc = "Its place on the PCI bus.",
            .client = &bus_functions,
        };
        static const bp_slot *const slots[] = {&bus_slot};

        static const bp_class device_class = {
            .size = sizeof(bp_class), .kind = BP_DEVICE, .state_version = 1, .name = "@NAME@",
            .summary = "a counter on a PCI bus",
            .property_count = 1, .properties = properties, .slot_count = 1, .slots = slots,
            .create = device_create, .connect = device_connect, .reset = device_reset,
            .save = device_save, .load = device_load, .destroy = device_destroy, /* the others: nothing to do */
        };
        static const bp_class *const classes[] = {&device_class};

        static const bp_plugin plugin = {
            .size = sizeof(bp_plugin), .abi_major = BP_ABI_MAJOR, .abi_minor = 4, /* the lowest minor that it needs */
            .flags = BP_PLUGIN_UNLOADABLE, .name = "@NAME@", .version = "0.1", .licence = "NONE",
            .summary = "a counter on a PCI bus", .class_count = 1, .classes = classes,
        };

        /* The one symbol of the library. */
        const bp_plugin *backplane_plugin(uint32_t host_major, uint32_t host_minor) {
            (void)host_minor; /* the host refuses what needs a newer minor, and names both */
            return host_major == BP_ABI_MAJOR ? &plugin : NULL;
        }

        """#

    private static let pciTest = #"""
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

            chip_write(&c, COUNT, 9);
            check(chip_read(&c, COUNT) == 9 && !chip_interrupt(&c), "below the limit there is no interrupt");
            chip_write(&c, COUNT, 1);
            check(chip_read(&c, STATUS) == REACHED && chip_interrupt(&c), "reaching the limit interrupts");
            chip_write(&c, STATUS, 0);
            check(chip_interrupt(&c), "writing 0 to STATUS clears nothing");
            chip_write(&c, STATUS, REACHED);
            check(chip_read(&c, STATUS) == 0 && !chip_interrupt(&c), "writing 1 to STATUS clears REACHED");

            c = chip_after_reset(UINT32_MAX);
            chip_write(&c, COUNT, 0x80000001);
            chip_write(&c, COUNT, 0x80000001);
            check(chip_read(&c, COUNT) == 2 && chip_interrupt(&c), "a sum that wraps has passed the limit");

            chip_stored(&c, 0);
            check(chip_read(&c, STATUS) == (REACHED | FAILED), "a store that failed shows");
            chip_stored(&c, 1);
            check(chip_read(&c, STATUS) == REACHED, "until one succeeds");
            return failures != 0;
        }

        """#
}
