import Core
import MachineFile

/// A command of the socket: its name, what it takes, and what it does.
struct QMPCommand: Sendable {
    var name: String
    /// Those without "?" at their end must be given.
    var parameters: [String]
    var doc: String
    var run: @Sendable (QMPCall) throws -> JSONValue

    init(
        _ name: String, _ parameters: [String] = [], doc: String,
        _ run: @escaping @Sendable (QMPCall) throws -> JSONValue
    ) {
        self.name = name
        self.parameters = parameters
        self.doc = doc
        self.run = run
    }

    static let all: [QMPCommand] = (QMPCommand.qemu + QMPCommand.own).sorted { $0.name < $1.name }
    private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })
    static func named(_ name: String) -> QMPCommand? { byName[name] }
}

/// One call of a command: its arguments by name and type.
struct QMPCall {
    let plane: ControlPlane
    let arguments: JSONValue

    /// Every argument is one that the command takes, and none is missing.
    func check(_ command: QMPCommand) throws(CommandError) {
        guard case .object(let members) = arguments else { return }
        let names = command.parameters.map { $0.hasSuffix("?") ? String($0.dropLast()) : $0 }
        for member in members where !names.contains(member.key) {
            throw CommandError("Parameter '\(member.key)' is unexpected")
        }
        for name in command.parameters where !name.hasSuffix("?") && arguments[name] == nil {
            throw CommandError("Parameter '\(name)' is missing")
        }
    }

    func text(_ name: String) throws(CommandError) -> String {
        guard let text = try optionalText(name) else { throw CommandError("Parameter '\(name)' is missing") }
        return text
    }

    func optionalText(_ name: String) throws(CommandError) -> String? {
        guard let value = arguments[name] else { return nil }
        guard let text = value.text else { throw wrong(name, "a string") }
        return text
    }

    func unsigned(_ name: String) throws(CommandError) -> UInt64 {
        guard let value = try optionalUnsigned(name) else { throw CommandError("Parameter '\(name)' is missing") }
        return value
    }

    func optionalUnsigned(_ name: String) throws(CommandError) -> UInt64? {
        guard let value = arguments[name] else { return nil }
        guard let number = value.unsignedValue else { throw wrong(name, "a number from 0") }
        return number
    }

    func wrong(_ name: String, _ expected: String) -> CommandError {
        CommandError("Invalid parameter type for '\(name)', expected: \(expected)")
    }

    /// The machine that `machine` names, or the first.
    var machine: Machine {
        get throws(CommandError) { try plane.machine(try optionalText("machine")) }
    }

    /// A value as a machine file would write it: a number or a boolean of JSON, or a text.
    static func propertyText(_ value: JSONValue, _ name: String) throws(CommandError) -> PropertyText {
        if let items = value.items {
            var texts: [String] = []
            for item in items { texts.append(try scalarText(item, name)) }
            return .list(texts)
        }
        return .single(try scalarText(value, name))
    }

    static func scalarText(_ value: JSONValue, _ name: String) throws(CommandError) -> String {
        switch value {
        case .string(let text): return text
        case .integer(let number): return "\(number)"
        case .unsigned(let number): return "\(number)"
        case .double(let number): return "\(number)"
        case .bool(let flag): return flag ? "true" : "false"
        case .null, .array, .object:
            throw CommandError("'\(name)' takes a value or a list of values, not \(value.kindName)")
        }
    }

    /// `position`: "first", "last", "before:ID", "after:ID" or a number; nil: not given.
    func place() throws(CommandError) -> ChainPlace? {
        guard let value = arguments["position"] else { return nil }
        if let index = value.unsignedValue { return .at(Int(clamping: index)) }
        guard let text = value.text else { throw wrong("position", "a string or a number") }
        guard let place = ChainPlace(text: text) else {
            throw CommandError("'position' is first, last, before:ID, after:ID or a number, not '\(text)'")
        }
        return place
    }
}

extension ChainPlace {
    init?(text: String) {
        let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
        switch (parts.first, parts.count) {
        case ("first", 1): self = .first
        case ("last", 1): self = .last
        case ("before", 2): self = .before(parts[1])
        case ("after", 2): self = .after(parts[1])
        case (let number?, 1):
            guard let index = Int(number), index >= 0 else { return nil }
            self = .at(index)
        default: return nil
        }
    }
}
