// One instance of a plugin class: its context, what it owns, and the calls into it.
// SAFETY for this file: C memory allocated here (node, context) is freed in deinit, after `destroy`; every call into the
// plugin happens with the machine's lock held.

import CBackplane
import CHost

public final class PluginInstance: @unchecked Sendable {
    /// `connected` from the beginning of connect on, `disconnected` and `destroyed` likewise.
    enum Phase: Int { case none, created, connected, disconnected, destroyed }

    unowned(unsafe) let machine: Machine
    /// The machine's, to be read without a retain: devices ask for the time at every access.
    let clock: Unmanaged<VirtualClock>
    /// The same, for the check of the thread.
    let running: UnsafeMutablePointer<ch_machine>
    public internal(set) var description: InstanceDescription
    let library: PluginLibrary
    let type: UnsafePointer<bp_class>
    let node: UnsafeMutablePointer<ch_node>
    let context: UnsafeMutablePointer<bp_host>
    /// The plugin's own `self`.
    var raw: UnsafeMutableRawPointer?
    var phase = Phase.none
    /// What `fail` said last.
    var failure = ""
    /// What the core knows of a conflict that the plugin only sees as a status: both owners.
    var conflict = ""
    /// In create or connect, and what was refused there: part of their error, or told once they are done.
    var isComingUp = false
    var comingUp: [String] = []
    /// In save and load: what state/1 works on.
    var openState: (buffer: StateBuffer, isLoading: Bool)?
    /// It has asked for a wire that is not there, and for no claim since.
    var hasMissedWire = false
    /// Why it is off line.
    var offlineReason = ""
    var reply: [UInt8] = []
    var hasQuiesced = true
    /// Ends of this instance's slots: [slot][position].
    var wires: [[WireEnd]] = []
    var consoleClient: ConsoleClient?
    /// Of its properties, by position; those that are live change.
    var values: [Value?]

    public var id: String { description.id }
    public var isOffline: Bool { node.pointee.is_offline != 0 }

    init(_ description: InstanceDescription, library: PluginLibrary, machine: Machine) throws(MachineError) {
        guard let type = library.classPointer(named: description.type.name) else {
            throw MachineError(
                "\(library.path) has no class '\(description.type.name)'", location: description.location)
        }
        self.machine = machine
        clock = .passUnretained(machine.clock)
        running = machine.host
        self.description = description
        self.library = library
        values = description.values
        self.type = type
        wires = description.type.slots.map { _ in [] }
        node = .allocate(capacity: 1)
        node.initialize(
            to: ch_node(
                depth: 0, is_offline: 0, id: PluginInstance.copy(description.id),
                plugin: PluginInstance.copy(description.type.name)))
        context = .allocate(capacity: 1)
        context.initialize(to: bp_host())
        context.pointee.size = UInt32(MemoryLayout<bp_host>.size)
        context.pointee.id = node.pointee.id
        context.pointee.opaque = Unmanaged.passUnretained(self).toOpaque()
        context.pointee.service = HostFunctions.service
        context.pointee.fail = HostFunctions.fail
        context.pointee.reply = HostFunctions.reply
    }

    deinit {
        node.pointee.id.map { UnsafeMutablePointer(mutating: $0).deallocate() }
        node.pointee.plugin.map { UnsafeMutablePointer(mutating: $0).deallocate() }
        node.deallocate()
        context.deallocate()
    }

    private static func copy(_ text: String) -> UnsafePointer<CChar> {
        let utf8 = text.utf8CString
        let copy = UnsafeMutablePointer<CChar>.allocate(capacity: utf8.count)
        _ = UnsafeMutableBufferPointer(start: copy, count: utf8.count).initialize(from: utf8)
        return UnsafePointer(copy)
    }

    /// The instance behind a host context, for what any thread may call.
    static func of(_ host: UnsafePointer<bp_host>?) -> PluginInstance? {
        host?.pointee.opaque.map { Unmanaged<PluginInstance>.fromOpaque($0).takeUnretainedValue() }
    }

    /// Runs a callback of the plugin with the bookkeeping that the crash reporter and the re-entrancy rule need.
    @inline(__always)
    func call<R>(_ what: ch_activity, _ address: UInt64 = 0, _ body: () -> R) -> R {
        let frame = ch_enter(machine.host, node, what, address)
        defer { ch_leave(machine.host, node, frame) }
        return body()
    }

    // MARK: Lifecycle

    func create() throws(MachineError) {
        let values = CValues(description.values, given: description.isGiven, types: description.type.properties)
        var result: UnsafeMutableRawPointer?
        let status = comeUp { call(ch_activity_create) { type.pointee.create(type, context, values.base, &result) } }
        if status == 0, result == nil, failure.isEmpty {
            failure = "create answers that all is well, and gives no instance"
        }
        guard status == 0, let result else { throw error("cannot be created", status) }
        raw = result
        phase = .created
    }

    /// Since ABI 1.4.
    var canBeChecked: Bool {
        let end = MemoryLayout<bp_class>.offset(of: \.check).map { $0 + MemoryLayout<UnsafeRawPointer>.size } ?? .max
        return Int(type.pointee.size) >= end && type.pointee.check != nil
    }

    /// In place of `create`: throws what it would throw, and nothing is made.
    func check() throws(MachineError) {
        failure = ""
        let values = CValues(description.values, given: description.isGiven, types: description.type.properties)
        let status = call(ch_activity_create) { type.pointee.check(type, context, values.base) }
        guard status == 0 else { throw error("cannot be created", status) }
    }

    /// The raw function table of an interface that this instance provides.
    func query(_ interface: String, _ index: UInt32, client: bp_peer?) throws(MachineError) -> bp_peer {
        var out = bp_peer()
        out.size = UInt32(MemoryLayout<bp_peer>.size)
        failure = ""
        let status = call(ch_activity_query) {
            guard let query = type.pointee.query_interface else { return Int32(BP_UNSUPPORTED) }
            guard var client else { return query(raw, interface, index, nil, &out) }
            return query(raw, interface, index, &client, &out)
        }
        guard status == 0, out.functions != nil else {
            throw error("does not give its interface '\(interface)'", status)
        }
        return out
    }

    func connect() throws(MachineError) {
        phase = .connected
        guard let connect = type.pointee.connect else { return }
        let status = comeUp { call(ch_activity_connect) { connect(raw) } }
        if status != 0 { throw error("cannot be connected", status) }
    }

    func reset(warm: Bool) {
        guard let reset = type.pointee.reset, !isOffline else { return }
        call(ch_activity_reset) { reset(raw, UInt32(warm ? BP_RESET_WARM : BP_RESET_POWER_ON)) }
        machine.regionsMayHaveChanged(of: self)
    }

    func start() throws(MachineError) {
        failure = ""
        guard let start = type.pointee.start, !isOffline else { return }
        let status = call(ch_activity_start) { start(raw) }
        if status != 0 { throw error("cannot be started", status, code: 4) }
    }

    /// False: `hasQuiesced` will become true.
    func quiesce() -> Bool {
        guard let quiesce = type.pointee.quiesce, !isOffline else { return true }
        hasQuiesced = false
        let status = call(ch_activity_quiesce) { quiesce(raw) }
        if status != Int32(BP_PENDING) { hasQuiesced = true }
        return hasQuiesced
    }

    public func save() throws(MachineError) -> StateBuffer {
        let state = StateBuffer(version: type.pointee.state_version)
        guard description.type.savable, let save = type.pointee.save else { return state }
        failure = ""
        openState = (state, false)
        let status = call(ch_activity_save) { save(raw, stateHandle) }
        openState = nil
        if status != 0 { throw error("cannot be saved", status, code: 4) }
        return state
    }

    /// Unchanged where it throws (unless the plugin broke its contract).
    public func load(_ state: StateBuffer) throws(MachineError) {
        guard type.pointee.load != nil else { return }
        // What the plugin does not know is known only when it has taken the rest: it then gets its own state back.
        let before = try save()
        let (status, unknown) = read(state)
        if status != 0 { throw error("refuses the saved state", status) }
        guard let key = unknown.first else { return }
        guard read(before).status == 0 else {
            throw error(
                "does not know the required field '\(key)' of a saved state, and refuses its own from before", 0,
                code: 4)
        }
        failure = ""
        throw error("does not know the required field '\(key)' of the saved state", 0)
    }

    private func read(_ state: StateBuffer) -> (status: bp_status, unknown: [String]) {
        guard let load = type.pointee.load else { return (0, []) }
        failure = ""
        state.beginReading()
        openState = (state, true)
        let status = call(ch_activity_load) { load(raw, state.version, stateHandle) }
        openState = nil
        return (status, state.endReading())
    }

    /// What the plugin holds as its `bp_state`. It is the instance, so that one that is kept for later is found out.
    private var stateHandle: OpaquePointer { OpaquePointer(Unmanaged.passUnretained(self).toOpaque()) }

    func disconnect() {
        guard phase == .connected else { return }
        phase = .disconnected
        if let disconnect = type.pointee.disconnect { call(ch_activity_disconnect) { disconnect(raw) } }
    }

    func destroy() {
        guard phase != .none, phase != .destroyed else { return }
        phase = .destroyed
        call(ch_activity_destroy) { type.pointee.destroy(raw) }
        raw = nil
    }

    /// The instance, its plugin and the plugin's sentence.
    func error(_ what: String, _ status: bp_status, code: Int32 = 2) -> MachineError {
        let sentence = failure.isEmpty ? (status == 0 ? "" : ": \(statusText(status))") : ": \(failure)"
        let details = (conflict.isEmpty ? [] : [conflict]) + comingUp
        comingUp = []
        let detail = details.isEmpty ? "" : ": " + details.joined(separator: "; ")
        var error = MachineError(
            "'\(id)' (\(description.type.name)) \(what)\(sentence)\(detail)", status: code,
            location: description.location)
        error.overrides = description.overrides
        return error
    }
}

/// One end of a wire, as the instance that holds the slot sees it.
struct WireEnd {
    var peer: bp_peer
    /// Number of the interrupt line, where the slot is one.
    var line: Int?
    /// Position among the line's drivers.
    var driver: Int
}

func statusText(_ status: bp_status) -> String {
    let texts = [
        "ok", "no such register", "bad width", "deferred", "fault", "pending", "busy", "not found", "invalid",
        "overlap", "out of memory", "refused", "stale", "I/O error", "read-only", "no space left", "not supported",
        "out of range",
    ]
    return texts.indices.contains(Int(status)) ? texts[Int(status)] : "unknown status \(status)"
}
