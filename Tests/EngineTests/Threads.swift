import CHost
import Core
import Glibc

let ch_leave_bit = ch_attention_leave
let ch_interrupt_bit = ch_attention_interrupt
let ch_nmi_bit = ch_attention_nmi

func spin() { sched_yield() }

/// Counted by one thread, watched by another.
final class KickCounter: @unchecked Sendable {
    private let word = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
    init() { word.initialize(to: 0) }
    deinit { word.deallocate() }
    func add() { ch_store64(word, ch_load64(word) + 1) }
    @discardableResult func look() -> UInt64 { ch_load64(word) }
}

/// A thread of its own, as a vCPU has.
final class OnThread: @unchecked Sendable {
    private var thread = pthread_t()
    private let body: @Sendable () -> Bool
    private var result = false

    init(_ body: @escaping @Sendable () -> Bool) {
        self.body = body
        pthread_create(
            &thread, nil,
            { raw in
                let me = Unmanaged<OnThread>.fromOpaque(raw!).takeRetainedValue()
                me.result = me.body()
                return nil
            }, Unmanaged.passRetained(self).toOpaque())
    }

    func join() -> Bool {
        pthread_join(thread, nil)
        return result
    }
}
