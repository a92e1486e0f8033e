import Foundation
import Testing

extension Commands {
    @Suite struct CheckTests {
        /// `file:line:column: error: message` of every error line.
        private func errors(_ end: Child.Ended, _ file: String) -> [(line: Int, column: Int, message: String)] {
            end.errors.compactMap { line in
                guard line.hasPrefix(file + ":") else { return nil }
                let parts = line.dropFirst(file.count + 1).split(separator: ":", maxSplits: 3).map(String.init)
                guard parts.count == 4, parts[2] == " error", let row = Int(parts[0]), let column = Int(parts[1])
                else { return nil }
                return (row, column, String(parts[3].dropFirst()))
            }
        }

        @Test func aGoodFileIsOk() async throws {
            let end = try await backplane("check", "--files-only", Program.tourMachine)
            #expect(end.status == 0)
            #expect(end.output == "\(Program.tourMachine): ok: machine 'tour', 11 instances\n")
            #expect(end.error == "")
        }

        @Test func allErrorsComeInTheFilesOrderWithTheirPlaces() async throws {
            let folder = Folder()
            let file = try folder.write(
                "many.yaml",
                """
                machine: many
                memory: 1MiB
                boot: { plugin: flat, image: off.img, drive: 256 }
                cpu: { interrupts: pik }
                devices:
                  - { id: pic, plugin: pic8259 }
                  - { id: com1, plugin: uart1655, at: 0x3f8 }
                  - { id: com2, plugin: uart16550, att: 0x2f8, irq: pix.4 }
                  - { id: com3, plugin: uart16550, strem: x, irq: pic.44 }
                  - { id: d, plugin: lfsr, seed: "${sed}" }
                parameters:
                  seed: 1
                """)
            let end = try await backplane("check", file)
            #expect(end.status == 2)
            #expect(end.output == "")
            let found = errors(end, file)
            #expect(
                found.map { "\($0.line):\($0.column)" } == [
                    "3:46", "4:20", "7:25", "8:36", "8:53", "9:36", "9:51", "10:34",
                ])
            let parts = [
                ["drive", "256", "0 to 255"], ["pik", "did you mean \"pic\"?"],
                ["uart1655", "did you mean \"uart16550\"?"], ["att", "did you mean \"at\"?"],
                ["pix", "did you mean \"pic\"?"], ["strem", "did you mean \"stream\"?"], ["44", "pic.0 to pic.15"],
                ["sed", "did you mean \"seed\"?"],
            ]
            for (error, words) in zip(found, parts) {
                for word in words { #expect(error.message.contains(word)) }
            }
            // The line itself, and a caret under the place.
            let row = try #require(end.errors.firstIndex { $0.hasPrefix("\(file):7:25:") })
            #expect(end.errors[row + 1] == "      - { id: com1, plugin: uart1655, at: 0x3f8 }")
            #expect(end.errors[row + 2] == String(repeating: " ", count: 4 + 24) + "^")
        }

        @Test func anUnknownPluginNamesWhereItWasLookedFor() async throws {
            let folder = Folder()
            let file = try folder.machine(Guest.powerOff, devices: ["{ id: x, plugin: nothing-of-that-name }"])
            let end = try await backplane("check", file)
            #expect(end.status == 2)
            #expect(end.error.contains("there is no plugin \"nothing-of-that-name\""))
            #expect(end.error.contains("searched: \(Program.directory)"))
        }

        @Test func brokenYAMLIsOneErrorWithItsPlace() async throws {
            let file = try Folder.keeping { try $0.write("broken.yaml", "machine: x\nmemory: [1MiB\ndevices: }\n") }
            let end = try await backplane("check", file.path)
            #expect(end.status == 2)
            #expect(errors(end, file.path).count == 1)
        }

        @Test func aFileThatIsNotThereIsNamed() async throws {
            let folder = Folder()
            let end = try await backplane("check", folder.path + "/absent.yaml")
            #expect(end.status == 2)
            #expect(end.error.contains("\(folder.path)/absent.yaml: error: no such file"))
        }

        @Test func aDirectoryIsNoMachineFile() async throws {
            let folder = Folder()
            let end = try await backplane("check", folder.path)
            #expect(end.status == 2)
            #expect(end.error.contains("\(folder.path): error: this is a directory, not a machine file"))
        }

        @Test func aFileOfBytesThatAreNoTextIsRefused() async throws {
            let folder = Folder()
            let file = try folder.write("binary.yaml", (0...255).map { UInt8($0) })
            let end = try await backplane("check", file)
            #expect(end.status == 2)
            #expect(end.error.contains("error:"))
        }

        @Test func aRequiredParameterAsksForItsSetting() async throws {
            let folder = Folder()
            let file = try folder.write(
                "needs.yaml",
                """
                machine: needs
                memory: 1MiB
                parameters: { guest: ~ }
                boot: { plugin: flat, image: "${guest}" }
                """)
            let without = try await backplane("check", file)
            #expect(without.status == 2)
            #expect(without.error.contains("--set guest=VALUE"))
            try folder.write("x.img", Guest.powerOff)
            let with = try await backplane("check", file, "--set", "guest=\(folder.path)/x.img")
            #expect(with.status == 0)
        }

        @Test func aSettingThatNoFileDeclaresIsAnErrorWithASuggestion() async throws {
            let end = try await backplane("check", Program.tourMachine, "--set", "gest=x")
            #expect(end.status == 2)
            #expect(end.error.contains("--set gest: error:"))
            #expect(end.error.contains("did you mean \"guest\"?"))
        }

        @Test func aSettingThatNothingUsesIsAWarning() async throws {
            let folder = Folder()
            let file = try folder.write(
                "unused.yaml",
                "machine: u\nmemory: 1MiB\nparameters: { foo: 1 }\nboot: { plugin: flat, image: x.img }\n")
            try folder.write("x.img", Guest.powerOff)
            let end = try await backplane("check", file, "--set", "foo=2")
            #expect(end.status == 0)
            #expect(end.error.contains("--set foo: warning:"))
        }

        @Test func errorsOfAPolicyOnTheCommandLineNameTheOption() async throws {
            let end = try await backplane("check", Program.tourMachine, "--policy", "strict,alow=0x80")
            #expect(end.status == 2)
            #expect(end.error.contains("--policy strict,alow=0x80: error:"))
            #expect(end.error.contains("did you mean \"allow\"?"))
            let unknown = try await backplane("check", Program.tourMachine, "--policy", "strikt")
            #expect(unknown.status == 2)
            #expect(unknown.error.contains("did you mean \"strict\"?"))
        }

        @Test(arguments: [
            ["--nonsense"], ["frobnicate"], ["check"], ["run"], ["run", "x.yaml", "--set"],
            ["run", "x.yaml", "--set", "novalue"], ["run", "x.yaml", "--log", "loud"],
            ["run", "x.yaml", "--engine", "vax"], ["check", "x.yaml", "--nonsense"], ["disk", "create", "x.img"],
            ["plugin", "info"],
        ])
        func badUsageIsStatus2(_ arguments: [String]) async throws {
            let end = await (try Child(arguments)).end()
            #expect(end.status == 2)
            #expect(end.error.hasPrefix("Error: "))
            #expect(end.output == "")
        }

        @Test func helpAndVersionAreNoErrors() async throws {
            let help = try await backplane("--help")
            #expect(help.status == 0)
            for command in ["run", "check", "show", "schema", "plugin", "disk"] {
                #expect(help.output.contains("\n  \(command) "))
            }
            let version = try await backplane("--version")
            #expect(version.status == 0)
            #expect(version.output.split(separator: ".").count == 3)
        }
    }
}

extension Folder {
    /// A file, and the folder that keeps it there.
    struct File {
        var path: String
        var folder: Folder
    }

    static func keeping(_ make: (Folder) throws -> String) rethrows -> File {
        let folder = Folder()
        return File(path: try make(folder), folder: folder)
    }
}
