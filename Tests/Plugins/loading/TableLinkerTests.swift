import ACPITables
import Images
import SplitMix
import Testing

@testable import Loading

/// Tables as `acpi` and `smbios` make them, placed and linked by their script.
@Suite struct TableLinkerTests {
    private let ram = RAMMap(ram: [0..<0x800_0000])

    private func files(revision: UInt8 = 3) -> [String: [UInt8]] {
        var fixed = FixedDescription()
        fixed.revision = revision
        let set = ACPITableSet(fixed: fixed, namespace: DefinitionBlock([]))
        var files = Dictionary(uniqueKeysWithValues: set.files.map { ($0.name, $0.bytes) })
        files["etc/table-loader"] = set.loaderScript
        return files
    }

    private func smbios() -> [String: [UInt8]] {
        let tables = SMBIOS(
            identity: SMBIOS.Identity(), processors: [SMBIOS.Processor()],
            memory: [SMBIOS.Range(address: 0, length: 0x800_0000)], firmwareVersion: "1")
        return [SMBIOS.anchorFile: tables.entryPoint(), SMBIOS.tablesFile: tables.tables]
    }

    private func bytes(_ linker: TableLinker, at address: UInt64, _ count: Int) -> [UInt8] {
        for piece in linker.pieces
        where piece.range.contains(address) && address + UInt64(count) <= piece.range.upperBound {
            return Array(piece.bytes.dropFirst(Int(address - piece.address)).prefix(count))
        }
        return []
    }

    private func number(_ bytes: some Collection<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    @Test(arguments: [1, 3] as [UInt8]) func fromTheRSDPEveryTableIsFoundAndSumsToZero(_ revision: UInt8) throws {
        let linker = try TableLinker(files(revision: revision), ram: ram)
        let root = try #require(linker.rootPointer)
        #expect((0xE0000..<0x100000).contains(root))
        #expect(root.isMultiple(of: 16))
        let pointer = bytes(linker, at: root, revision == 1 ? 20 : 36)
        #expect(pointer.starts(with: Array("RSD PTR ".utf8)))
        #expect(pointer.prefix(20).reduce(0, &+) == 0)
        #expect(pointer.reduce(0, &+) == 0)
        let rootTable = number(pointer[16..<20])
        let length = Int(number(bytes(linker, at: rootTable + 4, 4)))
        let table = bytes(linker, at: rootTable, length)
        #expect(table.starts(with: Array("RSDT".utf8)))
        #expect(table.reduce(0, &+) == 0)
        let fixed = number(table[36..<40])
        let description = bytes(linker, at: fixed, Int(number(bytes(linker, at: fixed + 4, 4))))
        #expect(description.starts(with: Array("FACP".utf8)))
        #expect(description.reduce(0, &+) == 0)
        #expect(bytes(linker, at: number(description[40..<44]), 4) == Array("DSDT".utf8))
        #expect(bytes(linker, at: number(description[36..<40]), 4) == Array("FACS".utf8))
    }

    @Test func theyLieInWholePagesAtTheEndOfMemoryWhichAMemoryMapThenNames() throws {
        let linker = try TableLinker(files(), ram: ram)
        let taken = try #require(linker.taken.first)
        #expect(linker.taken.count == 1)
        #expect(taken.upperBound == 0x800_0000)
        #expect(taken.lowerBound.isMultiple(of: 4096))
        var left = ram
        left.giveToTables(taken)
        #expect(left.ranges == [0..<taken.lowerBound])
        #expect(left.tables == [taken])
    }

    /// MP specification 1.4, 4.1: the address at 4, a checksum over 16 bytes.
    @Test func theMPTablesPointerLiesWhereKernelsLookAndLeadsToTheTable() throws {
        let pointer = Array("_MP_".utf8) + [0, 0, 0, 0, 1, 4, 0, 0, 0, 0, 0, 0]
        let table = Array("PCMP".utf8) + [UInt8](repeating: 7, count: 300)
        let linker = try TableLinker(["etc/mptable/pointer": pointer, "etc/mptable/table": table], ram: ram)
        let placed = try #require(linker.pieces.first { $0.bytes.starts(with: Array("_MP_".utf8)) })
        #expect((0xF0000..<0x100000).contains(placed.address))
        #expect(placed.address.isMultiple(of: 16))
        #expect(placed.bytes.reduce(0, &+) == 0)
        #expect(bytes(linker, at: number(placed.bytes.dropFirst(4).prefix(4)), table.count) == table)
        #expect(throws: TableLinker.Failure.self) {
            try TableLinker(["etc/mptable/pointer": [1, 2], "etc/mptable/table": table], ram: ram)
        }
    }

    @Test func theSMBIOSEntryPointLiesWhereKernelsLookAndLeadsToTheStructures() throws {
        let linker = try TableLinker(smbios(), ram: ram)
        let anchor = try #require(linker.pieces.first { $0.bytes.starts(with: Array("_SM_".utf8)) })
        #expect((0xF0000..<0x100000).contains(anchor.address))
        #expect(anchor.address.isMultiple(of: 16))
        let text = Array(anchor.bytes)
        #expect(text.prefix(0x1F).reduce(0, &+) == 0)
        #expect(text[0x10..<0x1F].reduce(0, &+) == 0)
        #expect(bytes(linker, at: number(text[0x18..<0x1C]), 1) == [0])  // type 0: BIOS information
    }

    @Test func withoutRAMBelowOneMebibyteTheFailureSaysWhere() {
        let high = RAMMap(ram: [0..<0xA0000, 0x100000..<0x800_0000])
        #expect(
            throws: TableLinker.Failure(
                text:
                    "etc/table-loader, command 0: 'etc/acpi/rsdp' has 36 bytes, for which there is no RAM at 0xe0000 to 0xfffff"
            )
        ) { try TableLinker(files(), ram: high) }
    }

    @Test func aScriptThatAsksForWhatIsNotThereIsRefused() {
        func refused(_ change: (inout [UInt8]) -> Void, _ text: String, at line: SourceLocation = #_sourceLocation) {
            var files = files()
            change(&files["etc/table-loader"]!)
            #expect(throws: TableLinker.Failure(text: text), sourceLocation: line) { try TableLinker(files, ram: ram) }
        }
        refused(
            { $0.removeLast() },
            "etc/table-loader has \(files()["etc/table-loader"]!.count - 1) bytes, and no whole number of commands")
        refused({ $0[4] = 0x78 }, "etc/table-loader, command 0: there is no file 'xtc/acpi/rsdp'")
        refused({ $0[60] = 3 }, "etc/table-loader, command 0: an alignment of 3 is no power of two")
        refused(
            { $0.replaceSubrange(128..<256, with: $0[0..<128]) },
            "etc/table-loader, command 1: 'etc/acpi/rsdp' has its place already")
        refused(
            { $0[2 * 128 + 119] = 0x7F },
            "etc/table-loader, command 2: 'etc/acpi/rsdp' has no field of 4 bytes at \(0x7F00_0000 + fieldOffset)")
    }

    /// Of the third command's pointer, less its highest byte.
    private var fieldOffset: Int { Int(number(files()["etc/table-loader"]![2 * 128 + 116..<2 * 128 + 119])) }

    @Test func noScriptAndNoFileTraps() {
        var random = SplitMix64(seed: 1)
        var refusals = 0
        let whole = files().merging(smbios()) { $1 }
        for _ in 0..<2000 {
            var files = whole
            let name = files.keys.sorted()[Int.random(in: 0..<files.count, using: &random)]
            var bytes = files[name] ?? []
            switch Int.random(in: 0..<4, using: &random) {
            case 0: bytes = Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &random)))
            case 1: bytes = []
            default:
                for _ in 0..<Int.random(in: 1...8, using: &random) where !bytes.isEmpty {
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
                }
            }
            files[name] = bytes
            let linked = try? TableLinker(files, ram: ram)
            if linked == nil { refusals += 1 }
            for piece in linked?.pieces ?? [] { #expect(ram.contains(piece.address, UInt64(piece.bytes.count))) }
        }
        #expect(refusals > 200)
    }
}
