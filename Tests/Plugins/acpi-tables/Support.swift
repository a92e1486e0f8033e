import Foundation
import Testing

@testable import ACPITables

func little(_ bytes: some Collection<UInt8>) -> UInt64 {
    bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
}

func number(_ bytes: [UInt8], _ offset: Int, _ size: Int) -> UInt64 { little(bytes[offset..<offset + size]) }

func text(_ bytes: some Sequence<UInt8>) -> String { String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self) }

/// A small board: PCI0 with windows, an ISA bridge with link devices, a serial port.
func board() -> DefinitionBlock {
    let links = ["LNKA", "LNKB", "LNKC", "LNKD"]
    let routes = (1...4 as ClosedRange<UInt8>).flatMap { device in
        (0..<4 as Range<UInt8>).map {
            PCINames.Route(device: device, pin: $0, .link("\\_SB." + links[Int((device &+ 3 &+ $0) & 3)]))
        }
    }
    let direct = routes.map { PCINames.Route(device: $0.device, pin: $0.pin, .interrupt(16 + UInt32($0.pin))) }
    let pci: [AML] = [
        .name("_HID", .hardwareID("PNP0A03")), .name("_UID", .integer(0)),
        .name(
            "_CRS",
            .resources([
                .buses(.init(0, through: 255)), .io(port: 0xCF8, count: 8), .wordIO(.init(0, through: 0xCF7)),
                .doubleWordIO(.init(0xD00, through: 0xFFFF)),
                .doubleWordMemory(.init(0x8000_0000, through: 0xFEBF_FFFF), isCacheable: false, isWritable: true),
                .quadWordMemory(.init(0x8_0000_0000, through: 0xF_FFFF_FFFF), isCacheable: true, isWritable: true),
            ])),
        PCINames.routingTable(pic: routes, apic: direct),
        .device(
            "ISA",
            [
                .name("_ADR", .integer(0x1_0000)),
                .operationRegion("PIRR", .configuration, offset: 0x60, length: 4),
                .field("PIRR", access: .byte, ["PIRA", "PIRB", "PIRC", "PIRD"].map { .field($0, bits: 8) }),
                .device(
                    "COM1",
                    [
                        .name("_HID", .hardwareID("PNP0501")), .name("_UID", .integer(1)),
                        .name("_CRS", .resources([.io(port: 0x3F8, count: 8), .irq(mask: 1 << 4, .edge)])),
                    ]),
            ]),
    ]
    let devices = zip(links, ["PIRA", "PIRB", "PIRC", "PIRD"]).enumerated().flatMap { index, pair in
        [
            PCINames.link(pair.0, uid: UInt64(index), register: "\\_SB.PCI0.ISA." + pair.1),
            PCINames.choices([5, 10, 11], of: pair.0),
        ]
    }
    return DefinitionBlock(
        PCINames.interruptModel + [
            PCINames.sleepState(5, sleepType: 0), .scope("\\_SB", [.device("PCI0", pci)] + devices),
        ])
}

func fixedDescription(revision: UInt8) -> FixedDescription {
    var fixed = FixedDescription()
    fixed.revision = revision
    (fixed.commandPort, fixed.enableValue, fixed.disableValue) = (0xB2, 0xF1, 0xF0)
    (fixed.events, fixed.control, fixed.timer) = (.init(0x600, 4), .init(0x604, 2), .init(0x608, 4))
    fixed.generalEvents = .init(0xAFE0, 4)
    fixed.centuryIndex = 0x32
    fixed.boot = [.legacyDevices, .keyboardController]
    fixed.flags = [.wbinvd, .allCPUsHaveC1, .sleepButtonIsDevice, .hasResetRegister]
    (fixed.resetPort, fixed.resetValue) = (0xCF9, 6)
    return fixed
}

func tableSet(revision: UInt8 = 3) -> ACPITableSet {
    ACPITableSet(
        fixed: fixedDescription(revision: revision), namespace: board(),
        others: [
            InterruptControllers([
                .localAPIC(processor: 0, id: 0, isEnabled: true),
                .ioAPIC(id: 1, address: 0xFEC0_0000, firstInterrupt: 0),
                .override(irq: 0, interrupt: 2, flags: 0), .override(irq: 9, interrupt: 9, flags: 13),
                .localNMI(processor: 0xFF, line: 1, flags: 0),
            ]),
            ConfigurationSpace(address: 0xB000_0000, buses: 0...255),
            EmulatedDevices(clockIsGood: true, timerIsGood: true),
        ])
}

/// The tables by their signatures, as an OS finds them from the RSDP, in memory of their own.
func walk(_ memory: [UInt64: [UInt8]], from pointer: [UInt8]) -> [String: [UInt8]] {
    func bytes(_ address: UInt64, _ count: Int) -> [UInt8] {
        guard let (base, file) = memory.first(where: { $0.key <= address && address < $0.key + UInt64($0.value.count) })
        else { return [UInt8](repeating: 0, count: count) }
        return Array(file[Int(address - base)...].prefix(count))
    }
    func table(_ address: UInt64) -> [UInt8] { bytes(address, Int(number(bytes(address, 8), 4, 4))) }
    let isExtended = pointer.count == 36
    let root = table(isExtended ? number(pointer, 24, 8) : number(pointer, 16, 4))
    let size = isExtended ? 8 : 4
    var found = [text(root.prefix(4)): root]
    for offset in stride(from: 36, to: root.count, by: size) {
        let entry = table(number(root, offset, size))
        found[text(entry.prefix(4))] = entry
        guard text(entry.prefix(4)) == "FACP" else { continue }
        found["DSDT"] = table(number(entry, 40, 4))
        found["FACS"] = table(number(entry, 36, 4))
    }
    return found
}

enum Tool {
    static let iasl = "/usr/bin/iasl"
    static let acpiexec = "/usr/bin/acpiexec"
    static var isThere: Bool {
        [iasl, acpiexec].allSatisfy(FileManager.default.isExecutableFile(atPath:))
    }

    /// Runs it in `folder`: status and all that it said.
    static func run(_ path: String, _ arguments: [String], in folder: URL) throws -> (status: Int32, output: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        process.currentDirectoryURL = folder
        let pipe = Pipe()
        (process.standardOutput, process.standardError) = (pipe, pipe)
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, output)
    }

    static func folder() throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("acpi-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }
}

extension TableFile {
    /// What the script comes to, made without it: the bytes of each file with addresses and checksums, once `addresses` says where each goes. A pointer into a file
    /// that has no address stays as it is.
    static func place(_ files: [TableFile], at addresses: [String: UInt64]) -> [String: [UInt8]] {
        Dictionary(
            files.map { file in
                var bytes = file.bytes
                for pointer in file.pointers {
                    guard let base = addresses[pointer.target] else { continue }
                    let field = bytes[pointer.offset..<pointer.offset + pointer.size]
                    let value = field.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) } &+ base
                    bytes.put(Array(value.littleEndianBytes.prefix(pointer.size)), at: pointer.offset)
                }
                for checksum in file.checksums {
                    bytes.put([Array(bytes[checksum.range]).checksum], at: checksum.offset)
                }
                return (file.name, bytes)
            }, uniquingKeysWith: { first, _ in first })
    }
}
