import ATA
import Testing

@Suite struct ATAIdentifyTests {
    /// 20 GiB: 41,943,040 sectors, 0x0280_0000.
    private func large(_ second: Drive = .absent) throws -> Rig {
        Rig(try Drive(sectors: 41_943_040, model: "Backplane disk", serial: "BP-0001", firmware: "1.25"), second)
    }

    @Test func theFixedWords() throws {
        var rig = try large()
        let words = rig.identify()
        let expected: [Int: UInt16] = [
            0: 0x0040, 1: 16383, 2: 0xC837, 3: 16, 6: 63, 47: 0x8010, 48: 0, 49: 0x0E00, 50: 0x4000, 51: 0x0200,
            53: 0x0003, 54: 16383, 55: 16, 56: 63, 57: 0xFC10, 58: 0x00FB, 59: 0x0110, 60: 0x0000, 61: 0x0280,
            63: 0, 64: 0x0003, 67: 120, 68: 120, 80: 0x0078, 82: 0x4068, 83: 0x7400, 84: 0x4000, 85: 0x4068,
            86: 0x3400, 87: 0x4000, 88: 0, 93: 0x404B, 100: 0x0000, 101: 0x0280, 102: 0, 103: 0,
        ]
        for (word, value) in expected { #expect(words[word] == value, "word \(word)") }
    }

    @Test func theSumOfAllBytesIsZero() throws {
        var rig = try large()
        let words = rig.identify()
        #expect(words[255] & 0xFF == 0xA5)
        #expect(words.reduce(0) { $0 + Int($1 & 0xFF) + Int($1 >> 8) } % 256 == 0)
    }

    @Test func textHasItsFirstCharacterInTheHighByte() throws {
        var rig = try large()
        let words = rig.identify()
        #expect(text(words[10..<20]) == "BP-0001             ")
        #expect(text(words[23..<27]) == "1.25    ")
        #expect(text(words[27..<47]) == "Backplane disk                          ")
        #expect(words[27] == 0x4261)  // "Ba"
    }

    @Test func longAndForeignTextIsCutAndReplaced() throws {
        let long = String(repeating: "x", count: 60)
        var rig = Rig(try Drive(sectors: 100, model: long, serial: "Grün\n\u{1F4BE}", firmware: "123456789"))
        let words = rig.identify()
        #expect(text(words[27..<47]) == String(repeating: "x", count: 40))
        #expect(text(words[10..<20]) == "Gr?n??              ")
        #expect(text(words[23..<27]) == "12345678")
        #expect(words[47] == 0x8010)
    }

    @Test func aDriveBeyond28BitsSaysSoIn100To103() throws {
        var rig = Rig(try Drive(sectors: 0x0012_3456_789A))
        let words = rig.identify()
        #expect(words[60] == 0xFFFF && words[61] == 0x0FFF)
        #expect(words[100...103] == [0x789A, 0x3456, 0x0012, 0x0000])
    }

    @Test func theLargestDriveReportsTheLargestNumber() throws {
        var rig = Rig(try Drive(sectors: 1 << 48))
        #expect(rig.identify()[100...103] == [0xFFFF, 0xFFFF, 0xFFFF, 0x0000])
    }

    @Test func currentTranslationFollowsInitializeDeviceParameters() throws {
        var rig = try large()
        rig.command(0x91, count: 32, device: 0xA7)  // 8 heads, 32 sectors
        let words = rig.identify()
        #expect(words[1] == 16383 && words[3] == 16 && words[6] == 63)
        #expect(words[54] == 64508 && words[55] == 8 && words[56] == 32)  // 16,514,064 / 256
        let capacity = UInt32(64508 * 256)
        #expect(words[57] == UInt16(capacity & 0xFFFF) && words[58] == UInt16(capacity >> 16))
    }

    @Test func multipleAndSettingsAreShown() throws {
        var rig = try large()
        rig.command(0xC6, count: 8)
        rig.command(0xEF, features: 0x82)
        rig.serve()
        rig.command(0xEF, features: 0x55)
        var words = rig.identify()
        #expect(words[59] == 0x0108)
        #expect(words[85] == 0x4008)
        rig.command(0xC6, count: 0)
        rig.command(0xEF, features: 0x02)
        rig.command(0xEF, features: 0xAA)
        words = rig.identify()
        #expect(words[59] == 0x0000)
        #expect(words[85] == 0x4068)
    }

    @Test func resetResultTellsWhoIsThere() throws {
        var rig = try large(try Drive(sectors: 100))
        #expect(rig.identify(device: 0xA0)[93] == 0x403B)
        #expect(rig.identify(device: 0xB0)[93] == 0x4B00)
    }

    @Test func oneBlockOneInterrupt() throws {
        var rig = try large()
        rig.command(0xEC)
        #expect(rig.status == 0x58)
        #expect(rig.interrupt() == true)
        #expect(rig.words(255).count == 510)
        #expect(rig.status == 0x58)
        _ = rig.words(1)
        #expect(rig.status == 0x50)
        #expect(!rig.chip.interruptAsserted)
        #expect(rig.chip.takeRequest() == nil)
    }

    @Test func identifyPacketDeviceIsAborted() throws {
        var rig = try large()
        rig.command(0xA1)
        #expect(rig.interrupt() == true)
        #expect(rig.status == 0x51)
        #expect(rig.chip.read(1) == 0x04)
    }

    private func text(_ words: ArraySlice<UInt16>) -> String {
        String(decoding: words.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] }, as: UTF8.self)
    }
}

@Suite struct ATADriveTests {
    @Test(arguments: [
        (UInt64(1), 1, 1, 1), (62, 1, 1, 62), (63, 1, 1, 63), (125, 1, 1, 63), (126, 1, 2, 63), (1007, 1, 15, 63),
        (1008, 1, 16, 63), (2880, 2, 16, 63), (1_032_192, 1024, 16, 63), (16_514_063, 16382, 16, 63),
        (16_514_064, 16383, 16, 63), (16_515_072, 16383, 16, 63), (1 << 48, 16383, 16, 63),
    ])
    func theUsualTranslation(sectors: UInt64, cylinders: Int, heads: Int, track: Int) throws {
        let geometry = try Drive(sectors: sectors).geometry
        #expect(Int(geometry.cylinders) == cylinders)
        #expect(Int(geometry.heads) == heads)
        #expect(Int(geometry.sectorsPerTrack) == track)
        #expect(geometry.capacity <= sectors)
    }

    @Test func aChosenGeometryIsTheDefault() throws {
        let chosen = CHS(cylinders: 615, heads: 4, sectorsPerTrack: 17)
        var rig = Rig(try Drive(sectors: 41_820, geometry: chosen))
        let words = rig.identify()
        #expect(words[1] == 615 && words[3] == 4 && words[6] == 17)
        #expect(words[54] == 615 && words[55] == 4 && words[56] == 17)
        #expect(words[57] == 41_820)
    }

    @Test func impossibleDrivesAreRefused() {
        #expect(throws: Drive.Problem.tooManySectors((1 << 48) + 1)) { try Drive(sectors: (1 << 48) + 1) }
        for bad in [(0, 16, 63), (10, 0, 63), (10, 17, 63), (10, 16, 0)] {
            let geometry = CHS(
                cylinders: UInt16(bad.0), heads: UInt8(bad.1), sectorsPerTrack: UInt8(bad.2))
            #expect(throws: Drive.Problem.geometryOutOfRange(geometry)) {
                try Drive(sectors: 1 << 30, geometry: geometry)
            }
        }
        let big = CHS(cylinders: 100, heads: 16, sectorsPerTrack: 63)
        #expect(throws: Drive.Problem.geometryLargerThanDrive(big, sectors: 100_799)) {
            try Drive(sectors: 100_799, geometry: big)
        }
    }

    @Test func noSectorsMeansNoDrive() throws {
        #expect(try !Drive(sectors: 0).isPresent)
        #expect(!Drive.absent.isPresent)
    }
}
