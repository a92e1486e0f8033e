import Glibc

/// Signals as they were before the control plane handled them.
enum JobControl {
    /// Takes the default action of SIGTSTP, and returns after SIGCONT, or at once where no shell could send one: then
    /// the kernel ignores SIGTSTP.
    static func suspend(wholeJob: Bool) {
        if isIgnored(SIGTSTP) { return }
        var action = sigaction()
        var usual = sigaction()
        action.__sigaction_handler.sa_handler = SIG_IGN
        sigaction(SIGTSTP, &action, &usual)
        if wholeJob { kill(0, SIGTSTP) }
        // To this thread alone, so that it stops before `raise` returns, and once: a signal to the process could stop
        // it on another thread, and the one raised after SIGCONT would stop it again.
        action.__sigaction_handler.sa_handler = SIG_DFL
        sigaction(SIGTSTP, &action, nil)
        raise(SIGTSTP)
        sigaction(SIGTSTP, &usual, nil)
    }

    /// By nohup, or by a shell without job control for a command in the background.
    static func isIgnored(_ number: Int32) -> Bool {
        var action = sigaction()
        guard sigaction(number, nil, &action) == 0 else { return false }
        let handler = action.__sigaction_handler.sa_handler
        return unsafeBitCast(handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
    }
}
