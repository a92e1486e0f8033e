import CBackplane
import CHost

/// One thing that a policy wants to see.
struct PolicyWant: Equatable {
    var id: bp_id
    /// The policy's instance.
    var owner: ObjectIdentifier
    var reason: UInt16
    var flags: UInt16
    var first: UInt64
    var last: UInt64

    var isUnclaimedOnly: Bool { flags & UInt16(BP_WANT_UNCLAIMED) != 0 }
    var decides: Bool { flags & UInt16(BP_WANT_DECIDE) != 0 }
    var observes: Bool { flags & UInt16(BP_WANT_OBSERVE) != 0 }
    /// The guest's writes to plain memory are to come out.
    var watchesRAM: Bool { flags & UInt16(BP_WANT_RAM_WRITES) != 0 }

    /// Of an exit that is wanted: its flags under `mask` are `value`. Writes to RAM are for those who ask for them, or for all.
    var exitFlags: (mask: UInt16, value: UInt16) {
        let unclaimed = isUnclaimedOnly ? UInt16(BP_EXITF_UNCLAIMED) : 0
        let seesRAM = watchesRAM || reason == UInt16(BP_WANT_ALL)
        return (unclaimed | (seesRAM ? 0 : UInt16(BP_EXITF_RAM)), unclaimed)
    }

    /// Whether an exit is one of those wanted.
    @inline(__always)
    func matches(_ exit: UnsafePointer<bp_exit>) -> Bool {
        (reason == exit.pointee.reason || reason == UInt16(BP_WANT_ALL))
            && exit.pointee.address >= first && exit.pointee.address <= last
            && exit.pointee.flags & exitFlags.mask == exitFlags.value
    }
}

/// A policy as the dispatch reads it.
struct PolicyRecord {
    var owner: ObjectIdentifier
    /// SAFETY: the instance's own, until it is taken out of the chain at a quiet point.
    var instance: UnsafeMutableRawPointer?
    var node: UnsafeMutablePointer<ch_node>
    var decide:
        (
            @convention(c) (UnsafeMutableRawPointer?, UnsafeMutablePointer<bp_exit>?, UnsafeMutablePointer<bp_verdict>?)
                -> UInt32
        )?
    var observe:
        (@convention(c) (UnsafeMutableRawPointer?, UnsafePointer<bp_exit>?, UnsafePointer<bp_outcome>?) -> Void)?
}

/// A policy's wish to decide exits of one reason, with what the call of it takes.
struct Decider {
    var first: UInt64
    var last: UInt64
    /// SAFETY: as in PolicyRecord.
    var instance: UnsafeMutableRawPointer?
    var node: UnsafeMutablePointer<ch_node>
    var decide:
        @convention(c) (UnsafeMutableRawPointer?, UnsafeMutablePointer<bp_exit>?, UnsafeMutablePointer<bp_verdict>?) ->
            UInt32
    /// Position of the policy in the chain.
    var policy: Int32
    /// As `PolicyWant.exitFlags`.
    var mask: UInt16
    var value: UInt16

    @inline(__always)
    func matches(_ address: UInt64, _ exitFlags: UInt16) -> Bool {
        address >= first && address <= last && exitFlags & mask == value
    }

    /// nil: the want is no decider's.
    init?(_ placed: PlacedWant, _ policies: [PolicyRecord]) {
        let (want, record) = (placed.want, policies[placed.policy])
        guard want.decides, let decide = record.decide else { return nil }
        (first, last) = (want.first, want.last)
        (instance, node) = (record.instance, record.node)
        self.decide = decide
        policy = Int32(truncatingIfNeeded: placed.policy)
        (mask, value) = want.exitFlags
    }
}

/// A want with its policy's position in the chain.
struct PlacedWant {
    var want: PolicyWant
    var policy: Int
}

/// The chain as flat memory, and for each exit reason the wants that can match it, in chain order.
struct PolicyTables {
    /// SAFETY: owned; replaced as a whole under the machine's lock.
    var policies: UnsafeMutableBufferPointer<PolicyRecord>
    var wants: UnsafeMutableBufferPointer<PlacedWant>
    /// By reason: the range of `wants`.
    var ranges: UnsafeMutableBufferPointer<Range<Int>>
    /// Who decides, by reason and then in chain order, and by reason where each begins (one more: where all end).
    private var deciders: UnsafeMutableBufferPointer<Decider>
    private var deciderStarts: UnsafeMutablePointer<Int>
    /// Bits of reasons that any policy wants.
    var reasons: UInt64
    /// Bits of reasons that any policy observes.
    var observed: UInt64

    static let reasonCount = 64

    init(policies list: [PolicyRecord], wants all: [PolicyWant]) {
        policies = .allocate(capacity: list.count)
        _ = policies.initialize(from: list)
        let placed = all.compactMap { want in
            list.firstIndex { $0.owner == want.owner }.map { PlacedWant(want: want, policy: $0) }
        }.sorted { $0.policy < $1.policy }
        var sorted: [PlacedWant] = []
        ranges = .allocate(capacity: PolicyTables.reasonCount)
        deciderStarts = .allocate(capacity: PolicyTables.reasonCount + 1)
        var deciding: [Decider] = []
        reasons = 0
        observed = 0
        for reason in 0..<PolicyTables.reasonCount {
            let start = sorted.count
            sorted += placed.filter { $0.want.reason == UInt16(reason) || $0.want.reason == UInt16(BP_WANT_ALL) }
            (ranges.baseAddress! + reason).initialize(to: start..<sorted.count)
            (deciderStarts + reason).initialize(to: deciding.count)
            deciding += sorted[start...].compactMap { Decider($0, list) }
            if start != sorted.count { reasons |= 1 << UInt64(reason) }
            if sorted[start...].contains(where: \.want.observes) { observed |= 1 << UInt64(reason) }
        }
        wants = .allocate(capacity: sorted.count)
        _ = wants.initialize(from: sorted)
        (deciderStarts + PolicyTables.reasonCount).initialize(to: deciding.count)
        deciders = .allocate(capacity: max(1, deciding.count))
        _ = deciders.initialize(from: deciding)
    }

    @inline(__always)
    func deciders(of reason: UInt16) -> (start: UnsafeMutablePointer<Decider>, end: UnsafeMutablePointer<Decider>) {
        let base = deciders.baseAddress.unsafelyUnwrapped
        let place = deciderStarts + Int(reason & 63)
        return (base + place[0], base + place[1])
    }

    func deallocate() {
        policies.deallocate()
        wants.deallocate()
        ranges.deallocate()
        deciders.deallocate()
        deciderStarts.deallocate()
    }
}
