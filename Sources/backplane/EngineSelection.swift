import Core
import EngineKVM

/// Chooses and makes the engine of a machine: what the file or `--engine` says, or for `auto` one that opens and can deliver
/// what the policies require.
struct EngineSelection {
    var choice: EngineChoice
    var cpuCount: Int
    /// Gets the one line that says what `auto` chose and why.
    var explain: (String) -> Void

    func make(_ requirements: EngineRequirements) throws(MachineError) -> any Engine {
        switch choice {
        case .kvm, .auto: return try makeKVM(requirements)
        case .soft: throw MachineError("engine 'soft' is not part of this build; 'kvm' is", status: 6)
        }
    }

    private func makeKVM(_ requirements: EngineRequirements) throws(MachineError) -> any Engine {
        if case .failure(let error) = KVMEngine.isAvailable() {
            throw MachineError("engine 'kvm' is not available here: \(error)", status: 6)
        }
        if requirements.countedClock {
            throw MachineError(
                "clock mode 'counted' needs the engine 'soft', which is not part of this build", status: 6)
        }
        let engine: KVMEngine
        do throws(EngineError) {
            engine = try KVMEngine(cpuCount: cpuCount)
        } catch {
            throw MachineError("engine 'kvm': \(error)", status: 6)
        }
        if let demand = requirements.unmet(by: engine.abilities).first { throw unmet(demand) }
        explain("engine kvm")
        return engine
    }

    private func unmet(_ demand: EngineRequirements.Demand) -> MachineError {
        let what = demand.reason.map { "the exit \(ExitReason.name(Int($0)))" } ?? "the ability precise-inject"
        return MachineError(
            "policy '\(demand.policy)' requires \(what), which engine 'kvm' cannot deliver; engine 'soft' can",
            location: demand.location)
    }
}
