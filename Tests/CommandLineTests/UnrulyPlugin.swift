extension CPlugin {
    /// A device with two ports that does the property `mode`: a write to 0x2e1 arms it, the next one to 0x2e0 does it. Modes that begin
    /// with `create` or `destroy` need no operation; `defer-timer`, `defer-thread` and `no-complete` are about reads of 0x2e0.
    static let unruly = """
        #define _GNU_SOURCE
        #include <backplane/plugin.h>
        #include <fcntl.h>
        #include <pthread.h>
        #include <signal.h>
        #include <stdlib.h>
        #include <string.h>
        #include <unistd.h>
        typedef struct { const bp_host *host; const bp_io_1 *io; const bp_clock_1 *clock; bp_id timer; uint64_t token; int armed;
                         char mode[32]; char *kept; } unruly;
        typedef struct { const bp_host *host; const bp_io_1 *io; uint64_t token; } job;
        static void *volatile lost;
        static int is(const unruly *u, const char *mode) { return !strcmp(u->mode, mode); }
        static void crash(void) { *(volatile int *)0x10 = 1; }
        static void *on_thread(void *self) {
            unruly *u = self;
            if (is(u, "thread-crash")) crash();
            if (is(u, "thread-exit")) exit(0);
            return NULL;
        }
        static void *for_ever(void *self) { for (;;) pause(); return self; }
        static void *answer(void *argument) {
            job *j = argument;
            usleep(300);
            j->io->complete(j->host, j->token, BP_OK, 0x42);
            free(j);
            return NULL;
        }
        static void start_thread(void *(*body)(void *), void *argument, int joins) {
            pthread_t thread;
            if (pthread_create(&thread, NULL, body, argument)) return;
            if (joins) pthread_join(thread, NULL); else pthread_detach(thread);
        }
        static void act(unruly *u) {
            if (is(u, "segv")) crash();
            if (is(u, "abort")) abort();
            if (is(u, "exit")) exit(0);
            if (is(u, "_exit")) _exit(0);
            if (is(u, "loop")) for (;;) { __asm__ volatile(""); }
            if (is(u, "sleep")) for (;;) pause();
            if (is(u, "timer-segv")) u->clock->set(u->host, u->timer, 0);
            if (!strncmp(u->mode, "thread", 6)) start_thread(on_thread, u, 1);
            if (is(u, "leak")) lost = malloc(100);
            if (is(u, "leak-fd")) open("/dev/null", O_RDONLY);
            if (is(u, "chdir") && chdir("/")) return;
            if (is(u, "signal")) signal(SIGSEGV, SIG_IGN);
            if (is(u, "close")) close(0);
            if (is(u, "overflow")) { char *volatile p = malloc(16); memset(p, 1, 17); free(p); }
        }
        static bp_status read_port(void *self, const bp_access *a, uint64_t *value) {
            unruly *u = self;
            *value = 0x41;
            if (a->offset || !a->token) return BP_OK;
            if (is(u, "no-complete")) return BP_DEFERRED;
            if (is(u, "defer-timer")) {
                u->token = a->token;
                u->clock->set(u->host, u->timer, u->clock->now(u->host) + 1000000);
                return BP_DEFERRED;
            }
            if (is(u, "defer-thread")) {
                job *j = malloc(sizeof *j);
                *j = (job){u->host, u->io, a->token};
                start_thread(answer, j, 0);
                return BP_DEFERRED;
            }
            return BP_OK;
        }
        static bp_status write_port(void *self, const bp_access *a, uint64_t value) {
            unruly *u = self;
            (void)value;
            if (a->offset == 1) { u->armed = 1; return BP_OK; }
            if (u->armed) act(u);
            u->armed = 0;
            return BP_OK;
        }
        static void tick(void *self, uint64_t cookie, uint64_t now) {
            unruly *u = self;
            (void)cookie; (void)now;
            if (is(u, "timer-segv")) crash();
            uint64_t token = u->token;
            u->token = 0;
            if (token) u->io->complete(u->host, token, BP_OK, 0x42);
        }
        static bp_status create(const bp_class *c, const bp_host *host, const bp_value *values, void **self) {
            (void)c;
            unruly *u = calloc(1, sizeof *u);
            u->host = host;
            strncpy(u->mode, values[0].text, sizeof u->mode - 1);
            if (is(u, "create-segv")) crash();
            if (is(u, "create-exit")) _exit(0);
            if (is(u, "create-hang")) for (;;) pause();
            u->kept = malloc(64);
            if (is(u, "destroy-fd")) open("/dev/null", O_RDONLY);
            if (is(u, "destroy-thread")) start_thread(for_ever, u, 0);
            *self = u;
            return BP_OK;
        }
        static bp_status connect(void *self) {
            unruly *u = self;
            u->io = u->host->service(u->host, "io/1");
            u->clock = u->host->service(u->host, "clock/1");
            bp_status status = u->clock->timer(u->host, tick, 0, &u->timer);
            bp_claim claim = {.size = sizeof claim, .space = BP_SPACE_PORT, .widths = 1, .base = 0x2e0, .length = 2,
                .name = "unruly", .read = read_port, .write = write_port};
            bp_id id;
            return status != BP_OK ? status : u->io->claim(u->host, &claim, &id);
        }
        static void reset(void *self, uint32_t kind) {
            unruly *u = self;
            (void)kind;
            u->armed = 0;
            u->token = 0;
            u->clock->cancel(u->host, u->timer);
        }
        static void destroy(void *self) {
            unruly *u = self;
            if (is(u, "destroy-segv")) crash();
            if (!is(u, "destroy-leak")) free(u->kept);
            free(u);
        }
        static const bp_property mode = {.size = sizeof mode, .type = BP_TEXT, .name = "mode", .default_value = "none",
            .doc = "What it does."};
        static const bp_property *const properties[] = {&mode};
        static const bp_class type = {.size = sizeof type, .kind = BP_DEVICE, .flags = BP_CLASS_NOT_SAVABLE, .name = "unruly",
            .summary = "misbehaves", .property_count = 1, .properties = properties, .create = create, .connect = connect,
            .reset = reset, .destroy = destroy};
        static const bp_class *const types[] = {&type};
        static const bp_plugin plugin = {.size = sizeof plugin, .abi_major = 1, .name = "unruly", .version = "1.0",
            .licence = "Apache-2.0", .summary = "misbehaves", .class_count = 1, .classes = types};
        BP_EXPORT const bp_plugin *backplane_plugin(uint32_t major, uint32_t minor) {
            (void)major; (void)minor;
            return &plugin;
        }
        """
}
