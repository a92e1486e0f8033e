import ArgumentParser
import Core
import MachineFile

struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check a machine file without running it; status 2 where it has errors.")

    @OptionGroup var machineFile: MachineFileArguments

    func run() throws {
        let finder = PluginFinder(paths: machineFile.plugins.pluginPath, isolation: .childProcess)
        let result = try machineFile.load(finder)
        for (file, guest) in zip(result.files, result.guests ?? []) {
            print("\(file): ok: machine '\(guest.name)', \(guest.instances.count) instances")
        }
    }
}
