import PIC8259
import Testing

func initialize(
    _ chip: inout PIC8259, word1: UInt8 = 0x13, base: UInt8 = 0x20, word3: UInt8 = 0x00, word4: UInt8 = 0x01
) {
    chip.write(0, word1)
    chip.write(1, base)
    if word1 & 0x02 == 0 { chip.write(1, word3) }
    if word1 & 0x01 != 0 { chip.write(1, word4) }
}

func readyChip(
    word1: UInt8 = 0x13, base: UInt8 = 0x20, word3: UInt8 = 0x00, word4: UInt8 = 0x01
) -> PIC8259 {
    var chip = PIC8259()
    initialize(&chip, word1: word1, base: base, word3: word3, word4: word4)
    return chip
}

/// Levels go into service in the order given, each higher than the one before.
func chipServing(_ levels: [UInt8]) -> PIC8259 {
    var chip = readyChip()
    for level in levels {
        chip.setLine(level, true)
        #expect(chip.acknowledge() == 0x20 + level)
    }
    return chip
}

func readInService(_ chip: inout PIC8259) -> UInt8 {
    chip.write(0, 0x0B)
    return chip.read(0)
}

/// The order in which eight requests at once are served.
func servingOrder(of chip: PIC8259) -> [UInt8] {
    var chip = chip
    for line: UInt8 in 0...7 {
        chip.setLine(line, false)
        chip.setLine(line, true)
    }
    return (0..<8).map { _ in
        let level = chip.acknowledge() & 7
        chip.write(0, 0x60 | level)
        return level
    }
}
