// Random bytes as a guest: nothing that they do may trap, touch the host's memory, or keep a kick from being heard.

import CHost
import Glibc
import Synchronization
import Testing

@testable import Core
@testable import EngineSoft

@Suite(.serialized) struct FuzzTests {
    /// A program runs for so long, in microseconds, if nothing ends it.
    static let slice: UInt32 = 2000

    @Test(arguments: FuzzMachine.Start.allCases)
    func randomBytesNeitherTrapNorHang(start: FuzzMachine.Start) throws {
        let machine = try FuzzMachine()
        let kicker = Kicker(machine.vcpu)
        defer { kicker.stop() }
        var instructions: UInt64 = 0
        var longest: UInt64 = 0
        for number in 0..<(150 * Soak.factor) {
            let seed = Soak.seed &* 1_000_003 &+ UInt64(number)
            kicker.note("\(start) seed \(seed)")
            machine.prepare(start, seed: seed)
            longest = max(longest, run(machine, start, kicker, &instructions))
        }
        #expect(instructions > 10_000, "\(start) ran \(instructions) instructions")
        // A kick is heard between blocks; the rest is the host's scheduler.
        #expect(longest < 2_000_000_000, "\(start): a kick was heard after \(longest) ns")
    }

    /// Until the kick; HLT goes on behind it, a shutdown with other registers. Returns nanoseconds between the kick and its effect.
    private func run(
        _ machine: FuzzMachine, _ start: FuzzMachine.Start, _ kicker: Kicker, _ instructions: inout UInt64
    ) -> UInt64 {
        kicker.arm()
        while true {
            let before = machine.cpu.s.run.pointee.executed
            let end = machine.cpu.run()
            instructions &+= machine.cpu.s.run.pointee.executed &- before
            switch end {
            case .attention: return kicker.sinceKick()
            case .halted, .debug: continue
            case .shutdown: machine.restart(start)
            case .failed(let error):
                Issue.record("the engine cannot go on: \(error)")
                kicker.disarm()
                return 0
            }
        }
    }
}

/// Sets the leave bit a slice after it was armed, and ends the process, with a line that names the program, if nobody hears it for a minute.
final class Kicker: @unchecked Sendable {
    private let vcpu: VCPU
    private let slice: UInt64
    /// Nanoseconds at which the bit is to be set; 0: not armed.
    private let deadline = Atomic<UInt64>(0)
    private let kickedAt = Atomic<UInt64>(0)
    private let isStopped = Atomic<Bool>(false)
    private let name = Mutex("")
    private var thread = pthread_t()

    /// `slice` in microseconds.
    init(_ vcpu: VCPU, slice: UInt32 = FuzzTests.slice) {
        self.vcpu = vcpu
        self.slice = UInt64(slice)
        let me = Unmanaged.passUnretained(self).toOpaque()
        pthread_create(
            &thread, nil,
            { raw in
                Unmanaged<Kicker>.fromOpaque(raw!).takeUnretainedValue().watch()
                return nil
            }, me)
    }

    func stop() {
        isStopped.store(true, ordering: .relaxed)
        pthread_join(thread, nil)
    }

    func note(_ text: String) { name.withLock { $0 = text } }

    func arm() {
        kickedAt.store(0, ordering: .relaxed)
        vcpu.clear(ch_attention_leave)
        deadline.store(Kicker.now + slice * 1000, ordering: .sequentiallyConsistent)
    }

    func disarm() { deadline.store(0, ordering: .sequentiallyConsistent) }

    func sinceKick() -> UInt64 {
        disarm()
        let at = kickedAt.load(ordering: .sequentiallyConsistent)
        return at == 0 ? 0 : Kicker.now &- at
    }

    private static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    private func watch() {
        while !isStopped.load(ordering: .relaxed) {
            usleep(500)
            let due = deadline.load(ordering: .sequentiallyConsistent)
            guard due != 0, Kicker.now >= due else { continue }
            if kickedAt.load(ordering: .relaxed) == 0 { kickedAt.store(Kicker.now, ordering: .sequentiallyConsistent) }
            vcpu.set(ch_attention_leave)
            if Kicker.now &- due > 60_000_000_000 { fatalError("fuzz: \(name.withLock { $0 }) does not hear a kick") }
        }
    }
}

extension VCPU {
    fileprivate func clear(_ bits: UInt32) { _ = ch_clear_bits(attention, bits) }
}
