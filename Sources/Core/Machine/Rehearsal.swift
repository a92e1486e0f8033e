// A machine that is only checked: its devices, policies and loader are created and connected, its backends asked whether they
// could be, nothing is started, and every error is noted instead of the first alone.

import CBackplane

/// What `Machine.rehearse` has found.
public struct Rehearsal: Sendable {
    /// As `Machine.init` would throw them, in the order of the files.
    public var errors: [MachineError]
    /// What the policies need of an engine.
    public var requirements: EngineRequirements
}

/// The errors of a rehearsal, as they come. Guarded by the machine's lock.
final class RehearsalNotes {
    var errors: [MachineError] = []
}

extension Machine {
    /// Says what would keep a machine of this description from being made. No engine is made and no backend, so that wires to
    /// backends are left open.
    public static func rehearse(_ description: MachineDescription, options: MachineOptions) -> Rehearsal {
        let notes = RehearsalNotes()
        var options = options
        options.rehearsal = notes
        options.allowsMissingTargets = true
        options.makeEngine = nil
        options.manualClock = true
        var requirements = EngineRequirements(demands: [], countedClock: description.clock.mode == .counted)
        do throws(MachineError) {
            let machine = try Machine(description, options: options)
            requirements = machine.requirements
            machine.tearDown()
        } catch {
            notes.errors.append(error)
        }
        return Rehearsal(errors: inOrder(notes.errors), requirements: requirements)
    }

    private static func inOrder(_ errors: [MachineError]) -> [MachineError] {
        let places = errors.enumerated().map { index, error in
            (error, (error.location?.file ?? "", error.location?.line ?? 0, error.location?.column ?? 0, index))
        }
        return places.sorted { $0.1 < $1.1 }.map(\.0)
    }

    // MARK: Within `assemble`

    /// An error of a rehearsal is noted, and the rest goes on.
    func attempt(_ body: () throws(MachineError) -> Void, of instance: PluginInstance? = nil) throws(MachineError) {
        guard let notes = options.rehearsal else { return try body() }
        do throws(MachineError) {
            try body()
        } catch {
            // What fails for want of a wire that a rehearsal leaves open says nothing of the machine.
            let isLeftOpen = instance.map { hasOpenWire($0) && $0.hasMissedWire } ?? false
            if !isLeftOpen { notes.errors.append(error) }
        }
    }

    private func hasOpenWire(_ instance: PluginInstance) -> Bool {
        instance.description.wires.contains { self.instance(named: $0.target.instance) == nil }
    }

    func rehearseCreation() {
        for instance in instances {
            try? attempt { () throws(MachineError) in
                if instance.canBeChecked { return try instance.check() }
                if instance.description.type.kind != .backend { try instance.create() }
            }
        }
        instances.removeAll { $0.phase == .none }
    }
}
