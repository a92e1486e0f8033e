import Core

/// The schema of one property's value. An editor reads YAML by its own rules, so `on` may come as text or as a Boolean
/// and `0x3f8` as a number or as text; both are allowed.
enum PropertySchema {
    static let substitution: JSON = ["type": "string", "pattern": "\\$\\{"]
    static let integerPattern = "^(0x[0-9a-fA-F_]+|0o[0-7_]+|0b[01_]+|0|[1-9][0-9_]*)$"

    static let number: JSON = [
        "anyOf": [["type": "integer", "minimum": .integer(0)], text(integerPattern), substitution]
    ]

    static let size: JSON = [
        "anyOf": [
            ["type": "integer", "minimum": .integer(0)],
            text("^([0-9][0-9_]*(\\.[0-9]+)? *(B|KiB|MiB|GiB|TiB|k|K|M|G|T)?|0x[0-9a-fA-F_]+)$"), substitution,
        ]
    ]

    static let duration: JSON = [
        "anyOf": [
            ["const": .integer(0)], text("^[0-9][0-9_]*(\\.[0-9]+)? *(ns|us|µs|ms|s|min|h)$"), substitution,
        ]
    ]

    static func choice(_ choices: [String]) -> JSON {
        var values: [JSON] = []
        for choice in choices {
            values.append(.text(choice))
            // As an editor may read the word.
            if let number = Int64(choice) { values.append(.integer(number)) }
            switch choice.lowercased() {
            case "true", "on", "yes": values.append(.bool(true))
            case "false", "off", "no": values.append(.bool(false))
            default: break
            }
        }
        return ["anyOf": [["enum": .array(values)], substitution]]
    }

    static func schema(of property: PropertyDescription) -> JSON {
        let one = shapes(of: property)
        let list: JSON = ["type": "array", "items": ["anyOf": .array(one)]]
        let null: [JSON] = property.isRequired && property.defaultText == nil ? [] : [["type": "null"]]
        return JSON.object([("anyOf", .array(one + (property.isList ? [list] : []) + null))])
            .with([("description", .text(doc(of: property)))])
            .with(property.defaultText.map { [("default", .text($0))] } ?? [])
    }

    private static func doc(_ property: PropertyDescription, _ range: ClosedRange<Int64>) -> String {
        "From \(range.lowerBound) to \(range.upperBound)" + (property.unit.map { " \($0)" } ?? "") + "."
    }

    private static func doc(of property: PropertyDescription) -> String {
        let range = property.bounds.map { doc(property, $0) } ?? (property.unit.map { "In \($0)." } ?? "")
        return [property.doc, range].filter { !$0.isEmpty }.joined(separator: " ")
    }

    private static func shapes(of property: PropertyDescription) -> [JSON] {
        switch property.type {
        case .bool: [["type": "boolean"], ["enum": ["on", "off", "yes", "no", "true", "false"]], substitution]
        case .unsigned: [integer(property, 0...Int64.max), text(integerPattern), substitution]
        case .signed:
            [integer(property, Int64.min...Int64.max), text("^-?" + integerPattern.dropFirst()), substitution]
        case .port: [integer(property, 0...0xffff), text(integerPattern), substitution]
        case .address: [integer(property, 0...Int64.max), text(integerPattern), substitution]
        case .range:
            [integer(property, 0...Int64.max), text("^(0x)?[0-9a-fA-F_]+( *- *(0x)?[0-9a-fA-F_]+)?$"), substitution]
        case .size: [size]
        case .duration: [duration]
        case .float: [["type": "number"], substitution]
        case .choice: [choice(property.choices)]
        // Whatever an editor takes it for, its text is meant.
        case .text: [["type": ["string", "number", "boolean"]]]
        case .path: [["type": "string", "minLength": .integer(1)]]
        }
    }

    private static func integer(_ property: PropertyDescription, _ natural: ClosedRange<Int64>) -> JSON {
        let bounds = property.bounds.map { $0.clamped(to: natural) } ?? natural
        var schema: JSON = ["type": "integer"]
        if bounds.lowerBound > Int64.min { schema = schema.with([("minimum", .integer(bounds.lowerBound))]) }
        if bounds.upperBound < Int64.max { schema = schema.with([("maximum", .integer(bounds.upperBound))]) }
        return schema
    }

    private static func text(_ pattern: String) -> JSON { ["type": "string", "pattern": .text(pattern)] }
}
