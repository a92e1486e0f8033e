public import BoardSurvey

/// The MP configuration table, by which a kernel without ACPI finds the I/O APIC and what is wired to it.
/// Source: Intel MultiProcessor Specification 1.4 (242016), chapter 4. Comments name its tables.
///
/// Not modelled: default configurations, the extended table, and PCI buses behind bridges: their numbers are the guest's, who swizzles
/// their pins to the bridge's place by itself.
public struct MPTable: Equatable, Sendable {
    /// Names of the two files; a loader puts the address of the table into the floating pointer.
    public static let pointerFile = "etc/mptable/pointer"
    public static let tableFile = "etc/mptable/table"

    /// "PCMP", the header and its entries, with its checksum.
    public let table: [UInt8]

    /// nil: the board has no local APIC or no I/O APIC, and there is nothing to be told.
    public init?(_ board: Board) {
        guard let localAPIC = board.registers(.localAPIC), let ioAPIC = board.registers(.ioAPIC) else { return nil }
        var entries = [Self.processor]
        let hasPCI = board.pci.root != nil
        if hasPCI { entries.append(Self.bus(Self.pciBus, "PCI")) }
        entries.append(Self.bus(Self.isaBus, "ISA"))
        // Table 4-8: an 82093AA's version, enabled.
        entries.append([2, Self.ioAPICID, 0x11, 1] + Self.little(ioAPIC, 4))
        entries += Self.isa(board)
        if let root = board.pci.root { entries += Self.pci(board, root) }
        entries += Self.localInterrupts(hasPICs: board.has(hid: "PNP0000"))
        table = Self.table(localAPIC, entries)
    }

    /// Table 4-1: "_MP_", 16 bytes, for a table at `address`. No default configuration, and virtual wire mode (IMCR is not there).
    public static func pointer(tableAt address: UInt32 = 0) -> [UInt8] {
        var bytes = Array("_MP_".utf8) + little(address, 4) + [1, 4, 0] + [UInt8](repeating: 0, count: 5)
        bytes[10] = 0 &- bytes.reduce(0, &+)
        return bytes
    }

    // MARK: Entries

    private static let ioAPICID: UInt8 = 0
    private static let pciBus: UInt8 = 0
    private static let isaBus: UInt8 = 1

    /// Table 4-4: CPU 0, enabled, the boot processor; the signature and features of a Pentium with an APIC, as CPUID says more.
    private static let processor: [UInt8] =
        [0, 0, 0x14, 3] + little(0x0600, 4) + little(0x0201, 4) + [UInt8](repeating: 0, count: 8)

    /// Table 4-7.
    private static func bus(_ number: UInt8, _ kind: String) -> [UInt8] {
        [1, number] + Array(kind.utf8) + [UInt8](repeating: 0x20, count: 6 - kind.utf8.count)
    }

    private enum Kind: UInt8 { case vectored = 0, nmi, smi, external }
    /// Table 4-10: bits 1:0 polarity (1: active high), 3:2 trigger (1: edge, 3: level); 0: as the bus has it.
    private enum Flags {
        static let asTheBus: UInt16 = 0
        static let levelHigh: UInt16 = 0b1101
    }

    /// Table 4-10.
    private static func interrupt(
        _ kind: Kind, _ flags: UInt16, bus: UInt8, line: UInt8, input: UInt8
    ) -> [UInt8] {
        [3, kind.rawValue] + little(UInt32(flags), 2) + [bus, line, ioAPICID, input]
    }

    /// IRQ n is input n, but for the timer, which is at input 2, where the PIC has its cascade.
    private static func isa(_ board: Board) -> [[UInt8]] {
        (0..<UInt8(Board.isaInterrupts)).filter { $0 != 2 }.map { line in
            interrupt(
                .vectored, board.levels.contains(UInt32(line)) ? Flags.levelHigh : Flags.asTheBus, bus: isaBus,
                line: line,
                input: line == 0 ? 2 : line)
        }
    }

    /// Device and pin as one number (D.3). What goes by a router that firmware sets is left out: the table cannot know where to.
    private static func pci(_ board: Board, _ root: Int) -> [[UInt8]] {
        board.pci.routes(of: root).compactMap { route in
            guard board.pci.apicLines.indices.contains(route.line),
                let number = board.pci.apicLines[route.line].interrupt, let input = UInt8(exactly: number)
            else { return nil }
            // Lines here are active high, whatever PCI's are: below 16 others may share the input, and say so.
            return interrupt(
                .vectored, Flags.levelHigh, bus: pciBus, line: (route.device & 31) << 2 | route.pin & 3, input: input)
        }
    }

    /// Table 4-11: the PIC's output is LINT0, NMI is LINT1, of all processors.
    private static func localInterrupts(hasPICs: Bool) -> [[UInt8]] {
        let external: [UInt8] = [4, Kind.external.rawValue, 0, 0, isaBus, 0, 0xFF, 0]
        return (hasPICs ? [external] : []) + [[4, Kind.nmi.rawValue, 0, 0, isaBus, 0, 0xFF, 1]]
    }

    /// Table 4-2.
    private static func table(_ localAPIC: UInt32, _ entries: [[UInt8]]) -> [UInt8] {
        let length = 44 + entries.reduce(0) { $0 + $1.count }
        var bytes = Array("PCMP".utf8) + little(UInt32(clamping: length), 2) + [4, 0]
        bytes += Array("BACKPLNE".utf8) + Array("PC          ".utf8) + [UInt8](repeating: 0, count: 6)
        bytes += little(UInt32(clamping: entries.count), 2) + little(localAPIC, 4) + [0, 0, 0, 0]
        bytes += entries.flatMap { $0 }
        bytes[7] = 0 &- bytes.reduce(0, &+)
        return bytes
    }

    private static func little(_ value: UInt32, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value &>> UInt32(8 * $0)) }
    }
}
