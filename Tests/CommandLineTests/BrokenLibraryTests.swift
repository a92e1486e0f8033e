import Foundation
import Testing

/// Libraries that cannot be used, and what must be said about them.
private struct Broken: CustomTestStringConvertible {
    var name: String
    /// nil: not made by a compiler.
    var source: String?
    var reasons: [String]

    var testDescription: String { name }

    private static let crash = "*(volatile int *)0x10 = 1;"

    private static func c(
        _ name: String, _ reasons: String..., major: Int = 1, minor: Int = 0, before: String = "",
        entry: String = "return &plugin;", symbol: String = "backplane_plugin"
    ) -> Broken {
        let source = CPlugin.plain(
            name, major: major, minor: minor, before: before, entry: entry, symbol: symbol)
        return Broken(name: name, source: source, reasons: reasons)
    }

    /// A device with properties of one name.
    private static func property(_ name: String, _ reason: String, named property: String, count: Int = 1) -> Broken {
        let declared = """
            static const bp_property p = {.size = sizeof(bp_property), .type = BP_TEXT, .name = "\(property)", .doc = ""};
            static const bp_property *const properties[] = {&p, &p};
            """
        let source = CPlugin.plain(name, before: declared)
            .replacingOccurrences(
                of: ".create = create,", with: ".property_count = \(count), .properties = properties, .create = create,"
            )
        return Broken(name: name, source: source, reasons: [reason])
    }

    static let all = [
        Broken(name: "text", source: nil, reasons: ["is not a loadable library"]),
        c("nosymbol", "does not export 'backplane_plugin'", symbol: "another_entry"),
        c("newmajor", "plugin ABI 2.0", "has 1.", major: 2),
        c("newminor", "plugin ABI 1.999", "has 1.", minor: 999),
        c("nodescriptor", "cannot work with plugin ABI 1.", entry: "return NULL;"),
        c("crashentry", "crashes when it is loaded", "Segmentation fault", entry: crash + " return &plugin;"),
        c("abortentry", "crashes when it is loaded", "Aborted", entry: "abort();"),
        c(
            "crashload", "crashes when it is loaded", "Segmentation fault",
            before: "__attribute__((constructor)) static void early(void) { \(crash) }"),
        c("hangentry", "does not return from being loaded", entry: "for (;;) pause();"),
        property("badname", #"the property name "Bad Name" is not made of lower-case words"#, named: "Bad Name"),
        property("escapename", "is not made of lower-case words", named: "\\x1b[31m"),
        property("hyphenname", "is not made of lower-case words", named: "two--hyphens"),
        property("reservedname", "uses the reserved name 'on-fault'", named: "on-fault"),
        property("twicename", "uses one name twice", named: "twice", count: 2),
        c("exitentry", "ends the process that loads it, with status 3", entry: "_exit(3);"),
    ]

    static func make(_ broken: [Broken], in directory: String) async throws {
        for library in broken {
            if let source = library.source {
                try await CPlugin.compile(library.name, source, into: directory)
            } else {
                let text = String(repeating: "this is no library\n", count: 20)
                try text.write(toFile: "\(directory)/lib\(library.name).so", atomically: true, encoding: .utf8)
            }
        }
    }
}

extension Commands {
    @Suite(.enabled(if: Host.hasCompiler)) struct BrokenLibraryTests {
        @Test func theListSurvivesThemAllAndSaysWhatIsWrongWithEach() async throws {
            let folder = Folder()
            try await Broken.make(Broken.all, in: folder.path)
            try await CPlugin.compile("good", CPlugin.plain("good", summary: "is well"), into: folder.path)
            mkdir(folder.path + "/libdirectory.so", 0o755)
            let end = try await backplane("plugin", "list", "--plugin-path", folder.path, seconds: 180)
            #expect(end.status == 0)
            let listed = end.output.split(separator: "\n").dropFirst().map { String($0.split(separator: " ")[0]) }
            #expect(Set(listed) == Set(Program.plugins + ["good"]))
            #expect(end.output.contains("is well"))
            for library in Broken.all {
                let line = end.errors.first { $0.contains("\(folder.path)/lib\(library.name).so: ") }
                #expect(line != nil, "\(library.name)")
                for reason in library.reasons {
                    #expect(line?.contains(reason) == true, "\(library.name): \(line ?? "")")
                }
            }
            #expect(end.errors.filter { $0.contains("libdirectory.so") }.count == 1)
            #expect(end.errors.count == Broken.all.count + 1)
        }

        @Test(arguments: Broken.all)
        private func checkAndInfoNameIt(_ library: Broken) async throws {
            let folder = Folder()
            try await Broken.make([library], in: folder.path)
            let file = try folder.machine(Guest.powerOff, devices: ["{ id: bad, plugin: \(library.name) }"])
            let check = try await backplane("check", file, "--plugin-path", folder.path)
            let info = try await backplane("plugin", "info", library.name, "--plugin-path", folder.path)
            for end in [check, info] {
                #expect(end.status == 2)
                #expect(end.output == "")
                #expect(end.error.contains("\(folder.path)/lib\(library.name).so"))
                for reason in library.reasons { #expect(end.error.contains(reason)) }
            }
            #expect(check.error.contains("\(file):10:24: error: the plugin \"\(library.name)\" cannot be used"))
        }

        @Test(arguments: Broken.all.filter { $0.name.hasPrefix("new") || $0.name.hasPrefix("no") || $0.name == "text" })
        private func runRefusesItWithStatus2(_ library: Broken) async throws {
            let folder = Folder()
            try await Broken.make([library], in: folder.path)
            let file = try folder.machine(Guest.powerOff, devices: ["{ id: bad, plugin: \(library.name) }"])
            let end = try await backplane("run", file, "--plugin-path", folder.path)
            #expect(end.status == 2)
            #expect(end.error.contains("\(file):10:24: error:"))
            for reason in library.reasons { #expect(end.error.contains(reason)) }
        }

        @Test(arguments: Broken.all.filter { $0.name.hasPrefix("crash") })
        private func aCrashOnLoadIsNamedByRun(_ library: Broken) async throws {
            let folder = Folder()
            try await Broken.make([library], in: folder.path)
            let file = try folder.machine(Guest.powerOff, devices: ["{ id: bad, plugin: \(library.name) }"])
            let end = try await backplane("run", file, "--plugin-path", folder.path)
            #expect(end.status == 128 + SIGSEGV)
            #expect(end.error.contains("crashed while loading \(folder.path)/lib\(library.name).so"))
            #expect(end.error.contains("SIGSEGV at address 0x10"))
        }

        @Test func aLibraryThatEndsTheProcessOnLoadIsNotSuccess() async throws {
            let folder = Folder()
            let source = CPlugin.plain("leaves", entry: "exit(0);")
            try await CPlugin.compile("leaves", source, into: folder.path)
            let file = try folder.machine(Guest.powerOff, devices: ["{ id: bad, plugin: leaves }"])
            let check = try await backplane("check", file, "--plugin-path", folder.path)
            #expect(check.status == 2)
            #expect(check.error.contains("ends the process that loads it, with status 0"))
            let run = try await backplane("run", file, "--plugin-path", folder.path)
            #expect(run.status != 0)
        }

        @Test func whatALibraryPrintsOnLoadDoesNotDisturbItsDescription() async throws {
            let folder = Folder()
            let source = CPlugin.plain("chatty", before: "#include <stdio.h>", entry: "puts(\"{}\"); return &plugin;")
            try await CPlugin.compile("chatty", source, into: folder.path)
            let end = try await backplane("plugin", "info", "chatty", "--plugin-path", folder.path)
            #expect(end.status == 0)
            #expect(end.output.contains("device chatty: does nothing"))
        }
    }
}
