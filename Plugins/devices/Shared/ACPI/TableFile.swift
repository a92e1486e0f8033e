/// Tables as bytes in which addresses are not known yet: pointers hold offsets, and checksums are open. Firmware, or a loader in
/// its place, does both by a script (`loaderScript`).
public struct TableFile: Equatable, Sendable {
    public enum Zone: UInt8, Sendable { case high = 1, low = 2 }  // low: the first MiB's F segment

    /// A field of `size` (1, 2, 4, 8) bytes at `offset`, which holds an offset in `target`.
    struct Pointer: Equatable, Sendable {
        var offset: Int
        var size: Int
        var target: String
    }

    /// The byte at `offset` makes the sum of `range` zero.
    struct Checksum: Equatable, Sendable {
        var offset: Int
        var range: Range<Int>
    }

    public let name: String
    public let zone: Zone
    public let alignment: UInt32
    public private(set) var bytes: [UInt8] = []
    private(set) var pointers: [Pointer] = []
    private(set) var checksums: [Checksum] = []

    public init(_ name: String, zone: Zone, alignment: UInt32) {
        (self.name, self.zone, self.alignment) = (name, zone, alignment)
    }

    /// Appends bytes, first zeroes up to a multiple of `alignment` (at least 1), and gives their offset.
    public mutating func append(_ more: [UInt8], alignment: Int = 8) -> Int {
        let alignment = max(alignment, 1)
        bytes += [UInt8](repeating: 0, count: (alignment - bytes.count % alignment) % alignment)
        defer { bytes += more }
        return bytes.count
    }

    /// The field at `offset` becomes the address of `target` bytes into the file `file`. One that is not all in the bytes is
    /// left out.
    public mutating func point(_ offset: Int, size: Int, to target: Int, in file: String) {
        guard [1, 2, 4, 8].contains(size), offset >= 0, bytes.count >= size, offset <= bytes.count - size else {
            return
        }
        bytes.put(Array(UInt64(clamping: target).littleEndianBytes.prefix(size)), at: offset)
        pointers.append(Pointer(offset: offset, size: size, target: file))
    }

    /// The byte at `offset` makes the sum of `range` zero; left out likewise.
    public mutating func sum(_ offset: Int, over range: Range<Int>) {
        guard bytes.indices.contains(offset), range.lowerBound >= 0, range.upperBound <= bytes.count else { return }
        bytes.put([0], at: offset)
        checksums.append(Checksum(offset: offset, range: range))
    }

    /// etc/table-loader for `files`. Source: QEMU, docs and hw/acpi/bios-linker-loader.c: 128 bytes a command.
    public static func loaderScript(_ files: [TableFile]) -> [UInt8] {
        let allocations = files.map { command(1, [$0.name], $0.alignment.littleEndianBytes + [$0.zone.rawValue]) }
        let pointers = files.flatMap { file in
            file.pointers.map {
                command(
                    2, [file.name, $0.target],
                    UInt32(clamping: $0.offset).littleEndianBytes + [UInt8(clamping: $0.size)])
            }
        }
        let checksums = files.flatMap { file in
            file.checksums.map {
                command(
                    3, [file.name],
                    [$0.offset, $0.range.lowerBound, $0.range.count].flatMap { UInt32(clamping: $0).littleEndianBytes })
            }
        }
        return (allocations + pointers + checksums).flatMap { $0 }
    }

    /// A command for the script's end: the address of `source` bytes into `file` goes to the writable file `target` of
    /// fw_cfg, `offset` bytes into it.
    public static func writePointer(
        to target: String, offset: UInt32, size: UInt8, of file: String, source: UInt32
    ) -> [UInt8] {
        command(4, [target, file], offset.littleEndianBytes + source.littleEndianBytes + [size])
    }

    private static func command(_ code: UInt32, _ files: [String], _ rest: [UInt8]) -> [UInt8] {
        let used = code.littleEndianBytes + files.flatMap { [UInt8](fixed: $0, 56) } + rest
        return used + [UInt8](repeating: 0, count: 128 - used.count)
    }
}
