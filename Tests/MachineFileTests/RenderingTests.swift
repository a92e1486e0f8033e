import Core
import Testing

@testable import MachineFile

@Suite struct RenderingTests {
    @Test func anErrorShowsItsLineAndItsNotes() throws {
        let fixture = try Fixture([
            "m.yaml": head + """
                devices:

                  - { id: com1, plugin: uart16550, at: 0x3f8, stream: term }
                  - { id: com2, plugin: uart16550, at: 0x2f8, stream: term }
                backends: [{ id: term, plugin: terminal }]
                """
        ])
        let result = fixture.load()
        let text = result.diagnostics.map { $0.rendered() }.joined(separator: "\n")
            .replacing(fixture.directory + "/", with: "")
        #expect(
            text == """
                m.yaml:6:55: error: "stream" of com2 is wired to term, which "stream" of com1 has taken: its stream/1 takes one wire
                      - { id: com2, plugin: uart16550, at: 0x2f8, stream: term }
                                                                          ^
                  m.yaml:5:55: note: "stream" of com1 is wired here
                """)
    }

    @Test func aThousandErrorsAreEnough() throws {
        let keys = (0..<1500).map { "k\($0): 1\n" }.joined()
        let fixture = try Fixture(["m.yaml": head + keys])
        let diagnostics = fixture.load().diagnostics
        #expect(diagnostics.count == 1000)
        #expect(diagnostics.first?.location.line == 3)
        #expect(diagnostics.last?.location.line == 1002)
        #expect(diagnostics.last?.notes.last?.text == "500 more errors are not shown")
    }

    private static let floods = [
        "devices:\n" + (0..<4000).map { "  - { id: i\($0), plugin: pit8254, irq: x\($0) }\n" }.joined(),
        "devices: [{ id: k, plugin: kitchen, numbers: [" + String(repeating: "x, ", count: 50_000) + "1] }]\n",
        "devices: [{ id: k, plugin: relay, next: [" + (0..<20_000).map { "r\($0), " }.joined() + "k] }]\n",
        "devices:\n" + (0..<10_000).map { "  - { id: i\($0), remove: true }\n" }.joined(),
        "parameters: {" + (0..<10_000).map { "p\($0): \"${q\($0)}\", " }.joined() + "z: 1}\nx: [ "
            + (0..<10_000).map { "\"${p\($0)}\", " }.joined() + "1 ]\n",
    ]

    /// A bound far above what it takes, and far below what a walk over all names for each error would.
    @Test(arguments: floods.indices)
    func aFileOfNothingButErrorsIsRefusedQuickly(_ flood: Int) throws {
        let fixture = try Fixture(["m.yaml": head + RenderingTests.floods[flood]])
        let start = ContinuousClock.now
        let result = fixture.load()
        #expect(result.description == nil && result.diagnostics.count == 1000)
        #expect(ContinuousClock.now - start < .seconds(60))
    }

    @Test func coloursAreOnlyThereWhereAskedFor() {
        let diagnostic = Diagnostic(
            location: .init(file: "a", line: 1, column: 2), message: "bad", notes: [.init("why")],
            excerpt: .init(text: "x: y", caret: 1))
        #expect(diagnostic.rendered(color: false) == "a:1:2: error: bad\n    x: y\n     ^\n  note: why")
        let colored = diagnostic.rendered(color: true)
        #expect(colored.contains("\u{1b}[1;31merror:\u{1b}[0m"))
        #expect(colored.replacing(/\u{1b}\[[0-9;]*m/, with: "") == diagnostic.rendered(color: false))
    }

    @Test func whatIsOfNoPlaceHasNoExcerpt() throws {
        let fixture = try Fixture()
        let result = fixture.load("none.yaml")
        #expect(result.diagnostics.map { $0.rendered() } == [fixture.path("none.yaml") + ": error: no such file"])
    }

    @Test func aLongLineIsCutAroundTheCaret() throws {
        let filler = String(repeating: "x", count: 500)
        let fixture = try Fixture([
            "m.yaml":
                "{ machine: m, description: \(filler), memory: none, on-fault: stop, parameters: { a: \(filler) } }\n"
        ])
        let excerpt = try #require(fixture.load().diagnostics.first?.excerpt)
        #expect(excerpt.text.hasPrefix("...xxx"))
        #expect(excerpt.text.hasSuffix("xxx..."))
        #expect(excerpt.text.count == 126)
        #expect(excerpt.text.dropFirst(excerpt.caret).hasPrefix("none, on-fault"))
    }

    @Test func nothingOfAFileReachesTheTerminalAsAnEscape() throws {
        let fixture = try Fixture(["m.yaml": head + "on-fault: \"\\e[2J\\u202e\"\n\"\\e]0;x\\a\": 1\n# \u{202e}\n"])
        let text = fixture.load().diagnostics.map { $0.rendered() }.joined()
        #expect(!text.unicodeScalars.contains { $0.value == 0x1b || $0.value == 7 || $0.value == 0x202e })
        #expect(text.contains("\\u{1b}[2J\\u{202e}"))
    }

    // MARK: Did you mean

    @Test func distancesCountEditsAndSwaps() {
        func distance(_ a: String, _ b: String, limit: Int = 9) -> Int? {
            DidYouMean.distance(Array(a.utf8), Array(b.utf8), limit: limit)
        }
        #expect(distance("kitten", "sitting") == 3)
        #expect(distance("kitten", "sitting", limit: 3) == 3)
        #expect(distance("kitten", "sitting", limit: 2) == nil)
        #expect(distance("ab", "ba", limit: 1) == 1)
        #expect(distance("", "abc") == 3)
        #expect(distance("abc", "") == 3)
        #expect(distance("same", "same", limit: 0) == 0)
    }

    @Test func theNearestIsSuggestedAndTheFarIsNot() {
        let names = ["pic8259", "pit8254", "uart16550", "ata"]
        #expect(DidYouMean.nearest(to: "pic8258", in: names) == "pic8259")
        #expect(DidYouMean.nearest(to: "PIT_8254", in: ["pit-8254"]) == "pit-8254")
        #expect(DidYouMean.nearest(to: "atx", in: names) == "ata")
        #expect(DidYouMean.nearest(to: "virtio", in: names) == nil)
        #expect(DidYouMean.nearest(to: "", in: names) == nil)
        #expect(DidYouMean.nearest(to: String(repeating: "a", count: 100_000), in: names) == nil)
    }
}
