// Plugin classes of the benchmarks, made with PluginKit as any plugin is.

import CHost
import PluginKit
import Synchronization

/// A port at which the guest stops until the benchmark lets it run on: what lies between two marks is a slice. The
/// handler blocks with the machine's lock held, as no plugin may: nothing else of this machine wants to run.
final class Mark: Instance {
    static let definition = ClassDefinition.device(
        "mark", summary: "the end of a slice of a benchmark",
        properties: [Property("at", .port, default: "0xe9", doc: "the port")],
        make: { (host, values) in Mark(host, port: values.port("at")) })

    private let port: UInt16

    init(_ host: Host, port: UInt16) {
        self.port = port
        super.init(host)
    }

    override func connect() throws(PluginError) { try host.io.claimPorts(port, count: 1, name: "mark") }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        Turns.shared.mark()
        return .ok
    }
}

/// Whose turn it is: the guest's or the benchmark's.
final class Turns: @unchecked Sendable {
    static let shared = Turns()

    private static let benchmarks: UInt32 = 0
    private static let guests: UInt32 = 1

    // SAFETY: a futex, never freed. `begin` and `end` are the guest's while it is its turn.
    private let turn = UnsafeMutablePointer<UInt32>.allocate(capacity: 1)
    private var begin: UInt64 = 0
    private var end: UInt64 = 0

    private init() { turn.initialize(to: Turns.guests) }

    /// On the vCPU's thread.
    fileprivate func mark() {
        end = ch_monotonic()
        give(Turns.benchmarks)
        wait(while: Turns.benchmarks)
        begin = ch_monotonic()
    }

    /// The guest has come to its first mark.
    func waitForGuest() { wait(while: Turns.guests) }

    /// Lets the guest run from one mark to the next; nanoseconds.
    func runSlice() -> UInt64 {
        give(Turns.guests)
        waitForGuest()
        return end - begin
    }

    private func give(_ to: UInt32) {
        ch_store(turn, to)
        ch_wake(turn)
    }

    private func wait(while value: UInt32) {
        while ch_load(turn) == value { ch_wait(turn, value, -1) }
    }
}

/// A policy that wants the writes to port 0x92, and leaves each to the next; with `wants: off` it wants nothing.
final class Onlooker: Instance {
    static let definition = ClassDefinition.policy(
        "onlooker", summary: "is asked, and says continue",
        properties: [Property("wants", .bool, default: "on", doc: "off: it is never asked")],
        make: { (host, values) in Onlooker(host, wants: values.bool("wants")) })

    private let wants: Bool

    init(_ host: Host, wants: Bool) {
        self.wants = wants
        super.init(host)
    }

    override func connect() throws(PluginError) {
        if wants { try host.exits.want(Int(BP_EXIT_IO), 0x92...0x92, .decide) }
    }

    override func decide(_ exit: inout bp_exit) -> Verdict { .continue }
}

/// Notes when it is made: between the instances of a machine it says how long each took.
final class Stamp: Instance {
    static let definition = ClassDefinition.device(
        "stamp", summary: "notes when it is made", make: { (host, _) in Stamp(host) })
    static let times = Mutex<[UInt64]>([])

    override init(_ host: Host) {
        super.init(host)
        Stamp.times.withLock { $0.append(ch_monotonic()) }
    }
}
