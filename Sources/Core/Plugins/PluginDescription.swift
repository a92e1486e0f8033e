// What a plugin library says of itself, copied out of its C descriptor and checked (`DescriptorReader`), so that everything
// past the ABI edge is plain Swift values.

/// A library and the classes that it holds.
public struct PluginDescription: Sendable, Equatable, Codable {
    public var name: String
    public var version: String
    public var summary: String
    public var licence: String
    public var abiMajor: UInt16
    /// The lowest ABI minor that the library needs.
    public var abiMinor: UInt16
    public var unloadable: Bool
    public var classes: [ClassDescription]

    public init(
        name: String, version: String, summary: String, licence: String, abiMajor: UInt16, abiMinor: UInt16,
        unloadable: Bool = false, classes: [ClassDescription]
    ) {
        self.name = name
        self.version = version
        self.summary = summary
        self.licence = licence
        self.abiMajor = abiMajor
        self.abiMinor = abiMinor
        self.unloadable = unloadable
        self.classes = classes
    }
}

public enum ClassKind: UInt16, Sendable, Codable, CaseIterable {
    case device = 1
    case policy = 2
    case loader = 3
    case backend = 4

    public var name: String {
        switch self {
        case .device: "device"
        case .policy: "policy"
        case .loader: "loader"
        case .backend: "backend"
        }
    }
}

/// One class of a library: what the machine file names by `plugin:`.
public struct ClassDescription: Sendable, Equatable, Codable {
    public var name: String
    public var kind: ClassKind
    public var summary: String
    public var properties: [PropertyDescription]
    public var slots: [SlotDescription]
    public var provided: [ProvidedDescription]
    public var methods: [MethodDescription]
    public var firmware: [FirmwareNodeDescription] = []
    public var savable: Bool
    public var stateVersion: UInt32

    public init(
        name: String, kind: ClassKind, summary: String = "", properties: [PropertyDescription] = [],
        slots: [SlotDescription] = [], provided: [ProvidedDescription] = [], methods: [MethodDescription] = [],
        savable: Bool = true, stateVersion: UInt32 = 1
    ) {
        self.name = name
        self.kind = kind
        self.summary = summary
        self.properties = properties
        self.slots = slots
        self.provided = provided
        self.methods = methods
        self.savable = savable
        self.stateVersion = stateVersion
    }
}

public struct PropertyDescription: Sendable, Equatable, Codable {
    public var name: String
    public var type: ValueType
    public var isList: Bool
    public var isRequired: Bool
    /// May be set while the machine runs.
    public var isLive: Bool
    /// As it would be written in the machine file; nil: none.
    public var defaultText: String?
    public var doc: String
    public var unit: String?
    /// Of `.choice`.
    public var choices: [String]
    /// Of numbers (of a list: of each item), both ends inclusive.
    public var bounds: ClosedRange<Int64>?

    public init(
        name: String, type: ValueType, isList: Bool = false, isRequired: Bool = false, isLive: Bool = false,
        defaultText: String? = nil, doc: String = "", unit: String? = nil, choices: [String] = [],
        bounds: ClosedRange<Int64>? = nil
    ) {
        self.name = name
        self.type = type
        self.isList = isList
        self.isRequired = isRequired
        self.isLive = isLive
        self.defaultText = defaultText
        self.doc = doc
        self.unit = unit
        self.choices = choices
        self.bounds = bounds
    }
}

public struct SlotDescription: Sendable, Equatable, Codable {
    public var name: String
    /// "irq-line/1"
    public var interface: String
    public var isOptional: Bool
    /// Takes a list of endpoints.
    public var isMany: Bool
    public var doc: String

    public init(name: String, interface: String, isOptional: Bool = false, isMany: Bool = false, doc: String = "") {
        self.name = name
        self.interface = interface
        self.isOptional = isOptional
        self.isMany = isMany
        self.doc = doc
    }
}

public struct ProvidedDescription: Sendable, Equatable, Codable {
    public var interface: String
    /// `instance.0` ... `instance.(count - 1)`; with 1, `instance` alone names it too.
    public var count: UInt32
    /// Any number of wires to one index; otherwise one.
    public var isShared: Bool
    public var mayCycle: Bool
    public var doc: String

    public init(
        interface: String, count: UInt32 = 1, isShared: Bool = false, mayCycle: Bool = false, doc: String = ""
    ) {
        self.interface = interface
        self.count = count
        self.isShared = isShared
        self.mayCycle = mayCycle
        self.doc = doc
    }
}

public struct MethodDescription: Sendable, Equatable, Codable {
    public struct Parameter: Sendable, Equatable, Codable {
        public var name: String
        public var type: WireType

        public init(name: String, type: WireType) {
            self.name = name
            self.type = type
        }
    }

    public var name: String
    public var doc: String
    public var parameters: [Parameter]
    public var result: WireType

    public init(name: String, doc: String = "", parameters: [Parameter] = [], result: WireType = .void) {
        self.name = name
        self.doc = doc
        self.parameters = parameters
        self.result = result
    }

    /// `insert(path: text, readonly: bool) -> status`
    public var signature: String {
        let list = parameters.map { "\($0.name): \($0.type.name)" }.joined(separator: ", ")
        return "\(name)(\(list))" + (result == .void ? "" : " -> \(result.name)")
    }
}

/// What an instance of the class is to an operating system that has to be told of it (`bp_firmware_node`).
public struct FirmwareNodeDescription: Sendable, Equatable, Codable {
    public enum Role: UInt16, Sendable, Codable {
        case device, hostBridge, isaBridge, lines, localAPIC, ioAPIC, power

        var makesDevice: Bool { self == .device || self == .hostBridge || self == .isaBridge }
    }

    /// nil: a function of a PCI bus, or no device.
    public var hid: String?
    public var role: Role
    /// BP_NODE_*
    public var flags: UInt16
    public var cids: [String]
    /// nil: all that the instance has.
    public var claims: [String]?
    public var slots: [String]?
    public var links: [String]
    public var amlLength: Int
}

/// Types of properties (`BP_BOOL`...).
public enum ValueType: UInt16, Sendable, Codable, CaseIterable {
    case bool = 1, unsigned, signed, size, duration, port, address, text, path, choice, range, float

    public var name: String { String(describing: self) }
}

/// Types of parameters and results (`BP_T_VOID`...).
public enum WireType: UInt16, Sendable, Codable, CaseIterable {
    case void = 0, bool, u8, u16, u32, u64, i64, f64, text, status
    case inBuffer, outBuffer, inStruct, outStruct, pointer
    /// A pointer to one that the callee fills in.
    case outU32, outU64

    public var name: String { String(describing: self) }

    /// The callee writes there.
    var isOut: Bool { [.outBuffer, .outStruct, .outU32, .outU64].contains(self) }

    /// Methods take only these.
    public var isMethodType: Bool { rawValue <= WireType.status.rawValue }
}
