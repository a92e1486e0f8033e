import BackendSupport

/// The switches of this process that have a name: machines which name the same one meet there, and nowhere else. One exists as long as somebody has it.
public enum SwitchRegistry {
    private struct Entry {
        weak var found: LearningSwitch?
    }

    private static let monitor = Monitor()
    // SAFETY: guarded by `monitor`.
    nonisolated(unsafe) private static var entries: [String: Entry] = [:]

    public static func find(_ name: String) -> LearningSwitch {
        monitor.locked {
            if let found = entries[name]?.found { return found }
            entries = entries.filter { $0.value.found != nil }
            let made = LearningSwitch()
            entries[name] = Entry(found: made)
            return made
        }
    }
}
