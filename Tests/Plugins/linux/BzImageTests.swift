import Images
import KernelImages
import LinuxBoot
import LinuxImage
import Testing

@Suite struct BzImageTests {
    private static let content = Pack.sample(50_000)
    private static let elf = KernelELF(content).bytes

    private func image(_ payload: [UInt8], version: UInt16 = 0x020F, longMode: Bool = true) throws -> BzImage {
        try BzImage(BzImageFile(version: version, payload: payload, longMode: longMode).bytes)
    }

    private func error(_ payload: [UInt8], limit: UInt64 = 1 << 30) -> LinuxBootError? {
        do throws(LinuxBootError) {
            _ = try BzImage(BzImageFile(payload: payload).bytes).unpacked(limit: limit)
            return nil
        } catch { return error }
    }

    @Test func theELFFileInThePayloadIsLoadedAtItsAddresses() throws {
        let payloads = [
            Pack.payload(Self.elf) { Pack.xz($0) }, Pack.payload(Self.elf) { Pack.zstd($0) },
            Pack.payload(Self.elf) { Pack.lzma($0) }, Pack.payload(Self.elf, { Pack.gzip($0) }, withSize: false),
        ]
        for payload in payloads {
            let image = try image(payload)
            #expect(image.reasonToStayPacked == nil)
            let kernel = try image.unpacked(limit: 1 << 20)
            #expect(kernel.mode == .long64)
            #expect(kernel.entry == 0x100_0000)
            #expect(kernel.pieces.count == 1)
            #expect(kernel.pieces[0].address == 0x100_0000)
            #expect(Array(kernel.pieces[0].bytes) == Self.content)
            #expect(kernel.pieces[0].memorySize == 75_000)
            #expect(kernel.workspace == 0x100_0000..<0x110_0000)
            #expect(kernel.header.count == 0x26C - 0x1F1)
        }
    }

    @Test func theRelocationsBehindTheELFFileAreLeftOut() throws {
        let payload = Pack.payload(Self.elf + [1, 2, 3, 4, 5, 6, 7, 8]) { Pack.xz($0) }
        #expect(try image(payload).unpacked(limit: 1 << 20).pieces[0].bytes.count == Self.content.count)
    }

    @Test func a32BitKernelIsEnteredIn32BitMode() throws {
        let elf = KernelELF(Self.content, is64: false).bytes
        let kernel = try image(Pack.payload(elf) { Pack.xz($0) }, longMode: false).unpacked(limit: 1 << 20)
        #expect(kernel.mode == .protected32)
    }

    // MARK: Packed

    @Test func aPackedKernelIsLoadedWhereItWantsToRun() throws {
        let kernel = try image([9, 9, 9, 9, 9]).packed
        #expect(kernel.mode == .long64)
        #expect(kernel.entry == 0x100_0200)
        #expect(kernel.pieces[0].address == 0x100_0000)
        #expect(kernel.pieces[0].bytes.count == 0x410)
        #expect(kernel.codeStart == 0x100_0000)
        let old = try image([9], longMode: false).packed
        #expect(old.mode == .protected32)
        #expect(old.entry == 0x100_0000)
    }

    @Test func aKernelThatCannotBeMovedIsLoadedAt1MiB() throws {
        var file = BzImageFile()
        file.file.put(UInt8(0), at: 0x234)
        #expect(try BzImage(file.bytes).packed.pieces[0].address == 0x10_0000)
        // A preference of 2.10 that an older header cannot have.
        #expect(try image([9], version: 0x0209).packed.pieces[0].address == 0x10_0000)
        // A preference in low memory or above 4 GiB is none.
        for address: UInt64 in [0, 0xFFFFF, 0x1_0000_0000, .max] {
            #expect(try BzImage(BzImageFile(preferred: address).bytes).packed.pieces[0].address == 0x10_0000)
        }
    }

    @Test func whatTheHostCannotUnpackHasAReason() throws {
        #expect(try image([]).reasonToStayPacked == "its header (protocol 2.15) does not say where its payload is")
        #expect(
            try image([1, 2, 3, 4, 5]).reasonToStayPacked
                == "its payload, which starts with 01 02 03 04, is of an unknown compression")
        #expect(try image(Array("BZh91AY".utf8)).reasonToStayPacked == "its payload is compressed with bzip2")
        #expect(
            try image([9], version: 0x0207).reasonToStayPacked
                == "its header (protocol 2.07) does not say where its payload is")
    }

    // MARK: Bad payloads

    @Test func aPayloadThatIsNoELFFileIsRefused() {
        #expect(error(Pack.payload(Self.content) { Pack.xz($0) }) == .elf(.notELF))
    }

    @Test func aSizeBeyondTheLimitIsRefusedBeforeItIsUnpacked() {
        let size = UInt64(Self.elf.count)
        let payload = Pack.payload(Self.elf) { Pack.xz($0) }
        #expect(error(payload, limit: size - 1) == .unpackedTooLarge(size: size, limit: size - 1))
        #expect(error(payload, limit: size) == nil)
        let giant = Array(payload.dropLast(4)) + [0xFF, 0xFF, 0xFF, 0xFF]
        #expect(error(giant) == .unpackedTooLarge(size: 0xFFFF_FFFF, limit: 1 << 30))
    }

    @Test func aWrongSizeIsRefused() {
        let payload = Array(Pack.payload(Self.elf) { Pack.xz($0) }.dropLast(4))
        #expect(error(payload + [0, 0, 0, 0]) == .unpacking("there is nothing to unpack"))
        #expect(error(payload + [16, 0, 0, 0]) == .unpacking("it unpacks to more than 16 bytes"))
        #expect(error(payload + [0, 0, 0, 2]) == .unpacking("it unpacks to 50512 bytes, not to 33554432"))
    }

    @Test func aPayloadThatIsCutOffIsRefused() {
        let payload = Pack.payload(Self.elf) { Pack.xz($0) }
        for count in [6, 7, 12, payload.count / 2] {
            let cut = Array(payload[..<count]) + payload.suffix(4)
            #expect(error(cut) != nil, "\(count)")
        }
    }

    /// A random change anywhere in the file: refused or loaded, but no trap, and no piece that wraps.
    @Test func damagedImagesNeverTrap() {
        var numbers = Sequence64(0xB2)
        let whole = BzImageFile(payload: Pack.payload(Self.elf) { Pack.zstd($0, level: 3) }).bytes
        for _ in 0..<2_000 {
            var bytes = whole
            for _ in 0...numbers.below(3) {
                // Half of them in the header.
                let offset = numbers.below(2) == 0 ? 0x1F1 + numbers.below(0x80) : numbers.below(bytes.count)
                bytes[offset] = UInt8(truncatingIfNeeded: numbers.next())
            }
            guard let image = try? BzImage(bytes) else { continue }
            var kernels = [image.packed]
            if let kernel = try? image.unpacked(limit: 1 << 20) { kernels.append(kernel) }
            for kernel in kernels {
                _ = try? LinuxPlan(
                    kernel, commandLine: "a", initrds: [[1]], ram: RAMMap(ram: [0..<0x1000_0000]))
            }
        }
    }
}
