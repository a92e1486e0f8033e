import PCIConfiguration
import PCIKit
import PluginKit
import Virtio
import VirtioKit
import VirtioPCI

/// Connects the register banks to a function of a PCI bus, and to the device behind them.
final class VirtioPCIPlugin: Instance {
    static let definition = ClassDefinition.device(
        "virtio-pci", summary: "virtio transport on PCI, modern and transitional",
        properties: [
            Property(
                "legacy", .bool, default: "on",
                doc: "whether drivers of before virtio 1.0 find it too, where there are any for the device")
        ],
        slots: [Slot("bus", "pci/1", doc: "its place on the PCI bus")],
        provides: [Provides("virtio/1", doc: "the device that it gives to the guest")],
        make: { (host, values) throws(PluginError) in VirtioPCIPlugin(host, values) })

    private enum Cookie { static let (legacy, banks, messages) = (0 as UInt64, 1 as UInt64, 2 as UInt64) }

    /// What is there once the device has said what it is.
    private struct Function {
        var chip: VirtioPCI
        var space: ConfigurationSpace
        var messages: FunctionMessages
        /// Of the capability for access by configuration space.
        let access: UInt32
    }

    private let allowsLegacy: Bool
    private var bus = PCIBusPeer.unwired
    private var target: DeviceBehind?
    /// nil: no device is wired, or it is none. The function is not there then.
    private var function: Function?
    private var legacyClaim = WindowClaim()
    private var bankClaim = WindowClaim()
    private var messageClaim = WindowClaim()
    /// The level of INTA#; nil: to be said again.
    private var driven: Bool?

    init(_ host: Host, _ values: Values) {
        allowsLegacy = values.bool("legacy")
        super.init(host)
    }

    override func virtioClient(_ index: UInt32, is client: VirtioClient) { target = DeviceBehind(client) }

    // MARK: Lifecycle

    override func connect() throws(PluginError) { bus = try host.pciBus("bus") }

    override func reset(warm: Bool) {
        if function == nil { function = makeFunction() }
        function?.chip.reset()
        resetFunction()
    }

    private func resetFunction() {
        function?.space.reset()
        function?.messages.reset()
        updateWindows()
        updateBusMaster()
        settle()
    }

    private func makeFunction() -> Function? {
        guard let identity = target?.identity else { return nil }
        let chip = VirtioPCI(identity)
        let name = PCIIdentity(identity.type, allowsLegacy: allowsLegacy)
        guard let made = try? chip.configuration(name),
            let messages = try? FunctionMessages(chip.vectors, try host.messages)
        else { return nil }
        return Function(chip: chip, space: made.space, messages: messages, access: made.access)
    }

    /// MSI-X takes the place of the pin.
    private var hasMessages: Bool { function?.space.usesMessages == true }

    // MARK: Configuration space

    override func pciConfigRead(slot: Int, _ offset: UInt16, width: UInt8, isPeek: Bool) -> UInt32? {
        guard let target else { return nil }
        let offset = UInt32(offset)
        guard let place = place(at: offset) else { return function?.space.read(offset, width: UInt32(width)) }
        defer { settle() }
        return function?.chip.read(place.offset, width: place.width, isPeek: isPeek, target)
    }

    override func pciConfigWrite(slot: Int, _ offset: UInt16, width: UInt8, _ value: UInt32) {
        guard let target else { return }
        let offset = UInt32(offset)
        if let place = place(at: offset) {
            function?.chip.write(place.offset, width: place.width, value, target)
        } else {
            let changes = function?.space.write(offset, width: UInt32(width), value) ?? []
            if changes.contains(.windows) { updateWindows() }
            if !changes.isDisjoint(with: [.busMaster, .power]) { updateBusMaster() }
            if changes.contains(.messages) { function?.messages.program(function?.space.msixControl) }
        }
        settle()
    }

    /// Where an access by configuration space leads, if this is its data register.
    private func place(at offset: UInt32) -> (offset: UInt32, width: UInt8)? {
        guard let access = function?.access, offset == access + 16 else { return nil }
        return function.flatMap { VirtioPCI.access($0.space, at: access) }
    }

    /// RST#: the device behind is reset with its transport.
    override func pciBusReset(slot: Int) {
        if let target { function?.chip.resetDevice(target) }
        resetFunction()
    }

    private func updateBusMaster() {
        guard let target, let isMaster = function?.space.isBusMaster else { return }
        function?.chip.setBusMaster(isMaster, target)
    }

    // MARK: Windows

    private func updateWindows() {
        for window in function?.space.windows ?? [] {
            switch window.source {
            case .baseAddress(VirtioPCI.Window.legacy):
                legacyClaim.follow(window.enabledAddress, host) { (io, address) throws(PluginError) in
                    try io.claimPorts(
                        UInt16(truncatingIfNeeded: address), count: Int(window.size), widths: [.byte, .word, .long],
                        cookie: Cookie.legacy, name: "legacy registers")
                }
            case .baseAddress(VirtioPCI.Window.banks):
                bankClaim.follow(window.enabledAddress, host) { (io, address) throws(PluginError) in
                    try io.claimMemory(
                        address, length: window.size, widths: [.byte, .word, .long], cookie: Cookie.banks,
                        name: "registers")
                }
            case .baseAddress(VirtioPCI.Window.messages):
                messageClaim.follow(window.enabledAddress, host) { (io, address) throws(PluginError) in
                    try io.claimMemory(
                        address, length: window.size, widths: [.long, .quad], cookie: Cookie.messages,
                        name: "interrupt messages")
                }
            default: break
            }
        }
    }

    override func read(_ access: Access) -> ReadResult {
        guard let target else { return .noRegister }
        guard access.cookie != Cookie.messages else {
            let pending = UInt64(VirtioPCI.pendingOffset)
            let value = function?.messages.read(access.offset, width: access.width, pendingOffset: pending)
            return value.map { .value($0) } ?? .noRegister
        }
        let (offset, width) = (UInt32(truncatingIfNeeded: access.offset), UInt8(truncatingIfNeeded: access.width))
        let value =
            access.cookie == Cookie.legacy
            ? function?.chip.readLegacy(
                offset, width: width, hasMessages: hasMessages, isPeek: access.isPeek, target)
            : function?.chip.read(offset, width: width, isPeek: access.isPeek, target)
        if !access.isPeek { settle() }
        return value.map { .value($0) } ?? .noRegister
    }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        guard let target, function != nil else { return .noRegister }
        guard access.cookie != Cookie.messages else {
            let control = function?.space.msixControl
            function?.messages.write(access.offset, width: access.width, value, control)
            return .ok
        }
        let (offset, width) = (UInt32(truncatingIfNeeded: access.offset), UInt8(truncatingIfNeeded: access.width))
        let value = UInt32(truncatingIfNeeded: value)
        if access.cookie == Cookie.legacy {
            function?.chip.writeLegacy(offset, width: width, value, hasMessages: hasMessages, target)
        } else {
            function?.chip.write(offset, width: width, value, target)
        }
        settle()
        return .ok
    }

    // MARK: The device's side

    override func virtioUsed(_ index: UInt32, queue: UInt32) {
        tell(function?.chip.usedBuffers(queue, hasMessages: hasMessages))
    }

    override func virtioConfigChanged(_ index: UInt32) {
        tell(function?.chip.configChanged(hasMessages: hasMessages))
    }

    override func virtioNeedsReset(_ index: UInt32) {
        tell(function?.chip.needsReset(hasMessages: hasMessages))
    }

    /// By the vector that there is, or by the pin. A message is a write to memory, which a function may that is a bus master.
    private func tell(_ vector: UInt16??) {
        if let vector = vector ?? nil, function?.space.isBusMaster == true { function?.messages.raise(vector) }
        settle()
    }

    private func settle() {
        guard let isPending = function?.chip.interruptPending else { return }
        function?.space.interruptPending = isPending
        let level = function?.space.interruptAsserted == true
        guard level != driven else { return }
        driven = level
        bus.setINTx(1, level)
    }

    // MARK: State

    override func save(to state: StateWriter) throws(PluginError) {
        state.put("negotiation", function?.chip.negotiation.state.bytes ?? [])
        state.put("configuration", function?.space.state.bytes ?? [])
        let messages = function?.messages.state
        state.put("messages", (messages?.table ?? []).flatMap { FunctionState.bytes($0) })
        state.put("pending", (messages?.pending ?? []).flatMap { FunctionState.bytes($0) })
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        let negotiation = try state.get("negotiation", count: nil)
        let configuration = try state.get("configuration", count: nil)
        let (table, pending) = (try state.get("messages", count: nil), try state.get("pending", count: nil))
        guard var function else {
            guard negotiation.isEmpty, configuration.isEmpty, table.isEmpty, pending.isEmpty else {
                throw PluginError("there is no device behind it")
            }
            return
        }
        guard
            let saved = VirtioNegotiation.State(bytes: negotiation, of: function.chip.negotiation.identity),
            function.chip.restore(saved), function.space.restore(.init(bytes: configuration))
        else { throw PluginError("the saved state is not that of this function") }
        var messages = MSIXTable.State(vectors: function.chip.vectors)
        (messages.table, messages.pending) = (FunctionState.numbers(table), FunctionState.numbers(pending))
        guard function.messages.restore(messages, function.space.msixControl) else {
            throw PluginError("the saved interrupt messages are not those of this function")
        }
        function.chip.restoreBusMaster(function.space.isBusMaster)
        self.function = function
        driven = nil
        updateWindows()
        settle()
    }
}

/// Numbers as bytes, little-endian.
private enum FunctionState {
    static func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
        (0..<T.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }

    /// Bytes that are no whole number at the end count for nothing.
    static func numbers<T: FixedWidthInteger>(_ bytes: [UInt8]) -> [T] {
        let size = T.bitWidth / 8
        return (0..<bytes.count / size).map { number in
            bytes[number * size..<(number + 1) * size].reversed().reduce(0) { $0 << 8 | T(truncatingIfNeeded: $1) }
        }
    }
}

let library = Library(
    "virtio-pci", version: "1.0", summary: "virtio on PCI", needsMinor: 6, classes: [VirtioPCIPlugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
