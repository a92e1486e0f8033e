import Core
import Foundation
import MachineFile
import Testing

@Suite struct ExtendsTests {
    private let base = """
        machine: base
        memory: 1MiB
        cpu: { engine: soft, interrupts: pic }
        boot: { plugin: multiboot, kernel: base.elf, arguments: quiet }
        policies:
          - { id: rules, plugin: standard, unclaimed-port: log }
        devices:
          - { id: pic, plugin: pic8259 }
          - { id: pit, plugin: pit8254, irq: pic.0, at: 0x40 }
          - { id: com1, plugin: uart16550, at: 0x3f8, irq: pic.4, stream: term }
        backends:
          - { id: term, plugin: terminal }
        """

    private func extended(_ text: String) throws -> (Fixture, MachineFileResult) {
        let fixture = try Fixture(["lib/base.yaml": base, "m.yaml": "extends: lib/base.yaml\n" + text])
        return (fixture, fixture.load())
    }

    private func machine(_ text: String) throws -> MachineDescription {
        let (fixture, result) = try extended(text)
        #expect(fixture.lines(result) == [])
        return try #require(result.description)
    }

    @Test func allIsInherited() throws {
        let machine = try machine("")
        #expect(machine.name == "base")
        #expect(machine.instances.map(\.id) == ["rules", "pic", "pit", "com1", "term", "boot"])
    }

    @Test func keysOverrideKeyByKey() throws {
        let machine = try machine(
            """
            machine: child
            memory: 2MiB
            cpu: { engine: kvm }
            boot: { kernel: child.elf }
            """)
        #expect(machine.name == "child")
        #expect(machine.memory == 2 << 20)
        #expect(machine.engine == .kvm)
        #expect(machine.interrupts == Endpoint(instance: "pic", index: 0))
        #expect(try machine.value("boot", "arguments") == .text("quiet"))
        guard case .path(let kernel) = try machine.value("boot", "kernel") else { throw ValueMissing() }
        #expect(kernel.hasSuffix("/child.elf") && !kernel.hasSuffix("lib/child.elf"))
    }

    @Test func instancesOverrideByID() throws {
        let machine = try machine(
            """
            devices:
              - { id: com2, plugin: uart16550, at: 0x2f8, irq: pic.3 }
              - { id: pit, irq: pic.2 }
            """)
        #expect(machine.instances.map(\.id) == ["rules", "pic", "pit", "com1", "com2", "term", "boot"])
        #expect(try machine.value("pit", "at") == .port(0x40))
        let pit = try machine.instance("pit")
        #expect(pit.wires.map(\.target.index) == [2])
        // Places stay where a thing was written.
        #expect(pit.location.file.hasSuffix("lib/base.yaml"))
        #expect(pit.location.line == 9)
        #expect(pit.wires.first?.location.file.hasSuffix("/m.yaml") == true)
        #expect(pit.wires.first?.location.line == 4)
    }

    @Test func removeTakesOut() throws {
        let machine = try machine(
            "devices: [{ id: com1, remove: true }]\nbackends: [{ id: term, remove: yes }]\nboot: ~\n")
        #expect(machine.instances.map(\.id) == ["rules", "pic", "pit"])
        #expect(try self.machine("devices: [{ id: com1, remove: false }]\n").instances.count == 6)
    }

    @Test func nullTakesAKeyOut() throws {
        let machine = try machine("devices: [{ id: pit, irq: ~ }]\nboot: { arguments: ~ }\ncpu: { interrupts: ~ }\n")
        #expect(try machine.instance("pit").wires == [])
        #expect(try machine.value("boot", "arguments") == .none)
        #expect(machine.interrupts == nil)
    }

    @Test func aRequiredParameterThatIsOverriddenIsNotNeeded() throws {
        let fixture = try Fixture([
            "base.yaml": head + "parameters: { guest: ~ }\nboot: { plugin: multiboot, kernel: \"${guest}\" }\n",
            "m.yaml": "extends: base.yaml\nboot: { kernel: mine.elf }\n",
            "n.yaml": "extends: base.yaml\nparameters: { guest: mine.elf }\n",
        ])
        #expect(fixture.lines(fixture.load("m.yaml")) == [])
        #expect(fixture.lines(fixture.load("n.yaml")) == [])
        #expect(
            fixture.lines(fixture.load("base.yaml")) == [
                "base.yaml:3:15: error: the parameter \"guest\" has no value: give it with --set guest=VALUE"
            ])
    }

    @Test func filesExtendOneAnotherInAChain() throws {
        let fixture = try Fixture([
            "a.yaml": head + "devices: [{ id: x, plugin: pit8254, at: 1 }, { id: y, plugin: pit8254, at: 1 }]\n",
            "b.yaml": "extends: ./a.yaml\ndevices: [{ id: x, at: 2 }]\n",
            "c/m.yaml": "extends: \"${base}.yaml\"\nparameters: { base: ../b }\ndevices: [{ id: y, at: 3 }]\n",
        ])
        let machine = try #require(fixture.load("c/m.yaml").description)
        #expect(try machine.value("x", "at") == .port(2))
        #expect(try machine.value("y", "at") == .port(3))
    }

    // MARK: What is wrong

    @Test func aTargetThatDoesNotExistIsNamed() throws {
        let fixture = try Fixture(["base.yaml": head, "m.yaml": "extends: bsae.yaml\n", "n.yaml": "extends: [a]\n"])
        #expect(
            fixture.lines(fixture.load()) == [
                "m.yaml:1:10: error: \"bsae.yaml\" cannot be extended: no such file: did you mean \"base.yaml\"?"
            ])
        #expect(
            fixture.lines(fixture.load("n.yaml")) == [
                "n.yaml:1:10: error: \"extends\" names one file, and this is a list"
            ])
    }

    @Test func aDirectoryOrAPipeCannotBeExtended() throws {
        let fixture = try Fixture(["d/x.yaml": head, "m.yaml": "extends: d\n", "n.yaml": "extends: pipe\n"])
        #expect(
            fixture.lines(fixture.load()) == [
                "m.yaml:1:10: error: \"d\" cannot be extended: this is a directory, not a machine file"
            ])
        try #require(mkfifo(fixture.path("pipe"), 0o600) == 0)
        #expect(
            fixture.lines(fixture.load("n.yaml")) == [
                "n.yaml:1:10: error: \"pipe\" is a pipe; only files can be extended"
            ])
    }

    /// The kernel's log is a regular file to stat(2), and reading it waits for the next line. Only root may open it.
    @Test func aFileThatWouldBeWaitedForCannotBeExtended() throws {
        let fixture = try Fixture(["m.yaml": "extends: /proc/kmsg\n", "n.yaml": "extends: /dev/tty\n"])
        let reason = geteuid() == 0 ? "this is not a plain file" : "permission denied"
        #expect(
            fixture.lines(fixture.load()) == ["m.yaml:1:10: error: \"/proc/kmsg\" cannot be extended: \(reason)"])
        #expect(
            fixture.lines(fixture.load("n.yaml")) == [
                "n.yaml:1:10: error: \"/dev/tty\" cannot be extended: this is a device or a socket, not a machine file"
            ])
    }

    @Test func loopsAreNamed() throws {
        let fixture = try Fixture([
            "m.yaml": "extends: d/b.yaml\n", "d/b.yaml": "extends: ../m.yaml\n", "self.yaml": "extends: ./self.yaml\n",
        ])
        #expect(
            fixture.lines(fixture.load()) == [
                "d/b.yaml:1:10: error: a machine file cannot extend itself: m.yaml -> d/b.yaml -> d/../m.yaml"
            ])
        #expect(
            fixture.lines(fixture.load("self.yaml")) == [
                "self.yaml:1:10: error: a machine file cannot extend itself: self.yaml -> self.yaml"
            ])
    }

    @Test func depthIsBounded() throws {
        var files = ["m16.yaml": head]
        for level in 0..<16 { files["m\(level).yaml"] = "extends: m\(level + 1).yaml\n" }
        let fixture = try Fixture(files)
        #expect(fixture.lines(fixture.load("m1.yaml")) == [])
        #expect(
            fixture.lines(fixture.load("m0.yaml")) == [
                "m15.yaml:1:10: error: machine files extend one another at most 16 deep"
            ])
    }

    @Test func removingWhatIsNotThereIsAnError() throws {
        let (fixture, result) = try extended(
            "devices:\n  - { id: com2, remove: true }\n  - { remove: true }\n  - { id: pit, remove: maybe }\n")
        #expect(
            fixture.lines(result) == [
                "m.yaml:3:11: error: there is no instance \"com2\" to remove: did you mean \"com1\"?",
                "m.yaml:4:5: error: \"remove\" needs the id of the instance to take out",
                "m.yaml:5:24: error: \"remove\": \"maybe\" is not true or false (nor on, off, yes, no)",
            ])
        #expect(fixture.notes(result) == ["the file that this one extends has pic, pit, com1"])
        try expectErrors(
            head + "devices: [{ id: §a, remove: true }]\n", "there is no instance \"a\" to remove",
            notes: ["this file extends none that has instances here"])
    }

    @Test func oneFileNamesAnInstanceOnce() throws {
        let (fixture, result) = try extended(
            "devices:\n  - { id: pit, at: 1 }\n  - { id: pit, plugin: pit8254, at: 2 }\n")
        #expect(fixture.lines(result) == ["m.yaml:4:11: error: the id pit is given to two instances"])
        #expect(fixture.notes(result) == ["m.yaml:3:11: the other one is here, under \"devices\""])
    }

    @Test func errorsStandInTheFileThatHasThem() throws {
        let fixture = try Fixture([
            "base.yaml": head + "devices:\n  - { id: a, plugin: uart16550, at: oops, clock: 1 }\nboguss: 1\n",
            "m.yaml": "extends: base.yaml\ndevices:\n  - { id: a, clock: 0 }\n  - { id: b, plugin: nope }\n",
        ])
        #expect(
            fixture.lines(fixture.load()) == [
                "m.yaml:3:21: error: \"clock\" of a (uart16550): \"0\" is out of range: it is from 1 to 100000000 Hz",
                "m.yaml:4:22: error: there is no plugin \"nope\"",
                "base.yaml:4:37: error: \"at\" of a (uart16550): \"oops\" is not a number",
                "base.yaml:5:1: error: a machine file has no \"boguss\"",
            ])
    }

    @Test func aNewPluginForAnOldInstanceIsPointedAt() throws {
        let (fixture, result) = try extended("devices:\n  - { id: com1, plugin: pit8254 }\n")
        #expect(fixture.lines(result) == ["lib/base.yaml:10:59: error: pit8254 has no property or slot \"stream\""])
        #expect(fixture.notes(result) == ["pit8254 has at, irq", "m.yaml:3:25: the plugin of com1 is named here"])
    }

    @Test func aBrokenBaseIsReportedInItsOwnPlace() throws {
        let fixture = try Fixture(["base.yaml": "a: b: c\n", "m.yaml": "extends: base.yaml\n"])
        #expect(
            fixture.lines(fixture.load()) == ["base.yaml:1:5: error: mapping values are not allowed in this context"])
    }
}

private struct ValueMissing: Error {}
