public enum LogLevel: UInt32, Sendable, Comparable, CaseIterable {
    case trace = 0, debug, info, warning, error

    public static func < (a: LogLevel, b: LogLevel) -> Bool { a.rawValue < b.rawValue }
}

/// What an engine must be able to do for this machine: from what its policies want.
public struct EngineRequirements: Sendable {
    public enum Ability: Sendable, Equatable {
        /// By basic exit reason.
        case exit(UInt16)
        case preciseInject
        case countedInstructions
    }
    public struct Demand: Sendable, Equatable {
        /// Id of the policy.
        public var policy: String
        public var ability: Ability
        public var location: SourceLocation?
    }
    public var demands: [Demand]
    public var countedClock: Bool

    /// What `abilities` cannot deliver.
    public func unmet(by abilities: EngineAbilities) -> [Demand] {
        demands.filter { !abilities.has($0.ability) }
    }
}

extension EngineAbilities {
    public func has(_ ability: EngineRequirements.Ability) -> Bool {
        switch ability {
        case .exit(let reason): delivers(Int(reason))
        case .preciseInject: preciseInject
        case .countedInstructions: countedClock
        }
    }
}

extension EngineRequirements.Ability: CustomStringConvertible {
    /// As it follows "requires" or "cannot deliver": "the exit CPUID".
    public var description: String {
        switch self {
        case .exit(let reason): "the exit \(ExitReason.name(Int(reason)))"
        case .preciseInject: "the ability precise-inject"
        case .countedInstructions: "the count of instructions"
        }
    }
}

/// The terminal that the control plane owns, as machines use it.
public protocol ConsoleProvider: AnyObject, Sendable {
    /// A new client. Its bytes arrive by `ConsoleClient.receive`, at most as many as `ready` gave room for.
    func open(_ client: ConsoleClient)
    /// Called with the machine's lock held: must not block.
    func write(_ client: ConsoleClient, _ bytes: UnsafeRawBufferPointer)
    func ready(_ client: ConsoleClient, room: UInt64)
    func close(_ client: ConsoleClient)
    /// The client's input is a regular file that has not ended: what it asks for comes at once, or its `inputEnded` is called.
    func hasSteadyInput(_ client: ConsoleClient) -> Bool
    /// There is a window for clients that paint: a terminal that takes ECMA-48's control sequences.
    var hasWindow: Bool { get }
    /// Where the terminal's size is known, the client's `sized` is called. Must not block.
    func tellSize(_ client: ConsoleClient)
}

extension ConsoleProvider {
    public var hasWindow: Bool { false }
    public func tellSize(_ client: ConsoleClient) {}
    public func hasSteadyInput(_ client: ConsoleClient) -> Bool { false }
}

/// What a machine is made with, besides its description.
public struct MachineOptions {
    public typealias Log = @Sendable (_ level: LogLevel, _ instance: String?, _ text: String) -> Void
    /// Called once all instances are connected; nil: a machine without a CPU (the bench).
    public var makeEngine: ((EngineRequirements) throws(MachineError) -> any Engine)?
    public var log: Log
    public var logLevel: LogLevel
    public var console: (any ConsoleProvider)?
    /// Its place among the guests of the process; nil: it is alone.
    public var seat: GuestSeat?
    /// Time stands still unless `advance` says otherwise (the bench).
    public var manualClock: Bool
    /// Where the machine keeps the record of who is running (a `ch_machine`, zeroed): memory that another process sees too, and that
    /// outlives the machine. nil: its own.
    public var record: UnsafeMutableRawPointer?
    /// Called on the thread of a deferred access, without the lock, until its answer is there: brings it nearer. False: it will not
    /// come, and the access ends with all ones. nil: the thread sleeps until it comes.
    public var bringAnswer: (() -> Bool)?
    /// Wires to instances that the description leaves out are left unwired instead of being an error (`show`).
    public var allowsMissingTargets = false
    /// Set by `Machine.rehearse` alone.
    var rehearsal: RehearsalNotes?
    /// Gives the library of an instance; the default loads it from its file.
    public var loadLibrary: (InstanceDescription) throws(LibraryError) -> PluginLibrary

    public init(
        makeEngine: ((EngineRequirements) throws(MachineError) -> any Engine)?, log: @escaping Log,
        logLevel: LogLevel = .info, console: (any ConsoleProvider)? = nil, manualClock: Bool = false,
        loadLibrary: ((InstanceDescription) throws(LibraryError) -> PluginLibrary)? = nil
    ) {
        self.makeEngine = makeEngine
        self.log = log
        self.logLevel = logLevel
        self.console = console
        self.manualClock = manualClock
        if let loadLibrary {
            self.loadLibrary = loadLibrary
        } else {
            self.loadLibrary = MachineOptions.loadFile
        }
    }

    private static func loadFile(_ instance: InstanceDescription) throws(LibraryError) -> PluginLibrary {
        try PluginLibrary(path: instance.libraryPath)
    }
}
