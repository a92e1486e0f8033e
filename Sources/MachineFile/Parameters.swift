import Core

/// A parameter's value from outside the machine file.
struct Setting {
    var name: String
    var value: ScalarText
    /// Of the option, or in the host file.
    var location: SourceLocation
    /// Meant for all guests that have the parameter: it is no error where one has not.
    var isShared = false
}

/// `parameters:`, `--set`, and `${name}` in scalars.
///
/// A parameter's default may name other parameters. The text of a default belongs to the file that it stands in, the
/// text of `--set` to the working directory: a path that begins with `${name}` is relative to that.
final class Parameters {
    private struct Declaration {
        var location: SourceLocation
        /// nil: required.
        var initial: (text: ScalarText, location: SourceLocation)?
        /// What is wrong with it has been said.
        var isBroken = false
    }

    private enum Resolution {
        case text(ScalarText)
        case failed
    }

    static let maximumDepth = 16
    static let maximumBytes = 1 << 16
    private var budget = 16 << 20

    private let reporter: Reporter
    /// Of a name the last one counts.
    private var settings: [String: Setting] = [:]
    private var settingNames: [String] = []
    private var declarations: [String: Declaration] = [:]
    /// Of the declarations, in order.
    private var names: [String] = []
    private var resolved: [String: Resolution] = [:]
    private var resolving: [String] = []
    private var used: Set<String> = []

    init(settings: [Setting], reporter: Reporter) {
        self.reporter = reporter
        for setting in settings where self.settings.updateValue(setting, forKey: setting.name) == nil {
            settingNames.append(setting.name)
        }
    }

    // MARK: Declarations

    /// Adds the parameters of a file; those of a file that extends it were added before, and count.
    func declare(_ node: YAMLNode) {
        guard !node.isNull else { return }
        guard let mapping = node.mapping else {
            return reporter.error(node.location, "parameters are a mapping of names to defaults, not \(node.kindName)")
        }
        for entry in mapping.entries where declarations[entry.key] == nil {
            guard Identifier.isValid(entry.key) else {
                reporter.error(
                    entry.keyLocation, "\(Printable.quoted(entry.key)) is not a parameter's name: \(Identifier.rule)")
                continue
            }
            declarations[entry.key] = declaration(entry)
            names.append(entry.key)
        }
    }

    private func declaration(_ entry: YAMLMapping.Entry) -> Declaration {
        var declaration = Declaration(location: entry.keyLocation)
        var value: YAMLNode? = entry.value
        if let mapping = entry.value.mapping {
            Keys.check(mapping, known: ["default", "doc"], of: "parameter \(entry.key)", reporter)
            value = mapping["default"]?.value
        }
        guard let value, !value.isNull else { return declaration }
        if let text = value.scalar {
            declaration.initial = (text, value.location)
        } else {
            reporter.error(
                value.location, "the default of parameter \(entry.key) is a single value, not \(value.kindName)")
            declaration.isBroken = true
        }
        return declaration
    }

    /// Reports settings that no file declares, and those that change nothing. Call it when all else is done.
    func checkSettings() {
        for name in settingNames {
            guard let setting = settings[name], !setting.isShared else { continue }
            let location = setting.location
            if declarations[name] == nil {
                let list = names.isEmpty ? "it has none" : "it has " + names.joined(separator: ", ")
                reporter.error(
                    location,
                    "this machine has no parameter \(Printable.quoted(name))"
                        + reporter.hint(for: name, in: names), notes: [.init(list)])
            } else if !used.contains(name) {
                reporter.warning(location, "no value of this machine uses the parameter")
            }
        }
    }

    /// The names that the files declare, in order.
    var declaredNames: [String] { names }
    /// Whether a value of the machine uses the parameter.
    func isUsed(_ name: String) -> Bool { used.contains(name) }

    // MARK: Substitution

    /// A whole tree with its scalars substituted; what cannot be is broken.
    func substituted(_ node: YAMLNode) -> YAMLNode {
        var node = node
        switch node.content {
        case .scalar(let scalar):
            node.content = substituted(scalar, at: node.location).map { .scalar($0) } ?? .broken
        case .sequence(let items):
            node.content = .sequence(items.map(substituted))
        case .mapping(let mapping):
            node.content = .mapping(substituted(mapping))
        case .broken:
            break
        }
        return node
    }

    func substituted(_ mapping: YAMLMapping) -> YAMLMapping {
        YAMLMapping(
            mapping.entries.map { entry in
                .init(key: entry.key, keyLocation: entry.keyLocation, value: substituted(entry.value))
            })
    }

    /// nil: reported.
    func substituted(_ scalar: ScalarText, at location: SourceLocation) -> ScalarText? {
        guard scalar.text.utf8.contains(UInt8(ascii: "$")) else { return scalar }
        do throws(ValueError) {
            return try assembled(Template(scalar.text), of: scalar)
        } catch {
            if !error.message.isEmpty { reporter.error(location, error.message) }
            return nil
        }
    }

    /// Throws an empty message where the cause is reported elsewhere.
    private func assembled(_ template: Template, of scalar: ScalarText) throws(ValueError) -> ScalarText {
        var result = ScalarText("", directory: scalar.directory)
        for (position, piece) in template.pieces.enumerated() {
            switch piece {
            case .literal(let text):
                result.text += text
            case .reference(let name):
                let value = try value(of: name)
                if position == 0 { result.directory = value.directory }
                result.text += value.text
            }
            guard result.text.utf8.count <= Parameters.maximumBytes else {
                throw ValueError("with its parameters this value is longer than 64KiB")
            }
        }
        budget -= result.text.utf8.count
        guard budget >= 0 else { throw ValueError("parameters blow this file up to more than 16MiB") }
        return result
    }

    private func value(of name: String) throws(ValueError) -> ScalarText {
        used.insert(name)
        guard let declaration = declarations[name] else {
            throw ValueError(
                "there is no parameter \(Printable.quoted(name))"
                    + reporter.hint(for: name, in: names))
        }
        if let setting = settings[name] { return setting.value }
        if resolving.contains(name) {
            throw ValueError(
                "the parameter \(name) is made of itself: " + (resolving + [name]).joined(separator: " -> "))
        }
        let resolution = resolved[name] ?? resolve(name, declaration)
        resolved[name] = resolution
        guard case .text(let text) = resolution else { throw ValueError("") }
        return text
    }

    private func resolve(_ name: String, _ declaration: Declaration) -> Resolution {
        guard !declaration.isBroken else { return .failed }
        guard let initial = declaration.initial else {
            reporter.error(
                declaration.location,
                "the parameter \(Printable.quoted(name)) has no value: give it with --set \(name)=VALUE")
            return .failed
        }
        guard resolving.count < Parameters.maximumDepth else {
            reporter.error(
                initial.location, "parameters made of parameters are at most \(Parameters.maximumDepth) deep")
            return .failed
        }
        resolving.append(name)
        defer { resolving.removeLast() }
        return substituted(initial.text, at: initial.location).map { .text($0) } ?? .failed
    }
}
