import Glibc
import Testing

private let machine = "backplane: machine 'tour': "
private let inCom1 = machine + "plugin crashed: instance 'com1' (uart16550), in "

/// The crash reporter, the watchdog and the signals, each in a process of its own.
struct CrashTests {
    @Test(arguments: [
        ("segv", SIGSEGV, inCom1 + "read of 0x3f8: SIGSEGV at address 0x10\n"),
        ("trap", SIGILL, inCom1 + "a timer: SIGILL at address 0x"),
        ("abort", SIGABRT, inCom1 + "an interface function 3: SIGABRT\n"),
        ("vmm", SIGSEGV, machine + "the VMM crashed, in no plugin: SIGSEGV at address 0x20\n"),
        ("loading", SIGSEGV, "backplane: crashed while loading /nowhere/x.so: SIGSEGV at address 0x30\n"),
        ("overflow", SIGSEGV, inCom1 + "write of 0x60: SIGSEGV at address 0x"),
        ("other-thread", SIGSEGV, machine + "the VMM crashed, in no plugin: SIGSEGV at address 0x40\n"),
    ])
    func crashIsNamedAndTheSignalStaysTrue(scenario: String, signal: Int32, words: String) throws {
        let child = try Child(scenario)
        #expect(child.status & 0x7f == signal)
        #expect(child.errors.contains(words), "\(child.errors)")
        #expect(child.errors.contains("CrashChild("), "a backtrace")
        if scenario == "overflow" { #expect(child.errors.contains("probably the stack overflowed")) }
    }

    @Test func hangingCallbackEndsTheProcessWithStatus4() throws {
        let child = try Child("hang")
        #expect(child.status == 4 << 8)
        #expect(
            child.errors.contains(
                machine + "plugin does not return: instance 'com1' (uart16550), in write of 0x3f8, for 600 ms\n"))
        #expect(child.errors.contains("CrashChild("), "a backtrace")
    }

    @Test func callbacksThatReturnAreLeftAlone() throws {
        let child = try Child("busy")
        #expect(child.status == 0 && child.errors == "")
    }

    @Test(arguments: [("tty-segv", SIGSEGV), ("hang-tty", 4 << 8), ("tty-exit", 7 << 8), ("tty-hangup", SIGHUP)])
    func terminalComesBack(scenario: String, status: Int32) throws {
        let child = try Child(scenario, onTerminal: true)
        #expect(child.status & 0xff7f == status)
        #expect(child.terminalIsAsBefore)
    }

    /// Line of the callback's end, and status of the process.
    private static let ended = "a plugin has ended the process"
    @Test(arguments: [
        ("exit", 4, machine + ended + ": instance 'com1' (uart16550), in write of 0x3f8: exit(3)\n"),
        ("quick_exit", 4, machine + ended + ": instance 'com1' (uart16550), in write of 0x3f8: quick_exit\n"),
        ("_exit", 4, machine + ended + ": instance 'com1' (uart16550), in write of 0x3f8: _exit(3)\n"),
        ("_Exit", 4, machine + ended + ": instance 'com1' (uart16550), in write of 0x3f8: _Exit(-1)\n"),
        ("thread", 4, "backplane: " + ended + ", on a thread of its own: _exit(3)\n"),
        ("own", 3, ""),
    ])
    func anEndByAPluginIsNamedAndTheTerminalComesBack(how: String, status: Int32, words: String) throws {
        let child = try Child("ends", how, onTerminal: true)
        #expect(child.status == status << 8)
        #expect(child.errors == words)
        #expect(child.terminalIsAsBefore)
    }

    @Test func signalsBecomeBytes() throws {
        let child = try Child("signals")
        #expect(child.output == "15 2 1 28 20 18 -1 true\n")
        #expect(child.status == 0)
    }
}

/// One run of CrashChild.
private struct Child {
    var status: Int32 = 0
    var output = ""
    var errors = ""
    var terminalIsAsBefore = false

    struct CannotRun: Error {
        var path: String
        var error: Int32
    }

    init(_ scenario: String..., onTerminal: Bool = false) throws {
        var path = [CChar](repeating: 0, count: 4096)
        let length = readlink("/proc/self/exe", &path, path.count - 1)
        let own = String(decoding: path.prefix(max(0, length)).map(UInt8.init(bitPattern:)), as: UTF8.self)
        let folder = own.lastIndex(of: "/").map { String(own[..<$0]) } ?? "."
        let program = folder + "/CrashChild"
        var outPipe: [Int32] = [0, 0]
        var errorPipe: [Int32] = [0, 0]
        pipe(&outPipe)
        pipe(&errorPipe)
        var master: Int32 = -1
        var slave: Int32 = -1
        openpty(&master, &slave, nil, nil, nil)
        // Not for the children of tests that run meanwhile.
        for fd in outPipe + errorPipe + [master, slave] { _ = fcntl(fd, F_SETFD, FD_CLOEXEC) }
        var before = termios()
        tcgetattr(slave, &before)
        let flags = fcntl(slave, F_GETFL)

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        if onTerminal { posix_spawn_file_actions_adddup2(&actions, slave, 0) }
        posix_spawn_file_actions_adddup2(&actions, outPipe[1], 1)
        posix_spawn_file_actions_adddup2(&actions, errorPipe[1], 2)
        var child = pid_t()
        var arguments: [UnsafeMutablePointer<CChar>?] = ([program] + scenario).map { strdup($0) } + [nil]
        let error = posix_spawn(&child, program, &actions, nil, &arguments, environ)
        posix_spawn_file_actions_destroy(&actions)
        close(outPipe[1])
        close(errorPipe[1])
        guard error == 0 else { throw CannotRun(path: program, error: error) }
        output = Self.all(outPipe[0])
        errors = Self.all(errorPipe[0])
        waitpid(child, &status, 0)
        var after = termios()
        tcgetattr(slave, &after)
        terminalIsAsBefore =
            before.c_lflag == after.c_lflag && before.c_iflag == after.c_iflag && before.c_oflag == after.c_oflag
            && fcntl(slave, F_GETFL) == flags
        close(slave)
        close(master)
    }

    private static func all(_ fd: Int32) -> String {
        var bytes: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(fd, &room, room.count)
            if count <= 0 { break }
            bytes += room.prefix(count)
        }
        close(fd)
        return String(decoding: bytes, as: UTF8.self)
    }
}
