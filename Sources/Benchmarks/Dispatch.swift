import CBackplane
import CHost
import Core

/// One port access from an engine's edge into the plugin and back, lock included, without an engine.
enum Dispatch {
    /// Nanoseconds per access of each batch, by machine file; the machines take turns. Each has a `reset-control`.
    static func run(batches: Int, accesses: Int, files: [String]) throws -> [String: [Double]] {
        let catalog = try BenchCatalog()
        let edges = try files.map { try Edge($0, catalog) }
        for edge in edges { _ = edge.measure(1000) }
        var times: [String: [Double]] = [:]
        for _ in 0..<batches {
            for (file, edge) in zip(files, edges) { times[file, default: []].append(edge.measure(accesses)) }
        }
        edges.forEach { $0.machine.tearDown() }
        return times
    }
}

/// The port accesses that guests make most, on a machine that runs: its clock goes, and so does its event loop.
enum Ports {
    /// Nanoseconds per access of each batch, by what is accessed. The machine has a PIT, and a UART wired to `null`.
    static func run(batches: Int, accesses: Int, file: String, only: String?) throws -> [String: [Double]] {
        let edge = try Edge(file, try BenchCatalog(), manualClock: false)
        try edge.machine.start()
        let all: [(String, () -> Double)] = [
            ("out 0x80", { edge.write(accesses, port: 0x80) }), ("in 0x61", { edge.read(accesses, port: 0x61) }),
            ("in 0x3fd", { edge.read(accesses, port: 0x3fd) }), ("out 0x3f8", { edge.write(accesses, port: 0x3f8) }),
        ]
        var times: [String: [Double]] = [:]
        for _ in 0..<batches {
            for (name, measure) in all where only == nil || only == name { times[name, default: []].append(measure()) }
        }
        edge.machine.stop(0, "")
        _ = edge.machine.waitForEnd()
        return times
    }
}

private struct Edge {
    let machine: Machine
    private let exits: Unmanaged<ExitHandler>

    init(_ file: String, _ catalog: BenchCatalog, manualClock: Bool = true) throws {
        let engine = NoEngine()
        machine = try catalog.machine(
            try catalog.description(ofFile: file), manualClock: manualClock,
            engine: { (_) throws(MachineError) in engine })
        guard let vcpu = engine.vcpu else { throw UsageError(text: "\(file): the machine has no vCPU") }
        // The machine keeps it alive. Engines hold it in the same way.
        exits = .passUnretained(vcpu.exits)
        machine.resetInstances(warm: false)
    }

    /// Port 0x92 keeps the bit that is written and does nothing else.
    func measure(_ accesses: Int) -> Double { write(accesses, port: 0x92) }

    @inline(never)
    func read(_ accesses: Int, port: UInt16) -> Double {
        machine.adoptThread()
        defer { machine.releaseThread() }
        let begin = ch_monotonic()
        for _ in 0..<accesses {
            _ = exits._withUnsafeGuaranteedRef { $0.portRead(0, port: port, width: 1, rip: 0) }
        }
        return Double(ch_monotonic() - begin) / Double(accesses)
    }

    @inline(never)
    func write(_ accesses: Int, port: UInt16) -> Double {
        machine.adoptThread()
        defer { machine.releaseThread() }
        let begin = ch_monotonic()
        for _ in 0..<accesses {
            _ = exits._withUnsafeGuaranteedRef { $0.portWrite(0, port: port, width: 1, value: 2, rip: 0) }
        }
        return Double(ch_monotonic() - begin) / Double(accesses)
    }
}

/// Stands where an engine does, and keeps what exits are handed to.
private final class NoEngine: Engine {
    let name = "none"
    let abilities = EngineAbilities(exits: [], preciseInject: false, countedClock: false)
    private(set) var vcpu: VCPU?

    func updateMemory(_ range: ClosedRange<UInt64>, _ memory: [MappedMemory]) throws(EngineError) {}
    func setIntercepts(_ intercepts: Intercepts) throws(EngineError) {}
    func didWriteCode(page: UInt64) {}
    func makeCPU(_ vcpu: VCPU) throws(EngineError) -> any CPU {
        self.vcpu = vcpu
        return NoCPU()
    }
}

/// Has no guest: it is halted whenever it is run.
private final class NoCPU: CPU {
    func run() -> RunEnd { .halted(interruptsEnabled: true, rip: 0) }
    func kick() {}
    func reset() throws(EngineError) {}
    func registers() throws(EngineError) -> bp_registers { bp_registers() }
    func setRegisters(_ registers: bp_registers) throws(EngineError) {}
    func completePending() throws(EngineError) {}
    func setDebug(_ control: DebugControl) throws(EngineError) {}
    func translate(_ linear: UInt64) throws(EngineError) -> UInt64? { nil }
    func didPause(nanoseconds: UInt64) {}
}
