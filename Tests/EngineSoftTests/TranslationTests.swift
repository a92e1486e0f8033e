// Host code against the interpreter: random memory as a guest, in every mode, comes to the same state, the same memory and the same count.

import Glibc
import Testing

@testable import Core
@testable import EngineSoft

@Suite(.serialized) struct TranslationTests {
    /// How far a program runs at most, and how it may be run: from the first run on, from the second, when it is hot.
    private static let instructions: UInt64 = 6000
    /// For one of them, in microseconds.
    private static let patience: UInt32 = 300_000
    private static let ways: [(name: String, Translation, after: UInt32)] = [
        ("always", .always, 0), ("after 1", .on, 1), ("after 64", .on, 64),
    ]

    @Test(arguments: FuzzMachine.Start.allCases)
    func programsComeToTheSameEndAsInterpreted(start: FuzzMachine.Start) throws {
        let clock = ClockDescription(mode: .counted)
        var interpreting = SoftOptions()
        interpreting.translation = .off
        let interpreted = try FuzzMachine(options: interpreting, clock: clock)
        let others = try Self.ways.map { way in
            var options = SoftOptions()
            (options.translation, options.translatesAfter) = (way.1, way.after)
            return (way.name, try FuzzMachine(options: options, clock: clock))
        }
        // A program that faults for ever retires nothing: it is left, and counts for nothing.
        let kickers =
            [Kicker(interpreted.vcpu, slice: Self.patience)] + others.map { Kicker($0.1.vcpu, slice: Self.patience) }
        defer { for kicker in kickers { kicker.stop() } }
        var executed: UInt64 = 0
        var translated: UInt64 = 0
        for number in 0..<(60 * Soak.factor) {
            let seed = Soak.seed &* 2_000_003 &+ UInt64(number)
            kickers[0].note("\(start) seed \(seed)")
            guard let expected = Self.run(interpreted, start, seed, kickers[0]) else { continue }
            executed += expected.executed
            for (index, (name, machine)) in others.enumerated() {
                let before = machine.cpu.translator?.translated ?? 0
                kickers[index + 1].note("\(start) seed \(seed), \(name)")
                guard let found = Self.run(machine, start, seed, kickers[index + 1]) else { continue }
                translated += (machine.cpu.translator?.translated ?? 0) - before
                if let difference = expected.difference(from: found, interpreted, machine) {
                    Issue.record("\(start), seed \(seed), \(name): \(difference)")
                    return
                }
            }
        }
        #expect(executed > 2000, "\(start) ran \(executed) instructions")
        let isFlat = ![.real, .virtual8086, .protected16].contains(start)
        #expect(!isFlat || translated > 20, "\(start): \(translated) blocks were translated")
    }

    struct End {
        var registers: [UInt64]
        var vectors: [UInt8]
        var executed: UInt64
        var how: String

        /// What is not the same, memory included.
        func difference(from other: End, _ mine: FuzzMachine, _ others: FuzzMachine) -> String? {
            if how != other.how || executed != other.executed {
                return "ends \(how) after \(executed), \(other.how) after \(other.executed)"
            }
            for (index, pair) in zip(registers, other.registers).enumerated() where pair.0 != pair.1 {
                return
                    "\(Self.names[index]) is \(String(pair.0, radix: 16)), \(String(pair.1, radix: 16)), after \(executed)"
            }
            if vectors != other.vectors { return "XMM or x87 registers, after \(executed)" }
            if memcmp(mine.ram, others.ram, Int(FuzzMachine.length)) == 0 { return nil }
            let (a, b) = (mine.ram, others.ram)
            for at in 0..<Int(FuzzMachine.length)
            where a.load(fromByteOffset: at, as: UInt8.self) != b.load(fromByteOffset: at, as: UInt8.self) {
                return "memory at \(String(at, radix: 16)), after \(executed)"
            }
            return nil
        }

        static let names =
            ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"] + (8...15).map { "r\($0)" }
            + ["rip", "rflags", "cr0", "cr2", "cr3", "cr4", "cpl", "mxcsr", "x87 status", "dr6"]
    }

    /// nil: it was left.
    private static func run(
        _ machine: FuzzMachine, _ start: FuzzMachine.Start, _ seed: UInt64, _ kicker: Kicker
    ) -> End? {
        machine.prepare(start, seed: seed)
        kicker.arm()
        defer { kicker.disarm() }
        let s = machine.cpu.s
        let begun = s.run.pointee.executed
        machine.cpu.setDeadline(begun + instructions)
        var how = ""
        for _ in 0..<200 where how.isEmpty {
            switch machine.cpu.run() {
            case .attention:
                if s.run.pointee.executed < begun + instructions { return nil }
                how = "by its deadline"
            case .halted: if s.run.pointee.executed >= begun + instructions { how = "halted" }
            case .debug: continue
            case .shutdown: how = "by a shutdown"
            case .failed: how = "failed"
            }
        }
        let cpu = s.cpu
        var registers = (0..<16).map { s[UInt8($0 * 8)] }
        registers += [
            s.rip, cpu.rflags, cpu.pointee.cr0, cpu.pointee.cr2, cpu.pointee.cr3, cpu.pointee.cr4,
            UInt64(cpu.pointee.cpl),
            UInt64(cpu.pointee.mxcsr), UInt64(cpu.pointee.x87.status), cpu.pointee.dr.6,
        ]
        let vectors = [UInt8](UnsafeRawBufferPointer(start: s + Layout.vectors, count: 16 * 72))
        return End(registers: registers, vectors: vectors, executed: s.run.pointee.executed - begun, how: how)
    }
}
