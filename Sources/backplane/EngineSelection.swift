import Core
import EngineKVM
import EngineSoft

/// Chooses and makes the engine of a machine: what the file or `--engine` says, or for `auto` one that opens and can deliver
/// what the policies require.
struct EngineSelection {
    var choice: EngineChoice
    var cpuCount: Int
    var translation = Translation.on
    var interpreted: Set<TranslationFamily> = []
    /// Gets the one line that says which engine runs, and why where `auto` had to take the slower one: that at level info.
    var explain: (LogLevel, String) -> Void

    func make(_ requirements: EngineRequirements) throws(MachineError) -> any Engine {
        switch choice {
        case .kvm: return try makeKVM(requirements)
        case .soft: return try makeSoft(requirements, .debug, "engine soft")
        case .auto:
            if let reason = reasonAgainstKVM(requirements) {
                return try makeSoft(requirements, .info, "engine soft: \(reason)")
            }
            return try makeKVM(requirements)
        }
    }

    /// Below this a guest's kernel runs faster in software: instructions per second of a ring-0 loop.
    private static let nativeSpeed = 200e6

    /// Why `auto` does not take KVM; nil: it does.
    private func reasonAgainstKVM(_ requirements: EngineRequirements) -> String? {
        if requirements.countedClock { return "clock mode 'counted' needs it" }
        if case .failure(let error) = KVMEngine.isAvailable() { return "\(error)" }
        if let demand = requirements.unmet(by: KVMEngine.abilities).first {
            return "KVM cannot deliver \(demand.ability), which policy '\(demand.policy)' requires"
        }
        guard let speed = KVMEngine.supervisorSpeed() else { return "this host's KVM does not run supervisor code" }
        if speed < EngineSelection.nativeSpeed {
            let tenths = Int(speed / 1e5)
            let millions = "\(tenths / 10).\(tenths % 10)"
            return "this host's KVM emulates supervisor code, at \(millions) million instructions a second"
        }
        return nil
    }

    /// What `make` would say on any host; nil: nothing.
    func problem(with requirements: EngineRequirements) -> MachineError? {
        let soft = requirements.unmet(by: SoftEngine().abilities).first
        switch choice {
        case .soft, .auto: return soft.map(undeliverable)
        case .kvm:
            if requirements.countedClock { return EngineSelection.countedNeedsSoft }
            return requirements.unmet(by: KVMEngine.abilities).first.map(unmet)
        }
    }

    private static let countedNeedsSoft = MachineError("clock mode 'counted' needs the engine 'soft'", status: 6)

    private func undeliverable(_ demand: EngineRequirements.Demand) -> MachineError {
        MachineError(
            "policy '\(demand.policy)' requires \(demand.ability), which no engine can deliver",
            location: demand.location)
    }

    private func makeSoft(
        _ requirements: EngineRequirements, _ level: LogLevel, _ line: String
    ) throws(MachineError) -> any Engine {
        var options = SoftOptions()
        (options.translation, options.interpreted) = (translation, interpreted)
        let engine = SoftEngine(options: options)
        if let demand = requirements.unmet(by: engine.abilities).first { throw undeliverable(demand) }
        explain(level, line)
        return engine
    }

    private func makeKVM(_ requirements: EngineRequirements) throws(MachineError) -> any Engine {
        if case .failure(let error) = KVMEngine.isAvailable() {
            throw MachineError("engine 'kvm' is not available here: \(error); 'soft' is", status: 6)
        }
        if requirements.countedClock { throw EngineSelection.countedNeedsSoft }
        let engine: KVMEngine
        do throws(EngineError) {
            engine = try KVMEngine(cpuCount: cpuCount)
        } catch {
            throw MachineError("engine 'kvm': \(error)", status: 6)
        }
        if let demand = requirements.unmet(by: engine.abilities).first { throw unmet(demand) }
        explain(.debug, "engine kvm")
        return engine
    }

    private func unmet(_ demand: EngineRequirements.Demand) -> MachineError {
        MachineError(
            "policy '\(demand.policy)' requires \(demand.ability), which engine 'kvm' cannot deliver; engine 'soft' can",
            location: demand.location)
    }
}
