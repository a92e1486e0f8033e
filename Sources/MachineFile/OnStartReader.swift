import Core

/// `on-start:`, the calls that are made of an instance's methods before the machine starts.
struct OnStartReader {
    let type: ClassDescription
    /// The instance's id.
    let owner: String
    let reporter: Reporter

    func calls(_ node: YAMLNode) -> [InstanceDescription.Call] {
        guard !node.isBroken else { return [] }
        guard let items = node.sequence else {
            reporter.error(
                node.location,
                "\"on-start\" of \(owner) is a list of calls like \"method(argument)\", not \(node.kindName)")
            return []
        }
        return items.compactMap(call)
    }

    private func call(_ node: YAMLNode) -> InstanceDescription.Call? {
        switch node.content {
        case .scalar(let scalar) where !scalar.isNull:
            do throws(ValueError) {
                let call = try CallText(scalar.text)
                return checked(call.method, call.arguments, node.location)
            } catch {
                reporter.error(node.location, "\"on-start\" of \(owner): " + error.message)
                return nil
            }
        case .mapping(let mapping):
            return structured(mapping, node.location)
        case .broken:
            return nil
        default:
            reporter.error(
                node.location, "a call is \"method(argument)\" or { method:, arguments: }, not \(node.kindName)")
            return nil
        }
    }

    /// `{ method: insert, arguments: [disk.img, true] }`
    private func structured(_ mapping: YAMLMapping, _ location: SourceLocation) -> InstanceDescription.Call? {
        Keys.check(mapping, known: ["method", "arguments"], of: "a call", reporter)
        guard let method = mapping.value("method")?.scalar?.text else {
            reporter.error(mapping["method"]?.value.location ?? location, "this call names no method")
            return nil
        }
        guard let list = mapping.value("arguments"), !list.isBroken else { return checked(method, [], location) }
        let items = list.sequence ?? [list]
        let arguments = items.compactMap { $0.scalar?.text }
        guard arguments.count == items.count else {
            reporter.error(list.location, "arguments of \(Printable.quoted(method)) are single values")
            return nil
        }
        return checked(method, arguments, location)
    }

    private func checked(
        _ name: String, _ arguments: [String], _ location: SourceLocation
    ) -> InstanceDescription.Call? {
        guard let method = type.methods.first(where: { $0.name == name }) else {
            let names = type.methods.map(\.name)
            let list = names.isEmpty ? "it has none" : "it has " + type.methods.map(\.signature).joined(separator: ", ")
            reporter.error(
                location, "\(type.name) has no method \(Printable.quoted(name))" + reporter.hint(for: name, in: names),
                notes: [.init(list)])
            return nil
        }
        let declared = Diagnostic.Note("it is declared as \(method.signature)")
        guard arguments.count == method.parameters.count else {
            let wanted = method.parameters.count
            reporter.error(
                location,
                "\(name) takes \(wanted) argument\(wanted == 1 ? "" : "s"), and \(arguments.count) "
                    + "\(arguments.count == 1 ? "is" : "are") given", notes: [declared])
            return nil
        }
        var texts: [String] = []
        for (parameter, text) in zip(method.parameters, arguments) {
            do throws(ValueError) {
                texts.append(try CallArgument.text(text, as: parameter.type))
            } catch {
                reporter.error(location, "\"\(parameter.name)\" of \(name): " + error.message, notes: [declared])
            }
        }
        return texts.count == arguments.count ? .init(method: name, arguments: texts, location: location) : nil
    }
}

/// An argument checked against its parameter's type and written the one way that a converter needs to know: `true` or
/// `false`, decimal integers, text as it is.
enum CallArgument {
    static func text(_ text: String, as type: WireType) throws(ValueError) -> String {
        switch type {
        case .bool: return try ScalarParsing.bool(text) ? "true" : "false"
        case .u8: return try unsigned(text, UInt8.self)
        case .u16: return try unsigned(text, UInt16.self)
        case .u32: return try unsigned(text, UInt32.self)
        case .u64: return try unsigned(text, UInt64.self)
        case .i64: return "\(try NumberText.signed(text))"
        case .f64: return "\(try NumberText.float(text))"
        case .text: return try ScalarParsing.plain(text)
        case .status:
            guard let status = Int32(exactly: try NumberText.signed(text)) else {
                throw ValueError("\(Printable.quoted(text)) does not fit in 32 bits")
            }
            return "\(status)"
        case .void, .inBuffer, .outBuffer, .inStruct, .outStruct, .pointer, .outU32, .outU64:
            throw ValueError("a machine file cannot give a value of the type \(type.name)")
        }
    }

    private static func unsigned<Number: FixedWidthInteger>(
        _ text: String, _: Number.Type
    ) throws(ValueError) -> String {
        guard let number = Number(exactly: try NumberText.unsigned(text)) else {
            throw ValueError("\(Printable.quoted(text)) does not fit in \(Number.bitWidth) bits")
        }
        return "\(number)"
    }
}
