import LocalAPIC
import PluginKit

/// Connects the local APIC of CPU 0 to its page, its base register, a timer, the PIC behind LINT0 and the CPU's pins.
final class LocalAPICPlugin: Instance {
    static let definition = ClassDefinition.device(
        "lapic", summary: "local APIC (xAPIC) of CPU 0, for 'cpu: interrupts:'",
        slots: [Slot("extint", "irq-controller/1", optional: true, doc: "the PIC, whose output is at LINT0")],
        provides: [
            Provides(
                "irq-controller/1", shared: true, mayCycle: true,
                doc: "the CPU's interrupt controller, and where I/O APICs and devices send their messages"),
            Provides("irq-line/1", shared: true, mayCycle: true, doc: "LINT1, an NMI as a rule"),
        ],
        firmware: [FirmwareNode(role: .localAPIC, claims: ["registers"], slots: [])],
        make: { (host, values) throws(PluginError) in try LocalAPICPlugin(host, values) })

    private let clock: Clock
    private let timer: Timer
    private var chip = LocalAPIC(id: 0, isBootstrap: true)
    private var pic = ControllerPeer.unwired
    private var output: InterruptOutput?
    private var clients: [ControllerClient] = []
    private var page: Claim?
    /// What the timer was last set to.
    private var armed: UInt64?

    private enum Cookie { static let (page, base) = (0 as UInt64, 1 as UInt64) }
    /// SDM volume 3, "Local APIC Register Address Space"; above whatever a guest puts there, as on the CPU.
    private static let (pageLength, priority) = (0x1000 as UInt64, 1000 as Int32)
    private static let baseMSR: UInt32 = 0x1b

    init(_ host: Host, _ values: Values) throws(PluginError) {
        clock = try host.clock
        timer = try host.clock.timer()
        super.init(host)
    }

    override func connect() throws(PluginError) {
        let io = try host.io
        page = try io.claimMemory(
            chip.state.base.address, length: LocalAPICPlugin.pageLength, widths: .long, cookie: Cookie.page,
            priority: LocalAPICPlugin.priority, name: "registers")
        try io.claimMSRs(LocalAPICPlugin.baseMSR, cookie: Cookie.base, name: "IA32_APIC_BASE")
        pic = try host.controller("extint")
        output = try host.interruptOutput
    }

    override func controllerClient(_ index: UInt32, is client: ControllerClient) { clients.append(client) }

    override func reset(warm: Bool) {
        chip.reset()
        place()
        settle()
    }

    /// The page follows the base register.
    private func place() {
        guard let page, let io = try? host.io else { return }
        // An address where it does not fit is none: the page is not there then.
        let fits = (try? io.move(page, to: chip.state.base.address)) != nil
        try? io.direct(page, chip.isEnabled && fits ? .both : [])
    }

    // MARK: The guest's side

    override func read(_ access: Access) -> ReadResult {
        if access.cookie == Cookie.base { return .value(chip.base) }
        let offset = UInt16(truncatingIfNeeded: access.offset)
        if access.isPeek { return .value(chip.peek(offset, at: clock.now)) }
        let value = chip.read(offset, at: clock.now)
        settle()
        return .value(value)
    }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        if access.cookie == Cookie.base {
            guard chip.writeBase(value, at: clock.now) else { return .noRegister }
            place()
        } else {
            chip.write(UInt16(truncatingIfNeeded: access.offset), UInt32(truncatingIfNeeded: value), at: clock.now)
        }
        settle()
        return .ok
    }

    // MARK: The board's side

    override func controllerOutput(slot: Int, vcpu: UInt32, to level: Bool) {
        // The output for another CPU is none of this APIC's inputs.
        if vcpu == 0 { setLine(0, level) }
    }
    override func lineChanged(_ index: UInt32, to level: Bool) { setLine(1, level) }

    private func setLine(_ line: UInt8, _ level: Bool) {
        chip.setLine(line, level, at: clock.now)
        settle()
    }

    override func interruptMessage(address: UInt64, data: UInt64, requester: UInt64) {
        guard let message = InterruptMessage(address: address, data: UInt32(truncatingIfNeeded: data)) else { return }
        deliver(message, isSender: false)
        settle()
    }

    override func acknowledge(vcpu: UInt32) -> UInt8 {
        let vector: UInt8
        switch chip.acknowledge() {
        case .vector(let own): vector = own
        case .external: vector = pic.acknowledge() ?? chip.state.spurious.vector
        }
        settle()
        return vector
    }

    override func timerFired(cookie: UInt64, at now: UInt64) {
        armed = nil
        chip.advance(to: now)
        settle()
    }

    private func deliver(_ message: InterruptMessage, isSender: Bool) {
        if chip.accepts(message.destination, isSender: isSender) { chip.receive(message, at: clock.now) }
    }

    /// Carries out what the chip says, until it says nothing more; then its pin and its timer follow it.
    private func settle() {
        while true {
            let outputs = chip.takeOutputs()
            guard outputs != LocalAPIC.Outputs() else { break }
            if let message = outputs.sent { deliver(message, isSender: true) }
            if outputs.nonMaskable { output?.nmi() }
            if let vector = outputs.endedVector {
                for client in clients { client.ended(vector: vector) }
            }
            // INIT, SIPI and SMI have no pin here: the one CPU runs already, and has no system management mode.
        }
        output?.set(chip.request != nil)
        guard chip.nextDeadline != armed else { return }
        armed = chip.nextDeadline
        timer.set(at: armed)
    }

    // MARK: State

    override func save(to state: StateWriter) throws(PluginError) {
        chip.advance(to: clock.now)
        chip.state.put(to: state)
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        guard chip.restore(try LocalAPIC.State(from: state)) else {
            throw PluginError("the saved local APIC state contradicts itself")
        }
        place()
        settle()
    }
}

let library = Library(
    "lapic", version: "1.0", summary: "local APIC", needsMinor: 5, classes: [LocalAPICPlugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
