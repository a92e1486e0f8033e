// The C functions that the host calls, forwarding to the instance's overrides.
// SAFETY for this file: `raw` is what create handed out (a retained Instance), valid until destroy, which releases it; every
// pointer is the host's and valid for the call, as plugin.h says.

typealias Raw = UnsafeMutableRawPointer?

@inline(__always)
func with<R>(_ raw: Raw, _ body: (Instance) -> R) -> R {
    Unmanaged<Instance>.fromOpaque(raw.unsafelyUnwrapped)._withUnsafeGuaranteedRef { body($0) }
}

/// Runs a throwing callback; the error's text goes to the host.
@inline(__always)
func reporting(_ raw: Raw, _ body: (Instance) throws(PluginError) -> Void) -> bp_status {
    with(raw) { instance in
        do throws(PluginError) {
            try body(instance)
            return Status.ok.rawValue
        } catch {
            instance.host.fail(error.text)
            return error.status == .ok ? Status.fault.rawValue : error.status.rawValue
        }
    }
}

enum Handlers {
    static let read: bp_read_handler = { raw, access, value in
        with(raw) { instance in
            let result = instance.read(Access(raw: access.unsafelyUnwrapped))
            value.unsafelyUnwrapped.pointee = result.value
            return result.status.rawValue
        }
    }
    static let write: bp_write_handler = { raw, access, value in
        with(raw) { $0.write(Access(raw: access.unsafelyUnwrapped), value).rawValue }
    }
    static let readBulk: bp_bulk_read_handler = { raw, access, bytes, count, done in
        with(raw) { instance in
            let access = Access(raw: access.unsafelyUnwrapped)
            let length = Int(clamping: count) &* access.width
            let buffer = UnsafeMutableRawBufferPointer(start: bytes, count: length)
            done?.pointee = UInt64(clamping: instance.readBulk(access, into: buffer))
            return 0
        }
    }
    static let writeBulk: bp_bulk_write_handler = { raw, access, bytes, count, done in
        with(raw) { instance in
            let access = Access(raw: access.unsafelyUnwrapped)
            let buffer = UnsafeRawBufferPointer(start: bytes, count: Int(clamping: count) &* access.width)
            done?.pointee = UInt64(clamping: instance.writeBulk(access, from: buffer))
            return 0
        }
    }
    static let timer: bp_timer_handler = { raw, cookie, now in with(raw) { $0.timerFired(cookie: cookie, at: now) } }
    static let event: bp_event_handler = { raw, cookie, descriptor, events in
        with(raw) { $0.descriptorReady(cookie: cookie, descriptor: descriptor, events: .init(rawValue: events)) }
    }
    static let posted: bp_posted = { raw, argument in with(raw) { $0.posted(UInt(bitPattern: argument)) } }
    static let retired: bp_posted = { raw, vcpu in
        with(raw) { $0.instructionsRetired(vcpu: UInt32(truncatingIfNeeded: UInt(bitPattern: vcpu))) }
    }
    static let powerButton: bp_posted = { raw, _ in with(raw) { $0.powerButton() } }
    static let consoleReceive: @convention(c) (Raw, UnsafeRawPointer?, UInt64) -> Void = { raw, bytes, length in
        with(raw) { $0.consoleReceived(UnsafeRawBufferPointer(start: bytes, count: Int(clamping: length))) }
    }
    static let consoleBreak: @convention(c) (Raw) -> Void = { raw in with(raw) { $0.consoleBreak() } }
    static let consoleShown: @convention(c) (Raw, UInt32, UInt32) -> Void = { raw, columns, rows in
        with(raw) { $0.consoleShown(columns: Int(columns), rows: Int(rows)) }
    }
    static let consoleSized: @convention(c) (Raw, UInt32, UInt32) -> Void = { raw, columns, rows in
        with(raw) { $0.consoleSized(columns: Int(columns), rows: Int(rows)) }
    }
    static let consoleThrottle: @convention(c) (Raw, UInt32) -> Void = { raw, on in
        with(raw) { $0.consoleThrottled(on != 0) }
    }
}

/// Fills in the lifecycle of a class.
func setLifecycle(of type: inout bp_class) {
    type.create = createInstance
    type.query_interface = queryInterface
    type.connect = { raw in reporting(raw) { (i) throws(PluginError) in try i.connect() } }
    type.reset = { raw, kind in with(raw) { $0.reset(warm: kind != 0) } }
    type.start = { raw in reporting(raw) { (i) throws(PluginError) in try i.start() } }
    type.quiesce = { raw in
        var isDone = true
        let status = reporting(raw) { (i) throws(PluginError) in isDone = try i.quiesce() }
        return status == 0 && !isDone ? Status.pending.rawValue : status
    }
    type.save = { raw, state in
        reporting(raw) { (i) throws(PluginError) in
            guard let state else { return }
            try i.save(
                to: StateWriter(raw: state, table: try i.host.required("state/1", as: bp_state_1.self)))
        }
    }
    type.load = { raw, version, state in
        reporting(raw) { (i) throws(PluginError) in
            guard let state else { return }
            let table = try i.host.required("state/1", as: bp_state_1.self)
            try i.load(version: version, from: StateReader(raw: state, table: table))
        }
    }
    type.disconnect = { raw in with(raw) { $0.disconnect() } }
    type.destroy = { raw in Unmanaged<Instance>.fromOpaque(raw.unsafelyUnwrapped).release() }
    type.set_property = setProperty
}

/// `bp_class.user` holds the PluginClass that made the class, retained for ever.
private func definition(of type: UnsafePointer<bp_class>?) -> ClassDefinition? {
    type?.pointee.user.map { Unmanaged<ClassDefinition>.fromOpaque($0).takeUnretainedValue() }
}

private let createInstance:
    @convention(c) (
        UnsafePointer<bp_class>?, UnsafePointer<bp_host>?, UnsafePointer<bp_value>?, UnsafeMutablePointer<Raw>?
    ) -> bp_status = { type, host, values, out in
        guard let definition = definition(of: type), let host, let out else { return Status.invalid.rawValue }
        let context = Host(host)
        // A class without properties may get no array at all.
        let values = Values(base: values ?? noValues, names: values == nil ? [] : definition.propertyNames)
        do throws(PluginError) {
            let instance = try definition.make(context, values)
            instance.definition = definition
            out.pointee = Unmanaged.passRetained(instance).toOpaque()
            return Status.ok.rawValue
        } catch {
            context.fail(error.text)
            return error.status == .ok ? Status.invalid.rawValue : error.status.rawValue
        }
    }

let checkInstance:
    @convention(c) (UnsafePointer<bp_class>?, UnsafePointer<bp_host>?, UnsafePointer<bp_value>?) -> bp_status = {
        type, host, values in
        guard let definition = definition(of: type), let host else { return Status.invalid.rawValue }
        let context = Host(host)
        let values = Values(base: values ?? noValues, names: values == nil ? [] : definition.propertyNames)
        do throws(PluginError) {
            try definition.check?(context, values)
            return Status.ok.rawValue
        } catch {
            context.fail(error.text)
            return error.status == .ok ? Status.invalid.rawValue : error.status.rawValue
        }
    }

// SAFETY: never dereferenced; the list of names that goes with it is empty.
nonisolated(unsafe) private let noValues = UnsafePointer<bp_value>(bitPattern: 8).unsafelyUnwrapped

private let setProperty: @convention(c) (Raw, UInt32, UnsafePointer<bp_value>?) -> bp_status = { raw, index, value in
    reporting(raw) { (i) throws(PluginError) in
        guard let value, let names = i.definition?.propertyNames, Int(index) < names.count else {
            throw PluginError("no such property")
        }
        try i.setProperty(names[Int(index)], to: Values(base: value, names: [names[Int(index)]]))
    }
}
