// Heads and time (5.2.1 to 5.2.3).

extension FDC82077 {
    /// Nanoseconds of virtual time; see the chip's departures.
    static let stepTime: UInt64 = 100_000
    static let latency: UInt64 = 200_000
    static let sectorTime: UInt64 = 100_000
    static let patience: UInt64 = 500_000_000
    /// Where a drive's head comes to a stop.
    private static let lastCylinder = 82

    /// Steps a drive's head; what the chip believes counts on beyond the stops.
    /// - Returns: how long it takes.
    @discardableResult
    mutating func step(_ unit: Int, by steps: Int) -> UInt64 {
        if drives[unit].isPresent, steps != 0 {
            let wanted = Int(state.units[unit].cylinder) + steps
            state.units[unit].cylinder = UInt8(min(max(wanted, 0), Self.lastCylinder))
            if medium(unit) != nil { state.units[unit].isChanged = false }
        }
        state.units[unit].knownCylinder = UInt8(truncatingIfNeeded: Int(state.units[unit].knownCylinder) + steps)
        return UInt64(steps.magnitude &+ 1) &* Self.stepTime
    }

    /// SEEK and RELATIVE SEEK. The chip does not look where the head is.
    mutating func seek(_ unit: Int, by steps: Int, at now: UInt64) {
        let head = state.bytes[1] & 4
        toCommandPhase()
        let time = step(unit, by: steps)
        beginSeek(unit, [.seekEnd], head: head, until: now &+ time)
    }

    /// Up to 79 steps outwards, until the drive says track 0.
    mutating func recalibrate(_ unit: Int, at now: UInt64) {
        toCommandPhase()
        let steps = drives[unit].isPresent ? min(Int(state.units[unit].cylinder), 79) : 79
        let time = step(unit, by: -steps)
        state.units[unit].knownCylinder = 0
        let status: Status0 = isAtTrack0(unit) ? [.seekEnd] : [.seekEnd, .equipmentCheck, .abnormal]
        beginSeek(unit, status, head: 0, until: now &+ time)
    }

    private mutating func beginSeek(_ unit: Int, _ status: Status0, head: UInt8, until end: UInt64) {
        state.units[unit].isPending = false
        state.units[unit].status = status.rawValue | head | UInt8(unit)
        state.units[unit].seekEnd = max(end, 1)
    }

    // MARK: Time

    /// When `advance` has something to do; nil: nothing that time brings.
    public var nextEvent: UInt64? {
        var next = state.units.map(\.seekEnd).filter { $0 != 0 }.min()
        if let deadline = transferDeadline { next = min(next ?? deadline, deadline) }
        return next
    }

    private var transferDeadline: UInt64? {
        guard state.phase == .execution, state.transfer.step != .medium, state.transfer.deadline != Transfer.never
        else { return nil }
        return state.transfer.deadline
    }

    /// - Parameter now: virtual time in nanoseconds, as with every function that has it.
    public mutating func advance(to now: UInt64) {
        for unit in state.units.indices where state.units[unit].seekEnd != 0 && state.units[unit].seekEnd <= now {
            state.units[unit].seekEnd = 0
            state.units[unit].isPending = true
            state.isSenseRaised = true
        }
        guard let deadline = transferDeadline, deadline <= now else { return }
        if state.transfer.step == .searching { search(at: now) } else { overrun(at: now) }
    }
}
