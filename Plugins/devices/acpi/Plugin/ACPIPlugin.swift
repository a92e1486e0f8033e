import ACPIBoard
import ACPITables
import PluginKit

/// Makes the ACPI tables of the machine that it stands in, for firmware and loaders.
final class ACPIPlugin: Instance {
    static let definition = ClassDefinition.device(
        "acpi", summary: "ACPI tables of a PC, made of what the machine has",
        provides: [Provides("tables/1", shared: true, mayCycle: true, doc: "fw-cfg's or a loader's files of tables")],
        make: { (host, _) throws(PluginError) in ACPIPlugin(host) })

    private static let scriptFile = "etc/table-loader"
    private var hasWarned = false

    /// nil: there are none, for which the log has the reason.
    private var tables: ACPITableSet? {
        guard let survey = try? host.survey, let memory = try? host.memory else { return nil }
        guard let board = Board(survey, memory.layout) else {
            if !hasWarned {
                host.log(.warning, "no ACPI tables: the machine has no power management (plugin piix4-pm)")
            }
            hasWarned = true
            return nil
        }
        return board.tables
    }

    override func tableFiles(_ index: UInt32) -> [MadeFile] {
        guard let tables else { return [] }
        return tables.files.map { MadeFile(name: $0.name, bytes: $0.bytes) }
            + [MadeFile(name: ACPIPlugin.scriptFile, bytes: tables.loaderScript)]
    }
}

extension Board {
    /// nil: the machine has no power block, without which ACPI's fixed hardware is not there.
    init?(_ survey: Survey, _ layout: [Memory.Range]) {
        self.init()
        func isThere(_ plugin: String) -> Bool { survey.instances.contains { $0.plugin == plugin } }
        guard isThere("piix4-pm") else { return nil }
        placePower(survey)
        localAPIC = Board.address(survey, "lapic")
        ioAPIC = Board.address(survey, "ioapic")
        hasPICs = isThere("pic8259")
        hasPCI = isThere("i440fx")
        router = Board.place(survey, "piix3")
        if isThere("piix3") { resetPort = 0xcf9 }
        parts = survey.instances.indices.compactMap { Board.part(survey, $0) }
        memoryParts = survey.instances.indices.compactMap { Board.memoryPart(survey, $0) }
        let space: UInt64 = 1 << 32
        for range in layout where range.kind == .ram && range.base < space {
            lowMemoryEnd = max(lowMemoryEnd, UInt32(clamping: range.base &+ range.length))
        }
    }

    private mutating func placePower(_ survey: Survey) {
        for (number, instance) in survey.instances.enumerated() where instance.plugin == "piix4-pm" {
            for claim in survey.claims where claim.instance == number && claim.space == BP_SPACE_PORT {
                if claim.length == 64 { powerBlock = UInt16(truncatingIfNeeded: claim.base) }
            }
            sci = Board.interrupts(survey, number).first ?? sci
        }
        commandPort = 0xb2
    }

    /// Where the memory claim of the first instance of a class is.
    private static func address(_ survey: Survey, _ plugin: String) -> UInt32? {
        guard let number = survey.instances.firstIndex(where: { $0.plugin == plugin }) else { return nil }
        let claim = survey.claims.first { $0.instance == number && $0.space == BP_SPACE_MEMORY }
        return claim.flatMap { UInt32(exactly: $0.base) }
    }

    private static func place(_ survey: Survey, _ plugin: String) -> Place? {
        guard let number = survey.instances.firstIndex(where: { $0.plugin == plugin }),
            let wire = survey.wires.first(where: { $0.instance == number && $0.interface == "pci/1" })
        else { return nil }
        return Place(device: UInt8(truncatingIfNeeded: wire.index >> 3), function: UInt8(wire.index & 7))
    }

    private static func part(_ survey: Survey, _ number: Int) -> Part? {
        let ports = survey.claims.filter { $0.instance == number && $0.space == BP_SPACE_PORT && $0.length < 256 }
        let merged = ports.sorted { $0.base < $1.base }.map {
            Ports(UInt16(truncatingIfNeeded: $0.base), UInt8($0.length))
        }
        guard !merged.isEmpty else { return nil }
        return Part(
            plugin: survey.instances[number].plugin, ports: merged, interrupts: interrupts(survey, number),
            channels: channels(survey, number))
    }

    /// The numbers of the channels of ISA's DMA controller that it uses; that itself uses the one between its two chips.
    private static func channels(_ survey: Survey, _ number: Int) -> [UInt8] {
        let controller = "dma8237"
        guard survey.instances[number].plugin != controller else { return [4] }
        return survey.wires.filter {
            $0.instance == number && $0.interface == "dma-channel/1" && survey.instances.indices.contains($0.target)
                && survey.instances[$0.target].plugin == controller
        }.map { UInt8(truncatingIfNeeded: $0.index) }
    }

    /// The first of its claims; nil: it has none below 4 GiB.
    private static func memoryPart(_ survey: Survey, _ number: Int) -> MemoryPart? {
        let plugin = survey.instances[number].plugin
        guard Board.isMemoryPart(plugin),
            let claim = survey.claims.first(where: { $0.instance == number && $0.space == BP_SPACE_MEMORY }),
            let address = UInt32(exactly: claim.base), let length = UInt32(exactly: claim.length)
        else { return nil }
        return MemoryPart(
            plugin: plugin, address: address, length: length, interrupts: interrupts(survey, number))
    }

    /// The numbers of the lines that an instance drives.
    private static func interrupts(_ survey: Survey, _ number: Int) -> [UInt8] {
        survey.wires.filter { $0.instance == number && $0.interface == "irq-line/1" }.map {
            UInt8(truncatingIfNeeded: $0.index)
        }
    }
}

let library = Library(
    "acpi", version: "1.0", summary: "ACPI tables", needsMinor: 5, classes: [ACPIPlugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
