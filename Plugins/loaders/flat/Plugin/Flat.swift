import FlatImage
import Images
import Loading
import PluginKit

/// Loads an image file at an address and enters it: boot sectors, bare-metal tests, monitors.
/// Not modelled: A20, which is always on, and anything that firmware would have left in memory.
final class Flat: Instance {
    static let definition = ClassDefinition.loader(
        "flat", summary: "loads an image at an address and enters it in real or protected mode",
        properties: [
            Property("image", .path, required: true, doc: "the file, loaded as it is; at most 1 GiB"),
            Property("address", .address, default: "0x7c00", doc: "where its first byte goes"),
            Property("entry", .address, doc: "where execution starts; the image's address unless given"),
            Property(
                "mode", .choice, default: "real", choices: ["real", "protected"],
                doc: "the CPU's mode at entry; protected: 32-bit flat segments, paging and interrupts off"),
            Property("stack", .address, default: "0x7c00", doc: "SP or ESP at entry; in real mode SS is 0"),
            Property(
                "drive", .unsigned, default: "0x80", bounds: 0...255,
                doc: "DL at entry in real mode: the BIOS's number of the boot drive"),
        ],
        make: { (host, values) throws(PluginError) in try Flat(host, values) })

    private let bytes: [UInt8]
    private let image: FlatImage
    private let name: String
    private let drive: UInt64

    init(_ host: Host, _ values: Values) throws(PluginError) {
        let path = values.text("image")
        bytes = try readImage(path)
        name = ImageFile.name(path)
        drive = values.unsigned("drive")
        do {
            image = try FlatImage(
                size: UInt64(bytes.count), address: values.unsigned("address"),
                entry: values.unsigned(values.isSet("entry") ? "entry" : "address"), stack: values.unsigned("stack"),
                mode: FlatImage.Mode(rawValue: values.choice("mode")) ?? .real)
        } catch {
            throw PluginError(name + ": " + error.text)
        }
        super.init(host)
    }

    override func connect() throws(PluginError) {
        let ram = try host.memory.ramMap
        do { try image.check(fits: ram) } catch { throw PluginError(name + ": " + error.text, status: .outOfRange) }
    }

    override func reset(warm: Bool) {
        do throws(PluginError) {
            guard try host.memory.load(bytes[...], at: image.address, memorySize: image.size) else {
                let ram = try host.memory.ramMap
                return host.cannotLoad("\(name) was not loaded at \(hex(image.address)): RAM is \(ram.text) now")
            }
            try host.cpu.setRegisters(registers)
        } catch {
            host.cannotLoad(name + ": " + error.text)
        }
    }

    private var registers: bp_registers {
        let stack = UInt32(truncatingIfNeeded: image.stack)
        guard image.mode == .real else {
            return .flatProtected(entry: UInt32(truncatingIfNeeded: image.entry), stack: stack)
        }
        let (segment, offset) = image.farEntry
        var registers = bp_registers.realMode(
            codeSegment: segment, instruction: offset, stack: UInt16(truncatingIfNeeded: stack))
        registers.general.2 = drive
        return registers
    }
}

let library = Library(
    "flat", version: "1.0", summary: "a loader of flat images", needsMinor: 0, classes: [Flat.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
