import BoardSurvey
import MPTable
import PluginKit

/// Makes the MP table of the machine that it stands in, for loaders: SeaBIOS makes its own.
final class MPTablePlugin: Instance {
    static let definition = ClassDefinition.device(
        "mptable", summary: "MP table of a PC with APICs, made of what the machine has: for kernels without ACPI",
        provides: [Provides("tables/1", shared: true, mayCycle: true, doc: "a loader's files of the MP table")],
        make: { (host, _) throws(PluginError) in MPTablePlugin(host) })

    private var hasWarned = false
    /// As it was when it was first asked for: its length never changes.
    private var made: [MadeFile]?

    override func tableFiles(_ index: UInt32) -> [MadeFile] {
        if let made { return made }
        guard let survey = try? host.survey, let memory = try? host.memory else { return [] }
        let board = Board(survey, memory.layout)
        guard let table = MPTable(board) else {
            warn("no MP table: the machine has no local APIC and I/O APIC (plugins lapic and ioapic)")
            return []
        }
        if board.pci.root != nil, board.pci.apicLines.allSatisfy({ $0.interrupt == nil }) {
            warn(
                "the MP table has no interrupts of PCI: a router leads them, and firmware would set it; wire the host bridge's 'apic-pirq' to I/O APIC inputs of their own"
            )
        }
        let files = [
            MadeFile(name: MPTable.pointerFile, bytes: MPTable.pointer()),
            MadeFile(name: MPTable.tableFile, bytes: table.table),
        ]
        made = files
        return files
    }

    private func warn(_ text: String) {
        if !hasWarned { host.log(.warning, text) }
        hasWarned = true
    }
}

let library = Library(
    "mptable", version: "1.0", summary: "MP table", needsMinor: 9, classes: [MPTablePlugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
