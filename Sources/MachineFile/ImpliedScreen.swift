public import Core

extension InstanceDescription {
    /// No file says so: it stands for what the machine file leaves open. Nothing that is written begins where the file does.
    public var isImplied: Bool { location.line == 1 && location.column == 1 }
}

/// A machine file that says nothing of who looks at its display has the backend `screen` look, as one without policies has the policy `standard`: on the
/// terminal the display is what its operator sees first, and without a terminal `screen` does nothing.
struct ImpliedScreen {
    private static let plugin = "screen"

    let reader: InstanceReader
    let catalog: any PluginCatalog
    /// The first line of the machine file.
    let start: SourceLocation

    /// Wires it to the first display, and it to the first of those that take input.
    /// - Parameter devices: those of the machine file; the display's gets its wire.
    /// - Returns: nil: there is no display, or somebody looks, or is meant to.
    func draft(_ devices: inout [InstanceDraft], backends: [InstanceDraft], taken: Set<String>) -> InstanceDraft? {
        let all = devices + backends
        let displays = devices.indices.compactMap { index in Self.slot(of: devices[index]).map { (index, $0) } }
        guard let (index, slot) = displays.first,
            displays.allSatisfy({ devices[$0.0].keys[$0.1.name] == nil }),
            !all.contains(where: { Self.provides("display/1", $0) }),
            case .success = catalog.find(PluginReference(name: Self.plugin))
        else { return nil }
        let id = ExtraPolicies.freeID(Self.plugin, taken)
        var keys = YAMLMapping([entry("id", scalar(id)), entry("plugin", scalar(Self.plugin))])
        if let keyboard = all.first(where: { Self.provides("input/1", $0) })?.id {
            keys.set(entry("keyboard", scalar("\(keyboard).0")))
        }
        let wire = slot.isMany ? YAMLNode(content: .sequence([scalar(id)]), location: start) : scalar(id)
        devices[index].keys.set(entry(slot.name, wire))
        return reader.draft(YAMLNode(content: .mapping(keys), location: start), .backends)
    }

    private static func slot(of device: InstanceDraft) -> SlotDescription? {
        device.entry?.type.slots.first { $0.interface == "display/1" }
    }

    private static func provides(_ interface: String, _ draft: InstanceDraft) -> Bool {
        draft.id != nil && draft.entry?.type.provided.contains { $0.interface == interface } == true
    }

    private func scalar(_ text: String) -> YAMLNode { YAMLNode(content: .scalar(ScalarText(text)), location: start) }
    private func entry(_ key: String, _ value: YAMLNode) -> YAMLMapping.Entry {
        .init(key: key, keyLocation: start, value: value)
    }
}
