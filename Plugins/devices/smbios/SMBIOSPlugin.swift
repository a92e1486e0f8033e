import ACPITables
import PluginKit

/// Makes the SMBIOS structures of the machine that it stands in: who made it, its CPU, its memory.
final class SMBIOSPlugin: Instance {
    static let definition = ClassDefinition.device(
        "smbios", summary: "SMBIOS 2.8 tables: what dmidecode shows",
        properties: [
            Property("manufacturer", .text, default: "Backplane", doc: "of the system"),
            Property("product", .text, default: "PC", doc: "of the system"),
            Property("version", .text, default: "1", doc: "of the system"),
            Property("serial", .text, default: "", doc: "serial number of the system"),
            Property("uuid", .text, doc: "of the system: 8-4-4-4-12 hexadecimal digits; without it there is none"),
        ],
        provides: [Provides("tables/1", shared: true, mayCycle: true, doc: "fw-cfg's files of SMBIOS")],
        make: { (host, values) throws(PluginError) in try SMBIOSPlugin(host, values) })

    private var identity = SMBIOS.Identity()

    init(_ host: Host, _ values: Values) throws(PluginError) {
        identity.manufacturer = values.text("manufacturer")
        identity.product = values.text("product")
        identity.version = values.text("version")
        identity.serial = values.text("serial")
        if values.isSet("uuid") {
            guard let uuid = SMBIOSPlugin.bytes(ofUUID: values.text("uuid")) else {
                throw PluginError("uuid: '\(values.text("uuid"))' is no UUID (8-4-4-4-12 hexadecimal digits)")
            }
            identity.uuid = uuid
        }
        super.init(host)
    }

    /// As the bytes lie in the structure: the first three fields little-endian.
    static func bytes(ofUUID text: String) -> [UInt8]? {
        let fields = text.split(separator: "-", omittingEmptySubsequences: false)
        guard fields.map(\.utf8.count) == [8, 4, 4, 4, 12] else { return nil }
        var bytes: [UInt8] = []
        for (number, field) in fields.enumerated() {
            let digits = Array(field)
            let field = stride(from: 0, to: digits.count, by: 2).map { UInt8(String(digits[$0...$0 + 1]), radix: 16) }
            guard field.allSatisfy({ $0 != nil }), digits.allSatisfy(\.isHexDigit) else { return nil }
            bytes += number < 3 ? field.reversed().compactMap { $0 } : field.compactMap { $0 }
        }
        return bytes
    }

    private var tables: SMBIOS {
        let memory = (try? host.memory)?.layout.filter { $0.kind == .ram } ?? []
        return SMBIOS(
            identity: identity, processors: [SMBIOS.Processor()],
            memory: memory.map { SMBIOS.Range(address: $0.base, length: $0.length) }, firmwareVersion: "1")
    }

    override func tableFiles(_ index: UInt32) -> [MadeFile] {
        let tables = tables
        return [
            MadeFile(name: SMBIOS.anchorFile, bytes: tables.entryPoint()),
            MadeFile(name: SMBIOS.tablesFile, bytes: tables.tables),
        ]
    }
}

let library = Library(
    "smbios", version: "1.0", summary: "SMBIOS tables", needsMinor: 5, classes: [SMBIOSPlugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
