import Core

/// Why the bench cannot host a class, as a sentence.
public struct BenchError: Error, Sendable, CustomStringConvertible {
    public var description: String
    init(_ description: String) { self.description = description }
}

/// Everything that a bench's machine is made of, worked out once for a class: its values, and a peer for each of its
/// slots and interfaces. Machines are made from it by the hundred.
public final class BenchPlan: Sendable {
    public let library: PluginLibrary
    public let type: ClassDescription
    let values: [Value?]
    let given: [Bool]
    /// Slots that no peer fits, left open.
    public let unwired: [String]
    /// What the class provides and no peer of the bench uses.
    public let unused: [String]

    let wires: [InstanceDescription.Wire]
    let lineCount: Int
    let slotStreams: Int
    let providedStreams: Int
    let slotDisks: Int
    let providedDisks: Int
    let isController: Bool
    let peers: PluginLibrary
    /// Bytes of guest RAM.
    let memory: UInt64

    var streamCount: Int { slotStreams + providedStreams }

    /// `properties`: texts by the property's declared type; items of a list are separated by commas.
    public convenience init(
        library: PluginLibrary, className: String, properties: [String: String] = [:], memory: UInt64? = nil
    ) throws(BenchError) {
        guard let type = library.description.classes.first(where: { $0.name == className }) else {
            let names = library.description.classes.map(\.name).joined(separator: ", ")
            throw BenchError("\(library.path) has no class '\(className)'; it has: \(names)")
        }
        let (values, given) = try PropertyText.resolve(properties, for: type)
        try self.init(library: library, type: type, values: values, given: given, memory: memory)
    }

    /// With values that are resolved already: one for each property. `memory`: bytes of guest RAM, copied at each
    /// save; nil: 256 KiB, for a loader 4 MiB.
    public init(
        library: PluginLibrary, type: ClassDescription, values: [Value?], given: [Bool], memory: UInt64? = nil
    ) throws(BenchError) {
        self.memory = memory ?? (type.kind == .loader ? 4 << 20 : 256 << 10)
        self.library = library
        self.type = type
        self.values = values
        self.given = given
        var wiring = SlotWiring()
        for (slot, description) in type.slots.enumerated() { try wiring.add(slot, description, of: type) }
        wires = wiring.wires
        unwired = wiring.unwired
        slotStreams = wiring.streams
        slotDisks = wiring.disks
        func count(_ interface: String, _ limit: UInt32) -> Int {
            Int(min(type.provided.first { $0.interface == interface }?.count ?? 0, limit))
        }
        lineCount = count("irq-line/1", peerCount)
        providedStreams = count("stream/1", 4)
        providedDisks = count("block/1", 4)
        isController = type.provided.contains { $0.interface == "irq-controller/1" }
        let used = ["irq-line/1", "stream/1", "block/1", "irq-controller/1"]
        unused = type.provided.map(\.interface).filter { !used.contains($0) }
        do throws(LibraryError) {
            peers = try PluginLibrary(builtIn: peerDescriptor())
        } catch {
            throw BenchError("the bench's own peers: \(error)")
        }
    }

    // MARK: The machine

    static let deviceID = "device"
    private static let location = SourceLocation(file: "the bench", line: 0, column: 0)

    /// `boardAddress`: for the peers' `board` property.
    func description(boardAddress: UInt64) -> MachineDescription {
        let device = InstanceDescription(
            id: BenchPlan.deviceID, libraryPath: library.path, type: type, values: values, isGiven: given,
            wires: wires, location: BenchPlan.location)
        var instances: [InstanceDescription] = []
        func add(_ className: String, id: String, index: Int = 0, wires: [InstanceDescription.Wire] = []) {
            guard let peer = peers.description.classes.first(where: { $0.name == className }) else { return }
            instances.append(
                InstanceDescription(
                    id: id, libraryPath: peers.path, type: peer,
                    values: [.unsigned(boardAddress), .unsigned(UInt64(index))], isGiven: [true, true], wires: wires,
                    location: BenchPlan.location))
        }
        add("bench-lines", id: "bench-lines")
        add("bench-streams", id: "bench-streams")
        add("bench-disks", id: "bench-disks")
        let targets = (0..<lineCount).map { BenchPlan.wire(0, $0, BenchPlan.deviceID, $0) }
        add("bench-driver", id: "bench-driver", wires: targets)
        for index in 0..<providedStreams {
            add(
                "bench-stream-client", id: "bench-stream-client-\(index)", index: slotStreams + index,
                wires: [BenchPlan.wire(0, 0, BenchPlan.deviceID, index)])
        }
        for index in 0..<providedDisks {
            add(
                "bench-block-client", id: "bench-block-client-\(index)", index: index,
                wires: [BenchPlan.wire(0, 0, BenchPlan.deviceID, index)])
        }
        instances = type.kind == .policy ? [device] + instances : instances + [device]
        // Times that are fixed, so that runs repeat: 2001-09-09 01:46:40 UTC.
        return MachineDescription(
            name: "bench", interrupts: isController ? Endpoint(instance: BenchPlan.deviceID, index: 0) : nil,
            memory: memory, instances: instances,
            clock: ClockDescription(mode: .real, wallClock: 1_000_000_000, entropySeed: 1))
    }

    static func wire(_ slot: Int, _ position: Int, _ instance: String, _ index: Int) -> InstanceDescription.Wire {
        InstanceDescription.Wire(
            slot: slot, position: position, target: Endpoint(instance: instance, index: UInt32(index)),
            location: location)
    }
}

/// Hands each slot of the class to a peer.
private struct SlotWiring {
    var wires: [InstanceDescription.Wire] = []
    var unwired: [String] = []
    var lines = 0
    var streams = 0
    var disks = 0

    mutating func add(_ slot: Int, _ description: SlotDescription, of type: ClassDescription) throws(BenchError) {
        for position in 0..<(description.isMany ? 2 : 1) {
            switch description.interface {
            case "irq-line/1":
                wires.append(BenchPlan.wire(slot, position, "bench-lines", lines))
                lines += 1
            case "stream/1":
                wires.append(BenchPlan.wire(slot, position, "bench-streams", streams))
                streams += 1
            case "block/1":
                wires.append(BenchPlan.wire(slot, position, "bench-disks", disks))
                disks += 1
            default:
                guard description.isOptional else {
                    throw BenchError(
                        "the bench cannot host '\(type.name)': it has no peer for '\(description.interface)', "
                            + "which the slot '\(description.name)' needs")
                }
                if position == 0 { unwired.append("\(description.name) (\(description.interface))") }
            }
        }
        guard max(lines, streams, disks) <= Int(peerCount) else {
            throw BenchError("the bench cannot host '\(type.name)': it has more than \(peerCount) slots of a kind")
        }
    }
}
