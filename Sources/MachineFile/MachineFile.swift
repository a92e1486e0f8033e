public import Core

/// What the command line adds to a machine file.
public struct MachineFileOptions: Sendable {
    /// `--set name=value`, the last of a name counts.
    public var settings: [(String, String)]
    /// `--engine`; nil: what the file says.
    public var engine: EngineChoice?
    /// `--policy`, for the head of the chain, in order: `NAME`, `NAME,property=value,...` or `id=NAME,...`; a comma in
    /// a value is written twice.
    public var extraPolicies: [String]

    public init(settings: [(String, String)] = [], engine: EngineChoice? = nil, extraPolicies: [String] = []) {
        self.settings = settings
        self.engine = engine
        self.extraPolicies = extraPolicies
    }
}

public struct MachineFileResult: Sendable {
    /// nil: there are errors.
    public var description: MachineDescription?
    /// In file order.
    public var diagnostics: [Diagnostic]

    public init(description: MachineDescription?, diagnostics: [Diagnostic]) {
        self.description = description
        self.diagnostics = diagnostics
    }
}

/// Reads and checks a machine file: `path` is relative to the working directory, and paths in the result are too.
public func loadMachineFile(
    path: String, options: MachineFileOptions = .init(), catalog: any PluginCatalog
) -> MachineFileResult {
    let result = loadGuests(paths: [path], options: options, catalog: catalog)
    return MachineFileResult(description: result.guests?.first, diagnostics: result.diagnostics)
}

/// Puts the machine together.
struct MachineAssembly {
    let reader: MachineReader
    let options: GuestOptions
    let catalog: any PluginCatalog
    let reporter: Reporter
    /// The first line of the machine file.
    let start: SourceLocation

    func description() -> MachineDescription {
        Keys.check(reader.root, known: MachineReader.keys, of: "a machine file", reporter)
        reader.checkDescription()
        var cpu = reader.cpu()
        if let engine = options.engine {
            cpu.engine = engine.choice
            cpu.engineLocation = engine.location
        }
        let drafts = drafts()
        let resolver = InstanceResolver(reporter: reporter)
        let resolved = drafts.enumerated().map { resolver.resolve($1, position: $0) }
        var wiring = Wiring(drafts, reporter: reporter)
        let connections = wiring.connect(resolved.flatMap(\.wires))
        let interrupts = cpu.interrupts.flatMap {
            wiring.resolve($0.text, "irq-controller/1", owner: "\"interrupts\" of the CPU", at: $0.location)?.endpoint
        }
        var description = MachineDescription(
            name: options.name ?? reader.name(), engine: cpu.engine, interrupts: interrupts, cpuCount: cpu.count,
            memory: reader.memory(), instances: instances(drafts, resolved, connections), clock: reader.clock(cpu))
        (description.translation, description.interpreted) = (cpu.translation, cpu.interpreted)
        if let watchdog = reader.watchdog() { description.watchdog = watchdog }
        return description
    }

    // MARK: Instances

    /// Policies, devices, backends, the loader.
    private func drafts() -> [InstanceDraft] {
        let reader = InstanceReader(catalog: catalog, reporter: reporter, defaultOnFault: reader.onFault())
        let policies = reader.list(root.value("policies"), .policies)
        var devices = reader.list(root.value("devices"), .devices)
        let backends = reader.list(root.value("backends"), .backends)
        let ids = Set((policies + devices + backends).compactMap(\.id))
        let screen = ImpliedScreen(reader: reader, catalog: catalog, start: start).draft(
            &devices, backends: backends, taken: ids)
        // Consoles come in the order of their backends.
        var others = devices + (screen.map { [$0] } ?? []) + backends
        if let boot = root.value("boot"), let draft = reader.draft(boot, .boot, defaultID: "boot") {
            others.append(draft)
        }
        let taken = Set((policies + others).compactMap(\.id))
        let extra = ExtraPolicies(reader: reader, reporter: reporter).drafts(options.policies, taken: taken)
        let chain = extra + policies
        return chain + standard(chain, reader, taken) + others
    }

    private var root: YAMLMapping { reader.root }

    /// A machine whose file names no policy gets the standard one, at the end of the chain.
    private func standard(_ chain: [InstanceDraft], _ reader: InstanceReader, _ taken: Set<String>) -> [InstanceDraft] {
        let isNamed = root.value("policies").map { $0.sequence?.isEmpty != true } ?? false
        guard !isNamed, !chain.contains(where: { $0.entry?.type.name == "standard" }) else { return [] }
        let id = ExtraPolicies.freeID("standard", taken.union(chain.compactMap(\.id)))
        let keys = YAMLMapping(
            [("id", id), ("plugin", "standard")].map { key, text in
                .init(
                    key: key, keyLocation: start,
                    value: YAMLNode(content: .scalar(ScalarText(text)), location: start))
            })
        return reader.draft(YAMLNode(content: .mapping(keys), location: start), .policies).map { [$0] } ?? []
    }

    /// Those whose class was found: the rest has been reported.
    private func instances(
        _ drafts: [InstanceDraft], _ resolved: [InstanceResolver.Resolved], _ connections: [Wiring.Connection]
    ) -> [InstanceDescription] {
        let wires = Dictionary(grouping: connections, by: \.wire.instance)
        return zip(drafts, resolved).enumerated().compactMap { position, pair in
            let (draft, resolved) = pair
            guard let id = draft.id, let entry = draft.entry else { return nil }
            return InstanceDescription(
                id: id, libraryPath: entry.libraryPath, type: entry.type, values: resolved.values,
                isGiven: resolved.isGiven,
                wires: (wires[position] ?? []).map {
                    .init(slot: $0.wire.slot, position: $0.wire.position, target: $0.target, location: $0.wire.location)
                },
                onStart: resolved.onStart, onFault: draft.onFault, location: draft.location, overrides: draft.overrides)
        }
    }
}
