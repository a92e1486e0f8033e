/// System management BIOS: structures and the entry point that finds them.
/// Source: DMTF DSP0134, SMBIOS reference specification 2.8. Handles are given here, in order.
public struct SMBIOS: Equatable, Sendable {
    public struct Identity: Equatable, Sendable {
        public var manufacturer = "Backplane"
        public var product = "PC"
        public var version = "1"
        public var serial = ""
        /// As the bytes lie in the structure: the first three fields little-endian.
        public var uuid = [UInt8](repeating: 0, count: 16)
        public init() {}
    }

    public struct Processor: Equatable, Sendable {
        public var manufacturer = "Backplane"
        public var version = ""
        /// CPUID leaf 1: EAX in the lower half, EDX in the upper.
        public var id: UInt64 = 0
        public var cores: UInt8 = 1
        public var threads: UInt8 = 1
        public var megahertz: UInt16 = 0
        public init() {}
    }

    /// A range of RAM, in bytes; edges are multiples of 1 KiB.
    public struct Range: Equatable, Sendable {
        public var address: UInt64
        public var length: UInt64
        public init(address: UInt64, length: UInt64) { (self.address, self.length) = (address, length) }
    }

    /// fw_cfg's names. Firmware copies both and puts the table's address into the anchor.
    public static let anchorFile = "etc/smbios/smbios-anchor"
    public static let tablesFile = "etc/smbios/smbios-tables"

    public private(set) var tables: [UInt8] = []
    private var count: UInt16 = 0
    private var longest = 0

    /// Types 0, 1, 3, 4 for each of `processors`, 16, 17 and 19 for `memory`, 32 and 127.
    public init(identity: Identity, processors: [Processor], memory: [Range], firmwareVersion: String) {
        addFirmware(firmwareVersion)
        addSystem(identity)
        addEnclosure(identity)
        for (index, processor) in processors.enumerated() { addProcessor(processor, index) }
        addMemory(memory)
        _ = add(32, [UInt8](repeating: 0, count: 7))
        _ = add(127, [])
    }

    /// "_SM_", version 2.8, 31 bytes, for a table at `address`.
    public func entryPoint(tablesAt address: UInt32 = 0) -> [UInt8] {
        var middle = [UInt8](fixed: "_DMI_", 5) + [0] + UInt16(clamping: tables.count).littleEndianBytes
        middle += address.littleEndianBytes + count.littleEndianBytes + [0x28]
        middle[5] = middle.checksum
        var bytes = [UInt8](fixed: "_SM_", 4) + [0, 31, 2, 8] + UInt16(clamping: longest).littleEndianBytes
        bytes += [UInt8](repeating: 0, count: 6) + middle
        bytes[4] = bytes.checksum
        return bytes
    }

    /// Formatted part, then strings, each ended by a zero, and a zero; without strings two zeroes.
    private mutating func add(_ type: UInt8, _ fields: [UInt8], _ strings: [String] = []) -> UInt16 {
        let handle = count
        let texts = strings.flatMap { text -> [UInt8] in
            let bytes = text.utf8.filter { $0 != 0 }.prefix(64)
            return (bytes.isEmpty ? [0x20] : Array(bytes)) + [0]
        }
        let bytes =
            [type, UInt8(clamping: fields.count + 4)] + handle.littleEndianBytes + fields
            + (texts.isEmpty ? [0, 0] : texts + [0])
        tables += bytes
        count &+= 1
        longest = max(longest, bytes.count)
        return handle
    }

    /// Type 0. Characteristics: "not supported"; extension byte 2: the machine is virtual (and UEFI is not claimed).
    private mutating func addFirmware(_ version: String) {
        let characteristics = UInt64(1 << 3).littleEndianBytes + [0, 0x10]
        _ = add(
            0, [1, 2] + UInt16(0xE800).littleEndianBytes + [3, 0] + characteristics + [0, 0, 0xFF, 0xFF],
            ["Backplane", version, "01/01/2026"])
    }

    /// Type 1. Wake-up: power switch.
    private mutating func addSystem(_ identity: Identity) {
        let uuid = identity.uuid.prefix(16) + [UInt8](repeating: 0, count: max(0, 16 - identity.uuid.count))
        let names = [identity.manufacturer, identity.product, identity.version] + Self.optional(identity.serial)
        _ = add(1, [1, 2, 3, identity.serial.isEmpty ? 0 : 4] + uuid + [6, 0, 0], names)
    }

    /// Type 3. Type other; its states are safe, security unknown.
    private mutating func addEnclosure(_ identity: Identity) {
        let fields: [UInt8] = [1, 1, 2, 0, 0, 3, 3, 3, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        _ = add(3, fields, [identity.manufacturer, identity.version])
    }

    /// Type 4. Central processor, populated and enabled, no cache described, 64-bit capable.
    private mutating func addProcessor(_ processor: Processor, _ index: Int) {
        let names = ["CPU \(index)", processor.manufacturer] + Self.optional(processor.version)
        var fields: [UInt8] =
            [1, 3, 1, 2] + processor.id.littleEndianBytes + [processor.version.isEmpty ? 0 : 3, 0, 0, 0]
        fields += processor.megahertz.littleEndianBytes + processor.megahertz.littleEndianBytes + [0x41, 1]
        fields += [UInt8](repeating: 0xFF, count: 6) + [0, 0, 0, processor.cores, processor.cores, processor.threads]
        fields += UInt16(1 << 2).littleEndianBytes + UInt16(1).littleEndianBytes
        _ = add(4, fields, names)
    }

    /// Devices of 16 GiB, or larger where that would be more than 64.
    private mutating func addMemory(_ ranges: [Range]) {
        let total = ranges.reduce(UInt64(0)) { $0.addingReportingOverflow($1.length).partialValue }
        let size = max(16 << 30, (total >> 6 | 0xF_FFFF) &+ 1)
        let devices = total / size &+ (total % size == 0 ? 0 : 1)
        let array = addArray(total, UInt16(truncatingIfNeeded: devices))
        for index in 0..<devices { addDevice(min(total &- index &* size, size), index, array) }
        for range in ranges { addMapped(range, array) }
    }

    /// Type 16. Capacity in KiB; what does not fit 31 bits in the extended field, in bytes.
    private mutating func addArray(_ total: UInt64, _ devices: UInt16) -> UInt16 {
        let fits = total < 2 << 40
        let short = fits ? UInt32(total >> 10) : 0x8000_0000
        return add(
            16,
            [1, 3, 6] + short.littleEndianBytes + [0xFE, 0xFF] + devices.littleEndianBytes
                + (fits ? 0 : total).littleEndianBytes)
    }

    /// Type 17. A DIMM of RAM; sizes in MiB, those below in KiB (bit 15), those from 32 GiB on in the extended field.
    private mutating func addDevice(_ size: UInt64, _ index: UInt64, _ array: UInt16) {
        let mebibytes = size >> 20
        let isLarge = mebibytes >= 0x7FFF
        let short = isLarge ? 0x7FFF : mebibytes == 0 ? UInt16(size >> 10) | 0x8000 : UInt16(mebibytes)
        let long = isLarge ? UInt32(clamping: mebibytes) & 0x7FFF_FFFF : 0
        var fields = array.littleEndianBytes + [0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF] + short.littleEndianBytes
        fields += [9, 0, 1, 0, 7, 2, 0, 0, 0, 2, 0, 0, 0, 0] + long.littleEndianBytes + [UInt8](repeating: 0, count: 8)
        _ = add(17, fields, ["DIMM \(index)", "Backplane"])
    }

    /// Type 19. First and last KiB, or from 4 TiB on the extended fields, in bytes.
    private mutating func addMapped(_ range: Range, _ array: UInt16) {
        guard range.length > 0 else { return }
        let last = range.address &+ range.length &- 1
        let fits = last >> 10 < 0xFFFF_FFFF
        let short = fits ? [UInt32(range.address >> 10), UInt32(last >> 10)] : [0xFFFF_FFFF, 0xFFFF_FFFF]
        let long = fits ? [0, 0] : [range.address, last]
        _ = add(
            19, short.flatMap(\.littleEndianBytes) + array.littleEndianBytes + [1] + long.flatMap(\.littleEndianBytes))
    }

    private static func optional(_ text: String) -> [String] { text.isEmpty ? [] : [text] }
}
