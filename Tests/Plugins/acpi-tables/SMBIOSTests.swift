import ACPITables
import Testing

/// DMTF DSP0134 (SMBIOS 2.8).
@Suite struct SMBIOSTests {
    private struct Structure {
        var type: UInt8
        var handle: UInt64
        var bytes: [UInt8]
        var strings: [String]
    }

    private static func structures(_ bytes: [UInt8]) -> [Structure] {
        var found: [Structure] = []
        var place = 0
        while place + 4 <= bytes.count {
            let length = Int(bytes[place + 1])
            let formatted = Array(bytes[place..<place + length])
            var end = place + length
            while bytes[end] != 0 || bytes[end + 1] != 0 { end += 1 }
            let strings = bytes[place + length..<end].split(separator: 0).map { text($0) }
            found.append(
                Structure(type: formatted[0], handle: number(formatted, 2, 2), bytes: formatted, strings: strings))
            place = end + 2
        }
        #expect(place == bytes.count)
        return found
    }

    private static func machine(_ memory: [SMBIOS.Range]) -> SMBIOS {
        var identity = SMBIOS.Identity()
        identity.serial = "42"
        identity.uuid = Array(1...16)
        var processor = SMBIOS.Processor()
        (processor.id, processor.cores, processor.threads) = (0x0783_FBFF_0000_06FB, 2, 4)
        return SMBIOS(identity: identity, processors: [processor], memory: memory, firmwareVersion: "1.0")
    }

    @Test func theStructuresAreThereOnceWithTheirLengths() {
        let smbios = Self.machine([.init(address: 0, length: 0xC000_0000), .init(address: 1 << 32, length: 1 << 30)])
        let structures = Self.structures(smbios.tables)
        #expect(structures.map(\.type) == [0, 1, 3, 4, 16, 17, 19, 19, 32, 127])
        #expect(structures.map { UInt8($0.bytes.count) } == [24, 27, 22, 42, 23, 40, 31, 31, 11, 4])
        #expect(structures.map(\.handle) == Array(0..<10))
    }

    @Test func namesAndNumbersAreWhereTheSpecificationPutsThem() throws {
        let smbios = Self.machine([.init(address: 0, length: 0x1000_0000)])
        let structures = Self.structures(smbios.tables)
        let system = structures[1]
        #expect(system.strings == ["Backplane", "PC", "1", "42"])
        #expect(Array(system.bytes[4..<8]) == [1, 2, 3, 4])
        #expect(Array(system.bytes[8..<24]) == Array(1...16))
        let processor = structures[3]
        #expect(processor.bytes[5] == 3)
        #expect(number(processor.bytes, 8, 8) == 0x0783_FBFF_0000_06FB)
        #expect(Array(processor.bytes[0x23..<0x26]) == [2, 2, 4])
        #expect(number(structures[4].bytes, 7, 4) == 0x4_0000, "256 MiB in KiB")
        #expect(number(structures[4].bytes, 0x0D, 2) == 1)
        #expect(number(structures[5].bytes, 0x0C, 2) == 256, "in MiB")
        #expect(number(structures[5].bytes, 4, 2) == 4, "the array's handle")
        #expect(number(structures[6].bytes, 4, 4) == 0)
        #expect(number(structures[6].bytes, 8, 4) == 0x3_FFFF)
    }

    @Test func muchMemoryIsManyDevicesAndExtendedFields() {
        let structures = Self.structures(Self.machine([.init(address: 1 << 32, length: 8 << 40)]).tables)
        let devices = structures.filter { $0.type == 17 }
        #expect(devices.count < 65)
        #expect(devices.map { number($0.bytes, 0x0C, 2) }.allSatisfy { $0 == 0x7FFF })
        #expect(devices.reduce(0) { $0 + number($1.bytes, 0x1C, 4) } == 8 << 20, "in MiB")
        #expect(number(structures[4].bytes, 7, 4) == 0x8000_0000)
        #expect(number(structures[4].bytes, 0x0F, 8) == 8 << 40)
        let mapped = structures.first { $0.type == 19 }
        #expect(mapped.map { number($0.bytes, 4, 4) } == 0xFFFF_FFFF)
        #expect(mapped.map { number($0.bytes, 0x0F, 8) } == 1 << 32)
        #expect(mapped.map { number($0.bytes, 0x17, 8) } == (1 << 32) + (8 << 40) - 1)
    }

    @Test func theEntryPointCountsAndSums() {
        let smbios = Self.machine([.init(address: 0, length: 1 << 28)])
        let entry = smbios.entryPoint(tablesAt: 0xF_0000)
        #expect(entry.count == 31)
        #expect(text(entry.prefix(4)) == "_SM_")
        #expect(Array(entry[5..<8]) == [31, 2, 8])
        #expect(entry.reduce(0, &+) == 0)
        #expect(text(entry[16..<21]) == "_DMI_")
        #expect(entry[16...].reduce(0, &+) == 0)
        #expect(number(entry, 0x16, 2) == UInt64(smbios.tables.count))
        #expect(number(entry, 0x18, 4) == 0xF_0000)
        #expect(number(entry, 0x1C, 2) == 9)
        #expect(entry[0x1E] == 0x28)
    }

    @Test func aMachineWithoutMemoryOrNamesIsNoTrap() {
        var identity = SMBIOS.Identity()
        (identity.manufacturer, identity.uuid) = ("", [])
        let smbios = SMBIOS(
            identity: identity, processors: [],
            memory: [.init(address: .max, length: .max), .init(address: 0, length: 0)],
            firmwareVersion: "")
        #expect(Self.structures(smbios.tables).last?.type == 127)
    }
}
