import CHost
import Glibc

/// Rows and columns of a terminal's window.
public struct WindowSize: Sendable, Equatable {
    public var columns: Int
    public var rows: Int

    public init(columns: Int, rows: Int) {
        self.columns = columns
        self.rows = rows
    }

    /// nil: no terminal, or one that does not know its size.
    init?(of descriptor: Int32) {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else { return nil }
        self.init(columns: Int(size.ws_col), rows: Int(size.ws_row))
    }
}

/// The terminal that input comes from: raw while this process has it.
struct Terminal {
    let descriptor: Int32
    private(set) var isRaw = false
    /// CHost has the settings from before.
    private var hasSaved = false

    /// nil: not a terminal.
    init?(_ descriptor: Int32) {
        guard isatty(descriptor) == 1 else { return nil }
        self.descriptor = descriptor
    }

    /// In the background reading would stop the process (SIGTTIN), and so would changing the settings. A terminal
    /// that does not control this session knows no background.
    var isForeground: Bool {
        let group = tcgetpgrp(descriptor)
        return group < 0 || group == getpgrp()
    }

    /// Raw: no echo, no lines, no signals from keys, nothing done to the output. Saves the settings first, which
    /// CHost puts back however the process ends. Nothing in the background.
    mutating func enter() {
        var settings = termios()
        guard isForeground, tcgetattr(descriptor, &settings) == 0 else {
            isRaw = false
            return
        }
        // They may still be our own, which must not be saved: after SIGSTOP and SIGCONT, or a while in the background.
        if hasSaved, Terminal.isRaw(settings) {
            isRaw = true
            return
        }
        guard ch_tty_save(descriptor) == 0 else { return }
        hasSaved = true
        cfmakeraw(&settings)
        isRaw = Terminal.withoutStopping { tcsetattr(descriptor, TCSANOW, &settings) == 0 }
    }

    /// Back to what was saved, which is forgotten: in the background the settings are another process's business.
    mutating func leave() {
        if isRaw {
            ch_tty_release()
            hasSaved = false
        }
        isRaw = false
    }

    /// Somebody else has the terminal now, and with it the settings.
    mutating func lose() { isRaw = false }

    private static func isRaw(_ settings: termios) -> Bool {
        settings.c_lflag & tcflag_t(ICANON | ECHO | ISIG) == 0 && settings.c_oflag & tcflag_t(OPOST) == 0
    }

    /// The process may have gone to the background just now: SIGTTOU must not stop it.
    private static func withoutStopping<R>(_ body: () -> R) -> R {
        var stop = sigset_t()
        var before = sigset_t()
        sigemptyset(&stop)
        sigaddset(&stop, SIGTTOU)
        pthread_sigmask(SIG_BLOCK, &stop, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        return body()
    }
}
