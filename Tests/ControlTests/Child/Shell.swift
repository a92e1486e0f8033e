import Glibc

/// Runs one job, as a shell would, and does what the test says on descriptor 4, a letter each. Answers are lines on 3.
///   j  starts the job in the background: "started"
///   g  gives it the terminal      k  takes the terminal back: "ok"
///   c  SIGCONT to the job: "ok"
///   w  waits until it stops or ends: "stopped 20", "exited 7", "killed 6"
///   t  the terminal's settings: "cooked", "raw"
///   x  ends
func runShell(_ arguments: [String]) -> Never {
    signal(SIGTTOU, SIG_IGN)
    var job: pid_t = 0
    var letter: UInt8 = 0
    while read(4, &letter, 1) == 1 {
        switch UnicodeScalar(letter) {
        case "j":
            job = spawnJob(arguments)
            answer("started")
        case "g": answer(tcsetpgrp(0, job) == 0 ? "ok" : "failed \(errno)")
        case "k": answer(tcsetpgrp(0, getpgrp()) == 0 ? "ok" : "failed \(errno)")
        case "c": answer(kill(-job, SIGCONT) == 0 ? "ok" : "failed \(errno)")
        case "w": answer(waitForChange(job))
        case "t":
            var settings = termios()
            tcgetattr(0, &settings)
            answer(settings.c_lflag & tcflag_t(ECHO | ICANON | ISIG) == 0 ? "raw" : "cooked")
        default: exit(0)
        }
    }
    exit(0)
}

private func answer(_ text: String) {
    let line = Array((text + "\n").utf8)
    _ = line.withUnsafeBytes { write(3, $0.baseAddress, $0.count) }
}

private func waitForChange(_ job: pid_t) -> String {
    var status: Int32 = 0
    while waitpid(job, &status, WUNTRACED) < 0, errno == EINTR {}
    if status & 0xff == 0x7f { return "stopped \(status >> 8 & 0xff)" }
    if status & 0x7f == 0 { return "exited \(status >> 8 & 0xff)" }
    return "killed \(status & 0x7f)"
}

private func spawnJob(_ arguments: [String]) -> pid_t {
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF))
    posix_spawnattr_setpgroup(&attributes, 0)
    var defaults = sigset_t()
    sigemptyset(&defaults)
    sigaddset(&defaults, SIGTTOU)
    posix_spawnattr_setsigdefault(&attributes, &defaults)
    var strings = (["control-child"] + arguments).map { strdup($0) } + [nil]
    var job: pid_t = 0
    let code = posix_spawn(&job, "/proc/self/exe", nil, &attributes, &strings, environ)
    if code != 0 { answer("posix_spawn: \(code)") }
    return job
}
