public import Core

public struct GuestsResult: Sendable {
    /// In order, each with a name of its own. nil: there are errors.
    public var guests: [MachineDescription]?
    /// Each one's machine file.
    public var files: [String]
    /// In the order of the files.
    public var diagnostics: [Diagnostic]
}

/// Reads and checks machine files, and the host files that list some, for one process. A setting `NAME` is for every machine that has the
/// parameter; `MACHINE:NAME` and `NUMBER:NAME` (from 1) are for one. The same prefix makes a policy one machine's.
public func loadGuests(
    paths: [String], options: MachineFileOptions = .init(), catalog: any PluginCatalog
) -> GuestsResult {
    let reporter = Reporter()
    let (guests, files) = GuestFiles(options: options, catalog: catalog, reporter: reporter).load(paths)
    return GuestsResult(
        guests: reporter.hasErrors ? nil : guests, files: files, diagnostics: reporter.sorted())
}

/// What is said of a guest beside its machine file.
struct GuestOptions {
    /// nil: what the machine file says.
    var name: String?
    var engine: (choice: EngineChoice, location: SourceLocation)?
    var settings: [Setting] = []
    var policies: [ExtraPolicy] = []
}

/// A guest before its machine file is understood.
struct GuestDraft {
    var path: String
    /// Of the machine file.
    var root: YAMLNode
    var options = GuestOptions()
}

struct GuestFiles {
    static let maximumGuests = 64

    let options: MachineFileOptions
    let catalog: any PluginCatalog
    let reporter: Reporter

    func load(_ paths: [String]) -> (guests: [MachineDescription], files: [String]) {
        var drafts = paths.flatMap(drafts(of:))
        guard drafts.count <= GuestFiles.maximumGuests else {
            let location = reporter.add(option: "\(drafts.count) guests")
            reporter.error(location, "a process has at most \(GuestFiles.maximumGuests) guests")
            return ([], [])
        }
        let names = Lazy { [drafts] in UniqueNames.of(drafts.map(name(of:))) }
        let shared = addSettings(to: &drafts, names)
        addPolicies(to: &drafts, names)
        if let engine = options.engine {
            let location = reporter.add(option: "--engine \(engine.rawValue)")
            for index in drafts.indices { drafts[index].options.engine = (engine, location) }
        }
        let machines = drafts.map(machine(from:))
        check(shared, machines.map(\.parameters))
        var descriptions = machines.compactMap(\.description)
        for (index, name) in UniqueNames.of(descriptions.map(\.name)).enumerated() { descriptions[index].name = name }
        return (descriptions, drafts.map(\.path))
    }

    /// One of a machine file, those that a host file lists.
    private func drafts(of path: String) -> [GuestDraft] {
        guard let root = FileChain.read(path, .commandLine, reporter) else { return [] }
        guard let keys = root.mapping, HostReader.isHost(keys) else { return [GuestDraft(path: path, root: root)] }
        return HostReader(keys: keys, location: root.location, reporter: reporter).drafts()
    }

    // MARK: One machine

    private func machine(from draft: GuestDraft) -> (description: MachineDescription?, parameters: Parameters) {
        let parameters = Parameters(settings: draft.options.settings, reporter: reporter)
        guard let roots = FileChain.load(draft.path, root: draft.root, parameters: parameters, reporter: reporter)
        else {
            return (nil, parameters)
        }
        let merged = Merge(parameters: parameters, reporter: reporter).merged(roots)
        let root = parameters.substituted(merged)
        parameters.checkSettings()
        let start = SourceLocation(file: draft.path, line: 1, column: 1)
        let reader = MachineReader(root: root, location: roots.first?.location ?? start, reporter: reporter)
        let assembly = MachineAssembly(
            reader: reader, options: draft.options, catalog: catalog, reporter: reporter, start: start)
        return (assembly.description(), parameters)
    }

    /// What it will be called, as far as can be said before its machine file is understood.
    private func name(of draft: GuestDraft) -> String {
        if let name = draft.options.name { return name }
        let silent = Reporter()
        let start = SourceLocation(file: draft.path, line: 1, column: 1)
        let shared = options.settings.filter { !$0.0.contains(":") }
            .map { Setting(name: $0.0, value: ScalarText($0.1), location: start) }
        let parameters = Parameters(settings: draft.options.settings + shared, reporter: silent)
        let roots =
            FileChain.load(draft.path, root: draft.root, parameters: parameters, reporter: silent) ?? [draft.root]
        guard let node = roots.lazy.compactMap({ $0.mapping?.value("machine") }).first, let scalar = node.scalar else {
            return ""
        }
        return parameters.substituted(scalar, at: node.location)?.text ?? ""
    }

    // MARK: The command line

    /// Settings without a prefix are for all, and answered.
    private func addSettings(to drafts: inout [GuestDraft], _ names: Lazy<[String]>) -> [Setting] {
        var shared: [Setting] = []
        for (text, value) in options.settings {
            let location = reporter.add(option: "--set \(Printable.text(text))")
            var setting = Setting(name: text, value: ScalarText(value), location: location)
            guard let colon = text.firstIndex(of: ":") else {
                setting.isShared = drafts.count > 1
                for index in drafts.indices { drafts[index].options.settings.append(setting) }
                if setting.isShared, !shared.contains(where: { $0.name == text }) { shared.append(setting) }
                continue
            }
            let prefix = String(text[..<colon])
            guard let index = GuestFiles.index(of: prefix, in: names.value) else {
                if drafts.isEmpty { continue }
                reporter.error(
                    location,
                    "there is no machine \(Printable.quoted(prefix))" + reporter.hint(for: prefix, in: names.value),
                    notes: [.init("the machines are " + Printable.list(names.value))])
                continue
            }
            setting.name = String(text[colon...].dropFirst())
            drafts[index].options.settings.append(setting)
        }
        return shared
    }

    private func addPolicies(to drafts: inout [GuestDraft], _ names: Lazy<[String]>) {
        for text in options.extraPolicies {
            let location = reporter.add(option: "--policy \(Printable.text(text))")
            let head = text.prefix { $0 != "," && $0 != "=" }
            if let colon = head.firstIndex(of: ":"),
                let index = GuestFiles.index(of: String(head[..<colon]), in: names.value)
            {
                let rest = String(text[colon...].dropFirst())
                drafts[index].options.policies.append(ExtraPolicy(text: rest, location: location))
                continue
            }
            for index in drafts.indices {
                drafts[index].options.policies.append(ExtraPolicy(text: text, location: location))
            }
        }
    }

    private static func index(of prefix: String, in names: [String]) -> Int? {
        if let index = names.firstIndex(of: prefix) { return index }
        guard let number = Int(prefix), names.indices.contains(number &- 1) else { return nil }
        return number - 1
    }

    /// A setting for all must be some machine's, and be used there.
    private func check(_ shared: [Setting], _ machines: [Parameters]) {
        for setting in shared {
            let owners = machines.filter { $0.declaredNames.contains(setting.name) }
            if owners.isEmpty {
                let all = machines.flatMap(\.declaredNames)
                let list = all.isEmpty ? "they have none" : "they have " + Printable.list(Array(Set(all)).sorted())
                reporter.error(
                    setting.location,
                    "none of these machines has a parameter \(Printable.quoted(setting.name))"
                        + reporter.hint(for: setting.name, in: all), notes: [.init(list)])
            } else if !owners.contains(where: { $0.isUsed(setting.name) }) {
                reporter.warning(setting.location, "no value of these machines uses the parameter")
            }
        }
    }
}

/// Of machines of one process: the same name twice gets `-2`, `-3` and so on.
enum UniqueNames {
    static func of(_ names: [String]) -> [String] {
        var taken: Set<String> = []
        let given = Set(names)
        return names.map { name in
            var unique = name
            var number = 2
            while taken.contains(unique) || unique != name && given.contains(unique) {
                unique = "\(name)-\(number)"
                number += 1
            }
            taken.insert(unique)
            return unique
        }
    }
}

/// Made when it is asked for the first time.
private final class Lazy<Value> {
    private let make: () -> Value
    private(set) lazy var value = make()
    init(_ make: @escaping () -> Value) { self.make = make }
}
