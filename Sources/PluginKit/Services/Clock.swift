/// The machine's virtual clock ("clock/1").
public struct Clock: @unchecked Sendable {
    let host: Host
    let table: UnsafePointer<bp_clock_1>

    /// Nanoseconds since power-on; stands still while the machine is paused.
    public var now: UInt64 { table.pointee.now(host.raw) }

    /// Runs repeat exactly: nothing may depend on how fast the host is, nor on what lies in its caches. A host from before ABI 1.10 does not
    /// say, and is taken to.
    public var isCounted: Bool {
        guard table.has(\.is_counted), let ask = table.pointee.is_counted else { return true }
        return ask(host.raw) != 0
    }

    /// A timer that calls `Instance.timerFired(cookie, at:)`.
    public func timer(cookie: UInt64 = 0) throws(PluginError) -> Timer {
        var id: bp_id = 0
        try Status(rawValue: table.pointee.timer(host.raw, Handlers.timer, cookie, &id)).check("making a timer")
        return Timer(clock: self, id: id)
    }
}

public struct Timer: @unchecked Sendable {
    let clock: Clock
    let id: bp_id

    /// Fires once at `deadline` (absolute; past: at once, but not inside this call); replaces an earlier setting.
    public func set(at deadline: UInt64) { _ = clock.table.pointee.set(clock.host.raw, id, deadline) }
    public func cancel() { _ = clock.table.pointee.cancel(clock.host.raw, id) }
    /// nil cancels.
    public func set(at deadline: UInt64?) {
        if let deadline { set(at: deadline) } else { cancel() }
    }
}

extension Host {
    public var clock: Clock {
        get throws(PluginError) { Clock(host: self, table: try required("clock/1", as: bp_clock_1.self)) }
    }
}
