import Core
import Foundation
import MachineFile
import Testing

@Suite struct SchemaTests {
    private let checker: SchemaChecker

    init() throws { checker = try SchemaChecker(jsonSchema(classes: FakeCatalog.bundled)) }

    private func device(_ keys: String) -> String {
        #"{"machine": "m", "memory": "1MiB", "devices": [{"id": "k", "# + keys + "}]}"
    }

    private func expectValid(_ json: String, sourceLocation: Testing.SourceLocation = #_sourceLocation) throws {
        #expect(try checker.accepts(json), sourceLocation: sourceLocation)
    }

    private func expectInvalid(_ json: String, sourceLocation: Testing.SourceLocation = #_sourceLocation) throws {
        #expect(try !checker.accepts(json), sourceLocation: sourceLocation)
    }

    @Test func theDesignsExampleIsValid() throws {
        try expectValid(
            #"""
            {"machine": "tour", "cpu": {"engine": "auto", "interrupts": "pic"}, "memory": "64MiB",
             "boot": {"plugin": "multiboot", "kernel": "${guest}"}, "parameters": {"guest": null, "n": {"default": 1, "doc": "x"}},
             "policies": [{"id": "stats", "plugin": "stats"},
                          {"id": "rules", "plugin": "standard", "unclaimed-port": "float", "halt-forever": "power-off"}],
             "devices": [{"id": "pic", "plugin": "pic8259"}, {"id": "pit", "plugin": "pit8254", "irq": "pic.0"},
                         {"id": "com1", "plugin": "uart16550", "at": 1016, "irq": "pic.4", "stream": "term"},
                         {"id": "hd0", "plugin": "ata", "at": "0x1f0", "control": "${c}", "irq": "pic.14", "block": "root",
                          "on-start": ["eject()", {"method": "eject"}], "on-fault": "reset"}],
             "backends": [{"id": "term", "plugin": "terminal"},
                          {"id": "root", "plugin": "raw-file", "path": "disk.img", "mode": "read-write"}]}
            """#)
    }

    @Test func namesThatDoNotExistAreRefused() throws {
        try expectInvalid(#"{"machine": "m", "memory": "1MiB", "device": []}"#)
        try expectInvalid(device(#""plugin": "pti8254""#))
        try expectInvalid(device(#""plugin": "uart16550", "at": 1, "steam": "x""#))
        try expectInvalid(#"{"machine": "m", "memory": "1MiB", "cpu": {"engin": "kvm"}}"#)
        try expectInvalid(#"{"machine": "m", "memory": "1MiB", "cpu": {"engine": "kmv"}}"#)
    }

    @Test func aClassOfAnotherKindIsRefused() throws {
        try expectInvalid(device(#""plugin": "terminal""#))
        try expectInvalid(#"{"machine": "m", "memory": "1MiB", "boot": {"plugin": "pic8259"}}"#)
    }

    @Test func librariesAndPathsAreNotLookedInto() throws {
        try expectValid(device(#""plugin": "pc/thing", "any": 1"#))
        try expectValid(device(#""plugin": "./mine", "any": [1]"#))
    }

    @Test func requiredKeysAreRequired() throws {
        try expectInvalid(#"{"memory": "1MiB"}"#)
        try expectInvalid(#"{"machine": "m"}"#)
        try expectInvalid(device(#""plugin": "uart16550""#))
        try expectInvalid(device(#""plugin": "ata", "at": 1, "control": 2"#))
        try expectInvalid(#"{"machine": "m", "memory": "1MiB", "devices": [{"plugin": "pit8254"}]}"#)
        try expectInvalid(#"{"machine": "m", "memory": "1MiB", "devices": [{"id": "a"}]}"#)
        try expectInvalid(#"{"machine": "m", "memory": "1MiB", "boot": {"kernel": "a"}}"#)
    }

    @Test func aFileThatExtendsMayGiveLess() throws {
        try expectValid(#"{"extends": "a.yaml"}"#)
        try expectValid(
            #"{"extends": "a.yaml", "devices": [{"id": "a", "at": 1}, {"id": "b", "remove": true}], "boot": {"kernel": "x"}}"#
        )
    }

    @Test(arguments: [
        #""flag": true"#, #""flag": "off""#, #""number": 16"#, #""number": "0x10""#, #""number": "1_000""#,
        #""small": 12"#,
        #""offset": -10"#, #""size": "1.5MiB""#, #""size": 4096"#, #""delay": "10ms""#, #""delay": 0"#,
        #""port": 65535"#,
        #""title": 10"#, #""power": "off""#, #""power": false"#, #""power": 8"#, #""ports": "0x60-0x64""#,
        #""ratio": 0.5"#,
        #""words": ["a", 1]"#, #""words": "a""#, #""numbers": []"#, #""number": "${n}""#, #""flag": null"#,
        #""file": "a b""#,
    ])
    func valuesAreAsThePropertySays(_ keys: String) throws {
        try expectValid(device(#""plugin": "kitchen", "# + keys))
    }

    @Test(arguments: [
        #""flag": 1"#, #""flag": "maybe""#, #""number": -1"#, #""number": "010""#, #""number": "1:30""#,
        #""number": 1.5"#,
        #""small": 13"#, #""small": 0"#, #""offset": -11"#, #""size": "64MB""#, #""delay": 10"#, #""delay": "10""#,
        #""port": 65536"#,
        #""title": ["a"]"#, #""power": "Off""#, #""ports": "a..b""#, #""ratio": true"#,
        #""words": [["a"]]"#, #""numbers": [256]"#, #""file": """#, #""file": 1"#,
    ])
    func valuesThatAreNotAreRefused(_ keys: String) throws {
        try expectInvalid(device(#""plugin": "kitchen", "# + keys))
    }

    @Test func docsAndDefaultsAreThere() throws {
        let kitchen = try #require((checker.root["$defs"] as? [String: Any])?["device kitchen"] as? [String: Any])
        let properties = try #require(kitchen["properties"] as? [String: Any])
        let small = try #require(properties["small"] as? [String: Any])
        #expect(small["description"] as? String == "A small number. From 1 to 12 spoons.")
        let rom = try #require(properties["rom"] as? [String: Any])
        #expect(rom["default"] as? String == "default.rom")
    }

    @Test func textThatNeedsEscapesIsEscaped() throws {
        let odd = ClassDescription(name: "odd", kind: .device, summary: "a \"b\" \\ \n\t\u{1} é")
        let checker = try SchemaChecker(jsonSchema(classes: [odd]))
        let definition = (checker.root["$defs"] as? [String: Any])?["device odd"] as? [String: Any]
        #expect(definition?["description"] as? String == "a \"b\" \\ \n\t\u{1} é")
    }

    @Test func aSecondClassOfANameIsLeftOut() throws {
        let one = ClassDescription(name: "x", kind: .device, summary: "one")
        let two = ClassDescription(name: "x", kind: .device, summary: "two")
        let text = jsonSchema(classes: [one, two])
        #expect(text.contains("one") && !text.contains("two"))
        #expect(jsonSchema(classes: []).hasSuffix("}\n"))
    }
}
