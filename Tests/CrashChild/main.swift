// A process to be crashed by CrashTests: `CrashChild SCENARIO`.

import CHost
import Glibc

nonisolated(unsafe) let machine = UnsafeMutablePointer<ch_machine>.allocate(capacity: 1)
nonisolated(unsafe) let node = UnsafeMutablePointer<ch_node>.allocate(capacity: 1)
machine.initialize(to: ch_machine())
node.initialize(to: ch_node(depth: 0, is_offline: 0, id: strdup("com1"), plugin: strdup("uart16550")))
machine.pointee.name = UnsafePointer(strdup("tour"))
machine.pointee.holder = ch_thread_id()

func enterCallback(_ activity: ch_activity, _ address: UInt64) {
    machine.pointee.what = activity.rawValue
    machine.pointee.address = address
    machine.pointee.entries += 1
    machine.pointee.node = node
}

@inline(never) func badAccess(_ address: UInt) { UnsafeMutablePointer<UInt8>(bitPattern: address)!.pointee = 1 }

@inline(never) func deep(_ count: Int) -> Int {
    withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 16) { bytes in
        bytes.initializeMemory(as: UInt8.self, repeating: UInt8(truncatingIfNeeded: count))
        return deep(count + 1) + Int(bytes[0])
    }
}

func onThread(_ body: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?) {
    var thread = pthread_t()
    pthread_create(&thread, nil, body, nil)
    pthread_join(thread, nil)
}

_ = ch_thread_begin(machine)
switch CommandLine.arguments.dropFirst().first ?? "" {
case "segv":
    enterCallback(ch_activity_read, 0x3f8)
    badAccess(0x10)
case "trap":
    enterCallback(ch_activity_timer, 0)
    let empty: [Int] = []
    print(empty[CommandLine.argc == 2 ? 7 : 0])
case "abort":
    enterCallback(ch_activity_interface, 3)
    abort()
case "vmm":
    badAccess(0x20)
case "loading":
    _ = ch_thread_begin(nil)
    ch_set_activity("loading /nowhere/x.so")
    badAccess(0x30)
case "overflow":
    onThread { _ in
        _ = ch_thread_begin(machine)
        machine.pointee.holder = ch_thread_id()
        enterCallback(ch_activity_write, 0x60)
        print(deep(0))
        return nil
    }
case "other-thread":
    // The callback runs on this thread, the crash is on another one.
    enterCallback(ch_activity_read, 0x3f8)
    onThread { _ in
        _ = ch_thread_begin(machine)
        badAccess(0x40)
        return nil
    }
case "ends":
    // By a callback: exit, quick_exit, _exit, _Exit; by a thread that is nobody's; by a process of its own, which is not ours.
    let how = CommandLine.arguments.dropFirst(2).first ?? ""
    ch_report_exit()
    _ = ch_tty_save(0)
    makeRaw()
    _ = ch_watchdog_add(machine)
    switch how {
    case "thread": onThread { _ in _exit(3) }
    case "own": exit(3)
    default:
        enterCallback(ch_activity_write, 0x3f8)
        switch how {
        case "exit": exit(3)
        case "quick_exit": quick_exit(3)
        case "_exit": _exit(3)
        default: _Exit(-1)
        }
    }
case "hang", "hang-tty":
    if CommandLine.arguments[1] == "hang-tty" {
        _ = ch_tty_save(0)
        makeRaw()
    }
    machine.pointee.watchdog_limit = 600_000_000
    _ = ch_watchdog_add(machine)
    enterCallback(ch_activity_write, 0x3f8)
    while true { sched_yield() }
case "busy":
    // Callbacks that return, a slow one below the limit, and none at all: nothing to report.
    machine.pointee.watchdog_limit = 600_000_000
    _ = ch_watchdog_add(machine)
    enterCallback(ch_activity_write, 0x3f8)
    for _ in 0..<15 {
        usleep(100_000)
        machine.pointee.entries += 1
    }
    machine.pointee.node = nil
    usleep(1_200_000)
    ch_watchdog_remove(machine)
case "tty-segv":
    _ = ch_tty_save(0)
    makeRaw()
    enterCallback(ch_activity_read, 0x3f8)
    badAccess(0x10)
case "tty-exit":
    _ = ch_tty_save(0)
    makeRaw()
    exit(7)
case "tty-hangup":
    _ = ch_tty_save(0)
    makeRaw()
    raise(SIGHUP)
case "signals":
    ch_ignore_write_signals()
    raise(SIGPIPE)
    let pipe = ch_signal_pipe()
    for number in [SIGTERM, SIGINT, SIGHUP, SIGWINCH, SIGTSTP, SIGCONT] { raise(number) }
    var bytes = [UInt8](repeating: 0, count: 16)
    let count = read(pipe, &bytes, 16)
    print(bytes.prefix(count).map(String.init).joined(separator: " "), read(pipe, &bytes, 1), ch_signal_pipe() == pipe)
default: exit(2)
}
ch_thread_end()

func makeRaw() {
    var settings = termios()
    tcgetattr(0, &settings)
    cfmakeraw(&settings)
    tcsetattr(0, TCSANOW, &settings)
    _ = fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_NONBLOCK)
}
