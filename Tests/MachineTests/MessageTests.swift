import Foundation
import PluginKit
import Testing

@testable import Core

/// A device with one interrupt message, as its methods say.
final class MessageDevice: Instance {
    static let definition = ClassDefinition.device(
        "messenger", summary: "sends interrupt messages",
        methods: [
            Method(
                "program", [("address", .u64), ("data", .u32), ("masked", .bool)], result: .void,
                doc: "what the message is", function: program),
            Method("raise", result: .void, doc: "sends it", function: raise),
            Method("raise_elsewhere", result: .void, doc: "sends it from a thread", function: raiseElsewhere),
            Method("forget", result: .void, doc: "drops what is pending", function: forget),
            Method("pending", result: .u64, doc: "whether it is pending", function: pending),
        ],
        make: { (host, values) throws(PluginError) in MessageDevice(host) })

    private static let program: @convention(c) (UnsafeMutableRawPointer?, UInt64, UInt32, UInt8) -> Void = {
        instance($0, as: MessageDevice.self).vector?.program(address: $1, data: UInt64($2), isMasked: $3 != 0)
    }
    private static let raise: @convention(c) (UnsafeMutableRawPointer?) -> Void = {
        instance($0, as: MessageDevice.self).vector?.raise()
    }
    private static let raiseElsewhere: @convention(c) (UnsafeMutableRawPointer?) -> Void = {
        let vector = instance($0, as: MessageDevice.self).vector
        Thread.detachNewThread { vector?.raise() }
    }
    private static let forget: @convention(c) (UnsafeMutableRawPointer?) -> Void = {
        instance($0, as: MessageDevice.self).vector?.forget()
    }
    private static let pending: @convention(c) (UnsafeMutableRawPointer?) -> UInt64 = {
        instance($0, as: MessageDevice.self).vector?.isPending == true ? 1 : 0
    }

    private var vector: MessageVector?

    override func connect() throws(PluginError) { vector = try host.messages.vector() }
}

/// msi/1.
@Suite struct MessageTests {
    private func machine(_ cpu: String = "cpu: { interrupts: apic }") throws -> Machine {
        try TestMachine(
            """
            machine: messages
            \(cpu)
            memory: 1MiB
            devices:
              - { id: apic, plugin: cascade }
              - { id: card, plugin: messenger }
            """, engine: false
        ).machine
    }

    private func call(_ machine: Machine, _ method: String, _ arguments: [String] = []) throws -> MethodResult {
        try machine.invoke(method, arguments, on: try #require(machine.instance(named: "card")))
    }

    private func seen(_ machine: Machine) throws -> MethodResult {
        try machine.invoke("messages", [], on: try #require(machine.instance(named: "apic")))
    }

    @Test func aMessageReachesTheController() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        _ = try call(machine, "program", ["0xfee01000", "0x41", "false"])
        _ = try call(machine, "raise")
        _ = try call(machine, "raise")
        #expect(try seen(machine) == .text("fee01000=41 fee01000=41"))
    }

    @Test func whatIsMaskedIsPendingUntilItIsMaskedNoMore() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        _ = try call(machine, "raise")
        #expect(try call(machine, "pending") == .unsigned(1) && seen(machine) == .text(""), "masked at first")
        _ = try call(machine, "program", ["0xfee00000", "7", "true"])
        #expect(try seen(machine) == .text(""))
        _ = try call(machine, "program", ["0xfee00000", "7", "false"])
        #expect(try call(machine, "pending") == .unsigned(0) && seen(machine) == .text("fee00000=7"))
        _ = try call(machine, "program", ["0xfee00000", "8", "true"])
        _ = try call(machine, "raise")
        _ = try call(machine, "forget")
        _ = try call(machine, "program", ["0xfee00000", "8", "false"])
        #expect(try seen(machine) == .text("fee00000=7"), "what was forgotten does not come")
    }

    @Test func aThreadMayRaiseIt() async throws {
        let folder = try CountedTests.Folder()
        // STI; HLT; JMP to HLT
        try folder.write("image", [0xfb, 0xf4, 0xeb, 0xfd])
        let machine = try TestMachine(
            """
            machine: messages
            cpu: { engine: soft, interrupts: apic }
            memory: 1MiB
            boot: { plugin: flat, image: \(folder.path)/image }
            devices:
              - { id: apic, plugin: cascade }
              - { id: card, plugin: messenger }
            """)
        let task = try machine.run()
        _ = try call(machine.machine, "program", ["0xfee00000", "9", "false"])
        _ = try call(machine.machine, "raise_elsewhere")
        while try seen(machine.machine) != .text("fee00000=9") { try await Task.sleep(for: .milliseconds(1)) }
        machine.machine.stop(0, "it has come")
        _ = await task.value
    }

    @Test func whereNoControllerIsNamedAMessageIsLost() throws {
        let machine = try machine("")
        defer { machine.tearDown() }
        _ = try call(machine, "program", ["0xfee00000", "7", "false"])
        _ = try call(machine, "raise")
        #expect(try call(machine, "pending") == .unsigned(0) && seen(machine) == .text(""))
    }
}
