/// A command failed, as the protocol says it.
package struct CommandError: Error, Sendable, Equatable {
    /// "GenericError" or "CommandNotFound"
    package var kind: String
    package var text: String

    /// Of `stop`.
    static let notAtRest = CommandError(
        "the CPU does not come back from what it does: the guest stands still as soon as it does")

    package init(_ text: String, kind: String = "GenericError") {
        self.kind = kind
        self.text = text
    }
}

/// One client's side of QEMU's Machine Protocol: what it may say when, and what it is answered. Source: QEMU's
/// docs/interop/qmp-spec. Not offered: out-of-band execution.
package struct QMPSession {
    package private(set) var isNegotiated: Bool

    package init(isNegotiated: Bool = false) { self.isNegotiated = isNegotiated }

    /// What a client is told first.
    package static func greeting(version: String) -> JSONValue {
        .members(("QMP", .members(("version", versionValue(version)), ("capabilities", .array([])))))
    }

    /// As `query-version` answers it: clients look for a version of QEMU, and find ours.
    package static func versionValue(_ version: String) -> JSONValue {
        let parts = version.split(separator: ".").map { Int64($0) ?? 0 } + [0, 0, 0]
        let numbers = JSONValue.members(
            ("micro", .integer(parts[2])), ("minor", .integer(parts[1])), ("major", .integer(parts[0])))
        return .members(("qemu", numbers), ("package", .string("backplane-\(version)")))
    }

    package static func event(_ name: String, _ data: JSONValue?, seconds: Int64, microseconds: Int64) -> JSONValue {
        let time = JSONValue.members(("seconds", .integer(seconds)), ("microseconds", .integer(microseconds)))
        var members = [JSONMember(key: "event", value: .string(name))]
        if let data { members.append(JSONMember(key: "data", value: data)) }
        members.append(JSONMember(key: "timestamp", value: time))
        return .object(members)
    }

    /// The answer to one item of the stream. `execute` runs any command but `qmp_capabilities`.
    package mutating func answer(
        _ item: JSONFramer.Item, _ execute: (String, JSONValue) throws(CommandError) -> JSONValue
    ) -> JSONValue {
        var id: JSONValue?
        do throws(CommandError) {
            let request = try QMPSession.request(item)
            id = request["id"]
            let (command, arguments) = try QMPSession.command(request)
            if command == "qmp_capabilities" { return QMPSession.reply("return", try negotiate(arguments), id) }
            guard isNegotiated else {
                throw CommandError(
                    "Expecting capabilities negotiation with 'qmp_capabilities'", kind: "CommandNotFound")
            }
            return QMPSession.reply("return", try execute(command, arguments), id)
        } catch {
            let description = JSONValue.members(("class", .string(error.kind)), ("desc", .string(error.text)))
            return QMPSession.reply("error", description, id)
        }
    }

    private mutating func negotiate(_ arguments: JSONValue) throws(CommandError) -> JSONValue {
        if isNegotiated {
            throw CommandError("Capabilities negotiation is already complete, command ignored", kind: "CommandNotFound")
        }
        for wanted in arguments["enable"]?.items ?? [] {
            throw CommandError("Capability \(wanted.written) is not available")
        }
        isNegotiated = true
        return .empty
    }

    private static func reply(_ key: String, _ value: JSONValue, _ id: JSONValue?) -> JSONValue {
        var members = [JSONMember(key: key, value: value)]
        if let id { members.append(JSONMember(key: "id", value: id)) }
        return .object(members)
    }

    private static func request(_ item: JSONFramer.Item) throws(CommandError) -> JSONValue {
        switch item {
        case .tooLong:
            throw CommandError("the input is longer than \(JSONFramer.limit) bytes: the connection is closed")
        case .malformed(let text): throw CommandError("JSON parse error: \(text)")
        case .object(let bytes):
            do throws(JSONError) {
                return try JSONParser.parse(bytes)
            } catch {
                throw CommandError("JSON parse error: \(error.text), at byte \(error.offset)")
            }
        }
    }

    private static func command(_ request: JSONValue) throws(CommandError) -> (String, JSONValue) {
        guard case .object(let members) = request else { throw CommandError("QMP input must be a JSON object") }
        for member in members where !["execute", "arguments", "id"].contains(member.key) {
            throw CommandError("QMP input member '\(member.key)' is unexpected")
        }
        guard let execute = request["execute"] else { throw CommandError("QMP input lacks member 'execute'") }
        guard let command = execute.text else { throw CommandError("QMP input member 'execute' must be a string") }
        let arguments = request["arguments"] ?? .empty
        guard case .object = arguments else { throw CommandError("QMP input member 'arguments' must be an object") }
        return (command, arguments)
    }
}
