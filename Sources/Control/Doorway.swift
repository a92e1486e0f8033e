import CHost
import Glibc

/// What a server keeps so that it can let somebody in where the host has no descriptor left, and how it says so: a line a
/// second at most, however many knock. Used by one thread.
final class Doorway: @unchecked Sendable {
    private let log: LogWriter
    private var spare: Int32 = -1
    private var lastReport: UInt64?
    private var unreported = 0

    init(log: LogWriter) {
        self.log = log
        keepSpare()
    }

    deinit { _ = openSpare() }

    /// A descriptor for `openSpare`, if there is none and the host gives one.
    func keepSpare() {
        if spare < 0 { spare = open("/dev/null", O_RDONLY | O_CLOEXEC) }
    }

    /// Gives the kept descriptor back to the process. False: there is none.
    func openSpare() -> Bool {
        guard spare >= 0 else { return false }
        close(spare)
        spare = -1
        return true
    }

    /// A warning; how often it was left out is said with the next one.
    func report(_ text: String) {
        let now = ch_monotonic()
        if let lastReport, now &- lastReport < 1_000_000_000 {
            unreported += 1
            return
        }
        log.write(.warning, nil, unreported > 0 ? text + " (and \(unreported) times before)" : text)
        lastReport = now
        unreported = 0
    }
}
