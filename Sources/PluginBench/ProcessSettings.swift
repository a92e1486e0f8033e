import CHost
import Glibc

/// What a plugin shares with the whole process, and must leave as it is: others' descriptors, the handlers of signals that crash reports
/// and orderly ends need, the signals that are blocked, the working directory.
struct ProcessSettings: Equatable {
    private static let descriptorLimit: UInt32 = 256
    private static let signals: [(name: String, number: Int32)] = [
        ("SIGSEGV", SIGSEGV), ("SIGBUS", SIGBUS), ("SIGILL", SIGILL), ("SIGFPE", SIGFPE), ("SIGABRT", SIGABRT),
        ("SIGTRAP", SIGTRAP),
        ("SIGSYS", SIGSYS), ("SIGTERM", SIGTERM), ("SIGINT", SIGINT), ("SIGHUP", SIGHUP), ("SIGPIPE", SIGPIPE),
    ]
    /// One for each descriptor below the limit: not 0, it is open.
    private let descriptors: [UInt8]
    private let handlers: [UInt64]
    private let mask: UInt64
    private let directory: UInt64

    /// As they are now, for the calling thread.
    init() {
        var open = [UInt8](repeating: 0, count: Int(ProcessSettings.descriptorLimit))
        ch_open_descriptors(&open, ProcessSettings.descriptorLimit)
        descriptors = open
        handlers = ProcessSettings.signals.map { ch_process_setting(0, $0.number) }
        mask = ch_process_setting(1, 0)
        directory = ch_process_setting(2, 0)
    }

    /// What has changed since, as a sentence; nil: nothing.
    var change: String? {
        let now = ProcessSettings()
        for (number, (before, after)) in zip(descriptors, now.descriptors).enumerated() where before != 0 && after == 0
        {
            return "it closed descriptor \(number), which was not its own"
        }
        for (signal, (before, after)) in zip(ProcessSettings.signals, zip(handlers, now.handlers)) where before != after
        {
            return "it changed the process's handler of \(signal.name)"
        }
        if now.mask != mask { return "it changed which signals the thread that called it has blocked" }
        return now.directory == directory ? nil : "it changed the process's working directory"
    }
}
