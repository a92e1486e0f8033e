import Images
import Loading
import Multiboot
import PluginKit

/// Boots a multiboot (version 1) kernel: ELF32, or any image whose header gives its addresses.
/// Source: Multiboot Specification 0.6.96. The machine's state at entry: section 3.2.
/// Not modelled: video modes (what the header asks for is logged and not set), and what needs firmware: boot_device,
/// drives, the ROM configuration table, APM. A20 is always on. ESP is 0: the specification leaves the stack to the
/// kernel.
final class MultibootLoader: Instance {
    static let definition = ClassDefinition.loader(
        "multiboot", summary: "boots a multiboot (version 1) kernel with its modules",
        properties: [
            Property(
                "kernel", .path, required: true,
                doc: "the kernel: an ELF32 file, or any whose multiboot header gives its addresses"),
            Property(
                "command-line", .text, default: "",
                doc: "the kernel's arguments; it gets its file's name and then these"),
            Property(
                "modules", .path, list: true,
                doc: "files loaded behind the kernel, each with its arguments: \"initrd.img first second\""),
        ],
        slots: [BoardTables.slot],
        make: { (host, values) throws(PluginError) in try MultibootLoader(host, values) })

    private static let mostModules = 256
    private static let loaderMagic: UInt64 = 0x2BAD_B002

    private let name: String
    private let bytes: [UInt8]
    private let kernel: MultibootKernel
    private let commandLine: String
    private let modules: [BootModule]
    private var tables: BoardTables?

    init(_ host: Host, _ values: Values) throws(PluginError) {
        let path = values.text("kernel")
        name = ImageFile.name(path)
        bytes = try readImage(path)
        do { kernel = try MultibootKernel(bytes) } catch { throw PluginError(name + ": " + error.text) }
        commandLine = BootLine.text(path: path, arguments: values.text("command-line"))
        modules = try Self.readModules(values.textList("modules"))
        super.init(host)
    }

    private static func readModules(_ lines: [String]) throws(PluginError) -> [BootModule] {
        guard lines.count <= mostModules else {
            throw PluginError("there are \(lines.count) modules, more than \(mostModules)")
        }
        var modules: [BootModule] = []
        for line in lines {
            // Where there is no such file, reading it says why.
            let (path, arguments) = BootLine.split(line, isFile: ImageFile.isRegularFile) ?? (line, "")
            modules.append(
                BootModule(
                    bytes: try readImage(path), text: BootLine.text(path: path, arguments: arguments)))
        }
        return modules
    }

    override func connect() throws(PluginError) {
        let tables = try BoardTables(host)
        self.tables = tables
        var ram = try host.memory.ramMap
        try tables.keepRoom(in: &ram)
        let plan = try plan(ram)
        if plan.omitsSections {
            host.log(.warning, "\(name): there is no room for its section headers and symbols; it goes without them")
        }
        if let video = kernel.header.video {
            host.log(
                .info,
                "\(name) asks for a video mode (\(video.width) by \(video.height), depth \(video.depth)); none is set")
        }
    }

    /// Made anew for each use: its memory map is that of the moment.
    private func plan(_ ram: RAMMap) throws(PluginError) -> BootPlan {
        do {
            return try BootPlan(kernel, bytes, commandLine: commandLine, modules: modules, ram: ram)
        } catch {
            throw PluginError(name + ": " + error.text, status: .outOfRange)
        }
    }

    override func reset(warm: Bool) {
        do throws(PluginError) {
            let memory = try host.memory
            var ram = memory.ramMap
            if let linked = try tables?.link(&ram) { try memory.load(linked.pieces, name) }
            let plan = try plan(ram)
            for piece in plan.pieces
            where !memory.load(piece.bytes, at: piece.address, memorySize: piece.memorySize) {
                throw PluginError("\(name): \(piece.memorySize) bytes at \(hex(piece.address)) could not be written")
            }
            var registers = bp_registers.flatProtected(entry: plan.entry)
            registers.general.0 = Self.loaderMagic
            registers.general.3 = UInt64(plan.information)
            try host.cpu.setRegisters(registers)
        } catch {
            host.cannotLoad(error.text)
        }
    }
}

let library = Library(
    "multiboot", version: "1.0", summary: "a loader of multiboot kernels", needsMinor: 0,
    classes: [MultibootLoader.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
