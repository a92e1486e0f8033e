import ACPITables

/// What the classes of ISA parts are to an operating system: a device or several, each with a Plug and Play ID.
/// Source: the list of PNP IDs that Microsoft published ("devids.txt"); QEMU's documentation for fw_cfg's.
struct PartNode: Sendable {
    var plugin: String
    /// Letters of its name; a digit follows.
    var name: String
    /// Of the first one.
    var number: Int
    var id: String
    /// Which of the part's ports it has, and which of its interrupts; nil: all.
    var ports: (@Sendable (Board.Ports) -> Bool)?
    var interrupts: ClosedRange<Int>?
    /// Drivers expect all its ports as one range, holes and all.
    var isOneRange = false

    init(
        _ plugin: String, _ name: String, _ id: String, number: Int = 0,
        ports: (@Sendable (Board.Ports) -> Bool)? = nil, interrupts: ClosedRange<Int>? = nil, isOneRange: Bool = false
    ) {
        (self.plugin, self.name, self.number, self.id) = (plugin, name, number, id)
        (self.ports, self.interrupts, self.isOneRange) = (ports, interrupts, isOneRange)
    }

    private static let portB: UInt16 = 0x61

    static let all = [
        PartNode("uart16550", "COM", "PNP0501", number: 1),
        PartNode("rtc146818", "RTC", "PNP0B00"),
        PartNode("pit8254", "TMR", "PNP0100", ports: { $0.first != portB }),
        PartNode("pit8254", "SPK", "PNP0800", ports: { $0.first == portB }, interrupts: -1 ... -1),
        PartNode("pic8259", "PIC", "PNP0000"),
        PartNode("dma8237", "DMA", "PNP0200"),
        PartNode("fdc82077", "FDC", "PNP0700"),
        PartNode("i8042", "KBD", "PNP0303", interrupts: 0...0),
        PartNode("i8042", "MOU", "PNP0F13", ports: { _ in false }, interrupts: 1...1),
        PartNode("fw-cfg", "FWC", "QEMU0002", isOneRange: true),
    ]

    /// The device of a part; `count` parts of this kind came before. nil: the part has nothing of it.
    func device(_ part: Board.Part, count: Int) -> AML? {
        let ports = Board.Ports.merged(part.ports.filter(self.ports ?? { _ in true }), bridging: isOneRange)
        let interrupts = part.interrupts.enumerated().filter { self.interrupts?.contains($0.offset) ?? true }
            .map(\.element)
        guard !ports.isEmpty || !interrupts.isEmpty else { return nil }
        let resources =
            ports.map { Resource.io(port: $0.first, count: $0.count) }
            + interrupts.filter { $0 < 16 }.map { .irq(mask: 1 << UInt16($0), .edge) }
            + part.channels.filter { $0 < 8 }.map { .dma(mask: 1 << $0) }
        // Names have four characters: the tenth of a kind and those after it count in letters.
        let digits = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        let digit = digits[min(number + count, digits.count - 1)]
        return .device(
            name + String(digit),
            [
                .name("_HID", .hardwareID(id)), .name("_UID", .integer(UInt64(number + count))),
                // Present, enabled and working; fw_cfg is not shown, as QEMU has it.
                .name("_STA", .integer(id == "QEMU0002" ? 0x0B : 0x0F)), .name("_CRS", .resources(resources)),
            ])
    }
}

extension Board {
    /// All devices of the ISA parts.
    var partDevices: [AML] {
        PartNode.all.flatMap { node in
            parts.filter { $0.plugin == node.plugin }.prefix(36).enumerated().compactMap { node.device($1, count: $0) }
        }
    }
}
