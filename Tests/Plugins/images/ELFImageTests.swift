import Images
import Testing

@Suite struct ELFImageTests {
    private func error(_ file: Bytes) -> ELFError? {
        do {
            _ = try ELFImage(file.bytes)
            return nil
        } catch { return error }
    }

    @Test func a32BitFileGivesItsSegment() throws {
        let image = try ELFImage(elf32().bytes)
        #expect(image.elfClass == .elf32)
        #expect(image.machine == .i386)
        #expect(image.kind == .executable)
        #expect(image.entry == 0x100010)
        #expect(image.segments.count == 1)
        let segment = try #require(image.segments.first)
        #expect(segment.offset == 0x100)
        #expect(segment.fileSize == 0x40)
        #expect(segment.memorySize == 0x80)
        #expect(segment.virtual == 0x100000)
        #expect(segment.physical == 0x100000)
        #expect(segment.flags == 7)
        #expect(image.sections == nil)
    }

    @Test func a64BitFileGivesItsSegment() throws {
        let image = try ELFImage(elf64().bytes)
        #expect(image.elfClass == .elf64)
        #expect(image.machine == .x86_64)
        #expect(image.entry == 0xFFFF_FFFF_8010_0010)
        let segment = try #require(image.segments.first)
        #expect(segment.offset == 0x100)
        #expect(segment.fileSize == 0x40)
        #expect(segment.memorySize == 0x80)
        #expect(segment.virtual == 0xFFFF_FFFF_8010_0000)
        #expect(segment.physical == 0x100000)
        #expect(segment.flags == 5)
        #expect(image.physicalEntry == 0x100010)
    }

    // MARK: Entry

    @Test func aVirtualEntryIsMovedToWhereItsSegmentGoes() throws {
        var file = elf32()
        file.segment32(0, offset: 0x100, virtual: 0xC010_0000, physical: 0x100000, inFile: 0x40, inMemory: 0x80)
        file.put32(0xC010_0020, at: 0x18)
        #expect(try ELFImage(file.bytes).physicalEntry == 0x100020)
    }

    @Test func anEntryThatIsPhysicalAlreadyStays() throws {
        var file = elf32()
        file.segment32(0, offset: 0x100, virtual: 0xC010_0000, physical: 0x100000, inFile: 0x40, inMemory: 0x80)
        file.put32(0x10007F, at: 0x18)
        #expect(try ELFImage(file.bytes).physicalEntry == 0x10007F)
    }

    @Test func anEntryInNoSegmentIsNone() throws {
        var file = elf32()
        file.put32(0x100080, at: 0x18)
        #expect(try ELFImage(file.bytes).physicalEntry == nil)
        file.put32(0xFFFFF, at: 0x18)
        #expect(try ELFImage(file.bytes).physicalEntry == nil)
    }

    // MARK: What is left out, and what is refused

    @Test func onlyLoadableSegmentsWithMemoryCount() throws {
        var file = elf32(programHeaders: 3)
        file.segment32(1, type: 4, offset: 0x9999_9999, virtual: 0, physical: 0, inFile: 1, inMemory: 1)  // PT_NOTE
        file.segment32(2, offset: 0x9999_9999, virtual: 0, physical: 0, inFile: 0, inMemory: 0)
        #expect(try ELFImage(file.bytes).segments.map(\.index) == [0])
    }

    @Test func aSegmentWithoutBytesMayHaveAnyOffset() throws {
        var file = elf32()
        file.segment32(0, offset: 0x9999_9999, virtual: 0x1000, physical: 0x1000, inFile: 0, inMemory: 0x80)
        #expect(try ELFImage(file.bytes).segments.first?.fileSize == 0)
    }

    @Test func whatIsNoELFIsNamedSo() {
        #expect(error(Bytes(count: 0)) == .notELF)
        #expect(error(Bytes(count: 3)) == .notELF)
        #expect(error(Bytes(count: 0x200)) == .notELF)
    }

    @Test func theIdentificationIsChecked() {
        var file = elf32()
        file.bytes[4] = 3
        #expect(error(file) == .unknownClass(3))
        file = elf32()
        file.bytes[5] = 2
        #expect(error(file) == .bigEndian)
        file = elf32()
        file.put32(2, at: 0x14)
        #expect(error(file) == .unknownVersion(2))
    }

    @Test func everyTruncationIsRefused() {
        let whole = elf32()
        for count in 0..<0x140 {
            var file = whole
            file.bytes = Array(whole.bytes.prefix(count))
            #expect(error(file) != nil, "\(count) bytes")
        }
        var file = whole
        file.bytes = Array(whole.bytes.prefix(0x140))
        #expect(error(file) == nil)
    }

    @Test func programHeadersAreBounded() {
        var file = elf32()
        file.put16(0x1F, at: 0x2A)
        #expect(error(file) == .programHeaderSize(0x1F))
        file = elf32()
        file.put16(0xFFFF, at: 0x2C)
        #expect(error(file) == .tooManyProgramHeaders)
        file = elf32()
        file.put32(0x1E1, at: 0x1C)
        #expect(error(file) == .programHeadersOutsideFile(offset: 0x1E1, end: 0x201, size: 0x200))
        var long = elf64()
        long.put64(0xFFFF_FFFF_FFFF_FFF0, at: 0x20)
        #expect(error(long) == .programHeadersOutsideFile(offset: 0xFFFF_FFFF_FFFF_FFF0, end: 0x28, size: 0x200))
    }

    @Test func segmentsAreBounded() {
        var file = elf32()
        file.segment32(0, offset: 0x1C1, virtual: 0, physical: 0, inFile: 0x40, inMemory: 0x80)
        #expect(error(file) == .segmentOutsideFile(0, offset: 0x1C1, length: 0x40, size: 0x200))
        file.segment32(0, offset: 0x100, virtual: 0, physical: 0, inFile: 0x40, inMemory: 0x3F)
        #expect(error(file) == .segmentLargerInFile(0, inFile: 0x40, inMemory: 0x3F))
        file.segment32(0, offset: 0x100, virtual: 0, physical: 0xFFFF_FF81, inFile: 0x40, inMemory: 0x80)
        #expect(error(file) == .segmentWraps(0, address: 0xFFFF_FF81, length: 0x80))
        file.segment32(0, offset: 0x100, virtual: 0, physical: 0xFFFF_FF80, inFile: 0x40, inMemory: 0x80)
        #expect(error(file) == nil)
    }

    @Test func overlappingSegmentsAreRefusedAndTouchingOnesAreNot() {
        var file = elf32(programHeaders: 2)
        file.segment32(1, offset: 0x100, virtual: 0, physical: 0x10007F, inFile: 1, inMemory: 1)
        #expect(error(file) == .segmentsOverlap(0, 1))
        file.segment32(1, offset: 0x100, virtual: 0, physical: 0x100080, inFile: 1, inMemory: 1)
        #expect(error(file) == nil)
        file.segment32(1, offset: 0x100, virtual: 0, physical: 0xFFFF0, inFile: 0x10, inMemory: 0x11)
        #expect(error(file) == .segmentsOverlap(0, 1))
    }

    // MARK: Sections

    @Test func theSectionTableIsRead() throws {
        var file = elf32()
        file.addSections32()
        let sections = try #require(try ELFImage(file.bytes).sections)
        #expect(sections.offset == 0x180)
        #expect(sections.count == 3)
        #expect(sections.headerSize == 0x28)
        #expect(sections.names == 2)
        #expect(sections.sections.map(\.hasBytes) == [false, true, true])
        #expect(sections.sections[1].offset == 0x150)
        #expect(sections.sections[1].size == 0x10)
        #expect(sections.sections[1].alignment == 4)
    }

    @Test func sectionsAreBounded() {
        var file = elf32()
        file.addSections32()
        file.section32(1, type: 2, offset: 0x1F1, size: 0x10, alignment: 4)
        #expect(error(file) == .sectionOutsideFile(1, offset: 0x1F1, length: 0x10, size: 0x200))
        file.section32(1, type: 8, offset: 0x1F1, size: 0x10, alignment: 4)  // SHT_NOBITS
        #expect(error(file) == nil)
        file.put16(3, at: 0x32)
        #expect(error(file) == .sectionNamesOutsideTable(index: 3, count: 3))
        file.put16(4, at: 0x30)
        #expect(error(file) == .sectionHeadersOutsideFile(offset: 0x180, end: 0x220, size: 0x200))
        file.put16(0x27, at: 0x2E)
        #expect(error(file) == .sectionHeaderSize(0x27))
    }

    // MARK: Hostile files

    @Test func mutationsNeverYieldSomethingOutOfBounds() throws {
        var numbers = Sequence64(value: 0x9E37_79B9_7F4A_7C15)
        var accepted = 0
        for round in 0..<6000 {
            var file = round & 1 == 0 ? elf32(programHeaders: 2) : elf64()
            file.segment(second: round & 1 == 0)
            for _ in 0...numbers.below(6) {
                file.bytes[numbers.below(0x80)] = UInt8(truncatingIfNeeded: numbers.next())
            }
            if numbers.below(4) == 0 { file.bytes.removeLast(numbers.below(file.bytes.count)) }
            guard let image = try? ELFImage(file.bytes) else { continue }
            accepted += 1
            for segment in image.segments {
                let isSound =
                    segment.fileSize <= segment.memorySize && segment.memorySize > 0
                    && (segment.fileSize == 0 || segment.offset + segment.fileSize <= UInt64(file.bytes.count))
                    && !segment.physical.addingReportingOverflow(segment.memorySize - 1).overflow
                if !isSound { Issue.record("round \(round): \(segment)") }
            }
        }
        #expect(accepted > 200, "the mutations are so wild that nothing was tested")
    }
}

extension Bytes {
    /// A second 32-bit segment and a section table, so that mutations have more to meet.
    fileprivate mutating func segment(second: Bool) {
        guard second else { return }
        segment32(1, offset: 0x140, virtual: 0x200000, physical: 0x200000, inFile: 0x10, inMemory: 0x1000)
        addSections32()
    }
}
