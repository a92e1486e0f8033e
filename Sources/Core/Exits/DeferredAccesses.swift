// Accesses whose answer comes later: one for each vCPU. The machine's lock is dropped meanwhile.

import CBackplane
import CHost

/// Completions may come from any thread: a lock of its own, never held while another is taken.
final class DeferredAccesses: @unchecked Sendable {
    private struct Slot {
        var token: UInt64 = 0
        var node: UnsafeMutablePointer<ch_node>?
        var isWaiting = false
        var answer: (status: bp_status, value: UInt64)?
    }

    // SAFETY: freed in deinit; `words` are what waiting vCPUs sleep on: bit 0 answered or cancelled, bit 1 waiting, the rest counts nudges.
    private let lock = UnsafeMutablePointer<ch_lock>.allocate(capacity: 1)
    private let words = UnsafeMutablePointer<UInt32>.allocate(capacity: ExitHandler.maximumCPUs)
    private var slots = [Slot](repeating: Slot(), count: ExitHandler.maximumCPUs)
    /// Answers that came before the handler had returned BP_DEFERRED.
    private var early: [UInt64: (status: bp_status, value: UInt64)] = [:]

    private static let answered: UInt32 = 1
    private static let waiting: UInt32 = 2
    private static let nudge: UInt32 = 4

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

    private func end(_ vcpu: Int) {
        _ = ch_set_bits(words + vcpu, DeferredAccesses.answered)
        ch_wake(words + vcpu)
    }

    /// From any thread. `isCurrent`: the token is one that a handler may still answer BP_DEFERRED for.
    func complete(_ token: UInt64, _ status: bp_status, _ value: UInt64, isCurrent: (UInt64) -> Bool) -> Bool {
        locked {
            let vcpu = Int(token >> 48) - 1
            guard slots.indices.contains(vcpu) else { return false }
            if slots[vcpu].isWaiting, slots[vcpu].token == token {
                slots[vcpu].answer = (status, value)
                end(vcpu)
                return true
            }
            guard isCurrent(token), early[token] == nil else { return false }
            early[token] = (status, value)
            return true
        }
    }

    /// Begins to wait; an answer that came early is there at once.
    func begin(_ vcpu: Int, _ token: UInt64, node: UnsafeMutablePointer<ch_node>) {
        locked {
            ch_store(words + vcpu, DeferredAccesses.waiting)
            slots[vcpu] = Slot(token: token, node: node, isWaiting: true, answer: early.removeValue(forKey: token))
            early.removeAll()
            if slots[vcpu].answer != nil { end(vcpu) }
        }
    }

    /// To be read before what `sleep` is to wake for is looked at.
    func word(_ vcpu: Int) -> UInt32 { ch_load(words + vcpu) }

    func isAnswered(_ vcpu: Int) -> Bool { word(vcpu) & DeferredAccesses.answered != 0 }

    /// Without the machine's lock: until there is an answer, a cancellation or a nudge. May return early.
    func sleep(_ vcpu: Int, past word: UInt32) {
        if word & DeferredAccesses.answered == 0 { ch_wait(words + vcpu, word, -1) }
    }

    /// The core wants a vCPU that waits to look at the machine.
    func nudge(_ vcpu: Int) {
        guard ch_load(words + vcpu) & DeferredAccesses.waiting != 0 else { return }
        _ = ch_add(words + vcpu, DeferredAccesses.nudge)
        ch_wake(words + vcpu)
    }

    /// Ends the wait. nil: it was cancelled.
    func take(_ vcpu: Int) -> (status: bp_status, value: UInt64)? {
        locked {
            let answer = slots[vcpu].answer
            slots[vcpu] = Slot()
            ch_store(words + vcpu, 0)
            return answer
        }
    }

    /// Every waiting vCPU goes on with all ones; later completions are stale.
    func cancelAll() { cancel { _ in true } }

    /// Those that wait for this instance.
    func cancel(of node: UnsafeMutablePointer<ch_node>) { cancel { $0 == node } }

    private func cancel(_ isMeant: (UnsafeMutablePointer<ch_node>?) -> Bool) {
        locked {
            for vcpu in slots.indices
            where slots[vcpu].isWaiting && slots[vcpu].answer == nil && isMeant(slots[vcpu].node) {
                slots[vcpu].isWaiting = false
                end(vcpu)
            }
        }
    }
}

extension Machine {
    /// A handler answered BP_DEFERRED: waits with the lock dropped. Gives all ones where it was cancelled.
    func waitForDeferred(
        _ held: borrowing HeldLock, _ vcpu: UInt32, _ record: UnsafeMutablePointer<ClaimRecord>, _ address: UInt64
    ) -> UInt64 {
        let index = Int(vcpu)
        let token = exits.tokens[index]
        guard let node = record.pointee.node, !state.mustEndDeferred, host.pointee.depth == 0 else {
            // Not waited for: a completion that comes is stale.
            ch_store64(exits.tokens + index, token &+ 1)
            return .max
        }
        let space = Int(record.pointee.space)
        deferred.begin(index, token, node: node)
        exits.tokens[index] = token &+ 1
        drain()
        if !deferred.isAnswered(index) { waitForAnswer(held, index, node: node, space, address) }
        guard let answer = deferred.take(index) else { return .max }
        switch Int(answer.status) {
        case BP_OK: return answer.value
        case BP_NO_REGISTER, BP_BAD_WIDTH: return .max
        default:
            fault(node, status: answer.status)
            return .max
        }
    }

    private func waitForAnswer(
        _ held: borrowing HeldLock, _ vcpu: Int, node: UnsafeMutablePointer<ch_node>, _ space: Int, _ address: UInt64
    ) {
        let debt = accessDebt(vcpu)
        debt?.pointer.pointee.node = node
        debt?.place = SpaceText.one(space) + " " + hexText(address)
        if let debt { ch_debt_ask(debt.pointer) }
        while true {
            let word = deferred.word(vcpu)
            if deferred.isAnswered(vcpu) { break }
            // The bench drives a machine that has not started: nobody would let it go on.
            if mustPark, state.isStarted {
                standStill(held, vcpu)
            } else if isCounted {
                stepForAnswer(held, node: node)
            } else {
                held.dropped {
                    if let bringAnswer = options.bringAnswer {
                        if !bringAnswer() { deferred.cancelAll() }
                    } else {
                        deferred.sleep(vcpu, past: word)
                    }
                }
            }
        }
        if let debt { ch_debt_answer(debt.pointer) }
        debt?.pointer.pointee.node = memoryNode
    }
}

extension RunState {
    var mustEndDeferred: Bool { wantsReset || pendingEnd != nil }
}
