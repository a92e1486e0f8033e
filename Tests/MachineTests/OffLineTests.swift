import Core
import Synchronization
import Testing

/// Instances that are taken off line, reset and brought back while the guest runs.
@Suite(.serialized, .timeLimit(.minutes(30)))
struct OffLineTests {
    private func tour(_ name: String, on engine: TestEngine, onFault: String = "offline") async throws -> (
        TestMachine, Recorder, Task<MachineEnd, Never>
    ) {
        let recorder = Recorder(name)
        let device = "  - { id: bad, plugin: faulty, irq: pic.5, on-fault: \(onFault) }\n"
        let machine = try TestMachine(TourTests.file(name, devices: device), on: engine)
        let end = try machine.run()
        #expect(await recorder.waits(for: "tour> "))
        return (machine, recorder, end)
    }

    @Test(arguments: TestEngine.here) func aFaultyDeviceIsBroughtBackAndTheGuestGoesOn(on engine: TestEngine)
        async throws
    {
        let (test, recorder, end) = try await tour("off-line", on: engine)
        let machine = test.machine
        let events = Mutexed<[MachineEvent]>([])
        machine.onEvent { event in events.update { $0.append(event) } }
        func bad() -> InstanceSummary? { machine.instanceSummaries().first { $0.description.id == "bad" } }

        recorder.type("out 0x300 9\rin 0x300\r")
        #expect(await recorder.waits(for: "port 0x0300: 0xff"))
        #expect(bad()?.isOffline == true && bad()?.offlineReason == "the guest wrote 9")
        // Its line has dropped.
        #expect(machine.lineSummaries().first { $0.drivers == ["bad"] }?.level == false)
        #expect(throws: MachineError.self) { try machine.takeOffline("bad") }
        #expect(throws: MachineError.self) { try machine.resetInstance("bad") }

        try machine.bringOnline("bad")
        #expect(bad()?.isOffline == false && bad()?.offlineReason == "")
        // It asserts it in its reset.
        #expect(machine.lineSummaries().first { $0.drivers == ["bad"] }?.level == true)
        recorder.type("in 0x300\r")
        #expect(await recorder.waits(for: "port 0x0300: 0x42"))
        #expect(throws: MachineError.self) { try machine.bringOnline("bad") }

        // By the operator, and again by a fault.
        try machine.takeOffline("bad")
        recorder.type("in 0x300\r")
        #expect(await recorder.waits(for: "port 0x0300: 0xff", times: 2))
        try machine.bringOnline("bad")
        try machine.resetInstance("bad")
        recorder.type("out 0x300 8\rin 0x300\r")
        #expect(await recorder.waits(for: "port 0x0300: 0xff", times: 3))
        #expect(
            events.current == [
                .offline(instance: "bad", reason: "the guest wrote 9"), .online(instance: "bad"),
                .offline(instance: "bad", reason: "the operator"), .online(instance: "bad"),
                .offline(instance: "bad", reason: "the guest wrote 8"),
            ])
        recorder.type("off\r")
        #expect(await end.value.status == 0)
        #expect(throws: MachineError.self) { try machine.bringOnline("bad") }
    }

    @Test(arguments: TestEngine.here) func theDiskComesBackWithItsData(on engine: TestEngine) async throws {
        let (test, recorder, end) = try await tour("off-line-disk", on: engine)
        let whole = recorder.lines.filter { $0.hasPrefix("disk:") }
        #expect(!whole.isEmpty && !whole.contains { $0.contains("absent") })
        try test.machine.takeOffline("hd0")
        recorder.type("disk\r")
        #expect(await recorder.waits(for: "tour> ", times: 2))
        #expect(Array(recorder.lines.filter { $0.hasPrefix("disk:") }.dropFirst(whole.count)) != whole)
        try test.machine.bringOnline("hd0")
        recorder.type("disk\r")
        #expect(await recorder.waits(for: "tour> ", times: 3))
        #expect(Array(recorder.lines.filter { $0.hasPrefix("disk:") }.suffix(whole.count)) == whole)
        recorder.type("off\r")
        #expect(await end.value.status == 0)
    }

    @Test func whatCannotBeDoneIsSaid() async throws {
        let (test, recorder, end) = try await tour("off-line-errors", on: .soft)
        func failure(_ body: () throws -> Void) -> String {
            do { try body() } catch { return "\(error)" }
            return "it did not fail"
        }
        #expect(failure { try test.machine.takeOffline("nobody") }.contains("no instance 'nobody'"))
        #expect(failure { try test.machine.bringOnline("bad") }.contains("'bad' is on line"))
        let loader = test.machine.instanceSummaries().first { $0.description.type.kind == .loader }?.description.id
        #expect(failure { try test.machine.takeOffline(loader ?? "") }.contains("boot loader"))
        recorder.type("off\r")
        #expect(await end.value.status == 0)
    }
}
