@_exported public import CBackplane

/// The result of a callback or a service (`bp_status`). Its constants are computed: a global costs a call on every access.
public struct Status: RawRepresentable, Equatable, Sendable {
    public let rawValue: Int32
    @inlinable public init(rawValue: Int32) { self.rawValue = rawValue }
    @inlinable init(_ constant: Int) { rawValue = Int32(truncatingIfNeeded: constant) }

    @inlinable public static var ok: Status { Status(BP_OK) }
    /// The claim has no register here.
    @inlinable public static var noRegister: Status { Status(BP_NO_REGISTER) }
    @inlinable public static var badWidth: Status { Status(BP_BAD_WIDTH) }
    @inlinable public static var deferred: Status { Status(BP_DEFERRED) }
    @inlinable public static var fault: Status { Status(BP_FAULT) }
    @inlinable public static var pending: Status { Status(BP_PENDING) }
    @inlinable public static var busy: Status { Status(BP_BUSY) }
    @inlinable public static var notFound: Status { Status(BP_NOT_FOUND) }
    @inlinable public static var invalid: Status { Status(BP_INVALID) }
    @inlinable public static var overlap: Status { Status(BP_OVERLAP) }
    @inlinable public static var noMemory: Status { Status(BP_NO_MEMORY) }
    @inlinable public static var refused: Status { Status(BP_REFUSED) }
    @inlinable public static var stale: Status { Status(BP_STALE) }
    @inlinable public static var ioError: Status { Status(BP_IO_ERROR) }
    @inlinable public static var readOnly: Status { Status(BP_READ_ONLY) }
    @inlinable public static var noSpace: Status { Status(BP_NO_SPACE) }
    @inlinable public static var unsupported: Status { Status(BP_UNSUPPORTED) }
    @inlinable public static var outOfRange: Status { Status(BP_OUT_OF_RANGE) }

    /// In words, for messages.
    public var text: String {
        switch self {
        case .ok: "ok"
        case .noRegister: "no such register"
        case .badWidth: "bad width"
        case .deferred: "deferred"
        case .fault: "fault"
        case .pending: "pending"
        case .busy: "busy"
        case .notFound: "not found"
        case .invalid: "invalid"
        case .overlap: "overlaps something of equal priority"
        case .noMemory: "out of memory"
        case .refused: "refused"
        case .stale: "stale"
        case .ioError: "I/O error"
        case .readOnly: "read-only"
        case .noSpace: "no space left"
        case .unsupported: "not supported"
        case .outOfRange: "out of range"
        default: "unknown status"
        }
    }
}

/// What a callback throws: a sentence for the user, and the status that goes with it.
public struct PluginError: Error {
    public var text: String
    public var status: Status

    public init(_ text: String, status: Status = .invalid) {
        self.text = text
        self.status = status
    }
}

extension Status {
    /// Throws unless ok; `doing` names the operation: "claiming ports".
    func check(_ doing: @autoclosure () -> String) throws(PluginError) {
        if self != .ok { throw PluginError(doing() + ": " + text, status: self) }
    }
}
