import Core
import Foundation
import MachineFile
import Testing

@Suite struct ParameterTests {
    private func title(_ parameters: String, _ title: String, set: [(String, String)] = []) throws -> Value? {
        try machine(
            head + "parameters: { \(parameters) }\ndevices: [{ id: k, plugin: kitchen, title: \(title) }]\n",
            options: .init(settings: set)
        ).value("k", "title")
    }

    @Test func defaultsAreFilledIn() throws {
        #expect(try title("name: world", "\"hello ${name}, ${name}!\"") == .text("hello world, world!"))
        #expect(try title("name: { default: 010, doc: A word. }", "\"${name}\"") == .text("010"))
        #expect(try title("name: ''", "\"<${name}>\"") == .text("<>"))
    }

    @Test func dollarsAreWrittenTwice() throws {
        #expect(try title("a: x", "\"$${a} $$ $5 ${a}$\"") == .text("${a} $ $5 x$"))
    }

    @Test func settingsWin() throws {
        #expect(try title("name: world", "\"${name}\"", set: [("name", "a"), ("name", "you")]) == .text("you"))
        #expect(try title("name: ~", "\"${name}\"", set: [("name", "${literal}")]) == .text("${literal}"))
        #expect(try title("name: ~", "\"${name}\"", set: [("name", "")]) == .text(""))
    }

    @Test func everyScalarMayUseThem() throws {
        let text = """
            machine: "${n}"
            memory: "${mem}"
            parameters: { n: box, mem: 2MiB, p: pit8254, at: 0x50, line: "5", policy: stats }
            cpu: { engine: "${e}" }
            policies: [{ id: "${n}-policy", plugin: "${policy}", ports: ["${at}", 1-2] }]
            devices:
              - { id: pic, plugin: pic8259 }
              - { id: "${n}1", plugin: "${p}", at: "${at}", irq: "pic.${line}" }
            """.replacingOccurrences(of: "{ n: box", with: "{ e: soft, n: box")
        let machine = try machine(text)
        #expect(machine.name == "box")
        #expect(machine.engine == .soft)
        #expect(machine.memory == 2 << 20)
        #expect(try machine.value("box1", "at") == .port(0x50))
        #expect(try machine.instance("box1").wires.map(\.target) == [Endpoint(instance: "pic", index: 5)])
        #expect(try machine.value("box-policy", "ports") == .list([.range(0x50...0x50), .range(1...2)]))
    }

    @Test func defaultsMayNameOthers() throws {
        #expect(try title("a: \"<${b}>\", b: \"${c}${c}\", c: x", "\"${a}\"") == .text("<xx>"))
        #expect(try title("a: \"<${b}>\", b: x", "\"${a}\"", set: [("b", "y")]) == .text("<y>"))
    }

    // MARK: What is wrong

    @Test func anUnknownParameterIsNamed() throws {
        try expectErrors(
            head + "parameters: { guest: x }\ndevices: [{ id: k, plugin: kitchen, title: §\"${gest}\" }]\n",
            "there is no parameter \"gest\": did you mean \"guest\"?")
    }

    @Test func anUnknownSettingIsNamed() throws {
        let fixture = try Fixture(["m.yaml": head + "parameters: { guest: x }\nbogus: 1\n"])
        let result = fixture.load("m.yaml", .init(settings: [("gest", "x")]))
        #expect(
            fixture.lines(result) == [
                "--set gest: error: this machine has no parameter \"gest\": did you mean \"guest\"?",
                "m.yaml:4:1: error: a machine file has no \"bogus\"",
            ])
    }

    @Test func aSettingThatChangesNothingIsAWarning() throws {
        let fixture = try Fixture(["m.yaml": head + "parameters: { guest: x }\n"])
        let result = fixture.load("m.yaml", .init(settings: [("guest", "y")]))
        #expect(fixture.lines(result) == ["--set guest: warning: no value of this machine uses the parameter"])
        #expect(result.description != nil)
    }

    @Test func aRequiredParameterSaysHowToGiveIt() throws {
        let text =
            head + """
                parameters:
                  §guest: ~
                  unused: ~
                  §second: { doc: "Another." }
                boot: { plugin: multiboot, kernel: "${guest}", arguments: "${guest} ${second}" }
                devices: [{ id: k, plugin: kitchen, title: "${second}" }]
                """
        try expectErrors(
            text, "the parameter \"guest\" has no value: give it with --set guest=VALUE",
            "the parameter \"second\" has no value: give it with --set second=VALUE")
        _ = try machine(unmarked(text).text, options: .init(settings: [("guest", "a"), ("second", "b")]))
    }

    @Test func parametersAreNotMadeOfThemselves() throws {
        try expectErrors(
            head
                + "parameters:\n  a: \"${b}\"\n  b: §\"${a}\"\ndevices: [{ id: k, plugin: kitchen, title: \"${a}\" }]\n",
            "the parameter a is made of itself: a -> b -> a")
    }

    @Test func parametersAreBounded() throws {
        let chain = (0..<40).map { "  p\($0): \"${p\($0 + 1)}\"\n" }.joined() + "  p40: x\n"
        let fixture = try Fixture(["m.yaml": head + "parameters:\n" + chain + "watchdog: \"${p0}\"\n"])
        #expect(
            fixture.lines(fixture.load()) == ["m.yaml:20:8: error: parameters made of parameters are at most 16 deep"])

        let bomb =
            (0..<12).map { "  p\($0): \"" + String(repeating: "${p\($0 + 1)}", count: 10) + "\"\n" }.joined()
            + "  p12: x\n"
        let laugh = try Fixture(["m.yaml": head + "parameters:\n" + bomb + "watchdog: \"${p0}\"\n"])
        #expect(
            laugh.lines(laugh.load()) == [
                "m.yaml:11:7: error: with its parameters this value is longer than 64KiB"
            ])
    }

    @Test func theTotalIsBounded() throws {
        let long = String(repeating: "x", count: 60_000)
        let uses = String(repeating: ",\"${p}\"", count: 1000)
        let fixture = try Fixture([
            "m.yaml": head + "parameters: { p: \(long) }\ndevices: [{ id: k, plugin: kitchen, words: [a\(uses)] }]\n"
        ])
        let lines = fixture.lines(fixture.load())
        #expect(lines.first?.hasSuffix("error: parameters blow this file up to more than 16MiB") == true)
    }

    @Test func badReferencesAreRefused() throws {
        try expectErrors(
            head
                + "parameters: { a: x }\ndevices: [{ id: k, plugin: kitchen, title: §\"${a\", file: §\"${}\", words: [§\"${a b}\"] }]\n",
            "\"${\" begins a parameter's name, and no \"}\" ends it (a literal $ is written $$)",
            "\"\" is not a parameter's name: a letter, then letters, digits, \"-\" and \"_\"",
            "\"a b\" is not a parameter's name: a letter, then letters, digits, \"-\" and \"_\"")
    }

    @Test func badDeclarationsAreRefused() throws {
        try expectErrors(head + "parameters: §[a]\n", "parameters are a mapping of names to defaults, not a list")
        try expectErrors(
            head + "parameters:\n  §9a: x\n  b: §[c]\n  d: { §defualt: 1 }\n",
            "\"9a\" is not a parameter's name: a letter, then letters, digits, \"-\" and \"_\"",
            "the default of parameter b is a single value, not a list",
            "parameter d has no \"defualt\": did you mean \"default\"?")
    }

    // MARK: Paths

    @Test func aPathBelongsToWhereItBegins() throws {
        let fixture = try Fixture([
            "base/base.yaml": head + """
                parameters: { guest: default.elf, dir: images }
                boot: { plugin: multiboot, kernel: "${guest}" }
                backends:
                  - { id: a, plugin: raw-file, path: "${dir}/a.img" }
                  - { id: b, plugin: raw-file, path: "b-${dir}.img" }
                """,
            "m.yaml": "extends: base/base.yaml\nparameters: { dir: mine }\n",
        ])
        let defaults = try #require(fixture.load().description)
        #expect(try defaults.value("boot", "kernel") == .path(fixture.path("base/default.elf")))
        #expect(try defaults.value("a", "path") == .path(fixture.path("mine/a.img")))
        #expect(try defaults.value("b", "path") == .path(fixture.path("base/b-mine.img")))
        // The shell completes from the working directory.
        let set = try #require(fixture.load("m.yaml", .init(settings: [("guest", "build/tour.elf")])).description)
        #expect(try set.value("boot", "kernel") == .path("build/tour.elf"))
    }
}
