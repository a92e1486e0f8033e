public import PCIConfiguration
public import PluginKit

/// Base of a device that is one function of a PCI bus: its configuration space, what its windows show, its interrupt pin, and whether it
/// may reach memory. What is left to the device is its registers.
///
/// A subclass calls `super` where it overrides `connect`, `reset` or `pciConfigWrite`.
open class PCIFunction: Instance {
    /// What answers in the window of a base address register.
    public enum Backing {
        /// The device's registers: accesses come to `read` and `write`, with this cookie.
        case registers(_ widths: Widths, cookie: UInt64 = 0, name: StaticString)
        /// Memory: all of a region, which is as large as the window.
        case region(Memory.Region)
    }

    /// A base address register: its index 0...5, its kind, its size in bytes and what it shows.
    public struct BaseAddress {
        public var index: Int
        public var kind: ConfigurationSpace.BaseAddressKind
        public var size: UInt64
        public var backing: Backing

        public init(_ index: Int, _ kind: ConfigurationSpace.BaseAddressKind, size: UInt64, _ backing: Backing) {
            (self.index, self.kind, self.size, self.backing) = (index, kind, size, backing)
        }
    }

    private enum Shown {
        case claim(WindowClaim)
        case mapping(WindowMapping)
    }

    public private(set) var configuration: ConfigurationSpace
    /// The bus; `unwired` before `connect`.
    public private(set) var bus = PCIBusPeer.unwired
    private let slot: StaticString
    private let rom: Memory.Region?
    private var romMapping = WindowMapping()
    private let backings: [Int: Backing]
    private var shown: [Int: Shown]
    private var memory: Memory?
    /// The level of the pin; nil: to be said again.
    private var driven: Bool?

    /// - Parameters:
    ///   - layout: who the function is, its interrupt pin, its own registers and capabilities.
    ///   - slot: the class's slot of "pci/1".
    ///   - rom: the expansion ROM: a power of two of bytes, 4 KiB or more.
    /// - Throws: where registers overlap, or have sizes that the specification or the region does not have.
    public init(
        _ host: Host, _ layout: ConfigurationSpace.Layout, baseAddresses: [BaseAddress] = [],
        rom: Memory.Region? = nil, slot: StaticString = "bus"
    ) throws(PluginError) {
        for bar in baseAddresses {
            guard case .region(let region) = bar.backing else { continue }
            guard bar.kind != .io, bar.size >= 4096, UInt64(region.bytes.count) == bar.size else {
                throw PluginError("base address register \(bar.index) does not fit its region")
            }
        }
        if let rom, rom.bytes.count < 4096 { throw PluginError("an expansion ROM has 4096 bytes at least") }
        var layout = layout
        do throws(LayoutError) {
            for bar in baseAddresses { try layout.addBaseAddress(bar.index, bar.kind, size: bar.size) }
            if let rom { try layout.addROM(size: UInt32(clamping: rom.bytes.count)) }
        } catch {
            throw PluginError("its PCI registers cannot be laid out: \(error)")
        }
        configuration = ConfigurationSpace(layout)
        backings = Dictionary(baseAddresses.map { ($0.index, $0.backing) }, uniquingKeysWith: { $1 })
        shown = backings.mapValues {
            if case .registers = $0 { .claim(WindowClaim()) } else { .mapping(WindowMapping()) }
        }
        (self.rom, self.slot) = (rom, slot)
        super.init(host)
    }

    // MARK: Lifecycle

    open override func connect() throws(PluginError) {
        bus = try host.pciBus(slot)
        memory = try host.memory
    }

    /// Configuration space as after RST#: no window is on, and the function is no bus master.
    open override func reset(warm: Bool) {
        configuration.reset()
        configuration.interruptPending = false
        updateWindows()
        updatePin()
    }

    open override func pciBusReset(slot: Int) { reset(warm: true) }

    // MARK: Configuration space

    open override func pciConfigRead(slot: Int, _ offset: UInt16, width: UInt8, isPeek: Bool) -> UInt32? {
        configuration.read(UInt32(offset), width: UInt32(width))
    }

    open override func pciConfigWrite(slot: Int, _ offset: UInt16, width: UInt8, _ value: UInt32) {
        let changes = configuration.write(UInt32(offset), width: UInt32(width), value)
        if changes.contains(.windows) { updateWindows() }
        if changes.contains(.softReset) { softReset() }
        updatePin()
        if !changes.isEmpty { configurationChanged(changes) }
    }

    /// The guest has changed configuration space; windows and pin follow already.
    open func configurationChanged(_ changes: ConfigurationSpace.Changes) {}
    /// D3hot was left, which resets the device; its configuration space has been.
    open func softReset() {}

    /// A change of the registers that only the device changes (`ConfigurationSpace.set`, `record`, `signalPowerEvent`).
    public func updateConfiguration(_ change: (inout ConfigurationSpace) -> Void) {
        change(&configuration)
        updateWindows()
        updatePin()
    }

    // MARK: Interrupt and memory

    /// The device has an interrupt to deliver, or none any more. It shows in Status, and drives the pin unless the guest has switched that off.
    public func setInterrupt(_ pending: Bool) {
        configuration.interruptPending = pending
        updatePin()
    }

    /// Guest memory, while the guest lets the function master the bus; nil: it may not.
    public var busMemory: Memory? { configuration.isBusMaster ? memory : nil }

    private func updatePin() {
        let (pin, level) = (configuration.layout.interruptPin, configuration.interruptAsserted)
        guard pin != 0, level != driven else { return }
        driven = level
        bus.setINTx(pin, level)
    }

    // MARK: Windows

    private func updateWindows() {
        for window in configuration.windows {
            switch window.source {
            case .baseAddress(let index): show(window, index)
            case .rom: if let rom { romMapping.follow(window.enabledAddress, rom, host) }
            }
        }
    }

    private func show(_ window: ConfigurationSpace.Window, _ index: Int) {
        switch (backings[index], shown[index]) {
        case (.registers(let widths, let cookie, let name)?, .claim(var claim)?):
            claim.follow(window.enabledAddress, host) { (io, address) throws(PluginError) in
                switch window.space {
                case .io:
                    try io.claimPorts(
                        UInt16(truncatingIfNeeded: address), count: Int(window.size), widths: widths, cookie: cookie,
                        name: name)
                case .memory:
                    try io.claimMemory(address, length: window.size, widths: widths, cookie: cookie, name: name)
                }
            }
            shown[index] = .claim(claim)
        case (.region(let region)?, .mapping(var mapping)?):
            mapping.follow(window.enabledAddress, region, host)
            shown[index] = .mapping(mapping)
        default: break
        }
    }

    // MARK: State

    private static let key: StaticString = "configuration"

    /// Configuration space, for a subclass's `save`.
    public func saveConfiguration(to state: StateWriter) { state.put(Self.key, configuration.state.bytes) }

    /// What `saveConfiguration` put, for a subclass's `load`: nothing is changed until `take`.
    public func loadConfiguration(from state: StateReader) throws(PluginError) -> ConfigurationSpace {
        var saved = configuration
        guard saved.restore(.init(bytes: try state.get(Self.key, count: nil))) else {
            throw PluginError("no such state of configuration space")
        }
        return saved
    }

    /// Takes over what `loadConfiguration` gave; the pin is driven anew.
    /// - Parameter interrupt: whether the device has an interrupt to deliver.
    public func take(_ loaded: ConfigurationSpace, interrupt: Bool) {
        configuration = loaded
        configuration.interruptPending = interrupt
        driven = nil
        updateWindows()
        updatePin()
    }
}
