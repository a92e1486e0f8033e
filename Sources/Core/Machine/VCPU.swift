import CHost

/// One virtual CPU as the core sees it: its number, its attention word, and what its exits are handed to.
public final class VCPU: @unchecked Sendable {
    public let index: UInt32
    /// `ch_attention_*` bits: set by any thread, looked at by the engine between instructions or blocks. Also the word
    /// that a halted vCPU sleeps on.
    /// SAFETY: allocated here, freed in deinit; the engine's CPU lives no longer than its VCPU.
    public let attention: UnsafeMutablePointer<UInt32>
    /// Takes the machine's lock by itself.
    public unowned(unsafe) let exits: ExitHandler
    /// Where an engine with a counted clock keeps the number of instructions that this vCPU has retired: exact whenever the core has the
    /// thread, that is in exits (the exiting instruction is not retired yet) and between runs.
    /// SAFETY: the clock's, or `ownCount`.
    public let retired: UnsafeMutablePointer<UInt64>
    private let ownCount: UnsafeMutablePointer<UInt64>?

    /// `retired` nil: a word of its own.
    init(index: UInt32, exits: ExitHandler, retired: UnsafeMutablePointer<UInt64>?) {
        self.index = index
        self.exits = exits
        ownCount = retired == nil ? .allocate(capacity: 1) : nil
        ownCount?.initialize(to: 0)
        self.retired = retired ?? ownCount.unsafelyUnwrapped
        attention = .allocate(capacity: 16)
        attention.initialize(repeating: 0, count: 16)
    }

    deinit {
        attention.deallocate()
        ownCount?.deallocate()
    }

    /// The INTR pin or a latched NMI waits, or the core wants the thread back.
    public var needsAttention: Bool { ch_load(attention) != 0 }
    public var mustLeave: Bool { ch_load(attention) & ch_attention_leave != 0 }
    public var interruptRequested: Bool { ch_load(attention) & ch_attention_interrupt != 0 }
    /// Takes the latched NMI.
    public func takeNMI() -> Bool {
        let bit = ch_attention_nmi
        return ch_clear_bits(attention, bit) & bit != 0
    }

    /// Sleeps until one of `bits` is set; returns at once if one is.
    func sleep(until bits: UInt32) {
        while true {
            let now = ch_load(attention)
            if now & bits != 0 { return }
            ch_wait(attention, now, -1)
        }
    }

    /// The same, for `nanoseconds` at most.
    func sleep(until bits: UInt32, atMost nanoseconds: UInt64) {
        let end = ch_monotonic() &+ nanoseconds
        while true {
            let now = ch_load(attention)
            let time = ch_monotonic()
            if now & bits != 0 || time >= end { return }
            ch_wait(attention, now, Int64(clamping: end &- time))
        }
    }

    func set(_ bits: UInt32) {
        _ = ch_set_bits(attention, bits)
        ch_wake(attention)
    }
}
