/// All tables of a machine, linked: FACS, DSDT, FADT, the others, RSDT, XSDT, and the RSDP that finds them.
public struct ACPITableSet: Sendable {
    /// fw_cfg's names for the two files.
    public static let tablesFile = "etc/acpi/tables"
    public static let pointerFile = "etc/acpi/rsdp"

    public let tables: TableFile
    public let pointer: TableFile

    /// With a `fixed` of revision 1 the RSDP is ACPI 1.0's and there is no XSDT.
    public init(fixed: FixedDescription, namespace: DefinitionBlock, others: [any ACPITable] = []) {
        var file = TableFile(Self.tablesFile, zone: .high, alignment: 64)
        let facs = file.append(Self.firmwareControl, alignment: 64)
        let dsdt = Self.add(namespace.bytes, to: &file)
        let fadt = Self.add(fixed.bytes, to: &file)
        file.point(fadt + FixedDescription.facsOffset, size: 4, to: facs, in: file.name)
        file.point(fadt + FixedDescription.dsdtOffset, size: 4, to: dsdt, in: file.name)
        let isExtended = fixed.revision >= 3
        if isExtended { file.point(fadt + FixedDescription.extendedDSDTOffset, size: 8, to: dsdt, in: file.name) }
        let all = [fadt] + others.map { Self.add($0.bytes, to: &file) }
        let rsdt = Self.root("RSDT", all, pointerSize: 4, in: &file)
        let xsdt = isExtended ? Self.root("XSDT", all, pointerSize: 8, in: &file) : nil
        tables = file
        pointer = Self.rootPointer(rsdt: rsdt, xsdt: xsdt)
    }

    public var files: [TableFile] { [pointer, tables] }
    public var loaderScript: [UInt8] { TableFile.loaderScript(files) }

    /// FACS has no checksum.
    private static let firmwareControl =
        [UInt8](fixed: "FACS", 4) + UInt32(64).littleEndianBytes + [UInt8](repeating: 0, count: 24) + [1]
        + [UInt8](repeating: 0, count: 31)

    private static func add(_ table: [UInt8], to file: inout TableFile) -> Int {
        let offset = file.append(table)
        file.sum(offset + 9, over: offset..<offset + table.count)
        return offset
    }

    private struct Root: ACPITable {
        var signature: String
        let revision: UInt8 = 1
        var body: [UInt8]
    }

    private static func root(_ signature: String, _ tables: [Int], pointerSize: Int, in file: inout TableFile) -> Int {
        let offset = add(
            Root(signature: signature, body: [UInt8](repeating: 0, count: tables.count * pointerSize)).bytes, to: &file)
        for (index, table) in tables.enumerated() {
            file.point(offset + 36 + index * pointerSize, size: pointerSize, to: table, in: file.name)
        }
        return offset
    }

    /// 20 bytes, or 36 with the XSDT's address.
    private static func rootPointer(rsdt: Int, xsdt: Int?) -> TableFile {
        var file = TableFile(pointerFile, zone: .low, alignment: 16)
        let start =
            [UInt8](fixed: "RSD PTR ", 8) + [0] + [UInt8](fixed: "BCKPLN", 6) + [xsdt == nil ? 0 : 2, 0, 0, 0, 0]
        let rest = UInt32(36).littleEndianBytes + [UInt8](repeating: 0, count: 12)
        _ = file.append(xsdt == nil ? start : start + rest)
        file.point(16, size: 4, to: rsdt, in: tablesFile)
        if let xsdt { file.point(24, size: 8, to: xsdt, in: tablesFile) }
        file.sum(8, over: 0..<20)
        if xsdt != nil { file.sum(32, over: 0..<36) }
        return file
    }
}
