import Core

/// The keys of a mapping against those that it may have.
enum Keys {
    static func check(_ mapping: YAMLMapping, known: [String], of what: String, _ reporter: Reporter) {
        for entry in mapping.entries where !known.contains(entry.key) {
            let hint = reporter.hint(for: entry.key, in: known)
            reporter.error(
                entry.keyLocation, "\(what) has no \(Printable.quoted(entry.key))" + hint,
                notes: hint.isEmpty ? [.init("it may have: " + known.joined(separator: ", "))] : [])
        }
    }
}
