import Core

/// Property values from texts, for callers without a machine file (the defaults that a class declares, `NAME=VALUE` of
/// a test). The command line parses with MachineFile, whose rules are the same and whose messages are better.
enum PropertyText {
    /// One value for each property of the class, and whether it was given.
    static func resolve(
        _ texts: [String: String], for type: ClassDescription
    ) throws(BenchError) -> (values: [Value?], given: [Bool]) {
        for name in texts.keys where !type.properties.contains(where: { $0.name == name }) {
            throw BenchError("'\(type.name)' has no property '\(name)'")
        }
        var values: [Value?] = []
        for property in type.properties {
            let text = texts[property.name] ?? property.defaultText
            if text == nil, property.isRequired { throw BenchError("the property '\(property.name)' is required") }
            values.append(try text.map { (text) throws(BenchError) in try value(text, property) })
        }
        return (values, type.properties.map { texts[$0.name] != nil })
    }

    private static func value(_ text: String, _ property: PropertyDescription) throws(BenchError) -> Value {
        let result: Value?
        if property.isList {
            let items = text.split(separator: ",").map { one(trimmed($0), property) }
            result = items.contains { $0 == nil } ? nil : .list(items.compactMap { $0 })
        } else {
            result = one(text, property)
        }
        guard let result else {
            throw BenchError("\(property.name): '\(text)' is not a value of type \(property.type.name)")
        }
        return result
    }

    private static func trimmed(_ text: Substring) -> String {
        var text = text.drop { $0 == " " }
        while text.last == " " { text.removeLast() }
        return String(text)
    }

    private static func one(_ text: String, _ property: PropertyDescription) -> Value? {
        switch property.type {
        case .bool:
            if ["true", "on", "yes"].contains(text) { return .bool(true) }
            return ["false", "off", "no"].contains(text) ? .bool(false) : nil
        case .unsigned: return number(text).map { .unsigned($0) }
        case .address: return number(text).map { .address($0) }
        case .port: return number(text).flatMap { UInt16(exactly: $0) }.map { .port($0) }
        case .signed:
            return (Int64(text) ?? number(text).flatMap { Int64(exactly: $0) }).map { .signed($0) }
        case .size: return scaled(text, sizes).map { .size($0) }
        case .duration: return scaled(text, durations).map { .duration($0) }
        case .text: return .text(text)
        case .path: return .path(text)
        case .choice: return property.choices.firstIndex(of: text).map { .choice(text, index: $0) }
        case .range: return range(text)
        case .float: return Double(text).map { .float($0) }
        }
    }

    private static func number(_ text: String) -> UInt64? {
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] where text.hasPrefix(prefix) {
            return UInt64(text.dropFirst(2), radix: radix)
        }
        return UInt64(text)
    }

    private static func range(_ text: String) -> Value? {
        let parts = text.split(separator: "-").map { number(trimmed($0)) }
        guard let first = parts.first.flatMap({ $0 }), let last = parts.last.flatMap({ $0 }), parts.count <= 2,
            first <= last
        else { return nil }
        return .range(first...last)
    }

    private static let sizes: [(String, UInt64)] = [
        ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("k", 1 << 10), ("K", 1 << 10),
        ("M", 1 << 20), ("G", 1 << 30), ("B", 1), ("", 1),
    ]
    private static let durations: [(String, UInt64)] = [
        ("ns", 1), ("us", 1000), ("ms", 1_000_000), ("min", 60_000_000_000), ("s", 1_000_000_000),
        ("h", 3_600_000_000_000), ("", 1),
    ]

    private static func scaled(_ text: String, _ units: [(String, UInt64)]) -> UInt64? {
        for (unit, factor) in units where text.hasSuffix(unit) {
            guard let count = number(trimmed(text.dropLast(unit.count))) else { continue }
            let (product, overflow) = count.multipliedReportingOverflow(by: factor)
            return overflow ? nil : product
        }
        return nil
    }
}
