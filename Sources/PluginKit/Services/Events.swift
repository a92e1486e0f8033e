/// Host file descriptors, and work from other threads ("events/1").
public struct Events: @unchecked Sendable {
    let host: Host
    let table: UnsafePointer<bp_events_1>

    public struct Interest: OptionSet, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        public static let read = Interest(rawValue: 1)
        public static let write = Interest(rawValue: 2)
        /// Only reported, never asked for.
        public static let hangup = Interest(rawValue: 4)
        public static let error = Interest(rawValue: 8)
    }

    public struct Watch: Equatable, Sendable { public let id: bp_id }

    /// Calls `Instance.descriptorReady` while one of `interest` holds (level-triggered).
    public func watch(_ descriptor: Int32, _ interest: Interest, cookie: UInt64 = 0) throws(PluginError) -> Watch {
        var id: bp_id = 0
        try Status(
            rawValue: table.pointee.watch(
                host.raw, descriptor, interest.rawValue, Handlers.event, cookie, &id)
        ).check("watching a descriptor")
        return Watch(id: id)
    }

    public func change(_ watch: Watch, to interest: Interest) {
        _ = table.pointee.change(host.raw, watch.id, interest.rawValue)
    }

    /// The descriptor stays the plugin's, to close afterwards.
    public func unwatch(_ watch: Watch) { _ = table.pointee.unwatch(host.raw, watch.id) }

    /// From any thread: has `Instance.posted(argument)` called on the machine's side. False once disconnect has begun.
    @discardableResult
    public func post(_ argument: UInt) -> Bool {
        table.pointee.post(host.raw, Handlers.posted, UnsafeMutableRawPointer(bitPattern: argument)) == 0
    }
}

extension Events {
    /// Announces a `post` of this argument, the answer to something that was just asked of the host. Where runs repeat exactly (a counted
    /// clock), `Instance.posted` gets it `delay` virtual nanoseconds from now, neither sooner nor later: the guest's time stands still until it
    /// comes. One announcement for each post. Nothing with other clocks, and with hosts older than ABI 1.2.
    public func expect(_ argument: UInt, after delay: UInt64) {
        guard table.has(\.expect) else { return }
        _ = table.pointee.expect(host.raw, Handlers.posted, UnsafeMutableRawPointer(bitPattern: argument), delay)
    }

    /// Posts of this argument that were announced will not come.
    public func forget(_ argument: UInt) {
        guard table.has(\.forget) else { return }
        table.pointee.forget(host.raw, Handlers.posted, UnsafeMutableRawPointer(bitPattern: argument))
    }
}

extension Host {
    public var events: Events {
        get throws(PluginError) { Events(host: self, table: try required("events/1", as: bp_events_1.self)) }
    }
}
