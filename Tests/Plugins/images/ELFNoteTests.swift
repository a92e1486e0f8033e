import Images
import Testing

@Suite struct ELFNoteTests {
    /// Notes at 0x100, in the second program header; their size is `size`.
    private func file(_ words: [UInt32], size: UInt32? = nil) -> [UInt8] {
        var file = elf32(programHeaders: 2)
        file.segment32(
            1, type: 4, offset: 0x100, virtual: 0, physical: 0, inFile: size ?? UInt32(words.count * 4), inMemory: 0)
        for (index, word) in words.enumerated() { file.put32(word, at: 0x100 + 4 * index) }
        return file.bytes
    }

    private let xen: UInt32 = 0x006E_6558  // "Xen\0"

    @Test func notesFollowEachOther() {
        let notes = ELFNote.all(in: file([4, 8, 18, xen, 1, 2, 4, 3, 5, xen, 0x00CC_BBAA]), .elf32)
        #expect(notes.map(\.type) == [18, 5])
        #expect(notes.map(\.name) == ["Xen", "Xen"])
        #expect(Array(notes[0].description) == [1, 0, 0, 0, 2, 0, 0, 0])
        #expect(Array(notes[1].description) == [0xAA, 0xBB, 0xCC])
    }

    @Test func aBrokenNoteEndsThem() {
        #expect(ELFNote.all(in: file([4, 4, 18, xen, 1, .max, .max, 1]), .elf32).map(\.type) == [18])
        #expect(ELFNote.all(in: file([4, 100, 18, xen, 1]), .elf32).isEmpty)
        #expect(ELFNote.all(in: file([.max, 4, 18, xen, 1]), .elf32).isEmpty)
        #expect(ELFNote.all(in: file([4, 4], size: 8), .elf32).isEmpty)
    }

    @Test func notesOutsideTheFileAreNone() {
        #expect(ELFNote.all(in: file([4, 4, 18, xen, 1], size: 0x101), .elf32).isEmpty)
        #expect(ELFNote.all(in: file([4, 4, 18, xen, 1], size: .max), .elf32).isEmpty)
        #expect(ELFNote.all(in: [], .elf64).isEmpty)
    }

    @Test func thereAreAtMost1024() {
        var big = elf32(programHeaders: 2)
        big.bytes += [UInt8](repeating: 0, count: 0x10000)
        big.segment32(1, type: 4, offset: 0x200, virtual: 0, physical: 0, inFile: 0x10000, inMemory: 0)
        #expect(ELFNote.all(in: big.bytes, .elf32).count == 1024)
    }
}
