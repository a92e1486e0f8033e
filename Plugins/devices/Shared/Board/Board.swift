public import PluginKit

/// What a machine is to those who describe it to its guest - ACPI's tables, the MP table - worked out from the survey: the parts that an operating
/// system cannot find by itself, with the ports, memory, interrupts and DMA channels that they have. No class is known by name here: what a part is
/// says its firmware node.
public struct Board: Equatable, Sendable {
    /// First port, and how many.
    public struct Ports: Equatable, Sendable {
        public var first: UInt16
        public var count: Int
        public var end: Int { Int(first) + count }

        public init(_ first: UInt16, _ count: Int) { (self.first, self.count) = (first, count) }

        /// Ascending, without those that overlap or touch; `bridging`: over holes too.
        static func merged(_ ports: [Ports], bridging: Bool = false) -> [Ports] {
            var merged: [Ports] = []
            for next in ports.sorted(by: { $0.first < $1.first }) {
                guard let last = merged.last, bridging || Int(next.first) <= last.end else {
                    merged.append(next)
                    continue
                }
                merged[merged.count - 1].count = max(last.end, next.end) - Int(last.first)
            }
            return merged
        }
    }

    /// Bytes of guest-physical memory; not empty, and it does not end beyond 64 bits.
    public struct Memory: Equatable, Sendable {
        public var first: UInt64
        public var length: UInt64
        public var last: UInt64 { first &+ (length &- 1) }

        public init(_ first: UInt64, _ length: UInt64) { (self.first, self.length) = (first, length) }
    }

    /// A firmware node of an instance, with what it has.
    public struct Part: Equatable, Sendable {
        public var node: Survey.Node
        /// The instance's name in the machine file.
        public var id: String
        public var ports: [Ports] = []
        public var memory: [Memory] = []
        /// Global system interrupts, in the order of the class's slots.
        public var interrupts: [UInt32] = []
        /// Numbers of its DMA channels on ISA.
        public var channels: [UInt8] = []

        public var hasNothing: Bool { ports.isEmpty && memory.isEmpty && interrupts.isEmpty && channels.isEmpty }
    }

    /// Names of instances, by number.
    public var ids: [String] = []
    public var parts: [Part] = []
    /// Ports of what is neither on PCI nor in a part: whoever hands out ports must know of them.
    public var otherPorts: [Ports] = []
    /// Memory that others than functions of PCI answer.
    public var claimedMemory: [Memory] = []
    /// The first address above RAM below 4 GiB.
    public var lowMemoryEnd: UInt32 = 0
    public var pci = PCITree()
    /// Whether somebody answers at a port.
    public var answeringPorts: Set<UInt16> = []
    /// Instances whose lines stand for PCI's interrupts on the way, with the choices that the machine leaves their link devices.
    public var linkChoices: [Int: [UInt32]] = [:]

    /// ISA's interrupts end here.
    public static let isaInterrupts: UInt32 = 16
    /// Ports of interest.
    static let resetControl: UInt16 = 0xCF9
    static let apmControl: UInt16 = 0xB2

    public init() {}

    // MARK: What others find through parts

    public func part(_ role: FirmwareNode.Role) -> Part? { parts.first { $0.node.role == role } }
    public func has(hid: String) -> Bool { parts.contains { $0.node.hid == hid || $0.node.cids.contains(hid) } }

    /// Where its registers are; nil: there is none below 4 GiB.
    public func registers(_ role: FirmwareNode.Role) -> UInt32? {
        part(role)?.memory.first.flatMap { UInt32(exactly: $0.first) }
    }
    /// The power block's 64 ports; nil: the machine has none. 0: the guest has not placed it yet.
    public var powerBlock: UInt16? { part(.power).map { $0.ports.first { $0.count == 64 }?.first ?? 0 } }
    /// IRQ of the SCI.
    public var sci: UInt32? { part(.power)?.interrupts.first }
    public var resetPort: UInt16? { answeringPorts.contains(Self.resetControl) ? Self.resetControl : nil }
    public var commandPort: UInt16? { answeringPorts.contains(Self.apmControl) ? Self.apmControl : nil }

    /// ISA's interrupts that are levels, active high: PCI's, the SCI, and those of parts that say so.
    public var levels: Set<UInt32> {
        var levels = Set(linkChoices.values.joined())
        levels.formUnion((pci.routers + pci.apicLines).compactMap(\.interrupt))
        if let sci { levels.insert(sci) }
        for part in parts where part.node.flags.contains(.level) { levels.formUnion(part.interrupts) }
        return levels.filter { $0 < Self.isaInterrupts }
    }

    /// Takes over what the guest has moved since: the power block. All else is as it was, so that no table changes its length.
    public mutating func movePower(as new: Board) {
        guard let place = parts.firstIndex(where: { $0.node.role == .power }), let now = new.part(.power) else {
            return
        }
        parts[place].ports = now.ports
    }
}
