import Images
import KernelImages
import LinuxBoot
import Testing

@Suite struct SetupHeaderTests {
    private func header(_ change: (inout ImageBytes) -> Void) throws(LinuxBootError) -> SetupHeader {
        var image = BzImageFile(payload: [1, 2, 3, 4, 5, 6, 7, 8])
        change(&image.file)
        return try SetupHeader(ByteReader(image.bytes))
    }

    private func error(_ change: (inout ImageBytes) -> Void) -> LinuxBootError? {
        do throws(LinuxBootError) {
            _ = try header(change)
            return nil
        } catch { return error }
    }

    @Test func fieldsAreWhereTheProtocolHasThem() throws {
        let header = try header {
            $0.put(UInt32(0x37FF_FFFF), at: 0x22C)
            $0.put(UInt32(0x7FF), at: 0x238)
            $0.put(UInt32(0x3F9_8000), at: 0x260)
        }
        #expect(header.version == 0x020F)
        #expect(header.hasLongModeEntry)
        #expect(header.isRelocatable)
        #expect(header.alignment == 0x20_0000)
        #expect(header.preferredAddress == 0x100_0000)
        #expect(header.initSize == 0x3F9_8000)
        #expect(header.initrdMax == 0x37FF_FFFF)
        #expect(header.commandLineSize == 2047)
        #expect(header.release == "6.1.0-test (me@here) #1 SMP")
        #expect(header.code == 0xA00..<0xE10)
        #expect(header.payload == 0xE00..<0xE08)
        #expect(header.bytes.count == 0x26C - 0x1F1)
    }

    @Test func fieldsOfLaterProtocolsAreNotRead() throws {
        let old = try header { $0.put(UInt16(0x0209), at: 0x206) }
        #expect(old.preferredAddress == nil)
        #expect(old.initSize == nil)
        #expect(old.payload != nil)
        #expect(!old.hasLongModeEntry)
        let older = try header { $0.put(UInt16(0x0206), at: 0x206) }
        #expect(older.payload == nil)
    }

    @Test func noSetupSectorsMeanFour() throws {
        #expect(try header { $0.put(UInt8(0), at: 0x1F1) }.code.lowerBound == 0xA00)
    }

    @Test func whatIsNotAKernelIsNamed() {
        #expect(error { $0 = ImageBytes(count: 0) } == .notKernel)
        #expect(error { $0 = ImageBytes(count: 0x1FF) } == .notKernel)
        #expect(error { $0.put(UInt16(0), at: 0x1FE) } == .notKernel)
        #expect(error { $0.put(UInt32(0), at: 0x202) } == .bootSector)
        #expect(error { $0.bytes = KernelELF([]).bytes } == .isELF)
        #expect(LinuxBootError.isELF.text.contains("the loader `elf` boots it"))
    }

    @Test func anOldProtocolAndAZImageAreRefused() {
        #expect(error { $0.put(UInt16(0x0205), at: 0x206) } == .tooOld(0x0205))
        #expect(LinuxBootError.tooOld(0x0205).text.hasPrefix("boot protocol 2.05 is too old: this loader needs 2.06"))
        #expect(error { $0.put(UInt8(0), at: 0x211) } == .loadedLow)
    }

    @Test func whatIsCutOffIsRefused() {
        let whole = BzImageFile(payload: [1, 2, 3, 4, 5, 6, 7, 8]).bytes
        for count in [0x206, 0x208, 0x23C, 0x26B, 0xA00, 0xA01, whole.count - 1] {
            #expect(error { $0.bytes = Array(whole[..<count]) } == .truncated(UInt64(count)), "\(count)")
        }
        #expect(error { $0.put(UInt8(255), at: 0x1F1) } == .truncated(UInt64(whole.count)))
        #expect(error { $0.put(UInt32.max, at: 0x1F4) } == .truncated(UInt64(whole.count)))
        #expect(error { $0.put(UInt32(0), at: 0x1F4) } == .truncated(UInt64(whole.count)))
        #expect(error { $0.put(UInt8(0), at: 0x201) } == .truncated(UInt64(whole.count)))
    }

    @Test func aPayloadOutsideTheCodeIsNone() throws {
        #expect(try header { $0.put(UInt32.max, at: 0x248) }.payload == nil)
        #expect(try header { $0.put(UInt32.max, at: 0x24C) }.payload == nil)
        #expect(try header { $0.put(UInt32(0x411), at: 0x24C) }.payload == nil)
        #expect(try header { $0.put(UInt32(0x410), at: 0x248) }.payload == nil)
    }

    @Test func aReleaseOutsideTheFileIsNone() throws {
        #expect(try header { $0.put(UInt16(0xFFFF), at: 0x20E) }.release == "")
        #expect(try header { $0.put(UInt16(0), at: 0x20E) }.release == "")
        // To the end of the file, without a NUL.
        #expect(try header { $0.put(UInt16(0xC0D), at: 0x20E) }.release.utf8.count <= 3)
    }

    @Test func randomHeadersNeverTrap() {
        var numbers = Sequence64(0x1F1)
        let ram = RAMMap(ram: [0..<0x1000_0000, 0x1_0000_0000..<0x2_0000_0000])
        for _ in 0..<20_000 {
            var image = BzImageFile(payload: [1, 2, 3, 4, 5, 6, 7, 8])
            for _ in 0...numbers.below(6) {
                let offset = 0x1F1 + numbers.below(0x27C - 0x1F1)
                image.file.bytes[offset] = UInt8(truncatingIfNeeded: numbers.next())
            }
            guard let header = try? SetupHeader(ByteReader(image.bytes)) else { continue }
            #expect(header.code.upperBound <= UInt64(image.bytes.count))
            var kernel = LinuxKernel(pieces: [], entry: 0, mode: .long64)
            kernel.initrdMax = header.initrdMax
            kernel.header = header.bytes
            kernel.commandLineSize = header.commandLineSize
            _ = try? LinuxPlan(kernel, commandLine: "a", initrds: [[1, 2, 3]], ram: ram)
        }
    }
}
