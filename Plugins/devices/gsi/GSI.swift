import PluginKit

/// Global system interrupts of a PC with PICs and I/O APICs: one line for each, which drives both controllers. Devices are wired here, so that
/// a machine file need not change with the controllers that its guest may use.
///
/// Source: ACPI specification, "Interrupt Source Override Structure", and the wiring of every PC chipset: input n of the I/O APIC is IRQ n, but for
/// the timer, IRQ 0, which is at input 2, where the PIC has its cascade.
final class GSIPlugin: Instance {
    static let definition = ClassDefinition.device(
        "gsi", summary: "interrupt lines that drive the PIC and the I/O APIC of a PC",
        slots: [
            Slot("pic", "irq-line/1", optional: true, many: true, doc: "the PIC's lines in order: IRQ 0 to 15"),
            Slot("ioapic", "irq-line/1", optional: true, many: true, doc: "the I/O APIC's inputs in order"),
        ],
        provides: [
            Provides(
                "irq-line/1", count: lineCount, shared: true, mayCycle: true,
                doc: "IRQ 0 to 15, and 16 to 23 beyond the PIC")
        ],
        firmware: [FirmwareNode(role: .lines, flags: .numbersLines)],
        make: { (host, _) throws(PluginError) in GSIPlugin(host) })

    private static let lineCount: UInt32 = 24
    private static let timer: UInt32 = 0, cascade: UInt32 = 2

    private var pic: [Line] = []
    private var ioapic: [Line] = []

    override func connect() throws(PluginError) {
        pic = try lines("pic")
        ioapic = try lines("ioapic")
    }

    private func lines(_ slot: StaticString) throws(PluginError) -> [Line] {
        var lines: [Line] = []
        for position in 0..<GSIPlugin.lineCount {
            let line = try host.line(slot, position: position)
            guard line.isWired else { break }
            lines.append(line)
        }
        return lines
    }

    override func lineChanged(_ index: UInt32, to level: Bool) {
        if index != GSIPlugin.cascade { GSIPlugin.set(pic, index, level) }
        switch index {
        case GSIPlugin.timer: GSIPlugin.set(ioapic, GSIPlugin.cascade, level)
        case GSIPlugin.cascade: break
        default: GSIPlugin.set(ioapic, index, level)
        }
    }

    private static func set(_ lines: [Line], _ index: UInt32, _ level: Bool) {
        if Int(index) < lines.count { lines[Int(index)].set(level) }
    }
}

let library = Library(
    "gsi", version: "1.0", summary: "interrupt lines for PIC and I/O APIC", needsMinor: 0,
    classes: [GSIPlugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
