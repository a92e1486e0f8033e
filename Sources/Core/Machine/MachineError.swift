/// A machine could not be built or could not go on: a sentence that names the instance and the reason.
public struct MachineError: Error, Sendable, CustomStringConvertible {
    public var description: String
    /// The exit status that `run` ends with: 2 bad input, 4 plugin fault, 6 engine.
    public var status: Int32
    /// Where the machine file says it.
    public var location: SourceLocation?
    /// Where another file changes what is said there.
    public var overrides: [InstanceDescription.Override] = []

    public init(_ description: String, status: Int32 = 2, location: SourceLocation? = nil) {
        self.description = description
        self.status = status
        self.location = location
    }
}

/// How a machine ended.
public struct MachineEnd: Sendable, Equatable {
    /// The exit status of `run`.
    public var status: Int32
    /// One sentence; empty where the guest simply powered off.
    public var reason: String

    public init(status: Int32, reason: String) {
        self.status = status
        self.reason = reason
    }
}
