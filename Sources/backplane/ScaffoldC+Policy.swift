extension ScaffoldC {
    static let policySource = #"""
        /* @NAME@ - an exit policy: ports that no device claims read as a chosen byte, and are counted.
         *
         * Writes to them are dropped. String instructions and all other accesses go to the next policy of the chain.
         */
        #include <backplane/plugin.h>
        #include <stdlib.h>

        /* ---- Decisions: pure, no host in them; test.c tests them ------------------------------------- */

        /* What a read of `width` bytes (1, 2 or 4) gives: `byte` in each of them. */
        static uint64_t value_of_read(uint8_t byte, uint32_t width) {
            uint64_t value = 0;
            for (uint32_t i = 0; i < width && i < 8; i++) value = value << 8 | byte;
            return value;
        }

        /* Answers a BP_VERDICT_*. A read's result goes to `exit->value`. */
        static uint32_t verdict_of(bp_exit *exit, uint8_t byte) {
            if (exit->reason != BP_EXIT_IO || !(exit->flags & BP_EXITF_UNCLAIMED)) return BP_VERDICT_CONTINUE;
            if (exit->flags & BP_EXITF_STRING) return BP_VERDICT_CONTINUE;
            if (!(exit->flags & BP_EXITF_WRITE)) exit->value = value_of_read(byte, exit->width);
            return BP_VERDICT_HANDLED;
        }

        /* ---- The instance: one struct for each, no global variable ----------------------------------- */

        typedef struct policy {
            const bp_host *host;
            uint64_t first, last; /* ports, inclusive */
            uint64_t answered;    /* accesses */
            uint8_t byte;
        } policy;

        /* Called for the exits that `connect` asks for. The others cost nothing. */
        static uint32_t policy_decide(void *self, bp_exit *exit, bp_verdict *verdict) {
            policy *p = self;
            (void)verdict; /* details of stop and inject */
            uint32_t answer = verdict_of(exit, p->byte);
            if (answer == BP_VERDICT_HANDLED) p->answered++;
            return answer;
        }

        /* ---- Lifecycle ------------------------------------------------------------------------------- */

        enum { PROPERTY_PORTS, PROPERTY_READS_AS, PROPERTIES };

        static bp_status policy_create(const bp_class *cls, const bp_host *host, const bp_value *values, void **self) {
            (void)cls;
            policy *p = calloc(1, sizeof *p);
            if (!p) return bp_fail(host, BP_NO_MEMORY, "there is no memory for an instance");
            p->host = host;
            p->first = values[PROPERTY_PORTS].u; /* bounds are declared below, and the host checks them */
            p->last = values[PROPERTY_PORTS].last;
            p->byte = (uint8_t)values[PROPERTY_READS_AS].u;
            *self = p;
            return BP_OK;
        }

        static bp_status policy_connect(void *self) {
            policy *p = self;
            const bp_exit_1 *exits = p->host->service(p->host, "exit/1");
            if (!exits) return bp_fail(p->host, BP_UNSUPPORTED, "this host does not offer exit/1");
            bp_want want = {
                .size = sizeof want, .reason = BP_EXIT_IO, .flags = BP_WANT_DECIDE | BP_WANT_UNCLAIMED,
                .first = p->first, .last = p->last,
            };
            bp_id id; /* for unwant */
            return exits->want(p->host, &want, &id);
        }

        static void policy_reset(void *self, uint32_t kind) {
            (void)kind;
            ((policy *)self)->answered = 0;
        }

        static void policy_destroy(void *self) { free(self); }

        /* ---- State: tagged fields; what comes back is hostile ---------------------------------------- */

        static bp_status policy_save(void *self, bp_state *state) {
            policy *p = self;
            const bp_state_1 *fields = p->host->service(p->host, "state/1");
            if (!fields) return bp_fail(p->host, BP_UNSUPPORTED, "this host does not offer state/1");
            return fields->put_unsigned(state, "answered", p->answered, 0);
        }

        static bp_status policy_load(void *self, uint32_t version, bp_state *state) {
            policy *p = self;
            (void)version; /* there is only 1 so far */
            const bp_state_1 *fields = p->host->service(p->host, "state/1");
            if (!fields) return bp_fail(p->host, BP_UNSUPPORTED, "this host does not offer state/1");
            uint64_t answered; /* every value of it is good */
            bp_status status = fields->get_unsigned(state, "answered", &answered);
            if (status != BP_OK) return bp_fail(p->host, status, "the state has no number \"answered\"");
            p->answered = answered;
            return BP_OK;
        }

        /* ---- Methods: ordinary functions, called by name from on-start: and the monitor --------------- */

        static uint64_t policy_answered(void *self) { return ((policy *)self)->answered; }

        /* ---- The class and the library: constants ---------------------------------------------------- */

        static const bp_property ports_property = {
            .size = sizeof(bp_property), .type = BP_RANGE, .flags = BP_PROPERTY_BOUNDED, .name = "ports",
            .default_value = "0x80", .doc = "Which ports.", .minimum = 0, .maximum = 0xffff,
        };
        static const bp_property reads_as_property = {
            .size = sizeof(bp_property), .type = BP_UNSIGNED, .flags = BP_PROPERTY_BOUNDED, .name = "reads-as",
            .default_value = "0", .doc = "The byte that they read as.", .minimum = 0, .maximum = 255,
        };
        static const bp_property *const properties[PROPERTIES] = {
            [PROPERTY_PORTS] = &ports_property, [PROPERTY_READS_AS] = &reads_as_property,
        };

        static const bp_method answered_method = {
            .size = sizeof(bp_method), .result = BP_T_U64, .name = "answered",
            .doc = "Answers the number of accesses since reset.", .function = (void (*)(void))policy_answered,
        };
        static const bp_method *const methods[] = {&answered_method};

        static const bp_policy policy_table = {.size = sizeof(bp_policy), .decide = policy_decide};

        static const bp_class policy_class = {
            .size = sizeof(bp_class), .kind = BP_POLICY, .state_version = 1, .name = "@NAME@",
            .summary = "ports that nothing claims read as a chosen byte",
            .property_count = PROPERTIES, .properties = properties, .method_count = 1, .methods = methods,
            .policy = &policy_table,
            .create = policy_create, .connect = policy_connect, .reset = policy_reset,
            .save = policy_save, .load = policy_load, .destroy = policy_destroy, /* the others: nothing to do */
        };
        static const bp_class *const classes[] = {&policy_class};

        static const bp_plugin plugin = {
            .size = sizeof(bp_plugin), .abi_major = BP_ABI_MAJOR, .abi_minor = 0, /* the lowest minor that it needs */
            .flags = BP_PLUGIN_UNLOADABLE, .name = "@NAME@", .version = "0.1", .licence = "NONE",
            .summary = "ports that nothing claims read as a chosen byte", .class_count = 1, .classes = classes,
        };

        /* The one symbol of the library. */
        const bp_plugin *backplane_plugin(uint32_t host_major, uint32_t host_minor) {
            (void)host_minor; /* the host refuses what needs a newer minor, and names both */
            return host_major == BP_ABI_MAJOR ? &plugin : NULL;
        }

        """#

    static let policyTest = #"""
        /* Tests of the decisions alone: an exit in, a verdict out. */
        #include "@NAME@.c"
        #include <stdio.h>

        static int failures;

        static void check(int is_good, const char *outcome) {
            if (!is_good) failures++;
            printf("%s %s\n", is_good ? "ok    " : "FAILED", outcome);
        }

        static bp_exit access_to(uint16_t port, uint32_t width, uint16_t flags) {
            return (bp_exit){
                .size = sizeof(bp_exit), .reason = 30, .address = port, .width = width, .flags = flags,
                .value = 0x11223344,
            };
        }

        int main(void) {
            bp_exit exit = access_to(0x80, 2, BP_EXITF_UNCLAIMED);
            check(verdict_of(&exit, 0xa5) == BP_VERDICT_HANDLED && exit.value == 0xa5a5, "a read repeats the byte");

            exit = access_to(0x80, 4, BP_EXITF_UNCLAIMED | BP_EXITF_WRITE);
            check(verdict_of(&exit, 0xa5) == BP_VERDICT_HANDLED && exit.value == 0x11223344, "a write is dropped");

            exit = access_to(0x80, 1, 0);
            check(verdict_of(&exit, 0xa5) == BP_VERDICT_CONTINUE && exit.value == 0x11223344, "claimed ports are left");

            exit = access_to(0x80, 1, BP_EXITF_UNCLAIMED | BP_EXITF_STRING);
            check(verdict_of(&exit, 0xa5) == BP_VERDICT_CONTINUE, "string instructions go to the next policy");

            exit = access_to(0x80, 1, BP_EXITF_UNCLAIMED);
            exit.reason = 48;
            check(verdict_of(&exit, 0xa5) == BP_VERDICT_CONTINUE, "memory goes to the next policy");
            return failures != 0;
        }

        """#
}
