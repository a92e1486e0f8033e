import Core

/// Where instances stand in a machine file.
enum InstanceGroup: CaseIterable {
    case policies, devices, backends, boot

    static let lists: [InstanceGroup] = [.policies, .devices, .backends]

    /// The key of the top level.
    var key: String {
        switch self {
        case .policies: "policies"
        case .devices: "devices"
        case .backends: "backends"
        case .boot: "boot"
        }
    }

    /// What belongs here.
    var kind: ClassKind {
        switch self {
        case .policies: .policy
        case .devices: .device
        case .backends: .backend
        case .boot: .loader
        }
    }

    init(_ kind: ClassKind) {
        self = InstanceGroup.allCases.first { $0.kind == kind } ?? .devices
    }
}

/// An instance of the file with its class found; its properties and slots are not looked at yet.
struct InstanceDraft {
    /// nil: missing or not valid; reported.
    var id: String?
    var idLocation: SourceLocation
    var group: InstanceGroup
    var keys: YAMLMapping
    var location: SourceLocation
    /// nil: not found, or of the wrong kind; reported.
    var entry: CatalogEntry?
    var pluginLocation: SourceLocation
    var onFault: FaultPolicy

    /// For messages.
    var name: String { id ?? "this instance" }
    var title: String { entry.map { "\(name) (\($0.type.name))" } ?? name }

    /// What files other than the one that first writes its id say of it, in the order of the keys.
    var overrides: [InstanceDescription.Override] {
        keys.entries.reduce(into: []) { overrides, entry in
            guard entry.key != "id", entry.keyLocation.file != location.file else { return }
            if let index = overrides.firstIndex(where: { $0.location.file == entry.keyLocation.file }) {
                overrides[index].keys.append(entry.key)
            } else {
                overrides.append(.init(keys: [entry.key], location: entry.keyLocation))
            }
        }
    }
}
