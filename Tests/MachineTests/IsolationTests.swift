import Core
import Foundation
import Testing

/// One guest writes and reads everywhere that it can reach; another one is watched meanwhile.
@Suite(.serialized, .timeLimit(.minutes(30)))
struct IsolationTests {
    /// 32-bit, at 0x7c00. Of every port but 0x5f0 to 0x60f it reads and writes one, two and four bytes; it fills its RAM from 0x9000 to 512 KiB
    /// with 0x5a; writes and reads a word of every page to 16 MiB and of every 64 KiB to 4 GiB; then, by PAE and a window of 2 MiB at 0x200000,
    /// of every 32 MiB from 4 to 64 GiB; and ends with (9 << 1) | 1 by port 0x600.
    private static let intruder: [UInt8] = [
        0x31, 0xc9, 0x89, 0xca, 0x8d, 0x42, 0x10, 0x25, 0xe0, 0xff, 0x00, 0x00, 0x3d, 0x00, 0x06, 0x00,
        0x00, 0x74, 0x11, 0xec, 0x30, 0xc0, 0xee, 0xb8, 0x5a, 0x5a, 0x5a, 0x5a, 0xef, 0xed, 0x66, 0xb8,
        0x5a, 0x5a, 0x66, 0xef, 0x41, 0x81, 0xf9, 0x00, 0x00, 0x01, 0x00, 0x75, 0xd5, 0xbf, 0x00, 0x90,
        0x00, 0x00, 0xb9, 0x00, 0xdc, 0x01, 0x00, 0xb8, 0x5a, 0x5a, 0x5a, 0x5a, 0xf3, 0xab, 0xbb, 0x00,
        0x00, 0x08, 0x00, 0x89, 0x03, 0x8b, 0x13, 0x81, 0xc3, 0x00, 0x10, 0x00, 0x00, 0x81, 0xfb, 0x00,
        0x00, 0x00, 0x01, 0x75, 0xee, 0x89, 0x03, 0x8b, 0x13, 0x81, 0xc3, 0x00, 0x00, 0x01, 0x00, 0x75,
        0xf4, 0xc7, 0x05, 0x00, 0x80, 0x00, 0x00, 0x01, 0x90, 0x00, 0x00, 0xc7, 0x05, 0x04, 0x80, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x31, 0xc0, 0xbf, 0x00, 0x90, 0x00, 0x00, 0xb9, 0x00, 0x04, 0x00,
        0x00, 0xf3, 0xab, 0xbf, 0x08, 0x80, 0x00, 0x00, 0xb9, 0x06, 0x00, 0x00, 0x00, 0xf3, 0xab, 0xc7,
        0x05, 0x00, 0x90, 0x00, 0x00, 0x83, 0x00, 0x00, 0x00, 0xc7, 0x05, 0x08, 0x90, 0x00, 0x00, 0x83,
        0x00, 0x00, 0x00, 0xc7, 0x05, 0x0c, 0x90, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0xb8, 0x30, 0x00,
        0x00, 0x00, 0x0f, 0x22, 0xe0, 0xb8, 0x00, 0x80, 0x00, 0x00, 0x0f, 0x22, 0xd8, 0x0f, 0x20, 0xc0,
        0x0d, 0x00, 0x00, 0x00, 0x80, 0x0f, 0x22, 0xc0, 0xc7, 0x05, 0x00, 0x00, 0x20, 0x00, 0x5a, 0x5a,
        0x5a, 0x5a, 0xa1, 0x00, 0x00, 0x20, 0x00, 0x81, 0x05, 0x08, 0x90, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x02, 0x83, 0x15, 0x0c, 0x90, 0x00, 0x00, 0x00, 0xb8, 0x00, 0x80, 0x00, 0x00, 0x0f, 0x22, 0xd8,
        0x83, 0x3d, 0x0c, 0x90, 0x00, 0x00, 0x10, 0x75, 0xcf, 0xb0, 0x09, 0x66, 0xba, 0x00, 0x06, 0xee,
        0xf4,
    ]

    /// On KVM it ends before it pages: hosts whose KVM emulates supervisor code do not get that far.
    private static func intruder(on engine: TestEngine, end: [UInt8] = Array(intruder.suffix(8))) -> [UInt8] {
        (engine == .kvm ? intruder.prefix(97) : intruder.dropLast(8)) + end
    }

    /// What the intruder could change of the other.
    private struct Outcome: Equatable {
        var memory: [UInt8]
        var registers: [UInt64]
        var tally: String
        var lfsr: String
        var exits: [UInt64]
        var lines: [Bool]
        var resets: UInt64
        var status: MachineStatus

        init(_ machine: Machine) throws {
            memory = try machine.readMemory(physical: 0, count: 1 << 20)
            let all = try machine.registers()
            registers = [all.rip, all.rflags, all.general.0, all.general.1, all.general.2, all.cr0, all.cr3]
            tally = try ["count", "gaps", "kept"].map { try machine.invoke($0, [], on: "tally").text }.joined(
                separator: " ")
            lfsr = try machine.invoke("state", [], on: "lfsr").text
            exits = machine.policyExits
            lines = machine.lineSummaries().map(\.level)
            resets = machine.resetCount
            status = machine.runStatus
        }
    }

    private func machine(
        _ image: String, _ seat: GuestSeat, on engine: TestEngine, _ devices: String
    ) throws -> TestMachine {
        try TestMachine(
            """
            machine: guest
            memory: 1MiB
            cpu: { interrupts: pic }
            boot: { plugin: flat, image: \(image), mode: protected }
            policies:
              - { id: stats, plugin: stats, at-end: off }
              - { id: rules, plugin: standard }
            devices:
              - { id: pic, plugin: pic8259 }
              - { id: lfsr, plugin: lfsr, at: 0x1e0, seed: 7 }
              - { id: tally, plugin: tally }
            \(devices)
            """, on: engine, seat: seat)
    }

    @Test(arguments: TestEngine.here) func noAccessOfAGuestReachesAnother(_ engine: TestEngine) async throws {
        let folder = try CountedTests.Folder()
        try folder.write("intruder", Self.intruder(on: engine))
        // sti; l: hlt; jmp l, and a pattern to the end of a 64 KiB image.
        let victim: [UInt8] =
            [0xfb, 0xf4, 0xeb, 0xfd] + (4..<65536).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }
        try folder.write("victim", victim)
        let board = GuestBoard(names: ["victim", "intruder"])
        // What the intruder would end or reset if it reached it: ports 0x501, 0x64, 0x92, 0xcf9.
        let watched = try machine(
            "\(folder.path)/victim", board.seat(0), on: engine,
            "  - { id: exit, plugin: debug-exit }\n  - { id: reset, plugin: reset-control }")
        let other = try machine(
            "\(folder.path)/intruder", board.seat(1), on: engine, "  - { id: exit, plugin: debug-exit, at: 0x600 }")
        let victimEnd = try watched.run()
        try await GuestTests.eventually { watched.machine.haltedTime > 0 }
        let before = try Outcome(watched.machine)
        #expect(Array(before.memory[0x7c00..<0x17c00]) == victim)

        let intruderEnd = try other.run()
        var looks = 0
        while !board.summaries[1].hasEnded {
            #expect(try Outcome(watched.machine) == before)
            looks += 1
            try await Task.sleep(for: .milliseconds(20))
        }
        #expect(await intruderEnd.value.status == 9 << 1 | 1)
        #expect(looks > 0)
        #expect(try Outcome(watched.machine) == before)
        #expect(other.machine.policyExits[0] > 2 * 65536)
        watched.machine.stop(0, "")
        #expect(await victimEnd.value.status == 0)
    }

    /// The same intruder finds its own RAM and its own devices: what the test above watches does change where it is reached.
    @Test(arguments: TestEngine.here) func theIntruderReachesItsOwn(_ engine: TestEngine) async throws {
        let folder = try CountedTests.Folder()
        // As above, but it spins at the end: jmp $ in place of the write to port 0x600.
        try folder.write("intruder", Self.intruder(on: engine, end: [0xeb, 0xfe]))
        let test = try machine("\(folder.path)/intruder", GuestBoard(names: ["alone"]).seat(0), on: engine, "")
        let end = try test.run()
        try await GuestTests.eventually {
            (try? test.machine.readMemory(physical: 0x7ff00, count: 4)) == [0x5a, 0x5a, 0x5a, 0x5a]
        }
        if engine == .soft {
            try await GuestTests.eventually { (try? test.machine.registers().cr0 & 1 << 31) ?? 0 != 0 }
        }
        let memory = try test.machine.readMemory(physical: 0x10000, count: 0x70000)
        #expect(memory.allSatisfy { $0 == 0x5a })
        #expect(try test.machine.invoke("count", [], on: "tally").text != "0")
        test.machine.stop(0, "")
        _ = await end.value
    }
}
