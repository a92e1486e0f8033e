// Counted time: the clock follows the instructions that vCPU 0 retires, so that a run is exactly repeatable. What happens to the guest
// happens on the vCPU's thread, between two instructions, at virtual times that do not depend on the host: timers at their deadline, what
// backends announced (`events/1` expect) when they said, and everything else from the host at multiples of `pollPeriod`.

import CBackplane
import CHost

/// Guarded by the machine's lock.
struct CountedTime {
    /// Virtual nanoseconds between two looks at the host.
    static let pollPeriod: UInt64 = 1_000_000
    /// Where the machine file gives none: 2026-01-01T00:00:00Z, and a seed.
    static let wallClock: Int64 = 1_767_225_600
    static let entropySeed: UInt64 = 0

    /// nil: the clock is another.
    var cpu: (any CountedCPU)?
    var nextPoll = pollPeriod
    /// The run so far, once it is over.
    var summary: CountedSummary?
}

/// What two runs of one machine have in common.
public struct CountedSummary: Sendable, Equatable, CustomStringConvertible {
    public var instructions: UInt64
    /// Virtual nanoseconds: instructions, and what was skipped while the CPU was idle.
    public var time: UInt64
    /// Of RAM as it was at the end.
    public var memoryHash: UInt64

    public var description: String {
        let digits = String(memoryHash, radix: 16)
        let hash = String(repeating: "0", count: 16 - digits.count) + digits
        return "counted: \(instructions) instructions, \(time) ns of virtual time, memory hash \(hash)"
    }
}

extension Machine {
    var isCounted: Bool { clock.source == .counted }

    /// Of a machine with a counted clock that has ended; nil: not yet, or another clock. Kept where the log takes debug lines.
    public var countedSummary: CountedSummary? { counted.summary }

    /// The next virtual time at which something may happen to the guest without its doing.
    private var nextCountedEvent: UInt64 {
        min(timers.nextDeadline ?? .max, loop.nextExpected ?? .max, counted.nextPoll)
    }

    /// Whether time passes without the guest: a timer or an announced post is to come.
    private var hasCountedEvent: Bool { timers.nextDeadline != nil || loop.nextExpected != nil }

    /// A timer or an expectation was set, or went. With the lock held.
    func countedEventsChanged() {
        guard counted.cpu != nil else { return }
        // Another thread leaves it to the vCPU's.
        if lock.holder == exits.threads[0] { updateDeadline() } else if state.isStarted { callIn() }
    }

    func updateDeadline() {
        // At least one instruction between two rounds, or a timer that is always due would stop the guest.
        let next = max(nextCountedEvent, clock.now &+ 1)
        counted.cpu?.setDeadline(min(clock.instructions(at: next), nextInstructionAlarm(0)))
    }

    /// On vCPU 0's thread, between instructions: does what is due now.
    func serveCountedTime(_ held: borrowing HeldLock) {
        guard counted.cpu != nil else { return }
        let now = clock.now
        loop.deliverExpected(held, at: now)
        loop.runTimers()
        if now >= counted.nextPoll {
            counted.nextPoll = (now / CountedTime.pollPeriod &+ 1) &* CountedTime.pollPeriod
            pollHost(held, milliseconds: 0)
        }
        updateDeadline()
    }

    /// The lock is given up meanwhile.
    func pollHost(_ held: borrowing HeldLock, milliseconds: Int32) {
        held.dropped { loop.poll(milliseconds: milliseconds) }
    }

    /// The CPU has nothing to do: time jumps to what comes next; where nothing can come but from the host, that is waited for.
    func skipIdleTime(_ held: borrowing HeldLock) {
        if hasCountedEvent {
            clock.advance(to: nextCountedEvent)
            // Others may want the lock.
            held.dropped {}
            serveCountedTime(held)
        } else {
            noteHalted(1)
            pollHost(held, milliseconds: -1)
            noteHalted(-1)
        }
        drain()
    }

    /// In an exit: one step of virtual time towards `end`, with what is due then.
    func advanceCounted(_ held: borrowing HeldLock, to end: UInt64) {
        clock.advance(to: min(end, nextCountedEvent))
        serveCountedTime(held)
    }

    /// A handler's answer comes later: time stands still, unless the answer can come only with time, from a timer or an announced post of
    /// the handler's own instance. One step of the wait.
    func stepForAnswer(_ held: borrowing HeldLock, node: UnsafeMutablePointer<ch_node>) {
        let owner = instance(of: node)
        let timer = timers.entries.filter { $0.owner === owner }.compactMap(\.deadline).min()
        if let due = [timer, loop.nextExpected].compactMap({ $0 }).min() {
            advanceCounted(held, to: due)
        } else {
            pollHost(held, milliseconds: 10)
        }
        drain()
    }

    // MARK: What a run was

    /// Once nothing runs any more, with the lock held.
    func summarizeCounted() {
        guard isCounted, options.logLevel <= .debug else { return }
        let summary = CountedSummary(
            instructions: ch_load64(clock.retired), time: clock.now, memoryHash: ram?.contentHash ?? 0)
        counted.summary = summary
        log(.debug, nil, "\(summary)")
    }
}

extension PluginInstance {
    /// `delay` in virtual nanoseconds. Without a counted clock there is nothing to do.
    func expect(_ key: PostKey, after delay: UInt64) -> bp_status {
        guard machine.isCounted else { return status(BP_OK) }
        let (due, overflow) = machine.clock.now.addingReportingOverflow(delay)
        guard !overflow else { return status(BP_INVALID) }
        guard machine.loop.expect(self, key, at: due) else { return status(BP_NO_MEMORY) }
        machine.countedEventsChanged()
        return status(BP_OK)
    }
}

extension GuestRAM {
    /// Four lanes of multiply and rotate over 64-bit words, folded: for comparing runs, not against forgery.
    var contentHash: UInt64 {
        var lanes = SIMD4<UInt64>(1, 2, 3, 4)
        let factor = SIMD4<UInt64>(repeating: 0x9E37_79B9_7F4A_7C15)
        // A multiple of 4096 bytes.
        for offset in stride(from: 0, to: Int(length), by: 32) {
            lanes = (lanes ^ base.load(fromByteOffset: offset, as: SIMD4<UInt64>.self)) &* factor
            lanes ^= lanes &>> 29
        }
        return (0..<4).reduce(0) { ($0 ^ lanes[$1]) &* 0xBF58_476D_1CE4_E5B9 ^ $0 &>> 31 }
    }
}
