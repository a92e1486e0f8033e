import Core
import MachineFile
import Testing

/// A display that the machine file leaves open.
@Suite struct ImpliedScreenTests {
    private func load(_ text: String, without name: String = "") throws -> MachineFileResult {
        let fixture = try Fixture(["m.yaml": head + text])
        fixture.catalog.classes += [
            ClassDescription(
                name: "vga", kind: .device,
                slots: [.init(name: "display", interface: "display/1", isOptional: true, isMany: true)]),
            ClassDescription(name: "i8042", kind: .device, provided: [.init(interface: "input/1", count: 2)]),
            ClassDescription(
                name: "screen", kind: .backend,
                slots: [.init(name: "keyboard", interface: "input/1", isOptional: true)],
                provided: [.init(interface: "display/1")]),
            ClassDescription(name: "vnc", kind: .backend, provided: [.init(interface: "display/1")]),
        ]
        fixture.catalog.classes.removeAll { $0.name == name }
        return fixture.load()
    }

    private func ids(_ text: String, without name: String = "") throws -> [String] {
        try #require(try load(text, without: name).description).instances.map(\.id)
    }

    @Test func itIsShownByScreenBeforeTheFilesConsoles() throws {
        let machine = try #require(
            try load(
                """
                devices: [{ id: vga, plugin: vga }, { id: second, plugin: vga }, { id: kbd, plugin: i8042 }]
                backends: [{ id: term, plugin: terminal }]

                """
            ).description)
        #expect(machine.instances.map(\.id) == ["standard", "vga", "second", "kbd", "screen", "term"])
        let wires = machine.instances.flatMap { instance in
            instance.wires.map { "\(instance.id) to \($0.target.text(of: "display/1"))" }
        }
        #expect(wires == ["vga to screen.0", "screen to kbd.0"])
        #expect(machine.instances.filter(\.isImplied).map(\.id) == ["standard", "screen"])
    }

    @Test func whatTheFileSaysIsAChoice() throws {
        let card = "devices: [{ id: vga, plugin: vga }]\n"
        #expect(try ids("devices: [{ id: vga, plugin: vga, display: [] }]\n") == ["standard", "vga"])
        #expect(try ids(card + "backends: [{ id: far, plugin: vnc }]\n") == ["standard", "vga", "far"])
        #expect(
            try ids(
                "devices: [{ id: vga, plugin: vga }, { id: b, plugin: vga, display: [] }]\n") == [
                    "standard", "vga", "b",
                ]
        )
        #expect(try ids("devices: [{ id: kbd, plugin: i8042 }]\n") == ["standard", "kbd"])
        #expect(try ids(card, without: "screen") == ["standard", "vga"])
    }

    @Test func aTakenIDIsGoneRoundAndAKeyboardIsNotNeeded() throws {
        let machine = try #require(
            try load("devices: [{ id: vga, plugin: vga }, { id: screen, plugin: pit8254 }]\n").description)
        #expect(machine.instances.map(\.id) == ["standard", "vga", "screen", "screen-2"])
        #expect(machine.instances[1].wires.map(\.target.instance) == ["screen-2"])
        #expect(machine.instances[3].wires.isEmpty)
    }

    /// A class that is not found is reported, and nothing about a display.
    @Test func aFileWithErrorsSaysThemOnly() throws {
        let result = try load("devices: [{ id: vga, plugin: vgaa }]\n")
        #expect(result.description == nil && result.diagnostics.count == 1)
    }
}
