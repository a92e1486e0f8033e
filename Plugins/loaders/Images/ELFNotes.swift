/// A note of an ELF file: what its maker tells a loader.
/// Source: System V ABI, edition 4.1, chapter 5, "Note Section". The 64-bit form has words of 4 bytes too, as all makers
/// write it.
public struct ELFNote: Equatable, Sendable {
    /// Without its final NUL.
    public var name: String
    public var type: UInt32
    public var description: ArraySlice<UInt8>

    /// Those of all PT_NOTE program headers, at most 1024. What is broken ends the notes of its header.
    public static func all(in bytes: [UInt8], _ elfClass: ELFImage.Class) -> [ELFNote] {
        let reader = ByteReader(bytes)
        guard let header = ELFHeader(reader, elfClass), header.programHeaderCount < 0xFFFF else { return [] }
        let isLong = elfClass == .elf64
        var notes: [ELFNote] = []
        for index in 0..<UInt64(header.programHeaderCount) {
            let at = header.programHeaders &+ index &* UInt64(header.programHeaderSize)
            guard at < reader.count, reader.u32(at) == noteHeader else { continue }
            let offset = isLong ? reader.u64(at + 8) : reader.u32(at + 4).map { UInt64($0) }
            let size = isLong ? reader.u64(at + 32) : reader.u32(at + 16).map { UInt64($0) }
            guard let offset, let size, reader.slice(offset, size) != nil else { continue }
            append(to: &notes, reader, offset..<offset + size)
        }
        return notes
    }

    private static let noteHeader: UInt32 = 4
    private static let most = 1024

    private static func append(to notes: inout [ELFNote], _ reader: ByteReader, _ range: Range<UInt64>) {
        var at = range.lowerBound
        while notes.count < most, at < range.upperBound {
            guard let nameSize = reader.u32(at), let size = reader.u32(at + 4), let type = reader.u32(at + 8) else {
                return
            }
            let descriptionAt = at + 12 + padded(nameSize)
            let next = descriptionAt + padded(size)
            guard next <= range.upperBound || descriptionAt + UInt64(size) == range.upperBound,
                let name = reader.slice(at + 12, UInt64(nameSize)),
                let description = reader.slice(descriptionAt, UInt64(size))
            else { return }
            notes.append(
                ELFNote(
                    name: String(decoding: name.prefix { $0 != 0 }, as: UTF8.self), type: type,
                    description: description))
            at = next
        }
    }

    private static func padded(_ size: UInt32) -> UInt64 { (UInt64(size) + 3) & ~3 }
}
