public import PluginKit

extension Board {
    /// - Parameter layout: the machine's memory.
    public init(_ survey: Survey, _ layout: [PluginKit.Memory.Range]) {
        self.init()
        let reading = Reading(survey)
        ids = survey.instances.map(\.id)
        pci = reading.tree
        // One whose ports a function of PCI has too is that function's (an IDE channel).
        parts = survey.nodes.map(reading.part).filter { part in
            reading.isFunction(part.node.instance) || part.ports.isEmpty
                || !part.ports.allSatisfy { reading.hasOnPCI($0) }
        }
        claimedMemory = reading.claims(BP_SPACE_MEMORY).filter { !reading.isFunction($0.instance) }.compactMap(
            Memory.init)
        otherPorts = ports(withoutParts: reading)
        for claim in reading.claims(BP_SPACE_PORT) where claim.base <= UInt64(UInt16.max) {
            if claim.length == 1 { answeringPorts.insert(UInt16(claim.base)) }
        }
        let space: UInt64 = 1 << 32
        for range in layout where range.kind == .ram && range.base < space {
            lowMemoryEnd = max(lowMemoryEnd, UInt32(clamping: range.base &+ range.length))
        }
        for router in reading.routers { linkChoices[router] = choices(of: router, reading) }
    }

    private func ports(withoutParts reading: Reading) -> [Ports] {
        let named = Set(parts.flatMap(\.ports).flatMap { Int($0.first)..<$0.end })
        let others = reading.claims(BP_SPACE_PORT).filter { !reading.isFunction($0.instance) }.compactMap(Ports.init)
        let free = others.filter { !reading.hasOnPCI($0) }.flatMap { Int($0.first)..<$0.end }.filter {
            !named.contains($0)
        }
        return Ports.merged(Set(free).map { Ports(UInt16(truncatingIfNeeded: $0), 1) })
    }

    /// ISA's interrupts that PCI may be led to: of those that are wired the ones that no part of ISA drives. By tradition 5, 10 and 11 are free.
    private func choices(of router: Int, _ reading: Reading) -> [UInt32] {
        let used = Set(
            parts.filter { $0.node.role == .device && !$0.node.flags.contains(.level) || $0.node.role == .power }
                .flatMap(\.interrupts))
        let wired = Set(reading.interrupts(router, nil)).filter { $0 < Self.isaInterrupts && !used.contains($0) }
        let free = wired.intersection([5, 10, 11])
        return (free.isEmpty ? wired.subtracting([14, 15]) : free).sorted()
    }
}

extension Board.Memory {
    fileprivate init?(_ claim: Survey.Claim) {
        guard claim.length > 0, !claim.base.addingReportingOverflow(claim.length - 1).overflow else { return nil }
        self.init(claim.base, claim.length)
    }
}

extension Board.Ports {
    fileprivate init?(_ claim: Survey.Claim) {
        guard let first = UInt16(exactly: claim.base), claim.length > 0, claim.length <= 0x1_0000 - UInt64(first) else {
            return nil
        }
        self.init(first, Int(claim.length))
    }
}

/// Look-ups in a survey.
private struct Reading {
    let survey: Survey
    private let functions: Set<Int>
    private let numbering: Set<Int>
    private let portsOnPCI: Set<Int>
    let routers: [Int]

    init(_ survey: Survey) {
        self.survey = survey
        let functions = Set(survey.wires.filter { $0.interface == "pci/1" }.map(\.instance))
        self.functions = functions
        numbering = Set(survey.nodes.filter { $0.flags.contains(.numbersLines) }.map(\.instance))
        routers = survey.nodes.filter { !$0.links.isEmpty }.map(\.instance)
        portsOnPCI = Set(
            survey.claims.filter { $0.space == BP_SPACE_PORT && functions.contains($0.instance) }
                .compactMap(Board.Ports.init).flatMap { Int($0.first)..<$0.end })
    }

    func isFunction(_ instance: Int) -> Bool { functions.contains(instance) }
    func hasOnPCI(_ ports: Board.Ports) -> Bool {
        (Int(ports.first)..<ports.end).allSatisfy { portsOnPCI.contains($0) }
    }
    func claims(_ space: Int) -> [Survey.Claim] { survey.claims.filter { $0.space == space } }

    // MARK: A part

    func part(_ node: Survey.Node) -> Board.Part {
        var part = Board.Part(node: node, id: survey.instances[node.instance].id)
        let claims = survey.claims.filter {
            $0.instance == node.instance && (node.claims?.contains($0.name) ?? true)
        }
        part.ports = Board.Ports.merged(
            claims.filter { $0.space == BP_SPACE_PORT }.compactMap(Board.Ports.init),
            bridging: node.flags.contains(.oneRange))
        part.memory = claims.filter { $0.space == BP_SPACE_MEMORY }.compactMap(Board.Memory.init)
            .sorted { $0.first < $1.first }
        if node.role == .device || node.role == .power { part.interrupts = interrupts(node.instance, node.slots) }
        part.channels = channels(node)
        return part
    }

    /// The numbers of the lines that an instance drives, by some slots or all. A line of something that numbers none - a router, a pin for
    /// messages - is no interrupt that could be named.
    func interrupts(_ instance: Int, _ slots: [String]?) -> [UInt32] {
        var numbers: [UInt32] = []
        for wire in survey.wires where wire.instance == instance && wire.interface == "irq-line/1" {
            guard slots?.contains(wire.slot) ?? true, numbering.contains(wire.target), !numbers.contains(wire.index)
            else { continue }
            numbers.append(wire.index)
        }
        return numbers
    }

    private static let controller = "PNP0200"

    /// The numbers of the channels of ISA's DMA controller that it uses; that itself uses the one between its two chips.
    private func channels(_ node: Survey.Node) -> [UInt8] {
        if node.hid == Self.controller { return [4] }
        let controllers = Set(survey.nodes.filter { $0.hid == Self.controller }.map(\.instance))
        return survey.wires.filter {
            $0.instance == node.instance && $0.interface == "dma-channel/1" && (node.slots?.contains($0.slot) ?? true)
                && controllers.contains($0.target) && $0.index < 8
        }.map { UInt8($0.index) }
    }

    // MARK: PCI

    var tree: PCITree {
        var tree = PCITree()
        for wire in survey.wires where wire.interface == "pci/1" {
            let place = PCITree.Place(
                bus: wire.target, device: UInt8(truncatingIfNeeded: wire.index >> 3) & 31,
                function: UInt8(wire.index & 7))
            if tree.places[wire.instance] == nil { tree.places[wire.instance] = place }
            tree.devices[wire.target, default: []].insert(place.device)
        }
        guard let root = survey.nodes.first(where: { $0.role == .hostBridge }) else { return tree }
        tree.root = root.instance
        tree.devices[root.instance, default: []].formUnion([])
        let slots = root.slots ?? []
        tree.routers = targets(root.instance, slots.first)
        tree.apicLines = targets(root.instance, slots.dropFirst().first)
        if tree.apicLines.allSatisfy({ $0 == .nowhere }) { tree.apicLines = tree.routers }
        return tree
    }

    /// Of four lines.
    private func targets(_ instance: Int, _ slot: String?) -> [PCITree.Target] {
        (0..<4).map { position in
            guard
                let wire = survey.wires.first(where: {
                    $0.instance == instance && $0.interface == "irq-line/1" && $0.slot == slot
                        && $0.position == position
                })
            else { return .nowhere }
            if numbering.contains(wire.target) { return .interrupt(wire.index) }
            let links = survey.nodes.first { $0.instance == wire.target && !$0.links.isEmpty }?.links ?? []
            return Int(wire.index) < links.count ? .link(instance: wire.target, index: Int(wire.index)) : .nowhere
        }
    }
}
