import ACPITables
import Testing

/// ACPI 6.5, 5.2, and fw_cfg's loader script (QEMU, hw/acpi/bios-linker-loader.c).
@Suite struct TableTests {
    private static let addresses: [String: UInt64] = ["etc/acpi/tables": 0x7FFE_0000, "etc/acpi/rsdp": 0xF_5A00]

    private func placed(_ set: ACPITableSet) throws -> (pointer: [UInt8], tables: [UInt8]) {
        let files = TableFile.place(set.files, at: Self.addresses)
        return (try #require(files["etc/acpi/rsdp"]), try #require(files["etc/acpi/tables"]))
    }

    @Test func everyTableIsFoundFromThePointerAndSumsToZero() throws {
        for (revision, names): (UInt8, Set<String>) in [
            (3, ["XSDT", "FACP", "DSDT", "FACS", "APIC", "MCFG", "WAET"]),
            (1, ["RSDT", "FACP", "DSDT", "FACS", "APIC", "MCFG", "WAET"]),
        ] {
            let (pointer, tables) = try placed(tableSet(revision: revision))
            #expect(text(pointer.prefix(8)) == "RSD PTR ")
            #expect(pointer.count == (revision == 3 ? 36 : 20))
            #expect(pointer[15] == (revision == 3 ? 2 : 0))
            #expect(pointer.prefix(20).reduce(0, &+) == 0)
            #expect(pointer.reduce(0, &+) == 0)
            let found = walk([0x7FFE_0000: tables], from: pointer)
            #expect(Set(found.keys) == names)
            for (name, bytes) in found where name != "FACS" {
                #expect(bytes.reduce(0, &+) == 0, "\(name)")
                #expect(text(bytes[10..<16]) == "BCKPLN")
            }
        }
    }

    @Test func theRSDTNamesWhatTheXSDTNames() throws {
        let (pointer, tables) = try placed(tableSet())
        let old = Array(pointer.prefix(20))
        #expect(
            Set(walk([0x7FFE_0000: tables], from: old).keys)
                == ["RSDT", "FACP", "DSDT", "FACS", "APIC", "MCFG", "WAET"])
    }

    @Test func theFADTsFieldsAreWhereTheSpecificationPutsThem() throws {
        let (pointer, tables) = try placed(tableSet())
        let fadt = try #require(walk([0x7FFE_0000: tables], from: pointer)["FACP"])
        #expect(fadt.count == 244)
        #expect(fadt[8] == 3)
        let expected: [(Int, Int, UInt64)] = [
            (46, 2, 9), (48, 4, 0xB2), (52, 1, 0xF1), (53, 1, 0xF0), (56, 4, 0x600), (60, 4, 0), (64, 4, 0x604),
            (68, 4, 0),
            (72, 4, 0), (76, 4, 0x608), (80, 4, 0xAFE0), (84, 4, 0), (88, 1, 4), (89, 1, 2), (90, 1, 0), (91, 1, 4),
            (92, 1, 4), (93, 1, 0), (96, 2, 0xFFF), (98, 2, 0xFFF), (108, 1, 0x32), (109, 2, 3), (112, 4, 0x425),
            (116, 1, 1), (117, 1, 8), (120, 8, 0xCF9), (128, 1, 6), (132, 8, 0), (148, 1, 1), (149, 1, 32),
            (152, 8, 0x600),
            (172, 1, 1), (173, 1, 16), (176, 8, 0x604), (208, 1, 1), (209, 1, 32), (212, 8, 0x608), (220, 1, 1),
            (221, 1, 32), (224, 8, 0xAFE0), (232, 8, 0),
        ]
        for (offset, size, value) in expected { #expect(number(fadt, offset, size) == value, "offset \(offset)") }
        #expect(number(fadt, 40, 4) == number(fadt, 140, 8))
        #expect(number(fadt, 36, 4) % 64 == 0)
        let (_, oldTables) = try placed(tableSet(revision: 1))
        let old = try #require(
            walk([0x7FFE_0000: oldTables], from: try placed(tableSet(revision: 1)).pointer)["FACP"])
        #expect(old.count == 116)
        #expect(number(old, 109, 2) == 0)
        #expect(number(old, 112, 4) == 0x025, "there is no reset register")
    }

    @Test func madtMCFGAndWAETAreTheirBytes() throws {
        let (pointer, tables) = try placed(tableSet())
        let found = walk([0x7FFE_0000: tables], from: pointer)
        #expect(
            found["APIC"]?.dropFirst(36).elementsEqual([
                0, 0, 0xE0, 0xFE, 1, 0, 0, 0,
                0, 8, 0, 0, 1, 0, 0, 0,
                1, 12, 1, 0, 0, 0, 0xC0, 0xFE, 0, 0, 0, 0,
                2, 10, 0, 0, 2, 0, 0, 0, 0, 0,
                2, 10, 0, 9, 9, 0, 0, 0, 13, 0,
                4, 6, 0xFF, 0, 0, 1,
            ]) == true)
        #expect(
            found["MCFG"]?.dropFirst(36).elementsEqual([
                0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xB0, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0, 0,
            ]) == true)
        #expect(found["WAET"]?.dropFirst(36).elementsEqual([3, 0, 0, 0]) == true)
        #expect(found["FACS"]?.count == 64)
    }

    /// A firmware that runs the script gets what a loader gets that places the files itself.
    @Test func theScriptDoesWhatPlacingDoes() throws {
        for revision: UInt8 in [1, 3] {
            let set = tableSet(revision: revision)
            var files = Dictionary(uniqueKeysWithValues: set.files.map { ($0.name, $0.bytes) })
            let script = set.loaderScript
            #expect(script.count % 128 == 0)
            var allocated: [String: (alignment: UInt64, zone: UInt8)] = [:]
            for start in stride(from: 0, to: script.count, by: 128) {
                run(Array(script[start..<start + 128]), &files, &allocated)
            }
            #expect(allocated["etc/acpi/tables"]?.alignment == 64)
            #expect(allocated["etc/acpi/tables"]?.zone == 1)
            #expect(allocated["etc/acpi/rsdp"]?.alignment == 16)
            #expect(allocated["etc/acpi/rsdp"]?.zone == 2)
            #expect(files == TableFile.place(set.files, at: Self.addresses))
        }
    }

    private func run(
        _ command: [UInt8], _ files: inout [String: [UInt8]],
        _ allocated: inout [String: (alignment: UInt64, zone: UInt8)]
    ) {
        let name = text(command[4..<60])
        switch number(command, 0, 4) {
        case 1: allocated[name] = (number(command, 60, 4), command[64])
        case 2:
            let (offset, size) = (Int(number(command, 116, 4)), Int(command[120]))
            guard var bytes = files[name], let base = Self.addresses[text(command[60..<116])] else { return }
            let value = number(bytes, offset, size) + base
            for index in 0..<size { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index)) }
            files[name] = bytes
        case 3:
            let (offset, start) = (Int(number(command, 60, 4)), Int(number(command, 64, 4)))
            let length = Int(number(command, 68, 4))
            guard var bytes = files[name] else { return }
            bytes[offset] = 0 &- bytes[start..<start + length].reduce(0, &+)
            files[name] = bytes
        default: Issue.record("an unknown command")
        }
    }

    @Test func aWritePointerNamesBothFiles() {
        let bytes = TableFile.writePointer(
            to: "etc/vmgenid_addr", offset: 0, size: 8, of: "etc/vmgenid_guid", source: 40)
        #expect(bytes.count == 128)
        #expect(number(bytes, 0, 4) == 4)
        #expect(text(bytes[4..<60]) == "etc/vmgenid_addr")
        #expect(text(bytes[60..<116]) == "etc/vmgenid_guid")
        #expect(number(bytes, 116, 4) == 0)
        #expect(number(bytes, 120, 4) == 40)
        #expect(bytes[124] == 8)
    }

    @Test func pointersAndSumsOutsideOfAFileAreLeftOut() {
        var file = TableFile("a", zone: .high, alignment: 16)
        #expect(file.append([1, 2, 3]) == 0)
        #expect(file.append([4], alignment: 0) == 3)
        for (offset, size) in [(-1, 4), (1, 4), (0, 3), (Int.max, 8), (0, 0), (0, 8)] {
            file.point(offset, size: size, to: 0, in: "a")
        }
        file.sum(4, over: 0..<2)
        file.sum(0, over: 0..<5)
        file.sum(0, over: -1..<2)
        #expect(TableFile.place([file], at: ["a": 0x1000]) == ["a": [1, 2, 3, 4]])
    }
}
