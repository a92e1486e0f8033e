/// A port whose bytes go straight to the host: the chip only. `DebugConsolePlugin.swift` connects it to a port and a
/// stream. Source: Bochs user manual, port_e9_hack (port 0xE9, which reads as 0xE9); QEMU's isa-debugcon (its
/// `readback`).
///
/// The real ones have no status bit by which a guest could wait. Where the stream is full, the write itself waits, and
/// with it the CPU that made it. A write that cannot wait is dropped and counted, so that no guest fills the host's
/// memory.
public struct DebugConsole: Sendable {
    /// A write that waits.
    public struct Waiting: Equatable, Sendable {
        /// By which the write is completed.
        public var token: UInt64
        public var byte: UInt8
    }

    public enum Outcome: Equatable, Sendable { case send, wait, drop }

    // MARK: State: nothing of it is saved, since what waits is sent before a machine is saved

    public let readback: UInt8
    public private(set) var isThrottled = false
    /// One for each CPU at most.
    public private(set) var waiting: [Waiting] = []
    /// Bytes that were lost, since the machine was made.
    public private(set) var dropped: UInt64 = 0

    public init(readback: UInt8) { self.readback = readback }

    // MARK: Guest side

    public func read() -> UInt8 { readback }

    /// What becomes of a byte. `token`: 0 where the write cannot wait.
    public mutating func write(_ byte: UInt8, token: UInt64) -> Outcome {
        guard isThrottled else { return .send }
        guard token != 0 else {
            dropped &+= 1
            return .drop
        }
        waiting.append(Waiting(token: token, byte: byte))
        return .wait
    }

    /// How many of a string's bytes are sent at once; the others come one by one.
    public func bulk(_ count: Int) -> Int { isThrottled ? 0 : count }

    // MARK: Host side

    /// The stream is full, or has room again. Gives the writes that end now, oldest first: their bytes are to be sent.
    public mutating func throttle(_ isOn: Bool) -> [Waiting] {
        isThrottled = isOn
        return isOn ? [] : release()
    }

    /// Ends all that waits, full or not: for reset and for saving. The bytes are few, and a guest's last words count.
    public mutating func release() -> [Waiting] {
        defer { waiting = [] }
        return waiting
    }
}
