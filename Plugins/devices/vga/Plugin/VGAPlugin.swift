import ExpansionROM
import PCIConfiguration
import PCIKit
import PluginKit
import VGA

/// Connects the chip to its ports, to the window at 0xA0000, to a place on a PCI bus, and to those who look at the screen. Without a bus it is
/// a card of an ISA machine: no frame buffer elsewhere, and its BIOS at 0xC0000.
final class VGAPlugin: Instance {
    static let definition = ClassDefinition.device(
        "vga", summary: "VGA with Bochs's display interface: text and picture modes",
        properties: [
            Property(
                "memory", .size, default: "16MiB", bounds: 0x4_0000...0x1000_0000,
                doc: "video memory, a power of two from 256KiB to 256MiB"),
            Property(
                "legacy", .bool, default: "on",
                doc:
                    "off: a second card, which needs a bus: no ports of a VGA and no window at 0xa0000, frame buffer and registers alone"
            ),
            Property("rom", .path, doc: "its BIOS, as Debian's package seabios has it: vgabios-stdvga.bin"),
        ],
        slots: [
            Slot("bus", "pci/1", optional: true, doc: "its place on the PCI bus, by tradition 2"),
            Slot("display", "display/1", optional: true, many: true, doc: "who looks at the screen"),
        ],
        make: { (host, values) throws(PluginError) in try VGAPlugin(host, values) })

    private enum Cookie {
        static let low: UInt64 = 1, high: UInt64 = 2, dispi: UInt64 = 3, window: UInt64 = 4, mmio: UInt64 = 5
    }
    private static let window: UInt64 = 0xA0000
    private static let isaROM: UInt64 = 0xC0000

    private let clock: Clock
    private let region: Memory.Region
    private let rom: Memory.Region?
    /// SAFETY: all of `region`, which lives as long as the instance.
    private let memory: UnsafeMutableBufferPointer<UInt8>
    private var chip = VGA()
    private var dispi: DISPI
    /// nil: there is no bus.
    private var function: VGAFunction?
    private var screen: Screen
    private let isLegacy: Bool

    init(_ host: Host, _ values: Values) throws(PluginError) {
        clock = try host.clock
        let size = values.unsigned("memory")
        guard size.nonzeroBitCount == 1 else { throw PluginError("memory: \(size) bytes are no power of two") }
        region = try host.memory.region("memory", .device, length: size)
        memory = region.bytes.bindMemory(to: UInt8.self)
        dispi = DISPI(memorySize: UInt32(truncatingIfNeeded: size))
        rom = values.isSet("rom") ? try ExpansionROM.load(values.text("rom"), host) : nil
        screen = try Screen(host, memory: region)
        isLegacy = values.bool("legacy")
        super.init(host)
    }

    override func connect() throws(PluginError) {
        if isLegacy { try claimLegacy() }
        if try host.peer("bus") != nil {
            function = try VGAFunction(host, memory: region, rom: rom, isLegacy: isLegacy, cookie: Cookie.mmio)
        } else if !isLegacy {
            throw PluginError("legacy is off: without a bus nothing would lead to it")
        } else if let rom {
            try host.memory.map(rom, at: Self.isaROM)
        }
        try screen.connect()
    }

    private func claimLegacy() throws(PluginError) {
        let io = try host.io
        try io.claimPorts(0x3B0, count: 12, cookie: Cookie.low, name: "VGA, monochrome")
        try io.claimPorts(0x3C0, count: 32, cookie: Cookie.high, name: "VGA")
        try io.claimPorts(0x1CE, count: 3, widths: .word, cookie: Cookie.dispi, flags: .whole, name: "DISPI")
        try io.claimMemory(Self.window, length: 0x2_0000, cookie: Cookie.window, name: "VGA window")
    }

    override func reset(warm: Bool) {
        chip.reset()
        dispi.reset()
        function?.reset()
        screen.forget()
    }

    // MARK: Guest side: the PCI function

    override func pciConfigRead(slot: Int, _ offset: UInt16, width: UInt8, isPeek: Bool) -> UInt32? {
        function?.read(UInt32(offset), width: UInt32(width))
    }

    override func pciConfigWrite(slot: Int, _ offset: UInt16, width: UInt8, _ value: UInt32) {
        function?.write(UInt32(offset), width: UInt32(width), value)
    }

    override func pciBusReset(slot: Int) { reset(warm: true) }

    // MARK: Guest side: ports and memory

    override func read(_ access: Access) -> ReadResult {
        let offset = UInt32(truncatingIfNeeded: access.offset)
        switch access.cookie {
        case Cookie.low, Cookie.high:
            guard function?.decodesPorts != false else { return .noRegister }
            return .value(readPort(UInt16(truncatingIfNeeded: access.address), access.isPeek))
        case Cookie.dispi:
            guard function?.decodesPorts != false else { return .noRegister }
            return .value(offset == 0 ? dispi.index : dispi.data)
        case Cookie.window:
            guard function?.decodesMemory != false else { return .noRegister }
            return .value(readWindow(offset, access.width, access.isPeek))
        case Cookie.mmio: return .value(readMMIO(offset, access.width, access.isPeek))
        default: return .noRegister
        }
    }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        let offset = UInt32(truncatingIfNeeded: access.offset)
        switch access.cookie {
        case Cookie.low, Cookie.high:
            guard function?.decodesPorts != false else { return .noRegister }
            chip.write(UInt16(truncatingIfNeeded: access.address), UInt8(truncatingIfNeeded: value))
        case Cookie.dispi:
            guard function?.decodesPorts != false else { return .noRegister }
            let value = UInt16(truncatingIfNeeded: value)
            if offset == 0 { dispi.index = value } else { carryOut(dispi.writeData(value)) }
        case Cookie.window:
            guard function?.decodesMemory != false else { return .noRegister }
            writeWindow(offset, access.width, value)
        case Cookie.mmio: writeMMIO(offset, access.width, value)
        default: return .noRegister
        }
        return .ok
    }

    private func readPort(_ port: UInt16, _ isPeek: Bool) -> UInt8 {
        isPeek ? chip.peek(port, at: clock.now) : chip.read(port, at: clock.now)
    }

    private func carryOut(_ change: DISPI.Change) {
        if case .clear(let bytes) = change {
            memory.prefix(Int(bytes)).update(repeating: 0)
        }
        chip.setDAC(is8Bit: dispi.dacIs8Bit)
    }

    /// The window's bytes, little-endian. While DISPI shows a picture the first 64 KiB are a bank of it.
    private func readWindow(_ offset: UInt32, _ width: Int, _ isPeek: Bool) -> UInt64 {
        var value: UInt64 = 0
        for byte in 0..<UInt32(truncatingIfNeeded: width) {
            value |= UInt64(readWindowByte(offset &+ byte, isPeek)) &<< UInt64(byte &* 8)
        }
        return value
    }

    private func readWindowByte(_ offset: UInt32, _ isPeek: Bool) -> UInt8 {
        if dispi.picture != nil { return bankByte(offset).map { memory[$0] } ?? 0xFF }
        return isPeek ? chip.peekMemory(offset, from: memory.span) : chip.readMemory(offset, from: memory.span)
    }

    private func writeWindow(_ offset: UInt32, _ width: Int, _ value: UInt64) {
        let isLinear = dispi.picture != nil
        var span = memory.mutableSpan
        for byte in 0..<UInt32(truncatingIfNeeded: width) {
            let part = UInt8(truncatingIfNeeded: value &>> UInt64(byte &* 8))
            if !isLinear {
                chip.writeMemory(offset &+ byte, part, to: &span)
            } else if let place = bankByte(offset &+ byte) {
                span[place] = part
            }
        }
    }

    private func bankByte(_ offset: UInt32) -> Int? {
        guard offset < 0x1_0000 else { return nil }
        let place = Int(dispi.bankOffset &+ offset)
        return place < memory.count ? place : nil
    }

    // BAR 2 (QEMU's docs/specs/standard-vga): the ports 0x3C0 to 0x3DF at 0x400, DISPI at 0x500.

    private func readMMIO(_ offset: UInt32, _ width: Int, _ isPeek: Bool) -> UInt64 {
        if offset >= 0x500, offset < 0x516 {
            return UInt64(dispi.readMemory(offset &- 0x500, width: UInt32(truncatingIfNeeded: width)))
        }
        guard offset >= 0x400, offset < 0x420 else { return 0 }
        var value: UInt64 = 0
        for byte in 0..<UInt32(truncatingIfNeeded: width) {
            let port = UInt16(truncatingIfNeeded: offset &- 0x400 &+ 0x3C0 &+ byte)
            value |= UInt64(readPort(port, isPeek)) &<< UInt64(byte &* 8)
        }
        return value
    }

    private func writeMMIO(_ offset: UInt32, _ width: Int, _ value: UInt64) {
        if offset >= 0x500, offset < 0x516 {
            let width = UInt32(truncatingIfNeeded: width)
            return carryOut(dispi.writeMemory(offset &- 0x500, width: width, UInt16(truncatingIfNeeded: value)))
        }
        guard offset >= 0x400, offset < 0x420 else { return }
        for byte in 0..<UInt32(truncatingIfNeeded: width) {
            let port = UInt16(truncatingIfNeeded: offset &- 0x400 &+ 0x3C0 &+ byte)
            chip.write(port, UInt8(truncatingIfNeeded: value &>> UInt64(byte &* 8)))
        }
    }

    // MARK: Who looks

    override func displayRefresh(slot: Int, position: Int, all: Bool) {
        screen.show(chip, dispi, memory.span, to: position, all: all, at: clock.now)
    }

    // MARK: State: memory is the core's to save

    override func save(to state: StateWriter) throws(PluginError) {
        // Who looks at the machine that is made from it may be another.
        screen.forget()
        state.put(chip.state)
        state.put(dispi.state)
        if let function { state.put("configuration", function.configuration.state.bytes) }
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        var (chip, dispi) = (self.chip, self.dispi)
        guard chip.restore(try state.vga()) else { throw PluginError("no such state of the VGA") }
        guard dispi.restore(try state.dispi()) else { throw PluginError("no such state of the display interface") }
        if function != nil {
            let bytes = try state.get("configuration", count: nil)
            guard function?.restore(.init(bytes: bytes)) == true else {
                throw PluginError("no such state of the function")
            }
        }
        (self.chip, self.dispi) = (chip, dispi)
        screen.forget()
    }
}

let library = Library(
    "vga", version: "1.0", summary: "VGA with Bochs's display interface", needsMinor: 5,
    classes: [VGAPlugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
