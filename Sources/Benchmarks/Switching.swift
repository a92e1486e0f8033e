import CHost
import Core
import EngineKVM
import Glibc
import PluginKit
import Synchronization

/// Guests in one process that never halt, and the foreground that goes from one to the next.
enum Switching {
    struct Figures: Encodable {
        var switches: Int
        /// From the request to the first exit of the guest that comes, in nanoseconds.
        var median: UInt64
        var percentile99: UInt64
        var longest: UInt64
        /// Exits of each guest meanwhile.
        var exits: [UInt64]
    }

    /// Each guest writes to port 0x92 for ever.
    static func run(files: [String], count: Int) throws -> Figures {
        let catalog = try BenchCatalog()
        let board = GuestBoard(names: files)
        let machines = try files.enumerated().map { index, file in
            try catalog.machine(try catalog.description(ofFile: file), seat: board.seat(index), engine: makeKVM)
        }
        for machine in machines { try machine.start() }
        for number in machines.indices {
            board.bring(number)
            Beats.shared.wait(for: number, from: ch_monotonic())
        }
        var waits: [UInt64] = []
        for round in 0..<count {
            let next = round % files.count
            // Anywhere within a turn.
            usleep(UInt32(500 + round * 7919 % 9000))
            let begin = ch_monotonic()
            board.bring(next)
            waits.append(Beats.shared.wait(for: next, from: begin) - begin)
        }
        for machine in machines { machine.stop(0, "") }
        for machine in machines { _ = machine.waitForEnd() }
        waits.sort()
        return Figures(
            switches: count, median: waits[waits.count / 2], percentile99: waits[waits.count * 99 / 100],
            longest: waits[waits.count - 1], exits: files.indices.map(Beats.shared.count))
    }

    private static func makeKVM(_ requirements: EngineRequirements) throws(MachineError) -> any Engine {
        do throws(EngineError) { return try KVMEngine(cpuCount: 1) } catch { throw MachineError("\(error)", status: 6) }
    }
}

/// When guests made their last exits.
final class Beats: Sendable {
    static let shared = Beats()
    static let limit = 16
    private let last = Mutex([UInt64](repeating: 0, count: Beats.limit))
    private let counts = Mutex([UInt64](repeating: 0, count: Beats.limit))

    func note(_ guest: Int) {
        let now = ch_monotonic()
        last.withLock { $0[guest] = now }
        counts.withLock { $0[guest] += 1 }
    }

    func count(_ guest: Int) -> UInt64 { counts.withLock { $0[guest] } }

    /// Until the guest has made an exit at or after `begin`: when that was, or a little later.
    @discardableResult
    func wait(for guest: Int, from begin: UInt64) -> UInt64 {
        while true {
            let time = last.withLock { $0[guest] }
            if time >= begin { return time }
            usleep(20)
        }
    }
}

final class Heartbeat: Instance {
    static let definition = ClassDefinition.device(
        "heartbeat", summary: "notes writes to port 0x92",
        properties: [Property("guest", .unsigned, default: "0", bounds: 0...15, doc: "the guest's number, from 0")],
        make: { (host, values) in Heartbeat(host, guest: Int(clamping: values.unsigned("guest"))) })
    private let guest: Int

    init(_ host: Host, guest: Int) {
        self.guest = guest
        super.init(host)
    }
    override func connect() throws(PluginError) { try host.io.claimPorts(0x92, count: 1, name: "heartbeat") }
    override func write(_ access: Access, _ value: UInt64) -> Status {
        Beats.shared.note(guest)
        return .ok
    }
}
