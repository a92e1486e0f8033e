import Images
import Multiboot
import Testing

/// Memory after loading, with what the boot information says read out of it by the specification's own offsets.
struct Memory {
    var bytes: [UInt8]
    let plan: BootPlan

    /// Everything is 0xEE where nothing is loaded.
    init(_ plan: BootPlan, size: Int) {
        self.plan = plan
        bytes = [UInt8](repeating: 0xEE, count: size)
        for piece in plan.pieces {
            let start = Int(piece.address)
            for index in 0..<Int(piece.memorySize) {
                bytes[start + index] = index < piece.bytes.count ? piece.bytes[piece.bytes.startIndex + index] : 0
            }
        }
    }

    func word(_ address: Int) -> UInt32 { (0..<4).reduce(0) { $0 | UInt32(bytes[address + $1]) << UInt32(8 * $1) } }
    func long(_ address: Int) -> UInt64 { UInt64(word(address)) | UInt64(word(address + 4)) << 32 }
    func text(_ address: UInt32) -> String {
        String(decoding: bytes[Int(address)...].prefix { $0 != 0 }, as: UTF8.self)
    }
    /// A field of the information structure.
    func field(_ offset: Int) -> UInt32 { word(Int(plan.information) + offset) }
}

@Suite struct BootPlanTests {
    private let fourMiB = RAMMap(ram: [0..<0x400000])

    private func plan(
        _ file: Kernel, commandLine: String = "kernel", modules: [BootModule] = [], ram: RAMMap? = nil
    ) throws(MultibootError) -> BootPlan {
        try BootPlan(
            MultibootKernel(file.bytes), file.bytes, commandLine: commandLine, modules: modules, ram: ram ?? fourMiB)
    }

    private func module(_ count: Int, _ text: String) -> BootModule {
        BootModule(bytes: [UInt8](repeating: 0x6D, count: count), text: text)
    }

    // MARK: The kernel

    @Test func bytesAreLoadedAndBssIsZero() throws {
        let memory = Memory(try plan(elfKernel()), size: 0x400000)
        #expect(memory.word(0x100000) == 0x1BAD_B002)
        #expect(memory.bytes[0x10000C..<0x100400].allSatisfy { $0 == 0xA5 })
        #expect(memory.bytes[0x100400..<0x102000].allSatisfy { $0 == 0 })
        #expect(memory.bytes[0x102000] == 0xEE)
        #expect(memory.plan.entry == 0x100040)
    }

    @Test func aFlatKernelStartsWithinItsFile() throws {
        let memory = Memory(try plan(flatKernel()), size: 0x400000)
        #expect(memory.word(0x200010) == 0x1BAD_B002)
        #expect(memory.bytes[0x200000] == 0x10)
        #expect(memory.bytes[0x2001FF] == 0x0F)
        #expect(memory.bytes[0x200200..<0x201000].allSatisfy { $0 == 0 })
    }

    @Test func aKernelOutsideRAMIsRefused() {
        let ram = RAMMap(ram: [0..<0x101FFF])
        #expect(throws: MultibootError.outsideRAM(address: 0x100000, size: 0x2000, ram)) {
            try plan(elfKernel(), ram: ram)
        }
        let covered = RAMMap(ram: [0..<0x400000], reserved: [0x101000..<0x102000])
        #expect(throws: MultibootError.outsideRAM(address: 0x100000, size: 0x2000, covered)) {
            try plan(elfKernel(), ram: covered)
        }
    }

    // MARK: Boot information, section 3.3

    @Test func theStructureHasWhatItsFlagsSay() throws {
        let memory = Memory(try plan(elfKernel(), commandLine: "kernel a b"), size: 0x400000)
        // Memory 0, command line 2, modules 3, memory map 6, loader name 9.
        #expect(memory.field(0) == 0b10_0100_1101)
        #expect(memory.field(4) == 640)
        #expect(memory.field(8) == 3072)
        #expect(memory.text(memory.field(16)) == "kernel a b")
        #expect(memory.field(20) == 0)
        #expect(memory.text(memory.field(64)) == "Backplane")
    }

    @Test func theMemoryMapReservesWhatAPCReserves() throws {
        let memory = Memory(try plan(elfKernel()), size: 0x400000)
        let (length, map) = (Int(memory.field(44)), Int(memory.field(48)))
        #expect(length == 3 * 24)
        let expected: [(UInt64, UInt64, UInt32)] = [
            (0, 0xA0000, 1), (0xA0000, 0x60000, 2), (0x100000, 0x300000, 1),
        ]
        for (index, entry) in expected.enumerated() {
            #expect(memory.word(map + 24 * index) == 20)
            #expect(memory.long(map + 24 * index + 4) == entry.0)
            #expect(memory.long(map + 24 * index + 12) == entry.1)
            #expect(memory.word(map + 24 * index + 20) == entry.2)
        }
    }

    @Test func theInformationIsInLowMemory() throws {
        #expect(try plan(elfKernel()).information == 0x10000)
        // 64 KiB to 640 KiB are not RAM: from 4 KiB on.
        let ram = RAMMap(ram: [0..<0x10000, 0x100000..<0x400000])
        #expect(try plan(elfKernel(), ram: ram).information == 0x1000)
    }

    @Test func withoutLowMemoryTheInformationIsBehindTheModules() throws {
        let ram = RAMMap(ram: [0x100000..<0x400000])
        let plan = try plan(elfKernel(), modules: [module(0x1001, "m")], ram: ram)
        // Kernel to 0x102000, module 0x102000 to 0x103001.
        #expect(plan.information == 0x103010)
        let memory = Memory(plan, size: 0x400000)
        #expect(memory.field(4) == 0)
        #expect(memory.field(8) == 3072)
    }

    @Test func theInformationAvoidsAKernelInLowMemory() throws {
        let file = flatKernel(header: 0x10010, load: 0x10000, loadEnd: 0x10200, bssEnd: 0x20004, entry: 0x10040)
        #expect(try plan(file).information == 0x20010)
    }

    // MARK: Modules

    @Test func modulesAreAtPagesBehindTheKernelInTheirOrder() throws {
        let plan = try plan(elfKernel(flags: 0), modules: [module(0x1001, "a"), module(5, "b one two")])
        let memory = Memory(plan, size: 0x400000)
        #expect(memory.field(20) == 2)
        let table = Int(memory.field(24))
        #expect(memory.word(table) == 0x102000)
        #expect(memory.word(table + 4) == 0x103001)
        #expect(memory.text(memory.word(table + 8)) == "a")
        #expect(memory.word(table + 12) == 0)
        #expect(memory.word(table + 16) == 0x104000)
        #expect(memory.word(table + 20) == 0x104005)
        #expect(memory.text(memory.word(table + 24)) == "b one two")
        #expect(memory.bytes[0x102000..<0x103001].allSatisfy { $0 == 0x6D })
        #expect(memory.bytes[0x103001] == 0xEE)
    }

    @Test func aModuleGoesBelowTheKernelWhereThereIsNoRoomBehindIt() throws {
        let file = flatKernel(header: 0x3FF010, load: 0x3FF000, loadEnd: 0x3FF200, bssEnd: 0x400000, entry: 0x3FF000)
        let plan = try plan(file, modules: [module(16, "m")])
        #expect(Memory(plan, size: 0x400000).bytes[0x100000..<0x100010].allSatisfy { $0 == 0x6D })
    }

    @Test func aModuleThatDoesNotFitIsNamed() {
        #expect(throws: MultibootError.moduleDoesNotFit("big", size: 0x300000, fourMiB)) {
            try plan(elfKernel(), modules: [module(0x300000, "big")])
        }
    }

    // MARK: Sections

    @Test func looseSectionsAreLoadedAndTheirHeadersSayWhere() throws {
        var file = elfKernel()
        file.addSections()
        let memory = Memory(try plan(file, modules: [module(1, "m")]), size: 0x400000)
        #expect(memory.field(0) & 0b110000 == 0b100000)
        #expect(memory.field(28) == 4)
        #expect(memory.field(32) == 0x28)
        let table = Int(memory.field(36))
        #expect(table == 0x102000)
        #expect(memory.field(40) == 3)
        #expect(memory.word(table + 0x28 + 12) == 0x100000)  // .text stays
        let symbols = Int(memory.word(table + 0x50 + 12))
        let names = Int(memory.word(table + 0x78 + 12))
        #expect(symbols == 0x1020A0)
        #expect(names == 0x1020D0)
        #expect(memory.bytes[symbols..<symbols + 0x30].allSatisfy { $0 == 0x53 })
        #expect(memory.bytes[names..<names + 0x11].allSatisfy { $0 == 0x4E })
        #expect(memory.word(Int(memory.field(24))) == 0x103000)
    }

    @Test func sectionsWithoutRoomAreLeftOut() throws {
        var file = elfKernel()
        file.addSections()
        let plan = try plan(file, ram: RAMMap(ram: [0..<0x102000]))
        #expect(plan.omitsSections)
        #expect(Memory(plan, size: 0x102000).field(0) & 0b100000 == 0)
    }

    // MARK: Hostile kernels

    @Test func noMutationMakesAPlanThatOverlapsOrLeavesRAM() throws {
        var numbers = Sequence64(value: 0xD1B5_4A32_D192_ED03)
        let ram = RAMMap(ram: [0..<0xA0000, 0x100000..<0x800000, 0xFFFF_0000..<0x1_8000_0000])
        var accepted = 0
        for round in 0..<6000 {
            var file = round % 3 == 0 ? flatKernel() : elfKernel()
            if round % 3 == 1 { file.addSections() }
            mutate(&file, round, &numbers)
            let modules = round % 5 == 0 ? [module(0x1001, "m")] : []
            guard let plan = try? plan(file, modules: modules, ram: ram) else { continue }
            accepted += 1
            let pieces = plan.pieces.map { $0.address..<$0.address + $0.memorySize }.filter { !$0.isEmpty }
                .sorted { $0.lowerBound < $1.lowerBound }
            let isSound =
                zip(pieces, pieces.dropFirst()).allSatisfy { $0.upperBound <= $1.lowerBound }
                && plan.pieces.allSatisfy { ram.contains($0.address, $0.memorySize) }
                && plan.pieces.allSatisfy { UInt64($0.bytes.count) <= $0.memorySize }
                && pieces.allSatisfy { $0.upperBound <= 0x1_0000_0000 }
                && pieces.contains { $0.contains(UInt64(plan.entry)) }
            if !isSound { Issue.record("round \(round): \(pieces), entry \(plan.entry)") }
        }
        #expect(accepted > 200, "the mutations are so wild that nothing was tested")
    }

    /// Changes bytes where the formats have their fields; the multiboot header's checksum stays right.
    private func mutate(_ file: inout Kernel, _ round: Int, _ numbers: inout Sequence64) {
        for _ in 0...numbers.below(4) {
            let value = UInt8(truncatingIfNeeded: numbers.next())
            switch (round % 3, numbers.below(3)) {
            case (0, _): file.bytes[0x2C + numbers.below(20)] = value
            case (1, 0): file.bytes[0xC00 + numbers.below(0xA0)] = value
            default: file.bytes[0x10 + numbers.below(0x44)] = value
            }
        }
        if numbers.below(8) == 0 { file.bytes.removeLast(numbers.below(file.bytes.count)) }
    }
}
