import ELFKernel
import Images
import LinuxBoot
import Loading
import PluginKit

/// Boots an ELF kernel: by its PVH note, or by its ELF entry as Linux takes it, with a zero page in RSI (64-bit) or ESI
/// (32-bit).
/// Source: Xen, docs/misc/pvh.pandoc; Linux, Documentation/arch/x86/boot.rst.
final class ELFLoader: Instance {
    static let definition = ClassDefinition.loader(
        "elf", summary: "boots an ELF kernel, as vmlinux is",
        properties: [
            Property("kernel", .path, required: true, doc: "the kernel: an ELF file for i386 or x86-64"),
            Property("command-line", .text, default: "", doc: "the kernel's arguments"),
            Property(
                "modules", .path, list: true,
                doc: "files loaded beside the kernel; with entry linux they are its initrd, one after the other"),
            Property(
                "entry", .choice, default: "auto", choices: ["auto", "pvh", "linux"],
                doc:
                    "pvh: by the kernel's PVH note; linux: by the ELF entry, with a zero page; auto: pvh if it has the note"
            ),
        ],
        slots: [BoardTables.slot],
        make: { (host, values) throws(PluginError) in try ELFLoader(host, values) })

    private static let mostModules = 64

    private enum Kernel {
        case pvh(PVHKernel)
        case linux(LinuxKernel)
    }

    private let path: String
    private let name: String
    private let entry: String
    /// Of create, for the first reset: a kernel with its debugging information is large. Later ones read the file again.
    private var kernel: Kernel?
    private let modules: [[UInt8]]
    private let commandLine: String
    private var tables: BoardTables?

    init(_ host: Host, _ values: Values) throws(PluginError) {
        path = values.text("kernel")
        name = ImageFile.name(path)
        entry = values.text("entry")
        kernel = try Self.read(path, entry: entry)
        let paths = values.textList("modules")
        guard paths.count <= Self.mostModules else {
            throw PluginError("there are \(paths.count) modules, more than \(Self.mostModules)")
        }
        var modules: [[UInt8]] = []
        for path in paths { modules.append(try readImage(path)) }
        self.modules = modules
        commandLine = values.text("command-line")
        super.init(host)
    }

    private static func read(_ path: String, entry: String) throws(PluginError) -> Kernel {
        let bytes = try readImage(path)
        do throws(LinuxBootError) {
            return try kernel(bytes, entry: entry)
        } catch {
            throw PluginError(ImageFile.name(path) + ": " + error.text)
        }
    }

    private static func kernel(_ bytes: [UInt8], entry: String) throws(LinuxBootError) -> Kernel {
        if entry != "linux", let kernel = try PVHKernel(bytes) { return .pvh(kernel) }
        guard entry != "pvh" else { throw .noPVHEntry }
        return .linux(try LinuxKernel(elf: bytes))
    }

    override func connect() throws(PluginError) {
        let tables = try BoardTables(host)
        self.tables = tables
        var ram = try host.memory.ramMap
        try tables.keepRoom(in: &ram)
        guard let kernel else { return }
        switch try plan(kernel, ram) {
        case .pvh(let plan): host.log(.debug, "\(name): entered by its PVH note at \(hex(plan.entry))")
        case .linux(let plan):
            let bits = plan.mode == .long64 ? 64 : 32
            host.log(.debug, "\(name): entered at \(hex(plan.entry)) in \(bits)-bit mode")
        }
    }

    private enum Plan {
        case pvh(PVHPlan)
        case linux(LinuxPlan)
    }

    /// Made anew for each use: its memory map is that of the moment.
    private func plan(_ kernel: Kernel, _ ram: RAMMap, rootPointer: UInt64? = nil) throws(PluginError) -> Plan {
        do {
            switch kernel {
            case .pvh(let kernel):
                return .pvh(
                    try PVHPlan(kernel, commandLine: commandLine, modules: modules, ram: ram, rootPointer: rootPointer))
            case .linux(let kernel):
                return .linux(
                    try LinuxPlan(
                        kernel, commandLine: commandLine, initrds: modules, ram: ram, rootPointer: rootPointer))
            }
        } catch {
            throw PluginError(name + ": " + error.text, status: .outOfRange)
        }
    }

    override func reset(warm: Bool) {
        do throws(PluginError) {
            let kernel = if let kernel { kernel } else { try Self.read(path, entry: entry) }
            self.kernel = nil
            var ram = try host.memory.ramMap
            let linked = try tables?.link(&ram)
            if let linked { try host.memory.load(linked.pieces, name) }
            switch try plan(kernel, ram, rootPointer: linked?.rootPointer) {
            case .linux(let plan): try plan.enter(host, name)
            case .pvh(let plan):
                try host.memory.load(plan.pieces, name)
                var registers = bp_registers.flatProtected(entry: plan.entry)
                registers.general.3 = UInt64(plan.startInfo)
                try host.cpu.setRegisters(registers)
            }
        } catch {
            host.cannotLoad(error.text)
        }
    }
}

let library = Library(
    "elf", version: "1.0", summary: "a loader of ELF kernels", needsMinor: 0, classes: [ELFLoader.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
