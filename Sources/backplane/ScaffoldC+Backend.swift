extension ScaffoldC {
    static let backendSource = #"""
        /* @NAME@ - a backend for stream/1: an echo. What a device writes comes back, in capitals if wanted, as fast as the device can
         * take it. What does not fit its queue is lost, and counted.
         */
        #include <backplane/plugin.h>
        #include <stdlib.h>
        #include <string.h>

        /* ---- The queue: pure, no host in it; test.c tests it ----------------------------------------- */

        enum { CAPACITY = 256, ENOUGH = 192 /* waiting bytes: write no more */ };

        typedef struct queue {
            uint8_t bytes[CAPACITY]; /* a ring */
            uint32_t first, count;
            uint64_t lost;
        } queue;

        static uint8_t capital(uint8_t byte) { return byte >= 'a' && byte <= 'z' ? (uint8_t)(byte - 32) : byte; }

        static void queue_put(queue *q, uint8_t byte) {
            if (q->count == CAPACITY) q->lost++;
            else q->bytes[(q->first + q->count++) % CAPACITY] = byte;
        }

        /* Up to `room` bytes that lie together: where, and how many. */
        static uint32_t queue_front(const queue *q, uint64_t room, const uint8_t **bytes) {
            uint32_t together = CAPACITY - q->first;
            uint32_t count = q->count < together ? q->count : together;
            *bytes = q->bytes + q->first;
            return room < count ? (uint32_t)room : count;
        }

        static void queue_drop(queue *q, uint32_t count) {
            q->first = (q->first + count) % CAPACITY;
            q->count -= count;
        }

        static int queue_has_enough(const queue *q) { return q->count >= ENOUGH; }

        /* ---- The instance: one struct for each, no global variable ----------------------------------- */

        typedef struct backend {
            const bp_host *host;
            bp_peer client;      /* the device; `functions` NULL: not wired */
            uint64_t room;       /* bytes that the device can take */
            int is_upper, told;  /* told: the device was told to write no more */
            queue queue;
        } backend;

        static const bp_stream_client *client_of(const backend *b) { return b->client.functions; }

        /* Sends what the device can take, and tells it to wait or to go on. Only between start and quiesce, or in answer to the device. */
        static void settle(backend *b) {
            if (!client_of(b)) return;
            while (b->room > 0 && b->queue.count > 0) {
                const uint8_t *bytes;
                uint32_t count = queue_front(&b->queue, b->room, &bytes);
                b->room -= count;
                client_of(b)->receive(b->client.self, b->client.index, bytes, count); /* copied, where the device is busy */
                queue_drop(&b->queue, count);
            }
            int enough = queue_has_enough(&b->queue);
            if (enough == b->told) return;
            b->told = enough;
            client_of(b)->throttle(b->client.self, b->client.index, (uint32_t)enough);
        }

        /* ---- stream/1: what the device calls ---------------------------------------------------------- */

        static void on_write(void *self, uint32_t index, const void *bytes, uint64_t length) {
            backend *b = self;
            (void)index; /* there is one stream */
            for (uint64_t i = 0; i < length; i++) {
                uint8_t byte = ((const uint8_t *)bytes)[i];
                queue_put(&b->queue, b->is_upper ? capital(byte) : byte);
            }
            settle(b);
        }

        static void on_ready(void *self, uint32_t index, uint64_t room) {
            backend *b = self;
            (void)index;
            b->room = room;
            settle(b);
        }

        static void on_event(void *self, uint32_t index, uint32_t event) { (void)self, (void)index, (void)event; }

        static const bp_stream stream = {
            .size = sizeof(bp_stream), .write = on_write, .ready = on_ready, .event = on_event,
        };

        /* ---- Lifecycle ------------------------------------------------------------------------------- */

        enum { PROPERTY_UPPER_CASE, PROPERTIES };

        static bp_status backend_create(const bp_class *cls, const bp_host *host, const bp_value *values, void **self) {
            (void)cls;
            backend *b = calloc(1, sizeof *b);
            if (!b) return bp_fail(host, BP_NO_MEMORY, "there is no memory for an instance");
            b->host = host;
            b->is_upper = values[PROPERTY_UPPER_CASE].u != 0;
            *self = b;
            return BP_OK;
        }

        static bp_status backend_query(void *self, const char *name, uint32_t index, const bp_peer *client, bp_peer *out) {
            backend *b = self;
            if (strcmp(name, "stream/1") != 0) return bp_fail(b->host, BP_NOT_FOUND, "there is no interface '%s'", name);
            if (client) b->client = *client;
            out->self = b;
            out->index = index;
            out->functions = &stream;
            return BP_OK;
        }

        static void backend_reset(void *self, uint32_t kind) {
            backend *b = self;
            (void)kind;
            b->queue = (queue){0};
            settle(b);
        }

        /* After a load too: the device learns what it has to know. */
        static bp_status backend_start(void *self) {
            settle(self);
            return BP_OK;
        }

        static void backend_destroy(void *self) { free(self); }

        /* ---- State: tagged fields; what comes back is hostile ---------------------------------------- */

        static bp_status backend_save(void *self, bp_state *state) {
            backend *b = self;
            const bp_state_1 *fields = b->host->service(b->host, "state/1");
            if (!fields) return bp_fail(b->host, BP_UNSUPPORTED, "this host does not offer state/1");
            uint8_t waiting[CAPACITY];
            for (uint32_t i = 0; i < b->queue.count; i++) waiting[i] = b->queue.bytes[(b->queue.first + i) % CAPACITY];
            bp_status status = fields->put_bytes(state, "waiting", waiting, b->queue.count, 0);
            if (status == BP_OK) status = fields->put_unsigned(state, "lost", b->queue.lost, 0);
            if (status == BP_OK) status = fields->put_unsigned(state, "room", b->room, 0);
            return status;
        }

        static bp_status backend_load(void *self, uint32_t version, bp_state *state) {
            backend *b = self;
            (void)version; /* there is only 1 so far */
            const bp_state_1 *fields = b->host->service(b->host, "state/1");
            if (!fields) return bp_fail(b->host, BP_UNSUPPORTED, "this host does not offer state/1");
            const void *waiting;
            uint64_t length, lost, room; /* every value of the numbers is good */
            bp_status status = fields->get_bytes(state, "waiting", &waiting, &length);
            if (status == BP_OK) status = fields->get_unsigned(state, "lost", &lost);
            if (status == BP_OK) status = fields->get_unsigned(state, "room", &room);
            if (status != BP_OK) return bp_fail(b->host, status, "a field of the state is missing");
            if (length > CAPACITY) return bp_fail(b->host, BP_INVALID, "more bytes wait than there is room for");
            b->queue = (queue){.count = (uint32_t)length, .lost = lost};
            if (length > 0) memcpy(b->queue.bytes, waiting, length);
            b->room = room;
            return BP_OK;
        }

        /* ---- Methods: ordinary functions, called by name from on-start: and the monitor --------------- */

        static uint64_t backend_lost(void *self) { return ((backend *)self)->queue.lost; }

        /* ---- The class and the library: constants ---------------------------------------------------- */

        static const bp_property upper_case_property = {
            .size = sizeof(bp_property), .type = BP_BOOL, .name = "upper-case", .default_value = "on",
            .doc = "Answers in capitals.",
        };
        static const bp_property *const properties[PROPERTIES] = {[PROPERTY_UPPER_CASE] = &upper_case_property};

        static const bp_provided stream_provided = {
            .size = sizeof(bp_provided), .name = "stream/1", .count = 1, .doc = "Comes back.",
        };
        static const bp_provided *const provided[] = {&stream_provided};

        static const bp_method lost_method = {
            .size = sizeof(bp_method), .result = BP_T_U64, .name = "lost", .doc = "Answers how many bytes found no room.",
            .function = (void (*)(void))backend_lost,
        };
        static const bp_method *const methods[] = {&lost_method};

        static const bp_class backend_class = {
            .size = sizeof(bp_class), .kind = BP_BACKEND, .state_version = 1, .name = "@NAME@", .summary = "an echo",
            .property_count = PROPERTIES, .properties = properties, .provided_count = 1, .provided = provided,
            .method_count = 1, .methods = methods,
            .create = backend_create, .query_interface = backend_query, .reset = backend_reset, .start = backend_start,
            .save = backend_save, .load = backend_load, .destroy = backend_destroy, /* the others: nothing to do */
        };
        static const bp_class *const classes[] = {&backend_class};

        static const bp_plugin plugin = {
            .size = sizeof(bp_plugin), .abi_major = BP_ABI_MAJOR, .abi_minor = 0, /* the lowest minor that it needs */
            .flags = BP_PLUGIN_UNLOADABLE, .name = "@NAME@", .version = "0.1", .licence = "NONE", .summary = "an echo",
            .class_count = 1, .classes = classes,
        };

        /* The one symbol of the library. */
        const bp_plugin *backplane_plugin(uint32_t host_major, uint32_t host_minor) {
            (void)host_minor; /* the host refuses what needs a newer minor, and names both */
            return host_major == BP_ABI_MAJOR ? &plugin : NULL;
        }

        """#

    static let backendTest = #"""
        /* Tests of the queue alone. */
        #include "@NAME@.c"
        #include <stdio.h>

        static int failures;

        static void check(int is_good, const char *outcome) {
            if (!is_good) failures++;
            printf("%s %s\n", is_good ? "ok    " : "FAILED", outcome);
        }

        int main(void) {
            const uint8_t *bytes;
            queue q = {0};
            check(capital('q') == 'Q' && capital('Q') == 'Q' && capital('{') == '{' && capital('`') == '`', "letters alone become capitals");

            queue_put(&q, 1);
            queue_put(&q, 2);
            check(queue_front(&q, 1, &bytes) == 1 && bytes[0] == 1, "no more is given than there is room for");
            queue_drop(&q, 1);
            check(queue_front(&q, 9, &bytes) == 1 && bytes[0] == 2, "what was given is gone");
            queue_drop(&q, 1);

            for (int i = 0; i < 256; i++) queue_put(&q, (uint8_t)i);
            check(q.lost == 0 && queue_has_enough(&q), "it holds 256 bytes");
            queue_put(&q, 7);
            check(q.lost == 1 && q.count == 256, "what does not fit is lost and counted");
            uint32_t first = queue_front(&q, 1000, &bytes);
            check(first == 254 && bytes[0] == 0 && bytes[253] == 253, "bytes that lie together come first");
            queue_drop(&q, first);
            check(queue_front(&q, 1000, &bytes) == 2 && bytes[0] == 254 && bytes[1] == 255, "then those at the ring's beginning");
            check(!queue_has_enough(&q), "it takes more again");
            return failures != 0;
        }

        """#
}
