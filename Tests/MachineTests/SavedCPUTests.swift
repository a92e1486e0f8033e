import Core
import Foundation
import Testing

/// A CPU's state out of a machine that runs, and back into it.
@Suite(.serialized, .timeLimit(.minutes(5)))
struct SavedCPUTests {
    /// At 0x7c00, 32-bit: HLT; behind it EAX counts up and goes to 0x9000.
    static let guest: [UInt8] = [
        0xfb,  // 7c00: sti
        0xf4,  // 7c01: hlt
        0x40,  // 7c02: inc eax
        0xa3, 0x00, 0x90, 0x00, 0x00,  // 7c03: mov [0x9000],eax
        0xeb, 0xf8,  // 7c08: jmp 7c02
    ]

    private static func activity(_ machine: Machine) throws -> StateBuffer.Content? {
        try machine.saveCPU(0).fields["activity"]?.content
    }

    private static func count(_ machine: Machine) throws -> [UInt8] {
        try machine.readMemory(physical: 0x9000, count: 4)
    }

    @Test(arguments: TestEngine.here) func aCPUThatWaitsInHLTBecomesWhatIsLoaded(engine: TestEngine) async throws {
        let image = FileManager.default.temporaryDirectory.appendingPathComponent("bp-\(UUID().uuidString).img")
        try Data(Self.guest).write(to: image)
        defer { try? FileManager.default.removeItem(at: image) }
        let test = try TestMachine(
            """
            machine: saved
            memory: 1MiB
            boot: { plugin: flat, image: \(image.path), mode: protected }
            policies:
              - { id: rules, plugin: standard }
            devices:
              - { id: exit, plugin: debug-exit }
              - { id: reset, plugin: reset-control }
            """, on: engine)
        let machine = test.machine
        let task = try test.run()
        for _ in 0..<2 {
            try await GuestTests.eventually { (try? Self.activity(machine)) == .unsigned(1) }
            let halted = try machine.saveCPU(0)
            let before = try Self.count(machine)
            var fields = halted.fields
            fields["activity"] = .init(content: .unsigned(0))
            // What no CPU can hold leaves it in HLT.
            fields["cr8"] = .init(content: .unsigned(99))
            #expect(throws: MachineError.self) {
                try machine.loadCPU(StateBuffer(version: halted.version, fields: fields), vcpu: 0)
            }
            #expect(try Self.activity(machine) == .unsigned(1))
            fields["cr8"] = halted.fields["cr8"]
            try machine.loadCPU(StateBuffer(version: halted.version, fields: fields), vcpu: 0)
            try await GuestTests.eventually { (try? Self.count(machine)) != before }
            #expect(try Self.activity(machine) == .unsigned(0))
            try machine.loadCPU(halted, vcpu: 0)
        }
        #expect(throws: MachineError.self) { try machine.saveCPU(1) }
        machine.stop(0, "")
        #expect(await task.value.status == 0)
    }
}
