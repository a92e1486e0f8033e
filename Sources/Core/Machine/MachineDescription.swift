/// Where something stands in a machine file.
public struct SourceLocation: Sendable, Equatable, Hashable, CustomStringConvertible {
    public var file: String
    /// From 1; 0: not from a file (`--policy`, `--set`), and `file` says from where.
    public var line: Int
    public var column: Int

    public init(file: String, line: Int, column: Int) {
        self.file = file
        self.line = line
        self.column = column
    }

    public var description: String { line == 0 ? file : "\(file):\(line):\(column)" }
}

/// One end of a wire: `pic.4`.
public struct Endpoint: Sendable, Equatable, Hashable {
    public var instance: String
    public var index: UInt32

    public init(instance: String, index: UInt32) {
        self.instance = instance
        self.index = index
    }

    /// As a machine file has it: `pic.4`; of a PCI bus `pci.3` and `pci.3.1`.
    public func text(of interface: String) -> String {
        guard interface == "pci/1" else { return "\(instance).\(index)" }
        return "\(instance).\(index >> 3)" + (index & 7 == 0 ? "" : ".\(index & 7)")
    }
}

public enum EngineChoice: String, Sendable, CaseIterable { case auto, kvm, soft }

/// When the software CPU turns a block of guest code into host code.
public enum Translation: String, Sendable, CaseIterable {
    case off
    /// Once it has run for a while.
    case on
    /// As soon as it is decoded: for tests.
    case always
    /// As `always`, and what host code does is compared with what the interpreter does.
    case check
}

/// Instructions of one kind: which of them the software CPU's translator leaves to the interpreter can be told, to find out whose fault something is.
public enum TranslationFamily: String, Sendable, CaseIterable {
    /// Moves, arithmetic, logic, conditions.
    case integer
    case shift
    case multiply
    case stack
    /// Jumps, calls and returns: blocks end in the interpreter.
    case control
    case locked
    case sse
    case x87
    /// No kind of instruction: loops are not emitted as a whole, but by their blocks alone.
    case loops
}

/// What happens to a machine when a plugin's callback answers BP_FAULT.
public enum FaultPolicy: String, Sendable, CaseIterable {
    case stop, reset
    /// The device's claims float and its pins drop; the guest goes on.
    case offline
}

/// A whole machine, validated: every name resolved, every value typed, every wire checked against both classes.
public struct MachineDescription: Sendable {
    public var name: String
    public var engine: EngineChoice
    public var translation = Translation.on
    /// What is never translated.
    public var interpreted: Set<TranslationFamily> = []
    /// What answers the CPU's INTA cycle; nil: no external interrupts.
    public var interrupts: Endpoint?
    public var cpuCount: Int
    /// Bytes of RAM, a multiple of 4 KiB.
    public var memory: UInt64
    /// Policies in chain order, devices, backends, and the loader last; each group in file order.
    public var instances: [InstanceDescription]
    public var clock: ClockDescription
    /// How long one plugin callback may take before the watchdog ends the process, in nanoseconds; 0: never.
    public var watchdog: UInt64

    public init(
        name: String, engine: EngineChoice = .auto, interrupts: Endpoint? = nil, cpuCount: Int = 1, memory: UInt64,
        instances: [InstanceDescription], clock: ClockDescription = .init(), watchdog: UInt64 = 10_000_000_000
    ) {
        self.name = name
        self.engine = engine
        self.interrupts = interrupts
        self.cpuCount = cpuCount
        self.memory = memory
        self.instances = instances
        self.clock = clock
        self.watchdog = watchdog
    }
}

public struct ClockDescription: Sendable, Equatable {
    public enum Mode: String, Sendable, CaseIterable { case real, counted }
    public var mode: Mode
    /// UTC seconds since 1970 at power-on; nil: the host's.
    public var wallClock: Int64?
    /// Seed of `host/1` entropy; nil: the host's.
    public var entropySeed: UInt64?

    public init(mode: Mode = .real, wallClock: Int64? = nil, entropySeed: UInt64? = nil) {
        self.mode = mode
        self.wallClock = wallClock
        self.entropySeed = entropySeed
    }
}

public struct InstanceDescription: Sendable {
    /// A call of one of the class's methods, made once before the first start.
    public struct Call: Sendable {
        public var method: String
        /// As text, converted by the method's declared parameter types (already checked to convert).
        public var arguments: [String]
        public var location: SourceLocation

        public init(method: String, arguments: [String], location: SourceLocation) {
            self.method = method
            self.arguments = arguments
            self.location = location
        }
    }

    public struct Wire: Sendable, Equatable {
        /// Position in the class's `slots`.
        public var slot: Int
        /// Position in the slot; 0 unless it takes many.
        public var position: Int
        public var target: Endpoint
        public var location: SourceLocation

        public init(slot: Int, position: Int, target: Endpoint, location: SourceLocation) {
            self.slot = slot
            self.position = position
            self.target = target
            self.location = location
        }
    }

    public var id: String
    /// Of the library file.
    public var libraryPath: String
    public var type: ClassDescription
    /// One for each of the class's properties; nil: neither given nor defaulted.
    public var values: [Value?]
    /// Whether the machine file gives the value, one for each property.
    public var isGiven: [Bool]
    public var wires: [Wire]
    public var onStart: [Call]
    public var onFault: FaultPolicy
    /// Where its id is first written.
    public var location: SourceLocation
    /// What files that extend that one's say of it: the names of the keys, and where the first of them is.
    public var overrides: [Override]

    public struct Override: Sendable, Equatable {
        public var keys: [String]
        public var location: SourceLocation

        public init(keys: [String], location: SourceLocation) {
            self.keys = keys
            self.location = location
        }
    }

    public init(
        id: String, libraryPath: String, type: ClassDescription, values: [Value?], isGiven: [Bool],
        wires: [Wire] = [], onStart: [Call] = [], onFault: FaultPolicy = .stop, location: SourceLocation,
        overrides: [Override] = []
    ) {
        self.id = id
        self.libraryPath = libraryPath
        self.type = type
        self.values = values
        self.isGiven = isGiven
        self.wires = wires
        self.onStart = onStart
        self.onFault = onFault
        self.location = location
        self.overrides = overrides
    }
}
