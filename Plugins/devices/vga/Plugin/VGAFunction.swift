import PCIConfiguration
import PCIKit
import PluginKit

/// The card's PCI function: who it is, and where frame buffer (BAR 0), registers (BAR 2) and ROM answer. Source: QEMU's
/// docs/specs/standard-vga.
struct VGAFunction {
    private static let registersLength: UInt64 = 4096

    private(set) var configuration: ConfigurationSpace
    private let host: Host
    private let memory: Memory.Region
    private let rom: Memory.Region?
    private let cookie: UInt64
    private var frameBuffer = WindowMapping()
    private var romMapping = WindowMapping()
    private var registers = WindowClaim()
    /// COMMAND's bits, which go for the fixed ports and the window too.
    private(set) var decodesPorts = false
    private(set) var decodesMemory = false

    /// `isLegacy`: a VGA; otherwise a display controller of another kind, as QEMU's `secondary-vga`.
    init(
        _ host: Host, memory: Memory.Region, rom: Memory.Region?, isLegacy: Bool, cookie: UInt64
    ) throws(PluginError) {
        (self.host, self.memory, self.rom, self.cookie) = (host, memory, rom, cookie)
        do throws(LayoutError) {
            var layout = ConfigurationSpace.Layout(
                .function,
                .init(
                    vendor: 0x1234, device: 0x1111, classCode: isLegacy ? 0x03_00_00 : 0x03_80_00,
                    subsystemVendor: 0x1AF4, subsystem: 0x1100),
                command: isLegacy ? [.io, .memory] : .memory)
            try layout.addBaseAddress(0, .memory32(prefetchable: true), size: UInt64(memory.bytes.count))
            try layout.addBaseAddress(2, .memory32(prefetchable: false), size: Self.registersLength)
            if let rom { try layout.addROM(size: UInt32(rom.bytes.count)) }
            configuration = ConfigurationSpace(layout)
        } catch {
            throw PluginError("its registers overlap: \(error)")
        }
    }

    mutating func reset() {
        configuration.reset()
        update()
    }

    mutating func restore(_ saved: ConfigurationSpace.State) -> Bool {
        guard configuration.restore(saved) else { return false }
        update()
        return true
    }

    func read(_ offset: UInt32, width: UInt32) -> UInt32 { configuration.read(offset, width: width) }

    mutating func write(_ offset: UInt32, width: UInt32, _ value: UInt32) {
        configuration.write(offset, width: width, value)
        update()
    }

    /// Windows have moved, or were switched.
    private mutating func update() {
        decodesPorts = configuration.command.contains(.io)
        decodesMemory = configuration.command.contains(.memory)
        for window in configuration.windows {
            switch window.source {
            case .baseAddress(0): frameBuffer.follow(window.enabledAddress, memory, host)
            case .rom: if let rom { romMapping.follow(window.enabledAddress, rom, host) }
            default:
                registers.follow(window.enabledAddress, host) { [cookie] (io, address) throws(PluginError) in
                    try io.claimMemory(
                        address, length: Self.registersLength, widths: [.byte, .word, .long], cookie: cookie,
                        name: "registers")
                }
            }
        }
    }
}
