/// The files of a new plugin. Each template is a small plugin that works: scripts/check-installed.sh builds, tests and
/// loads it outside of this repository. In templates `@NAME@` and `@TYPE@` are replaced.
struct Scaffold {
    enum Language: String, CaseIterable {
        case swift, c, rust

        var title: String { self == .c ? "C" : rawValue.prefix(1).uppercased() + rawValue.dropFirst() }
    }

    enum Kind: String, CaseIterable {
        case device, pci, policy, backend

        var title: String { self == .pci ? "PCI device" : rawValue }
    }

    struct File: Equatable {
        /// Relative to the plugin's folder.
        var path: String
        var text: String
    }

    var name: String
    var language: Language
    var kind: Kind

    static let maximumNameLength = 48

    /// What is wrong with the name, as a sentence; nil: nothing.
    static func problem(withName name: String, _ language: Language) -> String? {
        let bytes = Array(name.utf8)
        let isWord = bytes.allSatisfy { (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2d }
        guard let first = bytes.first, (0x61...0x7a).contains(first), isWord, bytes.last != 0x2d, !name.contains("--")
        else {
            return "'\(name)' is not a plugin's name: a lower-case letter, then lower-case letters, digits and single "
                + "hyphens"
        }
        guard bytes.count <= maximumNameLength else {
            return "'\(name)' is too long for a plugin's name: \(maximumNameLength) characters at most"
        }
        // The folder's name is the package's identity, and PluginKit is the package that it depends on.
        if language == .swift, name == "pluginkit" { return "'pluginkit' is the name of the package that plugins use" }
        return nil
    }

    /// `port-counter` is `PortCounter`; modules and types get a suffix, so that `clock` meets no `Clock`.
    var typeName: String {
        name.split(separator: "-").map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
    }

    /// nil: there is no template of this kind in this language.
    var files: [File]? {
        let own: [File]
        switch (language, kind) {
        case (.c, .device): own = ScaffoldC.device
        case (.c, .pci): own = ScaffoldC.pci
        case (.c, .policy): own = ScaffoldC.policy
        case (.swift, .device): own = ScaffoldSwift.device
        case (.c, .backend): own = ScaffoldC.backend
        case (.swift, .pci): own = ScaffoldSwift.pci
        case (.swift, .policy): own = ScaffoldSwift.policy
        case (.swift, .backend): own = ScaffoldSwift.backend
        case (.rust, .device): own = ScaffoldRust.device
        case (.rust, .pci): return nil
        case (.rust, .policy): own = ScaffoldRust.policy
        case (.rust, .backend): own = ScaffoldRust.backend
        }
        return (own + common).map { File(path: filled($0.path), text: filled($0.text)) }
    }

    private var common: [File] {
        [
            File(path: "machine.yaml", text: machine),
            File(path: "README.md", text: ScaffoldText.readme(kind, language)),
            File(path: ".gitignore", text: ".build/\n/target/\n*.so\n/test-unit\n"),
        ]
    }

    private func filled(_ text: String) -> String {
        text.replacing("@NAME@", with: name).replacing("@TYPE@", with: typeName)
    }

    private var machine: String {
        switch kind {
        case .device: deviceMachine
        case .pci: pciMachine
        case .policy: policyMachine
        case .backend: backendMachine
        }
    }

    private var deviceMachine: String {
        """
        # Checked by `make test`. Give it a `boot:` and it runs: backplane run machine.yaml
        machine: @NAME@-test
        cpu: { engine: auto, interrupts: pic }
        memory: 1MiB
        devices:
          - { id: pic, plugin: pic8259 }
          - { id: card, plugin: ./@NAME@, at: 0x2e0, limit: 10, irq: pic.5 }

        """
    }

    private var pciMachine: String {
        """
        # Checked by `make test`. Give it a `boot:` and it runs: backplane run machine.yaml
        machine: @NAME@-test
        cpu: { engine: auto, interrupts: pic }
        memory: 1MiB
        devices:
          - { id: pci, plugin: i440fx, pirq: [isa.0, isa.1, isa.2, isa.3] }
          - { id: isa, plugin: piix3, bus: pci.1, irq: [pic.3, pic.4, pic.5, pic.6, pic.7, pic.9, pic.10, pic.11, pic.12, pic.14, pic.15] }
          - { id: pic, plugin: pic8259 }
          - { id: card, plugin: ./@NAME@, bus: pci.4, limit: 10 }

        """
    }

    private var policyMachine: String {
        """
        # Checked by `make test`. Give it a `boot:` and it runs: backplane run machine.yaml
        machine: @NAME@-test
        memory: 1MiB
        policies:
          - { id: mine, plugin: ./@NAME@, ports: 0x80-0x8f, reads-as: 0 }
          - { id: rules, plugin: standard }

        """
    }

    private var backendMachine: String {
        """
        # Checked by `make test`. Give it a `boot:` and it runs: backplane run machine.yaml
        machine: @NAME@-test
        cpu: { engine: auto, interrupts: pic }
        memory: 1MiB
        devices:
          - { id: pic, plugin: pic8259 }
          - { id: com1, plugin: uart16550, at: 0x3f8, irq: pic.4, stream: back }
        backends:
          - { id: back, plugin: ./@NAME@, upper-case: on }

        """
    }
}
