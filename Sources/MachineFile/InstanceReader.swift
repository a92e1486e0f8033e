import Core

/// Reads what every instance has: its id, its class, its fault policy.
struct InstanceReader {
    /// Keys that are not of the class.
    static let commonKeys = ["id", "plugin", "on-fault", "on-start", "remove"]
    static let maximumInstances = 4096

    let catalog: any PluginCatalog
    let reporter: Reporter
    /// The machine's own `on-fault`.
    var defaultOnFault = FaultPolicy.stop

    /// The instances of one list.
    func list(_ node: YAMLNode?, _ group: InstanceGroup) -> [InstanceDraft] {
        guard let node, !node.isBroken else { return [] }
        guard let items = node.sequence else {
            reporter.error(node.location, "\"\(group.key)\" is a list of instances, not \(node.kindName)")
            return []
        }
        guard items.count <= InstanceReader.maximumInstances else {
            reporter.error(node.location, "a machine has at most \(InstanceReader.maximumInstances) \(group.key)")
            return []
        }
        return items.compactMap { draft($0, group) }
    }

    func draft(_ node: YAMLNode, _ group: InstanceGroup, defaultID: String? = nil) -> InstanceDraft? {
        guard !node.isBroken else { return nil }
        guard let keys = node.mapping else {
            let example = group == .boot ? "{ plugin: NAME }" : "{ id: ID, plugin: NAME }"
            reporter.error(node.location, "an instance is a mapping like \(example), not \(node.kindName)")
            return nil
        }
        let idLocation = keys["id"]?.value.location ?? node.location
        let id = id(keys, node.location, defaultID)
        var draft = InstanceDraft(
            id: id, idLocation: idLocation, group: group, keys: keys, location: node.location,
            pluginLocation: keys["plugin"]?.value.location ?? node.location, onFault: defaultOnFault)
        draft.entry = entry(of: draft)
        if let value = keys.value("on-fault") {
            draft.onFault = Choice.read(value, "\"on-fault\" of \(draft.name)", reporter) ?? defaultOnFault
        }
        return draft
    }

    private func id(_ keys: YAMLMapping, _ location: SourceLocation, _ defaultID: String?) -> String? {
        guard let node = keys.value("id") else {
            if let defaultID { return defaultID }
            let plugin = keys.value("plugin")?.scalar.map { " of \(Printable.quoted($0.text))" } ?? ""
            reporter.error(location, "this instance\(plugin) has no id")
            return nil
        }
        guard !node.isBroken else { return nil }
        guard let text = node.scalar?.text else {
            reporter.error(node.location, "an id is a name, not \(node.kindName)")
            return nil
        }
        guard Identifier.isValid(text) else {
            reporter.error(node.location, "\(Printable.quoted(text)) is not an id: \(Identifier.rule), 64 at most")
            return nil
        }
        return text
    }

    // MARK: The class

    private func entry(of draft: InstanceDraft) -> CatalogEntry? {
        guard let node = draft.keys.value("plugin") else {
            reporter.error(draft.location, "\(draft.name) has no plugin: \"plugin\" names its class")
            return nil
        }
        guard !node.isBroken else { return nil }
        guard let scalar = node.scalar else {
            reporter.error(node.location, "\"plugin\" of \(draft.name) is a name, not \(node.kindName)")
            return nil
        }
        do throws(ValueError) {
            let reference = try PluginReference(text: scalar.text, directory: scalar.directory)
            return find(reference, scalar.text, draft)
        } catch {
            reporter.error(node.location, "\"plugin\" of \(draft.name): " + error.message)
            return nil
        }
    }

    private func find(_ reference: PluginReference, _ text: String, _ draft: InstanceDraft) -> CatalogEntry? {
        switch catalog.find(reference) {
        case .success(let entry):
            guard entry.type.kind != draft.group.kind else { return entry }
            let home = InstanceGroup(entry.type.kind).key
            reporter.error(
                draft.pluginLocation,
                "\(Printable.quoted(text)) is a \(entry.type.kind.name): it belongs under "
                    + "\"\(home)\", not under \"\(draft.group.key)\"")
            // The class is kept, so that wires to it are not reported as well.
            return entry
        case .failure(.notFound(let searched, let similar)):
            let known = similar + catalog.knownClassNames
            let hint =
                similar.first.map { ": did you mean \(Printable.quoted($0))?" }
                ?? (reference.isPath ? "" : reporter.hint(for: reference.className ?? reference.name, in: known))
            reporter.error(
                draft.pluginLocation, "there is no plugin \(Printable.quoted(path: text))" + hint,
                notes: searched.map { .init("searched: \(Printable.text($0))") })
        case .failure(.broken(let path, let reason)):
            reporter.error(
                draft.pluginLocation,
                "the plugin \(Printable.quoted(path: text)) cannot be used: \(Printable.text(reason))",
                notes: [.init("the library is \(Printable.text(path))")])
        case .failure(.noSuchClass(let path, let classes)):
            let name = reference.name.split(separator: "/").last.map(String.init) ?? reference.name
            let hint = reporter.hint(for: reference.className ?? name, in: classes)
            reporter.error(
                draft.pluginLocation, "\(Printable.quoted(text)): the library has no such class" + hint,
                notes: [.init("\(Printable.text(path)) has \(classes.joined(separator: ", "))")])
        }
        return nil
    }
}

/// A word of a fixed set.
enum Choice {
    static func read<Value: RawRepresentable<String> & CaseIterable>(
        _ node: YAMLNode, _ what: String, _ reporter: Reporter
    ) -> Value? {
        guard !node.isBroken else { return nil }
        let names = Value.allCases.map(\.rawValue)
        guard let text = node.scalar?.text else {
            reporter.error(node.location, "\(what) is one of \(names.joined(separator: ", ")), not \(node.kindName)")
            return nil
        }
        if let value = Value(rawValue: text) { return value }
        reporter.error(
            node.location,
            "\(what): \(Printable.quoted(text)) is not one of \(names.joined(separator: ", "))"
                + reporter.hint(for: text, in: names))
        return nil
    }
}
