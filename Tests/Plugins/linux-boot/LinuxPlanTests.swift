import Images
import KernelImages
import LinuxBoot
import Testing

/// What a plan leaves in memory, read by the offsets of boot.rst and zero-page.rst.
struct Loaded {
    let plan: LinuxPlan

    func byte(_ address: UInt64) -> UInt8? {
        for piece in plan.pieces.reversed() where address >= piece.address && address - piece.address < piece.memorySize
        {
            let index = Int(address - piece.address)
            return index < piece.bytes.count ? piece.bytes[piece.bytes.startIndex + index] : 0
        }
        return nil
    }
    func long(_ address: UInt64) -> UInt64 {
        (0..<8).reduce(0) { $0 | UInt64(byte(address + $1) ?? 0xEE) << (8 * $1) }
    }
    func word(_ address: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: long(address)) }
    func zero(_ offset: UInt64) -> UInt32 { word(plan.zeroPage + offset) }
    func text(_ address: UInt64) -> String {
        String(decoding: (0..<4096).lazy.map { byte(address + $0) ?? 0 }.prefix { $0 != 0 }, as: UTF8.self)
    }
}

@Suite struct LinuxPlanTests {
    private let ram = RAMMap(ram: [0..<0x400_0000])

    private func kernel(_ mode: LinuxKernel.Mode = .long64) -> LinuxKernel {
        var kernel = LinuxKernel(
            pieces: [LoadPiece(address: 0x100_0000, bytes: [0x90, 0xF4], memorySize: 0x3000)], entry: 0x100_0000,
            mode: mode)
        kernel.workspace = 0x100_0000..<0x110_0000
        return kernel
    }

    private func load(
        _ kernel: LinuxKernel? = nil, line: String = "console=ttyS0", initrds: [[UInt8]] = [], ram: RAMMap? = nil
    ) throws(LinuxBootError) -> Loaded {
        Loaded(
            plan: try LinuxPlan(
                kernel ?? self.kernel(), commandLine: line, initrds: initrds, ram: ram ?? self.ram))
    }

    // MARK: The zero page

    @Test func theCommandLineEndsWithANUL() throws {
        let loaded = try load(line: "console=ttyS0 quiet")
        #expect(loaded.text(UInt64(loaded.zero(0x228))) == "console=ttyS0 quiet")
        // A NUL in it would end it anyway.
        let cut = try load(line: "one\0two")
        #expect(cut.text(UInt64(cut.zero(0x228))) == "one")
    }

    @Test func aKernelWithoutASetupHeaderGetsOne() throws {
        let loaded = try load()
        #expect(loaded.word(loaded.plan.zeroPage + 0x1FE) & 0xFFFF == 0xAA55)
        #expect(loaded.text(loaded.plan.zeroPage + 0x202).hasPrefix("HdrS"))
        #expect(loaded.byte(loaded.plan.zeroPage + 0x210) == 0xFF)
        #expect(loaded.byte(loaded.plan.zeroPage + 0x1EF) == 0)  // sentinel
    }

    @Test func theKernelsOwnHeaderIsHandedOn() throws {
        var file = BzImageFile()
        file.file.put(UInt8(0x83), at: 0x211)
        file.file.put(UInt32(0x1234_5678), at: 0x264)
        var kernel = kernel()
        kernel.header = try SetupHeader(ByteReader(file.bytes)).bytes
        kernel.codeStart = 0x100_0000
        let loaded = try load(kernel)
        #expect(loaded.zero(0x264) == 0x1234_5678)
        #expect(loaded.zero(0x230) == 0x20_0000)
        #expect(loaded.zero(0x214) == 0x100_0000)
        // Not KASLR_FLAG: nothing has moved the kernel.
        #expect(loaded.byte(loaded.plan.zeroPage + 0x211) == 0x81)
        // Nothing of what follows the header in the file.
        #expect(loaded.zero(0x26C) == 0)
    }

    @Test func theMemoryMapIsRAMAndReservesTheAdapters() throws {
        let split = RAMMap(ram: [0..<0xC000_0000, 0x1_0000_0000..<0x1_4000_0000], reserved: [0xE0000..<0x100000])
        let loaded = try load(ram: split)
        #expect(loaded.byte(loaded.plan.zeroPage + 0x1E8) == 4)
        let expected: [(UInt64, UInt64, UInt32)] = [
            (0, 0xA0000, 1), (0xA0000, 0x60000, 2), (0x100000, 0xBFF0_0000, 1), (0x1_0000_0000, 0x4000_0000, 1),
        ]
        for (index, entry) in expected.enumerated() {
            let at = loaded.plan.zeroPage + 0x2D0 + 20 * UInt64(index)
            #expect(loaded.long(at) == entry.0)
            #expect(loaded.long(at + 8) == entry.1)
            #expect(loaded.word(at + 16) == entry.2)
        }
    }

    @Test func theMemoryMapReservesROMAndTheMemoryOfDevices() throws {
        let map = try ZeroPage.memoryMap(
            RAMMap(
                ram: [0..<0x400_0000],
                reserved: [0xC_0000..<0x11_0000, 0x300_0000..<0x310_0000, 0xE000_0000..<0xE010_0000]
            ))
        // The adapters and the ROM over them are one range.
        let expected: [(UInt64, UInt64, ZeroPage.Entry.Kind)] = [
            (0, 0xA0000, .ram), (0xA0000, 0x11_0000, .reserved), (0x11_0000, 0x300_0000, .ram),
            (0x300_0000, 0x310_0000, .reserved), (0x310_0000, 0x400_0000, .ram), (0xE000_0000, 0xE010_0000, .reserved),
        ]
        #expect(map.map(\.range) == expected.map { $0.0..<$0.1 })
        #expect(map.map(\.kind) == expected.map(\.2))
    }

    @Test func moreRangesThanTheZeroPageHoldsAreRefused() throws {
        let pieces = (0..<200).map { 0x200_0000 + UInt64($0) * 0x2000..<0x200_1000 + UInt64($0) * 0x2000 }
        let many = RAMMap(ram: [0..<0x110_0000] + pieces)
        #expect(throws: LinuxBootError.tooManyRanges(203)) { try load(ram: many) }
    }

    // MARK: The initrd

    @Test func theInitrdIsAsHighAsItFitsAtAPage() throws {
        let loaded = try load(initrds: [[UInt8](repeating: 7, count: 0x1001)])
        #expect(loaded.zero(0x218) == 0x3FF_E000)
        #expect(loaded.zero(0x21C) == 0x1001)
        #expect(loaded.byte(0x3FF_F000) == 7)
        var low = kernel()
        low.initrdMax = 0x2FF_FFFF
        #expect(try load(low, initrds: [[1, 2]]).zero(0x218) == 0x2FF_F000)
    }

    @Test func severalInitrdsFollowEachOtherAtMultiplesOfFour() throws {
        let loaded = try load(initrds: [[1, 2, 3, 4, 5], [6, 7], [8]])
        let start = UInt64(loaded.zero(0x218))
        #expect(loaded.zero(0x21C) == 13)
        #expect((0..<5).map { loaded.byte(start + $0) } == [1, 2, 3, 4, 5])
        #expect(loaded.byte(start + 8) == 6)
        #expect(loaded.byte(start + 12) == 8)
    }

    @Test func withoutAnInitrdThereIsNone() throws {
        let loaded = try load()
        #expect(loaded.zero(0x218) == 0)
        #expect(loaded.zero(0x21C) == 0)
    }

    @Test func anInitrdThatDoesNotFitIsRefused() {
        let big = [UInt8](repeating: 0, count: 0x300_0000)
        #expect(throws: LinuxBootError.initrdDoesNotFit(size: 0x300_0000, below: 0x8000_0000, ram)) {
            try load(initrds: [big])
        }
        for highest: UInt32 in [0, 1, 0xF_FFFF, 0x10_0000] {
            var kernel = kernel()
            kernel.initrdMax = highest
            #expect(throws: LinuxBootError.initrdDoesNotFit(size: 2, below: UInt64(highest) + 1, ram)) {
                try load(kernel, initrds: [[1, 2]])
            }
        }
    }

    @Test func theInitrdAvoidsWhatTheKernelTakes() throws {
        // Free: below 0x1000000 and above 0x1100000 up to 0x1200000.
        let small = RAMMap(ram: [0..<0x120_0000])
        let loaded = try load(initrds: [[UInt8](repeating: 1, count: 0x10_0001)], ram: small)
        #expect(UInt64(loaded.zero(0x218)) + 0x10_0001 <= 0x100_0000)
    }

    // MARK: RAM

    @Test func tooLittleRAMIsSaid() {
        let small = RAMMap(ram: [0..<0x10F_FFFF])
        #expect(throws: LinuxBootError.kernelOutsideRAM(address: 0x100_0000, size: 0x10_0000, small)) {
            try load(ram: small)
        }
        #expect(
            LinuxBootError.kernelOutsideRAM(address: 0x100_0000, size: 0x10_0000, small).text
                == "the kernel needs 0x1000000-0x10fffff, 1 MiB, which is not all RAM: give the machine more memory; "
                + "RAM is 0x0-0x10ffffe")
        let high = RAMMap(ram: [0xA0000..<0x400_0000])
        #expect(throws: LinuxBootError.noLowMemory(size: 4096, high)) { try load(ram: high) }
    }

    @Test func aLongCommandLineIsRefused() {
        var kernel = kernel()
        kernel.commandLineSize = 12
        #expect(throws: LinuxBootError.commandLineTooLong(count: 13, limit: 12)) { try load(kernel) }
    }

    @Test func nothingOverlaps() throws {
        for mode in [LinuxKernel.Mode.long64, .protected32] {
            let plan = try load(kernel(mode), initrds: [[1], [2, 3]]).plan
            let ranges = plan.pieces.map(\.range).sorted { $0.lowerBound < $1.lowerBound }
            for (lower, upper) in zip(ranges, ranges.dropFirst()) { #expect(lower.upperBound <= upper.lowerBound) }
            for range in ranges { #expect(ram.contains(range.lowerBound, range.upperBound - range.lowerBound)) }
        }
    }

    // MARK: Tables

    /// Walks as the SDM has it: PML4, page directory pointers, page directory.
    @Test func theFirstFourGiBAreWhereTheyAre() throws {
        let loaded = try load()
        let mask: UInt64 = 0xF_FFFF_FFFF_F000
        for address: UInt64 in [0, 0x1000, 0x1F_FFFF, 0x20_0000, 0x100_0000, 0x7FFF_FFFF, 0xC000_0000, 0xFFFF_FFFF] {
            var entry = loaded.long(loaded.plan.pageTables + 8 * (address >> 39 & 511))
            #expect(entry & 0x83 == 3)
            entry = loaded.long(entry & mask + 8 * (address >> 30 & 511))
            #expect(entry & 0x83 == 3)
            entry = loaded.long(entry & mask + 8 * (address >> 21 & 511))
            #expect(entry & 0x83 == 0x83)
            #expect(entry & mask | address & 0x1F_FFFF == address)
        }
        #expect(loaded.long(loaded.plan.pageTables + 8) == 0)
        #expect(try load(kernel(.protected32)).plan.pageTables == 0)
    }

    /// SDM volume 3, section 3.4.5: access bytes, D/B at 54, L at 53, G at 55.
    @Test func descriptorsAreFlat() throws {
        for (mode, code) in [
            (LinuxKernel.Mode.long64, UInt64(0x00AF_9B00_0000_FFFF)), (.protected32, 0x00CF_9B00_0000_FFFF),
        ] {
            let loaded = try load(kernel(mode))
            #expect(loaded.long(loaded.plan.descriptors) == 0)
            #expect(loaded.long(loaded.plan.descriptors + 0x10) == code)
            #expect(loaded.long(loaded.plan.descriptors + 0x18) == 0x00CF_9300_0000_FFFF)
        }
    }

    // MARK: ELF

    @Test func anELFKernelIsEnteredInItsOwnMode() throws {
        let long = try LinuxKernel(elf: KernelELF([1, 2, 3, 4]).bytes)
        #expect(long.mode == .long64)
        #expect(long.entry == 0x100_0000)
        #expect(long.pieces == [LoadPiece(address: 0x100_0000, bytes: [1, 2, 3, 4], memorySize: 6)])
        #expect(try LinuxKernel(elf: KernelELF([1, 2], is64: false).bytes).mode == .protected32)
    }

    @Test func anELFFileThatCannotBeBootedIsRefused() {
        func error(_ change: (inout ImageBytes) -> Void) -> LinuxBootError? {
            var elf = KernelELF([1, 2, 3, 4])
            change(&elf.file)
            do throws(LinuxBootError) {
                _ = try LinuxKernel(elf: elf.bytes)
                return nil
            } catch { return error }
        }
        #expect(error { $0.put(UInt16(183), at: 0x12) } == .notForPC(machine: 183))
        #expect(error { $0.put(UInt16(3), at: 0x10) } == .notExecutable(kind: 3))
        #expect(error { $0.put(UInt16(0), at: 0x38) } == .nothingToLoad)
        #expect(error { $0.put(UInt64(0x2000), at: 0x18) } == .entryNotLoaded(0x2000))
        #expect(error { $0.put(UInt32(0), at: 0) } == .elf(.notELF))
        #expect(error { $0.put(UInt64.max, at: 0x58) } != nil)
    }
}
