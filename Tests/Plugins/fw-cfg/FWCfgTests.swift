import SplitMix
import FWCfg
import Testing

/// QEMU's docs/specs/fw_cfg.rst.
@Suite struct FWCfgTests {
    private static func chip() throws -> FWCfg {
        try FWCfg(
            values: [5: FWCfgFiles.number(1), 0xE: FWCfgFiles.number(0), 0xF: [1, 0], 0x8002: [1, 0, 0, 0]],
            files: [
                .init("etc/table-loader", .made(size: 6)), .init("bootorder", .bytes(Array("abc".utf8))),
                .init("etc/scratch", .bytes([1, 2, 3, 4, 5, 6, 7, 8]), isWritable: true),
            ])
    }

    // MARK: Ports

    @Test func signatureAndFeaturesSayQEMUAndDMA() throws {
        var chip = try Self.chip()
        #expect(chip.item(0, 6) == [0x51, 0x45, 0x4D, 0x55, 0, 0], "zeroes beyond the end")
        #expect(chip.item(1, 5) == [3, 0, 0, 0, 0])
        #expect(chip.item(0x4000, 4) == [0x51, 0x45, 0x4D, 0x55], "write mode names the same item")
        #expect(chip.item(0x77, 4) == [0, 0, 0, 0])
    }

    @Test func selectedAtResetIsTheSignature() throws {
        var chip = try Self.chip()
        _ = chip.item(5, 2)
        chip.reset()
        #expect((0..<4).map { _ in chip.readData() } == [0x51, 0x45, 0x4D, 0x55])
    }

    @Test func valuesAreReadByTheirKeys() throws {
        var chip = try Self.chip()
        #expect(chip.item(5, 2) == [1, 0])
        #expect(chip.item(0x8002, 4) == [1, 0, 0, 0])
    }

    @Test func theDirectoryIsBigEndianAndSortedByName() throws {
        var chip = try Self.chip()
        var expected: [UInt8] = [0, 0, 0, 3]
        for (size, key, name): (UInt8, UInt8, String) in [
            (3, 0x20, "bootorder"), (8, 0x21, "etc/scratch"), (6, 0x22, "etc/table-loader"),
        ] {
            expected += [0, 0, 0, size, 0, key, 0, 0] + Array(name.utf8)
            expected += [UInt8](repeating: 0, count: 56 - name.utf8.count)
        }
        #expect(expected.count == 4 + 3 * 64)
        #expect(chip.item(0x19, expected.count) == expected)
        #expect(chip.item(0x20, 4) == [0x61, 0x62, 0x63, 0])
        #expect(chip.keys["etc/scratch"] == 0x21)
    }

    @Test func contentsAreMadeAtEachSelectionAndKeepTheirSize() throws {
        var chip = try Self.chip()
        let machine = Machine()
        machine.made = [9, 8, 7]
        #expect(chip.item(0x22, 7, machine) == [9, 8, 7, 0, 0, 0, 0])
        machine.made = [1, 2, 3, 4, 5, 6, 7, 8]
        chip.select(0x22, machine)
        machine.made = []
        #expect((0..<7).map { _ in chip.readData() } == [1, 2, 3, 4, 5, 6, 0])
        #expect(machine.makes == 2)
    }

    @Test func theAddressRegisterReadsAsItsSignature() throws {
        let chip = try Self.chip()
        #expect(chip.readAddress(0, width: 4) == 0x554D_4551)
        #expect(chip.readAddress(4, width: 4) == 0x4746_4320)
        #expect(chip.readAddress(0, width: 8) == 0x4746_4320_554D_4551)
        #expect(chip.readAddress(7, width: 1) == 0x47)
    }

    // MARK: DMA

    @Test func aReadSelectsCopiesAndPadsWithZeroes() throws {
        var chip = try Self.chip()
        let machine = Machine()
        #expect(machine.access(&chip, control: 0x0020_000A, length: 5, address: 0x2000) == [0, 0, 0, 0])
        #expect(Array(machine.ram[0x2000..<0x2006]) == [0x61, 0x62, 0x63, 0, 0, 0xEE])
        #expect(chip.state.addressHigh == 0)
    }

    @Test func skipsAndReadsGoOnFromWhereTheyAre() throws {
        var chip = try Self.chip()
        let machine = Machine()
        #expect(machine.access(&chip, control: 0x0000_000C, length: 1, address: 0) == [0, 0, 0, 0])
        #expect(chip.readData() == 0x45)
        #expect(machine.access(&chip, control: 0x2, length: 2, address: 0x2000) == [0, 0, 0, 0])
        #expect(Array(machine.ram[0x2000..<0x2002]) == [0x4D, 0x55])
        #expect(machine.access(&chip, control: 0x0000_0008, length: 99, address: 0) == [0, 0, 0, 0], "select alone")
        #expect(chip.readData() == 0x51)
    }

    @Test func anAccessOfEightBytesStartsAtOnce() throws {
        var chip = try Self.chip()
        let machine = Machine()
        _ = machine.write(0x300, (big(0x0000_000A, 4) + big(4, 4) + big(0x3000, 8))[...])
        chip.writeAddress(0, width: 8, UInt64(0x300).byteSwapped, machine)
        #expect(Array(machine.ram[0x3000..<0x3004]) == [0x51, 0x45, 0x4D, 0x55])
        #expect(Array(machine.ram[0x300..<0x304]) == [0, 0, 0, 0])
    }

    @Test func onlyWritableFilesAreWrittenAndOnlyWhole() throws {
        var chip = try Self.chip()
        let machine = Machine()
        machine.ram.replaceSubrange(0x2000..<0x2004, with: [10, 11, 12, 13])
        #expect(machine.access(&chip, control: 0x0021_000C, length: 2, address: 0) == [0, 0, 0, 0])
        #expect(machine.access(&chip, control: 0x10, length: 4, address: 0x2000) == [0, 0, 0, 0])
        #expect(chip.contents(of: "etc/scratch") == [1, 2, 10, 11, 12, 13, 7, 8])
        #expect(chip.item(0x21, 8) == [1, 2, 10, 11, 12, 13, 7, 8])
        #expect(machine.access(&chip, control: 0x0021_0018, length: 9, address: 0x2000) == [0, 0, 0, 1], "too long")
        #expect(
            machine.access(&chip, control: 0x0020_0018, length: 1, address: 0x2000) == [0, 0, 0, 1], "not writable")
        #expect(machine.access(&chip, control: 0x0021_0018, length: 4, address: 0xFFFE) == [0, 0, 0, 1], "not RAM")
        #expect(chip.contents(of: "etc/scratch") == [1, 2, 10, 11, 12, 13, 7, 8])
        chip.reset()
        #expect(chip.contents(of: "etc/scratch") == [1, 2, 3, 4, 5, 6, 7, 8])
    }

    @Test func readsBeyondRAMAndEndlessOnesAreErrors() throws {
        var chip = try Self.chip()
        let machine = Machine()
        for address: UInt64 in [0xFFFF, 0x1_0000, 0x8000_0000, .max, .max - 3] {
            #expect(machine.access(&chip, control: 0x0000_000A, length: 4, address: address) == [0, 0, 0, 1])
        }
        #expect(machine.access(&chip, control: 0x0000_000A, length: .max, address: 0x2000) == [0, 0, 0, 1])
        #expect(machine.ram[0x2000] == 0xEE, "nothing of it was done")
        let before = machine.ram
        chip.writeAddress(0, width: 8, UInt64.max.byteSwapped, machine)
        chip.writeAddress(0, width: 8, UInt64(0xFFF8).byteSwapped, machine)
        chip.writeAddress(2, width: 4, 0, machine)
        #expect(machine.ram == before)
    }

    @Test func aSkipPastAllIsNoWayRound() throws {
        var chip = try Self.chip()
        let machine = Machine()
        for _ in 0..<3 { #expect(machine.access(&chip, control: 0x4, length: .max, address: 0) == [0, 0, 0, 0]) }
        #expect(chip.readData() == 0)
        #expect(chip.state.offset == .max)
    }

    // MARK: What machines say

    @Test func namesThatDoNotFitAreRefused() throws {
        let long = String(repeating: "x", count: 56)
        #expect(throws: FWCfg.Refusal.name(long)) { try FWCfg(files: [.init(long, .bytes([]))]) }
        #expect(throws: FWCfg.Refusal.name("")) { try FWCfg(files: [.init("", .bytes([]))]) }
        #expect(throws: FWCfg.Refusal.duplicate("a")) {
            try FWCfg(files: [.init("a", .bytes([])), .init("a", .bytes([1]))])
        }
        for key: UInt16 in [0, 1, 0x19, 0x20, 0x4005] {
            #expect(throws: FWCfg.Refusal.key(key)) { try FWCfg(values: [key: []]) }
        }
        #expect(try FWCfg(files: [.init(String(long.dropLast()), .bytes([]))]).keys.count == 1)
    }

    @Test func filesHaveTheirFormats() {
        #expect(
            FWCfgFiles.memoryMap([.init(address: 0x1_0000_0000, length: 0x4000_0000, kind: .ram)])
                == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 1, 0, 0, 0])
        #expect(FWCfgFiles.systemStates(suspendToRAM: nil, suspendToDisk: nil) == [128, 0, 0, 1, 2, 128])
        #expect(FWCfgFiles.systemStates(suspendToRAM: 1, suspendToDisk: 2) == [128, 0, 0, 129, 130, 128])
        #expect(FWCfgFiles.bootOrder(["/a", "/b"]) == [0x2F, 0x61, 0x0A, 0x2F, 0x62, 0])
    }

    // MARK: Saved states

    @Test func statesOfOtherMachinesAreRefused() throws {
        let broken: [(inout FWCfg.State) -> Void] = [
            { $0.written[0x20] = [1, 2, 3] }, { $0.written[0x21] = [1] }, { $0.written[0x99] = [] },
            { $0.made = [1] }, { ($0.selector, $0.made) = (0x22, [1]) },
        ]
        for change in broken {
            var chip = try Self.chip()
            var state = chip.state
            change(&state)
            #expect(chip.restore(state) == false)
            #expect(chip.state == FWCfg.State())
        }
    }

    @Test func randomOperationsNeitherTrapNorTellARestoredChipApart() throws {
        var random = SplitMix64(seed: 0x510)
        var (chip, twin) = (try Self.chip(), try Self.chip())
        let (machine, other) = (Machine(), Machine())
        (machine.made, other.made) = ([1, 2, 3], [1, 2, 3])
        for step in 0..<100_000 {
            let seed = random.next()
            let (one, two) = (operate(&chip, machine, seed), operate(&twin, other, seed))
            if one != two || chip.state != twin.state { return #expect(Bool(false), "step \(step)") }
            guard step % 101 == 0 else { continue }
            var fresh = try Self.chip()
            guard fresh.restore(twin.state) else { return #expect(Bool(false), "\(twin.state)") }
            twin = fresh
            if step % 10_100 == 0 { #expect(machine.ram == other.ram) }
        }
        #expect(machine.ram == other.ram)
    }

    private func operate(_ chip: inout FWCfg, _ machine: Machine, _ seed: UInt64) -> UInt64 {
        var random = SplitMix64(seed: seed)
        let value = random.next()
        switch random.next() % 8 {
        case 0: chip.select(UInt16(truncatingIfNeeded: value >> 8) & (value & 1 == 0 ? 0x3F : 0xFFFF), machine)
        case 1, 2: return UInt64(chip.readData())
        case 3: chip.writeAddress(UInt8(value & 7), width: value & 8 == 0 ? 4 : 8, value >> 5, machine)
        case 4: return chip.readAddress(UInt8(value & 15), width: UInt8(value >> 4 & 15))
        default:
            let length = UInt32(truncatingIfNeeded: value >> 32) >> UInt32(value & 31)
            let control = UInt32(value >> 8 & 0x1F) | UInt32(value >> 16 & 0x3F) << 16
            _ = machine.access(
                &chip, control: control, length: min(length, 1 << 14 | length & 0x8000_0000),
                address: random.next() >> (44 + random.next() % 8))
        }
        return 0
    }
}
