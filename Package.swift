// swift-tools-version: 6.2
import PackageDescription

/// Plugins export one symbol, so that two libraries with PluginKit inside cannot meet.
let oneSymbol: [LinkerSetting] = [
    .unsafeFlags(["-Xlinker", "--version-script=\(Context.packageDirectory)/Plugins/plugin.map"])
]
let strict: [SwiftSetting] = [.strictMemorySafety()]
/// No exclusivity checks at run time on the path of an exit: 140 of its 317 instructions were theirs. The core never enters an
/// instance twice, which is what they would find (docs/decisions.md, 11).
let hot: [SwiftSetting] = [.unsafeFlags(["-enforce-exclusivity=unchecked"])]

/// The software CPU's handlers call each other in tail position: a stack protector would turn jumps into calls, frame pointers
/// cost three instructions of about twelve, and merged functions test at run time what each handler knows.
let handlers: [SwiftSetting] = [
    .unsafeFlags([
        "-Xfrontend", "-disable-stack-protector", "-Xcc", "-Xclang", "-Xcc", "-mframe-pointer=none", "-Xllvm",
        "-swiftmergefunc-threshold=0",
    ])
]

/// A plugin under Plugins/. With a `model` it has two targets: its model (a chip, a format, decisions: a plain module that unit
/// tests link), in the folder `modelFolder`, and the plugin with the exported symbol in the folder Plugin.
struct PluginFolder {
    var kind: String
    var name: String
    var model: String?
    var modelFolder = "Chip"
    /// Other modules of the house that the model and the plugin use.
    var shared: [String] = []
    /// Its tests use KernelImages.
    var testsUseKernelImages = false
    /// Its tests use RFBClient.
    var testsUseRFB = false
    /// The model uses PluginKit (policies' records are the ABI's).
    var modelUsesKit = false
    /// The model is free of unsafe code; those of backends talk to the host's kernel.
    var isModelStrict = true
    var isC = false

    var path: String { "Plugins/\(kind)/\(name)" }
    var module: String {
        name.split(separator: "-").map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined() + "Plugin"
    }
    var product: Product { .library(name: name, type: .dynamic, targets: [module]) }

    var targets: [Target] {
        if isC { return [cTarget] }
        let names = shared + (model.map { [$0] } ?? [])
        let plugin = Target.target(
            name: module, dependencies: (["PluginKit"] + names).map { .init(stringLiteral: $0) },
            path: model == nil ? path : path + "/Plugin", swiftSettings: hot, linkerSettings: oneSymbol)
        guard let model else { return [plugin] }
        let modelNeeds =
            shared.filter { !["ExpansionROM", "Loading", "PCIKit", "VirtioKit"].contains($0) }
            + (modelUsesKit ? ["PluginKit"] : [])
        return [
            plugin,
            .target(
                name: model, dependencies: modelNeeds.map { .init(stringLiteral: $0) }, path: "\(path)/\(modelFolder)",
                swiftSettings: (isModelStrict ? strict : []) + hot),
            tests(model, folder: name, needs: modelNeeds + testNeeds),
        ]
    }

    private var testNeeds: [String] {
        (testsUseKernelImages ? ["KernelImages"] : []) + (testsUseRFB ? ["RFBClient", "Pictures", "CBackplane"] : [])
    }

    private var cTarget: Target {
        .target(
            name: module, dependencies: ["CBackplane"], path: path, publicHeadersPath: ".",
            cSettings: [.unsafeFlags(["-std=c11", "-Wall", "-Wextra", "-fvisibility=hidden"])],
            linkerSettings: oneSymbol)
    }
}

func tests(_ model: String, folder: String, needs: [String] = []) -> Target {
    .testTarget(
        name: model + "Tests", dependencies: ([model, "SplitMix"] + needs).map { .init(stringLiteral: $0) },
        path: "Tests/Plugins/\(folder)")
}

/// A backend: all of them use BackendSupport, and none is free of unsafe code.
func backend(_ name: String, _ model: String? = nil, _ folder: String = "") -> PluginFolder {
    PluginFolder(
        kind: "backends", name: name, model: model, modelFolder: folder, shared: ["BackendSupport", "CBackendSupport"],
        modelUsesKit: true, isModelStrict: false)
}

let plugins = [
    PluginFolder(
        kind: "backends", name: "browser", model: "WebFront", modelFolder: "Front",
        shared: ["BackendSupport", "CBackendSupport", "CWebSockets", "RemoteDisplay", "SocketEndpoint"],
        testsUseRFB: true, modelUsesKit: true, isModelStrict: false),
    backend("capture", "CaptureWriting", "Writer"),
    backend("file", "FilePump", "Pump"),
    backend("hub", "NetworkSwitch", "Switch"),
    PluginFolder(
        kind: "backends", name: "nbd", model: "NBDClient", modelFolder: "Client",
        shared: ["BackendSupport", "CBackendSupport", "CNBD"], modelUsesKit: true, isModelStrict: false),
    backend("nocloud", "CloudSeed", "Image"),
    backend("null"),
    PluginFolder(
        kind: "backends", name: "picture", model: "PictureFiles", modelFolder: "Files",
        shared: ["BackendSupport", "CBackendSupport", "Pictures"], modelUsesKit: true, isModelStrict: false),
    backend("overlay", "OverlayStore", "Store"),
    backend("pty", "PseudoTerminal", "Master"),
    backend("ram-disk", "RAMContents", "Contents"),
    backend("raw-file", "RawImage", "Image"),
    PluginFolder(
        kind: "backends", name: "screen", model: "ScreenPainting", modelFolder: "Painting",
        shared: ["BackendSupport", "CBackendSupport", "Pictures"]),
    PluginFolder(kind: "backends", name: "socket", shared: ["BackendSupport", "CBackendSupport", "SocketEndpoint"]),
    backend("tap", "TapDevices", "Device"),
    backend("terminal"),
    PluginFolder(
        kind: "backends", name: "user", model: "UserNetwork", modelFolder: "Stack",
        shared: ["BackendSupport", "CBackendSupport", "CSlirp"], modelUsesKit: true, isModelStrict: false),
    PluginFolder(
        kind: "backends", name: "vnc", model: "VNCServer", modelFolder: "Server",
        shared: ["BackendSupport", "CBackendSupport", "RemoteDisplay", "SocketEndpoint"], testsUseRFB: true,
        modelUsesKit: true, isModelStrict: false),
    PluginFolder(
        kind: "devices", name: "acpi", model: "ACPINameSpace", modelFolder: "Tables",
        shared: ["ACPITables", "BoardSurvey"],
        modelUsesKit: true),
    PluginFolder(kind: "devices", name: "ata", model: "ATA"),
    PluginFolder(
        kind: "devices", name: "cfi-flash", model: "CFIFlash", shared: ["BackendSupport", "CBackendSupport", "Images"],
        isModelStrict: false),
    PluginFolder(kind: "devices", name: "debug-console", model: "DebugConsole"),
    PluginFolder(kind: "devices", name: "debug-exit"),
    PluginFolder(kind: "devices", name: "dma8237", model: "DMA8237"),
    PluginFolder(
        kind: "devices", name: "e1000", model: "E1000",
        shared: ["Ethernet", "PCIConfiguration", "PCIKit", "ExpansionROM"]),
    PluginFolder(kind: "devices", name: "fdc82077", model: "FDC82077"),
    PluginFolder(kind: "devices", name: "fw-cfg", model: "FWCfg", shared: ["Images"]),
    PluginFolder(kind: "devices", name: "gsi"),
    PluginFolder(kind: "devices", name: "i440fx", model: "I440FX", shared: ["PCIConfiguration", "PCIKit"]),
    PluginFolder(kind: "devices", name: "i8042", model: "I8042"),
    PluginFolder(kind: "devices", name: "ioapic", model: "IOAPIC"),
    PluginFolder(kind: "devices", name: "lapic", model: "LocalAPIC"),
    PluginFolder(kind: "devices", name: "lfsr", isC: true),
    PluginFolder(
        kind: "devices", name: "mptable", model: "MPTable", modelFolder: "Tables", shared: ["BoardSurvey"],
        modelUsesKit: true),
    PluginFolder(kind: "devices", name: "pci-bridge", shared: ["PCIConfiguration", "PCIKit"]),
    PluginFolder(kind: "devices", name: "pic8259", model: "PIC8259"),
    PluginFolder(kind: "devices", name: "piix-ide", model: "PIIXIDE", shared: ["PCIConfiguration", "PCIKit"]),
    PluginFolder(kind: "devices", name: "piix3", model: "PIIX3", shared: ["ACPITables", "PCIConfiguration"]),
    PluginFolder(kind: "devices", name: "piix4-pm", model: "PIIX4PM", shared: ["PCIConfiguration", "PCIKit"]),
    PluginFolder(kind: "devices", name: "pit8254", model: "PIT8254"),
    PluginFolder(kind: "devices", name: "reset-control", model: "ResetControl"),
    PluginFolder(kind: "devices", name: "rom", model: "ROM", shared: ["Images"]),
    PluginFolder(kind: "devices", name: "rtc146818", model: "RTC146818"),
    PluginFolder(kind: "devices", name: "smbios", shared: ["ACPITables"]),
    PluginFolder(kind: "devices", name: "uart16550", model: "UART16550"),
    PluginFolder(kind: "devices", name: "vga", model: "VGA", shared: ["PCIConfiguration", "PCIKit", "ExpansionROM"]),
    PluginFolder(
        kind: "devices", name: "virtio-9p", model: "SharedFolder", modelFolder: "Folder",
        shared: ["BackendSupport", "CBackendSupport", "Virtio", "VirtioKit"], modelUsesKit: true, isModelStrict: false),
    PluginFolder(kind: "devices", name: "virtio-balloon", model: "VirtioBalloon", shared: ["Virtio", "VirtioKit"]),
    PluginFolder(kind: "devices", name: "virtio-blk", model: "VirtioBlock", shared: ["Virtio", "VirtioKit"]),
    PluginFolder(kind: "devices", name: "virtio-console", model: "VirtioConsole", shared: ["Virtio", "VirtioKit"]),
    PluginFolder(kind: "devices", name: "virtio-entropy", shared: ["Virtio", "VirtioKit"]),
    PluginFolder(kind: "devices", name: "virtio-input", model: "VirtioInput", shared: ["Virtio", "VirtioKit"]),
    PluginFolder(kind: "devices", name: "virtio-mmio", model: "VirtioMMIO", shared: ["Virtio", "VirtioKit"]),
    PluginFolder(kind: "devices", name: "virtio-net", model: "VirtioNet", shared: ["Ethernet", "Virtio", "VirtioKit"]),
    PluginFolder(
        kind: "devices", name: "virtio-pci", model: "VirtioPCI",
        shared: ["PCIConfiguration", "PCIKit", "Virtio", "VirtioKit"]),
    PluginFolder(
        kind: "loaders", name: "elf", model: "ELFKernel", modelFolder: "Format",
        shared: ["Images", "LinuxBoot", "Loading"], testsUseKernelImages: true),
    PluginFolder(
        kind: "loaders", name: "flat", model: "FlatImage", modelFolder: "Format", shared: ["Images", "Loading"]),
    PluginFolder(
        kind: "loaders", name: "linux", model: "LinuxImage", modelFolder: "Format",
        shared: ["Images", "LinuxBoot", "Unpacking", "Loading"], testsUseKernelImages: true),
    PluginFolder(
        kind: "loaders", name: "multiboot", model: "Multiboot", modelFolder: "Format", shared: ["Images", "Loading"]),
    PluginFolder(kind: "policies", name: "budget", model: "ExitMeter", modelFolder: "Meter"),
    PluginFolder(kind: "policies", name: "cpuid", model: "CPUTemplates", modelFolder: "Templates"),
    PluginFolder(
        kind: "policies", name: "fault-inject", model: "FaultPlan", modelFolder: "Faults", shared: ["SplitMix"],
        modelUsesKit: true),
    PluginFolder(kind: "policies", name: "guard", model: "GuardRules", modelFolder: "Rules", modelUsesKit: true),
    PluginFolder(kind: "policies", name: "hotkey"),
    PluginFolder(kind: "policies", name: "paravirt", model: "HypercallInterface", modelFolder: "Interface"),
    PluginFolder(kind: "policies", name: "memory-watch", model: "PageWatch", modelFolder: "Pages"),
    PluginFolder(
        kind: "policies", name: "watchpoint", model: "WatchPoints", modelFolder: "Points", modelUsesKit: true),
    PluginFolder(
        kind: "policies", name: "standard", model: "StandardDecisions", modelFolder: "Decisions", modelUsesKit: true),
    PluginFolder(kind: "policies", name: "stats", model: "ExitCounters", modelFolder: "Counters", modelUsesKit: true),
    PluginFolder(
        kind: "policies", name: "strict", model: "StrictAllowance", modelFolder: "Allowance", modelUsesKit: true),
    PluginFolder(kind: "policies", name: "trace", model: "TraceFormat", modelFolder: "Format", modelUsesKit: true),
]

let core: [Target] = [
    .target(name: "CBackplane"),
    .systemLibrary(name: "CFFI", pkgConfig: "libffi", providers: [.apt(["libffi-dev"])]),
    .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
    .target(name: "CHost", cSettings: [.unsafeFlags(["-O2"])]),
    .target(name: "PluginKit", dependencies: ["CBackplane"]),
    .target(name: "PCIConfiguration", swiftSettings: strict + hot),
    .target(name: "PCIKit", dependencies: ["PCIConfiguration", "PluginKit"], swiftSettings: hot),
    .target(name: "SplitMix"),
    .target(name: "Core", dependencies: ["CBackplane", "CHost", "CFFI", "SplitMix"], swiftSettings: hot),
    .target(name: "EngineKVM", dependencies: ["CBackplane", "CHost", "Core"], swiftSettings: hot),
    .target(name: "EngineSoft", dependencies: ["CBackplane", "CHost", "Core"], swiftSettings: hot + handlers),
    .target(name: "Control", dependencies: ["CBackplane", "CHost", "Core", "Disassembly", "MachineFile", "Pictures"]),
    .target(name: "Pictures", dependencies: ["CBackplane", "CZlib"]),
    .target(name: "Disassembly"),
    .executableTarget(
        name: "backplane",
        dependencies: [
            "CHost", "Control", "Core", "EngineKVM", "EngineSoft", "MachineFile", "PluginBench",
            .product(name: "ArgumentParser", package: "swift-argument-parser"),
        ],
        // The installed program finds the Swift runtime beside it.
        linkerSettings: [.unsafeFlags(["-Xlinker", "-rpath=$ORIGIN/../lib/backplane/runtime"])]),
    .target(name: "PluginBench", dependencies: ["CBackplane", "CHost", "Core", "PluginKit", "SplitMix"]),
    .target(name: "MachineFile", dependencies: ["Core", "CYAML"]),
]

/// What `scripts/bench.py` drives.
let benchmarks: [Target] = [
    .target(name: "CBareKVM", cSettings: [.unsafeFlags(["-O2"])]),
    .executableTarget(
        name: "Benchmarks",
        dependencies: ["CBackplane", "CBareKVM", "CHost", "Core", "EngineKVM", "MachineFile", "PluginKit"]),
]

let machineTests: [Target] = [
    .testTarget(name: "CommandLineTests", exclude: ["qmp"]),
    .testTarget(name: "CoreTests", dependencies: ["CBackplane", "CHost", "Core", "SplitMix"]),
    .testTarget(
        name: "MachineTests",
        dependencies: [
            "CBackplane", "CHost", "Core", "EngineKVM", "EngineSoft", "KernelImages", "MachineFile", "PluginKit",
            "SplitMix",
        ]),
    .testTarget(
        name: "PluginBenchTests", dependencies: ["Core", "KernelImages", "PluginBench", "PluginKit"],
        exclude: ["sequences"]),
    .target(name: "NativeCPU", path: "Tests/NativeCPU"),
    .testTarget(
        name: "EngineSoftTests",
        dependencies: ["CBackplane", "CHost", "Core", "Disassembly", "EngineSoft", "NativeCPU", "SplitMix"]),
    .executableTarget(name: "CrashChild", dependencies: ["CHost"], path: "Tests/CrashChild"),
    .testTarget(
        name: "EngineTests",
        dependencies: ["CBackplane", "CHost", "Core", "CrashChild", "EngineKVM", "EngineSoft", "SplitMix"]),
    .executableTarget(name: "control-child", dependencies: ["CHost", "Control"], path: "Tests/ControlTests/Child"),
    .testTarget(
        name: "ControlTests", dependencies: ["CBackplane", "Control", "Core", "control-child"], exclude: ["Child"]),
    .testTarget(name: "PicturesTests", dependencies: ["CBackplane", "CZlib", "Pictures"]),
    .testTarget(name: "MachineFileTests", dependencies: ["Core", "MachineFile", "SplitMix"]),
]

let shared: [Target] = [
    .target(name: "Images", path: "Plugins/loaders/Images", swiftSettings: strict),
    .target(name: "LinuxBoot", dependencies: ["Images"], path: "Plugins/loaders/LinuxBoot", swiftSettings: strict),
    .target(
        name: "Loading", dependencies: ["Images", "LinuxBoot", "PluginKit"], path: "Plugins/loaders/Loading"),
    .target(
        name: "Unpacking", dependencies: ["CLZMA", "CZSTD", "CZlib"], path: "Plugins/loaders/Unpacking",
        swiftSettings: strict),
    .systemLibrary(name: "CNBD"),
    .systemLibrary(name: "CSlirp"),
    .systemLibrary(name: "CWebSockets"),
    .systemLibrary(name: "CLZMA", pkgConfig: "liblzma", providers: [.apt(["liblzma-dev"])]),
    .systemLibrary(name: "CZSTD", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .target(name: "CBackendSupport", path: "Plugins/backends/Shared/HostCalls"),
    .target(
        name: "BackendSupport", dependencies: ["PluginKit", "CBackendSupport"], path: "Plugins/backends/Shared/Support"),
    .target(
        name: "SocketEndpoint", dependencies: ["BackendSupport", "CBackendSupport"],
        path: "Plugins/backends/Shared/Endpoint"),
    .target(
        name: "RemoteDisplay", dependencies: ["BackendSupport", "CBackendSupport", "CZlib", "Pictures", "PluginKit"],
        path: "Plugins/backends/Shared/RemoteDisplay", swiftSettings: hot),
    .target(
        name: "ExpansionROM", dependencies: ["Images", "PluginKit"], path: "Plugins/devices/Shared/ExpansionROM"),
    .target(name: "ACPITables", path: "Plugins/devices/Shared/ACPI", swiftSettings: strict),
    .target(
        name: "BoardSurvey", dependencies: ["PluginKit"], path: "Plugins/devices/Shared/Board", swiftSettings: strict),
    .target(name: "Ethernet", path: "Plugins/devices/Shared/Ethernet", swiftSettings: strict + hot),
    .target(name: "Virtio", path: "Plugins/devices/Shared/Virtio", swiftSettings: strict + hot),
    .target(
        name: "VirtioKit", dependencies: ["PluginKit", "Virtio"], path: "Plugins/devices/Shared/VirtioKit",
        swiftSettings: hot),
    tests("ACPITables", folder: "acpi-tables"),
    tests("BackendSupport", folder: "backends-shared"),
    tests("Ethernet", folder: "ethernet"),
    tests("Images", folder: "images"),
    tests("LinuxBoot", folder: "linux-boot", needs: ["Images", "KernelImages"]),
    tests("Loading", folder: "loading", needs: ["ACPITables", "Images"]),
    tests("PCIConfiguration", folder: "pci-configuration"),
    tests(
        "RemoteDisplay", folder: "remote-display",
        needs: ["BackendSupport", "CBackplane", "Pictures", "PluginKit", "RFBClient"]),
    tests("SocketEndpoint", folder: "socket", needs: ["BackendSupport", "CBackendSupport"]),
    tests("Unpacking", folder: "unpacking", needs: ["KernelImages"]),
    tests("Virtio", folder: "virtio"),
    .target(name: "RFBClient", dependencies: ["CZlib"], path: "Tests/RFBClient"),
    .target(name: "KernelImages", dependencies: ["CLZMA", "CZSTD", "CZlib"], path: "Tests/KernelImages"),
]

let package = Package(
    name: "backplane",
    products: [
        .library(name: "PluginKit", targets: ["PluginKit"]),
        .executable(name: "backplane", targets: ["backplane"]),
        .executable(name: "backplane-bench", targets: ["Benchmarks"]),
    ] + plugins.map(\.product),
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")
    ],
    targets: core + benchmarks + machineTests + shared + plugins.flatMap(\.targets)
)
