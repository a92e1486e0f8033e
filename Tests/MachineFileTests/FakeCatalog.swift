import Core
import MachineFile

/// Classes as the bundled plugins declare them, without libraries.
struct FakeCatalog: PluginCatalog {
    var classes = FakeCatalog.bundled
    /// Of `./name`: the library's file name, its classes.
    var local: [String: [ClassDescription]] = [:]

    var knownClassNames: [String] { classes.map(\.name) }

    func find(_ reference: PluginReference) -> Result<CatalogEntry, CatalogError> {
        if reference.name == "broken" {
            return .failure(.broken(path: "/lib/libbroken.so", reason: "undefined symbol: frobnicate"))
        }
        if let directory = reference.relativeTo {
            let path = directory + "/" + reference.name
            guard let type = local[path]?.first else { return .failure(.notFound(searched: [path], similar: [])) }
            return .success(CatalogEntry(libraryPath: path, type: type))
        }
        if let className = reference.className {
            guard reference.name == "pc" else {
                return .failure(.notFound(searched: ["/lib/backplane"], similar: []))
            }
            guard let type = classes.first(where: { $0.name == className }) else {
                return .failure(.noSuchClass(path: "/lib/libpc.so", classes: ["pic8259", "pit8254"]))
            }
            return .success(CatalogEntry(libraryPath: "/lib/libpc.so", type: type))
        }
        guard let type = classes.first(where: { $0.name == reference.name }) else {
            return .failure(.notFound(searched: ["/lib/backplane", "/opt/plugins"], similar: []))
        }
        return .success(CatalogEntry(libraryPath: "/lib/lib\(type.name).so", type: type))
    }

    static let bundled = policies + devices + backends + loaders + oddities

    static let policies = [
        ClassDescription(
            name: "standard", kind: .policy, summary: "The default decisions.",
            properties: [
                .init(
                    name: "unclaimed-port", type: .choice, defaultText: "float", doc: "What an unclaimed port does.",
                    choices: ["float", "log", "stop"]),
                .init(
                    name: "halt-forever", type: .choice, defaultText: "stop", doc: "What CLI and HLT mean.",
                    choices: ["stop", "power-off", "off"]),
            ]),
        ClassDescription(
            name: "stats", kind: .policy, summary: "Counts exits.",
            properties: [
                .init(name: "period", type: .duration, defaultText: "1s", bounds: 1_000_000...60_000_000_000),
                .init(name: "ports", type: .range, isList: true),
                .init(name: "label", type: .text),
            ]),
    ]

    static let devices = [
        ClassDescription(
            name: "pic8259", kind: .device, summary: "Two cascaded 8259A.",
            provided: [.init(interface: "irq-line/1", count: 16, isShared: true), .init(interface: "irq-controller/1")]),
        ClassDescription(
            name: "pit8254", kind: .device,
            properties: [.init(name: "at", type: .port, defaultText: "0x40", doc: "First of four ports.")],
            slots: [.init(name: "irq", interface: "irq-line/1", isOptional: true, doc: "Output of counter 0.")]),
        ClassDescription(
            name: "uart16550", kind: .device, summary: "A serial port.",
            properties: [
                .init(name: "at", type: .port, isRequired: true, doc: "First of eight ports."),
                .init(name: "clock", type: .unsigned, defaultText: "1_843_200", unit: "Hz", bounds: 1...100_000_000),
            ],
            slots: [
                .init(name: "irq", interface: "irq-line/1", isOptional: true),
                .init(name: "stream", interface: "stream/1", isOptional: true),
            ],
            methods: [
                .init(name: "set_divisor", parameters: [.init(name: "divisor", type: .u16)]),
                .init(name: "counters", result: .text),
            ]),
        ClassDescription(
            name: "ata", kind: .device,
            properties: [
                .init(name: "at", type: .port, isRequired: true), .init(name: "control", type: .port, isRequired: true),
            ],
            slots: [
                .init(name: "irq", interface: "irq-line/1", isOptional: true),
                .init(name: "block", interface: "block/1", doc: "The medium."),
            ],
            methods: [
                .init(name: "eject"),
                .init(
                    name: "insert",
                    parameters: [.init(name: "path", type: .text), .init(name: "readonly", type: .bool)],
                    result: .status),
            ]),
    ]

    static let backends = [
        ClassDescription(name: "terminal", kind: .backend, provided: [.init(interface: "stream/1")]),
        ClassDescription(
            name: "raw-file", kind: .backend,
            properties: [
                .init(name: "path", type: .path, isRequired: true),
                .init(
                    name: "mode", type: .choice, defaultText: "read-only",
                    choices: ["read-only", "read-write", "snapshot"]),
            ],
            provided: [.init(interface: "block/1")]),
    ]

    static let loaders = [
        ClassDescription(
            name: "multiboot", kind: .loader, summary: "Loads a Multiboot kernel.",
            properties: [
                .init(name: "kernel", type: .path, isRequired: true), .init(name: "arguments", type: .text),
                .init(name: "modules", type: .path, isList: true),
            ])
    ]

    /// Every type, and shapes of wires that the bundled ones lack.
    static let oddities = [
        ClassDescription(
            name: "kitchen", kind: .device,
            properties: [
                .init(name: "flag", type: .bool), .init(name: "number", type: .unsigned),
                .init(name: "small", type: .unsigned, doc: "A small number.", unit: "spoons", bounds: 1...12),
                .init(name: "offset", type: .signed, bounds: -10...10), .init(name: "size", type: .size),
                .init(name: "window", type: .size, bounds: 4096...1 << 20), .init(name: "delay", type: .duration),
                .init(name: "port", type: .port), .init(name: "base", type: .address),
                .init(name: "title", type: .text),
                .init(name: "file", type: .path),
                .init(name: "power", type: .choice, choices: ["on", "off", "null", "8"]),
                .init(name: "ports", type: .range), .init(name: "ratio", type: .float, bounds: 0...2),
                .init(name: "words", type: .text, isList: true, defaultText: "[one, 'two, three']"),
                .init(name: "numbers", type: .unsigned, isList: true, bounds: 0...255),
                .init(name: "rom", type: .path, defaultText: "default.rom"),
            ]),
        ClassDescription(
            name: "relay", kind: .device,
            slots: [.init(name: "next", interface: "relay/1", isOptional: true, isMany: true)],
            provided: [.init(interface: "relay/1", isShared: true)]),
        ClassDescription(
            name: "peer", kind: .device, slots: [.init(name: "other", interface: "peer/1", isOptional: true)],
            provided: [.init(interface: "peer/1", isShared: true, mayCycle: true)]),
        ClassDescription(
            name: "hub", kind: .device, slots: [.init(name: "inputs", interface: "stream/1", isMany: true)]),
        ClassDescription(
            name: "bundle", kind: .device, slots: [.init(name: "lines", interface: "irq-line/1", isMany: true)]),
        ClassDescription(
            name: "bad-default", kind: .device,
            properties: [.init(name: "delay", type: .duration, defaultText: "soon")]),
    ]
}
