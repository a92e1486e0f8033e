public import Core

/// A property's value as text: one value, or a list.
public enum PropertyText: Sendable, Equatable {
    case single(String)
    case list([String])
}

/// Why a text is not what it should be, as a sentence.
public struct RequestError: Error, Sendable, Equatable, CustomStringConvertible {
    public var description: String
    public init(_ description: String) { self.description = description }
}

/// A policy that is asked for while its machine runs.
public struct PolicyRequest: Sendable {
    /// nil: one is made of the plugin's name.
    public var id: String?
    /// As after `plugin:` in a machine file.
    public var plugin: String
    public var properties: [(name: String, value: PropertyText)]

    public init(id: String? = nil, plugin: String, properties: [(name: String, value: PropertyText)] = []) {
        self.id = id
        self.plugin = plugin
        self.properties = properties
    }

    /// `NAME`, `NAME,property=value,...` or `id=NAME,...`, as `--policy` takes it.
    public init(text: String) throws(RequestError) {
        (id, plugin) = ExtraPolicies.head(text)
        properties = []
        for part in ExtraPolicies.parts(text).dropFirst() {
            guard let equals = part.firstIndex(of: "="), equals != part.startIndex else {
                throw RequestError("\(Printable.quoted(part)) is not PROPERTY=VALUE")
            }
            let name = String(part[..<equals])
            let value = String(part[equals...].dropFirst())
            if let known = properties.firstIndex(where: { $0.name == name }) {
                var items = [value]
                switch properties[known].value {
                case .single(let first): items = [first, value]
                case .list(let first): items = first + [value]
                }
                properties[known].value = .list(items)
            } else {
                properties.append((name, .single(value)))
            }
        }
    }

    /// `taken`: ids of the machine's instances; an id that is given may be one of them (to replace it). Relative paths are
    /// relative to the working directory. `on-fault` is a property like others.
    public func description(
        taken: Set<String>, catalog: any PluginCatalog, replaces: Bool = false
    ) throws(RequestError) -> InstanceDescription {
        let reporter = Reporter()
        let location = reporter.add(option: "policy \(Printable.text(plugin))")
        func node(_ content: YAMLNode.Content) -> YAMLNode { YAMLNode(content: content, location: location) }
        func scalar(_ text: String) -> YAMLNode { node(.scalar(ScalarText(text))) }
        var keys = YAMLMapping()
        func set(_ key: String, _ value: YAMLNode) {
            keys.set(.init(key: key, keyLocation: location, value: value))
        }
        for (name, value) in properties where !["id", "plugin", "on-start", "remove"].contains(name) {
            switch value {
            case .single(let text): set(name, scalar(text))
            case .list(let items): set(name, node(.sequence(items.map(scalar))))
            }
        }
        set("id", scalar(id ?? ExtraPolicies.freeID(plugin, taken)))
        set("plugin", scalar(plugin))
        let reader = InstanceReader(catalog: catalog, reporter: reporter)
        let draft = reader.draft(node(.mapping(keys)), .policies)
        let resolved = draft.map {
            InstanceResolver(reporter: reporter, needsWires: !replaces).resolve($0, position: 0)
        }
        if let wire = resolved?.wires.first, let draft {
            let slot = draft.entry?.type.slots[wire.slot].name ?? ""
            reporter.error(location, "\(draft.title) cannot be wired (\"\(slot)\") to a machine that runs")
        }
        guard !reporter.hasErrors, let draft, let resolved, let entry = draft.entry, let id = draft.id else {
            throw RequestError(RequestErrors.sentence(reporter))
        }
        return InstanceDescription(
            id: id, libraryPath: entry.libraryPath, type: entry.type, values: resolved.values,
            isGiven: resolved.isGiven, onFault: draft.onFault, location: location)
    }
}

/// A property's value from its text, by its declared type, as in a machine file.
public func propertyValue(_ text: PropertyText, of property: PropertyDescription) throws(RequestError) -> Value {
    do throws(ValueError) {
        switch text {
        case .single(let text):
            if property.isList { return try DefaultText.value(text, of: property, directory: "") }
            return try ScalarParsing.value(ScalarText(text), of: property)
        case .list(let items):
            guard property.isList else { throw ValueError("it takes one value, not a list") }
            var values: [Value] = []
            for item in items { values.append(try ScalarParsing.value(ScalarText(item), of: property)) }
            return .list(values)
        }
    } catch {
        throw RequestError("\(property.name): \(error.message)")
    }
}

private enum RequestErrors {
    /// All that is wrong, in one line.
    static func sentence(_ reporter: Reporter) -> String {
        let messages = reporter.sorted().map { diagnostic in
            ([diagnostic.message] + diagnostic.notes.map(\.text)).joined(separator: "; ")
        }
        return messages.isEmpty ? "the policy cannot be described" : messages.joined(separator: "; ")
    }
}

/// A call as it is written in a machine file's `on-start` and at the monitor: `insert("disk.img", true)`.
public func parseCall(_ text: String) throws(RequestError) -> (method: String, arguments: [String]) {
    do throws(ValueError) {
        let call = try CallText(text)
        return (call.method, call.arguments)
    } catch {
        throw RequestError(error.message)
    }
}
