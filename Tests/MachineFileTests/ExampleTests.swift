import Core
import Foundation
import MachineFile
import Testing

/// The example of the design, as it stands there.
let tour = """
    machine: tour
    cpu:    { engine: auto, interrupts: pic }     # engine: auto | kvm | soft
    memory: 64MiB
    boot:   { plugin: multiboot, kernel: "${guest}" }
    parameters: { guest: tour.elf }
    policies:
      - { id: stats, plugin: stats }
      - { id: rules, plugin: standard, unclaimed-port: float, halt-forever: power-off }
    devices:
      - { id: pic,  plugin: pic8259 }
      - { id: pit,  plugin: pit8254, irq: pic.0 }
      - { id: com1, plugin: uart16550, at: 0x3f8, irq: pic.4, stream: term }
      - { id: hd0,  plugin: ata, at: 0x1f0, control: 0x3f6, irq: pic.14, block: root }
    backends:
      - { id: term, plugin: terminal }
      - { id: root, plugin: raw-file, path: disk.img, mode: read-write }
    """

@Suite struct ExampleTests {
    @Test func theDesignsExampleResolvesInFull() throws {
        let fixture = try Fixture(["m.yaml": tour])
        let result = fixture.load()
        #expect(fixture.lines(result) == [])
        let machine = try #require(result.description)
        #expect(machine.name == "tour")
        #expect(machine.engine == .auto)
        #expect(machine.memory == 67_108_864)
        #expect(machine.cpuCount == 1)
        #expect(machine.interrupts == Endpoint(instance: "pic", index: 0))
        #expect(machine.instances.map(\.id) == ["stats", "rules", "pic", "pit", "com1", "hd0", "term", "root", "boot"])
        #expect(machine.instances.map(\.type.kind.name).suffix(2) == ["backend", "loader"])
        #expect(machine.watchdog == 10_000_000_000)
        #expect(machine.clock == ClockDescription())

        let disk = try machine.instance("hd0")
        #expect(disk.values == [.port(0x1f0), .port(0x3f6)])
        #expect(disk.isGiven == [true, true])
        #expect(disk.libraryPath == "/lib/libata.so")
        #expect(disk.onFault == .stop)
        #expect(disk.location.line == 13)
        #expect(disk.location.column == 5)
        let irq = InstanceDescription.Wire(
            slot: 0, position: 0, target: Endpoint(instance: "pic", index: 14),
            location: .init(file: fixture.path("m.yaml"), line: 13, column: 62))
        let block = InstanceDescription.Wire(
            slot: 1, position: 0, target: Endpoint(instance: "root", index: 0),
            location: .init(file: fixture.path("m.yaml"), line: 13, column: 77))
        #expect(disk.wires == [irq, block])

        #expect(try machine.value("rules", "halt-forever") == .choice("power-off", index: 1))
        #expect(try machine.value("root", "mode") == .choice("read-write", index: 1))
        #expect(try machine.value("root", "path") == .path(fixture.path("disk.img")))
        #expect(try machine.value("boot", "kernel") == .path(fixture.path("tour.elf")))
        #expect(try machine.value("stats", "period") == .duration(1_000_000_000))
        #expect(try machine.isGiven("stats", "period") == false)
        #expect(try machine.value("stats", "ports") == .none)
        #expect(try machine.value("com1", "clock") == .unsigned(1_843_200))
    }

    @Test func jsonIsReadAsWell() throws {
        let json = """
            {"machine": "j", "memory": "1MiB", "cpu": {"interrupts": "pic", "count": 1},
             "devices": [{"id": "pic", "plugin": "pic8259"},
                         {"id": "pit", "plugin": "pit8254", "irq": "pic.0", "at": 64}]}
            """
        let machine = try machine(json)
        #expect(try machine.value("pit", "at") == .port(0x40))
        #expect(machine.instances.map(\.id) == ["standard", "pic", "pit"])
    }

    @Test func theTopLevelsValuesAreRead() throws {
        let machine = try machine(
            """
            machine: full
            description: everything
            memory: 4MiB
            cpu: { engine: soft }
            clock: { mode: counted, wall-clock: 2024-02-29T12:00:01Z, entropy-seed: 0xdeadbeef }
            watchdog: 1.5s
            on-fault: reset
            devices:
              - { id: a, plugin: pit8254 }
              - { id: b, plugin: pit8254, on-fault: offline }
            """)
        #expect(machine.engine == .soft)
        #expect(machine.clock == ClockDescription(mode: .counted, wallClock: 1_709_208_001, entropySeed: 0xdead_beef))
        #expect(machine.watchdog == 1_500_000_000)
        #expect(try machine.instance("a").onFault == .reset)
        #expect(try machine.instance("b").onFault == .offline)
        #expect(try machine.instance("standard").onFault == .reset)
    }

    @Test func watchdogOffIsNever() throws {
        #expect(try machine(head + "watchdog: off\n").watchdog == 0)
        #expect(try machine(head + "watchdog: 250ms\n").watchdog == 250_000_000)
    }

    @Test func theCommandLinesEngineWins() throws {
        let options = MachineFileOptions(engine: .kvm)
        #expect(try machine(head + "cpu: { engine: soft }\n", options: options).engine == .kvm)
    }

    @Test func aLibrarysClassAndALocalPluginAreFound() throws {
        let fixture = try Fixture([
            "m.yaml": head + """
                devices:
                  - { id: a, plugin: pc/pit8254 }
                  - { id: b, plugin: ./mine }
                """
        ])
        let local = ClassDescription(name: "mine", kind: .device)
        fixture.catalog.local = [fixture.directory + "/./mine": [local]]
        let machine = try #require(fixture.load().description)
        #expect(try machine.instance("a").libraryPath == "/lib/libpc.so")
        #expect(try machine.instance("b").type == local)
    }

    @Test func nullIsNotGiven() throws {
        let machine = try machine(
            head + """
                boot:
                watchdog: ~
                policies: null
                devices:
                  - { id: p, plugin: pit8254, at: ~, irq: null, on-start: }
                  - { id: k, plugin: kitchen, title: "null", power: 'null', file: }
                """)
        #expect(try machine.value("p", "at") == .port(0x40))
        #expect(try machine.isGiven("p", "at") == false)
        #expect(try machine.value("k", "title") == .text("null"))
        #expect(try machine.value("k", "power") == .choice("null", index: 2))
        #expect(try machine.value("k", "file") == .none)
        #expect(machine.instances.map(\.id) == ["standard", "p", "k"])
    }
}
