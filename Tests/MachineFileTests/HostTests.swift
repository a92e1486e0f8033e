import Core
import MachineFile
import Testing

/// Several machine files, and host files that list some.
@Suite struct HostTests {
    private static let small = """
        machine: small
        parameters:
          size: 1MiB
          period: { default: 1s }
        memory: "${size}"
        policies:
          - { id: count, plugin: stats, period: "${period}" }
        """

    private func load(
        _ files: [String: String], _ names: [String], _ options: MachineFileOptions = .init()
    ) throws -> (result: GuestsResult, errors: [String]) {
        let fixture = try Fixture(files)
        let result = loadGuests(paths: names.map(fixture.path), options: options, catalog: fixture.catalog)
        let shown = MachineFileResult(description: nil, diagnostics: result.diagnostics)
        return (result, fixture.lines(shown) + fixture.notes(shown))
    }

    private func options(_ settings: [(String, String)], policies: [String] = []) -> MachineFileOptions {
        MachineFileOptions(settings: settings, extraPolicies: policies)
    }

    // MARK: The command line

    @Test func oneNameTwiceGetsNumbers() throws {
        let other = Self.small.replacing("machine: small", with: "machine: small-2")
        let (result, errors) = try load(
            ["a.yaml": Self.small, "b.yaml": other], ["a.yaml", "a.yaml", "b.yaml", "a.yaml"])
        #expect(errors == [])
        #expect(result.guests?.map(\.name) == ["small", "small-3", "small-2", "small-4"])
    }

    @Test func aSettingIsForAllThatHaveItAndAPrefixForOne() throws {
        let plain = "machine: plain\nmemory: 2MiB\n"
        let (result, errors) = try load(
            ["a.yaml": Self.small, "b.yaml": plain], ["a.yaml", "b.yaml", "a.yaml"],
            options([("size", "8MiB"), ("small-2:size", "16MiB"), ("1:period", "5s")]))
        #expect(errors == [])
        let guests = try #require(result.guests)
        #expect(guests.map(\.memory) == [8 << 20, 2 << 20, 16 << 20])
        #expect(try guests[0].value("count", "period") == .duration(5_000_000_000))
        #expect(try guests[2].value("count", "period") == .duration(1_000_000_000))
    }

    @Test func aSettingThatNoneHasIsAnError() throws {
        let (result, errors) = try load(
            ["a.yaml": Self.small], ["a.yaml", "a.yaml"], options([("sise", "8MiB"), ("smal:size", "1MiB")]))
        #expect(result.guests == nil)
        #expect(
            errors == [
                #"--set sise: error: none of these machines has a parameter "sise": did you mean "size"?"#,
                #"--set smal:size: error: there is no machine "smal": did you mean "small"?"#,
                "they have period, size", "the machines are small, small-2",
            ])
    }

    @Test func aPolicyIsForAllOrForOne() throws {
        let (result, errors) = try load(
            ["a.yaml": Self.small], ["a.yaml", "a.yaml"], options([], policies: ["standard", "2:mine=standard"]))
        #expect(errors == [])
        let chains = result.guests?.map { $0.instances.filter { $0.type.kind == .policy }.map(\.id) }
        #expect(chains == [["standard", "count"], ["standard", "mine", "count"]])
    }

    @Test func allErrorsOfAllFilesAreReported() throws {
        let (result, errors) = try load(
            ["a.yaml": "machine: a\nmemory: 1\n", "b.yaml": "machine: b\nmemry: 1MiB\n"],
            ["a.yaml", "no.yaml", "b.yaml"])
        #expect(result.guests == nil)
        #expect(errors.contains { $0.hasPrefix("a.yaml:2:9: error: \"memory\"") })
        #expect(errors.contains { $0.hasPrefix("no.yaml: error: no such file") })
        #expect(errors.contains { $0.hasPrefix("b.yaml:2:1: error: a machine file has no \"memry\"") })
        #expect(errors.contains { $0.hasPrefix("b.yaml:1:1: error: the machine has no memory") })
    }

    // MARK: Host files

    @Test func aHostFileListsGuestsBesideIt() throws {
        let host = """
            host: desk
            guests:
              - { file: machines/small.yaml, name: left, set: { size: 4MiB } }
              - { file: machines/small.yaml, engine: soft, policies: ["mine=standard,unclaimed-port=log"] }
              - { file: machines/small.yaml, name: left }
            """
        let (result, errors) = try load(
            ["desk.yaml": host, "machines/small.yaml": Self.small], ["desk.yaml"], options([("left-2:size", "2MiB")]))
        #expect(errors == [])
        let guests = try #require(result.guests)
        #expect(guests.map(\.name) == ["left", "small", "left-2"])
        #expect(guests.map(\.memory) == [4 << 20, 1 << 20, 2 << 20])
        #expect(guests.map(\.engine) == [.auto, .soft, .auto])
        #expect(try guests[1].value("mine", "unclaimed-port")?.text == "log")
        #expect(result.files.allSatisfy { $0.hasSuffix("machines/small.yaml") })
    }

    @Test func theCommandLineOverridesTheHostFile() throws {
        let host = "host: h\nguests:\n  - { file: a.yaml, set: { size: 4MiB }, engine: kvm }\n"
        var given = options([("size", "8MiB")])
        given.engine = .soft
        let (result, errors) = try load(["h.yaml": host, "a.yaml": Self.small], ["h.yaml"], given)
        #expect(errors == [])
        #expect(result.guests?.map(\.memory) == [8 << 20])
        #expect(result.guests?.map(\.engine) == [.soft])
    }

    @Test func pathsInAHostFileAreRelativeToIt() throws {
        let boot =
            "machine: m\nparameters: { kernel: ~ }\nmemory: 1MiB\nboot: { plugin: multiboot, kernel: \"${kernel}\" }\n"
        let host = "host: h\nguests:\n  - { file: m/boot.yaml, set: { kernel: images/k.elf } }\n"
        let fixture = try Fixture(["hosts/h.yaml": host, "hosts/m/boot.yaml": boot])
        let result = loadGuests(paths: [fixture.path("hosts/h.yaml")], catalog: fixture.catalog)
        let guest = try #require(result.guests?.first)
        let kernel = try guest.value("boot", "kernel")?.text
        #expect(kernel == fixture.path("hosts/images/k.elf"))
    }

    @Test func whatIsWrongInAHostFileHasItsPlace() throws {
        let (text, places) = unmarked(
            """
            host: h
            §gests: x
            guests:
              - §none.yaml
              - §{ name: a }
              - { §fil: small.yaml, file: §small.yml }
              - { file: small.yaml, engine: §fast, set: { §sise: 1MiB } }
              - { file: small.yaml, set: §big, policies: §{ a: 1 } }
              - { file: §h.yaml }
            """)
        let (result, errors) = try load(["h.yaml": text, "small.yaml": Self.small], ["h.yaml"])
        #expect(result.guests == nil)
        let lines = errors.filter { $0.contains(": error: ") }
        #expect(lines.count == 10)
        for (place, message) in zip(
            [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
            [
                #"a host file has no "gests": did you mean "guests"?"#,
                "a guest is a mapping like { file: FILE }, not a single value",
                "this guest has no machine file", #"a guest has no "fil": did you mean "file"?"#,
                "cannot be a guest: no such file",
                #""engine" of a guest: "fast" is not one of"#,
                #"this machine has no parameter "sise": did you mean "size"?"#,
                #""set" is a mapping of parameters to values, not a single value"#,
                #""policies" is a list of texts like "guard,action=drop", not a mapping"#,
                "is a host file; a guest is a machine file",
            ])
        {
            #expect(
                lines.contains { $0.hasPrefix("h.yaml:\(places[place]): error:") && $0.contains(message) }, "\(message)"
            )
        }
    }

    @Test(arguments: [
        "host: h\n", "host: h\nguests: []\n", "host: h\nguests: 5\n", "guests:\n  - 1\n",
        "host: \"\"\nguests: [{file: a}]\n",
    ])
    func anEmptyHostIsAnError(_ text: String) throws {
        let (result, errors) = try load(["h.yaml": text], ["h.yaml"])
        #expect(result.guests == nil)
        #expect(!errors.isEmpty)
    }

    @Test func thereAreAtMost64Guests() throws {
        let item = "  - { file: small.yaml }\n"
        for (count, isGood) in [(64, true), (65, false)] {
            let host = "host: h\nguests:\n" + String(repeating: item, count: count)
            let (result, errors) = try load(["h.yaml": host, "small.yaml": Self.small], ["h.yaml"])
            #expect((result.guests?.count == count) == isGood, "\(errors)")
        }
        let (both, _) = try load(["a.yaml": Self.small], [String](repeating: "a.yaml", count: 65))
        #expect(both.guests == nil)
    }

    // MARK: The schema

    @Test func theSchemaTakesWhatTheReaderTakes() throws {
        let checker = try SchemaChecker(hostJSONSchema())
        let full =
            #"{"host": "h", "guests": [{"file": "a.yaml", "name": "b", "engine": "soft", "set": {"n": 1}, "policies": ["x"]}]}"#
        #expect(try checker.accepts(full))
        #expect(try checker.accepts(#"{"guests": [{"file": "a.yaml", "policies": "hotkey", "set": null}]}"#))
        for bad in [
            "{}", #"{"guests": []}"#, #"{"guests": [{"name": "b"}]}"#,
            #"{"guests": [{"file": "a", "engine": "fast"}]}"#,
            #"{"guests": [{"file": "a", "sett": {}}]}"#, #"{"guest": [{"file": "a"}]}"#,
        ] { #expect(try !checker.accepts(bad), "\(bad)") }
    }
}
