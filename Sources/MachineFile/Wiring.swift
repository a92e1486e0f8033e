import Core

/// Checks every wire against both classes: the other end exists, provides the interface, has that index, is not taken.
struct Wiring {
    let drafts: [InstanceDraft]
    let reporter: Reporter
    /// Positions of the drafts by id; of a duplicate id the first.
    private let positions: [String: Int]
    /// Ids of the first instances that provide an interface.
    private let providers: [String: [String]]
    private var taken: [Taken: WireDraft] = [:]

    private struct Taken: Hashable {
        var endpoint: Endpoint
        var interface: String
    }

    /// A wire whose other end was found.
    struct Connection {
        var wire: WireDraft
        var target: Endpoint
        var targetPosition: Int
        var mayCycle: Bool
    }

    init(_ drafts: [InstanceDraft], reporter: Reporter) {
        self.drafts = drafts
        self.reporter = reporter
        var positions: [String: Int] = [:]
        for (position, draft) in drafts.enumerated() {
            guard let id = draft.id else { continue }
            guard let first = positions[id] else {
                positions[id] = position
                continue
            }
            reporter.error(
                draft.idLocation, "the id \(id) is given to two instances",
                notes: [
                    .init("the other one is here, under \"\(drafts[first].group.key)\"", at: drafts[first].idLocation)
                ])
        }
        self.positions = positions
        providers = Wiring.providers(drafts)
    }

    private static func providers(_ drafts: [InstanceDraft]) -> [String: [String]] {
        var providers: [String: [String]] = [:]
        for draft in drafts {
            guard let id = draft.id, let type = draft.entry?.type else { continue }
            // A few are shown, and whether there are more.
            for provided in type.provided where providers[provided.interface, default: []].count < 9 {
                providers[provided.interface, default: []].append(id)
            }
        }
        return providers
    }

    /// The good ones, in order.
    mutating func connect(_ wires: [WireDraft]) -> [Connection] {
        var connections: [Connection] = []
        for wire in wires {
            if let connection = connect(wire) { connections.append(connection) }
        }
        WireCycles(drafts: drafts, connections: connections.filter { !$0.mayCycle }, reporter: reporter).report()
        return connections
    }

    private mutating func connect(_ wire: WireDraft) -> Connection? {
        guard let slot = slot(of: wire) else { return nil }
        guard let end = resolve(wire.text, slot.interface, owner: owner(of: wire), at: wire.location) else {
            return nil
        }
        if !end.provided.isShared {
            let place = Taken(endpoint: end.endpoint, interface: slot.interface)
            if let first = taken[place] {
                reportTaken(wire, first, end.endpoint, slot.interface, end.provided)
                return nil
            }
            taken[place] = wire
        }
        return Connection(
            wire: wire, target: end.endpoint, targetPosition: end.position, mayCycle: end.provided.mayCycle)
    }

    private func slot(of wire: WireDraft) -> SlotDescription? {
        guard let slots = drafts[wire.instance].entry?.type.slots, slots.indices.contains(wire.slot) else { return nil }
        return slots[wire.slot]
    }

    /// `"irq" of pit`
    private func owner(of wire: WireDraft) -> String {
        "\"\(slot(of: wire)?.name ?? "")\" of \(drafts[wire.instance].name)"
    }

    private func reportTaken(
        _ wire: WireDraft, _ first: WireDraft, _ end: Endpoint, _ interface: String, _ provided: ProvidedDescription
    ) {
        let name = provided.count > 1 ? end.text(of: interface) : end.instance
        reporter.error(
            wire.location,
            "\(owner(of: wire)) is wired to \(name), which \(owner(of: first)) has taken: "
                + "its \(interface) takes one wire",
            notes: [.init("\(owner(of: first)) is wired here", at: first.location)])
    }

    // MARK: Endpoints

    struct End {
        var endpoint: Endpoint
        var position: Int
        var provided: ProvidedDescription
    }

    /// nil: it is not one, which is reported, or its class is not known, which was.
    func resolve(_ text: String, _ interface: String, owner: String, at location: SourceLocation) -> End? {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard Identifier.isValid(parts[0]) else {
            reporter.error(location, "\(owner): \(Printable.quoted(text)) is not INSTANCE or INSTANCE.INDEX")
            return nil
        }
        guard let position = positions[parts[0]] else {
            let hint = reporter.hint(for: parts[0], in: drafts.lazy.compactMap(\.id))
            reporter.error(
                location, "\(owner): there is no instance \(Printable.quoted(parts[0]))" + hint,
                notes: hint.isEmpty ? [note(of: interface)] : [])
            return nil
        }
        guard let type = drafts[position].entry?.type else { return nil }
        guard let provided = type.provided.first(where: { $0.interface == interface }) else {
            reportInterface(position, type, interface, owner, location)
            return nil
        }
        return index(parts.count == 2 ? parts[1] : nil, provided, parts[0], owner, location).map {
            End(endpoint: Endpoint(instance: parts[0], index: $0), position: position, provided: provided)
        }
    }

    private func index(
        _ text: String?, _ provided: ProvidedDescription, _ id: String, _ owner: String, _ location: SourceLocation
    ) -> UInt32? {
        let interface = provided.interface
        let all = provided.count > 1 ? "\(id).0 to \(id).\(provided.count - 1)" : "\(id) alone"
        guard let text else {
            if provided.count == 1 { return 0 }
            let why = provided.count == 0 ? "provides no \(interface)" : "provides \(interface) as \(all): name one"
            reporter.error(location, "\(owner): \(id) \(why)")
            return nil
        }
        if interface == "pci/1" { return pciIndex(text, provided, id, owner, location) }
        guard let number = try? NumberText.unsigned(text) else {
            reporter.error(location, "\(owner): \(Printable.quoted(text)) is not an index: write \(id).NUMBER")
            return nil
        }
        guard number < UInt64(provided.count) else {
            let why = provided.count == 0 ? "it has none" : "it provides \(all)"
            reporter.error(location, "\(owner): \(id) has no \(interface) number \(number): \(why)")
            return nil
        }
        return UInt32(truncatingIfNeeded: number)
    }

    /// DEVICE or DEVICE.FUNCTION of a PCI bus.
    private func pciIndex(
        _ text: String, _ provided: ProvidedDescription, _ id: String, _ owner: String, _ location: SourceLocation
    ) -> UInt32? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        let numbers = parts.compactMap { try? NumberText.unsigned($0) }
        let function = numbers.count == 2 ? numbers[1] : 0
        guard parts.count <= 2, numbers.count == parts.count, numbers[0] < 32, function < 8,
            numbers[0] << 3 | function < UInt64(provided.count)
        else {
            reporter.error(
                location,
                "\(owner): \(Printable.quoted(text)) is no place on a PCI bus: write \(id).DEVICE or \(id).DEVICE.FUNCTION "
                    + "(devices 0 to 31, functions 0 to 7)")
            return nil
        }
        return UInt32(truncatingIfNeeded: numbers[0] << 3 | function)
    }

    private func reportInterface(
        _ position: Int, _ type: ClassDescription, _ interface: String, _ owner: String, _ location: SourceLocation
    ) {
        let draft = drafts[position]
        let own = type.provided.map(\.interface).joined(separator: ", ")
        reporter.error(
            location, "\(owner) needs \(interface), which \(draft.title) does not provide",
            notes: [
                .init("\(draft.name) provides \(own.isEmpty ? "nothing" : own)", at: draft.location),
                note(of: interface),
            ])
    }

    private func note(of interface: String) -> Diagnostic.Note {
        guard let names = providers[interface] else {
            return .init("no instance of this machine provides \(interface)")
        }
        return .init("\(interface) is provided by \(Printable.list(names))")
    }
}
