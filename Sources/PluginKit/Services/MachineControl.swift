/// Requests about the whole machine ("machine/1"); they take effect after the callback, where the vCPUs are quiet.
public struct MachineControl {
    let host: Host
    let table: UnsafePointer<bp_machine_1>

    /// Ends the machine with this exit status of the process.
    public func stop(status: UInt32) { table.pointee.stop(host.raw, status) }
    public func reset() { table.pointee.reset(host.raw) }
    /// The guest and its clock stand still until an operator continues it. False: the host is older than ABI 1.3.
    public func pause() -> Bool {
        guard table.has(\.pause) else { return false }
        table.pointee.pause(host.raw)
        return true
    }
    public func powerOff() { table.pointee.power_off(host.raw) }
    /// `Instance.powerButton` is called when an operator asks the guest to power off.
    public func listenToPowerButton() { _ = table.pointee.on_power_button(host.raw, Handlers.powerButton, nil) }
}

/// The outside world ("host/1"); fixed by the machine file where runs must repeat.
public struct World {
    let host: Host
    let table: UnsafePointer<bp_host_1>

    /// UTC since 1970 at this virtual instant.
    public var wallClock: (seconds: Int64, nanoseconds: UInt32) {
        var seconds: Int64 = 0
        var nanoseconds: UInt32 = 0
        table.pointee.wall_clock(host.raw, &seconds, &nanoseconds)
        return (seconds, nanoseconds)
    }

    public func entropy(count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: max(0, count))
        bytes.withUnsafeMutableBytes { table.pointee.entropy(host.raw, $0.baseAddress, UInt64($0.count)) }
        return bytes
    }
}

/// A client of the terminal that the host's control plane owns ("console/1").
public struct Console {
    let host: Host
    let table: UnsafePointer<bp_console_1>

    /// Bytes typed come to `Instance.consoleReceived`, flow control to `consoleThrottled`, breaks to `consoleBreak`, the terminal's size to
    /// `consoleSized`.
    public func open() throws(PluginError) {
        try Status(rawValue: table.pointee.open(host.raw, Handlers.consoleReceive, Handlers.consoleThrottle))
            .check("opening the console")
        // A host of ABI 1.0 knows no break.
        if table.has(\.on_break) { _ = table.pointee.on_break(host.raw, Handlers.consoleBreak) }
        if table.has(\.on_size) { _ = table.pointee.on_size(host.raw, Handlers.consoleSized) }
    }
    /// As `open`, for an instance that paints the whole window: its size, and whether it has it, come to `Instance.consoleShown`. False: there is
    /// no window to paint, or the host is older than ABI 1.7.
    public func openWindow() throws(PluginError) -> Bool {
        guard table.has(\.open_window) else { return false }
        let status = Status(
            rawValue: table.pointee.open_window(
                host.raw, Handlers.consoleReceive, Handlers.consoleThrottle, Handlers.consoleShown))
        if status == .unsupported { return false }
        try status.check("opening the console's window")
        return true
    }
    public func write(_ bytes: UnsafeRawBufferPointer) {
        _ = table.pointee.write(host.raw, bytes.baseAddress, UInt64(bytes.count))
    }
    /// The instance can receive `room` bytes in all.
    public func ready(_ room: UInt64) { _ = table.pointee.ready(host.raw, room) }
}

extension Host {
    public var machine: MachineControl {
        get throws(PluginError) { MachineControl(host: self, table: try required("machine/1", as: bp_machine_1.self)) }
    }
    public var world: World {
        get throws(PluginError) { World(host: self, table: try required("host/1", as: bp_host_1.self)) }
    }
    public var console: Console {
        get throws(PluginError) { Console(host: self, table: try required("console/1", as: bp_console_1.self)) }
    }
}
