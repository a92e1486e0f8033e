/// Contents of the files and items that firmware asks a PC for.
/// Source: QEMU (hw/i386/fw_cfg.c, hw/nvram/fw_cfg.c) and SeaBIOS (src/fw/paravirt.c), whose formats they are.
public enum FWCfgFiles {
    /// A range of etc/e820.
    public struct MemoryRange: Equatable, Sendable {
        /// As in INT 15h, AX = E820h.
        public enum Kind: UInt32, Sendable { case ram = 1, reserved = 2, acpi = 3, nonVolatile = 4, unusable = 5 }
        public var address: UInt64
        public var length: UInt64
        public var kind: Kind

        public init(address: UInt64, length: UInt64, kind: Kind) {
            self.address = address
            self.length = length
            self.kind = kind
        }
    }

    /// etc/e820: 20 bytes each, little-endian.
    public static func memoryMap(_ ranges: [MemoryRange]) -> [UInt8] {
        ranges.flatMap {
            $0.address.littleEndianBytes + $0.length.littleEndianBytes + $0.kind.rawValue.littleEndianBytes
        }
    }

    /// bootorder: OpenFirmware device paths, a line each, ended by a zero.
    public static func bootOrder(_ paths: [String]) -> [UInt8] {
        paths.isEmpty ? [] : Array(paths.joined(separator: "\n").utf8) + [0]
    }

    /// etc/system-states: for S0 to S5 bit 7 says that the state exists, bits 6:0 are SLP_TYP.
    public static func systemStates(suspendToRAM: UInt8?, suspendToDisk: UInt8?) -> [UInt8] {
        [0x80, 0, 0, suspendToRAM.map { 0x80 | $0 } ?? 1, suspendToDisk.map { 0x80 | $0 } ?? 2, 0x80]
    }

    /// A number of 16 bits: CPU counts, boot menu.
    public static func number(_ value: UInt16) -> [UInt8] { value.littleEndianBytes }
}
