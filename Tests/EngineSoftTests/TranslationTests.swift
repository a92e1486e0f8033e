// Host code against the interpreter: the same random guests in both, compared to the last bit.

import Core
import Testing

@testable import EngineSoft

@Suite(.serialized) struct TranslationTests {
    /// What a guest could tell apart.
    struct State: Equatable {
        var registers: [UInt64]
        var system: [UInt64]
        var flags: UInt64
        var executed: UInt64
        var vectors: [UInt8]

        init(_ cpu: SoftCPU) {
            let s = cpu.s
            registers = (0..<16).map { s[UInt8($0 * 8)] } + [s.rip]
            let state = s.cpu.pointee
            system = [
                state.cr0, state.cr2, state.cr3, state.cr4, state.efer, UInt64(state.cpl), state.dr.6, state.dr.7,
            ]
            system += (0..<8).flatMap { number -> [UInt64] in
                let segment = s.segment(number).pointee
                return [segment.base, UInt64(segment.limit), UInt64(segment.selector), UInt64(segment.attributes)]
            }
            flags = s.cpu.rflags
            executed = s.run.pointee.executed
            vectors = [UInt8](
                UnsafeRawBufferPointer(start: s + Layout.vectors, count: Layout.vectorTemporary - Layout.vectors))
        }
    }

    /// Runs up to so many instructions more; what ended the runs, as text.
    private func run(_ machine: FuzzMachine, _ start: FuzzMachine.Start, to deadline: UInt64) -> [String] {
        machine.cpu.setDeadline(deadline)
        var ends: [String] = []
        while machine.cpu.s.run.pointee.executed < deadline, ends.count < 40 {
            let end = machine.cpu.run()
            switch end {
            case .attention: continue
            case .shutdown:
                ends.append("shutdown")
                return ends
            default: ends.append("\(end)")
            }
        }
        return ends
    }

    @Test(arguments: FuzzMachine.Start.allCases, [Translation.on, .always])
    func hostCodeDoesWhatTheInterpreterDoes(start: FuzzMachine.Start, translation: Translation) throws {
        var options = SoftOptions()
        let plain = try FuzzMachine(options: options)
        options.translation = translation
        let other = try FuzzMachine(options: options)
        for number in 0..<(60 * Soak.factor) {
            let seed = Soak.seed &* 2_000_003 &+ UInt64(number)
            plain.prepare(start, seed: seed)
            other.prepare(start, seed: seed)
            for round in 1...4 {
                let deadline = plain.cpu.s.run.pointee.executed + 3000
                let ends = run(plain, start, to: deadline)
                #expect(run(other, start, to: deadline) == ends, "\(start) seed \(seed) round \(round)")
                let (a, b) = (State(plain.cpu), State(other.cpu))
                #expect(a == b, "\(start) seed \(seed) round \(round)")
                guard a == b, ends.last != "shutdown" else { break }
            }
            let isSame = plain.memory.elementsEqual(other.memory)
            #expect(isSame, "\(start) seed \(seed): memory differs")
            // What went apart stays apart.
            guard isSame, State(plain.cpu) == State(other.cpu) else { return }
        }
        #expect(other.cpu.translator.map { $0.translated > (translation == .always ? 1000 : 0) } == true)
    }
}
