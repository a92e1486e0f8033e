/// The machines of this process ("guests/1", since ABI 1.3), for policies. Numbers begin at 1.
public struct Guests: @unchecked Sendable {
    let host: Host
    let table: UnsafePointer<bp_guests_1>

    /// When this machine runs.
    public enum RunMode: UInt32, Sendable {
        case always = 0
        /// While it is in the foreground.
        case foreground
        /// In turn with all others of this mode.
        case turn
    }

    public var count: UInt32 { table.pointee.count(host.raw) }
    /// This machine's number.
    public var own: UInt32 { table.pointee.own(host.raw) }
    /// 0: all have ended.
    public var foreground: UInt32 { table.pointee.foreground(host.raw) }

    /// nil: there is no such guest.
    public func name(_ number: UInt32) -> String? {
        var length: UInt64 = 256
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
            guard table.pointee.name(host.raw, number, buffer.baseAddress, &length) == 0 else { return nil }
            return String(decoding: UnsafeRawBufferPointer(buffer).prefix(Int(clamping: length)), as: UTF8.self)
        }
    }

    /// Brings a guest to the foreground, soon after; 0: the next one that runs. Throws where there is none, or it has ended.
    public func bring(_ number: UInt32) throws(PluginError) {
        try Status(rawValue: table.pointee.bring(host.raw, number)).check("bringing guest \(number) to the foreground")
    }

    /// `quantum` in ns: of the mode `turn`, how long a turn lasts while others wait.
    public func run(_ mode: RunMode, quantum: UInt64 = 0) throws(PluginError) {
        try Status(rawValue: table.pointee.run_when(host.raw, mode.rawValue, quantum)).check("asking to run")
    }
}

extension Host {
    public var guests: Guests {
        get throws(PluginError) { Guests(host: self, table: try required("guests/1", as: bp_guests_1.self)) }
    }
}
