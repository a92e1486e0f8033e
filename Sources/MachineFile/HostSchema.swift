import Core

/// A JSON Schema (2020-12) of host files.
public func hostJSONSchema() -> String { HostSchema.document.written() + "\n" }

private enum HostSchema {
    static var document: JSON {
        [
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Backplane host file",
            "type": "object",
            "required": ["guests"],
            "additionalProperties": .bool(false),
            "properties": [
                "host": ["type": "string", "description": "A name for people."],
                "description": ["type": "string", "description": "What the host is for."],
                "guests": [
                    "type": "array", "minItems": .integer(1), "maxItems": .integer(Int64(GuestFiles.maximumGuests)),
                    "description": "The machines of one process, in the order of their numbers.", "items": guest,
                ],
            ],
        ]
    }

    private static var guest: JSON {
        [
            "type": "object", "required": ["file"], "additionalProperties": .bool(false),
            "properties": [
                "file": ["type": "string", "description": "A machine file, relative to this one."],
                "name": ["type": "string", "description": "The machine's name, in the place of its file's."],
                "engine": [
                    "enum": .array(EngineChoice.allCases.map { .text($0.rawValue) }),
                    "description": "In the place of the file's.",
                ],
                "set": [
                    "type": ["object", "null"], "description": "Parameters of the machine file.",
                    "additionalProperties": ["type": ["string", "number", "boolean", "null"]],
                ],
                "policies": [
                    "type": ["array", "string", "null"], "items": ["type": "string"],
                    "description": "For the head of the chain: NAME, NAME,property=value,... or id=NAME,...",
                ],
            ],
        ]
    }
}
