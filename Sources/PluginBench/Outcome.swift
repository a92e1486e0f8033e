/// Something that the plugin did to the world outside, seen by one of the bench's peers.
public struct Effect: Equatable, Sendable {
    public enum Kind: UInt8, Sendable {
        /// Interrupt line `index` went to `value`.
        case line
        /// The byte `value` came out of stream `index`.
        case output
        /// BP_STREAM_* `value` came from stream `index`.
        case event
        /// Stream `index` says on or off.
        case throttle
        /// A request for disk `index`: operation in bits 63:62, count in 61:32, sector below.
        case request
        /// All requests of disk `index` are cancelled.
        case cancel
        /// A frame came out of net `index`: a hash of it in 47:0, its length above.
        case frame
        /// Net `index` says that its link is up or down.
        case link
        /// A function of an end of the bench's own making was called: the end in 31:8 of the index, the function below; a hash of what
        /// it was given.
        case call
        /// A request of the bench's ended with status `value`.
        case completion
        /// The machine is asked to end with status `value`.
        case end
        case reset
        /// The access was deferred.
        case deferred
        /// The console got the byte `value`.
        case console
    }
    public var kind: Kind
    public var index: UInt32
    public var value: UInt64
    /// Virtual nanoseconds.
    public var time: UInt64

    public init(kind: Kind, index: UInt32, value: UInt64, time: UInt64) {
        self.kind = kind
        self.index = index
        self.value = value
        self.time = time
    }

    var text: String { "\(kind) \(index): \(hex(value)) at \(time)ns" }
}

/// What an operation came to. Two instances in the same state give equal outcomes.
public struct Outcome: Equatable, Sendable {
    /// Read; of a stream's input: how many bytes there was room for; of `acknowledge`: the vector, all ones without
    /// one.
    public var value: UInt64 = 0
    /// Of a string read or a block read.
    public var bytes: [UInt8] = []
    public var effects: [Effect] = []
    /// INTR of vCPU 0.
    public var interrupt = false

    public var text: String {
        var parts = [hex(value)]
        if !bytes.isEmpty { parts.append("\(bytes.count) bytes \(bytes.prefix(16).map { hex(UInt64($0)) })") }
        parts += effects.prefix(8).map(\.text)
        if effects.count > 8 { parts.append("and \(effects.count - 8) more") }
        if interrupt { parts.append("INTR") }
        return parts.joined(separator: ", ")
    }
}
