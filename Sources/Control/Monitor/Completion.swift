import Core

/// What a word of the monitor's line could become.
struct Completion {
    let plane: ControlPlane
    var choice = MachineChoice()

    /// Whole words that begin as the last word of `line` does, ascending.
    func words(_ line: String) -> [String] {
        var words = line.split(separator: " ", omittingEmptySubsequences: true).map(String.init)
        let last = line.hasSuffix(" ") || words.isEmpty ? "" : words.removeLast()
        return candidates(after: words).filter { $0.hasPrefix(last) }.sorted()
    }

    private func candidates(after words: [String]) -> [String] {
        let command = MonitorCommand.named(words.first ?? "")?.name
        if command == "machine", words.count > 2 {
            return Completion(plane: plane, choice: MachineChoice(words[1])).candidates(
                after: Array(words.dropFirst(2)))
        }
        switch (command, words.count) {
        case ("machine", 1), ("foreground", 1): return plane.machines.map(\.description.name)
        case ("machine", 2): return MonitorCommand.all.map(\.name)
        case (nil, 0), ("help", 1): return MonitorCommand.all.map(\.name)
        case ("info", 1): return InfoTopic.all.map(\.name)
        case ("policy", 1): return PolicyWords.verbs
        case ("policy", 2) where words[1] != "insert": return instances.filter { $0.place != nil }.map(\.description.id)
        case ("policy", 3) where words[1] == "set": return liveProperties(of: words[2])
        case ("policy", 3) where words[1] == "move":
            return ["first", "last"]
                + instances.filter { $0.place != nil }.flatMap {
                    ["before:" + $0.description.id, "after:" + $0.description.id]
                }
        case ("instance", 1): return ["offline", "online", "reset"]
        case ("instance", 2):
            return instances.filter { $0.isOffline == (words[1] == "online") && $0.description.type.kind != .loader }
                .map(\.description.id)
        case ("call", 1), ("set", 1): return instances.map(\.description.id)
        case ("call", 2): return type(of: words[1])?.methods.map(\.name) ?? []
        case ("set", 2): return liveProperties(of: words[1])
        default: return []
        }
    }

    private var instances: [InstanceSummary] {
        (try? Monitor(plane: plane, choice: choice).machine().instanceSummaries()) ?? []
    }
    private func type(of id: String) -> ClassDescription? {
        instances.first { $0.description.id == id }?.description.type
    }
    private func liveProperties(of id: String) -> [String] {
        type(of: id)?.properties.filter(\.isLive).map(\.name) ?? []
    }
}
