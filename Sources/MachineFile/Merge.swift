import Core

/// Makes one tree of a machine file and those that it extends. Places stay those of the file where a thing was written.
///
/// Mappings of the top level override key by key. The instances of a list override key by key where the id is the same,
/// `remove: true` takes one out, and a new one comes last. A null takes the key out.
struct Merge {
    static let mappings = ["cpu", "clock", "boot"]
    static let lists = InstanceGroup.lists.map(\.key)

    let parameters: Parameters
    let reporter: Reporter

    /// `roots`: the machine file first.
    func merged(_ roots: [YAMLNode]) -> YAMLMapping {
        roots.reversed().compactMap(\.mapping).reduce(YAMLMapping()) { base, file in apply(file, to: base) }
    }

    private func apply(_ file: YAMLMapping, to base: YAMLMapping) -> YAMLMapping {
        var result = base
        for entry in file.entries where entry.key != "extends" && entry.key != "parameters" {
            if Merge.lists.contains(entry.key), entry.value.isNull { continue }
            var entry = entry
            let below = base[entry.key]?.value
            if let items = entry.value.sequence, Merge.lists.contains(entry.key) {
                entry.value.content = .sequence(instances(items, over: below?.sequence ?? []))
            } else if let keys = entry.value.mapping, let below = below?.mapping, Merge.mappings.contains(entry.key) {
                entry.value.content = .mapping(override(below, by: keys))
            }
            set(entry, in: &result)
        }
        return result
    }

    private func override(_ base: YAMLMapping, by keys: YAMLMapping) -> YAMLMapping {
        keys.entries.reduce(into: base) { result, entry in set(entry, in: &result) }
    }

    private func set(_ entry: YAMLMapping.Entry, in mapping: inout YAMLMapping) {
        if entry.value.isNull, mapping[entry.key] != nil {
            mapping.remove(entry.key)
        } else {
            mapping.set(entry)
        }
    }

    // MARK: Lists

    private func instances(_ items: [YAMLNode], over base: [YAMLNode]) -> [YAMLNode] {
        var result = base
        var positions: [String: Int] = [:]
        for (position, item) in base.enumerated() {
            if let id = id(of: item), positions[id] == nil { positions[id] = position }
        }
        var removed: Set<Int> = []
        var own: Set<String> = []
        for item in items {
            // A second one of this file is a duplicate, which is found later; not an override of the first.
            let id = id(of: item).flatMap { own.insert($0).inserted ? $0 : nil }
            let position = id.flatMap { positions[$0] }
            if isRemoval(item) {
                if let position { removed.insert(position) } else { refuseRemoval(item, base) }
            } else if let position, let below = result[position].mapping, let keys = item.mapping {
                result[position].content = .mapping(override(below, by: keys))
            } else {
                result.append(item)
            }
        }
        return result.indices.filter { !removed.contains($0) }.map { result[$0] }
    }

    /// Without diagnostics: an id that is no id is reported when the instance is read.
    private func id(of item: YAMLNode) -> String? {
        guard let scalar = item.mapping?.value("id")?.scalar else { return nil }
        return parameters.substituted(scalar, at: item.location)?.text
    }

    private func isRemoval(_ item: YAMLNode) -> Bool {
        guard let entry = item.mapping?["remove"], !entry.value.isNull else { return false }
        guard let scalar = entry.value.scalar else {
            reporter.error(entry.value.location, "\"remove\" is true or false, not \(entry.value.kindName)")
            return false
        }
        guard let text = parameters.substituted(scalar, at: entry.value.location) else { return false }
        do throws(ValueError) {
            return try ScalarParsing.bool(text.text)
        } catch {
            reporter.error(entry.value.location, "\"remove\": " + error.message)
            return false
        }
    }

    private func refuseRemoval(_ item: YAMLNode, _ base: [YAMLNode]) {
        let location = item.mapping?.value("id")?.location ?? item.location
        guard let id = id(of: item) else {
            return reporter.error(location, "\"remove\" needs the id of the instance to take out")
        }
        let known = base.lazy.compactMap { self.id(of: $0) }
        let list = Array(known.prefix(9))
        let reason =
            list.isEmpty
            ? "this file extends none that has instances here"
            : "the file that this one extends has " + Printable.list(list)
        reporter.error(
            location, "there is no instance \(Printable.quoted(id)) to remove" + reporter.hint(for: id, in: known),
            notes: [.init(reason)])
    }
}
