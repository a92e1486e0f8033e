import Images
import LinuxBoot
import LinuxImage
import Loading
import PluginKit

/// Boots a Linux bzImage by the 64-bit protocol, or the 32-bit one where the kernel has no other entry.
/// Source: Linux, Documentation/arch/x86/boot.rst. What is not modelled: the real-mode protocol (there is no firmware), EFI,
/// and setup_data.
final class LinuxLoader: Instance {
    static let definition = ClassDefinition.loader(
        "linux", summary: "boots a Linux kernel (bzImage) with its initrd",
        properties: [
            Property("kernel", .path, required: true, doc: "the kernel: a bzImage, as /boot/vmlinuz is"),
            Property(
                "initrd", .path, list: true,
                doc: "the initial RAM disk; of several files the kernel unpacks one after the other"),
            Property("command-line", .text, default: "", doc: "the kernel's arguments"),
            Property(
                "unpack", .choice, default: "host", choices: ["host", "guest"],
                doc: "who unpacks the kernel: the host, with its liblzma, libzstd or zlib, or the kernel itself"),
        ],
        slots: [BoardTables.slot],
        make: { (host, values) throws(PluginError) in try LinuxLoader(host, values) })

    private static let mostInitrds = 64

    private let name: String
    private let image: BzImage
    private let initrds: [[UInt8]]
    private let commandLine: String
    private let isUnpackedHere: Bool
    /// Of connect, for the first reset: unpacking takes a while, and keeping what was unpacked much memory.
    private var kernel: LinuxKernel?
    private var tables: BoardTables?

    init(_ host: Host, _ values: Values) throws(PluginError) {
        let path = values.text("kernel")
        name = ImageFile.name(path)
        let bytes = try readImage(path)
        do { image = try BzImage(bytes) } catch { throw PluginError(name + ": " + error.text) }
        let paths = values.textList("initrd")
        guard paths.count <= Self.mostInitrds else {
            throw PluginError("there are \(paths.count) initrds, more than \(Self.mostInitrds)")
        }
        var initrds: [[UInt8]] = []
        for path in paths { initrds.append(try readImage(path)) }
        self.initrds = initrds
        commandLine = values.text("command-line")
        let reason = values.text("unpack") == "host" ? image.reasonToStayPacked : nil
        if let reason { host.log(.info, "\(name): \(reason); it unpacks itself") }
        isUnpackedHere = values.text("unpack") == "host" && reason == nil
        super.init(host)
    }

    override func connect() throws(PluginError) {
        let tables = try BoardTables(host)
        self.tables = tables
        var ram = try host.memory.ramMap
        try tables.keepRoom(in: &ram)
        let kernel = try load()
        _ = try plan(kernel, ram)
        self.kernel = kernel
        let release = image.header.release.prefix { $0 != " " }
        host.log(
            .debug,
            "\(name): Linux \(release), entered at \(hex(kernel.entry)) in \(kernel.mode == .long64 ? 64 : 32)-bit mode"
        )
    }

    private func load() throws(PluginError) -> LinuxKernel {
        guard isUnpackedHere else { return image.packed }
        // Checked before the work: what the kernel asks for has to be RAM.
        let packed = image.packed
        let ram = try host.memory.ramMap
        _ = try plan(packed, ram)
        // An ELF file is a little larger than its segments.
        let limit = min(ram.total &+ 64 << 20, 1 << 30)
        do { return try image.unpacked(limit: limit) } catch { throw PluginError("\(name): \(error.text)") }
    }

    /// Made anew for each use: its memory map is that of the moment.
    private func plan(
        _ kernel: LinuxKernel, _ ram: RAMMap, rootPointer: UInt64? = nil
    ) throws(PluginError) -> LinuxPlan {
        do {
            return try LinuxPlan(
                kernel, commandLine: commandLine, initrds: initrds, ram: ram, rootPointer: rootPointer)
        } catch {
            throw PluginError(name + ": " + error.text, status: .outOfRange)
        }
    }

    override func reset(warm: Bool) {
        do throws(PluginError) {
            let kernel = if let kernel { kernel } else { try load() }
            self.kernel = nil
            var ram = try host.memory.ramMap
            let linked = try tables?.link(&ram)
            if let linked { try host.memory.load(linked.pieces, name) }
            let plan = try plan(kernel, ram, rootPointer: linked?.rootPointer)
            try plan.enter(host, name)
        } catch {
            host.cannotLoad(error.text)
        }
    }
}

let library = Library(
    "linux", version: "1.0", summary: "a loader of Linux kernels", needsMinor: 0, classes: [LinuxLoader.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
