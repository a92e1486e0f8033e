import PluginKit
import Testing

@testable import FaultPlan

@Suite struct FaultPlanTests {
    private func exit(_ address: UInt64 = 0x71, reason: UInt16 = 30, write: Bool = false) -> bp_exit {
        var exit = bp_exit()
        exit.reason = reason
        exit.address = address
        exit.flags = write ? 1 : 0
        return exit
    }
    private func plan(seed: UInt64 = 1) -> FaultPlan {
        var plan = FaultPlan(seed: seed)
        plan.reasons = [30]
        plan.addresses = [0x70...0x71]
        return plan
    }

    @Test func onlyWhatIsNamedGoesWrong() {
        var plan = plan()
        func strikes(_ exits: bp_exit...) -> [Bool] { exits.map { plan.strikes($0) } }
        #expect(strikes(exit(), exit(0x72), exit(reason: 48)) == [true, false, false])
        plan.access = .write
        #expect(strikes(exit(), exit(write: true)) == [false, true])
        #expect(plan.injected == 2)
        #expect(plan.wants == [.init(reason: 30, range: 0x70...0x71)])
        plan.addresses = []
        #expect(plan.wants == [.init(reason: 30, range: 0...UInt64.max)])
    }

    @Test func aSeedRepeatsItsFaults() {
        func run(_ seed: UInt64) -> [Bool] {
            var plan = plan(seed: seed)
            plan.probability = 0.5
            return (0..<200).map { _ in plan.strikes(exit()) }
        }
        #expect(run(7) == run(7) && run(7) != run(8))
        let share = (1...50 as ClosedRange<UInt64>).map { run($0).count { $0 } }.reduce(0, +)
        #expect((4500...5500).contains(share))
    }

    @Test func neverAndAlwaysAreExact() {
        var plan = plan()
        plan.probability = 0
        let never = (0..<1000).count { _ in plan.strikes(exit()) }
        plan.probability = 1
        let always = (0..<1000).count { _ in plan.strikes(exit()) }
        #expect(never == 0 && always == 1000)
    }

    @Test func someGoWellFirstAndThereIsAnEnd() {
        var plan = plan()
        plan.skip = 2
        plan.limit = 3
        let struck = (0..<8).map { _ in plan.strikes(exit()) }
        #expect(struck == [false, false, true, true, true, false, false, false])
    }

    @Test func readsGiveTheWrongValueAndWritesKeepTheirs() {
        var plan = plan()
        var read = exit()
        plan.spoil(&read)
        #expect(read.value == .max)
        plan.effect = .zero
        plan.spoil(&read)
        #expect(read.value == 0)
        plan.effect = .random
        plan.spoil(&read)
        let first = read.value
        plan.spoil(&read)
        #expect(read.value != first)
        var write = exit(write: true)
        write.value = 5
        plan.spoil(&write)
        #expect(write.value == 5)
    }
}
