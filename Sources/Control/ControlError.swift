import Glibc

/// A call of the host that the control plane cannot do without has failed.
public struct ControlError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What was tried: "opening the log file 'x.log'".
    public var operation: String
    /// An errno value, positive.
    public var code: Int32

    public init(_ operation: String, code: Int32) {
        self.operation = operation
        self.code = code
    }

    public var description: String { "\(operation): \(String(cString: strerror(code)))" }
}
