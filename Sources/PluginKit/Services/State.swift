/// Where `save` puts the instance's fields ("state/1").
public struct StateWriter {
    let raw: OpaquePointer
    let table: UnsafePointer<bp_state_1>

    /// `optional`: a reader that does not know the key may ignore it.
    public func put(_ key: StaticString, _ value: some FixedWidthInteger, optional: Bool = false) {
        let flags = UInt32(optional ? BP_FIELD_OPTIONAL : 0)
        _ = table.pointee.put_unsigned(raw, key.cString, UInt64(truncatingIfNeeded: value), flags)
    }

    public func put(_ key: StaticString, _ flag: Bool, optional: Bool = false) {
        put(key, flag ? 1 as UInt8 : 0, optional: optional)
    }

    public func put(_ key: StaticString, _ bytes: [UInt8], optional: Bool = false) {
        let flags = UInt32(optional ? BP_FIELD_OPTIONAL : 0)
        bytes.withUnsafeBytes {
            _ = table.pointee.put_bytes(raw, key.cString, $0.baseAddress, UInt64($0.count), flags)
        }
    }
}

/// Where `load` gets them: hostile input.
public struct StateReader {
    let raw: OpaquePointer
    let table: UnsafePointer<bp_state_1>

    /// Throws where the field is missing or its value does not fit `T` (a signed `T` takes the same bits).
    public func get<T: FixedWidthInteger>(_ key: StaticString, as type: T.Type = T.self) throws(PluginError) -> T {
        var value: UInt64 = 0
        try Status(rawValue: table.pointee.get_unsigned(raw, key.cString, &value)).check("field " + key.description)
        let converted = T(truncatingIfNeeded: value)
        guard UInt64(truncatingIfNeeded: converted) == value else {
            throw PluginError("field " + key.description + ": value out of range")
        }
        return converted
    }

    public func get(_ key: StaticString) throws(PluginError) -> Bool {
        let value: UInt8 = try get(key)
        guard value <= 1 else { throw PluginError("field " + key.description + ": neither 0 nor 1") }
        return value == 1
    }

    /// `count`: the only length that is accepted; nil: any.
    public func get(_ key: StaticString, count: Int?) throws(PluginError) -> [UInt8] {
        var base: UnsafeRawPointer?
        var length: UInt64 = 0
        try Status(rawValue: table.pointee.get_bytes(raw, key.cString, &base, &length))
            .check("field " + key.description)
        guard count == nil || UInt64(exactly: count ?? 0) == length else {
            throw PluginError("field " + key.description + ": wrong length")
        }
        return [UInt8](UnsafeRawBufferPointer(start: base, count: Int(clamping: length)))
    }

    /// An enum or option set by its raw value; throws where there is no such case.
    public func get<T: RawRepresentable>(_ key: StaticString, as type: T.Type = T.self) throws(PluginError) -> T
    where T.RawValue: FixedWidthInteger {
        let rawValue: T.RawValue = try get(key)
        guard let value = T(rawValue: rawValue) else {
            throw PluginError("field " + key.description + ": no such value")
        }
        return value
    }

    public func has(_ key: StaticString) -> Bool {
        var value: UInt64 = 0
        var base: UnsafeRawPointer?
        return table.pointee.get_unsigned(raw, key.cString, &value) == 0
            || table.pointee.get_bytes(raw, key.cString, &base, &value) == 0
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
