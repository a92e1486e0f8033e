import ACPITables
import BoardSurvey
import PluginKit

/// The name space of a board: one device for each firmware node, where it is wired.
///
/// What is on PCI stands below its bus by its place; parts with ports stand below the ISA bridge, and those that have memory alone below `\_SB`. Names are the
/// first four characters of instances' names in the machine file.
struct NameSpace {
    private let board: Board
    /// Of the devices that are named: functions and bridges by instance, as a path below `\_SB`.
    private var paths: [Int: String] = [:]
    private var names: [Int: String] = [:]
    /// What each bus's device holds by a name, by the bus's instance.
    private var taken: [Int: SegmentNames] = [:]
    /// The name of an ISA bridge that is no function of PCI.
    private var isaName = "ISA_"
    private let bridge: Board.Part?

    private static let system = "\\_SB"
    private static let root = "PCI0"

    init(_ board: Board) {
        self.board = board
        bridge = board.part(.isaBridge)
        guard let root = board.pci.root else { return }
        paths[root] = Self.system + "." + Self.root
        nameFunctions(of: root, depth: 0)
        if !isBridgeOnPCI { isaName = taken[root, default: SegmentNames()].next("ISA", avoiding: template(of: root)) }
    }

    /// Functions with nodes, and bridges, from the root on; what is wired in a circle is not reached, nor what is behind more bridges than PCI has numbers of buses.
    private mutating func nameFunctions(of bus: Int, depth: Int) {
        guard let path = paths[bus], depth < 255 else { return }
        var names = SegmentNames()
        for (instance, place) in board.pci.places.sorted(by: { $0.key < $1.key }) where place.bus == bus {
            guard paths[instance] == nil, isNamed(instance) else { continue }
            let name = names.next(name(of: instance), avoiding: template(of: bus))
            self.names[instance] = name
            paths[instance] = path + "." + name
            nameFunctions(of: instance, depth: depth + 1)
        }
        taken[bus] = names
    }

    /// AML that the device of a bus holds beside what is on the bus.
    private func template(of bus: Int) -> [UInt8] {
        board.parts.filter { $0.node.instance == bus }.flatMap(\.node.template)
    }

    private func isNamed(_ instance: Int) -> Bool {
        board.pci.devices[instance] != nil || !parts(of: instance).isEmpty
    }

    private func name(of instance: Int) -> String { board.ids.indices.contains(instance) ? board.ids[instance] : "" }

    private func parts(of instance: Int) -> [Board.Part] {
        board.parts.filter {
            $0.node.instance == instance && ($0.node.role == .device || $0.node.role == .isaBridge)
                && ($0.node.role != .device || !$0.node.template.isEmpty || !$0.node.links.isEmpty)
        }
    }

    // MARK: The whole

    var definition: DefinitionBlock {
        let processor = AML.device("C000", [.name("_HID", .hardwareID("ACPI0007")), .name("_UID", .integer(0))])
        var counts: [String: UInt64] = [:]
        let isa = isaDevices(&counts)
        let memory = memoryDevices(&counts)
        let buses = board.pci.root.map { [hostBridge($0, isa)] } ?? [isaBus(isa)]
        return DefinitionBlock(
            PCINames.interruptModel + [
                PCINames.sleepState(5, sleepType: 0), .scope(Self.system, [processor] + buses + memory),
            ])
    }

    // MARK: PCI

    private func hostBridge(_ root: Int, _ isa: [AML]) -> AML {
        var terms: [AML] = [
            .name("_HID", .hardwareID(board.part(.hostBridge)?.node.hid ?? "PNP0A03")),
            .name("_UID", .integer(0)), .name("_CRS", .resources(windows)),
        ]
        terms.append(AML(verbatim: board.part(.hostBridge)?.node.template ?? []))
        terms += bus(root, isa)
        if !isBridgeOnPCI { terms.append(isaBus(isa)) }
        return .device(Self.root, terms)
    }

    private var isBridgeOnPCI: Bool { bridge.map { paths[$0.node.instance] != nil } ?? false }

    /// A bus's routing table and the functions on it that have names.
    private func bus(_ bus: Int, _ isa: [AML]) -> [AML] {
        let routes = board.pci.routes(of: bus)
        let table = PCINames.routingTable(
            pic: routes.compactMap { route($0, board.pci.routers) },
            apic: routes.compactMap {
                route($0, board.registers(.ioAPIC) == nil ? board.pci.routers : board.pci.apicLines)
            })
        let functions = board.pci.places.filter { $0.value.bus == bus && names[$0.key] != nil }
            .sorted { ($0.value.device, $0.value.function) < ($1.value.device, $1.value.function) }
        return (routes.isEmpty ? [] : [table]) + functions.map { function($0.key, $0.value, isa) }
    }

    private func route(_ route: PCITree.Route, _ targets: [PCITree.Target]) -> PCINames.Route? {
        guard targets.indices.contains(route.line) else { return nil }
        switch targets[route.line] {
        case .nowhere: return nil
        case .interrupt(let number): return .init(device: route.device, pin: route.pin, .interrupt(number))
        case .link(let instance, let index):
            guard let path = paths[instance], let links = links(of: instance), links.indices.contains(index) else {
                return nil
            }
            return .init(device: route.device, pin: route.pin, .link(path + "." + links[index]))
        }
    }

    private func links(of instance: Int) -> [String]? {
        board.parts.first { $0.node.instance == instance && !$0.node.links.isEmpty }?.node.links
    }

    private func function(_ instance: Int, _ place: PCITree.Place, _ isa: [AML]) -> AML {
        var terms: [AML] = [.name("_ADR", .integer(UInt64(place.device) << 16 | UInt64(place.function)))]
        for part in parts(of: instance) { terms += [AML(verbatim: part.node.template)] + choices(of: part) }
        if board.pci.devices[instance] != nil { terms += bus(instance, isa) }
        if bridge?.node.instance == instance { terms += isa }
        return .device(names[instance] ?? "DEV_", terms)
    }

    /// What the host bridge passes on: ports but its own, the legacy window, and above RAM up to the APICs what nothing else has.
    private var windows: [Resource] {
        let own = board.part(.hostBridge)?.ports ?? []
        let ports = gaps(own.map { UInt64($0.first)...UInt64($0.end - 1) }, in: 0...0xFFFF)
        let last: UInt64 = 0xFEBF_FFFF
        let first = min(UInt64(board.lowMemoryEnd), last)
        let memory = gaps(board.claimedMemory.map { $0.first...$0.last }, in: first...last, granularity: 4096)
        var windows: [Resource] = [.buses(.init(0, through: 255))]
        for ports in own { windows.append(.ports(ports)) }
        for gap in ports {
            windows.append(.doubleWordIO(.init(UInt32(gap.lowerBound), through: UInt32(gap.upperBound))))
        }
        windows.append(.doubleWordMemory(.init(0xA_0000, through: 0xB_FFFF), isCacheable: true, isWritable: true))
        for gap in memory {
            let window = Resource.Window(UInt32(gap.lowerBound), through: UInt32(gap.upperBound))
            windows.append(.doubleWordMemory(window, isCacheable: false, isWritable: true))
        }
        return windows
    }

    // MARK: ISA, and what has memory alone

    /// Behind PCI's ISA bridge, where that is one.
    private func isaBus(_ devices: [AML]) -> AML {
        let own = bridge.map { [AML(verbatim: $0.node.template)] + choices(of: $0) } ?? []
        return .device(
            isaName,
            [.name("_HID", .hardwareID(bridge?.node.hid ?? "PNP0A05")), .name("_UID", .integer(1))] + own + devices)
    }

    private func choices(of part: Board.Part) -> [AML] {
        guard let choices = board.linkChoices[part.node.instance], !choices.isEmpty else { return [] }
        return part.node.links.map { PCINames.choices(choices, of: $0) }
    }

    private func isOnPCI(_ part: Board.Part) -> Bool { board.pci.places[part.node.instance] != nil }

    private func isaDevices(_ counts: inout [String: UInt64]) -> [AML] {
        // All that its device declares, whichever of its nodes does.
        let template = bridge.map { self.template(of: $0.node.instance) } ?? []
        // Where the bridge is a bus of PCI too, its device holds what is on that.
        var names = bridge.flatMap { taken[$0.node.instance] } ?? SegmentNames()
        var devices: [AML] = []
        for part in board.parts
        where part.node.role == .device && !isOnPCI(part) && part.isThere && !part.isMemoryAlone {
            devices.append(device(part, names.next(part.id, avoiding: template), &counts))
        }
        guard !board.otherPorts.isEmpty else { return devices }
        // What has ports and is nobody's that an operating system knows of.
        let name = names.next("SYSR", avoiding: template)
        return devices + [
            .device(
                name,
                [
                    .name("_HID", .hardwareID("PNP0C02")), .name("_UID", .integer(counts["PNP0C02"] ?? 0)),
                    .name("_CRS", .resources(board.otherPorts.map(Resource.ports))),
                ])
        ]
    }

    private func memoryDevices(_ counts: inout [String: UInt64]) -> [AML] {
        var names = SegmentNames(taken: ["C000", Self.root, "ISA_"])
        var devices: [AML] = []
        for part in board.parts where part.node.role == .device && !isOnPCI(part) && part.isMemoryAlone {
            devices.append(device(part, names.next(part.id, avoiding: []), &counts))
        }
        return devices
    }

    private func device(_ part: Board.Part, _ name: String, _ counts: inout [String: UInt64]) -> AML {
        let node = part.node
        let id = node.hid ?? ""
        var terms: [AML] = [.name("_HID", .hardwareID(id))]
        let others = node.cids.map(AML.hardwareID)
        if let first = others.first { terms.append(.name("_CID", others.count == 1 ? first : .package(others))) }
        terms += [
            .name("_UID", .integer(counts[id, default: 0])),
            // Present, enabled and working, and shown or not.
            .name("_STA", .integer(node.flags.contains(.hidden) ? 0x0B : 0x0F)),
            .name("_CRS", .resources(part.resources(levels: board.levels))), AML(verbatim: node.template),
        ]
        terms += choices(of: part)
        counts[id, default: 0] += 1
        return .device(name, terms)
    }
}

extension Board.Part {
    /// Of what its node names it has something - or the node names nothing, or has methods, which need none.
    var isThere: Bool { !hasNothing || !node.template.isEmpty || node.claims == [] && node.slots == [] }
    var isMemoryAlone: Bool { ports.isEmpty && channels.isEmpty && !memory.isEmpty }

    func resources(levels: Set<UInt32>) -> [Resource] {
        let claimed = ports.map { Resource.ports($0) } + memory.map { Resource.memory($0) }
        let lines = interrupts.map { interrupt($0, levels) }
        return claimed + lines + channels.filter { $0 < 8 }.map { Resource.dma(mask: 1 << $0) }
    }

    private func interrupt(_ number: UInt32, _ levels: Set<UInt32>) -> Resource {
        let level = Resource.Trigger(isEdge: false, isActiveLow: false, isShared: true)
        let isLevel = node.flags.contains(.level)
        guard number < Board.isaInterrupts, !isLevel else { return .interrupts([number], isLevel ? level : .edge) }
        return .irq(mask: 1 << UInt16(number), levels.contains(number) ? level : .edge)
    }
}

extension Resource {
    /// A small descriptor counts up to 255 ports.
    static func ports(_ ports: Board.Ports) -> Resource {
        if let count = UInt8(exactly: ports.count) { return .io(port: ports.first, count: count) }
        return .doubleWordIO(
            .init(UInt32(ports.first), through: UInt32(clamping: max(ports.end, 1) - 1), isProducer: false))
    }

    static func memory(_ memory: Board.Memory) -> Resource {
        if let address = UInt32(exactly: memory.first), let length = UInt32(exactly: memory.length) {
            return .fixedMemory(address: address, length: length, isWritable: true)
        }
        return .quadWordMemory(
            .init(memory.first, through: memory.last, isProducer: false), isCacheable: false, isWritable: true)
    }
}

/// What of `range` none of `taken` has; edges of what is left are multiples of `granularity`.
func gaps(_ taken: [ClosedRange<UInt64>], in range: ClosedRange<UInt64>, granularity: UInt64 = 1) -> [ClosedRange<
    UInt64
>] {
    var gaps: [ClosedRange<UInt64>] = []
    var next = range.lowerBound
    func add(upTo end: UInt64) {
        let first = (next &+ granularity &- 1) / granularity * granularity
        let end = end / granularity * granularity
        if first >= next, first < end { gaps.append(first...end - 1) }
    }
    for part in taken.sorted(by: { $0.lowerBound < $1.lowerBound }) where part.upperBound >= next {
        guard part.lowerBound <= range.upperBound else { break }
        add(upTo: part.lowerBound)
        guard part.upperBound < range.upperBound else { return gaps }
        next = part.upperBound + 1
    }
    add(upTo: range.upperBound + 1)
    return gaps
}
