import PCIConfiguration
import PCIKit
import PIIX4PM
import PluginKit

/// The power management of a PC: soft off, the power button, the timer that firmware and kernels wait by, and SCI.
final class PIIX4PMPlugin: Instance {
    static let definition = ClassDefinition.device(
        "piix4-pm", summary: "82371AB power management: ACPI's registers, timer and power button",
        properties: [
            Property(
                "at", .port, default: "0",
                doc:
                    "where its 64 ports are after reset, a multiple of 64, on machines without firmware; 0: firmware puts them"
            )
        ],
        slots: [
            Slot(
                "bus", "pci/1", optional: true,
                doc: "its place on the PCI bus, by tradition 1.3; without it `at` says where its ports are"),
            Slot("irq", "irq-line/1", optional: true, doc: "SCI: IRQ 9 of a PC"),
        ],
        firmware: [FirmwareNode(role: .power, flags: .optional, claims: ["power management"])],
        make: { (host, values) throws(PluginError) in try PIIX4PMPlugin(host, values) })

    private enum Cookie { static let registers: UInt64 = 0 }
    /// Above the ISA bridge, which has the same two ports and nobody who acts on them.
    private static let apmPriority: Int32 = 1

    private let clock: Clock
    private let timer: Timer
    private var chip: PIIX4PM
    private var line: Line?
    /// Where the registers are claimed.
    private var registers = WindowClaim()
    private var isSuspendLogged = false

    init(_ host: Host, _ values: Values) throws(PluginError) {
        let base = values.port("at")
        guard base & 63 == 0 else { throw PluginError("at: 0x" + String(base, radix: 16) + " is not a multiple of 64") }
        do throws(LayoutError) {
            chip = try PIIX4PM(ioBase: base)
        } catch {
            throw PluginError("its registers overlap: \(error)")
        }
        clock = try host.clock
        timer = try host.clock.timer()
        super.init(host)
    }

    override func connect() throws(PluginError) {
        for port in PIIX4PM.APMPort.allCases {
            try host.io.claimPorts(
                port.rawValue, count: 1, cookie: UInt64(port.rawValue), priority: Self.apmPriority,
                name: port == .control ? "APM control" : "APM status")
        }
        line = try host.line("irq")
        try host.machine.listenToPowerButton()
    }

    override func reset(warm: Bool) {
        chip.reset(at: clock.now)
        updateWindow()
        settle()
    }

    // MARK: Guest side

    override func pciConfigRead(slot: Int, _ offset: UInt16, width: UInt8, isPeek: Bool) -> UInt32? {
        chip.readConfiguration(UInt32(offset), width: UInt32(width))
    }

    override func pciConfigWrite(slot: Int, _ offset: UInt16, width: UInt8, _ value: UInt32) {
        chip.writeConfiguration(UInt32(offset), width: UInt32(width), value)
        updateWindow()
    }

    override func pciBusReset(slot: Int) { reset(warm: true) }

    override func read(_ access: Access) -> ReadResult {
        if let port = PIIX4PM.APMPort(rawValue: UInt16(truncatingIfNeeded: access.cookie)) {
            return .value(chip.read(port))
        }
        let (offset, width) = (UInt32(access.offset), UInt32(access.width))
        if access.isPeek { return .value(chip.peek(offset, width: width, at: clock.now)) }
        let value = chip.read(offset, width: width, at: clock.now)
        settle()
        return .value(value)
    }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        if let port = PIIX4PM.APMPort(rawValue: UInt16(truncatingIfNeeded: access.cookie)) {
            chip.write(port, UInt8(truncatingIfNeeded: value))
        } else {
            let suspend = chip.write(
                UInt32(access.offset), width: UInt32(access.width), UInt32(truncatingIfNeeded: value), at: clock.now)
            if let suspend { enter(suspend) }
        }
        settle()
        return .ok
    }

    /// Only soft off is one of the machine's states. Of the others the guest comes back at once, as from a very short sleep.
    private func enter(_ suspend: PIIX4PM.Suspend) {
        if suspend == .off {
            (try? host.machine)?.powerOff()
            return
        }
        chip.resume()
        guard !isSuspendLogged else { return }
        isSuspendLogged = true
        host.log(.warning, "the guest asks for a sleep other than soft off: it wakes up at once")
    }

    // MARK: Host side

    /// Where no operating system listens firmware turns the machine off, as it does on a PC before ACPI is on.
    override func powerButton() {
        guard chip.isACPIEnabled else {
            (try? host.machine)?.powerOff()
            return
        }
        chip.pressPowerButton()
        settle()
    }

    override func timerFired(cookie: UInt64, at now: UInt64) {
        chip.advance(to: now)
        settle()
    }

    private func settle() {
        line?.set(chip.sciAsserted)
        timer.set(at: chip.nextEvent(at: clock.now))
    }

    /// PMBA has moved, or was switched.
    private func updateWindow() {
        registers.follow(chip.ioBase.map { UInt64($0) }, host) { (io, address) throws(PluginError) in
            try io.claimPorts(
                UInt16(truncatingIfNeeded: address), count: 64, widths: [.byte, .word, .long], cookie: Cookie.registers,
                name: "power management")
        }
    }

    // MARK: State

    override func save(to state: StateWriter) throws(PluginError) {
        let saved = chip.state
        state.put("configuration", saved.configuration.bytes)
        state.put("status", saved.status.rawValue)
        state.put("enable", saved.enable.rawValue)
        state.put("control", saved.control.rawValue)
        state.put("general-status", saved.generalStatus.rawValue)
        state.put("general-enable", saved.generalEnable.rawValue)
        state.put("apm-control", saved.apmControl)
        state.put("apm-status", saved.apmStatus)
        state.put("other", saved.other)
        state.put("advanced-to", saved.advancedTo)
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        var saved = chip.state
        saved.configuration = .init(bytes: try state.get("configuration", count: nil))
        saved.status = .init(rawValue: try state.get("status"))
        saved.enable = .init(rawValue: try state.get("enable"))
        saved.control = .init(rawValue: try state.get("control"))
        saved.generalStatus = .init(rawValue: try state.get("general-status"))
        saved.generalEnable = .init(rawValue: try state.get("general-enable"))
        saved.apmControl = try state.get("apm-control")
        saved.apmStatus = try state.get("apm-status")
        saved.other = try state.get("other", count: 64)
        saved.advancedTo = try state.get("advanced-to")
        guard chip.restore(saved) else { throw PluginError("no such state of power management") }
        updateWindow()
        settle()
    }
}

let library = Library(
    "piix4-pm", version: "1.0", summary: "82371AB power management", needsMinor: 4, classes: [PIIX4PMPlugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
