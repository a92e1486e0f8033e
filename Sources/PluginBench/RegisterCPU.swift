import CBackplane
import Core

/// An engine that runs nothing: its one CPU holds registers, so that loaders and policies find one.
final class RegisterEngine: Engine {
    let name = "bench"
    let abilities = EngineAbilities(exits: Array(0..<Int(BP_EXIT_REASONS)), preciseInject: true, countedClock: true)

    func updateMemory(_ range: ClosedRange<UInt64>, _ memory: [MappedMemory]) throws(EngineError) {}
    func setIntercepts(_ intercepts: Intercepts) throws(EngineError) {}
    func didWriteCode(page: UInt64) {}
    func makeCPU(_ vcpu: VCPU) throws(EngineError) -> any CPU { RegisterCPU() }
}

private final class RegisterCPU: CPU {
    private var state = bp_registers()

    func run() -> RunEnd { .attention }
    func kick() {}
    func reset() throws(EngineError) { state = bp_registers() }
    func registers() throws(EngineError) -> bp_registers {
        var copy = state
        copy.size = UInt32(MemoryLayout<bp_registers>.size)
        return copy
    }
    func setRegisters(_ registers: bp_registers) throws(EngineError) { state = registers }
    func completePending() throws(EngineError) {}
    func setDebug(_ control: DebugControl) throws(EngineError) {}
    /// Paging is off.
    func translate(_ linear: UInt64) throws(EngineError) -> UInt64? { linear }
    func didPause(nanoseconds: UInt64) {}
}
