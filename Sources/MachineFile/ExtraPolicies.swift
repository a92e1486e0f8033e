import Core

/// A policy beside those of the machine file, and where it was asked for.
struct ExtraPolicy {
    var text: String
    var location: SourceLocation
    /// What its relative paths are relative to.
    var directory = ""
}

/// Policies from the command line or a host file: `NAME`, `NAME,property=value,...` or `id=NAME,...`. A comma within a value is
/// written twice, a list is one property several times.
struct ExtraPolicies {
    let reader: InstanceReader
    let reporter: Reporter

    /// In order; ids that are not given are found beside `taken`.
    func drafts(_ policies: [ExtraPolicy], taken: Set<String>) -> [InstanceDraft] {
        var taken = taken
        // Ids that are given come first, wherever they stand.
        taken.formUnion(policies.compactMap { ExtraPolicies.head($0.text).id })
        return policies.compactMap { policy in
            guard let draft = draft(policy, taken) else { return nil }
            if let id = draft.id { taken.insert(id) }
            return draft
        }
    }

    private func draft(_ policy: ExtraPolicy, _ taken: Set<String>) -> InstanceDraft? {
        let location = policy.location
        func scalar(_ text: String) -> YAMLNode.Content { .scalar(ScalarText(text, directory: policy.directory)) }
        let (id, plugin) = ExtraPolicies.head(policy.text)
        var keys = YAMLMapping()
        func set(_ key: String, _ content: YAMLNode.Content) {
            keys.set(.init(key: key, keyLocation: location, value: YAMLNode(content: content, location: location)))
        }
        set("id", scalar(id ?? ExtraPolicies.freeID(plugin, taken)))
        set("plugin", scalar(plugin))
        for part in ExtraPolicies.parts(policy.text).dropFirst() {
            guard let equals = part.firstIndex(of: "="), equals != part.startIndex else {
                reporter.error(location, "\(Printable.quoted(part)) is not PROPERTY=VALUE")
                return nil
            }
            let key = String(part[..<equals])
            let value = scalar(String(part[equals...].dropFirst()))
            set(key, keys[key].map { ExtraPolicies.appended(value, to: $0.value, location) } ?? value)
        }
        return reader.draft(YAMLNode(content: .mapping(keys), location: location), .policies)
    }

    /// A second value makes a list.
    private static func appended(
        _ value: YAMLNode.Content, to node: YAMLNode, _ location: SourceLocation
    ) -> YAMLNode.Content {
        .sequence((node.sequence ?? [node]) + [YAMLNode(content: value, location: location)])
    }

    static func head(_ text: String) -> (id: String?, plugin: String) {
        let head = parts(text).first ?? ""
        guard let equals = head.firstIndex(of: "=") else { return (nil, head) }
        return (String(head[..<equals]), String(head[equals...].dropFirst()))
    }

    /// Split at single commas.
    static func parts(_ text: String) -> [String] {
        var parts = [""]
        var rest = text[...]
        while let next = rest.popFirst() {
            if next != "," {
                parts[parts.count - 1].append(next)
            } else if rest.first == "," {
                rest.removeFirst()
                parts[parts.count - 1].append(",")
            } else {
                parts.append("")
            }
        }
        return parts
    }

    /// An id made of a plugin's name: its last part, and a number where that is taken.
    static func freeID(_ plugin: String, _ taken: Set<String>) -> String {
        let name = plugin.split(separator: "/").last.map(String.init) ?? ""
        let base = Identifier.isValid(name) && name.utf8.count < 58 ? name : "policy"
        var id = base
        var number = 2
        while taken.contains(id) {
            id = "\(base)-\(number)"
            number += 1
        }
        return id
    }
}
