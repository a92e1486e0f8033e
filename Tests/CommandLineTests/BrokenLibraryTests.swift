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

    /// A device with a firmware node, of whose fields some are given.
    private static func node(_ name: String, _ reason: String, _ fields: String, before: String = "") -> Broken {
        let declared = """
            \(before)
            static const char *const lists[] = {"twice", "twice", NULL};
            static const char *const unknown[] = {"no-such-slot", NULL};
            static const char *const long_name[] = {"0123456789012345678901234567890123456789012345678901234567890123456789", NULL};
            static const char *const bad_link[] = {"LNKAB", NULL};
            static const char *const own_link[] = {"LNKA", NULL};
            static const char *const lower_id[] = {"pnp0501", NULL};
            static const char *const endless[70] = {
                "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c", "d", "e", "f", "00", "01", "02", "03", "04", "05", "06", "07", "08",
                "09", "0a", "0b", "0c", "0d", "0e", "0f", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19", "1a", "1b", "1c", "1d", "1e",
                "1f", "20", "21", "22", "23", "24", "25", "26", "27", "28", "29", "2a", "2b", "2c", "2d", "2e", "2f", "30", "31", "32", "33", "34"};
            static const bp_firmware_node n = {.size = sizeof(bp_firmware_node), \(fields)};
            static const bp_firmware_node *const nodes[17] = {&n, &n, &n, &n, &n, &n, &n, &n, &n, &n, &n, &n, &n, &n, &n, &n, &n};
            """
        let count = name == "nodemany" ? 17 : 1
        let source = CPlugin.plain(name, before: declared)
            .replacingOccurrences(
                of: ".create = create,", with: ".node_count = \(count), .nodes = nodes, .create = create,")
        return Broken(name: name, source: source, reasons: ["class '\(name)'", reason])
    }

    /// With these bytes as its AML.
    private static func aml(_ name: String, _ reason: String, _ bytes: [UInt8], _ fields: String = "") -> Broken {
        let list = bytes.map { String($0) }.joined(separator: ", ")
        return node(
            name, reason, #".hid = "PNP0501", .aml = aml, .aml_length = sizeof aml, \#(fields)"#,
            before: "static const uint8_t aml[] = {\(list)};")
    }

    private static func name(_ name: String) -> [UInt8] { [0x08] + Array(name.utf8) + [0] }
    private static func device(_ name: String, _ terms: [UInt8]) -> [UInt8] {
        [0x5B, 0x82, UInt8(5 + terms.count)] + Array(name.utf8) + terms
    }

    /// Terms: ACPI 6.5, 20.2.
    static let amls = [
        aml("nodegarbage", "its aml has at byte 0 what is no declaration", [0xDE, 0xAD, 0xBE, 0xEF]),
        aml("nodestore", "its aml has at byte 0 what is no declaration", [0x70, 0x01, 0x60]),
        aml("nodecut", "its aml has at byte 5 no data", Array(name("TEMP").dropLast())),
        aml("nodelead", "its aml has at byte 1 no name", name("1BAD")),
        aml("nodeframe", "its aml has at byte 1 a length that leads out", [0x14, 0x3F] + Array("METH".utf8) + [0]),
        aml(
            "nodenegative", "its aml has at byte 2 a length that leads out",
            [0x5B, 0x82, 0x00] + Array("DEV1".utf8)),
        aml("noderoot", "its aml has at byte 1 the declaration of something outside", name("\\TEMP")),
        aml("nodecrs", "its aml has at byte 1 the name _CRS, which is for whoever makes", name("_CRS")),
        aml("nodeagain", "its aml has at byte 7 the name TEMP again", name("TEMP") + name("TEMP")),
        aml(
            "nodeunknown", "its aml has at byte 3 the name REGS, which it has not declared",
            [0x5B, 0x81, 0x06] + Array("REGS".utf8) + [0x01]),
        aml("nodenolink", "'LNKA' is no device that its aml declares", name("LNKA"), ".links = own_link"),
        aml(
            "nodeprs", "its link 'LNKA' has a _PRS, which is for whoever makes", device("LNKA", name("_PRS")),
            ".links = own_link"),
    ]

    static let nodes = [
        node("nodeid", #"the ID "pnp0501" is neither"#, #".hid = "pnp0501""#),
        node(
            "nodelongid", "is neither three capital letters",
            #".hid = "PNP05010501050105010501050105010501050105010501050105010501050105010501""#),
        node("nodenoid", "it has no hid", ".role = BP_NODE_DEVICE"),
        node("noderole", "its role 99 is unknown", #".hid = "PNP0501", .role = 99"#),
        node(
            "nodeslot", "the slot 'no-such-slot', which the class does not have", #".hid = "PNP0501", .slots = unknown"#
        ),
        node("nodetwice", "have 'twice' twice", #".hid = "PNP0501", .claims = lists"#),
        node("nodelong", "is not 1 to 63 characters", #".hid = "PNP0501", .claims = long_name"#),
        node("nodelink", "of its links 'LNKAB'", #".hid = "PNP0501", .links = bad_link"#),
        node("nodecid", #"the ID "pnp0501" is neither"#, #".hid = "PNP0501", .cids = lower_id"#),
        node("nodeend", "its claims have no end", #".hid = "PNP0501", .claims = endless"#),
        node("nodeaml", "its aml is NULL or longer", #".hid = "PNP0501", .aml_length = 4"#),
        node(
            "nodeamllong", "its aml is NULL or longer",
            #".hid = "PNP0501", .aml = (const uint8_t *)"", .aml_length = 65537"#),
        node("nodesmall", "is smaller than that of ABI 1.9", #".size = 16"#),
        node("nodemany", "has 17 firmware nodes", #".hid = "PNP0501""#),
    ]

    static let all =
        nodes + amls + [
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

        /// What a class claims is known when it is connected: a node that names something else is the class's mistake.
        @Test func aNodeWithAClaimThatIsNotThereIsNamedByCheckAndByTheBench() async throws {
            let folder = Folder()
            let source = CPlugin.plain(
                "unclaimed",
                before: """
                    static const char *const claims[] = {"registers", NULL};
                    static const bp_firmware_node n = {.size = sizeof(bp_firmware_node), .hid = "BCKP0001", .claims = claims};
                    static const bp_firmware_node *const nodes[] = {&n};
                    """
            ).replacingOccurrences(of: ".create = create,", with: ".node_count = 1, .nodes = nodes, .create = create,")
            try await CPlugin.compile("unclaimed", source, into: folder.path)
            let file = try folder.machine(Guest.powerOff, devices: ["{ id: bad, plugin: unclaimed }"])
            let check = try await backplane("check", file, "--plugin-path", folder.path)
            let bench = try await backplane("plugin", "test", "\(folder.path)/libunclaimed.so", "--operations", "1000")
            #expect(check.status == 2 || check.status == 4)
            #expect(bench.status != 0)
            for end in [check, bench] {
                #expect((end.error + end.output).contains("firmware node BCKP0001 with the claim 'registers'"))
            }
        }

        /// The most that a node may have, and AML of every kind that is read.
        @Test func aNodeOfSixtyFourNamesWithAMLIsTaken() async throws {
            let folder = Folder()
            let names = (0..<64).map { #""name \#($0)""# }.joined(separator: ", ")
            let source = CPlugin.plain(
                "much",
                before: """
                    static const char *const claims[] = {\(names), NULL};
                    static const char *const links[] = {"LNKA", NULL};
                    static const uint8_t aml[] = {
                        0x08, 'T', 'E', 'X', 'T', 0x0D, 'a', 0, 0x08, 'L', 'I', 'S', 'T', 0x12, 11, 3, 1, 0x0B, 2, 0, 0x11, 4, 0x0A, 1, 0xAA,
                        0x5B, 0x80, 'R', 'E', 'G', 'S', 1, 0x0B, 0, 3, 0x0A, 4,
                        0x5B, 0x81, 13, 'R', 'E', 'G', 'S', 1, 0x00, 8, 'F', 'L', 'D', '0', 8,
                        0x5B, 0x82, 12, 'L', 'N', 'K', 'A', 0x14, 6, '_', 'D', 'I', 'S', 0};
                    static const bp_firmware_node n = {.size = sizeof(bp_firmware_node), .hid = "BCKP0001", .flags = BP_NODE_OPTIONAL,
                        .claims = claims, .links = links, .aml = aml, .aml_length = sizeof aml};
                    static const bp_firmware_node *const nodes[] = {&n};
                    """
            ).replacingOccurrences(of: ".create = create,", with: ".node_count = 1, .nodes = nodes, .create = create,")
            try await CPlugin.compile("much", source, into: folder.path)
            let end = try await backplane("plugin", "info", "\(folder.path)/libmuch.so")
            #expect(end.status == 0, "\(end.error)")
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
