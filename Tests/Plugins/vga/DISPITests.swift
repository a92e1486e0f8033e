import SplitMix
import Testing
@testable import VGA

/// DISPI against Bochs's description and what QEMU's guests rely on.
@Suite struct DISPITests {
    private func set(_ chip: inout DISPI, _ index: UInt16, _ value: UInt16) -> DISPI.Change {
        chip.index = index
        return chip.writeData(value)
    }

    private func get(_ chip: inout DISPI, _ index: UInt16) -> UInt16 {
        chip.index = index
        return chip.data
    }

    @Test func identifiesAsTheNewest() {
        var chip = DISPI(memorySize: 16 << 20)
        #expect(get(&chip, 0) == 0xB0C5)
        _ = set(&chip, 0, 0xB0C0)
        #expect(get(&chip, 0) == 0xB0C0)
        _ = set(&chip, 0, 0xB0C6)
        #expect(get(&chip, 0) == 0xB0C0)
        #expect(get(&chip, 10) == 256 && get(&chip, 11) == 0 && get(&chip, 0xFFFF) == 0)
    }

    @Test func capabilitiesAreItsLimits() {
        var chip = DISPI(memorySize: 16 << 20)
        _ = set(&chip, 4, 0x02)
        #expect(get(&chip, 1) == 16000 && get(&chip, 2) == 12000 && get(&chip, 3) == 32)
        _ = set(&chip, 4, 0x00)
        #expect(get(&chip, 1) == 0)
    }

    @Test func modeIsSetAndCleared() {
        var chip = DISPI(memorySize: 16 << 20)
        _ = set(&chip, 1, 1024)
        _ = set(&chip, 2, 768)
        _ = set(&chip, 3, 32)
        #expect(chip.picture == nil)
        #expect(set(&chip, 4, 0x41) == .clear(bytes: 1024 * 768 * 4))
        #expect(
            chip.picture == DISPI.Picture(width: 1024, height: 768, bitsPerPixel: 32, pitch: 4096, start: 0))
        #expect(get(&chip, 6) == 1024 && get(&chip, 7) == 4096, "as many lines as the memory holds")
        let moved = set(&chip, 9, 768)
        let start = chip.picture?.start
        #expect(moved == .picture && start == 3_145_728, "768 lines of 4096 bytes")
        let off = set(&chip, 4, 0)
        #expect(off == .picture && chip.picture == nil)
        #expect(set(&chip, 4, 0xC1) == .picture, "the memory is kept")
        #expect(get(&chip, 9) == 0)
    }

    @Test func impossibleSettingsArePutRight() {
        var chip = DISPI(memorySize: 1 << 20)
        for (index, value) in [(1, 1021), (2, 9999), (3, 17)] as [(UInt16, UInt16)] { _ = set(&chip, index, value) }
        _ = set(&chip, 4, 0x01)
        #expect(chip.picture == DISPI.Picture(width: 1016, height: 1032, bitsPerPixel: 8, pitch: 1016, start: 0))
        _ = set(&chip, 6, 0xFFFF)
        #expect(get(&chip, 6) == 16000 && get(&chip, 7) == 65 && get(&chip, 2) == 65)
        _ = set(&chip, 8, 15000)
        #expect(get(&chip, 8) == 0)
        _ = set(&chip, 8, 100)
        #expect(chip.picture?.start == 100)
        _ = set(&chip, 9, 1)
        #expect(get(&chip, 9) == 0, "all lines are on the screen")
    }

    @Test func banksStayInTheMemory() {
        var chip = DISPI(memorySize: 1 << 20)
        _ = set(&chip, 4, 0x01)
        _ = set(&chip, 5, 15)
        #expect(chip.bankOffset == 0xF_0000)
        _ = set(&chip, 5, 16)
        #expect(chip.bankOffset == 0xF_0000)
        #expect(DISPI(memorySize: 0).memorySize == 0x4_0000 && DISPI(memorySize: .max).memorySize == 0x2000_0000)
    }

    @Test func memoryFormHasTheSameRegisters() {
        var chip = DISPI(memorySize: 16 << 20)
        #expect(chip.readMemory(0, width: 2) == 0xB0C5 && chip.readMemory(0x14, width: 2) == 256)
        #expect(chip.writeMemory(2, width: 2, 640) == .picture)
        #expect(get(&chip, 1) == 640)
        #expect(chip.writeMemory(3, width: 2, 1) == .nothing && chip.writeMemory(2, width: 1, 1) == .nothing)
        #expect(chip.readMemory(0x16, width: 2) == 0 && chip.readMemory(.max, width: 2) == 0)
    }

    @Test func widthOfTheDACNeedsTheMode() {
        var chip = DISPI(memorySize: 16 << 20)
        _ = set(&chip, 4, 0x20)
        #expect(!chip.dacIs8Bit)
        _ = set(&chip, 4, 0x21)
        #expect(chip.dacIs8Bit)
    }

    @Test func randomUseKeepsThePictureInTheMemory() {
        var dice = SplitMix64(seed: 5)
        for size: UInt32 in [1 << 18, 1 << 20, 1 << 24, 0x00FF_FFFF] {
            var chip = DISPI(memorySize: size)
            for step in 0..<25_000 {
                let bits = dice.next()
                let value = UInt16(truncatingIfNeeded: bits >> 16) >> UInt16(bits >> 32 & 15)
                let change =
                    bits & 1 == 0
                    ? set(&chip, UInt16(bits >> 8 & 15), value)
                    : chip.writeMemory(UInt32(bits >> 8 & 31), width: UInt32(bits >> 40 & 3), value)
                if case .clear(let bytes) = change { #expect(bytes <= chip.memorySize) }
                if let picture = chip.picture {
                    let line = (picture.width * max(picture.bitsPerPixel, 8) + 7) / 8
                    let used =
                        picture.bitsPerPixel == 4
                        ? picture.width / 2 : picture.bitsPerPixel == 15 ? picture.width * 2 : line
                    let end = picture.start + picture.pitch * (picture.height - 1) + used
                    #expect(end <= chip.memorySize, "\(picture)")
                }
                if step % 16 == 0 {
                    var copy = DISPI(memorySize: size)
                    let taken = copy.restore(chip.state)
                    #expect(taken && copy.state == chip.state && copy.picture == chip.picture)
                }
            }
        }
    }

    @Test func statesThatCannotBeAreRefused() {
        var chip = DISPI(memorySize: 1 << 20)
        for damage in [
            { $0.id = 1 }, { $0.bank = 16 }, { $0.enable = .init(rawValue: 0x8000) }, { $0.enable = .enabled },
        ] as [(inout DISPI.State) -> Void] {
            var bad = chip.state
            damage(&bad)
            let taken = chip.restore(bad)
            #expect(!taken)
        }
    }
}
