// A program that is stopped at any instruction, saved, and loaded into another CPU with the same memory goes on as if nothing had been: the same registers,
// x87 and SSE state, pending events, time stamps and memory, however its code is run.

import CHost
import Glibc
import Testing

@testable import Core
@testable import EngineSoft

@Suite(.serialized) struct SavedProgramTests {
    private static let instructions: UInt64 = 1500
    /// For one program, in microseconds.
    private static let patience: UInt32 = 300_000
    private static let ways: [(Translation, after: UInt32)] = [(.off, 0), (.on, 1), (.always, 0)]

    @Test(arguments: FuzzMachine.Start.allCases)
    func aProgramThatIsSavedAnywhereGoesOnAsItWould(start: FuzzMachine.Start) throws {
        for way in Self.ways {
            var options = SoftOptions()
            (options.translation, options.translatesAfter) = (way.0, way.after)
            let machines = try (0..<3).map { _ in
                try FuzzMachine(options: options, clock: ClockDescription(mode: .counted))
            }
            let kickers = machines.map { Kicker($0.vcpu, slice: Self.patience) }
            defer { for kicker in kickers { kicker.stop() } }
            var compared = 0
            for number in 0..<(80 * Soak.factor) {
                let seed = Soak.seed &* 3_000_017 &+ UInt64(number)
                kickers[0].note("\(start) \(way.0) seed \(seed)")
                guard try Self.compare(machines, kickers, start, seed, "\(start), \(way.0), seed \(seed)") else {
                    continue
                }
                compared += 1
            }
            #expect(compared > 0, "\(start), \(way.0): \(compared) programs were compared")
        }
    }

    /// One runs undisturbed, one up to where it is saved, and one from there. False: the program is left.
    private static func compare(
        _ machines: [FuzzMachine], _ kickers: [Kicker], _ start: FuzzMachine.Start, _ seed: UInt64, _ name: String
    ) throws -> Bool {
        var random = Randomness(seed: seed &+ 0x5a7e)
        let place = UInt64(random.below(Int(instructions)))
        let hasNMI = random.chance(20)
        for machine in machines.prefix(2) {
            guard begin(machine, start, seed) else { return false }
            if hasNMI { machine.vcpu.set(ch_attention_nmi) }
        }
        let (whole, first, second) = (machines[0], machines[1], machines[2])
        let end = run(whole, kickers[0], instructions)
        guard end != .left, run(first, kickers[1], place) == .deadline else { return false }
        let saved = try first.cpu.save()
        memcpy(second.ram, first.ram, Int(FuzzMachine.length))
        second.cpu.emptyArena()
        do throws(EngineError) {
            try second.cpu.load(saved)
        } catch {
            Issue.record("\(name), after \(place): \(error)")
            return false
        }
        let again = run(second, kickers[2], instructions - place)
        if again == .left { return false }
        #expect(again == end, "\(name), saved after \(place): ends \(again), \(end)")
        let (a, b) = (try whole.cpu.save(), try second.cpu.save())
        let differing = a.fields.keys.sorted().filter { a.fields[$0] != b.fields[$0] }
        #expect(differing.isEmpty && a.fields.count == b.fields.count, "\(name), saved after \(place): \(differing)")
        #expect(memcmp(whole.ram, second.ram, Int(FuzzMachine.length)) == 0, "\(name), saved after \(place): memory")
        return true
    }

    /// False: the state is one that no CPU has.
    private static func begin(_ machine: FuzzMachine, _ start: FuzzMachine.Start, _ seed: UInt64) -> Bool {
        machine.prepare(start, seed: seed)
        _ = ch_clear_bits(machine.vcpu.attention, ch_attention_nmi)
        if start == .virtual8086 {
            for number in 0..<6 {
                let segment = machine.cpu.s.segment(number)
                segment.pointee.selector = UInt16(truncatingIfNeeded: segment.pointee.base >> 4)
            }
        }
        guard let state = try? machine.cpu.save() else { return false }
        return (try? machine.cpu.load(state)) != nil
    }

    private enum How { case deadline, shutdown, left }

    /// HLT goes on behind it.
    private static func run(_ machine: FuzzMachine, _ kicker: Kicker, _ count: UInt64) -> How {
        kicker.arm()
        defer { kicker.disarm() }
        let s = machine.cpu.s
        let limit = s.run.pointee.executed + count
        machine.cpu.setDeadline(limit)
        for _ in 0..<400 {
            switch machine.cpu.run() {
            case .attention: return s.run.pointee.executed < limit ? .left : .deadline
            case .halted: if s.run.pointee.executed >= limit { return .deadline }
            case .debug: continue
            case .shutdown: return .shutdown
            case .failed: return .left
            }
        }
        return .left
    }
}
