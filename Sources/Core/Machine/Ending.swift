// The end of a machine: its devices come to rest, then everything goes.

import CBackplane
import CHost
import Glibc

extension Machine {
    func finish() -> MachineEnd {
        ch_thread_begin(host)
        defer { ch_thread_begin(nil) }
        let end = withoutCPUs { held in
            summarizeCounted()
            quiesceAll(held)
            dismantle()
            return state.end ?? state.pendingEnd ?? MachineEnd(status: 6, reason: "the machine has no CPU")
        }
        loop.join()
        return end
    }

    /// Runs `body` with the lock held, once no vCPU's thread runs any more.
    func withoutCPUs<R>(_ body: (borrowing HeldLock) -> R) -> R {
        lock.held { held in
            while liveThreads > 0 { held.dropped { _ = usleep(200) } }
            return body(held)
        }
    }

    /// Devices first, then the rest. Who flushes gets ten seconds, and is named where the watchdog's time is shorter.
    private func quiesceAll(_ held: borrowing HeldLock) {
        // The guest is no more: what comes from the host may come at once.
        loop.forgetAllExpected()
        let order =
            instances.filter { $0.description.type.kind == .device }
            + instances.filter { $0.description.type.kind != .device }
        for instance in order {
            let isDone = instance.quiesce()
            drain()
            if isDone { continue }
            let begin = ch_monotonic()
            let patience = max(10_000_000_000, description.watchdog)
            var isNamed = description.watchdog == 0
            while !instance.hasQuiesced, ch_monotonic() &- begin < patience {
                if !isNamed, ch_monotonic() &- begin >= description.watchdog {
                    isNamed = true
                    log(.warning, instance.id, "owes the end of quiesce, for \(durationText(description.watchdog))")
                }
                if isCounted { pollHost(held, milliseconds: 0) }
                held.dropped { _ = usleep(500) }
                drain()
            }
            if !instance.hasQuiesced {
                log(.warning, instance.id, "does not come to rest within \(durationText(patience))")
            }
        }
        drain()
    }
}
