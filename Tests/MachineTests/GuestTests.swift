import Core
import EngineSoft
import Foundation
import MachineFile
import PluginKit
import Testing

/// Several machines in one process.
@Suite(.serialized, .timeLimit(.minutes(30)))
struct GuestTests {
    /// Machines of one board that run, each with a tally.
    final class Group: @unchecked Sendable {
        let board: GuestBoard
        private(set) var machines: [Machine] = []
        private(set) var logs: [Mutexed<[String]>] = []
        private var ends: [Task<MachineEnd, Never>] = []

        /// Each guest's code and policies. They have begun, but for where `start` is false. `failing` has an engine that cannot run.
        init(
            _ guests: [(code: [UInt8], policies: String)], on engine: TestEngine = .soft, memory: String = "1MiB",
            mode: String = "real", devices: [String] = [], start: Bool = true, failing: Int? = nil
        ) throws {
            board = GuestBoard(names: guests.indices.map { "guest\($0 + 1)" })
            for (index, guest) in guests.enumerated() {
                let image = FileManager.default.temporaryDirectory.appendingPathComponent("bp-\(UUID().uuidString).img")
                try Data(guest.code).write(to: image)
                defer { try? FileManager.default.removeItem(at: image) }
                let more = devices.indices.contains(index) ? devices[index] : ""
                let test = try TestMachine(
                    """
                    machine: guest\(index + 1)
                    memory: \(memory)
                    boot: { plugin: flat, image: \(image.path), mode: \(mode) }
                    policies:
                    \(guest.policies.isEmpty ? "" : "  - \(guest.policies)\n")  - { id: rules, plugin: standard }
                    devices:
                      - { id: tally, plugin: tally }
                    \(more)
                    """, on: engine, seat: board.seat(index),
                    makeEngine: index == failing ? { (_) throws(MachineError) in FailingEngine() } : nil)
                machines.append(test.machine)
                logs.append(test.log)
                ends.append(Task { MachineEnd(status: -1, reason: "") })
            }
            guard start else { return }
            for index in machines.indices { try self.start(index) }
        }

        func start(_ index: Int) throws {
            try machines[index].start()
            ends[index] = Task.detached { [machine = machines[index]] in
                await withCheckedContinuation { continuation in
                    Thread.detachNewThread { continuation.resume(returning: machine.waitForEnd()) }
                }
            }
        }

        func tally(_ index: Int) -> UInt64 {
            guard case .unsigned(let number)? = try? machines[index].invoke("count", [], on: "tally") else { return 0 }
            return number
        }
        func mayRun(_ index: Int) -> Bool { board.summaries[index].mayRun }
        func end(_ index: Int) async -> MachineEnd { await ends[index].value }
        func endAll() async -> [Int32] {
            for machine in machines { machine.stop(0, "") }
            var statuses: [Int32] = []
            for end in ends { statuses.append(await end.value.status) }
            return statuses
        }
        func policy(_ text: String, for index: Int) throws -> InstanceDescription {
            let ids = Set(machines[index].instanceSummaries().map(\.description.id))
            return try PolicyRequest(text: text).description(taken: ids, catalog: TestPlugins())
        }

        /// Until guest `index` has counted `more`.
        func counts(_ index: Int, _ more: UInt64 = 1000) async throws {
            let begin = tally(index)
            try await eventually { self.tally(index) >= begin + more }
        }
        /// Its CPU and clock stand still.
        func standsStill(_ index: Int) async throws -> Bool {
            // What was under way when the right was withdrawn ends first.
            _ = machines[index].atQuietPoint {}
            let before = (tally(index), machines[index].virtualTime)
            try await Task.sleep(for: .milliseconds(50))
            return before == (tally(index), machines[index].virtualTime)
        }
    }

    static func eventually(_ condition: () -> Bool) async throws {
        #expect(await patiently(condition))
    }

    private static let foreground = "{ id: hotkey, plugin: hotkey, schedule: foreground }"
    private static func turn(_ quantum: String) -> String {
        "{ id: hotkey, plugin: hotkey, schedule: round-robin, quantum: \(quantum) }"
    }
    private static let counting = LivePolicyTests.counting
    /// cli; hlt
    private static let off: [UInt8] = [0xfa, 0xf4]

    // MARK: Schedules

    @Test(arguments: TestEngine.here) func withoutAPolicyAllGoOn(_ engine: TestEngine) async throws {
        let group = try Group([(Self.counting, ""), (Self.counting, "")], on: engine)
        try await group.counts(0)
        try await group.counts(1)
        group.board.bring(1)
        try await group.counts(0)
        try await group.counts(1)
        #expect(await group.endAll() == [0, 0])
    }

    @Test(arguments: TestEngine.here) func inTheBackgroundAGuestAndItsClockStandStill(_ engine: TestEngine) async throws
    {
        let group = try Group([(Self.counting, Self.foreground), (Self.counting, Self.foreground)], on: engine)
        for (front, back) in [(0, 1), (1, 0), (0, 1)] {
            group.board.bring(front)
            #expect(try await group.standsStill(back))
            try await group.counts(front)
            #expect(!group.mayRun(back) && group.mayRun(front))
        }
        #expect(await group.endAll() == [0, 0])
    }

    @Test(arguments: TestEngine.here) func inTurnAllCountAndShareTheTime(_ engine: TestEngine) async throws {
        let policy = Self.turn("20ms")
        let group = try Group([(Self.counting, policy), (Self.counting, policy), (Self.counting, policy)], on: engine)
        for index in 0..<3 { try await group.counts(index, 100) }
        let begin = ContinuousClock.now
        let before = group.machines.map(\.virtualTime)
        for index in [2, 1, 0] { try await group.counts(index, 100) }
        try await Task.sleep(for: .milliseconds(300))
        let own = zip(group.machines.map(\.virtualTime), before).map { Double($0 - $1) / 1e9 }
        let all = (ContinuousClock.now - begin) / .seconds(1)
        // Three clocks that go all the time would make three times as much.
        #expect(own.reduce(0, +) < all * 2, "\(own) of \(all) s")
        #expect(own.allSatisfy { $0 > 0 })
        #expect(await group.endAll() == [0, 0, 0])
    }

    @Test func aGuestThatHaltsDoesNotUseItsTurnUp() async throws {
        let policy = Self.turn("10s")
        // xor eax,eax; inc eax; mov dx,0x330; out dx,eax; sti; l: hlt; jmp l
        let halting: [UInt8] = [
            0x66, 0x31, 0xc0, 0x66, 0x40, 0xba, 0x30, 0x03, 0x66, 0xef, 0xfb, 0xf4, 0xeb, 0xfd,
        ]
        let group = try Group([(halting, policy), (Self.counting, policy)], start: false)
        try group.start(0)
        // It takes its turn before there is another guest that could, or it would wait for that one's ten seconds.
        try await Self.eventually { group.tally(0) == 1 }
        let begin = ContinuousClock.now
        try group.start(1)
        try await group.counts(1)
        // Its clock goes on all the while.
        let time = group.machines[0].virtualTime
        try await Task.sleep(for: .milliseconds(20))
        #expect(group.machines[0].virtualTime > time)
        #expect(group.mayRun(0) && group.mayRun(1))
        #expect(ContinuousClock.now - begin < .seconds(10))
        #expect(await group.endAll() == [0, 0])
    }

    @Test func aStoppedGuestDoesNotHoldTheTurn() async throws {
        let policy = Self.turn("10s")
        let group = try Group([(Self.counting, policy), (Self.counting, policy)])
        let holder = group.mayRun(0) ? 0 : 1
        try await group.counts(holder, 1)
        group.machines[holder].setStopped(true)
        try await group.counts(1 - holder)
        #expect(await group.endAll() == [0, 0])
    }

    @Test func takingThePolicyOutSetsItsGuestFree() async throws {
        let group = try Group([(Self.counting, ""), (Self.counting, Self.foreground)])
        #expect(try await group.standsStill(1))
        try group.machines[1].removePolicy("hotkey")
        try await group.counts(1)
        #expect(group.board.summaries[1].mode == .always)
        // A second one is obeyed, and once it has gone the first one again.
        try group.machines[1].insertPolicy(try group.policy("a=hotkey,schedule=foreground", for: 1), at: .first)
        try group.machines[1].insertPolicy(try group.policy("b=hotkey,schedule=all", for: 1), at: .last)
        try await group.counts(1)
        try group.machines[1].removePolicy("b")
        #expect(try await group.standsStill(1))
        try group.machines[1].setProperty("schedule", of: "a", to: .choice("all", index: 0))
        try await group.counts(1)
        #expect(await group.endAll() == [0, 0])
    }

    // MARK: Standing still, and what comes then

    @Test func aGuestThatStandsStillCanBeStoppedResetAndEnded() async throws {
        let group = try Group([(Self.counting, Self.foreground), (Self.counting, Self.foreground)])
        try await group.counts(0)
        let back = group.machines[1]
        back.setStopped(true)
        #expect(back.runStatus == .paused)
        group.board.bring(1)
        #expect(try await group.standsStill(1))
        back.setStopped(false)
        try await group.counts(1)
        group.board.bring(0)
        #expect(try await group.standsStill(1))
        back.reset()
        try await Self.eventually { back.resetCount == 1 }
        #expect(try await group.standsStill(1))
        group.board.bring(1)
        try await group.counts(1)
        // The guest counts from 1 again after its reset: one gap, if it had counted at all.
        group.board.bring(0)
        #expect(try await group.standsStill(1))
        back.stop(8, "enough")
        #expect(await group.end(1).status == 8)
        try await group.counts(0)
        #expect(await group.endAll() == [0, 8])
    }

    // MARK: Ends and faults

    @Test(arguments: TestEngine.here) func whoCrashesOrFaultsLeavesTheOthersRunning(_ engine: TestEngine) async throws {
        // 32-bit: lidt [0x7c10]; ud2; an empty table. And: mov al,7; mov edx,0x300; out dx,al; jmp $. And 32-bit counting.
        let crash: [UInt8] =
            [0x0f, 0x01, 0x1d, 0x10, 0x7c, 0x00, 0x00, 0x0f, 0x0b] + [UInt8](repeating: 0x90, count: 7)
            + [UInt8](repeating: 0, count: 8)
        let fault: [UInt8] = [0xb0, 0x07, 0xba, 0x00, 0x03, 0x00, 0x00, 0xee, 0xeb, 0xfe]
        let count: [UInt8] = [0x31, 0xc0, 0x40, 0xba, 0x30, 0x03, 0x00, 0x00, 0xef, 0xeb, 0xf7]
        let stops = "{ id: first, plugin: standard, triple-fault: stop }"
        let group = try Group(
            [(crash, stops), (fault, ""), (count, "")], on: engine, mode: "protected",
            devices: ["", "  - { id: trap, plugin: faulty }", ""])
        #expect(await group.end(0).status != 0)
        let faulted = await group.end(1)
        #expect(faulted.status == 4 && faulted.reason.contains("'trap'"))
        try await Self.eventually { group.board.foreground == 2 }
        try await group.counts(2)
        #expect(group.board.summaries.map(\.hasEnded) == [true, true, false])
        let statuses = await group.endAll()
        #expect(statuses[2] == 0)
        #expect(group.board.foreground == nil)
    }

    @Test func anEngineThatFailsEndsItsOwnMachine() async throws {
        let group = try Group([(Self.counting, ""), (Self.counting, "")], failing: 0)
        let end = await group.end(0)
        #expect(end.status == 6 && end.reason.contains("the host is on fire"))
        try await Self.eventually { group.board.foreground == 1 }
        try await group.counts(1)
        #expect(await group.endAll() == [6, 0])
    }

    @Test func guestsThatEndAtOnceWhileTheForegroundMovesLeaveNobodyBehind() async throws {
        for round in 0..<20 {
            let policy = round % 2 == 0 ? Self.turn("1ms") : Self.foreground
            let group = try Group([(Self.off, policy), (Self.off, policy), (Self.counting, policy)], start: false)
            let stop = Mutexed(false)
            Thread.detachNewThread {
                while !stop.current { group.board.bringNext() }
            }
            for index in 0..<3 { try group.start(index) }
            #expect(await group.end(0).status == 0)
            #expect(await group.end(1).status == 0)
            group.machines[2].stop(0, "")
            #expect(await group.end(2).status == 0)
            stop.update { $0 = true }
            #expect(group.board.foreground == nil)
        }
    }

    // MARK: Policies that switch

    /// mov al,N; mov dx,0x340; out dx,al; jmp to counting
    private static func switching(to number: UInt8) -> [UInt8] { [0xb0, number, 0xba, 0x40, 0x03, 0xee] + counting }
    private static let switcher = "{ id: switcher, plugin: switcher }"

    @Test(arguments: TestEngine.here) func aVerdictBringsAnotherGuestAndItsOwnGoesOn(_ engine: TestEngine) async throws
    {
        let group = try Group(
            [(Self.switching(to: 3), Self.switcher), (Self.counting, ""), (Self.counting, "")], on: engine)
        try await group.counts(0)
        #expect(group.board.foreground == 2)
        #expect(await group.endAll() == [0, 0, 0])
    }

    @Test(arguments: [UInt8(9), 255]) func aGuestThatThereIsNotIsAnErrorInTheLog(_ number: UInt8) async throws {
        let group = try Group([(Self.switching(to: number), Self.switcher), (Self.counting, "")])
        try await group.counts(0)
        #expect(group.board.foreground == 0)
        #expect(group.logs[0].current.contains { $0.hasPrefix("error switcher: asks for guest \(number) ") })
        #expect(await group.endAll() == [0, 0])
    }

    @Test func theHotkeyPolicySwitchesByItsMethod() async throws {
        let group = try Group([(Self.counting, "{ id: hotkey, plugin: hotkey }"), (Self.counting, "")])
        _ = try group.machines[0].invoke("switch", ["2"], on: "hotkey")
        #expect(group.board.foreground == 1)
        _ = try group.machines[0].invoke("switch", ["0"], on: "hotkey")
        #expect(group.board.foreground == 0)
        #expect(throws: MethodError.self) { _ = try group.machines[0].invoke("switch", ["3"], on: "hotkey") }
        let text = try group.machines[0].invoke("status", [], on: "hotkey").text
        #expect(text == "schedule: all\n1 guest1, this one, in the foreground\n2 guest2\n")
        #expect(await group.endAll() == [0, 0])
    }

    /// in al,dx of a port that reads 0x42; then counting.
    @Test(arguments: TestEngine.here) func aKeyThatTheGuestReadsHandsOver(_ engine: TestEngine) async throws {
        let reading: [UInt8] = [0xba, 0x00, 0x03, 0xec] + Self.counting
        for (key, foreground) in [("0x42", 1), ("0x43", 0)] {
            let policy = "{ id: hotkey, plugin: hotkey, key: \(key), port: 0x300 }"
            let group = try Group(
                [(reading, policy), (Self.counting, "")], on: engine, devices: ["  - { id: trap, plugin: faulty }"])
            try await group.counts(0)
            #expect(group.board.foreground == foreground)
            #expect(await group.endAll() == [0, 0])
        }
    }

    // MARK: Counted time

    @Test(.enabled(if: FileManager.default.fileExists(atPath: TestPlugins.tour)))
    func takingTurnsChangesNoCountedRun() async throws {
        func machine(_ folder: CountedTests.Folder, _ seat: GuestSeat?) throws -> TestMachine {
            try folder.write("in", Array("help\rticks\rtime\rexit 5\r".utf8))
            return try TestMachine(
                """
                machine: counted
                clock: { mode: counted }
                cpu: { engine: soft, interrupts: pic }
                memory: 16MiB
                boot: { plugin: multiboot, kernel: \(TestPlugins.tour) }
                policies:
                  - \(Self.turn("1ms"))
                  - { id: rules, plugin: standard }
                devices:
                  - { id: pic, plugin: pic8259 }
                  - { id: pit, plugin: pit8254, irq: pic.0 }
                  - { id: rtc, plugin: rtc146818, irq: pic.8 }
                  - { id: com1, plugin: uart16550, irq: pic.4, stream: term }
                  - { id: hd0, plugin: ata, irq: pic.14, block: disk }
                  - { id: exit, plugin: debug-exit }
                backends:
                  - { id: term, plugin: file, path: \(folder.path)/out, input: \(folder.path)/in }
                  - { id: disk, plugin: ram-disk, size: 1MiB }
                """, seat: seat)
        }
        let alone = try CountedTests.Folder()
        let reference = try machine(alone, nil)
        #expect(try await reference.run().value.status == 11)
        let summary = try #require(reference.machine.countedSummary)
        let folders = [try CountedTests.Folder(), try CountedTests.Folder()]
        let board = GuestBoard(names: ["a", "b"])
        let both = [try machine(folders[0], board.seat(0)), try machine(folders[1], board.seat(1))]
        let ends = [try both[0].run(), try both[1].run()]
        for index in 0..<2 {
            #expect(await ends[index].value.status == 11)
            #expect(both[index].machine.countedSummary == summary)
            #expect(folders[index].read("out") == alone.read("out"))
        }
    }
}

/// An engine whose CPU cannot run.
private final class FailingEngine: Engine {
    let name = "failing"
    let abilities = SoftEngine().abilities
    func updateMemory(_ range: ClosedRange<UInt64>, _ memory: [MappedMemory]) throws(EngineError) {}
    func setIntercepts(_ intercepts: Intercepts) throws(EngineError) {}
    func didWriteCode(page: UInt64) {}
    func makeCPU(_ vcpu: VCPU) throws(EngineError) -> any CPU { FailingCPU() }
}

private final class FailingCPU: CPU {
    func run() -> RunEnd { .failed(EngineError("the host is on fire")) }
    func kick() {}
    func reset() throws(EngineError) {}
    func registers() throws(EngineError) -> bp_registers { bp_registers() }
    func setRegisters(_ registers: bp_registers) throws(EngineError) {}
    func completePending() throws(EngineError) {}
    func setDebug(_ control: DebugControl) throws(EngineError) {}
    func translate(_ linear: UInt64) throws(EngineError) -> UInt64? { nil }
    func didPause(nanoseconds: UInt64) {}
}
