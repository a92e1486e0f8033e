public import Core

/// A JSON Schema (2020-12) of machine files made of these classes, so that an editor completes and checks them. It
/// knows shapes, names and simple bounds; wires and what a value means are checked by `loadMachineFile` only. Of
/// classes with one name and kind the first counts; `LIBRARY/CLASS` and paths are allowed and not looked into.
public func jsonSchema(classes: [ClassDescription]) -> String {
    MachineSchema(classes: classes).document.written() + "\n"
}

private struct MachineSchema {
    private let classes: [ClassDescription]

    init(classes: [ClassDescription]) {
        var seen: Set<String> = []
        self.classes = classes.filter { seen.insert(MachineSchema.key(of: $0)).inserted }
    }

    var document: JSON {
        [
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Backplane machine file",
            "type": "object",
            "properties": topLevel,
            "additionalProperties": .bool(false),
            "anyOf": [["required": ["machine", "memory"]], ["required": ["extends"]]],
            // A file that extends another may give only the keys that it changes.
            "if": ["not": ["required": ["extends"]]],
            "then": [
                "properties": .object(
                    InstanceGroup.lists.map {
                        ($0.key, ["items": ["required": ["id", "plugin"]]])
                    } + [("boot", ["required": ["plugin"]])])
            ],
            "$defs": .object(definitions),
        ]
    }

    // MARK: The top level

    private var topLevel: JSON {
        [
            "machine": ["type": "string", "description": "The machine's name."],
            "description": ["type": "string", "description": "What the machine is for."],
            "extends": [
                "type": "string",
                "description": "A machine file, relative to this one, whose keys and instances this one overrides.",
            ],
            "parameters": parameters,
            "cpu": cpu,
            "memory": PropertySchema.size.with([("description", "RAM: a multiple of 4KiB, 64KiB to 64GiB.")]),
            "boot": ["anyOf": [list(.boot), ["type": "null"]]],
            "policies": items(.policies, "Exit policies, the first asked first; none: standard."),
            "devices": items(.devices, "What the guest sees."),
            "backends": items(.backends, "The host's side of devices."),
            "clock": clock,
            "watchdog": [
                "anyOf": [["const": "off"], PropertySchema.duration],
                "description": "How long one plugin callback may take; off: for ever.",
            ],
            "on-fault": Self.reference("on-fault"),
        ]
    }

    private var parameters: JSON {
        let scalar: JSON = ["type": ["string", "number", "boolean", "null"]]
        let long: JSON = [
            "type": "object", "properties": ["default": scalar, "doc": ["type": "string"]],
            "additionalProperties": .bool(false),
        ]
        return [
            "type": ["object", "null"],
            "description": "Names for ${name}: the default, or null where --set must give it.",
            "propertyNames": ["pattern": "^[A-Za-z][A-Za-z0-9_-]*$"],
            "additionalProperties": ["anyOf": [scalar, long]],
        ]
    }

    private var cpu: JSON {
        [
            "type": "object", "additionalProperties": .bool(false),
            "properties": [
                "engine": PropertySchema.choice(EngineChoice.allCases.map(\.rawValue)),
                "interrupts": Self.reference("endpoint").with([
                    ("description", "The instance that answers the CPU's interrupt acknowledge cycle.")
                ]),
                "translate": PropertySchema.choice(Translation.allCases.map(\.rawValue)).with([
                    ("description", "When the software CPU makes host code: never, after a while, at once.")
                ]),
                "interpret": [
                    "description": "Instructions of which no host code is made, to find a fault.",
                    "anyOf": [Self.families, ["type": "array", "items": Self.families]],
                ],
                "count": ["anyOf": [["const": .integer(1)], PropertySchema.substitution]],
            ],
        ]
    }

    private static let families = PropertySchema.choice(TranslationFamily.allCases.map(\.rawValue))

    private var clock: JSON {
        [
            "type": "object", "additionalProperties": .bool(false),
            "properties": [
                "mode": PropertySchema.choice(ClockDescription.Mode.allCases.map(\.rawValue)),
                "wall-clock": [
                    "type": ["string", "integer"], "description": "UTC at power-on: ISO 8601, or seconds since 1970.",
                ],
                "entropy-seed": PropertySchema.number.with([("description", "Makes the machine's entropy repeat.")]),
            ],
        ]
    }

    // MARK: Instances

    private func list(_ group: InstanceGroup) -> JSON { Self.reference(group.kind.name) }

    private func items(_ group: InstanceGroup, _ doc: String) -> JSON {
        ["type": ["array", "null"], "description": .text(doc), "items": list(group)]
    }

    private var definitions: [(key: String, value: JSON)] {
        let common: [(key: String, value: JSON)] = [
            (
                "endpoint",
                ["type": "string", "pattern": "^([A-Za-z][A-Za-z0-9_-]*((\\.[0-9]+){0,2}|\\.[0-9]+-[0-9]+)$|.*\\$\\{)"]
            ),
            ("id", ["type": "string", "pattern": "^([A-Za-z][A-Za-z0-9_-]*$|.*\\$\\{)"]),
            ("on-fault", PropertySchema.choice(FaultPolicy.allCases.map(\.rawValue))),
            (
                "call",
                [
                    "anyOf": [
                        ["type": "string"],
                        [
                            "type": "object", "required": ["method"], "additionalProperties": .bool(false),
                            "properties": ["method": ["type": "string"], "arguments": ["type": "array"]],
                        ],
                    ]
                ]
            ),
        ]
        return common + ClassKind.allCases.map { ($0.name, kind($0)) }
            + classes.map { (MachineSchema.key(of: $0), definition($0)) }
    }

    /// An instance of any class of a kind.
    private func kind(_ kind: ClassKind) -> JSON {
        let own = classes.filter { $0.kind == kind }
        let names = own.map { type -> JSON in ["const": .text(type.name), "description": .text(type.summary)] }
        let other: JSON = ["type": "string", "pattern": "/|\\$\\{"]
        return [
            "type": "object",
            "properties": .object(commonProperties(plugin: ["anyOf": .array(names + [other])])),
            "allOf": .array(
                own.map { type in
                    [
                        "if": ["properties": ["plugin": ["const": .text(type.name)]], "required": ["plugin"]],
                        "then": Self.reference(MachineSchema.key(of: type)),
                    ]
                }),
        ]
    }

    private func commonProperties(plugin: JSON) -> [(key: String, value: JSON)] {
        [
            ("id", Self.reference("id")),
            ("plugin", plugin),
            ("on-fault", Self.reference("on-fault")),
            ("on-start", ["type": ["array", "null"], "items": Self.reference("call")]),
            (
                "remove",
                ["type": "boolean", "description": "Takes out the instance of the file that this one extends."]
            ),
        ]
    }

    private func definition(_ type: ClassDescription) -> JSON {
        let properties = type.properties.map { (key: $0.name, value: PropertySchema.schema(of: $0)) }
        let slots = type.slots.map { (key: $0.name, value: slot($0)) }
        let required =
            type.properties.filter { $0.isRequired && $0.defaultText == nil }.map(\.name)
            + type.slots.filter { !$0.isOptional }.map(\.name)
        return [
            "description": .text(type.summary),
            "properties": .object(commonProperties(plugin: .bool(true)) + properties + slots),
            "required": .array(required.map { .text($0) }),
            "additionalProperties": .bool(false),
        ]
    }

    private func slot(_ slot: SlotDescription) -> JSON {
        let one = Self.reference("endpoint")
        let many: JSON = ["type": "array", "items": one]
        var shapes: [JSON] = slot.isMany ? [one, many] : [one]
        if slot.isOptional { shapes.append(["type": "null"]) }
        let doc = [slot.doc, "Wired to \(slot.interface)."].filter { !$0.isEmpty }.joined(separator: " ")
        return ["anyOf": .array(shapes), "description": .text(doc)]
    }

    private static func key(of type: ClassDescription) -> String { "\(type.kind.name) \(type.name)" }

    private static func reference(_ name: String) -> JSON {
        let escaped = name.map { $0 == " " ? "%20" : $0 == "~" ? "~0" : $0 == "/" ? "~1" : String($0) }.joined()
        return ["$ref": .text("#/$defs/" + escaped)]
    }
}
