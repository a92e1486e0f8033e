// What `--print` says of a display that a machine file leaves open.

import Core
import MachineFile

extension MachineFileArguments {
    /// A comment for the end of the printed file; empty: nothing is implied, or the file has errors, which are told when it is run.
    func impliedScreen(_ shorthands: Shorthands) throws -> String {
        var arguments = self
        if shorthands.isEmpty { try arguments.replaceImages(silently: true) } else { try arguments.apply(shorthands) }
        let finder = PluginFinder(paths: plugins.pluginPath, isolation: .inProcess)
        let guests = loadGuests(paths: arguments.files, options: try arguments.options(), catalog: finder).guests
        guard guests?.count == 1, let machine = guests?.first,
            let screen = machine.instances.first(where: { $0.isImplied && $0.type.name == "screen" })
        else { return "" }
        var lines = ["# A terminal shows the display, of which nothing is said above, as if it had this:"]
        for device in machine.instances {
            for wire in device.wires where wire.target.instance == screen.id {
                let slot = device.type.slots[wire.slot]
                lines.append("#   devices: [{ id: \(device.id), \(slot.name): [\(screen.id)] }]")
            }
        }
        let keyboard = screen.wires.map { ", keyboard: \($0.target.text(of: "input/1"))" }.joined()
        lines.append("#   backends: [{ id: \(screen.id), plugin: screen\(keyboard) }]")
        return lines.joined(separator: "\n") + "\n"
    }
}
