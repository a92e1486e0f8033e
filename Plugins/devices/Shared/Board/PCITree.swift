/// PCI's buses as they are wired, and where the pins of their functions lead.
public struct PCITree: Equatable, Sendable {
    /// Where a line that PCI's interrupts share leads to.
    public enum Target: Equatable, Sendable {
        /// Number `index` of the lines of an instance that routes it on, by its link device.
        case link(instance: Int, index: Int)
        case interrupt(UInt32)
        case nowhere

        public var interrupt: UInt32? { if case .interrupt(let number) = self { number } else { nil } }
    }

    /// A function of a bus: the bus's instance, and the place on it.
    public struct Place: Hashable, Sendable {
        public var bus: Int
        public var device: UInt8
        public var function: UInt8
        public init(bus: Int, device: UInt8, function: UInt8) {
            (self.bus, self.device, self.function) = (bus, device, function)
        }
    }

    /// A device's pin (0...3: INTA to INTD), and the number of the line at the root's bridge that it shares.
    public struct Route: Equatable, Sendable {
        public var device: UInt8
        public var pin: UInt8
        public var line: Int
    }

    /// The instance of the host bridge; nil: there is no PCI.
    public var root: Int?
    /// Functions, by instance.
    public var places: [Int: Place] = [:]
    /// Devices of each bus, by the bus's instance.
    public var devices: [Int: Set<UInt8>] = [:]
    /// What the lines of the root's bridge lead to, with PICs and, where that differs, with an I/O APIC.
    public var routers: [Target] = []
    public var apicLines: [Target] = []

    public init() {}

    /// Functions that are buses themselves, on this one, by place.
    public func bridges(on bus: Int) -> [(instance: Int, place: Place)] {
        places.filter { $0.value.bus == bus && devices[$0.key] != nil && $0.key != root }
            .map { ($0.key, $0.value) }
            .sorted { ($0.1.device, $0.1.function) < ($1.1.device, $1.1.function) }
    }

    /// Of every device of a bus; `[]` where the bus is not below the root. A pin p (0...3) of device d goes to line (d - 1 + p) & 3 at the
    /// root, and on a bus behind a bridge to the bridge's pin (d + p) & 3 (bridge specification 1.2, 9.1).
    public func routes(of bus: Int) -> [Route] {
        (devices[bus] ?? []).sorted().flatMap { device in
            (0..<4 as Range<UInt8>).compactMap { pin in
                line(of: device, pin, on: bus).map { Route(device: device, pin: pin, line: $0) }
            }
        }
    }

    private func line(of device: UInt8, _ pin: UInt8, on bus: Int) -> Int? {
        var (bus, device, pin) = (bus, device, pin)
        // A machine file may wire buses in a circle.
        for _ in 0...places.count {
            if bus == root { return Int((device &+ 3 &+ pin) & 3) }
            guard let bridge = places[bus] else { return nil }
            pin = (device &+ pin) & 3
            (bus, device) = (bridge.bus, bridge.device)
        }
        return nil
    }
}
