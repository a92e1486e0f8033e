public import Images

/// The setup header of a bzImage: what the kernel says of itself.
/// Source: Linux, Documentation/arch/x86/boot.rst, "Details of Header Fields"; offsets are those of the file.
///
/// The input is hostile: what is kept lies in the file, and numbers are only what they claim to be.
public struct SetupHeader: Equatable, Sendable {
    public struct LoadFlags: OptionSet, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        /// The protected-mode code is loaded at 1 MiB or above.
        public static let loadedHigh = Self(rawValue: 1 << 0)
        /// Set by the kernel's own unpacker where it moved the kernel.
        public static let kaslr = Self(rawValue: 1 << 1)
    }

    /// xloadflags
    public struct ExtendedFlags: OptionSet, Sendable {
        public let rawValue: UInt16
        public init(rawValue: UInt16) { self.rawValue = rawValue }
        /// The kernel has the 64-bit entry at 0x200.
        public static let kernel64 = Self(rawValue: 1 << 0)
    }

    /// The oldest protocol that is booted, 2.06 (Linux 2.6.22): from it on the header says how long a command line may
    /// be. The fields of later ones have the documented values where the kernel is older.
    public static let oldest: UInt16 = 0x0206

    /// 0x020a is 2.10.
    public let version: UInt16
    public let loadFlags: LoadFlags
    public let extendedFlags: ExtendedFlags
    /// Where a kernel that cannot be moved expects its protected-mode code.
    public let codeStart: UInt32
    public let isRelocatable: Bool
    /// A power of two.
    public let alignment: UInt32
    /// Where the kernel wants to run. nil: older than 2.10.
    public let preferredAddress: UInt64?
    /// The memory that the kernel needs from where it runs, before it has read its memory map. nil: older than 2.10.
    public let initSize: UInt32?
    /// The highest address that a byte of the initrd may have.
    public let initrdMax: UInt32
    /// Without the final NUL.
    public let commandLineSize: UInt32
    /// "6.1.0-56-amd64 (...) #1 SMP ...", of the first 127 bytes. Empty: it has none.
    public let release: String
    /// The header's bytes from 0x1f1 on, for the zero page.
    public let bytes: ArraySlice<UInt8>
    /// The protected-mode code, in the file.
    public let code: Range<UInt64>
    /// The compressed kernel, in the file. nil: the header does not say, or not within the code.
    public let payload: Range<UInt64>?

    public init(_ file: ByteReader) throws(LinuxBootError) {
        guard file.u16(0x1FE) == 0xAA55, file.u32(0x202) == 0x5372_6448 else { throw Self.stranger(file) }
        guard let version = file.u16(0x206), let length = file.u8(0x201) else { throw .truncated(file.count) }
        guard version >= Self.oldest else { throw .tooOld(version) }
        // The last field that there may be, in the documentation of 2.15, ends at 0x26c; after 0x290 other things follow.
        let end = min(0x202 + UInt64(length), 0x290)
        guard end >= 0x23C, let bytes = file.slice(0x1F1, end - 0x1F1) else { throw .truncated(file.count) }
        func field<T: FixedWidthInteger>(_ offset: UInt64, _ read: (UInt64) -> T?, from: UInt16 = 0) -> T? {
            version >= from && offset + UInt64(T.bitWidth / 8) <= end ? read(offset) : nil
        }

        self.version = version
        self.bytes = bytes
        loadFlags = LoadFlags(rawValue: file.u8(0x211) ?? 0)
        guard loadFlags.contains(.loadedHigh) else { throw .loadedLow }
        extendedFlags = ExtendedFlags(rawValue: field(0x236, file.u16, from: 0x020C) ?? 0)
        codeStart = file.u32(0x214) ?? 0x10_0000
        isRelocatable = file.u8(0x234) ?? 0 != 0
        alignment = Self.powerOfTwo(file.u32(0x230) ?? 0)
        preferredAddress = field(0x258, file.u64, from: 0x020A)
        initSize = field(0x260, file.u32, from: 0x020A)
        initrdMax = file.u32(0x22C) ?? 0x37FF_FFFF
        commandLineSize = file.u32(0x238) ?? 255
        release = Self.release(file)
        code = try Self.code(file)
        payload = Self.payload(
            offset: field(0x248, file.u32, from: 0x0208), length: field(0x24C, file.u32, from: 0x0208), in: code)
    }

    /// 0x020a is "2.10".
    public static func text(of version: UInt16) -> String {
        let minor = version & 0xFF
        return "\(version >> 8)." + (minor < 10 ? "0" : "") + "\(minor)"
    }

    public var hasLongModeEntry: Bool { extendedFlags.contains(.kernel64) }

    /// What a file that is no bzImage may be instead.
    private static func stranger(_ file: ByteReader) -> LinuxBootError {
        if file.u32(0) == 0x464C_457F { return .isELF }
        if file.u16(0x1FE) == 0xAA55 { return .bootSector }
        return .notKernel
    }

    private static func powerOfTwo(_ value: UInt32) -> UInt32 {
        value != 0 && value & (value &- 1) == 0 ? value : 0x20_0000
    }

    private static func release(_ file: ByteReader) -> String {
        let pointer = UInt64(file.u16(0x20E) ?? 0)
        guard pointer != 0, pointer + 0x200 < file.count else { return "" }
        let bytes = file.slice(pointer + 0x200, min(127, file.count - pointer - 0x200)) ?? []
        return String(decoding: bytes.prefix { $0 >= 0x20 && $0 < 0x7F }, as: UTF8.self)
    }

    private static func code(_ file: ByteReader) throws(LinuxBootError) -> Range<UInt64> {
        let sectors = UInt64(file.u8(0x1F1) ?? 0)
        let start = ((sectors == 0 ? 4 : sectors) + 1) * 512
        // syssize counts paragraphs. What follows is a signature.
        let size = UInt64(file.u32(0x1F4) ?? 0) * 16
        guard size > 0, start < file.count, size <= file.count - start else { throw .truncated(file.count) }
        return start..<start + size
    }

    private static func payload(offset: UInt32?, length: UInt32?, in code: Range<UInt64>) -> Range<UInt64>? {
        guard let offset, let length, length > 0 else { return nil }
        let start = code.lowerBound + UInt64(offset)
        guard start < code.upperBound, UInt64(length) <= code.upperBound - start else { return nil }
        return start..<start + UInt64(length)
    }
}
