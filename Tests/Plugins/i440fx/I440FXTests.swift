import SplitMix
import I440FX
import PCIConfiguration
import Testing

/// The host bridge against the 440FX data sheet (290549), 3.2.
@Suite struct I440FXTests {
    @Test func identityIsWhatFirmwareLooksFor() throws {
        let chip = try I440FX()
        #expect(chip.read(0x00, width: 4) == 0x1237_8086)
        #expect(chip.read(0x08, width: 4) == 0x0600_0002)
        #expect(chip.read(0x04, width: 4) == 0x0280_0006)
        #expect(chip.read(0x2C, width: 4) == 0x1100_1AF4)
        #expect(chip.read(0x0E, width: 1) == 0 && chip.read(0x34, width: 1) == 0)
        #expect(chip.configuration.windows.isEmpty && chip.configuration.isBusMaster)
    }

    @Test func commandKeepsMemoryAndBusMaster() throws {
        var chip = try I440FX()
        chip.write(0x04, width: 2, 0x0000)
        #expect(chip.read(0x04, width: 2) == 0x0006)
        chip.write(0x04, width: 2, 0xFFFF)
        #expect(chip.read(0x04, width: 2) == 0x0146)
    }

    @Test func resetValuesOfItsOwnRegisters() throws {
        let chip = try I440FX()
        for (offset, value) in [
            (0x53, 0x83), (0x57, 0x01), (0x58, 0x10), (0x60, 0x01), (0x67, 0x01), (0x71, 0x10), (0x72, 0x02),
        ]
            as [(UInt32, UInt32)]
        {
            #expect(chip.read(offset, width: 1) == value, "offset \(offset)")
        }
        for offset in UInt32(0x59)...0x5F { #expect(chip.read(offset, width: 1) == 0) }
    }

    // MARK: PAM

    /// Register, shift of the field, address, length: table "PAM registers and associated memory segments".
    static let fields: [(UInt32, UInt32, UInt32, UInt32)] = [
        (0x5A, 0, 0xC_0000, 0x4000), (0x5A, 4, 0xC_4000, 0x4000), (0x5B, 0, 0xC_8000, 0x4000),
        (0x5B, 4, 0xC_C000, 0x4000), (0x5C, 0, 0xD_0000, 0x4000), (0x5C, 4, 0xD_4000, 0x4000),
        (0x5D, 0, 0xD_8000, 0x4000), (0x5D, 4, 0xD_C000, 0x4000), (0x5E, 0, 0xE_0000, 0x4000),
        (0x5E, 4, 0xE_4000, 0x4000), (0x5F, 0, 0xE_8000, 0x4000), (0x5F, 4, 0xE_C000, 0x4000),
        (0x59, 4, 0xF_0000, 0x1_0000),
    ]

    @Test func everyFieldHasItsSegment() throws {
        for (register, shift, address, length) in Self.fields {
            for (bits, reads, writes) in [(0, false, false), (1, true, false), (2, false, true), (3, true, true)]
                as [(UInt32, Bool, Bool)]
            {
                var chip = try I440FX()
                chip.write(register, width: 1, bits << shift)
                #expect(chip.read(register, width: 1) == bits << shift)
                for segment in chip.segments {
                    let isIt = segment.address == address
                    #expect(!isIt || segment.length == length)
                    #expect(segment.readsRAM == (isIt && reads) && segment.writesRAM == (isIt && writes))
                }
            }
        }
    }

    @Test func segmentsCoverTheLast256KiBOfTheMegabyte() throws {
        var next: UInt32 = 0xC_0000
        for segment in try I440FX().segments {
            #expect(segment.address == next)
            next += segment.length
        }
        #expect(next == 0x10_0000)
    }

    @Test func reservedBitsOfPAMStayZeroAndResetClosesIt() throws {
        var chip = try I440FX()
        chip.write(0x58, width: 4, 0xFFFF_FFFF)
        chip.write(0x5C, width: 4, 0xFFFF_FFFF)
        #expect(chip.read(0x58, width: 4) == 0x3333_30FF && chip.read(0x5C, width: 4) == 0x3333_3333)
        chip.reset()
        #expect(chip.segments.allSatisfy { !$0.readsRAM && !$0.writesRAM })
    }

    // MARK: SMRAM

    @Test func managementRAMOpensUntilItIsLocked() throws {
        var chip = try I440FX()
        #expect(!chip.managementRAMIsOpen)
        chip.write(0x72, width: 1, 0x4A)
        #expect(chip.managementRAMIsOpen && chip.read(0x72, width: 1) == 0x4A)
        chip.write(0x72, width: 1, 0x40)
        #expect(!chip.managementRAMIsOpen, "not without SMRAME")
        chip.write(0x72, width: 1, 0x5A)
        #expect(chip.read(0x72, width: 1) == 0x1A, "the lock closes it")
        chip.write(0x72, width: 1, 0x42)
        #expect(chip.read(0x72, width: 1) == 0x1A, "lock and SMRAME stay, and it does not open")
        chip.write(0x72, width: 1, 0x20)
        #expect(chip.read(0x72, width: 1) == 0x3A, "closing to data is not locked")
        chip.reset()
        #expect(chip.read(0x72, width: 1) == 0x02)
    }

    // MARK: State

    @Test func randomUseNeverTrapsAndARestoredCopyIsTheSame() throws {
        var (chip, copy) = (try I440FX(), try I440FX())
        var dice = SplitMix64(seed: 1)
        for step in 0..<100_000 {
            let bits = dice.next()
            let offset = bits & 7 == 0 ? UInt32(truncatingIfNeeded: bits >> 8) : UInt32(bits >> 8 & 0xFF)
            let width = UInt32(bits >> 40 & 7)
            chip.write(offset, width: width, UInt32(truncatingIfNeeded: bits >> 32))
            if chip.managementRAM.contains([.lock, .open]) { Issue.record("locked and open") }
            guard step % 64 == 0 else { continue }
            let taken = copy.restore(chip.configuration.state)
            #expect(taken && copy.segments == chip.segments && copy.managementRAM == chip.managementRAM)
            #expect(copy.read(offset, width: width) == chip.read(offset, width: width))
            if bits >> 60 == 0 { chip.reset() }
        }
    }

    @Test func statesThatCannotBeAreRefused() throws {
        var chip = try I440FX()
        for (offset, value) in [(0x00, 0x87), (0x59, 0x01), (0x72, 0x5A), (0x04, 0x07)] as [(Int, UInt8)] {
            var bad = chip.configuration.state
            bad.bytes[offset] = value
            let taken = chip.restore(bad)
            #expect(!taken, "offset \(offset)")
        }
    }
}
