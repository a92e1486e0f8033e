import PluginKit
import Testing

@testable import Core

/// A controller in front of another: takes its output as a pin, passes it on, and passes INTA back, as a local APIC does with LINT0.
final class CascadeDevice: Instance {
    static let definition = ClassDefinition.device(
        "cascade", summary: "a controller behind which another one is",
        slots: [Slot("extint", "irq-controller/1", optional: true, doc: "whose output is passed on")],
        provides: [Provides("irq-controller/1", shared: true, doc: "the CPU's")],
        methods: [Method("messages", result: .text, doc: "what has come", function: messages)],
        make: { (host, values) throws(PluginError) in CascadeDevice(host) })

    private static let messages: @convention(c) (UnsafeMutableRawPointer?) -> Void = {
        let device = instance($0, as: CascadeDevice.self)
        device.host.reply(device.seen.joined(separator: " "))
    }

    private var peer = ControllerPeer.unwired
    private var clients: [ControllerClient] = []
    private var seen: [String] = []

    override func connect() throws(PluginError) { peer = try host.controller("extint") }
    override func controllerOutput(slot: Int, vcpu: UInt32, to level: Bool) {
        (try? host.interruptOutput)?.set(level, vcpu: vcpu)
    }
    override func acknowledge(vcpu: UInt32) -> UInt8 {
        let vector = peer.acknowledge(vcpu: vcpu) ?? 0xff
        for client in clients { client.ended(vector: vector, vcpu: vcpu) }
        return vector
    }
    override func controllerClient(_ index: UInt32, is client: ControllerClient) { clients.append(client) }
    override func interruptMessage(address: UInt64, data: UInt64, requester: UInt64) {
        seen.append("\(String(address, radix: 16))=\(String(data, radix: 16))")
    }
    override func interruptEnded(slot: Int, vcpu: UInt32, vector: UInt8) {
        seen.append("end \(String(vector, radix: 16))")
        peer.message(address: 0xfee0_0000, data: UInt64(vector))
    }
}

@Suite struct ControllerTests {
    private func machine(interrupts: String) throws -> Machine {
        try TestMachine(
            """
            machine: controllers
            cpu: { interrupts: \(interrupts) }
            memory: 1MiB
            devices:
              - { id: pic, plugin: pic8259 }
              - { id: source, plugin: faulty, irq: pic.3 }
              - { id: apic, plugin: cascade, extint: pic }
              - { id: io, plugin: cascade, extint: apic }
            """, engine: false
        ).machine
    }

    /// Edge-triggered, vectors from 0x20, only IRQ 3 open.
    private func program(_ machine: Machine) {
        for (port, value) in [(0x20, 0x11), (0x21, 0x20), (0x21, 0x04), (0x21, 0x01), (0x21, 0xf7)]
            as [(UInt16, UInt64)]
        {
            _ = machine.access(port: port, width: 1, value: value)
        }
        machine.resetSource()
    }

    @Test func anOutputGoesThroughTheControllerInFront() throws {
        let machine = try machine(interrupts: "apic")
        defer { machine.tearDown() }
        #expect(!machine.interruptPin())
        program(machine)
        #expect(machine.interruptPin())
        #expect(machine.exits.acknowledgeInterrupt(0) == 0x23)
        // Its client heard of the end, and sent a message back.
        let apic = try #require(machine.instance(named: "apic"))
        let io = try #require(machine.instance(named: "io"))
        #expect(try machine.invoke("messages", [], on: io) == .text("end 23"))
        #expect(try machine.invoke("messages", [], on: apic) == .text("fee00000=23"))
    }

    /// A controller that takes no messages (its table is that of ABI 1.0) is none the worse for them.
    @Test func aControllerOffLineDrivesNothing() throws {
        let machine = try machine(interrupts: "apic")
        defer { machine.tearDown() }
        program(machine)
        #expect(machine.interruptPin())
        try machine.takeOffline("pic")
        #expect(!machine.interruptPin())
    }

    @Test func theSameControllersServeTheCPUDirectly() throws {
        let machine = try machine(interrupts: "pic")
        defer { machine.tearDown() }
        program(machine)
        #expect(machine.interruptPin())
        #expect(machine.exits.acknowledgeInterrupt(0) == 0x23)
    }
}

extension Machine {
    /// The source asserts its line again.
    fileprivate func resetSource() { try? resetInstance("source") }
}
