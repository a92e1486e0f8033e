// swift-tools-version: 6.2
import PackageDescription

/// Plugins export one symbol, so that two libraries with PluginKit inside cannot meet.
let oneSymbol: [LinkerSetting] = [
    .unsafeFlags(["-Xlinker", "--version-script=\(Context.packageDirectory)/Plugins/plugin.map"])
]

/// A Swift plugin: `chip` names the module of its device model, in the folder Chip beside the folder Plugin.
struct PluginFolder {
    var kind: String
    var name: String
    var chip: String?

    var path: String { "Plugins/\(kind)/\(name)" }
    var module: String { name.split(separator: "-").map(\.capitalized).joined() + "Plugin" }
    var product: Product { .library(name: name, type: .dynamic, targets: [module]) }
    var targets: [Target] {
        let plugin = Target.target(
            name: module, dependencies: ["PluginKit"] + (chip.map { [.init(stringLiteral: $0)] } ?? []),
            path: chip == nil ? path : path + "/Plugin", linkerSettings: oneSymbol)
        guard let chip else { return [plugin] }
        return [
            plugin, .target(name: chip, path: path + "/Chip", swiftSettings: [.strictMemorySafety()]),
            .testTarget(name: chip + "Tests", dependencies: [.init(stringLiteral: chip)], path: "Tests/Plugins/\(name)"),
        ]
    }
}

extension Substring {
    var capitalized: String { prefix(1).uppercased() + dropFirst() }
}

let plugins = [
    PluginFolder(kind: "devices", name: "debug-exit"),
    PluginFolder(kind: "devices", name: "pic8259", chip: "PIC8259"),
    PluginFolder(kind: "devices", name: "pit8254", chip: "PIT8254"),
    PluginFolder(kind: "devices", name: "rtc146818", chip: "RTC146818"),
    PluginFolder(kind: "devices", name: "uart16550", chip: "UART16550"),
]

let package = Package(
    name: "backplane",
    products: [.library(name: "PluginKit", targets: ["PluginKit"])] + plugins.map(\.product),
    targets: [
        .target(name: "CBackplane"),
        .target(name: "PluginKit", dependencies: ["CBackplane"]),
        .systemLibrary(name: "CFFI", pkgConfig: "libffi", providers: [.apt(["libffi-dev"])]),
        .target(name: "CHost", cSettings: [.unsafeFlags(["-O2"])]),
        .target(name: "Core", dependencies: ["CBackplane", "CHost", "CFFI"]),
    ] + plugins.flatMap(\.targets)
)
