import ArgumentParser
import Core
import Glibc
import MachineFile

struct PluginCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plugin", abstract: "List, describe, make and test plugins.",
        subcommands: [
            PluginList.self, PluginInfo.self, PluginNew.self, PluginTest.self, DescribeForParent.self,
            BenchForParent.self,
        ])
}

struct PluginList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the plugins found, broken ones too.")

    @OptionGroup var plugins: PluginOptions

    func run() throws {
        let finder = PluginFinder(paths: plugins.pluginPath, isolation: .childProcess)
        let files = finder.libraryFiles
        finder.describeAll(files.map(\.path))
        var rows: [[String]] = []
        var broken: [String] = []
        for file in files {
            switch finder.description(of: file.path) {
            case .success(let plugin):
                for type in plugin.classes {
                    let name = type.name == file.name ? type.name : "\(file.name)/\(type.name)"
                    rows.append([name, type.kind.name, plugin.version, type.summary])
                }
            case .failure(let problem): broken.append("\(file.path): \(problem.text)")
            }
        }
        rows.sort { ($0[1], $0[0]) < ($1[1], $1[0]) }
        print(Columns.text(["NAME", "KIND", "VERSION", "SUMMARY"], rows), terminator: "")
        for line in broken { complain(line) }
    }
}

struct PluginInfo: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "info", abstract: "Describe a plugin: its properties, slots, interfaces and methods.")

    @Argument(help: "Its name, or a path to the library.", completion: .plugin) var name: String
    @OptionGroup var plugins: PluginOptions

    func run() throws {
        let finder = PluginFinder(paths: plugins.pluginPath, isolation: .childProcess)
        let path = try finder.libraryPath(named: name)
        switch finder.description(of: path) {
        case .failure(let problem):
            complain("\(path): \(problem.text)")
            throw ExitCode(2)
        case .success(let plugin):
            let width = Columns.terminalWidth
            print(Columns.wrapped("\(plugin.name) \(plugin.version): \(plugin.summary)", width), terminator: "")
            print(
                "  library  \(path)\n  licence  \(plugin.licence)\n  needs    plugin ABI \(plugin.abiMajor).\(plugin.abiMinor)"
            )
            for type in plugin.classes { print(PluginInfo.text(of: type, width: width), terminator: "") }
        }
    }

    static func text(of type: ClassDescription, width: Int?) -> String {
        var text = "\n" + Columns.wrapped("\(type.kind.name) \(type.name): \(type.summary)", width)
        let properties = type.properties.map { property in
            [
                property.name, typeText(property), property.isRequired ? "required" : property.defaultText ?? "",
                property.doc,
            ]
        }
        if !properties.isEmpty {
            text += Columns.text(
                ["  PROPERTY", "TYPE", "DEFAULT", "MEANING"], properties.map { ["  " + $0[0]] + $0[1...] }, width: width
            )
        }
        let slots = type.slots.map { ["  " + $0.name, $0.interface, slotText($0), $0.doc] }
        if !slots.isEmpty { text += Columns.text(["  SLOT", "INTERFACE", "", "MEANING"], slots, width: width) }
        let provided = type.provided.map { ["  " + $0.interface, "\($0.count)", $0.isShared ? "shared" : "", $0.doc] }
        if !provided.isEmpty { text += Columns.text(["  PROVIDES", "COUNT", "", "MEANING"], provided, width: width) }
        let methods = type.methods.map { ["  " + $0.signature, $0.doc] }
        if !type.firmware.isEmpty {
            text += Columns.text(["  FIRMWARE NODE", "CLAIMS", "SLOTS"], type.firmware.map(row), width: width)
        }
        if !methods.isEmpty { text += Columns.text(["  METHOD", "MEANING"], methods, width: width) }
        return text
    }

    private static func typeText(_ property: PropertyDescription) -> String {
        var text = property.type == .choice ? property.choices.joined(separator: "|") : property.type.name
        if let bounds = property.bounds { text += " \(bounds.lowerBound)..\(bounds.upperBound)" }
        if property.isList { text = "list of \(text)" }
        return property.isLive ? text + ", live" : text
    }

    private static func row(_ node: FirmwareNodeDescription) -> [String] {
        func names(_ list: [String]?) -> String {
            list.map { $0.isEmpty ? "none" : $0.joined(separator: ", ") } ?? "all"
        }
        let ids = [node.hid].compactMap(\.self) + node.cids
        return [
            "  "
                + (ids.isEmpty
                    ? node.role.rawValue == 0 ? "PCI function" : "\(node.role)" : ids.joined(separator: ", ")),
            names(node.claims), names(node.slots),
        ]
    }

    private static func slotText(_ slot: SlotDescription) -> String {
        (slot.isMany ? "many" : "one") + (slot.isOptional ? ", optional" : "")
    }
}

extension PluginFinder {
    /// By name or path; ends with status 2 and the places searched where there is none.
    func libraryPath(named name: String) throws -> String {
        let isPath = name.contains("/") || name.hasSuffix(".so")
        let reference = PluginReference(
            name: isPath && !name.contains("/") ? "./" + name : name, relativeTo: isPath ? "." : nil)
        switch find(reference) {
        case .success(let entry): return entry.libraryPath
        case .failure(.broken(let path, _)), .failure(.noSuchClass(let path, _)): return path
        case .failure(.notFound(let searched, _)):
            complain("there is no plugin '\(name)' in \(searched.joined(separator: ", "))")
            throw ExitCode(2)
        }
    }
}

struct SchemaCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "schema", abstract: "Print a JSON Schema for machine files, from the plugins found.")

    @Flag(help: "Of host files, which list machine files.")
    var host = false

    @OptionGroup var plugins: PluginOptions

    func run() throws {
        if host { return print(hostJSONSchema(), terminator: "") }
        let finder = PluginFinder(paths: plugins.pluginPath, isolation: .childProcess)
        let files = finder.libraryFiles
        finder.describeAll(files.map(\.path))
        let classes = files.flatMap { file -> [ClassDescription] in
            (try? finder.description(of: file.path).get())?.classes ?? []
        }
        print(jsonSchema(classes: classes))
    }
}
