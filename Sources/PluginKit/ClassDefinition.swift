/// A property of a class: what the machine file may say of an instance.
public struct Property {
    public enum Kind: UInt16, Sendable {
        case bool = 1, unsigned, signed, size, duration, port, address, text, path, choice, range, float
    }

    var name: StaticString
    var kind: Kind
    var defaultValue: StaticString?
    var doc: StaticString
    var unit: StaticString?
    var choices: [StaticString]
    var bounds: ClosedRange<Int64>?
    var isRequired: Bool
    var isList: Bool
    var isLive: Bool

    /// `default` is written as in the machine file. `bounds` are checked by the host, of a list for each item.
    public init(
        _ name: StaticString, _ kind: Kind, default defaultValue: StaticString? = nil, required: Bool = false,
        list: Bool = false, live: Bool = false, unit: StaticString? = nil, choices: [StaticString] = [],
        bounds: ClosedRange<Int64>? = nil, doc: StaticString
    ) {
        self.name = name
        self.kind = kind
        self.defaultValue = defaultValue
        self.doc = doc
        self.unit = unit
        self.choices = choices
        self.bounds = bounds
        isRequired = required
        isList = list
        isLive = live
    }
}

/// A named place to be wired.
public struct Slot {
    var name: StaticString
    var interface: StaticString
    var isOptional: Bool
    var isMany: Bool
    var client: UnsafeRawPointer?
    var doc: StaticString

    /// `client`: the client's function table, for an interface of the plugin's own; those of the header come by themselves.
    public init(
        _ name: StaticString, _ interface: StaticString, optional: Bool = false, many: Bool = false,
        client: UnsafeRawPointer? = nil, doc: StaticString
    ) {
        self.name = name
        self.interface = interface
        isOptional = optional
        isMany = many
        self.client = client ?? Tables.client(of: interface)
        self.doc = doc
    }
}

/// An interface that the class provides.
public struct Provides {
    var interface: StaticString
    var count: UInt32
    var isShared: Bool
    var mayCycle: Bool
    var descriptor: UnsafePointer<bp_interface>?
    var doc: StaticString

    public init(
        _ interface: StaticString, count: UInt32 = 1, shared: Bool = false, mayCycle: Bool = false,
        descriptor: UnsafePointer<bp_interface>? = nil, doc: StaticString
    ) {
        self.interface = interface
        self.count = count
        isShared = shared
        self.mayCycle = mayCycle
        self.descriptor = descriptor
        self.doc = doc
    }
}

/// A method: an ordinary C function, called by name with checked arguments.
public struct Method {
    public enum Kind: UInt32, Sendable {
        case void = 0, bool, u8, u16, u32, u64, i64, f64, text, status
    }

    var name: StaticString
    var parameters: [(name: StaticString, kind: Kind)]
    var result: Kind
    var doc: StaticString
    var function: @convention(c) () -> Void

    /// `function` has C convention and takes (self: UnsafeMutableRawPointer?, parameters...): a Bool is a UInt8, text an
    /// UnsafePointer<CChar>?. A `.text` result goes by `host.reply`, and the function returns nothing.
    public init<F>(
        _ name: StaticString, _ parameters: [(name: StaticString, kind: Kind)] = [], result: Kind = .void,
        doc: StaticString, function: F
    ) {
        self.name = name
        self.parameters = parameters
        self.result = result
        self.doc = doc
        // SAFETY: a C function pointer of any signature; libffi calls it with the declared one.
        self.function = unsafeBitCast(function, to: (@convention(c) () -> Void).self)
    }
}

/// What the machine file names by `plugin:`.
public final class ClassDefinition: @unchecked Sendable {
    public typealias Make = (Host, Values) throws(PluginError) -> Instance
    /// Says whether `Make` would succeed, and changes nothing outside of the process: see `check` of `bp_class`.
    public typealias Check = (Host, Values) throws(PluginError) -> Void

    enum Kind: UInt16 { case device = 1, policy, loader, backend }

    let kind: Kind
    let name: StaticString
    let summary: StaticString
    let properties: [Property]
    let slots: [Slot]
    let provides: [Provides]
    let methods: [Method]
    let firmware: [FirmwareNode]
    let stateVersion: UInt32
    let isSavable: Bool
    let check: Check?
    let make: Make
    let propertyNames: [String]

    init(
        _ kind: Kind, _ name: StaticString, summary: StaticString, properties: [Property], slots: [Slot],
        provides: [Provides], methods: [Method], firmware: [FirmwareNode] = [], stateVersion: UInt32, savable: Bool,
        check: Check?, make: @escaping Make
    ) {
        self.firmware = firmware
        self.kind = kind
        self.name = name
        self.summary = summary
        self.properties = properties
        self.slots = slots
        self.provides = provides
        self.methods = methods
        self.stateVersion = stateVersion
        self.check = check
        self.make = make
        isSavable = savable
        propertyNames = properties.map { $0.name.description }
    }

    public static func device(
        _ name: StaticString, summary: StaticString, properties: [Property] = [], slots: [Slot] = [],
        provides: [Provides] = [], methods: [Method] = [], firmware: [FirmwareNode] = [], stateVersion: UInt32 = 1,
        savable: Bool = true, check: Check? = nil, make: @escaping Make
    ) -> ClassDefinition {
        ClassDefinition(
            .device, name, summary: summary, properties: properties, slots: slots, provides: provides,
            methods: methods, firmware: firmware, stateVersion: stateVersion, savable: savable, check: check,
            make: make)
    }

    public static func policy(
        _ name: StaticString, summary: StaticString, properties: [Property] = [], slots: [Slot] = [],
        methods: [Method] = [], stateVersion: UInt32 = 1, savable: Bool = true,
        check: Check? = nil, make: @escaping Make
    ) -> ClassDefinition {
        ClassDefinition(
            .policy, name, summary: summary, properties: properties, slots: slots, provides: [],
            methods: methods, stateVersion: stateVersion, savable: savable, check: check,
            make: make)
    }

    public static func loader(
        _ name: StaticString, summary: StaticString, properties: [Property] = [], slots: [Slot] = [],
        methods: [Method] = [], check: Check? = nil, make: @escaping Make
    ) -> ClassDefinition {
        ClassDefinition(
            .loader, name, summary: summary, properties: properties, slots: slots, provides: [],
            methods: methods, stateVersion: 1, savable: true, check: check, make: make)
    }

    public static func backend(
        _ name: StaticString, summary: StaticString, properties: [Property] = [], slots: [Slot] = [],
        provides: [Provides] = [], methods: [Method] = [], stateVersion: UInt32 = 1, savable: Bool = true,
        check: Check? = nil, make: @escaping Make
    ) -> ClassDefinition {
        ClassDefinition(
            .backend, name, summary: summary, properties: properties, slots: slots, provides: provides,
            methods: methods, stateVersion: stateVersion, savable: savable, check: check,
            make: make)
    }
}
