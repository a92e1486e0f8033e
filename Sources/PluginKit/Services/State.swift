/// Where `save` puts the instance's fields ("state/1").
public struct StateWriter {
    let raw: OpaquePointer
    let table: UnsafePointer<bp_state_1>
    private var prefix: StaticString = ""

    init(raw: OpaquePointer, table: UnsafePointer<bp_state_1>) { (self.raw, self.table) = (raw, table) }

    /// The same, with `prefix` before each key: for one of several equal parts.
    public func prefixed(_ prefix: StaticString) -> StateWriter {
        var writer = self
        writer.prefix = prefix
        return writer
    }

    /// `optional`: a reader that does not know the key may ignore it.
    public func put(_ key: StaticString, _ value: some FixedWidthInteger, optional: Bool = false) {
        let flags = UInt32(optional ? BP_FIELD_OPTIONAL : 0)
        withKey(prefix, key) { _ = table.pointee.put_unsigned(raw, $0, UInt64(truncatingIfNeeded: value), flags) }
    }

    public func put(_ key: StaticString, _ flag: Bool, optional: Bool = false) {
        put(key, flag ? 1 as UInt8 : 0, optional: optional)
    }

    public func put(_ key: StaticString, _ bytes: [UInt8], optional: Bool = false) {
        let flags = UInt32(optional ? BP_FIELD_OPTIONAL : 0)
        withKey(prefix, key) { key in
            bytes.withUnsafeBytes { _ = table.pointee.put_bytes(raw, key, $0.baseAddress, UInt64($0.count), flags) }
        }
    }
}

/// Where `load` gets them: hostile input.
public struct StateReader {
    let raw: OpaquePointer
    let table: UnsafePointer<bp_state_1>
    private var prefix: StaticString = ""

    init(raw: OpaquePointer, table: UnsafePointer<bp_state_1>) { (self.raw, self.table) = (raw, table) }

    /// The same, with `prefix` before each key.
    public func prefixed(_ prefix: StaticString) -> StateReader {
        var reader = self
        reader.prefix = prefix
        return reader
    }

    private func name(_ key: StaticString) -> String { "field " + prefix.description + key.description }

    /// Throws where the field is missing or its value does not fit `T` (a signed `T` takes the same bits).
    public func get<T: FixedWidthInteger>(_ key: StaticString, as type: T.Type = T.self) throws(PluginError) -> T {
        var value: UInt64 = 0
        try Status(rawValue: withKey(prefix, key) { table.pointee.get_unsigned(raw, $0, &value) }).check(name(key))
        let converted = T(truncatingIfNeeded: value)
        guard UInt64(truncatingIfNeeded: converted) == value else {
            throw PluginError(name(key) + ": value out of range")
        }
        return converted
    }

    public func get(_ key: StaticString) throws(PluginError) -> Bool {
        let value: UInt8 = try get(key)
        guard value <= 1 else { throw PluginError(name(key) + ": neither 0 nor 1") }
        return value == 1
    }

    /// `count`: the only length that is accepted; nil: any.
    public func get(_ key: StaticString, count: Int?) throws(PluginError) -> [UInt8] {
        var base: UnsafeRawPointer?
        var length: UInt64 = 0
        try Status(rawValue: withKey(prefix, key) { table.pointee.get_bytes(raw, $0, &base, &length) })
            .check(name(key))
        guard count == nil || UInt64(exactly: count ?? 0) == length else {
            throw PluginError(name(key) + ": wrong length")
        }
        return [UInt8](UnsafeRawBufferPointer(start: base, count: Int(clamping: length)))
    }

    /// An enum or option set by its raw value; throws where there is no such case.
    public func get<T: RawRepresentable>(_ key: StaticString, as type: T.Type = T.self) throws(PluginError) -> T
    where T.RawValue: FixedWidthInteger {
        let rawValue: T.RawValue = try get(key)
        guard let value = T(rawValue: rawValue) else {
            throw PluginError(name(key) + ": no such value")
        }
        return value
    }

    public func has(_ key: StaticString) -> Bool {
        var value: UInt64 = 0
        var base: UnsafeRawPointer?
        return withKey(prefix, key) {
            table.pointee.get_unsigned(raw, $0, &value) == 0 || table.pointee.get_bytes(raw, $0, &base, &value) == 0
        }
    }
}

/// Prefix and key as one C text, for the call.
private func withKey<R>(_ prefix: StaticString, _ key: StaticString, _ body: (UnsafePointer<CChar>) -> R) -> R {
    let (first, second) = (prefix.utf8CodeUnitCount, key.utf8CodeUnitCount)
    if first == 0 { return body(key.cString) }
    return withUnsafeTemporaryAllocation(of: CChar.self, capacity: first + second + 1) { buffer in
        // SAFETY: as long as the two texts and a NUL.
        let base = buffer.baseAddress.unsafelyUnwrapped
        base.initialize(from: prefix.cString, count: first)
        (base + first).initialize(from: key.cString, count: second + 1)
        return body(base)
    }
}

extension StaticString {
    /// SAFETY: a static string is NUL-terminated UTF-8 in the library's constants.
    var cString: UnsafePointer<CChar> { UnsafeRawPointer(utf8Start).assumingMemoryBound(to: CChar.self) }
}

extension Host {
    /// After `quiesce` answered false.
    public func quiesced() { table("state/1", as: bp_state_1.self)?.pointee.quiesced(raw) }
}
