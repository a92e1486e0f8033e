import Foundation
import Testing

extension CPlugin {
    /// A policy that wants port 0x80 and answers it with verdict `verdict` and vector `vector`; `flags` are those of its want. `before`
    /// is C that runs when the library is loaded, `inCreate` in create.
    static func wayward(before: String = "", inCreate: String = "") -> String {
        #"""
        #include <backplane/plugin.h>
        #include <stdlib.h>
        #include <unistd.h>
        typedef struct { const bp_host *host; uint32_t verdict, vector, flags; } wayward;
        __attribute__((constructor)) static void begin(void) { \#(before) }
        static bp_status create(const bp_class *c, const bp_host *host, const bp_value *values, void **self) {
            (void)c;
            \#(inCreate)
            wayward *w = calloc(1, sizeof *w);
            *w = (wayward){host, (uint32_t)values[0].u, (uint32_t)values[1].u, (uint32_t)values[2].u};
            *self = w;
            return BP_OK;
        }
        static bp_status connect(void *self) {
            wayward *w = self;
            const bp_exit_1 *exits = w->host->service(w->host, "exit/1");
            bp_want want = {.size = sizeof want, .reason = BP_EXIT_IO, .flags = (uint16_t)w->flags, .first = 0x80, .last = 0x80};
            bp_id id;
            return exits->want(w->host, &want, &id);
        }
        static uint32_t decide(void *self, bp_exit *exit, bp_verdict *verdict) {
            (void)exit;
            wayward *w = self;
            verdict->vector = w->vector;
            return w->verdict;
        }
        static void destroy(void *self) { free(self); }
        #define PROPERTY(variable, n, d) static const bp_property variable = \
            {.size = sizeof(bp_property), .type = BP_UNSIGNED, .name = n, .default_value = d, .doc = "Of the test."}
        PROPERTY(verdict, "verdict", "0");
        PROPERTY(vector, "vector", "0");
        PROPERTY(flags, "flags", "2");
        static const bp_property *const properties[] = {&verdict, &vector, &flags};
        static const bp_policy policy = {.size = sizeof(bp_policy), .decide = decide};
        static const bp_class type = {.size = sizeof(bp_class), .kind = BP_POLICY, .flags = BP_CLASS_NOT_SAVABLE, .name = "wayward",
            .summary = "answers what it must not", .property_count = 3, .properties = properties, .policy = &policy,
            .create = create, .connect = connect, .destroy = destroy};
        static const bp_class *const types[] = {&type};
        static const bp_plugin plugin = {.size = sizeof(bp_plugin), .abi_major = 1, .name = "wayward", .version = "1.0",
            .licence = "Apache-2.0", .summary = "answers what it must not", .class_count = 1, .classes = types};
        BP_EXPORT const bp_plugin *backplane_plugin(uint32_t major, uint32_t minor) {
            (void)major; (void)minor;
            return &plugin;
        }
        """#
    }
}

extension Commands {
    /// Policies that answer what they must not, at load and inserted into a machine that runs.
    @Suite(.enabled(if: Host.hasCompiler)) struct WaywardPolicyTests {
        private func run(_ policy: String) async throws -> Child.Ended {
            let folder = Folder()
            try await CPlugin.compile("wayward", CPlugin.wayward(), into: folder.path)
            let file = try folder.machine(Guest.port80)
            return try await backplane(
                "run", file, "--engine", "soft", "--plugin-path", folder.path, "--policy", "wayward,\(policy)")
        }

        /// A fault of the policy's, as of any plugin: `on-fault` decides.
        @Test(arguments: [
            ("verdict=99", "it answers the unknown verdict 99"),
            ("verdict=2,vector=300", "it injects vector 300: exceptions are 0 to 31"),
            ("verdict=2,vector=32", "it injects vector 32: exceptions are 0 to 31"),
        ])
        func anAnswerThatIsNoneIsNamedWithItsNumber(_ policy: String, _ sentence: String) async throws {
            let end = try await run(policy)
            #expect(end.status == 4)
            #expect(end.errors == ["backplane: plugin fault: 'wayward' (wayward): \(sentence)"])
            // The rest of the chain decides then: the guest halts for ever, which powers off.
            #expect(try await run(policy + ",on-fault=offline").status == 0)
        }

        @Test(arguments: [
            ("flags=0", "flags 0x0 has none of BP_WANT_DECIDE, BP_WANT_OBSERVE and BP_WANT_COUNTED"),
            ("flags=0x102", "flags 0x102 has bits that are no BP_WANT"),
            ("flags=4", "flags 0x4 asks for functions that the policy's table has not"),
        ])
        func aWantThatWouldBeDeadIsRefused(_ policy: String, _ sentence: String) async throws {
            let end = try await run(policy)
            #expect(end.status == 2)
            #expect(
                end.error.contains("cannot be connected: invalid: exit/1 want is refused: \(sentence)"), "\(end.error)")
        }

        // MARK: Into a machine that runs

        private struct Running {
            let folder = Folder()
            let child: Child
            let path: String

            init(_ source: String) async throws {
                path = folder.path + "/qmp"
                try await CPlugin.compile("wayward", source, into: folder.path)
                let file = try folder.echo(Guest.key(to: 0x501), top: "watchdog: 1s")
                child = try Child(
                    ["run", file, "--engine", "soft", "--plugin-path", folder.path, "--qmp", "unix:\(path)"],
                    input: .pipe)
                await child.shows(">")
            }

            var insert: String { #"{"execute": "policy-insert", "arguments": {"plugin": "wayward"}}"# }
        }

        @Test(arguments: ["abort();", "_exit(0);", "*(volatile int *)0x10 = 1;"])
        func aLibraryThatCrashesWhenItIsLoadedTakesNoGuestDown(_ before: String) async throws {
            let running = try await Running(CPlugin.wayward(before: before))
            let answer = try QMPConnection.negotiated(running.path).ask(running.insert)
            #expect(
                answer.contains("when it is loaded") || answer.contains("ends the process that loads it"), "\(answer)")
            // The guest gets the key, and gives it back.
            running.child.type("\u{2}")
            #expect(await running.child.end().status == 5)
        }

        @Test func aSoundOneIsInserted() async throws {
            let running = try await Running(CPlugin.wayward())
            #expect(try QMPConnection.negotiated(running.path).ask(running.insert) == #"{"return": {"id": "wayward"}}"#)
            running.child.type("\u{2}")
            #expect(await running.child.end().status == 5)
        }

        @Test func aCrashInCreateOfALiveInsertIsNamed() async throws {
            let running = try await Running(CPlugin.wayward(inCreate: "*(volatile int *)0x10 = 1;"))
            let qmp = try QMPConnection.negotiated(running.path)
            qmp.send((running.insert + "\n").utf8)
            let end = await running.child.end()
            // A client that has gone is not served.
            withExtendedLifetime(qmp) {}
            #expect(end.status == 128 + SIGSEGV)
            let sentence = "plugin crashed: instance 'wayward' (wayward), in create: SIGSEGV at address 0x10"
            #expect(end.errors.first == "backplane: machine 'small': \(sentence)")
        }

        @Test func aHangInCreateOfALiveInsertIsNamedByTheWatchdog() async throws {
            let running = try await Running(CPlugin.wayward(inCreate: "for (;;) pause();"))
            let qmp = try QMPConnection.negotiated(running.path)
            qmp.send((running.insert + "\n").utf8)
            let end = await running.child.end()
            withExtendedLifetime(qmp) {}
            #expect(end.status == 4)
            let sentence = "plugin does not return: instance 'wayward' (wayward), in create, for 1 s"
            #expect(end.errors.first == "backplane: machine 'small': \(sentence)")
        }
    }
}
