public enum LogLevel: UInt32, Sendable, Comparable, CaseIterable {
    case trace = 0, debug, info, warning, error

    public static func < (a: LogLevel, b: LogLevel) -> Bool { a.rawValue < b.rawValue }
}

/// What an engine must be able to do for this machine: from what its policies want.
public struct EngineRequirements: Sendable {
    public struct Demand: Sendable, Equatable {
        /// Id of the policy.
        public var policy: String
        /// Basic exit reason, nil: precise injection.
        public var reason: UInt16?
        public var location: SourceLocation?
    }
    public var demands: [Demand]
    public var countedClock: Bool

    /// What `abilities` cannot deliver.
    public func unmet(by abilities: EngineAbilities) -> [Demand] {
        demands.filter { demand in
            demand.reason.map { !abilities.delivers(Int($0)) } ?? !abilities.preciseInject
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
}

extension ConsoleProvider {
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
    /// Time stands still unless `advance` says otherwise (the bench).
    public var manualClock: Bool
    /// Wires to instances that the description leaves out are left unwired instead of being an error (`show`).
    public var allowsMissingTargets = false
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
