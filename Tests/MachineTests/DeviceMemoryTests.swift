import Core
import Foundation
import KernelImages
import Testing

/// Memory of a device's own: read and written as RAM is, and nobody's to load into.
@Suite(.serialized, .timeLimit(.minutes(30)))
struct DeviceMemoryTests {
    private func bare(_ kind: Int) throws -> Machine {
        let file = """
            machine: card
            cpu: { engine: kvm }
            memory: 1MiB
            devices:
              - { id: card, plugin: card, kind: \(kind) }
            """
        return try TestMachine(file, engine: false).machine
    }

    /// RAM (0), as plugins before ABI 1.4 asked for their video memory, is a device's; main memory (3) says so.
    @Test(arguments: [(0, ClaimSummary.Kind.device), (1, .rom), (2, .device), (3, .ram)])
    func aRegionsKindIsWhatTheTablesShow(_ kind: Int, _ shown: ClaimSummary.Kind) throws {
        let machine = try bare(kind)
        defer { machine.tearDown() }
        #expect(machine.claimSummaries().first { $0.owner == "card" }?.kind == shown)
        _ = machine.access(address: 0xE000_0010, width: 4, value: 0x1234_5678)
        #expect(machine.access(address: 0xE000_0010, width: 4) == (shown == .rom ? 0 : 0x1234_5678))
    }

    @Test func aResetChangesNoByteOfARegion() throws {
        let machine = try bare(2)
        defer { machine.tearDown() }
        _ = machine.access(address: 0xE000_0000, width: 1, value: 0x5A)
        let claims = machine.claimSummaries()
        for warm in [true, false] {
            machine.resetInstances(warm: warm)
            #expect(machine.access(address: 0xE000_0000, width: 1) == 0x5A)
            #expect(machine.claimSummaries() == claims)
        }
    }

    private func file(_ files: KernelFiles, _ name: String, _ kernel: String, card: String) -> String {
        files.machine(name, boot: "{ plugin: linux, kernel: \(kernel), command-line: a card }")
            .replacingOccurrences(of: "devices:\n", with: "devices:\n  - { id: card, plugin: card, \(card) }\n")
    }

    /// The guest answers with the number of ranges in its memory map: three, and one for the card.
    @Test(arguments: TestEngine.here, [1, 2, 3])
    func linuxIsToldOfTheCardsMemory(on engine: TestEngine, _ kind: Int) async throws {
        let files = try KernelFiles()
        let kernel = try files.write("vmlinuz", KernelFiles.bzImage(ProbeGuest.linux64))
        let name = "card-memory-\(kind)"
        let recorder = Recorder(name)
        let end = try TestMachine(file(files, name, kernel, card: "kind: \(kind)"), on: engine).run()
        #expect(await recorder.waits(for: "a card"))
        recorder.type("q")
        #expect(await end.value.status == 9)
    }

    /// The kernel wants 16 MiB and up.
    @Test func aKernelIsNotLoadedIntoADevicesMemory() throws {
        let files = try KernelFiles()
        let kernel = try files.write("vmlinuz", KernelFiles.bzImage(ProbeGuest.linux64))
        func failure(_ kind: Int) -> String {
            _ = Recorder("card-kernel")
            do {
                let card = "at: 0x1000000, kind: \(kind)"
                try TestMachine(file(files, "card-kernel", kernel, card: card), engine: false).machine.tearDown()
                return ""
            } catch { return "\(error)" }
        }
        #expect(failure(0).contains("which is not all RAM"))
        #expect(failure(2).contains("which is not all RAM"))
        #expect(failure(3) == "")
    }
}
