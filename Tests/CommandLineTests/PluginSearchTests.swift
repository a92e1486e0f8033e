import Foundation
import Testing

extension Commands {
    /// Where plugins are found, and where not.
    @Suite struct PluginSearchTests {
        private let isNull = "backend null: swallows what the guest writes"

        @Test(.enabled(if: Host.hasCompiler)) func aDirectoryOfTheCommandLineIsSearched() async throws {
            let (folder, elsewhere) = (Folder(), Folder())
            try await CPlugin.compile("mine", CPlugin.plain("mine"), into: elsewhere.path)
            let file = try folder.machine(Guest.powerOff, devices: ["{ id: it, plugin: mine }"])
            #expect(try await backplane("check", file).status == 2)
            #expect(try await backplane("check", file, "--plugin-path", elsewhere.path).status == 0)
            let environment = ["BACKPLANE_PLUGIN_PATH": "/absent:\(elsewhere.path)"]
            #expect(try await backplane("check", file, environment: environment).status == 0)
            #expect(try await backplane("plugin", "list", environment: environment).output.contains("\nmine "))
        }

        @Test(.enabled(if: Host.canRunPlugins)) func aPluginFromAnotherDirectoryRuns() async throws {
            let (folder, elsewhere) = (Folder(), Folder())
            try await CPlugin.compile("wild", CPlugin.wild, into: elsewhere.path)
            let file = try folder.machine(Guest.trap, devices: ["{ id: it, plugin: wild }"])
            let environment = ["BACKPLANE_PLUGIN_PATH": elsewhere.path]
            #expect(try await backplane("run", file, environment: environment).status == 0x42 << 1 & 0xff | 1)
        }

        /// The bundled plugin in C: the first byte is its seed after eight steps.
        @Test(.enabled(if: Host.hasKVM)) func theBundledPluginInCAnswersTheGuest() async throws {
            let folder = Folder()
            let file = try folder.machine(Guest.trap, devices: ["{ id: it, plugin: lfsr, at: 0x300, seed: 0x80 }"])
            // 0x80 falls out of a Galois register at the eighth step, which leaves the polynomial 0xb400.
            #expect(try await backplane("run", file).status == 0x00 << 1 | 1)
            let other = try folder.machine(Guest.trap, devices: ["{ id: it, plugin: lfsr, at: 0x300, seed: 0x4200 }"])
            #expect(try await backplane("run", other).status == 0x42 << 1 & 0xff | 1)
        }

        @Test(.enabled(if: Host.hasCompiler)) func theEarlierDirectoryWins() async throws {
            let (first, second) = (Folder(), Folder())
            try await CPlugin.compile("null", CPlugin.plain("null", summary: "the first"), into: first.path)
            try await CPlugin.compile("null", CPlugin.plain("null", summary: "the second"), into: second.path)
            let environment = ["BACKPLANE_PLUGIN_PATH": second.path]
            let option = try await backplane(
                "plugin", "info", "null", "--plugin-path", first.path, environment: environment)
            #expect(option.output.contains("device null: the first"))
            let variable = try await backplane("plugin", "info", "null", environment: environment)
            #expect(variable.output.contains("device null: the second"))
            #expect(try await backplane("plugin", "info", "null").output.contains(isNull))
        }

        @Test func aLibraryBesideTheMachineFileDoesNotShadowABundledOne() async throws {
            let folder = Folder()
            try folder.write("libpic8259.so", "a trap")
            try folder.write("pic8259.so", "a trap")
            let bundled = try folder.machine(Guest.powerOff, devices: ["{ id: pic, plugin: pic8259 }"])
            #expect(try await backplane("check", bundled).status == 0)
            let own = try folder.machine(Guest.powerOff, devices: ["{ id: pic, plugin: ./pic8259 }"])
            let end = try await backplane("check", own)
            #expect(end.status == 2)
            #expect(end.error.contains("the plugin \"./pic8259\" cannot be used"))
            #expect(end.error.contains("/libpic8259.so"))
        }

        /// Neither does the working directory.
        @Test func aLibraryInTheWorkingDirectoryIsOnlyFoundByPath() async throws {
            let folder = Folder()
            try folder.write("libnull.so", "a trap")
            func info(_ name: String) async throws -> Child.Ended {
                let script = "cd \"$0\" && exec \"$1\" plugin info \"$2\""
                return await (try Child(["-c", script, folder.path, Program.path, name], program: "/bin/sh")).end()
            }
            #expect(try await info("null").output.contains(isNull))
            for name in ["./null", "libnull.so"] {
                let end = try await info(name)
                #expect(end.status == 2)
                #expect(end.error.contains("\(folder.path)/libnull.so: it is not a loadable library"))
            }
        }

        @Test(.enabled(if: Host.hasCompiler)) func aPathIsRelativeToTheFileThatSaysIt() async throws {
            let folder = Folder()
            let parts = folder.makeDirectory("parts")
            try await CPlugin.compile("mine", CPlugin.plain("mine"), into: parts)
            let file = try folder.machine(Guest.powerOff, devices: ["{ id: it, plugin: ./parts/mine }"])
            #expect(try await backplane("check", file).status == 0)
            let inner = parts + "/inner.yaml"
            try "extends: ../machine.yaml\ndevices:\n  - { id: again, plugin: ./mine }\n"
                .write(toFile: inner, atomically: true, encoding: .utf8)
            let end = try await backplane("check", inner)
            #expect(end.status == 0)
            #expect(end.output.contains("5 instances"))
        }

        @Test(.enabled(if: Host.hasCompiler)) func aClassOfALibraryWithSeveralIsNamedBehindItsPath() async throws {
            let folder = Folder()
            let source = CPlugin.plain("pair").replacingOccurrences(
                of: "static const bp_class *const types[] = {&type};",
                with: """
                    static const bp_class other = {.size = sizeof(bp_class), .kind = BP_DEVICE, .state_version = 1,
                        .name = "other", .summary = "is another", .create = create, .destroy = destroy};
                    static const bp_class *const types[] = {&type, &other};
                    """
            ).replacingOccurrences(of: ".class_count = 1", with: ".class_count = 2")
            try await CPlugin.compile("pair", source, into: folder.path)
            for name in ["./libpair.so/other", "./pair/other", "\(folder.path)/libpair.so/other"] {
                let file = try folder.machine(Guest.powerOff, devices: ["{ id: it, plugin: \(name) }"])
                let end = try await backplane("show", file)
                #expect(end.status == 0 && end.output.contains(" other"), "\(name): \(end.error)")
            }
            let wrong = try folder.machine(Guest.powerOff, devices: ["{ id: it, plugin: ./libpair.so/othr }"])
            let end = try await backplane("check", wrong)
            #expect(end.status == 2 && end.error.contains("did you mean \"other\"?"))
            #expect(end.error.contains("/libpair.so has pair, other"))
        }

        @Test func aPathThatIsNotThereSaysWhereItLookedAndNoMore() async throws {
            let folder = Folder()
            let file = try folder.machine(Guest.powerOff, devices: ["{ id: it, plugin: ./nul }"])
            for command in ["check", "run"] {
                let end = try await backplane(command, file)
                #expect(end.status == 2 && end.error.contains("there is no plugin \"./nul\"\n"))
                let places = end.errors.filter { $0.contains("searched: ") }.map {
                    $0.components(separatedBy: "searched: ")[1]
                }
                #expect(places == ["\(folder.path)/libnul.so", "\(folder.path)/nul.so"])
            }
        }

        @Test func aPipeIsNoLibrary() async throws {
            let folder = Folder()
            mkfifo(folder.path + "/pipe.so", 0o600)
            let file = try folder.machine(Guest.powerOff, devices: ["{ id: it, plugin: ./pipe.so }"])
            let end = try await backplane("run", file)
            #expect(end.status == 2 && end.error.contains("there is no plugin"))
        }

        @Test func anUnknownNameSaysWhereItWasLookedFor() async throws {
            let end = try await backplane("plugin", "info", "nothing-of-that-name", "--plugin-path", "/absent")
            #expect(end.status == 2)
            #expect(end.error.contains("there is no plugin 'nothing-of-that-name' in /absent, "))
            #expect(end.error.contains(Program.directory))
        }
    }
}
