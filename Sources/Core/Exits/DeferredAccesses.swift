// Accesses whose answer comes later: one for each vCPU. The machine's lock is dropped meanwhile.

import CBackplane
import CHost

/// Completions may come from any thread: a lock of its own, never held while another is taken.
final class DeferredAccesses: @unchecked Sendable {
    private struct Slot {
        var token: UInt64 = 0
        var isWaiting = false
        var answer: (status: bp_status, value: UInt64)?
    }

    // SAFETY: freed in deinit; `words` are what waiting vCPUs sleep on.
    private let lock = UnsafeMutablePointer<ch_lock>.allocate(capacity: 1)
    private let words = UnsafeMutablePointer<UInt32>.allocate(capacity: ExitHandler.maximumCPUs)
    private var slots = [Slot](repeating: Slot(), count: ExitHandler.maximumCPUs)
    /// Answers that came before the handler had returned BP_DEFERRED.
    private var early: [UInt64: (status: bp_status, value: UInt64)] = [:]

    init() {
        lock.initialize(to: ch_lock())
        words.initialize(repeating: 0, count: ExitHandler.maximumCPUs)
    }

    deinit {
        lock.deallocate()
        words.deallocate()
    }

    private func locked<R>(_ body: () -> R) -> R {
        ch_lock_acquire(lock)
        defer { ch_lock_release(lock) }
        return body()
    }

    /// From any thread. `isCurrent`: the token is one that a handler may still answer BP_DEFERRED for.
    func complete(_ token: UInt64, _ status: bp_status, _ value: UInt64, isCurrent: (UInt64) -> Bool) -> Bool {
        locked {
            let vcpu = Int(token >> 48) - 1
            guard slots.indices.contains(vcpu) else { return false }
            if slots[vcpu].isWaiting, slots[vcpu].token == token {
                slots[vcpu].answer = (status, value)
                ch_store(words + vcpu, 1)
                ch_wake(words + vcpu)
                return true
            }
            guard isCurrent(token), early[token] == nil else { return false }
            early[token] = (status, value)
            return true
        }
    }

    /// Begins to wait; an answer that came early is there at once.
    func begin(_ vcpu: Int, _ token: UInt64) {
        locked {
            ch_store(words + vcpu, 0)
            slots[vcpu] = Slot(token: token, isWaiting: true, answer: early.removeValue(forKey: token))
            early.removeAll()
            if slots[vcpu].answer != nil { ch_store(words + vcpu, 1) }
        }
    }

    /// `wait` would not sleep.
    func isAnswered(_ vcpu: Int) -> Bool { ch_load(words + vcpu) != 0 }

    /// Without the machine's lock: sleeps until there is an answer or a cancellation (nil).
    func wait(_ vcpu: Int) -> (status: bp_status, value: UInt64)? {
        while ch_load(words + vcpu) == 0 { ch_wait(words + vcpu, 0, -1) }
        return locked {
            let answer = slots[vcpu].answer
            slots[vcpu] = Slot()
            return answer
        }
    }

    /// Every waiting vCPU goes on with all ones; later completions are stale.
    func cancelAll() {
        locked {
            for vcpu in slots.indices where slots[vcpu].isWaiting && slots[vcpu].answer == nil {
                slots[vcpu].isWaiting = false
                ch_store(words + vcpu, 1)
                ch_wake(words + vcpu)
            }
        }
    }
}

extension Machine {
    /// A handler answered BP_DEFERRED: waits with the lock dropped. Gives all ones where it was cancelled.
    func waitForDeferred(_ vcpu: UInt32, node: UnsafeMutablePointer<ch_node>) -> UInt64 {
        let index = Int(vcpu)
        let token = exits.tokens[index]
        guard !state.mustEndDeferred, host.pointee.depth == 0 else {
            // Not waited for: a completion that comes is stale.
            ch_store64(exits.tokens + index, token &+ 1)
            return .max
        }
        deferred.begin(index, token)
        exits.tokens[index] = token &+ 1
        drain()
        if isCounted { waitForDeferredCounted(index, node: node) }
        ch_lock_release(&host.pointee.lock)
        if let bringAnswer = options.bringAnswer {
            while !deferred.isAnswered(index) { if !bringAnswer() { deferred.cancelAll() } }
        }
        let answer = deferred.wait(index)
        ch_lock_acquire(&host.pointee.lock)
        host.pointee.holder = exits.threads[index]
        guard let answer else { return .max }
        switch Int(answer.status) {
        case BP_OK: return answer.value
        case BP_NO_REGISTER, BP_BAD_WIDTH: return .max
        default:
            fault(node, status: answer.status)
            return .max
        }
    }
}

extension RunState {
    var mustEndDeferred: Bool { wantsReset || pendingEnd != nil }
}
