import Glibc

/// What SIGTERM, SIGINT and SIGHUP mean. Exit statuses are a shell's: 128 and the signal's number. (The guest's own
/// statuses are odd too: 129, 141 and 143 alone do not say which it was; the message on stderr does.)
struct SignalPolicy {
    enum Action: Equatable {
        case nothing
        /// Ask the guests to power off.
        case powerOff
        /// Stop the machines; backends flush.
        case end(status: Int32, reason: String)
        /// Machines do not stop either: leave the process as it is.
        case exitNow(status: Int32, reason: String)
    }

    /// Within this time further signals are the same request: timeout(1) sends SIGTERM twice, to the process and to
    /// its group, and a wrapper may pass on the SIGINT that the terminal has already sent to all.
    static let grace: UInt64 = 500_000_000

    /// Times of the last step that was taken, in ns.
    private var asked: UInt64?
    private var ended: UInt64?

    /// `now`: ns of a monotonic clock.
    mutating func receive(_ number: Int32, at now: UInt64) -> Action {
        let status = 128 + number
        if let ended {
            if now &- ended < SignalPolicy.grace { return .nothing }
            return .exitNow(status: status, reason: "the machine does not end: left by \(SignalPolicy.name(number))")
        }
        if number == SIGHUP {
            ended = now
            return .end(status: status, reason: "ended by SIGHUP")
        }
        guard let asked else {
            self.asked = now
            return .powerOff
        }
        if now &- asked < SignalPolicy.grace { return .nothing }
        ended = now
        return .end(status: status, reason: "ended by a second signal, \(SignalPolicy.name(number))")
    }

    static func name(_ number: Int32) -> String {
        switch number {
        case SIGTERM: "SIGTERM"
        case SIGINT: "SIGINT"
        case SIGHUP: "SIGHUP"
        default: "signal \(number)"
        }
    }
}
