import CHost
import Core
import EngineKVM
import PluginKit
import Synchronization

/// A policy of a running guest, replaced again and again.
enum Replacing {
    struct Figures: Encodable {
        var replacements: Int
        /// Exits that the device saw meanwhile, and how many of them no policy or two policies saw.
        var exits: UInt64
        var lost: Int64
        /// How long the vCPU stood still, in nanoseconds. The percentiles are upper bounds, at most an eighth too large.
        var longest: UInt64
        var median: UInt64
        var percentile99: UInt64
        /// From one exit of the guest to the next, at most.
        var longestGap: UInt64
    }

    /// The guest writes to port 0x92 for ever.
    static func run(file: String, count: Int) throws -> Figures {
        let catalog = try BenchCatalog()
        let machine = try catalog.machine(try catalog.description(ofFile: file), engine: makeKVM)
        let type = catalog.own.description.classes.first { $0.name == "counter" }!
        let policy = InstanceDescription(
            id: "counter", libraryPath: catalog.own.path, type: type, values: [], isGiven: [],
            location: SourceLocation(file: "bench", line: 0, column: 0))
        try machine.start()
        machine.setStopped(true)
        _ = machine.atQuietPoint { PortCounter.shared.clear() }
        try machine.insertPolicy(policy, at: .first)
        machine.setStopped(false)
        for _ in 0..<count { try machine.replacePolicy("counter", with: policy) }
        let pauses = machine.pauseTimes
        machine.setStopped(true)
        try machine.removePolicy("counter")
        let (exits, gap) = PortCounter.shared.figures
        let seen = CountingPolicy.seen.withLock { $0 }
        machine.stop(0, "")
        _ = machine.waitForEnd()
        return Figures(
            replacements: count, exits: exits, lost: Int64(exits) - Int64(seen), longest: pauses.longest,
            median: pauses.percentile(50), percentile99: pauses.percentile(99), longestGap: gap)
    }

    private static func makeKVM(_ requirements: EngineRequirements) throws(MachineError) -> any Engine {
        do throws(EngineError) { return try KVMEngine(cpuCount: 1) } catch { throw MachineError("\(error)", status: 6) }
    }
}

/// Writes to port 0x92 and the longest time between two of them; on the vCPU's thread.
final class PortCounter: @unchecked Sendable {
    static let shared = PortCounter()
    private var count: UInt64 = 0
    private var last: UInt64 = 0
    private var gap: UInt64 = 0

    func note() {
        let now = ch_monotonic()
        if last != 0 { gap = max(gap, now - last) }
        last = now
        count += 1
    }

    func clear() { (count, last, gap) = (0, 0, 0) }
    /// Once the guest stands still.
    var figures: (count: UInt64, gap: UInt64) { (count, gap) }
}

final class CounterDevice: Instance {
    static let definition = ClassDefinition.device(
        "port-counter", summary: "counts writes to port 0x92", make: { (host, _) in CounterDevice(host) })
    override func connect() throws(PluginError) { try host.io.claimPorts(0x92, count: 1, name: "counter") }
    override func write(_ access: Access, _ value: UInt64) -> Status {
        PortCounter.shared.note()
        return .ok
    }
}

/// Counts what it is asked, and leaves each exit to the next.
final class CountingPolicy: Instance {
    static let definition = ClassDefinition.policy(
        "counter", summary: "counts exits of port 0x92", make: { (host, _) in CountingPolicy(host) })
    static let seen = Mutex<UInt64>(0)
    private var count: UInt64 = 0

    override func connect() throws(PluginError) { try host.exits.want(Int(BP_EXIT_IO), 0x92...0x92, .decide) }
    override func decide(_ exit: inout bp_exit) -> Verdict {
        count += 1
        return .continue
    }
    override func disconnect() {
        let count = count
        CountingPolicy.seen.withLock { $0 += count }
    }
}
