import ACPINameSpace
import ACPITables
import BoardSurvey
import PluginKit

/// Makes the ACPI tables of the machine that it stands in, for firmware and loaders.
final class ACPIPlugin: Instance {
    static let definition = ClassDefinition.device(
        "acpi", summary: "ACPI tables of a PC, made of what the machine has",
        provides: [Provides("tables/1", shared: true, mayCycle: true, doc: "fw-cfg's or a loader's files of tables")],
        make: { (host, _) throws(PluginError) in ACPIPlugin(host) })

    private static let scriptFile = "etc/table-loader"
    private var hasWarned = false
    /// As it was when the tables were first asked for: their lengths never change.
    private var first: Board?

    /// nil: there are none, for which the log has the reason.
    private var tables: ACPITableSet? {
        guard let survey = try? host.survey, let memory = try? host.memory else { return nil }
        let now = Board(survey, memory.layout)
        var board = first ?? now
        board.movePower(as: now)
        first = board
        guard let tables = board.acpi else {
            if !hasWarned {
                host.log(.warning, "no ACPI tables: the machine has no power management (plugin piix4-pm)")
            }
            hasWarned = true
            return nil
        }
        return tables
    }

    override func tableFiles(_ index: UInt32) -> [MadeFile] {
        guard let tables else { return [] }
        return tables.files.map { MadeFile(name: $0.name, bytes: $0.bytes) }
            + [MadeFile(name: ACPIPlugin.scriptFile, bytes: tables.loaderScript)]
    }
}

let library = Library(
    "acpi", version: "1.0", summary: "ACPI tables", needsMinor: 9, classes: [ACPIPlugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
