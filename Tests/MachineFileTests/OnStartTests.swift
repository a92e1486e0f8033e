import Core
import Testing

@testable import MachineFile

@Suite struct OnStartTests {
    private let backend = "backends: [{ id: root, plugin: raw-file, path: x }]\n"

    private func calls(_ list: String) throws -> [[String]] {
        let text =
            head + backend
            + "devices:\n  - { id: hd0, plugin: ata, at: 1, control: 2, block: root, on-start: \(list) }\n"
        return try machine(text).instance("hd0").onStart.map { [$0.method] + $0.arguments }
    }

    private func expectWrong(
        _ list: String, _ messages: String..., notes: [String]? = nil,
        sourceLocation: Testing.SourceLocation = #_sourceLocation
    ) throws {
        let text =
            head + backend
            + "devices:\n  - { id: hd0, plugin: ata, at: 1, control: 2, block: root, on-start: \(list) }\n"
        let (plain, places) = unmarked(text)
        let fixture = try Fixture(["m.yaml": plain])
        let result = fixture.load()
        #expect(
            fixture.lines(result) == zip(places, messages).map { "m.yaml:\($0): error: \($1)" },
            sourceLocation: sourceLocation)
        #expect(places.count == messages.count, sourceLocation: sourceLocation)
        if let notes { #expect(fixture.notes(result) == notes, sourceLocation: sourceLocation) }
    }

    @Test func callsAreWrittenAsTextOrAsMappings() throws {
        #expect(try calls("[eject, eject(), ' eject ( ) ']") == [["eject"], ["eject"], ["eject"]])
        #expect(try calls("['insert(disk one.img, on)']") == [["insert", "disk one.img", "true"]])
        #expect(try calls("['insert( \"a, (b) \\\"c\\\" \\\\\" , no )']") == [["insert", "a, (b) \"c\" \\", "false"]])
        #expect(
            try calls("[{ method: insert, arguments: [\"a,b\", yes] }, { method: eject }]") == [
                ["insert", "a,b", "true"], ["eject"],
            ])
    }

    @Test func theCallsPlaceIsKept() throws {
        let machine = try machine(
            head + """
                devices:
                  - id: com1
                    plugin: uart16550
                    at: 1
                    on-start:
                      - set_divisor(0x0c)
                      - counters
                """)
        let calls = try machine.instance("com1").onStart
        #expect(calls.map(\.location.line) == [8, 9])
        #expect(calls.map(\.location.column) == [9, 9])
        #expect(calls.map(\.arguments) == [["12"], []])
    }

    @Test func anUnknownMethodIsNamed() throws {
        try expectWrong(
            "[§ejcet]", "ata has no method \"ejcet\": did you mean \"eject\"?",
            notes: ["it has eject(), insert(path: text, readonly: bool) -> status"])
    }

    @Test func argumentsAreCounted() throws {
        try expectWrong(
            "[§'insert(a)', §eject(1)]", "insert takes 2 arguments, and 1 is given",
            "eject takes 0 arguments, and 1 is given",
            notes: ["it is declared as insert(path: text, readonly: bool) -> status", "it is declared as eject()"])
    }

    @Test func argumentsHaveTypes() throws {
        try expectWrong(
            "[§'insert(a, perhaps)']", "\"readonly\" of insert: \"perhaps\" is not true or false (nor on, off, yes, no)"
        )
    }

    @Test func textThatIsNoCallIsRefused() throws {
        try expectWrong(
            "[§'insert(a', §'(a)', §'insert(,)', §'eject() now', §'insert(\"a', §'insert(\"\\n\", a)']",
            "\"on-start\" of hd0: \"insert(a\" is not a call like method(argument, ...): \")\" is missing (within [ ] a call with commas needs quotes around it)",
            "\"on-start\" of hd0: \"(a)\" is not a call like method(argument, ...): the method's name is missing",
            "\"on-start\" of hd0: \"insert(,)\" is not a call like method(argument, ...): an argument is empty",
            "\"on-start\" of hd0: \"eject() now\" is not a call like method(argument, ...): there is more after \")\"",
            "\"on-start\" of hd0: \"insert(\"a\" is not a call like method(argument, ...): a quote is not closed",
            "\"on-start\" of hd0: \"insert(\"\\n\", a)\" is not a call like method(argument, ...): only \\\" and \\\\ are known after a backslash"
        )
    }

    @Test func shapesAreChecked() throws {
        try expectWrong(
            "§eject", "\"on-start\" of hd0 is a list of calls like \"method(argument)\", not a single value")
        try expectWrong(
            "[§[eject], §~, §{ arguments: [] }, { method: eject, §args: [] }, { method: insert, arguments: §[[a], b] }]",
            "a call is \"method(argument)\" or { method:, arguments: }, not a list",
            "a call is \"method(argument)\" or { method:, arguments: }, not nothing", "this call names no method",
            "a call has no \"args\"", "arguments of \"insert\" are single values")
    }

    @Test(
        arguments: [
            (.u8, "255", "255"), (.u8, "0x10", "16"), (.u16, "65535", "65535"), (.u32, "0xffffffff", "4294967295"),
            (.u64, "0xffffffffffffffff", "18446744073709551615"), (.i64, "-5", "-5"), (.f64, "1.50", "1.5"),
            (.bool, "off", "false"), (.text, "010", "010"), (.status, "-1", "-1"),
        ] as [(WireType, String, String)])
    func argumentsAreWrittenOneWay(_ type: WireType, _ text: String, _ canonical: String) throws {
        #expect(try CallArgument.text(text, as: type) == canonical)
    }

    @Test(
        arguments: [
            (.u8, "256"), (.u16, "65536"), (.u32, "4294967296"), (.u64, "-1"), (.i64, "9223372036854775808"),
            (.u8, "010"),
            (.f64, "nan"), (.bool, "2"), (.text, "a\0b"), (.status, "2147483648"), (.pointer, "0"), (.inBuffer, "x"),
        ] as [(WireType, String)])
    func argumentsThatDoNotFitAreRefused(_ type: WireType, _ text: String) {
        #expect(throws: ValueError.self) { try CallArgument.text(text, as: type) }
    }
}
