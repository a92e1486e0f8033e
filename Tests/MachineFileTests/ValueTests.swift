import Core
import Foundation
import Testing

@testable import MachineFile

/// Values come from their text and the property's type: nothing that YAML makes of them counts.
@Suite struct ValueTests {
    /// A kitchen with one property.
    private func kitchen(_ property: String, _ text: String) throws -> Value? {
        try machine(head + "devices: [{ id: k, plugin: kitchen, \(property): \(text) }]\n").value("k", property)
    }

    private func expectWrong(
        _ property: String, _ text: String, _ message: String,
        sourceLocation: Testing.SourceLocation = #_sourceLocation
    ) throws {
        try expectErrors(
            head + "devices: [{ id: k, plugin: kitchen, \(property): §\(text) }]\n",
            "\"\(property)\" of k (kitchen): \(message)", sourceLocation: sourceLocation)
    }

    // MARK: YAML's guesses

    @Test func offIsAWordWhereAWordIsMeant() throws {
        #expect(try kitchen("power", "off") == .choice("off", index: 1))
        #expect(try kitchen("power", "on") == .choice("on", index: 0))
        #expect(try kitchen("power", "8") == .choice("8", index: 3))
        #expect(try kitchen("title", "off") == .text("off"))
        #expect(try kitchen("title", "yes") == .text("yes"))
        #expect(try kitchen("title", "010") == .text("010"))
        #expect(try kitchen("title", "1:30") == .text("1:30"))
        #expect(try kitchen("title", "2024-01-01") == .text("2024-01-01"))
        #expect(try kitchen("title", "1e3") == .text("1e3"))
        #expect(try kitchen("words", "[no, .inf, 0x10]") == .list([.text("no"), .text(".inf"), .text("0x10")]))
    }

    @Test func leadingZerosAreAmbiguous() throws {
        try expectWrong("number", "010", "\"010\" is ambiguous: write 10 for decimal, 0o10 for octal")
        try expectWrong("number", "-010", "\"-010\" is not a number")
        try expectWrong("number", "089", "\"089\" is ambiguous: write 89 for decimal")
        try expectWrong("port", "00", "\"00\" is ambiguous: write 0 for decimal, 0o0 for octal")
        try expectWrong("size", "010MiB", "\"010\" is ambiguous: write 10 for decimal, 0o10 for octal")
    }

    @Test func aTimeOfDayIsNoNumber() throws {
        try expectWrong("number", "1:30", "\"1:30\" is not a number")
        try expectWrong("delay", "1:30", "\"1:30\" has the unknown unit \":30\": units are ns, us, ms, s, min, h")
    }

    // MARK: Types

    @Test(arguments: ["true", "on", "yes", "True", "ON"]) func aBoolMayBeTrue(_ text: String) throws {
        #expect(try kitchen("flag", text) == .bool(true))
    }

    @Test(arguments: ["false", "off", "no", "False", "\"no\""]) func aBoolMayBeFalse(_ text: String) throws {
        #expect(try kitchen("flag", text) == .bool(false))
    }

    @Test func aBoolIsNothingElse() throws {
        try expectWrong("flag", "1", "\"1\" is not true or false (nor on, off, yes, no)")
        try expectWrong("flag", "y", "\"y\" is not true or false (nor on, off, yes, no)")
    }

    @Test(
        arguments: [
            ("0", 0), ("1", 1), ("0x1F0", 0x1f0), ("0X1f0", 0x1f0), ("0o17", 15), ("0b1_01", 5), ("1_000", 1000),
            ("\"7\"", 7),
            ("18446744073709551615", UInt64.max), ("0xffff_ffff_ffff_ffff", UInt64.max),
        ] as [(String, UInt64)]) func numbersHaveBases(_ text: String, _ number: UInt64) throws
    {
        #expect(try kitchen("number", text) == .unsigned(number))
    }

    @Test(arguments: ["x", "1_", "_1", "0x", "0b2", "0o8", "1.0", "1e3", "+1", "0xg", "1 2", "\"\"", "--1", "١"])
    func notEverythingIsANumber(_ text: String) throws {
        let shown = text == "\"\"" ? "" : text
        try expectWrong("number", text, "\"\(shown)\" is not a number")
    }

    @Test func numbersFitAndKeepTheirBounds() throws {
        try expectWrong("number", "18446744073709551616", "\"18446744073709551616\" does not fit in 64 bits")
        try expectWrong("number", "-1", "\"-1\" is negative")
        try expectWrong("small", "0", "\"0\" is out of range: it is from 1 to 12 spoons")
        try expectWrong("small", "0xd", "\"0xd\" is out of range: it is from 1 to 12 spoons")
        try expectWrong(
            "small", "18446744073709551615", "\"18446744073709551615\" is out of range: it is from 1 to 12 spoons")
        #expect(try kitchen("small", "12") == .unsigned(12))
        #expect(try kitchen("offset", "-10") == .signed(-10))
        #expect(try kitchen("offset", "0xa") == .signed(10))
        try expectWrong("offset", "-11", "\"-11\" is out of range: it is from -10 to 10")
        try expectWrong("offset", "9223372036854775808", "\"9223372036854775808\" does not fit in 64 bits")
    }

    @Test func signedNumbersReachBothEnds() throws {
        #expect(try NumberText.signed("-9223372036854775808") == Int64.min)
        #expect(try NumberText.signed("9223372036854775807") == Int64.max)
        #expect(throws: ValueError.self) { try NumberText.signed("-9223372036854775809") }
        #expect(throws: ValueError.self) { try NumberText.signed("--1") }
    }

    @Test(
        arguments: [
            ("4096", 4096), ("256MiB", 268_435_456), ("1 GiB", 1_073_741_824), ("1.5KiB", 1536),
            ("2TiB", 2_199_023_255_552),
            ("16k", 16384), ("16K", 16384), ("3M", 3_145_728), ("1G", 1_073_741_824), ("7B", 7), ("0x1000", 4096),
            ("0", 0),
            ("0.125KiB", 128), ("1_024KiB", 1_048_576),
        ] as [(String, UInt64)]) func sizesHaveUnits(_ text: String, _ bytes: UInt64) throws
    {
        #expect(try kitchen("size", text) == .size(bytes))
    }

    @Test func sizesAreExactAndKnowTheirUnits() throws {
        try expectWrong("size", "64MB", "\"64MB\" has the unknown unit \"MB\": did you mean \"64MiB\"?")
        try expectWrong("size", "64mib", "\"64mib\" has the unknown unit \"mib\": did you mean \"64MiB\"?")
        try expectWrong(
            "size", "64 floppies", "\"64 floppies\" has the unknown unit \"floppies\": units are B, KiB, MiB, GiB, TiB")
        try expectWrong("size", "0.3KiB", "\"0.3KiB\" is not a whole number of bytes")
        try expectWrong("size", "1.5", "\"1.5\" is not a whole number of bytes")
        try expectWrong("size", "1.2.3KiB", "\"1.2.3KiB\" is not a size")
        try expectWrong("size", "1.KiB", "\"1.KiB\" is not a size")
        try expectWrong("size", "-1KiB", "\"-1KiB\" is not a size")
        try expectWrong("size", "MiB", "\"MiB\" is not a size")
        try expectWrong("size", "16777216TiB", "\"16777216TiB\" does not fit in 64 bits")
        try expectWrong("size", "0x10MiB", "\"0x10MiB\" is not a number")
        try expectWrong("window", "2MiB", "\"2MiB\" is out of range: it is from 4KiB to 1MiB")
    }

    @Test(
        arguments: [
            ("100ms", 100_000_000), ("10ns", 10), ("3us", 3000), ("3µs", 3000), ("2s", 2_000_000_000),
            ("0.5s", 500_000_000),
            ("2min", 120_000_000_000), ("1h", 3_600_000_000_000), ("0", 0), ("1.000001ms", 1_000_001),
        ] as [(String, UInt64)]) func durationsHaveUnits(_ text: String, _ nanoseconds: UInt64) throws
    {
        #expect(try kitchen("delay", text) == .duration(nanoseconds))
    }

    @Test func durationsNeedTheirUnit() throws {
        try expectWrong("delay", "100", "\"100\" has no unit: ns, us, ms, s, min, h")
        try expectWrong("delay", "0x10", "\"0x10\" has no unit: ns, us, ms, s, min, h")
        try expectWrong(
            "delay", "5 fortnights",
            "\"5 fortnights\" has the unknown unit \"fortnights\": units are ns, us, ms, s, min, h")
        try expectWrong("delay", "0.5ns", "\"0.5ns\" is not a whole number of nanoseconds")
        try expectWrong("delay", "99999999999h", "\"99999999999h\" does not fit in 64 bits")
        try expectWrong("delay", "soon", "\"soon\" is not a duration")
    }

    @Test func portsAddressesAndRanges() throws {
        #expect(try kitchen("port", "0xffff") == .port(0xffff))
        try expectWrong("port", "65536", "\"65536\" is not an I/O port: they end at 0xffff")
        #expect(try kitchen("base", "0xfee0_0000") == .address(0xfee0_0000))
        #expect(try kitchen("ports", "0x60-0x64") == .range(0x60...0x64))
        #expect(try kitchen("ports", "0x60 - 100") == .range(0x60...100))
        #expect(try kitchen("ports", "5") == .range(5...5))
        try expectWrong("ports", "0x64-0x60", "\"0x64-0x60\" runs backwards")
        try expectWrong("ports", "0x60-", "\"0x60-\" is not a range (first-last): \"\" is not a number")
        try expectWrong("ports", "a-b", "\"a-b\" is not a range (first-last): \"a\" is not a number")
        try expectWrong("ports", "1-2-3", "\"1-2-3\" is not a range (first-last): \"2-3\" is not a number")
    }

    @Test func floatsAreFinite() throws {
        #expect(try kitchen("ratio", "0.5") == .float(0.5))
        #expect(try kitchen("ratio", "1e-3") == .float(0.001))
        #expect(try kitchen("ratio", "2") == .float(2))
        for text in ["nan", "inf", "0x1p3", "1.", ".5", "01.5", "+1", "1_0"] {
            try expectWrong("ratio", text, "\"\(text)\" is not a number")
        }
        try expectWrong("ratio", "1e999", "\"1e999\" is too large")
        try expectWrong("ratio", "2.001", "\"2.001\" is out of range: it is from 0 to 2")
    }

    @Test func choicesAreExact() throws {
        try expectWrong("power", "Off", "\"Off\" is not one of on, off, null, 8: did you mean \"off\"?")
        try expectErrors(
            head + "policies: [{ id: s, plugin: standard, unclaimed-port: §flaot }]\n",
            "\"unclaimed-port\" of s (standard): \"flaot\" is not one of float, log, stop: did you mean \"float\"?",
            notes: ["\"unclaimed-port\": What an unclaimed port does."])
    }

    @Test func textHoldsNoNUL() throws {
        try expectWrong("title", "\"a\\0b\"", "\"a\\u{0}b\" holds a NUL character")
        try expectWrong("file", "\"a\\0b\"", "\"a\\u{0}b\" holds a NUL character")
        try expectWrong("file", "''", "\"\" is not a path")
    }

    @Test func pathsAreRelativeToTheFileThatTheyStandIn() throws {
        let fixture = try Fixture([
            "sub/m.yaml": head
                + "devices: [{ id: a, plugin: kitchen, file: ./x/y }, { id: b, plugin: kitchen, file: /abs }]\n"
        ])
        let machine = try #require(fixture.load("sub/m.yaml").description)
        #expect(try machine.value("a", "file") == .path(fixture.path("sub/x/y")))
        #expect(try machine.value("b", "file") == .path("/abs"))
        #expect(try machine.value("b", "rom") == .path(fixture.path("sub/default.rom")))
    }

    @Test func aBareFileNameHasNoDirectory() {
        #expect(FilePath.directory(of: "m.yaml") == "")
        #expect(FilePath.directory(of: "/m.yaml") == "/")
        #expect(FilePath.directory(of: "a/b/m.yaml") == "a/b")
        #expect(FilePath.join("", "./disk.img") == "./disk.img")
        #expect(FilePath.join("a", "./disk.img") == "a/disk.img")
        #expect(FilePath.join("/", "disk.img") == "/disk.img")
        #expect(FilePath.join("a", "../disk.img") == "a/../disk.img")
    }

    // MARK: Lists

    @Test func listsTakeOneValueOrMany() throws {
        #expect(try kitchen("numbers", "[1, 0x2]") == .list([.unsigned(1), .unsigned(2)]))
        #expect(try kitchen("numbers", "5") == .list([.unsigned(5)]))
        #expect(try kitchen("numbers", "[]") == .list([]))
        #expect(try kitchen("flag", "~") == .none)
        let defaults = try machine(head + "devices: [{ id: k, plugin: kitchen }]\n").value("k", "words")
        #expect(defaults == .list([.text("one"), .text("two, three")]))
    }

    @Test func everyItemOfAListIsChecked() throws {
        try expectErrors(
            head + "devices: [{ id: k, plugin: kitchen, numbers: [1, §256, §x, 2, §~, §[3]] }]\n",
            "\"numbers\" of k (kitchen): \"256\" is out of range: it is from 0 to 255",
            "\"numbers\" of k (kitchen): \"x\" is not a number",
            "\"numbers\" of k (kitchen): an item is a single value, not nothing",
            "\"numbers\" of k (kitchen): an item is a single value, not a list")
    }

    @Test func aListOrMappingIsNoSingleValue() throws {
        try expectWrong("number", "[1]", "it takes one value, not a list")
        try expectWrong("title", "{ a: b }", "it takes one value, not a mapping")
        try expectWrong("numbers", "{ a: b }", "it takes a list, not a mapping")
    }

    @Test func aPluginsBrokenDefaultIsThePluginsFault() throws {
        try expectErrors(
            head + "devices: [{ id: k, plugin: §bad-default }]\n",
            "the plugin bad-default has a broken default for its property \"delay\": \"soon\" is not a duration")
        #expect(try machine(head + "devices: [{ id: k, plugin: bad-default, delay: 1s }]\n").instances.count == 2)
    }

    // MARK: The machine's own

    @Test func memoryIsWholePagesInItsLimits() throws {
        #expect(try machine("machine: m\nmemory: 64KiB\n").memory == 65_536)
        #expect(try machine("machine: m\nmemory: 64GiB\n").memory == 68_719_476_736)
        try expectErrors(
            "machine: m\nmemory: §32KiB\n", "\"memory\": \"32KiB\" (32KiB) is out of range: it is from 64KiB to 64GiB")
        try expectErrors(
            "machine: m\nmemory: §65GiB\n", "\"memory\": \"65GiB\" (65GiB) is out of range: it is from 64KiB to 64GiB")
        try expectErrors("machine: m\nmemory: §64\n", "\"memory\": \"64\" (64B) is out of range: did you mean 64MiB?")
        try expectErrors("machine: m\nmemory: §65537\n", "\"memory\": \"65537\" is not a multiple of 4KiB")
        try expectErrors("machine: m\nmemory: §[1]\n", "\"memory\" is a single value, not a list")
    }

    @Test func thereIsOneCPU() throws {
        try expectErrors(
            head + "cpu: { count: §2 }\n",
            "\"count\" of the CPU: \"2\" is out of range: a machine has one CPU in this version")
        try expectErrors(
            head + "cpu: { count: §0 }\n",
            "\"count\" of the CPU: \"0\" is out of range: a machine has one CPU in this version")
        try expectErrors(
            head + "cpu: §kvm\n",
            "\"cpu\" is a mapping of engine, interrupts, count, translate, interpret, not a single value")
    }

    @Test func translationIsOffOnAlwaysOrCheck() throws {
        try expectErrors(
            head + "cpu: { translate: §never }\n",
            "\"translate\" of the CPU: \"never\" is not one of off, on, always, check")
    }

    @Test func familiesOfInstructionsAreLeftToTheInterpreter() throws {
        #expect(try machine(head + "cpu: { interpret: x87 }\n").interpreted == [.x87])
        #expect(try machine(head + "cpu: { interpret: [sse, control] }\n").interpreted == [.sse, .control])
        #expect(try machine(head).interpreted == [])
        try expectErrors(
            head + "cpu: { interpret: [x87, §see] }\n",
            "\"interpret\" of the CPU: \"see\" is not one of integer, shift, multiply, stack, control, locked, sse, x87, loops: did you mean \"sse\"?"
        )
    }

    @Test func hardwareCannotCountTime() throws {
        try expectErrors(
            head + "cpu: { engine: kvm }\nclock: { mode: §counted }\n",
            "the clock counts instructions, which the engine kvm cannot: it needs the engine soft",
            notes: ["m.yaml:3:16: the engine is chosen here"])
        try expectErrors(
            head + "clock: { mode: §counted }\n",
            "the clock counts instructions, which the engine kvm cannot: it needs the engine soft",
            notes: ["--engine kvm: the engine is chosen here"], options: .init(engine: .kvm))
    }

    @Test(
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("2000-03-01", 951_868_800), ("2000-02-29T23:59:59", 951_868_799),
            ("2100-03-01 00:00:00Z", 4_107_542_400), ("1969-12-31T23:59:59Z", -1), ("1234567890", 1_234_567_890),
            ("-5", -5), ("2009-02-13T23:31:30Z", 1_234_567_890), ("0001-01-01", -62_135_596_800),
        ] as [(String, Int64)]) func wallClocksAreUTC(_ text: String, _ seconds: Int64) throws
    {
        #expect(try machine(head + "clock: { wall-clock: \"\(text)\" }\n").clock.wallClock == seconds)
    }

    @Test func timesThatDoNotExistAreRefused() throws {
        for text in ["2023-02-29", "2100-02-29", "2024-13-01", "2024-04-31", "2024-01-01T24:00:00Z", "2024-00-10"] {
            try expectErrors(
                head + "clock: { wall-clock: §\(text) }\n", "\"wall-clock\": \"\(text)\" is a time that does not exist")
        }
        for text in ["2024-01-01T00:00:00+02:00", "noon", "2024-1-1"] {
            try expectErrors(
                head + "clock: { wall-clock: §\(text) }\n",
                "\"wall-clock\": \"\(text)\" is neither a time in UTC (2024-02-29T12:00:00Z) nor seconds since 1970")
        }
        try expectErrors(head + "clock: { entropy-seed: §-1 }\n", "\"entropy-seed\": \"-1\" is negative")
    }
}
