/// A plugin library. A Swift plugin ends with:
///
///     let library = Library(
///         "lfsr", version: "1.0", summary: "...", licence: "Apache-2.0", needsMinor: 0, classes: [LFSR.definition])
///     @c(backplane_plugin)
///     public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
///         library.descriptor(hostMajor: major, hostMinor: minor)
///     }
public final class Library: @unchecked Sendable {
    private let plugin: UnsafePointer<bp_plugin>

    /// - Parameter needsMinor: the lowest minor of the ABI without which the library cannot work: hosts of an older one refuse it, and name
    ///   both. What a later minor added and the library can do without counts nothing; PluginKit asks the host for that by itself.
    public init(
        _ name: StaticString, version: StaticString, summary: StaticString, licence: StaticString = "Apache-2.0",
        needsMinor: UInt16, classes: [ClassDefinition]
    ) {
        // SAFETY: the descriptor is static, as the ABI demands: allocated once and never freed.
        let descriptor = UnsafeMutablePointer<bp_plugin>.allocate(capacity: 1)
        var value = bp_plugin()
        value.size = UInt32(MemoryLayout<bp_plugin>.size)
        value.abi_major = UInt16(BP_ABI_MAJOR)
        value.abi_minor = needsMinor
        value.class_count = UInt32(classes.count)
        value.name = name.cString
        value.version = version.cString
        value.summary = summary.cString
        value.licence = licence.cString
        value.classes = pointers(classes.map { $0.cDescriptor() })
        descriptor.initialize(to: value)
        plugin = UnsafePointer(descriptor)
    }

    /// nil where this library cannot work with the host.
    public func descriptor(hostMajor: UInt32, hostMinor: UInt32) -> UnsafePointer<bp_plugin>? {
        // The host compares the versions too and names both; a descriptor of the same major is always readable.
        hostMajor == UInt32(BP_ABI_MAJOR) ? plugin : nil
    }
}

/// An array of pointers to constants, never freed.
private func pointers<T>(_ values: [T]) -> UnsafePointer<UnsafePointer<T>?>? {
    guard !values.isEmpty else { return nil }
    let array = UnsafeMutablePointer<UnsafePointer<T>?>.allocate(capacity: values.count)
    for (index, value) in values.enumerated() {
        let copy = UnsafeMutablePointer<T>.allocate(capacity: 1)
        copy.initialize(to: value)
        (array + index).initialize(to: UnsafePointer(copy))
    }
    return UnsafePointer(array)
}

/// A NULL-terminated array of texts, never freed; NULL for none.
private func texts(_ values: [StaticString]) -> UnsafePointer<UnsafePointer<CChar>?>? {
    values.isEmpty ? nil : list(values)
}

/// The same, and for none an array that ends at once.
private func list(_ values: [StaticString]) -> UnsafePointer<UnsafePointer<CChar>?>? {
    let array = UnsafeMutablePointer<UnsafePointer<CChar>?>.allocate(capacity: values.count + 1)
    for (index, value) in values.enumerated() { (array + index).initialize(to: value.cString) }
    (array + values.count).initialize(to: nil)
    return UnsafePointer(array)
}

extension ClassDefinition {
    func cDescriptor() -> bp_class {
        var type = bp_class()
        type.size = UInt32(MemoryLayout<bp_class>.size)
        type.kind = kind.rawValue
        type.flags = UInt16(isSavable ? 0 : BP_CLASS_NOT_SAVABLE)
        type.state_version = stateVersion
        type.name = name.cString
        type.summary = summary.cString
        type.property_count = UInt32(properties.count)
        type.slot_count = UInt32(slots.count)
        type.provided_count = UInt32(provides.count)
        type.method_count = UInt32(methods.count)
        type.properties = pointers(properties.map { $0.cDescriptor() })
        type.slots = pointers(slots.map { $0.cDescriptor() })
        type.provided = pointers(provides.map { $0.cDescriptor() })
        type.methods = pointers(methods.map { $0.cDescriptor() })
        type.node_count = UInt32(firmware.count)
        type.nodes = pointers(firmware.map { $0.cDescriptor() })
        type.user = Unmanaged.passRetained(self).toOpaque()
        if kind == .policy { type.policy = UnsafePointer(policyTable) }
        setLifecycle(of: &type)
        if check != nil { type.check = checkInstance }
        return type
    }
}

extension Property {
    func cDescriptor() -> bp_property {
        var flags = 0
        if isRequired { flags |= BP_PROPERTY_REQUIRED }
        if isList { flags |= BP_PROPERTY_LIST }
        if isLive { flags |= BP_PROPERTY_LIVE }
        if bounds != nil { flags |= BP_PROPERTY_BOUNDED }
        return bp_property(
            size: UInt32(MemoryLayout<bp_property>.size), type: kind.rawValue, flags: UInt16(flags), name: name.cString,
            default_value: defaultValue?.cString, doc: doc.cString, unit: unit?.cString, choices: texts(choices),
            minimum: bounds?.lowerBound ?? 0, maximum: bounds?.upperBound ?? 0)
    }
}

extension Slot {
    func cDescriptor() -> bp_slot {
        bp_slot(
            size: UInt32(MemoryLayout<bp_slot>.size),
            flags: UInt32((isOptional ? BP_SLOT_OPTIONAL : 0) | (isMany ? BP_SLOT_MANY : 0)), name: name.cString,
            interface: interface.cString, doc: doc.cString, client: client)
    }
}

extension Provides {
    func cDescriptor() -> bp_provided {
        bp_provided(
            size: UInt32(MemoryLayout<bp_provided>.size),
            flags: UInt32((isShared ? BP_PROVIDED_SHARED : 0) | (mayCycle ? BP_PROVIDED_MAY_CYCLE : 0)),
            name: interface.cString, doc: doc.cString, descriptor: descriptor, count: count, reserved: 0)
    }
}

extension FirmwareNode {
    func cDescriptor() -> bp_firmware_node {
        let bytes = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: max(1, template.count))
        _ = bytes.initialize(from: template)
        return bp_firmware_node(
            size: UInt32(MemoryLayout<bp_firmware_node>.size), role: role.rawValue, flags: flags.rawValue,
            hid: hid?.cString, cids: texts(cids), claims: claims.flatMap { list($0) },
            slots: slots.flatMap { list($0) },
            aml: UnsafePointer(bytes.baseAddress), aml_length: UInt64(template.count), links: texts(links))
    }
}

extension Method {
    func cDescriptor() -> bp_method {
        let list = parameters.map {
            bp_parameter(size: UInt32(MemoryLayout<bp_parameter>.size), type: $0.kind.rawValue, name: $0.name.cString)
        }
        return bp_method(
            size: UInt32(MemoryLayout<bp_method>.size), result: result.rawValue, name: name.cString, doc: doc.cString,
            parameters: pointers(list), parameter_count: UInt32(list.count), flags: 0, function: function)
    }
}

// SAFETY: a constant, allocated once and never freed.
nonisolated(unsafe) private let policyTable: UnsafeMutablePointer<bp_policy> = {
    let table = UnsafeMutablePointer<bp_policy>.allocate(capacity: 1)
    table.initialize(
        to: bp_policy(
            size: UInt32(MemoryLayout<bp_policy>.size), reserved: 0,
            decide: { raw, exit, verdict in
                with(raw) { $0.decide(&exit.unsafelyUnwrapped.pointee).store(in: verdict.unsafelyUnwrapped) }
            },
            observe: { raw, exit, outcome in
                with(raw) { $0.observe(exit.unsafelyUnwrapped.pointee, outcome.unsafelyUnwrapped.pointee) }
            }))
    return table
}()

extension Verdict {
    /// The C form: returns BP_VERDICT_*, details in `out`.
    func store(in out: UnsafeMutablePointer<bp_verdict>) -> UInt32 {
        switch self {
        case .continue: return UInt32(BP_VERDICT_CONTINUE)
        case .handled: return UInt32(BP_VERDICT_HANDLED)
        case .inject(let vector, let errorCode):
            out.pointee.vector = UInt32(vector)
            out.pointee.error_code = errorCode ?? 0
            out.pointee.has_error_code = errorCode == nil ? 0 : 1
            return UInt32(BP_VERDICT_INJECT)
        case .pause: return UInt32(BP_VERDICT_PAUSE)
        case .stop(let status):
            out.pointee.status = status
            return UInt32(BP_VERDICT_STOP)
        case .reset: return UInt32(BP_VERDICT_RESET)
        case .delay(let nanoseconds):
            guard UnsafePointer(out).has(\.delay) else { return UInt32(BP_VERDICT_CONTINUE) }
            out.pointee.delay = nanoseconds
            return UInt32(BP_VERDICT_DELAY)
        case .switchTo(let guest):
            out.pointee.status = guest
            return UInt32(BP_VERDICT_SWITCH)
        }
    }
}
