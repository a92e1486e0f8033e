import Core
import MachineFile
import Testing

@Suite struct WiringTests {
    private let pic = head + "devices:\n  - { id: pic, plugin: pic8259 }\n"

    @Test func anIndexOutOfRangeNamesTheRange() throws {
        try expectErrors(
            pic + "  - { id: p, plugin: pit8254, irq: §pic.16 }\n",
            "\"irq\" of p: pic has no irq-line/1 number 16: it provides pic.0 to pic.15")
        try expectErrors(
            pic + "  - { id: p, plugin: pit8254, irq: §pic.4294967296 }\n",
            "\"irq\" of p: pic has no irq-line/1 number 4294967296: it provides pic.0 to pic.15")
        try expectErrors(
            pic + "cpu: { interrupts: §pic.1 }\n",
            "\"interrupts\" of the CPU: pic has no irq-controller/1 number 1: it provides pic alone")
    }

    @Test func anIndexIsNeededWhereThereAreMany() throws {
        try expectErrors(
            pic + "  - { id: p, plugin: pit8254, irq: §pic }\n",
            "\"irq\" of p: pic provides irq-line/1 as pic.0 to pic.15: name one")
    }

    @Test func anIndexIsANumber() throws {
        for end in ["pic.x", "pic.", "pic.04", "pic.1.2", "pic.-1"] {
            let index = end.dropFirst(4)
            try expectErrors(
                pic + "  - { id: p, plugin: pit8254, irq: §\(end) }\n",
                "\"irq\" of p: \"\(index)\" is not an index: write pic.NUMBER")
        }
        try expectErrors(
            pic + "  - { id: p, plugin: pit8254, irq: §4 }\n", "\"irq\" of p: \"4\" is not INSTANCE or INSTANCE.INDEX")
    }

    @Test func aRangeStandsForItsWires() throws {
        for (text, numbers): (String, [UInt32]) in [
            ("[pic.3, pic.8-10]", [3, 8, 9, 10]), ("pic.0-15", Array(0..<16)), ("[pic.7-7]", [7]),
        ] {
            let machine = try machine(pic + "  - { id: b, plugin: bundle, lines: \(text) }\n")
            let wires = try machine.instance("b").wires
            #expect(wires.map(\.target.index) == numbers)
            #expect(wires.map(\.position) == Array(0..<numbers.count))
        }
    }

    @Test func aRangeThatIsNoneIsNamed() throws {
        for text in ["pic.9-3", "pic.0-256", "pic.-", "pic.1-2-3", "pic.a-b"] {
            try expectErrors(
                pic + "  - { id: b, plugin: bundle, lines: [§\(text)] }\n",
                "\"lines\" of b (bundle): \"\(text)\" is no range of at most 256: write INSTANCE.FIRST-LAST")
        }
        try expectErrors(
            pic + "  - { id: b, plugin: bundle, lines: [§pic.15-16] }\n",
            "\"lines\" of b: pic has no irq-line/1 number 16: it provides pic.0 to pic.15")
    }

    @Test func linesMayBeShared() throws {
        let machine = try machine(
            pic + "  - { id: a, plugin: pit8254, irq: pic.3 }\n  - { id: b, plugin: pit8254, irq: pic.3 }\n")
        #expect(try machine.instance("a").wires.map(\.target) == [Endpoint(instance: "pic", index: 3)])
        #expect(try machine.instance("b").wires.map(\.target) == [Endpoint(instance: "pic", index: 3)])
    }

    @Test func whatIsTakenNamesBothOwners() throws {
        try expectErrors(
            head + """
                devices:
                  - { id: com1, plugin: uart16550, at: 0x3f8, stream: term }
                  - { id: com2, plugin: uart16550, at: 0x2f8, stream: §term.0 }
                backends:
                  - { id: term, plugin: terminal }
                """,
            "\"stream\" of com2 is wired to term, which \"stream\" of com1 has taken: its stream/1 takes one wire",
            notes: ["m.yaml:4:55: \"stream\" of com1 is wired here"])
    }

    @Test func oneInstanceMayNotTakeAPlaceTwice() throws {
        try expectErrors(
            head + """
                devices:
                  - { id: hub, plugin: hub, inputs: [a, b, §a] }
                backends:
                  - { id: a, plugin: terminal }
                  - { id: b, plugin: terminal }
                """,
            "\"inputs\" of hub is wired to a, which \"inputs\" of hub has taken: its stream/1 takes one wire")
    }

    @Test func positionsInASlotOfManyAreKept() throws {
        let machine = try machine(
            head + """
                devices:
                  - { id: hub, plugin: hub, inputs: [b, a] }
                  - { id: one, plugin: hub, inputs: c }
                backends:
                  - { id: a, plugin: terminal }
                  - { id: b, plugin: terminal }
                  - { id: c, plugin: terminal }
                """)
        let wires = try machine.instance("hub").wires
        #expect(wires.map(\.position) == [0, 1])
        #expect(wires.map(\.slot) == [0, 0])
        #expect(wires.map(\.target.instance) == ["b", "a"])
        #expect(try machine.instance("one").wires.map(\.target.instance) == ["c"])
    }

    @Test func shapesOfSlotsAreChecked() throws {
        try expectErrors(
            pic + "  - { id: p, plugin: pit8254, irq: §[pic.1] }\n  - { id: h, plugin: hub, inputs: §[] }\n"
                + "  - { id: i, plugin: hub, inputs: [§~, §{ a: b }] }\n",
            "\"irq\" of p (pit8254) takes one endpoint (INSTANCE or INSTANCE.INDEX), not a list",
            "h (hub) needs the slot \"inputs\" wired to stream/1",
            "\"inputs\" of i (hub) takes endpoints (INSTANCE or INSTANCE.INDEX), not nothing",
            "\"inputs\" of i (hub) takes endpoints (INSTANCE or INSTANCE.INDEX), not a mapping")
    }

    @Test func wiresToABrokenInstanceAreNotReportedToo() throws {
        try expectErrors(
            head + "devices:\n  - { id: pic, plugin: §pic825 }\n  - { id: p, plugin: pit8254, irq: pic.0 }\n",
            "there is no plugin \"pic825\": did you mean \"pic8259\"?")
    }

    // MARK: Loops

    @Test func aLoopIsNamed() throws {
        try expectErrors(
            head + """
                devices:
                  - { id: z, plugin: relay, next: a }
                  - { id: a, plugin: relay, next: §b }
                  - { id: b, plugin: relay, next: [end, c] }
                  - { id: c, plugin: relay, next: a }
                  - { id: end, plugin: relay }
                """,
            "these instances are wired in a loop: a -> b -> c -> a",
            notes: ["m.yaml:6:41: b is wired to c here", "m.yaml:7:35: c is wired to a here"])
    }

    @Test func aWireToItselfIsALoop() throws {
        try expectErrors(
            head + "devices: [{ id: a, plugin: relay, next: §a }, { id: b, plugin: relay, next: §b }]\n",
            "these instances are wired in a loop: a -> a", "these instances are wired in a loop: b -> b")
    }

    @Test func someInterfacesMayLoop() throws {
        let machine = try machine(
            head + "devices: [{ id: a, plugin: peer, other: b }, { id: b, plugin: peer, other: a }]\n")
        #expect(try machine.instance("a").wires.map(\.target.instance) == ["b"])
    }

    @Test func aWireMayCrossAnother() throws {
        // Two ways to one end are no loop.
        _ = try machine(
            head + """
                devices:
                  - { id: a, plugin: relay, next: [b, c] }
                  - { id: b, plugin: relay, next: [d] }
                  - { id: c, plugin: relay, next: [d, b] }
                  - { id: d, plugin: relay }
                """)
    }

    @Test func aLongLoopIsFoundQuickly() throws {
        let count = 4000
        let items = (0..<count).map { "  - { id: r\($0), plugin: relay, next: r\(($0 + 1) % count) }\n" }.joined()
        let fixture = try Fixture(["m.yaml": head + "devices:\n" + items])
        let start = ContinuousClock.now
        let lines = fixture.lines(fixture.load())
        #expect(lines.count == 1)
        #expect(lines.first?.hasPrefix("m.yaml:4:36: error: these instances are wired in a loop: r0 -> r1 -> ") == true)
        #expect(ContinuousClock.now - start < .seconds(10))
    }

    @Test func instancesAreBounded() throws {
        let items = (0..<4097).map { "  - { id: r\($0), plugin: relay }\n" }.joined()
        try expectErrors(head + "devices:\n" + "  §" + items.dropFirst(2), "a machine has at most 4096 devices")
    }
}
