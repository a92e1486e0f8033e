import Foundation
import Testing

extension CPlugin {
    /// A device with one port, 0x300, that breaks its contract in the way that `mode` names: when it is written, or in create or
    /// destroy. A read answers 0x42, or owes its answer (`owe`).
    static let breach = #"""
        #include <backplane/plugin.h>
        #include <pthread.h>
        #include <stdlib.h>
        #include <string.h>
        typedef struct { const bp_host *host; char mode[32]; bp_id timer; bp_peer peer; } breach;
        #define IS(name) (!strcmp(b->mode, name))
        static const void *service(breach *b, const char *name) { return b->host->service(b->host, name); }
        static bp_status claim(breach *b, uint8_t widths) {
            const bp_io_1 *io = service(b, "io/1");
            bp_claim claim = {.size = sizeof claim, .widths = widths, .base = 0x400, .length = 1};
            bp_id id;
            bp_status status = io->claim(b->host, &claim, &id);
            if (status == BP_OK) io->release(b->host, id);
            return status;
        }
        static void tick(void *self, uint64_t cookie, uint64_t now) { (void)self; (void)cookie; (void)now; }
        static void *stranger(void *self) {
            breach *b = self;
            const bp_clock_1 *clock = service(b, "clock/1");
            const bp_memory_1 *memory = service(b, "memory/1");
            char bytes[64];
            for (int i = 0; i < 20000; i++) {
                if (IS("thread-claim")) claim(b, 1);
                if (IS("thread-timer")) clock->set(b->host, b->timer, i);
                if (IS("thread-memory")) memory->write(b->host, 0x9000, bytes, sizeof bytes);
                if (IS("thread-fail")) b->host->fail(b->host, "said elsewhere", 14);
                if (IS("thread-peer")) ((const bp_stream *)b->peer.functions)->write(b->peer.self, b->peer.index, "x", 1);
            }
            return NULL;
        }
        static bp_status wrong(breach *b) {
            const bp_clock_1 *clock = service(b, "clock/1");
            const bp_memory_1 *memory = service(b, "memory/1");
            const bp_events_1 *events = service(b, "events/1");
            const bp_irq_1 *irq = service(b, "irq/1");
            bp_span span = {.size = sizeof span};
            bp_id id;
            void *base;
            if (IS("widths")) return claim(b, 0x30);
            if (IS("timer")) return clock->set(b->host, 999, 0);
            if (IS("direction")) return memory->span(b->host, 0, 16, 4, &span);
            if (IS("kind")) return memory->region(b->host, "x", 77, 4096, &id, &base);
            if (IS("descriptor")) return events->watch(b->host, 987, BP_EVENT_READ, NULL, 0, &id);
            if (IS("slot")) return irq->line(b->host, "nonsense", 0, &id);
            if (IS("intr")) return irq->output(b->host, 0, 1);
            return BP_OK;
        }
        static bp_status read_port(void *self, const bp_access *a, uint64_t *value) {
            breach *b = self;
            *value = 0x42;
            return IS("owe") && a->token ? BP_DEFERRED : BP_OK;
        }
        static bp_status write_port(void *self, const bp_access *a, uint64_t value) {
            (void)a; (void)value;
            breach *b = self;
            if (!strncmp(b->mode, "thread", 6)) {
                pthread_t thread;
                pthread_create(&thread, NULL, stranger, b);
                pthread_join(thread, NULL);
            } else {
                wrong(b);
            }
            return BP_OK;
        }
        static bp_status create(const bp_class *c, const bp_host *host, const bp_value *values, void **self) {
            (void)c;
            breach *b = calloc(1, sizeof *b);
            b->host = host;
            strncpy(b->mode, values[0].text, sizeof b->mode - 1);
            const bp_clock_1 *clock = service(b, "clock/1");
            clock->timer(host, tick, 0, &b->timer);
            if (IS("create-claim")) claim(b, 1);
            *self = b;
            return BP_OK;
        }
        static bp_status connect(void *self) {
            breach *b = self;
            const bp_io_1 *io = service(b, "io/1");
            bp_claim own = {.size = sizeof own, .space = BP_SPACE_PORT, .widths = 1, .base = 0x300, .length = 1,
                .name = "trap", .read = read_port, .write = write_port};
            if (IS("connect-widths")) own.widths = 0;
            bp_id id;
            const bp_wiring_1 *wiring = service(b, "wiring/1");
            b->peer.size = sizeof b->peer;
            wiring->peer(b->host, "stream", 0, &b->peer);
            return io->claim(b->host, &own, &id);
        }
        static void destroy(void *self) {
            breach *b = self;
            if (IS("destroy-claim")) claim(b, 1);
            free(b);
        }
        static const bp_property mode = {.size = sizeof(bp_property), .type = BP_TEXT, .name = "mode", .default_value = "none",
            .doc = "Of the test."};
        static const bp_property *const properties[] = {&mode};
        static void receive(void *self, uint32_t i, const void *bytes, uint64_t n) { (void)self; (void)i; (void)bytes; (void)n; }
        static void told(void *self, uint32_t i, uint32_t on) { (void)self; (void)i; (void)on; }
        static const bp_stream_client client = {.size = sizeof client, .receive = receive, .throttle = told, .event = told};
        static const bp_slot stream = {.size = sizeof stream, .flags = BP_SLOT_OPTIONAL, .name = "stream", .interface = "stream/1",
            .doc = "Of the test.", .client = &client};
        static const bp_slot *const slots[] = {&stream};
        static const bp_class type = {.size = sizeof(bp_class), .kind = BP_DEVICE, .flags = BP_CLASS_NOT_SAVABLE, .name = "breach",
            .summary = "breaks its contract", .property_count = 1, .properties = properties, .slot_count = 1, .slots = slots,
            .create = create,
            .connect = connect, .destroy = destroy};
        static const bp_class *const types[] = {&type};
        static const bp_plugin plugin = {.size = sizeof(bp_plugin), .abi_major = 1, .name = "breach", .version = "1.0",
            .licence = "Apache-2.0", .summary = "breaks its contract", .class_count = 1, .classes = types};
        BP_EXPORT const bp_plugin *backplane_plugin(uint32_t major, uint32_t minor) {
            (void)major; (void)minor;
            return &plugin;
        }
        """#
}

extension Commands {
    /// Calls that the contracts of plugin.h forbid are refused and named, in `run` and on the bench, and the guest goes on.
    @Suite(.enabled(if: Host.hasCompiler)) struct ContractTests {
        private static let alien =
            "it is called from a thread of the plugin's own, for which only post, complete and log are"

        private func folder() async throws -> Folder {
            let folder = Folder()
            try await CPlugin.compile("breach", CPlugin.breach, into: folder.path)
            return folder
        }

        private func run(_ mode: String) async throws -> Child.Ended {
            let folder = try await folder()
            let file = try folder.machine(
                Guest.trap, top: "watchdog: 60s",
                devices: ["{ id: bad, plugin: breach, mode: \(mode), stream: sink }"],
                backends: ["{ id: sink, plugin: \"null\" }"])
            return try await backplane("run", file, "--engine", "soft", "--plugin-path", folder.path)
        }

        @Test(arguments: [
            ("thread-claim", "io/1 claim"), ("thread-timer", "clock/1 set"), ("thread-memory", "memory/1 write"),
            ("thread-fail", "fail"), ("thread-peer", "stream/1 write"),
        ])
        func aServiceCalledOffItsThreadIsRefusedAndNamedOnce(_ mode: String, _ service: String) async throws {
            let end = try await run(mode)
            #expect(end.status == 0x42 << 1 & 0xff | 1)
            #expect(end.errors == ["backplane: bad: error: \(service) is refused: \(ContractTests.alien)"])
        }

        @Test(arguments: [
            ("create-claim", "io/1 claim is refused: it may not be called in create"),
            ("destroy-claim", "io/1 claim is refused: it may not be called in destroy"),
            ("widths", "io/1 claim is refused: widths 48 is no OR of 1, 2, 4 and 8"),
            ("timer", "clock/1 set is refused: id 999 is no timer of this instance's"),
            ("direction", "memory/1 span is refused: direction 4 is no OR of BP_SPAN_FROM_GUEST and BP_SPAN_TO_GUEST"),
            ("kind", "memory/1 region is refused: kind 77 is no BP_REGION"),
            ("descriptor", "events/1 watch is refused: handler is NULL"),
            ("slot", "irq/1 line is refused: slot 'nonsense' is none of its class's"),
            (
                "intr",
                "irq/1 output is refused: INTR goes nowhere: neither 'cpu: interrupts:' names this instance, nor is "
                    + "another wired to it as a controller"
            ),
        ])
        func aCallAtTheWrongTimeOrWithAWildArgumentIsNamed(_ mode: String, _ sentence: String) async throws {
            let end = try await run(mode)
            #expect(end.status == 0x42 << 1 & 0xff | 1)
            #expect(end.errors == ["backplane: bad: error: \(sentence)"])
        }

        @Test func anErrorAtLoadSaysWhichArgumentWasWrong() async throws {
            let end = try await run("connect-widths")
            #expect(end.status == 2)
            let sentence = "cannot be connected: invalid: io/1 claim is refused: widths 0 is no OR of 1, 2, 4 and 8"
            #expect(end.errors.count == 1 && end.error.contains(sentence), "\(end.error)")
        }

        @Test(arguments: [
            ("thread-claim", "io/1 claim is refused: \(alien)"),
            ("create-claim", "io/1 claim is refused: it may not be called in create"),
            ("timer", "clock/1 set is refused: id 999"),
        ])
        func theBenchFailsWithTheSameSentence(_ mode: String, _ sentence: String) async throws {
            let folder = try await folder()
            let end = try await backplane(
                "plugin", "test", "\(folder.path)/libbreach.so", "--set", "mode=\(mode)", "--operations", "2000")
            #expect(end.status == 4)
            #expect((end.output + end.error).contains(sentence), "\(end.output)\(end.error)")
        }

        // MARK: Answers that are owed

        private struct Owing {
            let folder: Folder
            let child: Child
            let path: String

            /// The guest stands in a read that is never answered.
            init(_ folder: Folder, engine: String) async throws {
                self.folder = folder
                path = folder.path + "/qmp"
                let file = try folder.machine(
                    Guest.trap, top: "watchdog: 1s", devices: ["{ id: bad, plugin: breach, mode: owe }"])
                child = try Child(
                    ["run", file, "--engine", engine, "--plugin-path", folder.path, "--qmp", "unix:\(path)"])
                let path = path
                try #require(await eventually(20) { QMPConnection.isServed(path) })
                let owes = "backplane: bad: warning: owes the answer to an access to port 0x300, for 1 s"
                await child.shows(owes, onError: true)
            }
        }
        private static let engines = Host.hasKVM ? ["kvm", "soft"] : ["soft"]

        @Test(arguments: engines) func whileAnAnswerIsOwedEveryCommandWorks(on engine: String) async throws {
            let machine = try await Owing(try await folder(), engine: engine)
            let qmp = try QMPConnection.negotiated(machine.path)
            func monitor(_ line: String) throws -> String {
                try qmp.ask(#"{"execute": "monitor", "arguments": {"command-line": "\#(line)"}}"#)
            }
            // mov al,7; mov dx,0x300; out dx,al; in al,dx, which KVM and the software CPU stand at.
            #expect(try monitor("info registers").contains("rip    0000000000007c06"))
            #expect(try monitor("info status").contains("'bad' owes the answer to an access to port 0x300, for "))
            #expect(try monitor("policy insert stats").contains("stats is in the chain"))
            #expect(try monitor("policy remove stats") == #"{"return": ""}"#)
            #expect(try monitor("stop") == #"{"return": ""}"#)
            #expect(try qmp.ask(#"{"execute": "query-status"}"#).contains(#""status": "paused""#))
            #expect(try monitor("info registers").contains("rip    0000000000007c06"))
            #expect(try monitor("cont") == #"{"return": ""}"#)
            #expect(try monitor("info claims").contains("trap"))
            // Without its device the guest reads ones, and ends with them.
            #expect(try monitor("instance offline bad") == #"{"return": ""}"#)
            let end = await machine.child.end()
            #expect(end.status == 0xff)
            #expect(end.errors.count { $0.hasPrefix("backplane: bad: ") } == 2, "\(end.error)")
        }

        @Test func aMachineThatIsOwedAnAnswerResetsAndQuits() async throws {
            let machine = try await Owing(try await folder(), engine: "soft")
            let qmp = try QMPConnection.negotiated(machine.path)
            #expect(try qmp.ask(#"{"execute": "system_reset"}"#) == #"{"return": {}}"#)
            await machine.child.shows("owes the answer", times: 2, onError: true)
            #expect(try qmp.ask(#"{"execute": "stop"}"#) == #"{"return": {}}"#)
            #expect(try qmp.ask(#"{"execute": "quit"}"#) == #"{"return": {}}"#)
            #expect(await machine.child.end().status == 0)
        }

        @Test func twoSignalsEndAMachineThatIsOwedAnAnswer() async throws {
            let machine = try await Owing(try await folder(), engine: "soft")
            machine.child.signal(SIGTERM)
            await machine.child.shows("a second SIGTERM ends it at once", onError: true)
            try await Task.sleep(for: .milliseconds(700))
            machine.child.signal(SIGTERM)
            let end = await machine.child.end()
            // The policy answers the first one by powering off.
            #expect(end.status == 128 + SIGTERM || end.status == 0, "\(end.error)")
        }
    }
}
