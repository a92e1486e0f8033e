import MachineFile
import Testing

/// Names that do not exist, each with what was meant.
@Suite struct NameTests {
    @Test func aPluginThatDoesNotExist() throws {
        try expectErrors(
            head + "devices:\n  - { id: a, plugin: §pic8295 }\n",
            "there is no plugin \"pic8295\": did you mean \"pic8259\"?",
            notes: ["searched: /lib/backplane", "searched: /opt/plugins"])
        try expectErrors(
            head + "devices: [{ id: a, plugin: §pc/pti8254 }]\n",
            "\"pc/pti8254\": the library has no such class: did you mean \"pit8254\"?",
            notes: ["/lib/libpc.so has pic8259, pit8254"])
        try expectErrors(
            head + "devices: [{ id: a, plugin: §broken }]\n",
            "the plugin \"broken\" cannot be used: undefined symbol: frobnicate",
            notes: ["the library is /lib/libbroken.so"])
    }

    @Test func aLocalPluginIsSoughtInTheFilesOwnDirectory() throws {
        let fixture = try Fixture(["d/m.yaml": head + "devices: [{ id: a, plugin: ./mine }]\n"])
        let result = fixture.load("d/m.yaml")
        #expect(fixture.lines(result) == ["d/m.yaml:3:28: error: there is no plugin \"./mine\""])
        #expect(fixture.notes(result) == ["searched: d/./mine"])
    }

    @Test func aPluginsNameHasOneSlashAtMost() throws {
        try expectErrors(
            head + "devices: [{ id: a, plugin: §a/b/c }]\n",
            "\"plugin\" of a: \"a/b/c\" is neither NAME nor LIBRARY/CLASS; a path begins with \"./\" or \"/\"")
        try expectErrors(
            head + "devices: [{ id: a, plugin: §\"\" }]\n", "\"plugin\" of a: the plugin's name is empty")
    }

    @Test func aPropertyThatDoesNotExist() throws {
        try expectErrors(
            head + "devices:\n  - { id: a, plugin: uart16550, at: 1, §clok: 2 }\n",
            "uart16550 has no property or slot \"clok\": did you mean \"clock\"?", notes: [])
        try expectErrors(
            head + "devices:\n  - { id: a, plugin: uart16550, at: 1, §baud-rate: 2 }\n",
            "uart16550 has no property or slot \"baud-rate\"", notes: ["uart16550 has at, clock, irq, stream"])
    }

    @Test func aSlotThatDoesNotExist() throws {
        try expectErrors(
            head
                + "devices:\n  - { id: a, plugin: uart16550, at: 1, §steam: term }\nbackends: [{ id: term, plugin: terminal }]\n",
            "uart16550 has no property or slot \"steam\": did you mean \"stream\"?")
    }

    @Test func anInstanceThatDoesNotExist() throws {
        try expectErrors(
            head + "devices:\n  - { id: pic, plugin: pic8259 }\n  - { id: pit, plugin: pit8254, irq: §pci.0 }\n",
            "\"irq\" of pit: there is no instance \"pci\": did you mean \"pic\"?")
        try expectErrors(
            head + "devices:\n  - { id: pic, plugin: pic8259 }\n  - { id: pit, plugin: pit8254, irq: §interrupts.0 }\n",
            "\"irq\" of pit: there is no instance \"interrupts\"", notes: ["irq-line/1 is provided by pic"])
        try expectErrors(
            head + "cpu: { interrupts: §apic }\n", "\"interrupts\" of the CPU: there is no instance \"apic\"",
            notes: ["no instance of this machine provides irq-controller/1"])
    }

    @Test func anInterfaceThatIsNotProvided() throws {
        try expectErrors(
            head + """
                devices:
                  - { id: pic, plugin: pic8259 }
                  - { id: pit, plugin: pit8254, irq: §term }
                backends:
                  - { id: term, plugin: terminal }
                """,
            "\"irq\" of pit needs irq-line/1, which term (terminal) does not provide",
            notes: ["m.yaml:7:5: term provides stream/1", "irq-line/1 is provided by pic"])
        try expectErrors(
            head + "cpu: { interrupts: §pit }\ndevices: [{ id: pit, plugin: pit8254 }]\n",
            "\"interrupts\" of the CPU needs irq-controller/1, which pit (pit8254) does not provide",
            notes: ["m.yaml:4:11: pit provides nothing", "no instance of this machine provides irq-controller/1"])
    }

    @Test func aKeyThatDoesNotExist() throws {
        try expectErrors(head + "§device: []\n", "a machine file has no \"device\": did you mean \"devices\"?")
        try expectErrors(head + "cpu: { §engin: soft }\n", "\"cpu\" has no \"engin\": did you mean \"engine\"?")
        try expectErrors(
            head + "clock: { §speed: 1 }\n", "\"clock\" has no \"speed\"",
            notes: ["it may have: mode, wall-clock, entropy-seed"])
    }

    @Test func aWordThatIsNoneOfASet() throws {
        try expectErrors(
            head + "cpu: { engine: §sotf }\n",
            "\"engine\" of the CPU: \"sotf\" is not one of auto, kvm, soft: did you mean \"soft\"?")
        try expectErrors(
            head + "clock: { mode: §counter }\n",
            "\"mode\" of the clock: \"counter\" is not one of real, counted: did you mean \"counted\"?")
        try expectErrors(
            head + "on-fault: §rest\ndevices: [{ id: p, plugin: pit8254, on-fault: §ofline }]\n",
            "\"on-fault\": \"rest\" is not one of stop, reset, offline: did you mean \"reset\"?",
            "\"on-fault\" of p: \"ofline\" is not one of stop, reset, offline: did you mean \"offline\"?")
    }

    // MARK: Instances

    @Test func everyInstanceHasAnIDAndAPlugin() throws {
        try expectErrors(
            head
                + "devices:\n  - §{ plugin: pit8254 }\n  - §{ id: a }\n  - §pic8259\n  - { id: §9a, plugin: pit8254 }\n",
            "this instance of \"pit8254\" has no id", "a has no plugin: \"plugin\" names its class",
            "an instance is a mapping like { id: ID, plugin: NAME }, not a single value",
            "\"9a\" is not an id: a letter, then letters, digits, \"-\" and \"_\", 64 at most")
        try expectErrors(
            head + "devices: [{ id: §[a], plugin: §{ a: b } }]\n", "an id is a name, not a list",
            "\"plugin\" of this instance is a name, not a mapping")
        try expectErrors(head + "devices: §pic8259\n", "\"devices\" is a list of instances, not a single value")
        try expectErrors(
            head + "boot: §multiboot\n", "an instance is a mapping like { plugin: NAME }, not a single value")
    }

    @Test func idsAreUniqueOverTheWholeMachine() throws {
        try expectErrors(
            head + """
                boot: §{ plugin: multiboot, kernel: k }
                policies:
                  - { id: a, plugin: stats }
                devices:
                  - { id: §a, plugin: pit8254 }
                  - { id: b, plugin: pit8254 }
                  - { id: §b, plugin: pit8254 }
                backends:
                  - { id: boot, plugin: terminal }
                """,
            "the id boot is given to two instances", "the id a is given to two instances",
            "the id b is given to two instances",
            notes: [
                "m.yaml:11:11: the other one is here, under \"backends\"",
                "m.yaml:5:11: the other one is here, under \"policies\"",
                "m.yaml:8:11: the other one is here, under \"devices\"",
            ])
    }

    @Test func aClassStandsInItsOwnList() throws {
        try expectErrors(
            head + """
                boot: { plugin: §stats }
                policies:
                  - { id: a, plugin: §pit8254, at: nonsense }
                devices:
                  - { id: b, plugin: §multiboot }
                  - { id: c, plugin: uart16550, at: 1, stream: d }
                  - { id: d, plugin: §terminal }
                """,
            "\"stats\" is a policy: it belongs under \"policies\", not under \"boot\"",
            "\"pit8254\" is a device: it belongs under \"devices\", not under \"policies\"",
            "\"multiboot\" is a loader: it belongs under \"boot\", not under \"devices\"",
            "\"terminal\" is a backend: it belongs under \"backends\", not under \"devices\"")
    }

    @Test func requiredPropertiesAndSlotsAreNamed() throws {
        try expectErrors(
            head + "devices:\n  - §{ id: u, plugin: uart16550 }\n  - §{ id: d, plugin: ata, at: 1, control: 2 }\n",
            "u (uart16550) needs the property \"at\" (First of eight ports.)",
            "d (ata) needs the slot \"block\" wired to block/1 (The medium.)")
    }

    // MARK: The machine

    @Test func nameAndMemoryAreNeeded() throws {
        let fixture = try Fixture(["m.yaml": "description: none\n"])
        #expect(
            fixture.lines(fixture.load()) == [
                "m.yaml:1:1: error: the machine has no name: \"machine\" gives it",
                "m.yaml:1:1: error: the machine has no memory: \"memory\" gives its size",
            ])
        try expectErrors("machine: §\"\"\nmemory: 1MiB\n", "\"\" is not a machine's name: up to 255 printable bytes")
        try expectErrors("machine: §[m]\nmemory: 1MiB\n", "\"machine\" is a single value, not a list")
    }

    @Test func manyErrorsComeInFileOrder() throws {
        try expectErrors(
            """
            machine: m
            memory: §12
            cpu: { engine: §fast, interrupts: pit }
            §bootz: {}
            devices:
              - { id: pic, plugin: pic8259, §irq: x }
              - { id: pit, plugin: §pit8255 }
              - { id: com, plugin: uart16550, stream: §tty, at: §0x10000, irq: §pic.16 }
            backends:
              - { plugin: raw-file, id: §1, path: disk, mode: §rw }
            watchdog: §10
            """,
            "\"memory\": \"12\" (12B) is out of range: did you mean 12MiB?",
            "\"engine\" of the CPU: \"fast\" is not one of auto, kvm, soft",
            "a machine file has no \"bootz\": did you mean \"boot\"?",
            "pic8259 has no property or slot \"irq\"",
            "there is no plugin \"pit8255\": did you mean \"pit8254\"?",
            "\"stream\" of com: there is no instance \"tty\"",
            "\"at\" of com (uart16550): \"0x10000\" is not an I/O port: they end at 0xffff",
            "\"irq\" of com: pic has no irq-line/1 number 16: it provides pic.0 to pic.15",
            "\"1\" is not an id: a letter, then letters, digits, \"-\" and \"_\", 64 at most",
            "\"mode\" of this instance (raw-file): \"rw\" is not one of read-only, read-write, snapshot",
            "\"watchdog\": \"10\" has no unit: ns, us, ms, s, min, h")
    }

    @Test func placesAreCountedFromOneInScalars() throws {
        let fixture = try Fixture(["m.yaml": "machine: \"é😀\"\nmemory: 1MiB\ndevices: [ {id: é} ]\n"])
        #expect(
            fixture.lines(fixture.load()) == [
                "m.yaml:3:12: error: this instance has no plugin: \"plugin\" names its class",
                "m.yaml:3:17: error: \"é\" is not an id: a letter, then letters, digits, \"-\" and \"_\", 64 at most",
            ])
    }
}
