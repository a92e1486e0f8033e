public import PluginKit

/// The decisions of the `standard` policy, without a host. `Standard.swift` connects them to the machine.
/// Source: design section 6; SDM volume 3 for what each exit means. Not decided here: every other exit, which the
/// core's default answers.
public struct DefaultDecisions: Sendable {
    /// An exit that the settings need to see.
    public struct Want: Equatable, Sendable {
        public let reason: Int
        public let options: Exits.Options
    }

    public struct Decision: Equatable, Sendable {
        public var verdict: Verdict
        /// Why the machine stops.
        public var reason: String?
        public var note: Note?

        static let `continue` = Decision(verdict: .continue)
    }

    public struct Note: Equatable, Sendable {
        public var level: LogLevel
        public var text: String
    }

    // MARK: Exit statuses of the process (design, section 4)

    static let poweredOff: UInt32 = 0
    static let guestDied: UInt32 = 6
    static let stoppedByPolicy: UInt32 = 8

    // MARK: State

    public private(set) var settings: Settings
    private var ports = Seen(capacity: 0x10000)
    private var pages = Seen(capacity: 4096)
    private var registers = Seen(capacity: 1024)
    private var resets = ResetHistory()
    /// A triple fault was answered by a reset that has not happened yet; it is counted already.
    private var resetIsCounted = false

    public init(_ settings: Settings = Settings()) { self.settings = settings }

    /// Something that is to be logged again is listed again.
    public mutating func apply(_ new: Settings) {
        if new.unclaimedPort != settings.unclaimedPort { ports.forget() }
        if new.unclaimedMemory != settings.unclaimedMemory { pages.forget() }
        if new.unhandledMSR != settings.unhandledMSR { registers.forget() }
        settings = new
    }

    /// What the settings need to see. Floating and waiting are what the core does by itself, so they need no exit.
    public var wants: [Want] {
        var list = [Want(reason: BP_EXIT_TRIPLE_FAULT, options: .decide)]
        if settings.haltForever != .wait { list.append(Want(reason: BP_EXIT_HLT, options: .decide)) }
        if settings.unclaimedPort != .float {
            list.append(Want(reason: BP_EXIT_IO, options: [.decide, .unclaimed]))
        }
        if settings.unclaimedMemory != .float {
            list.append(Want(reason: BP_EXIT_EPT_VIOLATION, options: [.decide, .unclaimed]))
        }
        if settings.unhandledMSR != .fault {
            list.append(Want(reason: BP_EXIT_RDMSR, options: [.decide, .unclaimed]))
            list.append(Want(reason: BP_EXIT_WRMSR, options: [.decide, .unclaimed]))
        }
        return list
    }

    // MARK: Decisions

    public mutating func decide(_ exit: inout bp_exit) -> Decision {
        if exit.asksPower { return powerRequest() }
        switch Int(exit.reason) {
        case BP_EXIT_IO: return exit.isUnclaimed ? unclaimed(exit, settings.unclaimedPort, isPort: true) : .continue
        case BP_EXIT_EPT_VIOLATION:
            return exit.isUnclaimed ? unclaimed(exit, settings.unclaimedMemory, isPort: false) : .continue
        case BP_EXIT_HLT: return exit.has(BP_EXITF_INTERRUPTS_ENABLED) ? .continue : haltForever(exit)
        case BP_EXIT_TRIPLE_FAULT: return tripleFault(exit)
        // Without the flag it is a register that the CPU has (EFER...), seen because another policy wants it.
        case BP_EXIT_RDMSR, BP_EXIT_WRMSR: return exit.isUnclaimed ? unhandledMSR(&exit) : .continue
        default: return .continue
        }
    }

    /// The machine is being reset at `now`; the sentence that stops it, nil: go on. Resets by triple fault are counted
    /// when they are decided, all others (keyboard controller, port 0xcf9, an operator) here.
    public mutating func didReset(at now: UInt64) -> String? {
        if resetIsCounted {
            resetIsCounted = false
            return nil
        }
        return countReset(at: now)
    }

    private func powerRequest() -> Decision {
        let text = "an operator asks the guest to power off, and no instance has a power button: "
        switch settings.powerRequest {
        case .powerOff: return powerOff(text + "powering off")
        case .ignore:
            let note = Note(level: .info, text: text + "ignored, because power-request is ignore")
            return Decision(verdict: .handled, note: note)
        }
    }

    private func powerOff(_ text: String) -> Decision {
        Decision(verdict: .stop(status: Self.poweredOff), note: Note(level: .info, text: text))
    }

    private func haltForever(_ exit: bp_exit) -> Decision {
        let text = "guest halted with interrupts disabled " + exit.placeText
        switch settings.haltForever {
        case .powerOff: return powerOff(text + ": powering off")
        case .stop: return Decision(verdict: .stop(status: Self.guestDied), reason: text + ": nothing can wake it")
        case .wait: return .continue
        }
    }

    private mutating func tripleFault(_ exit: bp_exit) -> Decision {
        let text = "triple fault " + exit.placeText
        switch settings.tripleFault {
        case .powerOff: return powerOff(text + ": powering off")
        case .stop: return Decision(verdict: .stop(status: Self.guestDied), reason: text)
        case .reset:
            if let loop = countReset(at: exit.time) {
                return Decision(verdict: .stop(status: Self.guestDied), reason: loop + ", the last by a " + text)
            }
            resetIsCounted = true
            // A guest can do this at any rate, and some reboot so: not for the log's usual level.
            return Decision(verdict: .reset, note: Note(level: .debug, text: text + ": resetting"))
        }
    }

    private mutating func countReset(at now: UInt64) -> String? {
        guard settings.resetLimit > 0 else { return nil }
        let count = resets.note(at: now, window: settings.resetWindow, limit: settings.resetLimit)
        guard count > settings.resetLimit else { return nil }
        return "guest is in a reset loop: \(count) resets within \(durationText(settings.resetWindow)) where "
            + "reset-limit is \(settings.resetLimit)"
    }

    // MARK: What nothing claims

    private mutating func unclaimed(_ exit: bp_exit, _ action: Settings.Unclaimed, isPort: Bool) -> Decision {
        switch action {
        case .float: return .continue
        case .stop:
            let reason = exit.accessText + ": nothing claims it"
            return Decision(verdict: .stop(status: Self.stoppedByPolicy), reason: reason)
        case .log:
            let sight = isPort ? ports.note(exit.address) : pages.note(exit.address >> 12)
            guard sight == .first else { return .continue }
            var text = exit.accessText + ": nothing claims it"
            if !isPort && pages.isFull { text += "; further pages are not logged" }
            return Decision(verdict: .continue, note: Note(level: .info, text: text))
        }
    }

    private mutating func unhandledMSR(_ exit: inout bp_exit) -> Decision {
        guard settings.unhandledMSR != .fault else { return .continue }
        let isRead = Int(exit.reason) == BP_EXIT_RDMSR
        var decision = Decision(verdict: .handled)
        if settings.unhandledMSR == .log, registers.note(exit.address) == .first {
            decision.note = Note(level: .info, text: textOfMSR(exit, isRead: isRead))
        }
        if isRead { exit.value = 0 }
        return decision
    }

    private func textOfMSR(_ exit: bp_exit, isRead: Bool) -> String {
        let access = isRead ? "guest read" : "guest wrote " + hexText(exit.value) + " to"
        let text = access + " MSR " + hexText(exit.address) + " " + exit.placeText
        let outcome = isRead ? ": not there, reads as zero" : ": not there, the write is dropped"
        return text + outcome + (registers.isFull ? "; further MSRs are not logged" : "")
    }
}

/// "10 s", "250 ms", in the largest unit that holds it whole.
func durationText(_ nanoseconds: UInt64) -> String {
    for (factor, unit) in [(1_000_000_000, "s"), (1_000_000, "ms"), (1000, "us")] as [(UInt64, String)]
    where nanoseconds >= factor && nanoseconds % factor == 0 {
        return "\(nanoseconds / factor) \(unit)"
    }
    return "\(nanoseconds) ns"
}
