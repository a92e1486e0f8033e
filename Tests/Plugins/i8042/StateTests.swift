import SplitMix
import Testing
@testable import I8042

/// Saved states and hostile use.
@Suite struct StateTests {
    @Test(arguments: 0..<UInt64(4))
    func randomUseNeverTrapsAndARestoredCopyAnswersTheSame(seed: UInt64) {
        var (first, second) = (I8042(), I8042())
        var dice = SplitMix64(seed: seed)
        var now: UInt64 = 0
        var differences = 0
        for step in 0..<100_000 {
            let bits = dice.next()
            now &+= bits >> 60 == 0 ? bits >> 30 & 0xFFF_FFFF : bits >> 44 & 0xF_FFFF
            let value = UInt8(truncatingIfNeeded: bits >> 8)
            switch bits & 15 {
            case 0...3:
                let port: I8042.Port = bits & 16 == 0 ? .data : .statusOrCommand
                if first.peek(port, at: now) != second.read(port, at: now) { differences += 1 }
                _ = first.read(port, at: now)
            case 4...6:
                if first.write(.data, value, at: now) != second.write(.data, value, at: now) { differences += 1 }
            case 7:
                let command: UInt8 = [0xD4, 0xD4, 0x60, 0xA8, 0xAE, 0xD3, value, value][Int(bits >> 16 & 7)]
                if first.write(.statusOrCommand, command, at: now) != second.write(.statusOrCommand, command, at: now) {
                    differences += 1
                }
            case 8...11:
                let (code, pressed) = (UInt16(bits >> 16 & 0x7F), bits >> 24 & 1 == 0)
                first.key(code, pressed: pressed, at: now)
                second.key(code, pressed: pressed, at: now)
            case 12, 13:
                let x = Int32(truncatingIfNeeded: bits >> 16) >> Int32(bits >> 50 & 31)
                first.mouse(x: x, y: ~x, wheel: x, buttons: bits & 32 == 0 ? value : nil, at: now)
                second.mouse(x: x, y: ~x, wheel: x, buttons: bits & 32 == 0 ? value : nil, at: now)
            case 14 where bits >> 20 & 63 == 0: first.releaseAll(at: now); second.releaseAll(at: now)
            default: if first.nextEvent(at: now) != second.nextEvent(at: now) { differences += 1 }
            }
            if first.state != second.state { differences += 1 }
            guard differences == 0 else { break }
            guard step % 64 == 0 else { continue }
            second = I8042()
            let taken = second.restore(first.state)
            #expect(taken, "step \(step): \(first.state)")
        }
        #expect(differences == 0)
    }

    @Test func timeAtItsEndDoesNotOverflow() {
        var chip = I8042()
        chip.key(30, pressed: true, at: .max)
        chip.mouse(x: 1, at: .max)
        chip.advance(to: .max)
        #expect(chip.nextEvent(at: .max) != nil || chip.state.outputFull)
    }

    @Test func statesThatCannotBeAreRefused() {
        var chip = I8042()
        let damages: [(inout I8042.State) -> Void] = [
            { $0.ram = [] }, { $0.ram[0] = 1 }, { $0.commandByte = .init(rawValue: 0x80) }, { $0.reply = 1 },
            { $0.expecting = .ram(32) }, { $0.keyboard.set = 4 }, { $0.keyboard.leds = 8 },
            { $0.keyboard.codes = Array(repeating: 0, count: 257) }, { $0.keyboard.down.low = .max },
            { $0.keyboard.repeatKey = 30 }, { $0.mouse.sampleRate = 0 }, { $0.mouse.resolution = 4 },
            { $0.mouse.buttons = 0x20 }, { $0.mouse.packet = [1, 2, 3, 4, 5] },
            { $0.mouse.reports = Array(repeating: .init(), count: 17) },
        ]
        for (index, damage) in damages.enumerated() {
            var bad = chip.state
            damage(&bad)
            let taken = chip.restore(bad)
            #expect(!taken, "damage \(index)")
        }
        for command in UInt8.min ... .max {
            if let expecting = I8042.Expecting(command: command) { #expect(expecting.command == command) }
        }
    }
}
