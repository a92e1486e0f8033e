import ArgumentParser
import Core
import MachineFile

struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show a machine: its port map, memory map, interrupt lines and wiring.",
        discussion:
            "The devices are created and connected to learn what they claim; backends, policies and loaders are not.")

    @OptionGroup var machineFile: MachineFileArguments

    @Flag(help: "Draw the machines as SVG on standard output.")
    var svg = false

    func run() throws {
        let finder = PluginFinder(paths: machineFile.plugins.pluginPath, isolation: .inProcess)
        let guests = try machineFile.load(finder).guests ?? []
        let surveys = try guests.map { try MachineSurvey($0, finder: finder) }
        let text =
            svg ? MachineDrawing.text(of: surveys) : surveys.map { MachineTables($0).text }.joined(separator: "\n")
        print(text, terminator: "")
    }
}

/// A machine's description, and what its devices claim.
struct MachineSurvey {
    let description: MachineDescription
    let claims: [ClaimSummary]

    init(_ description: MachineDescription, finder: PluginFinder) throws {
        self.description = description
        var devicesOnly = description
        devicesOnly.instances = description.instances.filter { $0.type.kind == .device }
        var options = MachineOptions(
            makeEngine: nil, log: { level, id, text in if level >= .error { complain("\(id ?? ""): \(text)") } },
            manualClock: true,
            loadLibrary: { (instance) throws(LibraryError) in try finder.library(for: instance) })
        options.allowsMissingTargets = true
        do throws(MachineError) {
            let machine = try Machine(devicesOnly, options: options)
            claims = machine.claimSummaries()
            machine.tearDown()
        } catch {
            throw fail(error)
        }
    }

    /// Every wire: who, by which slot, to whom.
    var wires: [(instance: InstanceDescription, slot: SlotDescription, target: Endpoint)] {
        description.instances.flatMap { instance in
            instance.wires.map { (instance, instance.type.slots[$0.slot], $0.target) }
        }
    }

    func type(of id: String) -> String { description.instances.first { $0.id == id }?.type.name ?? "" }
}

/// `pic.4`, or `term` where there is only one.
func endpointText(_ endpoint: Endpoint, interface: String, in description: MachineDescription) -> String {
    let type = description.instances.first { $0.id == endpoint.instance }?.type
    let count = type?.provided.first { $0.interface == interface }?.count ?? 1
    return count > 1 ? endpoint.text(of: interface) : endpoint.instance
}
