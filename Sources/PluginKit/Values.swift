/// The values of a class's properties as `create` gets them: resolved by the declared types, within the declared bounds.
/// A property that is not set (neither given nor defaulted) reads as zero or empty; `isSet` tells.
public struct Values {
    // SAFETY: borrowed from the host for the duration of create.
    let base: UnsafePointer<bp_value>
    let names: [String]

    private func find(_ name: String) -> UnsafePointer<bp_value>? {
        for index in names.indices where names[index] == name {
            let value = base + index
            return value.pointee.flags & UInt16(BP_VALUE_ABSENT) != 0 ? nil : value
        }
        return nil
    }

    public func isSet(_ name: String) -> Bool { find(name) != nil }
    /// The machine file gives it; otherwise it is the default.
    public func isGiven(_ name: String) -> Bool {
        guard let value = find(name) else { return false }
        return value.pointee.flags & UInt16(BP_VALUE_GIVEN) != 0
    }
    public func bool(_ name: String) -> Bool { unsigned(name) != 0 }
    /// Also of sizes (bytes), durations (nanoseconds), ports and addresses.
    public func unsigned(_ name: String) -> UInt64 { find(name)?.pointee.u ?? 0 }
    public func signed(_ name: String) -> Int64 { find(name)?.pointee.i ?? 0 }
    public func float(_ name: String) -> Double { find(name)?.pointee.f ?? 0 }
    public func port(_ name: String) -> UInt16 { UInt16(truncatingIfNeeded: unsigned(name)) }
    /// Also of paths (resolved) and choices.
    public func text(_ name: String) -> String { find(name).map { Values.text(of: $0) } ?? "" }
    /// Index among the property's choices.
    public func choice(_ name: String) -> Int { Int(truncatingIfNeeded: find(name)?.pointee.last ?? 0) }
    public func range(_ name: String) -> ClosedRange<UInt64>? { find(name).flatMap { Values.range(of: $0) } }

    public func unsignedList(_ name: String) -> [UInt64] { list(name) { $0.pointee.u } }
    public func textList(_ name: String) -> [String] { list(name) { Values.text(of: $0) } }
    public func rangeList(_ name: String) -> [ClosedRange<UInt64>] {
        list(name) { Values.range(of: $0) ?? 0...0 }
    }

    private func list<T>(_ name: String, _ convert: (UnsafePointer<bp_value>) -> T) -> [T] {
        guard let value = find(name), value.pointee.flags & UInt16(BP_VALUE_LIST) != 0,
            let items = value.pointee.items
        else { return [] }
        return (0..<Int(clamping: value.pointee.length)).map { convert(items + $0) }
    }

    static func text(of value: UnsafePointer<bp_value>) -> String {
        guard let text = value.pointee.text else { return "" }
        let bytes = UnsafeRawBufferPointer(start: text, count: Int(clamping: value.pointee.length))
        return String(decoding: bytes, as: UTF8.self)
    }

    static func range(of value: UnsafePointer<bp_value>) -> ClosedRange<UInt64>? {
        let (first, last) = (value.pointee.u, value.pointee.last)
        return first <= last ? first...last : nil
    }
}
