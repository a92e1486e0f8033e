import Foundation
import Testing

extension Commands {
    /// Which engine runs a machine, and what only the software one can do.
    @Suite struct EngineTests {
        /// A policy that requires one exit and answers it: a CPUID's EAX becomes 5.
        private static func asking(_ reason: Int) -> String {
            """
            #include <backplane/plugin.h>
            static uint32_t decide(void *self, bp_exit *exit, bp_verdict *verdict) {
                (void)self; (void)verdict;
                exit->value = 5;
                return BP_VERDICT_HANDLED;
            }
            static bp_status create(const bp_class *c, const bp_host *h, const bp_value *v, void **self) {
                (void)c; (void)v;
                *self = (void *)h;
                return BP_OK;
            }
            static bp_status connect(void *self) {
                const bp_host *host = self;
                const bp_exit_1 *exits = host->service(host, "exit/1");
                bp_want want = {.size = sizeof want, .reason = \(reason), .flags = BP_WANT_DECIDE | BP_WANT_REQUIRED,
                    .first = 0, .last = UINT64_MAX};
                bp_id id;
                return exits->want(host, &want, &id);
            }
            static void destroy(void *self) { (void)self; }
            static const bp_policy policy = {.size = sizeof policy, .decide = decide};
            static const bp_class type = {.size = sizeof(bp_class), .kind = BP_POLICY, .state_version = 1, .name = "asking",
                .summary = "asks", .create = create, .connect = connect, .destroy = destroy, .policy = &policy};
            static const bp_class *const types[] = {&type};
            static const bp_plugin plugin = {.size = sizeof plugin, .abi_major = 1, .name = "asking", .version = "1.0",
                .licence = "Apache-2.0", .summary = "asks", .class_count = 1, .classes = types};
            BP_EXPORT const bp_plugin *backplane_plugin(uint32_t major, uint32_t minor) {
                (void)major; (void)minor;
                return &plugin;
            }
            """
        }

        /// cpuid; mov dx,0x501; out dx,al; hlt: the status tells what AL was.
        private static let identify: [UInt8] = [0x0f, 0xa2, 0xba, 0x01, 0x05, 0xee, 0xf4]

        private static func folder(reason: Int) async throws -> (folder: Folder, file: String) {
            let folder = Folder()
            try await CPlugin.compile("asking", asking(reason), into: folder.path)
            return (folder, try folder.machine(identify))
        }

        private static func run(_ folder: Folder, _ file: String, _ engine: String) async throws -> Child.Ended {
            try await backplane(
                "run", file, "--engine", engine, "--policy", "asking", "--plugin-path", folder.path, "--log", "debug")
        }

        @Test(.enabled(if: Host.hasCompiler)) func autoTakesTheEngineThatAPolicyNeeds() async throws {
            let (folder, file) = try await Self.folder(reason: 10)
            let end = try await Self.run(folder, file, "auto")
            #expect(end.status == 5 << 1 | 1, "\(end.error)")
            let lines = end.errors.filter { $0.contains("engine soft: ") }
            #expect(lines.count == 1)
            let reason = Host.hasKVM ? "KVM cannot deliver the exit CPUID, which policy 'asking' requires" : "kvm"
            #expect(lines.first?.contains(reason) == true, "\(lines)")
        }

        @Test(.enabled(if: Host.hasKVM && Host.hasCompiler)) func kvmThatCannotDeliverIsAnErrorAtLoad() async throws {
            let (folder, file) = try await Self.folder(reason: 10)
            let end = try await Self.run(folder, file, "kvm")
            #expect(end.status == 2)
            #expect(
                end.error.contains(
                    "policy 'asking' requires the exit CPUID, which engine 'kvm' cannot deliver; engine 'soft' can"))
        }

        /// 63 is no exit reason of any CPU yet.
        @Test(.enabled(if: Host.hasCompiler)) func whatNoEngineDeliversIsAnErrorAtLoad() async throws {
            let (folder, file) = try await Self.folder(reason: 63)
            let end = try await Self.run(folder, file, "auto")
            #expect(end.status == 2)
            #expect(end.error.contains("policy 'asking' requires ") && end.error.contains("no engine can deliver"))
        }

        /// In real mode the vectors are at 0.
        @Test func anUnknownOpcodeRaisesUDAndStatsNamesIt() async throws {
            // xor ax,ax; mov ds,ax; mov word [0x18],0x7c1c; mov word [0x1a],ax; the opcode twice; cli; hlt;
            // at 0x7c1c, which skips it: mov bp,sp; add word [bp],3; iret
            let code: [UInt8] = [
                0x31, 0xc0, 0x8e, 0xd8, 0xc7, 0x06, 0x18, 0x00, 0x1c, 0x7c, 0xa3, 0x1a, 0x00, 0x0f, 0x0a, 0xc0, 0x0f,
                0x0a, 0xc0, 0xfa, 0xf4, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x89, 0xe5, 0x83, 0x46, 0x00, 0x03,
                0xcf,
            ]
            let folder = Folder()
            let end = try await backplane(
                "run", try folder.machine(code), "--engine", "soft", "--policy", "stats")
            #expect(end.status == 0, "the handler has skipped both: \(end.error)")
            #expect(end.error.contains("no such instruction at 0x7c0d: 0f 0a"))
            let lines = end.errors.filter { $0.hasPrefix("backplane: stats: ") }
            #expect(lines.contains { $0.contains("undefined opcodes") }, "\(lines)")
            #expect(lines.contains { $0.hasSuffix("1  0x7c0d  0f 0a c0 0f 0a c0 fa f4") }, "\(lines)")
            #expect(lines.contains { $0.hasSuffix("1  0x7c10  0f 0a c0 fa f4 90 90 90") }, "\(lines)")
        }
    }
}
