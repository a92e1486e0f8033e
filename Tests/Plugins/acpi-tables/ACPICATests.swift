import ACPITables
import Foundation
import Testing

/// What ACPICA says: iasl reads and compiles again what this encodes, acpiexec evaluates it.
@Suite(.enabled(if: Tool.isThere, "acpica-tools is not installed: iasl and acpiexec are not there"))
struct ACPICATests {
    @Test func iaslReadsEveryTable() throws {
        let folder = try Tool.folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        for revision: UInt8 in [1, 3] {
            let set = tableSet(revision: revision)
            let files = TableFile.place(set.files, at: ["etc/acpi/tables": 0x7FFE_0000])
            let pointer = try #require(files["etc/acpi/rsdp"])
            let found = walk([0x7FFE_0000: try #require(files["etc/acpi/tables"])], from: pointer)
            #expect(found.count == 7)
            for (name, bytes) in found {
                let file = "\(name)\(revision)"
                try Data(bytes).write(to: folder.appendingPathComponent(file + ".aml"))
                let (status, output) = try Tool.run(Tool.iasl, ["-d", file + ".aml"], in: folder)
                #expect(status == 0, "\(output)")
                for word in ["Error", "Warning", "Invalid", "incorrect", "Incorrect", "unknown", "Unknown"] {
                    #expect(!output.contains(word), "\(name): \(output)")
                }
            }
        }
    }

    @Test func theNameSpaceCompilesAgainWithoutAnError() throws {
        let folder = try Tool.folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        try writeBoard(to: folder)
        _ = try Tool.run(Tool.iasl, ["-d", "dsdt.aml"], in: folder)
        let (status, output) = try Tool.run(Tool.iasl, ["-p", "again", "dsdt.dsl"], in: folder)
        #expect(status == 0, "\(output)")
        #expect(output.contains("0 Errors, 0 Warnings"), "\(output)")
    }

    @Test func theLinkDevicesTakeWhatTheyAreSet() throws {
        let output = try evaluate([
            "evaluate \\_SB.LNKB._CRS", "evaluate \\_SB.LNKB._SRS (89 06 00 09 01 0B 00 00 00 79 00)",
            "evaluate \\_SB.LNKB._CRS", "evaluate \\_SB.PCI0.ISA.PIRB", "evaluate \\_SB.LNKB._STA",
            "evaluate \\_SB.LNKB._DIS",
            "evaluate \\_SB.PCI0.ISA.PIRB", "evaluate \\_SB.LNKB._STA", "evaluate \\_SB.PCI0.ISA.PIRA",
        ])
        let integers = output.matches(of: /\[Integer\] = ([0-9A-F]+)/).map { UInt64($0.1, radix: 16) }
        #expect(integers == [0x0B, 0x0B, 0x8B, 0x09, 0x00], "\(output)")
        #expect(output.contains("89 06 00 09 01 0B 00 00 00 79"), "\(output)")
    }

    @Test func theRoutingTableFollowsTheInterruptModel() throws {
        let output = try evaluate([
            "evaluate \\_SB.PCI0._PRT", "evaluate \\_PIC 1", "evaluate \\_SB.PCI0._PRT", "evaluate \\_S5",
        ])
        #expect(!output.contains("AE_"), "\(output)")
        #expect(output.matches(of: /Contains 16 Elements/).count == 2, "\(output)")
        let halves = output.split(separator: "Evaluating \\_PIC")
        #expect(halves.count == 2)
        #expect(halves.first?.matches(of: /LNK[A-D]/).count == 16)
        #expect(halves.last?.contains("LNK") == false)
    }

    @Test func resourcesAreReadBackAsTheyWereSaid() throws {
        let windows = try evaluate(["resources \\_SB.PCI0"]).matches(of: /Address (Minimum|Maximum) : ([0-9A-F]+)/)
            .map { String($0.2) }
        #expect(
            windows == [
                "0000", "00FF", "0CF8", "0CF8", "0000", "0CF7", "00000D00", "0000FFFF", "80000000", "FEBFFFFF",
                "0000000800000000", "0000000FFFFFFFFF",
            ])
        let serial = try evaluate(["resources \\_SB.PCI0.ISA.COM1"])
        for line in ["Address Minimum : 03F8", "Triggering : Edge", "Polarity : ActiveHigh", "Sharing : Exclusive"] {
            #expect(serial.contains(line), "\(serial)")
        }
        let link = try evaluate(["resources \\_SB.LNKA"])
        for line in ["Triggering : Level", "Polarity : ActiveHigh", "Sharing : Shared", "Interrupt Count : 03"] {
            #expect(link.contains(line), "\(link)")
        }
    }

    private func writeBoard(to folder: URL) throws {
        let files = TableFile.place(tableSet().files, at: ["etc/acpi/tables": 0x7FFE_0000])
        let pointer = try #require(files["etc/acpi/rsdp"])
        let found = walk([0x7FFE_0000: try #require(files["etc/acpi/tables"])], from: pointer)
        try Data(try #require(found["DSDT"])).write(to: folder.appendingPathComponent("dsdt.aml"))
    }

    private func evaluate(_ commands: [String]) throws -> String {
        let folder = try Tool.folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        try writeBoard(to: folder)
        return try Tool.run(Tool.acpiexec, ["-b", commands.joined(separator: ";"), "dsdt.aml"], in: folder).output
    }
}
