public import Images

/// `struct boot_params`, which a kernel finds by RSI or ESI: what it is told.
/// Source: Linux, Documentation/arch/x86/zero-page.rst and boot.rst.
///
/// All that is not set is zero: no video mode (the kernel then has no VGA console), no EFI, no APM, no EDD.
public struct ZeroPage: Equatable, Sendable {
    public static let size = 4096

    public struct Entry: Equatable, Sendable {
        /// The numbers of an E820 map.
        public enum Kind: UInt32, Sendable { case ram = 1, reserved = 2, acpi = 3 }
        public var range: Range<UInt64>
        public var kind: Kind

        public init(range: Range<UInt64>, kind: Kind) {
            self.range = range
            self.kind = kind
        }
    }

    /// Ascending; 128 at most.
    public var memoryMap: [Entry]
    /// The setup header as the kernel's file has it, from 0x1f1 on. Empty: that of protocol 2.12, for a kernel that
    /// brings none.
    public var header: ArraySlice<UInt8> = []
    public var commandLine: UInt32 = 0
    public var initrd: Range<UInt32> = 0..<0
    /// Where the RSDP is; 0: the kernel looks for it (protocol 2.14).
    public var rootPointer: UInt64 = 0
    /// Where the protected-mode code was loaded. nil: it was not.
    public var codeStart: UInt32?

    /// RAM; ACPI's are firmware's tables; reserved are ROM, devices' memory, and 0xa0000 to 0xfffff: a PC's adapters answer there, and the kernel looks for
    /// firmware's tables. Other holes stay unnamed: they are free for devices.
    public static func memoryMap(_ ram: RAMMap) throws(LinuxBootError) -> [Entry] {
        let adapters: Range<UInt64> = 0xA0000..<0x100000
        var available = ram
        available.remove(adapters)
        // Adapters and what is reserved around them are one range.
        let reserved = RAMMap(ram: ram.reserved + [adapters]).ranges
        let entries =
            (available.ranges.map { Entry(range: $0, kind: .ram) } + reserved.map { Entry(range: $0, kind: .reserved) }
            + ram.tables.map { Entry(range: $0, kind: .acpi) })
            .sorted { $0.range.lowerBound < $1.range.lowerBound }
        guard entries.count <= mostEntries else { throw .tooManyRanges(entries.count) }
        return entries
    }

    public init(memoryMap: [Entry]) { self.memoryMap = memoryMap }

    public var bytes: [UInt8] {
        var page = [UInt8](repeating: 0, count: Self.size)
        func put(_ value: some FixedWidthInteger & UnsignedInteger, _ offset: Int) {
            for index in 0..<value.bitWidth / 8 {
                page[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * index))
            }
        }
        put(rootPointer, 0x70)
        if header.isEmpty {
            put(UInt16(0xAA55), 0x1FE)
            put(UInt32(0x5372_6448), 0x202)  // "HdrS"
            put(UInt16(0x020C), 0x206)
            put(SetupHeader.LoadFlags.loadedHigh.rawValue, 0x211)
            put(UInt32(0x7FFF_FFFF), 0x22C)
        } else {
            for (index, byte) in header.prefix(Self.headerEnd - 0x1F1).enumerated() { page[0x1F1 + index] = byte }
        }
        put(UInt16(0xFFFF), 0x1FA)  // vid_mode: normal
        put(UInt8(0xFF), 0x210)  // type_of_loader: one without a number
        page[0x211] &= ~SetupHeader.LoadFlags.kaslr.rawValue
        if let codeStart { put(codeStart, 0x214) }
        put(initrd.lowerBound, 0x218)
        put(initrd.upperBound - initrd.lowerBound, 0x21C)
        put(commandLine, 0x228)

        put(UInt8(clamping: min(memoryMap.count, Self.mostEntries)), 0x1E8)
        for (index, entry) in memoryMap.prefix(Self.mostEntries).enumerated() {
            put(entry.range.lowerBound, 0x2D0 + 20 * index)
            put(entry.range.upperBound - entry.range.lowerBound, 0x2D0 + 20 * index + 8)
            put(entry.kind.rawValue, 0x2D0 + 20 * index + 16)
        }
        return page
    }

    private static let mostEntries = 128
    private static let headerEnd = 0x290
}
