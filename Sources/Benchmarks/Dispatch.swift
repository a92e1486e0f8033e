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

private struct Edge {
    let machine: Machine
    private let exits: Unmanaged<ExitHandler>

    init(_ file: String, _ catalog: BenchCatalog) throws {
        let engine = NoEngine()
        machine = try catalog.machine(
            try catalog.description(ofFile: file), manualClock: true, engine: { (_) throws(MachineError) in engine })
        guard let vcpu = engine.vcpu else { throw UsageError(text: "\(file): the machine has no vCPU") }
        // The machine keeps it alive. Engines hold it in the same way.
        exits = .passUnretained(vcpu.exits)
        machine.resetInstances(warm: false)
    }

    /// Port 0x92 keeps the bit that is written and does nothing else.
    @inline(never)
    func measure(_ accesses: Int) -> Double {
        machine.adoptThread()
        defer { machine.releaseThread() }
        let begin = ch_monotonic()
        for _ in 0..<accesses {
            _ = exits._withUnsafeGuaranteedRef { $0.portWrite(0, port: 0x92, width: 1, value: 2, rip: 0) }
        }
        return Double(ch_monotonic() - begin) / Double(accesses)
    }
}

/// Stands where an engine does, and keeps what exits are handed to.
private final class NoEngine: Engine {
    let name = "none"
    let abilities = EngineAbilities(exits: [], preciseInject: false, countedClock: false)
    private(set) var vcpu: VCPU?

    func setMemory(_ memory: [MappedMemory]) throws(EngineError) {}
    func setIntercepts(_ intercepts: Intercepts) throws(EngineError) {}
    func didWriteMemory(address: UInt64, length: UInt64) {}
    func makeCPU(_ vcpu: VCPU) throws(EngineError) -> any CPU {
        self.vcpu = vcpu
        return NoCPU()
    }
}

/// Never run: the machine is not started.
private final class NoCPU: CPU {
    func run() -> RunEnd { .attention }
    func kick() {}
    func reset() throws(EngineError) {}
    func registers() throws(EngineError) -> bp_registers { bp_registers() }
    func setRegisters(_ registers: bp_registers) throws(EngineError) {}
    func completePending() throws(EngineError) {}
    func setDebug(_ control: DebugControl) throws(EngineError) {}
    func translate(_ linear: UInt64) throws(EngineError) -> UInt64? { nil }
    func didPause(nanoseconds: UInt64) {}
}
