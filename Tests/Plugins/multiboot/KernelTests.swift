import Images
@testable import Multiboot
import Testing

@Suite struct KernelTests {
    private func kernel(_ file: Kernel) throws(MultibootError) -> MultibootKernel { try MultibootKernel(file.bytes) }

    // MARK: ELF

    @Test func anELFKernelGoesWhereItsSegmentsSay() throws {
        let kernel = try kernel(elfKernel())
        #expect(kernel.pieces == [.init(offset: 0x200, fileSize: 0x400, address: 0x100000, memorySize: 0x2000)])
        #expect(kernel.entry == 0x100040)
        #expect(kernel.sections == nil)
    }

    @Test func aKernelLinkedHighIsEnteredWhereItIsLoaded() throws {
        var file = elfKernel()
        file.put32(0xC010_0000, at: 0x3C)  // p_vaddr
        file.put32(0xC010_0040, at: 0x18)
        #expect(try kernel(file).entry == 0x100040)
    }

    @Test func otherELFFilesAreRefused() {
        var file = elfKernel()
        file.put16(62, at: 0x12)
        #expect(throws: MultibootError.notI386(62)) { try kernel(file) }
        file = elfKernel()
        file.put16(3, at: 0x10)
        #expect(throws: MultibootError.notExecutable(3)) { try kernel(file) }
        file = elfKernel()
        file.put16(0, at: 0x2C)
        #expect(throws: MultibootError.nothingToLoad) { try kernel(file) }
        file = elfKernel()
        file.put32(0x102000, at: 0x18)
        #expect(throws: MultibootError.entryNotLoaded(0x102000)) { try kernel(file) }
        file = elfKernel()
        file.bytes[0] = 0
        #expect(throws: MultibootError.elf(.notELF)) { try kernel(file) }
        file = elfKernel()
        file.bytes[4] = 2
        file.put16(0, at: 0x38)  // e_phnum of an ELF64 header
        #expect(throws: MultibootError.notELF32) { try kernel(file) }
    }

    @Test func aFileThatIsCutOffIsRefused() {
        var file = elfKernel()
        file.bytes.removeLast(0x1000 - 0x5FF)
        #expect(throws: MultibootError.elf(.segmentOutsideFile(0, offset: 0x200, length: 0x400, size: 0x5FF))) {
            try kernel(file)
        }
    }

    @Test func overlappingSegmentsAreRefused() {
        var file = elfKernel()
        file.put16(2, at: 0x2C)
        file.segment(1, offset: 0x200, address: 0x101FFF, inFile: 1, inMemory: 1)
        #expect(throws: MultibootError.elf(.segmentsOverlap(0, 1))) { try kernel(file) }
    }

    // MARK: Address fields, section 3.1.3

    @Test func theAddressFieldsSayWhatGoesWhere() throws {
        let kernel = try kernel(flatKernel())
        // The header is at 0x20 of the file and 0x10 behind load_addr.
        #expect(kernel.pieces == [.init(offset: 0x10, fileSize: 0x200, address: 0x200000, memorySize: 0x1000)])
        #expect(kernel.entry == 0x200040)
    }

    @Test func withoutALoadEndTheWholeFileIsLoaded() throws {
        let kernel = try kernel(flatKernel(loadEnd: 0, bssEnd: 0))
        #expect(kernel.pieces == [.init(offset: 0x10, fileSize: 0x3F0, address: 0x200000, memorySize: 0x3F0)])
    }

    @Test func withoutABssEndThereIsNone() throws {
        let kernel = try kernel(flatKernel(bssEnd: 0))
        #expect(kernel.pieces == [.init(offset: 0x10, fileSize: 0x200, address: 0x200000, memorySize: 0x200)])
    }

    @Test func theAddressFieldsCountAlsoInAnELF64File() throws {
        var file = flatKernel()
        file.bytes.replaceSubrange(0..<7, with: [0x7F, 0x45, 0x4C, 0x46, 2, 1, 1])
        #expect(try kernel(file).pieces.first?.address == 0x200000)
    }

    @Test func contradictingAddressFieldsAreRefused() {
        #expect(throws: MultibootError.headerBelowLoadAddress(header: 0x1FFFFC, load: 0x200000)) {
            try kernel(flatKernel(header: 0x1FFFFC))
        }
        #expect(throws: MultibootError.loadStartsBeforeFile(offset: 0x20, back: 0x24)) {
            try kernel(flatKernel(header: 0x200024))
        }
        #expect(throws: MultibootError.loadEndBelowLoad(end: 0x1FFFFF, load: 0x200000)) {
            try kernel(flatKernel(loadEnd: 0x1FFFFF))
        }
        #expect(throws: MultibootError.loadBeyondFile(end: 0x401, size: 0x400)) {
            try kernel(flatKernel(loadEnd: 0x2003F1))
        }
        #expect(throws: MultibootError.bssEndBelowData(bssEnd: 0x2001FF, dataEnd: 0x200200)) {
            try kernel(flatKernel(bssEnd: 0x2001FF))
        }
        #expect(throws: MultibootError.entryNotLoaded(0x201000)) { try kernel(flatKernel(entry: 0x201000)) }
        #expect(throws: MultibootError.nothingToLoad) { try kernel(flatKernel(loadEnd: 0x200000, bssEnd: 0)) }
        #expect(throws: MultibootError.beyondFourGiB(address: 0xFFFF_FF00, size: 0x3F0)) {
            try kernel(flatKernel(header: 0xFFFF_FF10, load: 0xFFFF_FF00, loadEnd: 0, bssEnd: 0, entry: 0xFFFF_FF00))
        }
    }

    @Test func everyErrorSaysSomething() {
        let ram = RAMMap(ram: [0..<0x1000])
        let errors: [MultibootError] = [
            .noHeader, .badChecksum(offset: 4), .onlyMultiboot2(offset: 8), .unknownRequirements(8),
            .truncatedHeader(offset: 0, size: 1), .headerBelowLoadAddress(header: 0, load: 1),
            .loadStartsBeforeFile(offset: 0, back: 1), .loadEndBelowLoad(end: 0, load: 1),
            .loadBeyondFile(end: 2, size: 1), .bssEndBelowData(bssEnd: 0, dataEnd: 1),
            .beyondFourGiB(address: 0, size: 1), .elf(.notELF), .notELF32, .notI386(1), .notExecutable(1),
            .nothingToLoad, .entryNotLoaded(1), .outsideRAM(address: 0, size: 1, ram),
            .moduleDoesNotFit("m", size: 1, ram), .informationDoesNotFit(size: 1, ram),
        ]
        let texts = errors.map(\.text)
        #expect(texts.allSatisfy { $0.utf8.count > 20 })
        #expect(Set(texts).count == errors.count)
    }
}
