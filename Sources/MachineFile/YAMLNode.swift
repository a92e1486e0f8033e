import Core

/// A part of a machine file, with its place.
struct YAMLNode {
    enum Content {
        case scalar(ScalarText)
        case sequence([YAMLNode])
        case mapping(YAMLMapping)
        /// What is wrong with it has been reported: it counts as given and says nothing.
        case broken
    }

    var content: Content
    var location: SourceLocation

    var scalar: ScalarText? {
        if case .scalar(let scalar) = content { scalar } else { nil }
    }

    var mapping: YAMLMapping? {
        if case .mapping(let mapping) = content { mapping } else { nil }
    }

    var sequence: [YAMLNode]? {
        if case .sequence(let items) = content { items } else { nil }
    }

    var isNull: Bool { scalar?.isNull ?? false }

    var isBroken: Bool {
        if case .broken = content { true } else { false }
    }

    /// For messages: "a list".
    var kindName: String {
        switch content {
        case .scalar(let scalar): scalar.isNull ? "nothing" : "a single value"
        case .sequence: "a list"
        case .mapping: "a mapping"
        case .broken: "something broken"
        }
    }
}

/// The text of a scalar. Its type is nobody's guess: who reads it knows what it should be.
struct ScalarText: Equatable {
    var text: String
    /// Plain and empty, `~` or `null`.
    var isNull: Bool
    /// What a relative path in it is relative to: the directory where its beginning was written. "": the working one.
    var directory: String

    init(_ text: String, isNull: Bool = false, directory: String = "") {
        self.text = text
        self.isNull = isNull
        self.directory = directory
    }
}

/// Keys in file order, each once.
struct YAMLMapping {
    struct Entry {
        var key: String
        var keyLocation: SourceLocation
        var value: YAMLNode
    }

    private(set) var entries: [Entry] = []
    private var positions: [String: Int] = [:]

    init() {}

    init(_ entries: [Entry]) {
        for entry in entries { set(entry) }
    }

    subscript(key: String) -> Entry? { positions[key].map { entries[$0] } }

    /// The value of a key that is given and not null.
    func value(_ key: String) -> YAMLNode? {
        guard let value = self[key]?.value, !value.isNull else { return nil }
        return value
    }

    /// Adds, or replaces in place.
    mutating func set(_ entry: Entry) {
        if let position = positions[entry.key] {
            entries[position] = entry
        } else {
            positions[entry.key] = entries.count
            entries.append(entry)
        }
    }

    mutating func remove(_ key: String) {
        guard positions[key] != nil else { return }
        self = YAMLMapping(entries.filter { $0.key != key })
    }
}
