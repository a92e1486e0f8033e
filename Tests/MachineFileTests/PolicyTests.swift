import Core
import MachineFile
import Testing

@Suite struct PolicyTests {
    private func machine(_ text: String, _ policies: String...) throws -> MachineDescription {
        try MachineFileTests.machine(head + text, options: .init(extraPolicies: policies))
    }

    // MARK: standard

    @Test func aMachineThatNamesNoPolicyGetsTheStandardOne() throws {
        for text in ["", "policies: []\n", "policies:\n"] {
            let machine = try machine(text)
            #expect(machine.instances.map(\.id) == ["standard"])
            #expect(machine.instances.first?.libraryPath == "/lib/libstandard.so")
            #expect(machine.instances.first?.location.line == 1)
            #expect(machine.instances.first?.location.column == 1)
            #expect(try machine.value("standard", "halt-forever") == .choice("stop", index: 0))
        }
    }

    @Test func aMachineThatNamesOneGetsNoOther() throws {
        #expect(try machine("policies: [{ id: s, plugin: stats }]\n").instances.map(\.id) == ["s"])
    }

    @Test func aTakenIDIsGoneRound() throws {
        let machine = try machine("devices: [{ id: standard, plugin: pit8254 }]\n")
        #expect(machine.instances.map(\.id) == ["standard-2", "standard"])
    }

    @Test func itsAbsenceIsAnErrorInTheFirstLine() throws {
        let fixture = try Fixture(["m.yaml": "# none\n" + head])
        fixture.catalog.classes.removeAll { $0.name == "standard" }
        #expect(fixture.lines(fixture.load()) == ["m.yaml:1:1: error: there is no plugin \"standard\""])
    }

    // MARK: --policy

    @Test func theCommandLinesPoliciesComeFirstInOrder() throws {
        let machine = try machine(
            "policies: [{ id: rules, plugin: standard }]\n", "stats,period=5ms", "mine=stats,ports=1,ports=2-3",
            "standard,unclaimed-port=log")
        #expect(machine.instances.map(\.id) == ["stats", "mine", "standard", "rules"])
        #expect(try machine.value("stats", "period") == .duration(5_000_000))
        #expect(try machine.value("mine", "ports") == .list([.range(1...1), .range(2...3)]))
        #expect(try machine.value("standard", "unclaimed-port") == .choice("log", index: 1))
        #expect(try machine.value("rules", "unclaimed-port") == .choice("float", index: 0))
        #expect(machine.instances.first?.location.description == "--policy stats,period=5ms")
    }

    @Test func oneOfAClassThatIsThereStandsInFront() throws {
        let machine = try machine("policies: [{ id: stats, plugin: stats, period: 2s }]\n", "stats", "stats")
        #expect(machine.instances.map(\.id) == ["stats-2", "stats-3", "stats"])
        #expect(try machine.value("stats", "period") == .duration(2_000_000_000))
    }

    @Test func theStandardOneStaysBehindThem() throws {
        #expect(try machine("", "stats").instances.map(\.id) == ["stats", "standard"])
        #expect(try machine("", "standard,unclaimed-port=stop").instances.map(\.id) == ["standard"])
    }

    @Test func commasInValuesAreWrittenTwice() throws {
        let machine = try machine("", "stats,label=a,,b=c,period=1s")
        #expect(try machine.value("stats", "label") == .text("a,b=c"))
    }

    @Test func whatIsWrongNamesTheOption() throws {
        let fixture = try Fixture(["m.yaml": head + "nonsense: 1\ndevices: [{ id: pit, plugin: pit8254 }]\n"])
        let policies = [
            "stat", "stats,perid=1", "stats,period=1", "stats,period", "pit=stats", "pit8254", "", "=stats",
        ]
        #expect(
            fixture.lines(fixture.load("m.yaml", .init(extraPolicies: policies))) == [
                "--policy stat: error: there is no plugin \"stat\": did you mean \"stats\"?",
                "--policy stats,perid=1: error: stats has no property or slot \"perid\": did you mean \"period\"?",
                "--policy stats,period=1: error: \"period\" of stats-2 (stats): \"1\" has no unit: ns, us, ms, s, min, h",
                "--policy stats,period: error: \"period\" is not PROPERTY=VALUE",
                "--policy pit8254: error: \"pit8254\" is a device: it belongs under \"devices\", not under \"policies\"",
                "--policy : error: \"plugin\" of policy: the plugin's name is empty",
                "--policy =stats: error: \"\" is not an id: a letter, then letters, digits, \"-\" and \"_\", 64 at most",
                "m.yaml:3:1: error: a machine file has no \"nonsense\"",
                "m.yaml:4:17: error: the id pit is given to two instances",
            ])
    }
}
