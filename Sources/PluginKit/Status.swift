@_exported public import CBackplane

/// The result of a callback or a service (`bp_status`).
public struct Status: RawRepresentable, Equatable, Sendable {
    public let rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }
    init(_ constant: Int) { rawValue = Int32(truncatingIfNeeded: constant) }

    public static let ok = Status(BP_OK)
    /// The claim has no register here.
    public static let noRegister = Status(BP_NO_REGISTER)
    public static let badWidth = Status(BP_BAD_WIDTH)
    public static let deferred = Status(BP_DEFERRED)
    public static let fault = Status(BP_FAULT)
    public static let pending = Status(BP_PENDING)
    public static let busy = Status(BP_BUSY)
    public static let notFound = Status(BP_NOT_FOUND)
    public static let invalid = Status(BP_INVALID)
    public static let overlap = Status(BP_OVERLAP)
    public static let noMemory = Status(BP_NO_MEMORY)
    public static let refused = Status(BP_REFUSED)
    public static let stale = Status(BP_STALE)
    public static let ioError = Status(BP_IO_ERROR)
    public static let readOnly = Status(BP_READ_ONLY)
    public static let noSpace = Status(BP_NO_SPACE)
    public static let unsupported = Status(BP_UNSUPPORTED)
    public static let outOfRange = Status(BP_OUT_OF_RANGE)

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
    func check(_ doing: String) throws(PluginError) {
        if self != .ok { throw PluginError(doing + ": " + text, status: self) }
    }
}
