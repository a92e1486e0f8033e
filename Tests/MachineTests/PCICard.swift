import PluginKit

/// A PCI function of one register, which asserts INTA# while bit 0 of its byte 0x40 is set.
final class PCICard: Instance {
    static let definition = ClassDefinition.device(
        "pci-card", summary: "a PCI function with an interrupt",
        slots: [Slot("bus", "pci/1", doc: "its place")],
        methods: [
            Method(
                "place", result: .u64, doc: "where the guest finds it",
                function: { (raw) in UInt64(instance(raw, as: PCICard.self).bus.location) }
                    as @convention(c) (UnsafeMutableRawPointer?) -> UInt64)
        ],
        make: { (host, values) throws(PluginError) in PCICard(host) })

    private var bus = PCIBusPeer.unwired
    private var registers = [UInt8](repeating: 0, count: 256)

    override func connect() throws(PluginError) { bus = try host.pciBus("bus") }

    override func reset(warm: Bool) {
        registers = [UInt8](repeating: 0, count: 256)
        registers.replaceSubrange(0..<4, with: [0xf4, 0x1a, 0x34, 0x12])
    }

    override func pciBusReset(slot: Int) { reset(warm: true) }

    override func pciConfigRead(slot: Int, _ offset: UInt16, width: UInt8, isPeek: Bool) -> UInt32? {
        (0..<Int(width)).reversed().reduce(0) { $0 << 8 | UInt32(registers[Int(offset) + $1]) }
    }

    override func pciConfigWrite(slot: Int, _ offset: UInt16, width: UInt8, _ value: UInt32) {
        for place in 0..<Int(width) {
            registers[Int(offset) + place] = UInt8(truncatingIfNeeded: value >> UInt32(place * 8))
        }
        if offset == 0x40 { bus.setINTx(1, registers[0x40] & 1 != 0) }
    }
}
