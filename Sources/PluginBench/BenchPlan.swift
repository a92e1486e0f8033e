import CBackplane
import Core

/// Why the bench cannot host a class, as a sentence.
public struct BenchError: Error, Sendable, CustomStringConvertible {
    public var description: String
    init(_ description: String) { self.description = description }
}

/// Everything that a bench's machine is made of, worked out once for a class: its values, and a peer for each of its
/// slots and interfaces. Machines are made from it by the hundred.
public final class BenchPlan: @unchecked Sendable {
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
    let slotNets: Int
    let providedNets: Int
    /// Ends of interfaces of the plugin's own, and the library of their classes; nil: it has none.
    let customs: [CustomPlace]
    let customLibrary: CustomLibrary?
    let isController: Bool
    let peers: PluginLibrary
    /// Bytes of guest RAM.
    let memory: UInt64
    /// Where the bench writes what it does; nil: nowhere.
    let journal: Journal?
    let habits = AnswerHabits()
    /// Host nanoseconds for which something is waited for that threads or the host may bring. Set from the bench's thread.
    public var patience: UInt64 = 10_000_000_000
    /// Nanoseconds that one callback may take, for the watchdog of this process; 0: off.
    public var watchdog: UInt64 = 10_000_000_000

    var streamCount: Int { slotStreams + providedStreams }
    var netCount: Int { slotNets + providedNets }

    /// `properties`: texts by the property's declared type; items of a list are separated by commas.
    public convenience init(
        library: PluginLibrary, className: String, properties: [String: String] = [:], memory: UInt64? = nil,
        others: [PluginLibrary] = [], journal: Journal? = nil
    ) throws(BenchError) {
        guard let type = library.description.classes.first(where: { $0.name == className }) else {
            let names = library.description.classes.map(\.name).joined(separator: ", ")
            throw BenchError("\(library.path) has no class '\(className)'; it has: \(names)")
        }
        let (values, given) = try PropertyText.resolve(properties, for: type)
        try self.init(
            library: library, type: type, values: values, given: given, memory: memory, others: others,
            journal: journal)
    }

    /// With values that are resolved already: one for each property. `memory`: bytes of guest RAM, copied at each
    /// save; nil: 256 KiB, for a loader 4 MiB. `others`: libraries that may describe interfaces which the class's slots need.
    public init(
        library: PluginLibrary, type: ClassDescription, values: [Value?], given: [Bool], memory: UInt64? = nil,
        others: [PluginLibrary] = [], journal: Journal? = nil
    ) throws(BenchError) {
        self.journal = journal
        self.memory = memory ?? (type.kind == .loader ? 4 << 20 : 256 << 10)
        self.library = library
        self.type = type
        self.values = values
        self.given = given
        var customs = CustomInterfaces([library] + others)
        var wiring = SlotWiring()
        for (slot, description) in type.slots.enumerated() { try wiring.add(slot, description, of: type, &customs) }
        wires = wiring.wires
        unwired = wiring.unwired
        slotStreams = wiring.streams
        slotDisks = wiring.disks
        slotNets = wiring.nets
        func count(_ interface: String, _ limit: UInt32) -> Int {
            Int(min(type.provided.first { $0.interface == interface }?.count ?? 0, limit))
        }
        lineCount = count("irq-line/1", peerCount)
        providedStreams = count("stream/1", 4)
        providedDisks = count("block/1", 4)
        providedNets = count("net/1", 4)
        isController = type.provided.contains { $0.interface == "irq-controller/1" }
        let used = ["irq-line/1", "stream/1", "block/1", "net/1", "irq-controller/1"]
        var unused: [String] = []
        for provided in type.provided where !used.contains(provided.interface) {
            if !customs.provide(provided.interface, count: Int(provided.count)) {
                unused.append(provided.interface)
            }
        }
        self.unused = unused
        self.customs = customs.places
        customLibrary = customs.list.isEmpty ? nil : try CustomLibrary(customs.list, customs.descriptors)
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
        func add(
            _ className: String, id: String, index: Int = 0, wires: [InstanceDescription.Wire] = [],
            from library: PluginLibrary? = nil
        ) {
            let library = library ?? peers
            guard let peer = library.description.classes.first(where: { $0.name == className }) else { return }
            instances.append(
                InstanceDescription(
                    id: id, libraryPath: library.path, type: peer,
                    values: [.unsigned(boardAddress), .unsigned(UInt64(index))], isGiven: [true, true], wires: wires,
                    location: BenchPlan.location))
        }
        add("bench-lines", id: "bench-lines")
        add("bench-streams", id: "bench-streams")
        add("bench-disks", id: "bench-disks")
        add("bench-nets", id: "bench-nets")
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
        for index in 0..<providedNets {
            add(
                "bench-net-client", id: "bench-net-client-\(index)", index: slotNets + index,
                wires: [BenchPlan.wire(0, 0, BenchPlan.deviceID, index)])
        }
        if let customLibrary {
            for (number, interface) in customLibrary.interfaces.enumerated() {
                let places = customs.filter { $0.interface == number }
                // One backend has all ends that slots need; of what is provided each end is a client.
                for place in interface.isProvided ? places : Array(places.prefix(1)) {
                    add(
                        CustomLibrary.className(number), id: BenchPlan.endID(place, interface), index: place.index,
                        wires: interface.isProvided ? [BenchPlan.wire(0, 0, BenchPlan.deviceID, place.index)] : [],
                        from: customLibrary.library)
                }
            }
        }
        instances = type.kind == .policy ? [device] + instances : instances + [device]
        // Times that are fixed, so that runs repeat: 2001-09-09 01:46:40 UTC.
        return MachineDescription(
            name: "bench", interrupts: isController ? Endpoint(instance: BenchPlan.deviceID, index: 0) : nil,
            memory: memory, instances: instances,
            clock: ClockDescription(mode: .real, wallClock: 1_000_000_000, entropySeed: 1), watchdog: watchdog)
    }

    /// Of the bench's instance behind a place.
    static func endID(_ place: CustomPlace, _ interface: CustomInterface) -> String {
        "bench-end-\(place.interface)" + (interface.isProvided ? "-\(place.index)" : "")
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
    var nets = 0

    mutating func add(
        _ slot: Int, _ description: SlotDescription, of type: ClassDescription, _ customs: inout CustomInterfaces
    ) throws(BenchError) {
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
            case "net/1":
                wires.append(BenchPlan.wire(slot, position, "bench-nets", nets))
                nets += 1
            default:
                if let place = customs.need(description.interface, slot: description.name, position) {
                    wires.append(BenchPlan.wire(slot, position, "bench-end-\(place.interface)", place.index))
                    continue
                }
                guard description.isOptional else {
                    throw BenchError(
                        "the bench cannot host '\(type.name)': nothing describes '\(description.interface)', which "
                            + "the slot '\(description.name)' needs; a library that provides it would")
                }
                if position == 0 { unwired.append("\(description.name) (\(description.interface))") }
            }
        }
        guard max(lines, streams, disks, nets) <= Int(peerCount) else {
            throw BenchError("the bench cannot host '\(type.name)': it has more than \(peerCount) slots of a kind")
        }
    }
}

/// The interfaces of its own that a class has, found in the libraries that describe them.
struct CustomInterfaces {
    private let libraries: [PluginLibrary]
    private(set) var list: [CustomInterface] = []
    private(set) var descriptors: [UnsafePointer<bp_interface>] = []
    private(set) var places: [CustomPlace] = []

    init(_ libraries: [PluginLibrary]) { self.libraries = libraries }

    /// The position of the interface in the list; nil: nothing describes it.
    private mutating func find(_ name: String, isProvided: Bool) -> Int? {
        if let index = list.firstIndex(where: { $0.name == name && $0.isProvided == isProvided }) { return index }
        let known = libraries.lazy.compactMap { $0.interface(named: name) }.first
        guard let pointer = known ?? HeaderInterfaces.find(name),
            let descriptor = try? InterfaceDescriptor(pointer)
        else { return nil }
        list.append(CustomInterface(descriptor, isProvided: isProvided))
        descriptors.append(pointer)
        return list.count - 1
    }

    /// An end for a slot's position; nil: nothing describes the interface.
    mutating func need(_ name: String, slot: String, _ position: Int) -> CustomPlace? {
        guard let index = find(name, isProvided: false) else { return nil }
        let place = CustomPlace(
            name: "\(slot).\(position)", interface: index, index: places.count { $0.interface == index })
        places.append(place)
        return place
    }

    /// An end for each of the first indices of what the class provides. False: nothing describes it.
    mutating func provide(_ name: String, count: Int) -> Bool {
        guard let index = find(name, isProvided: true) else { return false }
        for position in HeaderInterfaces.indices(name, count: count) {
            places.append(CustomPlace(name: "\(name).\(position)", interface: index, index: position))
        }
        return true
    }
}
