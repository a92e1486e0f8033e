import Core
import PluginKit
import Testing

/// A medium that takes requests and never completes them.
final class StuckDisk: Instance {
    static let definition = ClassDefinition.backend(
        "stuck-disk", summary: "owes everything", provides: [Provides("block/1", doc: "a medium")],
        make: { (host, values) in StuckDisk(host) })

    override func blockInfo(_ index: UInt32) -> bp_block_info? {
        var info = bp_block_info()
        (info.sector_size, info.sectors) = (512, 1024)
        return info
    }
}

/// Answers that are owed for longer than the watchdog waits.
@Suite(.serialized, .timeLimit(.minutes(30)))
struct DebtTests {
    @Test func aBlockRequestThatIsNeverCompletedIsNamedWithBothEnds() async throws {
        let file = """
            machine: debts
            cpu: { engine: kvm, interrupts: pic }
            memory: 1MiB
            watchdog: 1s
            devices:
              - { id: pic, plugin: pic8259 }
              - { id: hd0, plugin: ata, at: 0x1f0, control: 0x3f6, irq: pic.14, block: disk }
            backends:
              - { id: disk, plugin: stuck-disk }
            """
        let test = try TestMachine(file, engine: false)
        let machine = test.machine
        try machine.start()
        defer { machine.tearDown() }
        machine.resetInstances(warm: false)
        #expect(machine.debtSummaries.isEmpty)
        // READ SECTORS: LBA 0, one sector, drive 0.
        for (port, value) in [(0x1f6, 0xe0), (0x1f2, 1), (0x1f3, 0), (0x1f4, 0), (0x1f5, 0), (0x1f7, 0x20)] {
            _ = machine.access(port: UInt16(port), width: 1, value: UInt64(value))
        }
        machine.advance(to: 1_000_000_000)
        let sentence = "disk: owes 'hd0' the completion of a block request, for 1 s"
        _ = await patiently { test.log.current.contains { $0.contains(sentence) } }
        #expect(test.log.current.contains { $0.hasPrefix("warning disk: owes") }, "\(test.log.current)")
        let debt = try #require(machine.debtSummaries.first)
        #expect(debt.instance == "disk" && debt.text.hasPrefix("owes 'hd0' the completion of a block request, for "))
        // A reset cancels what was asked for: nothing is owed any more.
        machine.resetInstances(warm: true)
        #expect(machine.debtSummaries.isEmpty)
    }
}
