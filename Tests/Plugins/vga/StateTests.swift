import SplitMix
import Testing
@testable import VGA

/// Saved states and hostile use.
@Suite struct StateTests {
    @Test(arguments: 0..<UInt64(3))
    func randomUseNeverTrapsAndARestoredCopyAnswersTheSame(seed: UInt64) {
        var dice = SplitMix64(seed: seed)
        var (first, second) = (seed == 0 ? Bench.text() : Bench(), seed == 0 ? Bench.text() : Bench())
        var differences = 0
        for step in 0..<100_000 {
            let bits = dice.next()
            let value = UInt8(truncatingIfNeeded: bits >> 8)
            let port = bits >> 40 & 63 == 0 ? UInt16(truncatingIfNeeded: bits >> 16) : 0x3B0 + UInt16(bits >> 16 & 0x2F)
            let address = UInt32(bits >> 16 & 0x2_FFFF) + 0xA0000
            first.now &+= bits >> 44
            second.now = first.now
            switch bits & 15 {
            case 0...4: first.out(port, value); second.out(port, value)
            case 5, 6:
                let index: UInt16 = [0x3C4, 0x3CE, 0x3D4, 0x3B4][Int(bits >> 4 & 3)]
                first.set(index, UInt8(bits >> 24 & 31), value)
                second.set(index, UInt8(bits >> 24 & 31), value)
            case 7...9:
                if first.chip.peek(port, at: first.now) != second.inp(port) { differences += 1 }
                _ = first.inp(port)
            case 10...12: first.poke(address, value); second.poke(address, value)
            default:
                if first.chip.peekMemory(address - 0xA0000, from: first.memory.span) != second.peek(address) {
                    differences += 1
                }
                _ = first.peek(address)
            }
            guard step % 64 == 0 else { continue }
            if case .text(let geometry) = first.chip.display {
                let rows = (0..<geometry.rows).map { first.chip.textRow($0, of: first.memory.span).count }
                if !rows.allSatisfy({ $0 == geometry.columns }) || rows.count > 128 { differences += 1 }
            }
            _ = (first.chip.textCursor, first.chip.textPalette, first.chip.blink(at: bits), first.chip.frameTime)
            _ = (first.chip.glyphLine(value, line: Int(bits >> 8 & 63), of: first.memory.span))
            if first.chip.textCursor != second.chip.textCursor { differences += 1 }
            second.chip = VGA()
            let taken = second.chip.restore(first.chip.state)
            if !taken || second.chip.state != first.chip.state { differences += 1 }
            guard differences == 0 else { break }
        }
        #expect(differences == 0 && first.memory == second.memory)
    }

    @Test func statesThatCannotBeAreRefused() {
        var chip = VGA()
        for (index, damage)
            in ([
                { $0.crtc = [] }, { $0.crtc[8] = 0x80 }, { $0.sequencer.append(0) }, { $0.graphics[4] = 4 },
                { $0.attribute[0] = 0x40 }, { $0.attributeIndex = 0x40 }, { $0.dac.component = 3 },
                { $0.dac.palette = [1] },
            ] as [(inout VGA.State) -> Void]).enumerated()
        {
            var bad = chip.state
            damage(&bad)
            let taken = chip.restore(bad)
            #expect(!taken, "damage \(index)")
        }
    }
}
