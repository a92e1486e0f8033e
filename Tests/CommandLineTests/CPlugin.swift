import Foundation
import Testing

/// Plugins in C, compiled when a test needs them.
enum CPlugin {
    /// Makes `lib<name>.so` in a directory. The name is also the class's.
    static func compile(_ name: String, _ source: String, into directory: String) async throws {
        let file = "\(directory)/\(name).c"
        try source.write(toFile: file, atomically: true, encoding: .utf8)
        let arguments = [
            "-std=gnu11", "-shared", "-fPIC", "-fvisibility=hidden", "-I\(Program.root)/Sources/CBackplane/include",
            "-o", "\(directory)/lib\(name).so", file,
        ]
        let end = await (try Child(arguments, program: try #require(Host.compiler))).end()
        try #require(end.status == 0, "\(end.error)")
        unlink(file)
    }

    /// A device that does nothing. `entry` is the body of `backplane_plugin`, where `plugin` is the descriptor.
    static func plain(
        _ name: String, summary: String = "does nothing", major: Int = 1, minor: Int = 0, before: String = "",
        entry: String = "return &plugin;", symbol: String = "backplane_plugin"
    ) -> String {
        """
        #include <backplane/plugin.h>
        #include <stdlib.h>
        #include <unistd.h>
        \(before)
        static bp_status create(const bp_class *c, const bp_host *h, const bp_value *v, void **self) {
            (void)c; (void)v;
            *self = (void *)h;
            return BP_OK;
        }
        static void destroy(void *self) { (void)self; }
        static const bp_class type = {.size = sizeof(bp_class), .kind = BP_DEVICE, .state_version = 1,
            .name = "\(name)", .summary = "\(summary)", .create = create, .destroy = destroy};
        static const bp_class *const types[] = {&type};
        static const bp_plugin plugin = {.size = sizeof(bp_plugin), .abi_major = \(major), .abi_minor = \(minor),
            .name = "\(name)", .version = "1.0", .licence = "Apache-2.0", .summary = "\(summary)", .class_count = 1,
            .classes = types};
        BP_EXPORT const bp_plugin *\(symbol)(uint32_t host_major, uint32_t host_minor) {
            (void)host_major; (void)host_minor;
            \(entry)
        }
        """
    }

    /// A device with one port that misbehaves in the callback that the property `when` names: `do` is fail, crash (a
    /// write to address 0x10), abort, hang, exit, _exit, thread (which calls _exit) or fork (whose child exits).
    static let wild = """
        #include <backplane/plugin.h>
        #include <stdlib.h>
        #include <string.h>
        #include <pthread.h>
        #include <sys/wait.h>
        #include <unistd.h>
        static void *leave(void *nothing) { (void)nothing; _exit(3); }
        typedef struct { const bp_host *host; char when[16], action[16]; uint16_t at; } wild;
        static bp_status in(wild *w, const char *callback) {
            if (strcmp(w->when, callback)) return BP_OK;
            if (!strcmp(w->action, "crash")) *(volatile int *)0x10 = 1;
            if (!strcmp(w->action, "abort")) abort();
            if (!strcmp(w->action, "hang")) for (;;) pause();
            if (!strcmp(w->action, "exit")) exit(3);
            if (!strcmp(w->action, "_exit")) _exit(3);
            pthread_t thread;
            if (!strcmp(w->action, "thread")) {
                pthread_create(&thread, NULL, leave, NULL);
                pthread_join(thread, NULL);
            }
            if (!strcmp(w->action, "fork")) {
                pid_t child = fork();
                if (child == 0) exit(0);
                waitpid(child, NULL, 0);
                if ((child = fork()) == 0) _exit(0);
                waitpid(child, NULL, 0);
                return BP_OK;
            }
            return bp_fail(w->host, BP_FAULT, "the %s went wrong", callback);
        }
        static bp_status read_port(void *self, const bp_access *a, uint64_t *value) {
            (void)a;
            *value = 0x42;
            return in(self, "read");
        }
        static bp_status write_port(void *self, const bp_access *a, uint64_t value) {
            (void)a; (void)value;
            return in(self, "write");
        }
        static bp_status create(const bp_class *c, const bp_host *host, const bp_value *values, void **self) {
            (void)c;
            wild *w = calloc(1, sizeof *w);
            w->host = host;
            w->at = (uint16_t)values[0].u;
            strncpy(w->when, values[1].text, sizeof w->when - 1);
            strncpy(w->action, values[2].text, sizeof w->action - 1);
            bp_status status = in(w, "create");
            if (status == BP_OK) *self = w; else free(w);
            return status;
        }
        static bp_status connect(void *self) {
            wild *w = self;
            const bp_io_1 *io = w->host->service(w->host, "io/1");
            bp_claim claim = {.size = sizeof claim, .space = BP_SPACE_PORT, .widths = 1, .base = w->at, .length = 1,
                .name = "trap", .read = read_port, .write = write_port};
            bp_id id;
            bp_status status = io->claim(w->host, &claim, &id);
            return status != BP_OK ? status : in(w, "connect");
        }
        static void reset(void *self, uint32_t kind) { (void)kind; in(self, "reset"); }
        static bp_status start(void *self) { return in(self, "start"); }
        static bp_status quiesce(void *self) { return in(self, "quiesce"); }
        static void disconnect(void *self) { in(self, "disconnect"); }
        static void destroy(void *self) { in(self, "destroy"); free(self); }
        #define PROPERTY(variable, t, n, d) static const bp_property variable = \\
            {.size = sizeof(bp_property), .type = t, .name = n, .default_value = d, .doc = "Of the test."}
        PROPERTY(at, BP_PORT, "at", "0x300");
        PROPERTY(when, BP_TEXT, "when", "never");
        PROPERTY(action, BP_TEXT, "do", "fail");
        static const bp_property *const properties[] = {&at, &when, &action};
        static const bp_class type = {.size = sizeof(bp_class), .kind = BP_DEVICE, .state_version = 1, .name = "wild",
            .summary = "misbehaves", .property_count = 3, .properties = properties, .create = create,
            .connect = connect, .reset = reset, .start = start, .quiesce = quiesce, .disconnect = disconnect,
            .destroy = destroy};
        static const bp_class *const types[] = {&type};
        static const bp_plugin plugin = {.size = sizeof(bp_plugin), .abi_major = 1, .name = "wild", .version = "1.0",
            .licence = "Apache-2.0", .summary = "misbehaves", .class_count = 1, .classes = types};
        BP_EXPORT const bp_plugin *backplane_plugin(uint32_t major, uint32_t minor) {
            (void)major; (void)minor;
            return &plugin;
        }
        """
}
