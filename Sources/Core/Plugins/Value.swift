/// A property's value, resolved from its text by the property's declared type.
public enum Value: Sendable, Equatable {
    case bool(Bool)
    case unsigned(UInt64)
    case signed(Int64)
    /// Bytes.
    case size(UInt64)
    /// Nanoseconds.
    case duration(UInt64)
    case port(UInt16)
    /// Guest-physical.
    case address(UInt64)
    case text(String)
    /// Absolute, or relative to the working directory: resolved already.
    case path(String)
    case choice(String, index: Int)
    /// Inclusive at both ends.
    case range(ClosedRange<UInt64>)
    case float(Double)
    case list([Value])

    /// For people: tables, `show`.
    public var text: String {
        switch self {
        case .bool(let flag): flag ? "on" : "off"
        case .unsigned(let number): "\(number)"
        case .signed(let number): "\(number)"
        case .size(let bytes): Value.sizeText(bytes)
        case .duration(let nanoseconds): Value.durationText(nanoseconds)
        case .port(let port): "0x" + String(port, radix: 16)
        case .address(let address): "0x" + String(address, radix: 16)
        case .text(let text), .path(let text), .choice(let text, _): text
        case .range(let range):
            "0x" + String(range.lowerBound, radix: 16) + "-0x" + String(range.upperBound, radix: 16)
        case .float(let number): "\(number)"
        case .list(let items): "[" + items.map(\.text).joined(separator: ", ") + "]"
        }
    }

    static func sizeText(_ bytes: UInt64) -> String {
        for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] as [(UInt64, String)]
        where bytes >= 1 << shift && bytes & ((1 << shift) - 1) == 0 {
            return "\(bytes >> shift)\(unit)"
        }
        return "\(bytes)B"
    }

    static func durationText(_ nanoseconds: UInt64) -> String {
        for (factor, unit) in [(1_000_000_000, "s"), (1_000_000, "ms"), (1000, "us")] as [(UInt64, String)]
        where nanoseconds >= factor && nanoseconds % factor == 0 {
            return "\(nanoseconds / factor)\(unit)"
        }
        return "\(nanoseconds)ns"
    }
}
