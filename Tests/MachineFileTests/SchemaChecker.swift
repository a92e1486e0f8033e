import Foundation

/// As much of JSON Schema 2020-12 as the machine file's schema uses; a keyword that it does not know is a failure.
struct SchemaChecker {
    let root: [String: Any]
    struct UnknownKeyword: Error { var name: String }

    init(_ schema: String) throws {
        root = try JSONSerialization.jsonObject(with: Data(schema.utf8)) as? [String: Any] ?? [:]
    }

    func accepts(_ json: String) throws -> Bool {
        try accepts(JSONSerialization.jsonObject(with: Data(json.utf8), options: .fragmentsAllowed), root)
    }

    private func accepts(_ value: Any, _ schema: Any) throws -> Bool {
        if let flag = schema as? Bool { return flag }
        guard let schema = schema as? [String: Any] else { throw UnknownKeyword(name: "\(schema)") }
        for (keyword, argument) in schema where try !accepts(value, keyword, argument, schema) { return false }
        return true
    }

    private func accepts(_ value: Any, _ keyword: String, _ argument: Any, _ schema: [String: Any]) throws -> Bool {
        let object = value as? [String: Any]
        switch keyword {
        case "$schema", "title", "description", "default", "$defs", "then", "else": return true
        case "type":
            return (argument as? [String] ?? [argument as? String ?? ""]).contains { Self.type(of: value).contains($0) }
        case "properties":
            for (name, property) in argument as? [String: Any] ?? [:] {
                if let value = object?[name], try !accepts(value, property) { return false }
            }
            return true
        case "additionalProperties":
            let known = schema["properties"] as? [String: Any] ?? [:]
            return try object?.allSatisfy { try known[$0.key] != nil || accepts($0.value, argument) } ?? true
        case "propertyNames": return try object?.keys.allSatisfy { try accepts($0, argument) } ?? true
        case "required":
            return object.map { object in (argument as? [String] ?? []).allSatisfy { object[$0] != nil } } ?? true
        case "items": return try (value as? [Any])?.allSatisfy { try accepts($0, argument) } ?? true
        case "anyOf": return try (argument as? [Any] ?? []).contains { try accepts(value, $0) }
        case "allOf": return try (argument as? [Any] ?? []).allSatisfy { try accepts(value, $0) }
        case "not": return try !accepts(value, argument)
        case "if": return try accepts(value, schema[accepts(value, argument) ? "then" : "else"] ?? true)
        case "$ref": return try accepts(value, target(argument as? String ?? ""))
        case "const": return Self.isEqual(value, argument)
        case "enum": return (argument as? [Any] ?? []).contains { Self.isEqual(value, $0) }
        case "pattern":
            return (value as? String).map {
                $0.range(of: argument as? String ?? "", options: .regularExpression) != nil
            } ?? true
        case "minItems": return (value as? [Any]).map { $0.count >= argument as? Int ?? 0 } ?? true
        case "maxItems": return (value as? [Any]).map { $0.count <= argument as? Int ?? 0 } ?? true
        case "minLength": return (value as? String).map { $0.count >= argument as? Int ?? 0 } ?? true
        case "minimum":
            return Self.number(value).map { $0.compare(argument as? NSNumber ?? 0) != .orderedAscending } ?? true
        case "maximum":
            return Self.number(value).map { $0.compare(argument as? NSNumber ?? 0) != .orderedDescending } ?? true
        default: throw UnknownKeyword(name: keyword)
        }
    }

    private func target(_ reference: String) throws -> Any {
        let name = reference.replacingOccurrences(of: "#/$defs/", with: "").replacingOccurrences(of: "%20", with: " ")
        guard let found = (root["$defs"] as? [String: Any])?[name] else { throw UnknownKeyword(name: reference) }
        return found
    }

    private static func number(_ value: Any) -> NSNumber? {
        type(of: value).contains("number") ? value as? NSNumber : nil
    }

    private static func type(of value: Any) -> [String] {
        switch value {
        case is NSNull: return ["null"]
        case is String: return ["string"]
        case is [Any]: return ["array"]
        case is [String: Any]: return ["object"]
        case let number as NSNumber:
            // A Boolean's own Objective-C type is that of `char`; JSON's integers are longer.
            if String(cString: number.objCType) == "c" { return ["boolean"] }
            return number.doubleValue.rounded() == number.doubleValue ? ["integer", "number"] : ["number"]
        default: return []
        }
    }

    private static func isEqual(_ a: Any, _ b: Any) -> Bool {
        type(of: a) == type(of: b) && (a as? NSObject) == (b as? NSObject)
    }
}
