import I440FX
import PCIConfiguration
import PCIKit
import PluginKit

/// The host bridge of a PC: configuration mechanism #1, PCI bus 0 with itself as device 0, PAM over the memory below 1 MiB, and INTx.
final class I440FXPlugin: Instance {
    static let definition = ClassDefinition.device(
        "i440fx", summary: "82441FX host bridge: PCI bus 0 and the memory below 1 MiB",
        properties: [
            Property(
                "subsystem", .unsigned, default: "0x11001af4", bounds: 0...0xffff_ffff,
                doc: "subsystem and its vendor; SeaBIOS knows a virtual machine by 1af4:1100"),
            Property(
                "shadow", .bool, default: "off",
                doc:
                    "on: after reset RAM shows from 0xc0000 to 0xfffff, not PCI: for machines without firmware, whose loader puts tables there"
            ),
        ],
        slots: [
            Slot(
                "pirq", "irq-line/1", optional: true, many: true,
                doc:
                    "PIRQ A to D of the interrupt router: INTx of device d, pin p goes to the one of number (d - 1 + p - 1) & 3"
            ),
            Slot(
                "apic-pirq", "irq-line/1", optional: true, many: true,
                doc:
                    "where PIRQ A to D go beside, on boards that lead them to an I/O APIC without the router: gsi.16-19"
            ),
        ],
        provides: [
            Provides(
                "pci/1", count: 256, mayCycle: true, doc: "bus 0: DEVICE or DEVICE.FUNCTION; 0 is the bridge itself")
        ],
        firmware: [
            FirmwareNode(
                "PNP0A03", role: .hostBridge, claims: ["PCI configuration address", "PCI configuration data"],
                slots: ["pirq", "apic-pirq"])
        ],
        make: { (host, values) throws(PluginError) in try I440FXPlugin(host, values) })

    private enum Cookie { static let address: UInt64 = 1, data: UInt64 = 2, hole: UInt64 = 3 }
    /// Above ROMs and cards, which answer where PAM leaves an address to PCI.
    private static let shadowPriority: Int32 = 1000
    /// Below ROMs and cards: what none of them answers is not RAM.
    private static let holePriority: Int32 = -1000

    private var chip: I440FX
    private var latch = ConfigurationAddress()
    private var bus = PCIBus()
    /// Of each segment of PAM; nil: the machine has no RAM there.
    private var shadows: [Memory.Mapping?] = []
    /// Of each PIRQ: to the router, and beside it to an I/O APIC.
    private var lines: [(router: Line, apic: Line)] = []
    private var isBusyLogged = false

    init(_ host: Host, _ values: Values) throws(PluginError) {
        let subsystem = values.unsigned("subsystem")
        do throws(LayoutError) {
            chip = try I440FX(
                subsystemVendor: UInt16(truncatingIfNeeded: subsystem),
                subsystem: UInt16(truncatingIfNeeded: subsystem >> 16), showsRAM: values.bool("shadow"))
        } catch {
            throw PluginError("its registers overlap: \(error)")
        }
        super.init(host)
    }

    override func pciFunction(_ index: UInt32, is function: PCIFunctionClient) { bus.add(function, at: index) }

    override func connect() throws(PluginError) {
        guard !bus.has(0) else { throw PluginError("device 0 of the bus is the host bridge itself") }
        let io = try host.io
        try io.claimPorts(
            0xcf8, count: 4, widths: .long, cookie: Cookie.address, flags: .whole, name: "PCI configuration address")
        try io.claimPorts(
            0xcfc, count: 4, widths: [.byte, .word, .long], cookie: Cookie.data, name: "PCI configuration data")
        try io.claimMemory(
            0xa0000, length: 0x60000, widths: .all, cookie: Cookie.hole, priority: Self.holePriority,
            name: "PCI memory below 1 MiB")
        for segment in chip.segments { shadows.append(try shadow(segment)) }
        for position in 0..<4 as Range<UInt32> {
            let router = try host.line("pirq", position: position)
            lines.append((router, try host.line("apic-pirq", position: position)))
        }
    }

    /// The RAM at a segment's addresses, above all else, in no direction yet.
    private func shadow(_ segment: I440FX.Segment) throws(PluginError) -> Memory.Mapping? {
        let memory = try host.memory
        do throws(PluginError) {
            let mapping = try memory.map(
                nil, offset: UInt64(segment.address), at: UInt64(segment.address), length: UInt64(segment.length),
                .both,
                priority: Self.shadowPriority)
            try memory.direct(mapping, [])
            return mapping
        } catch {
            // Less than 1 MiB of RAM: nothing is there to be shown.
            guard error.status == .invalid else { throw error }
            return nil
        }
    }

    override func reset(warm: Bool) {
        chip.reset()
        latch.reset()
        updateShadows()
    }

    // MARK: Guest side

    override func read(_ access: Access) -> ReadResult {
        switch access.cookie {
        case Cookie.address: return .value(UInt64(latch.value))
        case Cookie.data:
            guard let target = latch.target(UInt32(access.offset)) else { return .noRegister }
            return .value(UInt64(readConfiguration(target, UInt8(access.width), isPeek: access.isPeek)))
        default: return .noRegister
        }
    }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        switch access.cookie {
        case Cookie.address: latch.write(UInt32(truncatingIfNeeded: value))
        case Cookie.data:
            guard let target = latch.target(UInt32(access.offset)) else { return .noRegister }
            writeConfiguration(target, UInt8(access.width), UInt32(truncatingIfNeeded: value))
        default: return .noRegister
        }
        return .ok
    }

    /// What an access makes of configuration space: one that is not aligned goes byte by byte, as its byte enables do.
    private func pieces(_ target: ConfigurationAddress.Target, _ width: UInt8) -> (width: UInt8, offsets: [UInt32]) {
        if target.offset & UInt32(width &- 1) == 0 { return (width, [target.offset]) }
        return (1, (0..<UInt32(width)).map { target.offset &+ $0 })
    }

    private func readConfiguration(_ target: ConfigurationAddress.Target, _ width: UInt8, isPeek: Bool) -> UInt32 {
        let (piece, offsets) = pieces(target, width)
        var value: UInt32 = 0
        for (place, offset) in offsets.enumerated() {
            let part = readPiece(target, offset, piece, isPeek: isPeek)
            value |= piece == 1 ? (part & 0xff) << UInt32(place * 8) : part
        }
        return value
    }

    private func readPiece(
        _ target: ConfigurationAddress.Target, _ offset: UInt32, _ width: UInt8, isPeek: Bool
    ) -> UInt32 {
        guard offset < 256 else { return .max }
        let index = UInt32(target.index)
        let value: UInt32?
        switch (target.bus, index) {
        case (0, 0): value = bus.marked(chip.read(offset, width: UInt32(width)), 0, offset, width)
        case (0, _): value = bus.read(index, offset, width: width, isPeek: isPeek)
        default: value = bus.read(target.place, offset, width: width, isPeek: isPeek)
        }
        guard let value else {
            logBusy(target)
            return .max
        }
        return value
    }

    private func writeConfiguration(_ target: ConfigurationAddress.Target, _ width: UInt8, _ value: UInt32) {
        let (piece, offsets) = pieces(target, width)
        for (place, offset) in offsets.enumerated() where offset < 256 {
            let part = piece == 1 && width > 1 ? value >> UInt32(place * 8) & 0xff : value
            writePiece(target, offset, piece, part)
        }
    }

    private func writePiece(_ target: ConfigurationAddress.Target, _ offset: UInt32, _ width: UInt8, _ value: UInt32) {
        let index = UInt32(target.index)
        switch (target.bus, index) {
        case (0, 0):
            chip.write(offset, width: UInt32(width), value)
            updateShadows()
        case (0, _): if !bus.write(index, offset, width: width, value) { logBusy(target) }
        default: if !bus.write(target.place, offset, width: width, value) { logBusy(target) }
        }
    }

    private func logBusy(_ target: ConfigurationAddress.Target) {
        guard !isBusyLogged else { return }
        isBusyLogged = true
        host.log(
            .warning,
            "configuration space of \(target.device).\(target.function) was busy or broken, and reads as ones")
    }

    // MARK: Memory

    /// PAM: which directions of each segment are RAM; the others are PCI's.
    private func updateShadows() {
        guard let memory = try? host.memory else { return }
        for (mapping, segment) in zip(shadows, chip.segments) {
            var directions: Directions = []
            if segment.readsRAM { directions.insert(.read) }
            if segment.writesRAM { directions.insert(.write) }
            if let mapping { try? memory.direct(mapping, directions) }
        }
    }

    // MARK: INTx

    /// Pins of functions are shared on the way: the line is high while one of them is.
    override func pciINTx(_ index: UInt32, pin: UInt8, to level: Bool) {
        let pirq = Int((index >> 3 &- 1 &+ UInt32(pin) &- 1) & 3)
        let isAsserted = bus.setINTx(index, pin: pin, to: level, line: pirq)
        guard lines.indices.contains(pirq) else { return }
        lines[pirq].router.set(isAsserted)
        lines[pirq].apic.set(isAsserted)
    }

    override func pciLocation(_ index: UInt32) -> UInt16 { UInt16(truncatingIfNeeded: index) }

    // MARK: State

    override func save(to state: StateWriter) throws(PluginError) {
        state.put("configuration", chip.configuration.state.bytes)
        state.put("address", latch.value)
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        let bytes = try state.get("configuration", count: nil)
        let address: UInt32 = try state.get("address")
        var saved = ConfigurationAddress()
        saved.write(address)
        guard saved.value == address else {
            throw PluginError("the configuration address has bits that it cannot have")
        }
        guard chip.restore(.init(bytes: bytes)) else { throw PluginError("no such state of its configuration space") }
        latch = saved
        updateShadows()
    }
}

extension ConfigurationAddress.Target {
    fileprivate var place: PCIPlace { PCIPlace(bus: bus, index: index) }
}

let library = Library(
    "i440fx", version: "1.0", summary: "82441FX host bridge", needsMinor: 4, classes: [I440FXPlugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
