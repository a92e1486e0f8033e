/// What instances of a class are to an operating system that has to be told of them: a device of the ACPI name space each, as a rule. Who makes tables
/// gives it its name, _UID, and _CRS from what the instance claims and is wired to (`bp_firmware_node`).
public struct FirmwareNode {
    /// BP_NODE_*: what others find through it.
    public enum Role: UInt16, Sendable { case device, hostBridge, isaBridge, lines, localAPIC, ioAPIC, power }

    public struct Flags: OptionSet, Equatable, Sendable {
        public let rawValue: UInt16
        public init(rawValue: UInt16) { self.rawValue = rawValue }

        /// Number n of its "irq-line/1" is global system interrupt n.
        public static let numbersLines = Self(rawValue: 1 << 0)
        /// Its interrupts are levels that may be shared, not ISA's edges.
        public static let level = Self(rawValue: 1 << 1)
        /// Claims that it names need not be there.
        public static let optional = Self(rawValue: 1 << 2)
        /// Not shown to users.
        public static let hidden = Self(rawValue: 1 << 3)
        /// Its ports as one range, holes and all.
        public static let oneRange = Self(rawValue: 1 << 4)
    }

    var hid: StaticString?
    var cids: [StaticString]
    var role: Role
    var flags: Flags
    var claims: [StaticString]?
    var slots: [StaticString]?
    var template: [UInt8]
    var links: [StaticString]

    /// - Parameters:
    ///   - hid: "PNP0501" or "QEMU0002"; nil: a function of PCI, or a role that makes no device.
    ///   - claims: names of claims whose ports and memory it has; nil: all of the instance.
    ///   - slots: slots of lines and DMA channels whose interrupts and channels it has; nil: all.
    ///   - template: terms in AML that its device has too, at most 65536 bytes.
    ///   - links: names of the template's interrupt link devices, by number of the instance's "irq-line/1".
    public init(
        _ hid: StaticString? = nil, cids: [StaticString] = [], role: Role = .device, flags: Flags = [],
        claims: [StaticString]? = nil, slots: [StaticString]? = nil, template: [UInt8] = [], links: [StaticString] = []
    ) {
        (self.hid, self.cids, self.role, self.flags) = (hid, cids, role, flags)
        (self.claims, self.slots, self.template, self.links) = (claims, slots, template, links)
    }
}
