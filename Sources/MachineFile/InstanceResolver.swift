import Core

/// A slot's text that names the other end.
struct WireDraft {
    /// Position of the instance in the drafts.
    var instance: Int
    var slot: Int
    var position: Int
    var text: String
    var location: SourceLocation
}

/// Gives an instance's properties their values, and collects its wires.
struct InstanceResolver {
    let reporter: Reporter
    /// Not of a policy that takes another's wires over.
    var needsWires = true

    struct Resolved {
        var values: [Value?] = []
        var isGiven: [Bool] = []
        var wires: [WireDraft] = []
        var onStart: [InstanceDescription.Call] = []
    }

    func resolve(_ draft: InstanceDraft, position: Int) -> Resolved {
        var resolved = Resolved()
        guard let type = draft.entry?.type else { return resolved }
        // Of an instance in the wrong list only the list is reported.
        guard type.kind == draft.group.kind else { return resolved }
        checkKeys(draft, type)
        for property in type.properties {
            let (value, isGiven) = value(of: property, draft)
            resolved.values.append(value)
            resolved.isGiven.append(isGiven)
        }
        for (slot, description) in type.slots.enumerated() {
            resolved.wires += wires(of: description, slot, draft, position)
        }
        if let calls = draft.keys.value("on-start") {
            resolved.onStart = OnStartReader(type: type, owner: draft.name, reporter: reporter).calls(calls)
        }
        return resolved
    }

    private func checkKeys(_ draft: InstanceDraft, _ type: ClassDescription) {
        let own = type.properties.map(\.name) + type.slots.map(\.name)
        let known = Set(own + InstanceReader.commonKeys)
        for entry in draft.keys.entries where !known.contains(entry.key) {
            let hint = reporter.hint(for: entry.key, in: own + ["on-fault", "on-start"])
            var notes: [Diagnostic.Note] = []
            if hint.isEmpty {
                notes.append(.init("\(type.name) has " + (own.isEmpty ? "none" : own.joined(separator: ", "))))
            }
            if entry.keyLocation.file != draft.pluginLocation.file {
                notes.append(.init("the plugin of \(draft.name) is named here", at: draft.pluginLocation))
            }
            reporter.error(
                entry.keyLocation, "\(type.name) has no property or slot \(Printable.quoted(entry.key))" + hint,
                notes: notes)
        }
    }

    // MARK: Properties

    private func value(of property: PropertyDescription, _ draft: InstanceDraft) -> (Value?, isGiven: Bool) {
        guard let node = draft.keys.value(property.name) else {
            return (defaultValue(of: property, draft), false)
        }
        do throws(ValueError) {
            if property.isList { return (try list(node, property, draft), true) }
            guard let scalar = node.scalar else {
                if node.isBroken { return (nil, true) }
                throw ValueError("it takes one value, not \(node.kindName)")
            }
            return (try ScalarParsing.value(scalar, of: property), true)
        } catch {
            report(error, property, draft, at: node.location)
            return (nil, true)
        }
    }

    /// One value is a list of one.
    private func list(
        _ node: YAMLNode, _ property: PropertyDescription, _ draft: InstanceDraft
    ) throws(ValueError) -> Value? {
        if let scalar = node.scalar { return .list([try ScalarParsing.value(scalar, of: property)]) }
        if node.isBroken { return nil }
        guard let items = node.sequence else { throw ValueError("it takes a list, not \(node.kindName)") }
        return .list(items.compactMap { item(of: $0, property, draft) })
    }

    private func item(of node: YAMLNode, _ property: PropertyDescription, _ draft: InstanceDraft) -> Value? {
        guard !node.isBroken else { return nil }
        do throws(ValueError) {
            guard let scalar = node.scalar, !scalar.isNull else {
                throw ValueError("an item is a single value, not \(node.kindName)")
            }
            return try ScalarParsing.value(scalar, of: property)
        } catch {
            report(error, property, draft, at: node.location)
            return nil
        }
    }

    private func defaultValue(of property: PropertyDescription, _ draft: InstanceDraft) -> Value? {
        guard let text = property.defaultText else {
            if property.isRequired {
                let doc = property.doc.isEmpty ? "" : " (\(Printable.text(property.doc)))"
                reporter.error(draft.location, "\(draft.title) needs the property \"\(property.name)\"" + doc)
            }
            return nil
        }
        let directory = FilePath.directory(of: draft.location.line == 0 ? "" : draft.location.file)
        do throws(ValueError) {
            return try DefaultText.value(text, of: property, directory: directory)
        } catch {
            reporter.error(
                draft.pluginLocation,
                "the plugin \(draft.entry?.type.name ?? "") has a broken default for its property "
                    + "\"\(property.name)\": \(error.message)")
            return nil
        }
    }

    private func report(
        _ error: ValueError, _ property: PropertyDescription, _ draft: InstanceDraft, at location: SourceLocation
    ) {
        let notes: [Diagnostic.Note] =
            property.doc.isEmpty
            ? [] : [.init("\"\(property.name)\": \(Printable.text(property.doc))")]
        reporter.error(location, "\"\(property.name)\" of \(draft.title): \(error.message)", notes: notes)
    }

    // MARK: Slots

    private func wires(
        of slot: SlotDescription, _ index: Int, _ draft: InstanceDraft, _ instance: Int
    ) -> [WireDraft] {
        let node = draft.keys.value(slot.name)
        let isMissing = node == nil || (slot.isMany && node?.sequence?.isEmpty == true)
        if isMissing, !slot.isOptional, needsWires {
            let doc = slot.doc.isEmpty ? "" : " (\(Printable.text(slot.doc)))"
            reporter.error(
                node?.location ?? draft.location,
                "\(draft.title) needs the slot \"\(slot.name)\" wired to \(slot.interface)" + doc)
        }
        let ends = node.map { endpoints($0, slot, draft) } ?? []
        return ends.enumerated().map { position, end in
            WireDraft(instance: instance, slot: index, position: position, text: end.text, location: end.location)
        }
    }

    private func endpoints(
        _ node: YAMLNode, _ slot: SlotDescription, _ draft: InstanceDraft
    ) -> [(text: String, location: SourceLocation)] {
        guard slot.isMany else { return endpoint(node, slot, draft).map { [$0] } ?? [] }
        let items = node.sequence ?? [node]
        return items.compactMap { endpoint($0, slot, draft) }.flatMap { expanded($0, slot, draft) }
    }

    /// `pic.0-15` stands for `pic.0` to `pic.15`.
    private func expanded(
        _ end: (text: String, location: SourceLocation), _ slot: SlotDescription, _ draft: InstanceDraft
    ) -> [(text: String, location: SourceLocation)] {
        guard let dot = end.text.lastIndex(of: "."), end.text[dot...].contains("-") else { return [end] }
        let numbers = end.text[dot...].dropFirst().split(separator: "-", omittingEmptySubsequences: false)
            .map { try? NumberText.unsigned(String($0)) }
        guard numbers.count == 2, let first = numbers[0], let last = numbers[1], first <= last, last - first < 256
        else {
            reporter.error(
                end.location,
                "\"\(slot.name)\" of \(draft.title): \(Printable.quoted(end.text)) is no range of at most 256: write INSTANCE.FIRST-LAST"
            )
            return []
        }
        return (first...last).map { (end.text[...dot] + String($0), end.location) }
    }

    private func endpoint(
        _ node: YAMLNode, _ slot: SlotDescription, _ draft: InstanceDraft
    ) -> (text: String, location: SourceLocation)? {
        guard !node.isBroken else { return nil }
        if let scalar = node.scalar, !scalar.isNull { return (scalar.text, node.location) }
        let shape = slot.isMany ? "endpoints" : "one endpoint"
        reporter.error(
            node.location,
            "\"\(slot.name)\" of \(draft.title) takes \(shape) (INSTANCE or INSTANCE.INDEX), not \(node.kindName)")
        return nil
    }
}

/// A default as a plugin gives it: written as in a machine file.
enum DefaultText {
    static func value(
        _ text: String, of property: PropertyDescription, directory: String
    ) throws(ValueError) -> Value {
        guard property.isList else {
            return try ScalarParsing.value(ScalarText(text, directory: directory), of: property)
        }
        var values: [Value] = []
        for item in try items(text) {
            values.append(try ScalarParsing.value(ScalarText(item, directory: directory), of: property))
        }
        return .list(values)
    }

    /// `[a, b]`, `a, b` or `a`, by the rules of YAML's quotes.
    private static func items(_ text: String) throws(ValueError) -> [String] {
        let list = text.hasPrefix("[") ? text : "[" + text + "]"
        let reporter = Reporter()
        var composer = YAMLComposer(bytes: Array(list.utf8), file: "", directory: "", reporter: reporter)
        let node = try? composer.document()
        let items = node?.sequence?.compactMap { $0.scalar?.text }
        guard let items, items.count == node?.sequence?.count, !reporter.hasErrors else {
            throw ValueError("\(Printable.quoted(text)) is not a list")
        }
        return items
    }
}
