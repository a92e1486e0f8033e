// Exits that a policy delays (BP_VERDICT_DELAY): the vCPU stands still, the clock and all others go on.

import CBackplane
import CHost

extension Machine {
    /// The longest delay, in virtual nanoseconds.
    static let longestDelay: UInt64 = 1_000_000_000

    /// On the vCPU's thread, in an exit; the lock is given up meanwhile. Ends early where the vCPU is wanted back: a pause,
    /// a reset, the end, or a change of the policies.
    func holdBack(_ held: borrowing HeldLock, _ vcpu: UInt32, for nanoseconds: UInt64) {
        guard host.pointee.depth == 0, clock.source != .manual else { return }
        let until = clock.now &+ min(nanoseconds, Machine.longestDelay)
        drain()
        // Of a counted clock only what the machine does itself may end it: another guest's turn must not.
        while !(isCounted ? state.mustPark : mustPark), clock.now < until {
            if isCounted {
                advanceCounted(held, to: until)
            } else {
                let left = until &- clock.now
                held.dropped { vcpus[Int(vcpu)].sleep(until: ch_attention_leave, atMost: left) }
            }
            drain()
        }
    }
}
