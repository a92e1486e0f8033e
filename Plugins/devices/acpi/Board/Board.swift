/// What a PC's tables have to say of it: the parts that an operating system cannot find by itself. Everything else is on PCI.
public struct Board: Equatable, Sendable {
    public struct Ports: Equatable, Sendable {
        public var first: UInt16
        public var count: UInt8
        public init(_ first: UInt16, _ count: UInt8) { (self.first, self.count) = (first, count) }

        /// Ascending, without those that overlap or touch; `bridging`: over holes too, as far as one count goes.
        static func merged(_ ports: [Ports], bridging: Bool) -> [Ports] {
            var merged: [Ports] = []
            for next in ports.sorted(by: { $0.first < $1.first }) {
                guard let last = merged.last, bridging || Int(next.first) <= Int(last.first) + Int(last.count),
                    let count = UInt8(
                        exactly: max(Int(next.first) - Int(last.first) + Int(next.count), Int(last.count)))
                else {
                    merged.append(next)
                    continue
                }
                merged[merged.count - 1].count = count
            }
            return merged
        }
    }

    /// A part with ports, on ISA.
    public struct Part: Equatable, Sendable {
        /// Its class: `PartNodes` knows what that is to an operating system.
        public var plugin: String
        public var ports: [Ports]
        /// IRQ numbers, in the order of the class's slots.
        public var interrupts: [UInt8]
        /// Numbers of its DMA channels on ISA.
        public var channels: [UInt8]
        public init(plugin: String, ports: [Ports], interrupts: [UInt8], channels: [UInt8] = []) {
            (self.plugin, self.ports, self.interrupts, self.channels) = (plugin, ports, interrupts, channels)
        }
    }

    /// A part whose registers are memory, and which nothing else tells of.
    public struct MemoryPart: Equatable, Sendable {
        /// Its class: `MemoryPart.nodes` knows what that is to an operating system.
        public var plugin: String
        public var address: UInt32
        public var length: UInt32
        /// Numbers of its lines.
        public var interrupts: [UInt8]
        public init(plugin: String, address: UInt32, length: UInt32, interrupts: [UInt8]) {
            (self.plugin, self.address, self.length, self.interrupts) = (plugin, address, length, interrupts)
        }
    }

    /// A place on PCI bus 0.
    public struct Place: Equatable, Sendable {
        public var device: UInt8
        public var function: UInt8
        public init(device: UInt8, function: UInt8) { (self.device, self.function) = (device, function) }
        var address: UInt64 { UInt64(device) << 16 | UInt64(function) }
    }

    /// A PIIX4's block of 64 ports; 0: the guest has not placed it yet.
    public var powerBlock: UInt16 = 0
    /// IRQ of the power block's SCI.
    public var sci: UInt8 = 9
    /// Where their registers are; nil: there is none.
    public var localAPIC: UInt32?
    public var ioAPIC: UInt32?
    public var hasPICs = true
    public var hasPCI = false
    /// The bridge with the router of INTA# to INTD#, at 0x60 of its configuration space.
    public var router: Place?
    /// Where 6 resets the machine.
    public var resetPort: UInt16?
    /// Where the APM commands 0xF1 and 0xF0 switch ACPI on and off.
    public var commandPort: UInt16?
    public var parts: [Part] = []
    public var memoryParts: [MemoryPart] = []
    /// The first address above RAM below 4 GiB.
    public var lowMemoryEnd: UInt32 = 0

    public init() {}

    /// IRQs that PCI's pins may be routed to. Their lines, and the SCI's, are levels, active high.
    static let routable: [UInt32] = [5, 10, 11]
    static let links = ["LNKA", "LNKB", "LNKC", "LNKD"]
    static let routers = ["PIRA", "PIRB", "PIRC", "PIRD"]
}
