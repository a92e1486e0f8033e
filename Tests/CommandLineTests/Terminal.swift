import Foundation
import Synchronization
import Testing

/// A pseudo-terminal. This process keeps its slave open, so that the settings outlive a child.
final class Terminal: @unchecked Sendable {
    let path: String
    private let master: Int32
    private let slave: Int32
    private let shown = Reader()
    private let done = Flag()

    init() throws {
        var ends: (master: Int32, slave: Int32) = (-1, -1)
        try #require(openpty(&ends.master, &ends.slave, nil, nil, nil) == 0)
        (master, slave) = ends
        for descriptor in [master, slave] { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        path = String(cString: ttyname(slave))
        shown.start(fcntl(master, F_DUPFD_CLOEXEC, 0)) { [done] in done.isSet }
    }

    deinit {
        done.set()
        close(slave)
        close(master)
    }

    /// What is on the screen.
    var text: String { shown.text }

    func resize(_ size: inout winsize) -> Bool { ioctl(master, UInt(TIOCSWINSZ), &size) == 0 }

    func type(_ text: String) {
        let bytes = Array(text.utf8)
        _ = bytes.withUnsafeBytes { write(master, $0.baseAddress, $0.count) }
    }

    /// False, and an issue: it did not come in time.
    @discardableResult func shows(
        _ text: String, times: Int = 1, seconds: Double = 60, at location: SourceLocation = #_sourceLocation
    ) async -> Bool {
        if await eventually(seconds, { self.text.components(separatedBy: text).count > times }) { return true }
        Issue.record("'\(text)' did not come; on the terminal: \(self.text)", sourceLocation: location)
        return false
    }

    /// Every setting that a program can change.
    struct Settings: Equatable {
        var flags: [UInt32]
        var characters: [UInt8]
        var speeds: [UInt32]
        var isRaw: Bool
    }

    var settings: Settings {
        var raw = termios()
        tcgetattr(slave, &raw)
        let characters = withUnsafeBytes(of: raw.c_cc) { Array($0) }
        let cooked = UInt32(ICANON) | UInt32(ECHO) | UInt32(ISIG)
        return Settings(
            flags: [raw.c_iflag, raw.c_oflag, raw.c_cflag, raw.c_lflag], characters: characters,
            speeds: [cfgetispeed(&raw), cfgetospeed(&raw)], isRaw: raw.c_lflag & cooked == 0)
    }
}

final class Flag: Sendable {
    private let value = Mutex(false)
    var isSet: Bool { value.withLock { $0 } }
    func set() { value.withLock { $0 = true } }
}
