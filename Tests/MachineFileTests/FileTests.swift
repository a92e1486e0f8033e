import Foundation
import MachineFile
import Testing

/// What is wrong with a file before anything in it is looked at.
@Suite struct FileTests {
    @Test func aMissingFileIsNamed() throws {
        let fixture = try Fixture(["tour.yaml": head])
        #expect(
            fixture.lines(fixture.load("tuor.yaml")) == ["tuor.yaml: error: no such file: did you mean \"tour.yaml\"?"])
        #expect(fixture.lines(fixture.load("a/b.yaml")) == ["a/b.yaml: error: no such file"])
    }

    @Test func aDirectoryOrADeviceIsNoMachineFile() throws {
        let fixture = try Fixture(["d/m.yaml": head])
        #expect(fixture.lines(fixture.load("d")) == ["d: error: this is a directory, not a machine file"])
        let device = loadMachineFile(path: "/dev/zero", catalog: FakeCatalog())
        #expect(device.diagnostics.map(\.message) == ["this is a device or a socket, not a machine file"])
    }

    @Test(.enabled(if: geteuid() != 0, "root reads everything")) func anUnreadableFileIsNamed() throws {
        let fixture = try Fixture(["m.yaml": head])
        try FileManager.default.setAttributes([.posixPermissions: 0], ofItemAtPath: fixture.path("m.yaml"))
        #expect(fixture.lines(fixture.load()) == ["m.yaml: error: permission denied"])
    }

    @Test func pathsThatAreNoPathsAreRefused() {
        for path in ["", "a\0b"] {
            let result = loadMachineFile(path: path, catalog: FakeCatalog())
            #expect(result.diagnostics.map(\.message) == ["this is not a file name"])
        }
    }

    @Test func bytesThatAreNotUTF8AreLocated() throws {
        let fixture = try Fixture()
        try fixture.write("m.yaml", Array("machine: m\nmemory: é".utf8) + [0xff, 0x41])
        #expect(fixture.lines(fixture.load()) == ["m.yaml:2:10: error: the file is not valid UTF-8 from here on"])
        try fixture.write("m.yaml", [0xff, 0xfe, 0x6d, 0x00])
        #expect(fixture.lines(fixture.load()) == ["m.yaml:1:1: error: the file is UTF-16; machine files are UTF-8"])
    }

    @Test func controlCharactersAreLocated() throws {
        try expectErrors("machine: m\nmemory: 1§\u{1}MiB\n", "control characters are not allowed")
        try expectErrors("machine: m\n# \u{e9}§\0\n", "control characters are not allowed")
    }

    @Test func aByteOrderMarkIsSkipped() throws {
        let fixture = try Fixture(["m.yaml": "\u{feff}machine: m\nmemory: 1MiB\n"])
        #expect(fixture.lines(fixture.load()) == [])
        try fixture.write("m.yaml", Array("\u{feff}machin: m\nmemory: 1MiB\n".utf8))
        #expect(
            fixture.lines(fixture.load()).last == "m.yaml:1:1: error: the machine has no name: \"machine\" gives it")
    }

    @Test func anEmptyFileIsRefused() throws {
        try expectErrors("§", "the file is empty")
        try expectErrors("# nothing\n# at all\n§", "the file is empty")
        try expectErrors("---\n§", "a machine file is a mapping (\"machine: name\" ...), and this holds nothing")
    }

    @Test func theTopLevelIsAMapping() throws {
        try expectErrors("§- machine: m\n", "a machine file is a mapping (\"machine: name\" ...), and this is a list")
        try expectErrors("§tour", "a machine file is a mapping (\"machine: name\" ...), and this is a single value")
    }

    @Test func aFileIsOneDocument() throws {
        try expectErrors(head + "§---\nmachine: n\n", "a machine file holds one document, and here a second one begins")
    }

    @Test func sizeIsBounded() throws {
        let fixture = try Fixture()
        let comment = Array(repeating: UInt8(ascii: "#"), count: 1 << 20)
        try fixture.write("m.yaml", comment + [0x0a])
        #expect(
            fixture.lines(fixture.load()) == [
                "m.yaml: error: the file is too large: a machine file has at most 1MiB"
            ])
        try fixture.write("m.yaml", Array((head + "#").utf8) + comment.dropFirst(head.utf8.count + 1))
        #expect(fixture.lines(fixture.load()) == [])
    }

    @Test func syntaxErrorsStopAndAreLocated() throws {
        try expectErrors(
            head + "devices:\n  - { id: a, plugin: pic8259 §]\n", "did not find expected ',' or '}'",
            notes: ["m.yaml:4:5: while parsing a flow mapping that begins here"])
        try expectErrors("machine: \"m§", "found unexpected end of stream")
        try expectErrors("machine: m\n§\tmemory: 1MiB\n", "found a tab character that violates indentation")
    }

    @Test func duplicateKeysAreFoundAndLocatedEverywhere() throws {
        try expectErrors(
            """
            machine: m
            memory: 1MiB
            §machine: n
            devices:
              - { id: a, plugin: pit8254, §id: b }
              - id: c
                plugin: pit8254
                at: 0x50
                §"at": 0x60
            §memory: 2MiB
            """,
            "the key \"machine\" is given twice", "the key \"id\" is given twice", "the key \"at\" is given twice",
            "the key \"memory\" is given twice",
            notes: [
                "m.yaml:1:1: it is first given here", "m.yaml:5:7: it is first given here",
                "m.yaml:8:5: it is first given here", "m.yaml:2:1: it is first given here",
            ])
    }

    @Test func aKeyIsAWord() throws {
        try expectErrors(head + "? §[a, b]\n: c\n", "a key is a word, not a list")
    }

    @Test func tagsAndMergeKeysAreRefused() throws {
        try expectErrors(
            "machine: §!!str m\nmemory: 1MiB\n",
            "the tag \"tag:yaml.org,2002:str\" has no meaning here: the type of a value is its property's")
        try expectErrors(
            head + "devices:\n  - { §<<: { plugin: pic8259 }, id: a, plugin: pit8254 }\n",
            "merge keys (<<) are not read here: write the keys, or use \"extends\"")
    }

    // MARK: Aliases and depth

    @Test func aliasesRepeatWhatTheyName() throws {
        let machine = try machine(
            head + """
                devices:
                  - &pit { id: a, plugin: pit8254, at: &port 0x50 }
                  - { id: b, plugin: pit8254, at: *port }
                """)
        #expect(try machine.value("b", "at") == .port(0x50))
    }

    @Test func errorsInARepeatedValueStandAtTheAlias() throws {
        try expectErrors(
            head + """
                devices:
                  - { id: a, plugin: pit8254, at: §&port x }
                  - { id: b, plugin: pit8254, at: §*port }
                """,
            "\"at\" of a (pit8254): \"x\" is not a number", "\"at\" of b (pit8254): \"x\" is not a number")
    }

    @Test func anAliasNeedsItsAnchor() throws {
        try expectErrors(
            head + "watchdog: &wait 1s\non-fault: §*wiat\n", "there is no anchor \"wiat\" above: did you mean \"wait\"?"
        )
        try expectErrors(head + "devices: &d [ §*d ]\n", "the alias *d stands inside of what it names")
    }

    @Test func aLaughIsCountedAndRefused() throws {
        var text = head + "parameters:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1...8 {
            let items = Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ")
            text += "  a\(level): &a\(level) [\(items)]\n"
        }
        let fixture = try Fixture(["m.yaml": text])
        let start = ContinuousClock.now
        let lines = fixture.lines(fixture.load())
        // a0 ... a4 are 11, 111, 1111, 11111 and 111111 values; two more of a4 pass the limit.
        #expect(lines == ["m.yaml:9:17: error: the file has more than 262144 values, aliases counted in full"])
        #expect(ContinuousClock.now - start < .seconds(2))
    }

    @Test func aLaughInAKeyCostsNothing() throws {
        var text = "a0: &a0 [x, x]\n"
        for level in 1...40 { text += "? &a\(level) [*a\(level - 1), *a\(level - 1)]\n: y\n" }
        let fixture = try Fixture(["m.yaml": text])
        let start = ContinuousClock.now
        #expect(fixture.lines(fixture.load()).last?.hasSuffix("aliases counted in full") == true)
        #expect(ContinuousClock.now - start < .seconds(2))
    }

    @Test func depthIsBounded() throws {
        let deep = String(repeating: "[", count: 31) + "§" + String(repeating: "[", count: 500)
        try expectErrors("machine: " + deep, "nested deeper than 32 levels")
        // The scanner runs ahead, and in later versions of libyaml meets a limit of its own, at another place.
        for text in ["machine: " + String(repeating: "[", count: 5000), String(repeating: "{ a: ", count: 100_000)] {
            let fixture = try Fixture(["m.yaml": text])
            #expect(fixture.load().diagnostics.map(\.message) == ["nested deeper than 32 levels"])
        }
    }

    @Test func linesMayEndInAnyWay() throws {
        let fixture = try Fixture(["m.yaml": "machine: m\r\nmemory: 1MiB\r\non-fault: halt\r\n"])
        let result = fixture.load()
        #expect(
            fixture.lines(result) == [
                "m.yaml:3:11: error: \"on-fault\": \"halt\" is not one of stop, reset, offline"
            ])
        #expect(result.diagnostics.first?.excerpt == .init(text: "on-fault: halt", caret: 10))
    }
}
