import Core

/// Reads a host file: the machines of one process.
///
///     host: desk
///     guests:
///       - { file: linux.yaml, name: left, set: { append: quiet } }
///       - { file: tour.yaml, engine: soft, policies: ["hotkey,schedule=round-robin"] }
struct HostReader {
    static let keys = ["host", "description", "guests"]
    static let guestKeys = ["file", "name", "engine", "set", "policies"]

    let keys: YAMLMapping
    /// Of the file's top.
    let location: SourceLocation
    let reporter: Reporter

    /// A machine file has none of these keys.
    static func isHost(_ keys: YAMLMapping) -> Bool {
        (keys["host"] != nil || keys["guests"] != nil) && keys["machine"] == nil
    }

    func drafts() -> [GuestDraft] {
        Keys.check(keys, known: HostReader.keys, of: "a host file", reporter)
        if let node = keys.value("host") { _ = MachineName.read(node, "\"host\"", reporter) }
        if let node = keys.value("description") { _ = scalar(node, "\"description\"") }
        guard let node = keys.value("guests") else {
            reporter.error(location, "the host has no guests: \"guests\" lists them")
            return []
        }
        guard !node.isBroken else { return [] }
        guard let items = node.sequence, !items.isEmpty else {
            let found = node.sequence == nil ? node.kindName : "an empty one"
            reporter.error(node.location, "\"guests\" is a list of { file: FILE }, not \(found)")
            return []
        }
        guard items.count <= GuestFiles.maximumGuests else {
            reporter.error(node.location, "a process has at most \(GuestFiles.maximumGuests) guests")
            return []
        }
        return items.compactMap(guest)
    }

    // MARK: One guest

    private func guest(_ node: YAMLNode) -> GuestDraft? {
        guard !node.isBroken else { return nil }
        guard let keys = node.mapping else {
            reporter.error(node.location, "a guest is a mapping like { file: FILE }, not \(node.kindName)")
            return nil
        }
        Keys.check(keys, known: HostReader.guestKeys, of: "a guest", reporter)
        var options = GuestOptions()
        if let name = keys.value("name") { options.name = MachineName.read(name, "\"name\" of a guest", reporter) }
        if let engine = keys.value("engine"),
            let choice: EngineChoice = Choice.read(engine, "\"engine\" of a guest", reporter)
        {
            options.engine = (choice, engine.location)
        }
        options.settings = settings(keys.value("set"))
        options.policies = policies(keys.value("policies"))
        guard let file = keys.value("file") else {
            reporter.error(node.location, "this guest has no machine file: \"file\" names it")
            return nil
        }
        guard let text = scalar(file, "\"file\" of a guest"),
            let (path, root) = machineFile(FilePath.join(text.directory, text.text), file.location)
        else { return nil }
        return GuestDraft(path: path, root: root, options: options)
    }

    private func machineFile(_ path: String, _ location: SourceLocation) -> (String, YAMLNode)? {
        // It would be waited for.
        if FileKind(path) == .pipe {
            reporter.error(location, "\(Printable.quoted(path: path)) is a pipe; only files can be guests")
            return nil
        }
        guard let root = FileChain.read(path, .guest(location), reporter) else { return nil }
        if let keys = root.mapping, HostReader.isHost(keys) {
            reporter.error(location, "\(Printable.quoted(path: path)) is a host file; a guest is a machine file")
            return nil
        }
        return (path, root)
    }

    private func settings(_ node: YAMLNode?) -> [Setting] {
        guard let node, !node.isBroken else { return [] }
        guard let mapping = node.mapping else {
            reporter.error(node.location, "\"set\" is a mapping of parameters to values, not \(node.kindName)")
            return []
        }
        return mapping.entries.compactMap { entry in
            guard let value = scalar(entry.value, Printable.quoted(entry.key)) else { return nil }
            return Setting(name: entry.key, value: value, location: entry.keyLocation)
        }
    }

    private func policies(_ node: YAMLNode?) -> [ExtraPolicy] {
        guard let node, !node.isBroken else { return [] }
        guard let items = node.sequence ?? (node.scalar != nil ? [node] : nil) else {
            reporter.error(
                node.location, "\"policies\" is a list of texts like \"guard,action=drop\", not \(node.kindName)")
            return []
        }
        return items.compactMap { item in
            guard let text = scalar(item, "a policy of a guest") else { return nil }
            return ExtraPolicy(text: text.text, location: item.location, directory: text.directory)
        }
    }

    private func scalar(_ node: YAMLNode, _ what: String) -> ScalarText? {
        if node.scalar == nil, !node.isBroken {
            reporter.error(node.location, "\(what) is a single value, not \(node.kindName)")
        }
        return node.scalar
    }
}

/// The name of a machine, or of a host.
enum MachineName {
    static func read(_ node: YAMLNode, _ what: String, _ reporter: Reporter) -> String? {
        guard let text = node.scalar?.text else {
            if !node.isBroken { reporter.error(node.location, "\(what) is a single value, not \(node.kindName)") }
            return nil
        }
        if isGood(text) { return text }
        reporter.error(node.location, "\(Printable.quoted(text)) is not a machine's name: up to 255 printable bytes")
        return nil
    }

    static func isGood(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count <= 255 && Printable.text(name) == name
    }
}
