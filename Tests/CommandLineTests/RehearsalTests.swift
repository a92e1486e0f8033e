import Foundation
import Testing

extension Commands {
    /// `check` says what `run` would, with its place, and touches nothing.
    @Suite struct RehearsalTests {
        private let folder = Folder()

        private func file(boot: String = "image: guest.img", devices: String = "", backends: String = "") throws
            -> String
        {
            try folder.write("guest.img", Guest.powerOff)
            return try folder.write(
                "machine.yaml",
                """
                machine: small
                cpu: { engine: soft }
                memory: 1MiB
                boot: { plugin: flat, \(boot) }
                devices:
                  - { id: exit, plugin: debug-exit }
                \(devices.isEmpty ? "" : "  - " + devices)
                backends:
                  - { id: none, plugin: "null" }
                \(backends.isEmpty ? "" : "  - " + backends)

                """)
        }

        /// Both say it, at the same place.
        private func expect(
            _ file: String, line: Int, _ words: String..., at location: SourceLocation = #_sourceLocation
        )
            async throws
        {
            for command in ["check", "run"] {
                let end = try await backplane(command, file)
                #expect(end.status == 2, "\(command): \(end.error)", sourceLocation: location)
                #expect(end.error.contains("\(file):\(line):"), "\(command): \(end.error)", sourceLocation: location)
                for word in words {
                    #expect(end.error.contains(word), "\(command): \(end.error)", sourceLocation: location)
                }
            }
        }

        @Test(arguments: [
            ("absent.img", "No such file"), (".", "directory"), ("/dev/zero", "not a regular file"), ("empty", "empty"),
        ])
        func anImageThatCannotBeLoaded(_ path: String, _ reason: String) async throws {
            try folder.write("empty", "")
            try await expect(try file(boot: "image: \(path)"), line: 4, "'boot' (flat)", reason)
        }

        @Test(arguments: [
            ("absent.img", "there is no file"), (".", "is a directory"), ("/dev/zero", "neither"), ("empty", "0 bytes"),
        ])
        func aDiskThatCannotBeUsed(_ path: String, _ reason: String) async throws {
            try folder.write("empty", "")
            let file = try file(backends: "{ id: disk, plugin: raw-file, path: \(path) }")
            try await expect(file, line: 10, "'disk' (raw-file)", reason)
        }

        @Test func aPipeIsNotWaitedFor() async throws {
            mkfifo(folder.path + "/pipe", 0o600)
            try await expect(try file(boot: "image: pipe"), line: 4, "not a regular file")
            try await expect(
                try file(backends: "{ id: disk, plugin: ram-disk, size: 1MiB, image: pipe }"), line: 10, "regular file")
        }

        @Test func anOutputThatCannotBeMade() async throws {
            let file = try file(backends: "{ id: out, plugin: file, path: absent/out }")
            try await expect(file, line: 10, "'out' (file)", "No such file")
        }

        @Test func claimsThatOverlapNameBothOwners() async throws {
            let file = try file(devices: "{ id: com1, plugin: uart16550, at: 0x4fe }")
            try await expect(file, line: 7, "overlap with 'exit'")
        }

        @Test func aClaimBeyondTheLastPort() async throws {
            try await expect(
                try file(devices: "{ id: com1, plugin: uart16550, at: 0xffff }"), line: 7, "'com1' (uart16550)")
            // Its wire leads to a backend, which `check` does not make.
            let wired = "{ id: com1, plugin: uart16550, at: 0xffff, stream: none }"
            try await expect(try file(devices: wired), line: 7, "'com1' (uart16550)")
        }

        @Test func allErrorsComeAtOnce() async throws {
            let file = try file(
                boot: "image: absent.img", devices: "{ id: com1, plugin: uart16550, at: 0xffff }",
                backends: "{ id: disk, plugin: raw-file, path: gone.img }")
            let end = try await backplane("check", file)
            #expect(end.status == 2 && end.output == "")
            let lines = end.errors.filter { $0.contains("error:") }
            #expect(lines.count == 3)
            for (line, id) in zip(lines, ["boot", "com1", "disk"]) { #expect(line.contains("'\(id)'")) }
        }

        @Test func nothingIsMadeOrLocked() async throws {
            let disk = try folder.write("disk.img", [UInt8](repeating: 7, count: 1024))
            let file = try file(
                devices: "{ id: com1, plugin: uart16550, stream: out }",
                backends: "{ id: out, plugin: file, path: made }\n  - { id: d, plugin: raw-file, path: disk.img }\n"
                    + "  - { id: s, plugin: socket, path: sock }\npolicies:\n  - { id: t, plugin: trace, file: traced }"
            )
            let before = try FileManager.default.attributesOfItem(atPath: disk)[.modificationDate] as? Date
            let end = try await backplane("check", file)
            #expect(end.status == 0, "\(end.error)")
            #expect(end.output == "\(file): ok: machine 'small', 8 instances\n")
            for name in ["made", "sock", "traced"] { #expect(access("\(folder.path)/\(name)", F_OK) != 0) }
            #expect(try FileManager.default.attributesOfItem(atPath: disk)[.modificationDate] as? Date == before)
        }

        @Test func anExitThatTheEngineCannotDeliver() async throws {
            let file = try folder.write(
                "kvm.yaml",
                "machine: k\ncpu: { engine: kvm }\nmemory: 1MiB\npolicies:\n  - { id: s, plugin: guard, deny-cpuid: 1 }\n"
            )
            let end = try await backplane("check", file)
            #expect(end.status == 2, "\(end.error)")
            #expect(end.error.contains("kvm.yaml:5:") && end.error.contains("engine 'kvm' cannot deliver"))
        }

        @Test(.enabled(if: Host.hasCompiler), arguments: [("crash", "SIGSEGV"), ("abort", "SIGABRT")])
        func aDeviceThatCrashesIsNamed(_ action: String, _ signal: String) async throws {
            try await CPlugin.compile("wild", CPlugin.wild, into: folder.path)
            let file = try file(devices: "{ id: it, plugin: ./wild, when: create, do: \(action) }")
            let end = try await backplane("check", file)
            #expect(end.status == 4)
            #expect(end.error.contains("instance 'it' (wild), in create") && end.error.contains(signal))
            #expect(end.output == "")
        }

        @Test(.enabled(if: Host.hasCompiler)) func aLibraryThatEndsTheProcessIsNoSuccess() async throws {
            let source = CPlugin.plain("quits").replacingOccurrences(of: "*self = (void *)h;", with: "_exit(0);")
            try await CPlugin.compile("quits", source, into: folder.path)
            let end = try await backplane("check", try file(devices: "{ id: it, plugin: ./quits }"))
            #expect(end.status == 4 && end.output == "")
            #expect(end.error.contains("a plugin has ended the process"))
        }

        /// A device whose block slot leads to a backend that is only looked at.
        @Test func aDeviceBehindABackendIsChecked() async throws {
            try folder.write("disk.img", [UInt8](repeating: 0, count: 1 << 20))
            let file = try file(
                devices: "{ id: hd0, plugin: ata, at: 0x1f0, control: 0x3f6, block: d }",
                backends: "{ id: d, plugin: raw-file, path: disk.img }")
            #expect(try await backplane("check", file).status == 0)
        }
    }
}
