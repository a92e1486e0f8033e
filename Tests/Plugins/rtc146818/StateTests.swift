import SplitMix
import Testing
@testable import RTC146818

/// Snapshots, hostile states, and random operation.
extension RTC146818Tests {
    private func restored(_ state: RTC146818.State) -> RTC146818? {
        var chip = RTC146818()
        return chip.restore(state) ? chip : nil
    }

    private func refuses(_ change: (inout RTC146818.State) -> Void) -> Bool {
        var bench = Bench.at(1_234_567_890)
        let before = bench.chip.state
        var state = before
        change(&state)
        return !bench.chip.restore(state) && bench.chip.state == before
    }

    @Test func restoredChipContinuesWhereTheSavedOneStopped() throws {
        var b = Bench.at(1_234_567_890)
        b[0x0B] = 0x52
        b[0x44] = 0x17
        b.wait(1_250_000_000)
        b.chip.advance(to: b.now)
        var copy = Bench(chip: try #require(restored(b.chip.state)), now: b.now)
        #expect(copy.chip.interruptAsserted)
        #expect(copy[0x44] == 0x17)
        #expect(copy[0x0C] == 0xD0)
        copy.now = 30_000_000_000
        #expect(copy.time == [0x09, 0x02, 0x13, 0x06, 0x23, 0x32, 0x00])
    }

    @Test func impossibleStatesAreRefusedWhole() {
        #expect(refuses { $0.index = 128 })
        #expect(refuses { $0.memory = [] })
        #expect(refuses { $0.memory.removeLast() })
        #expect(refuses { $0.memory.append(0) })
        #expect(refuses { $0.memory[0] = 0x80 })
        for address in 10...13 { #expect(refuses { $0.memory[address] = 1 }) }
        #expect(refuses { $0.registerA = .init(rawValue: 0xA6) })
        #expect(refuses { $0.registerC = .init(rawValue: 0x80) })
        #expect(refuses { $0.registerC = .init(rawValue: 0x01) })
        #expect(refuses { $0.registerD = .init(rawValue: 0x40) })
        #expect(refuses { $0.updatePhase = 1_000_000_000 })
        #expect(refuses { $0.updatePhase = .max })
    }

    /// Any state that restore accepts, at any time, answers without a trap, and time that seems to go back stops it.
    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func hostileStatesAreHarmless(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        for _ in 0..<3000 {
            var state = RTC146818.State()
            for address in 0..<128 where !(10...13).contains(address) {
                state.memory[address] = UInt8(truncatingIfNeeded: random.next())
            }
            state.memory[0] &= 0x7F
            state.registerA = .init(rawValue: UInt8(truncatingIfNeeded: random.next()) & 0x7F)
            state.registerB = .init(rawValue: UInt8(truncatingIfNeeded: random.next()))
            state.updatePhase = UInt32(random.next() % 1_000_000_000)
            state.updateAborted = random.next() & 1 != 0
            state.advancedTo = random.next() >> (random.next() % 64)
            var chip = try #require(restored(state))
            for _ in 0..<4 {
                let now = random.next() >> (random.next() % 64)
                _ = chip.nextEvent(at: now)
                _ = chip.peek(1, at: now)
                _ = chip.squareWave(at: now)
                chip.advance(to: now)
                chip.write(0, UInt8(truncatingIfNeeded: random.next()), at: now)
                chip.write(1, UInt8(truncatingIfNeeded: random.next()), at: now)
                chip.setTime(
                    seconds: Int64(truncatingIfNeeded: random.next()),
                    nanoseconds: UInt32(truncatingIfNeeded: random.next()), at: now)
            }
            chip.advance(to: .max)
            #expect(chip.nextEvent(at: .max) == nil || chip.nextEvent(at: .max) == .max)
            #expect(restored(chip.state) != nil)
        }
    }

    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func randomOperationNeverTrapsAndSurvivesRestore(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        var chip = RTC146818(), twin = RTC146818()
        var now: UInt64 = 0
        for step in 0..<10_000 {
            now += random.next() % (step % 50 == 0 ? 40_000_000_000_000 : 300_000_000)
            if step % 31 == 0 { twin = try #require(restored(chip.state)) }
            let choice = random.next(), argument = random.next()
            #expect(operate(&chip, choice, argument, now) == operate(&twin, choice, argument, now))
            #expect(chip.state == twin.state)
        }
    }

    /// What `nextEvent` foretells is when the pin rises, and not before.
    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func pinRisesExactlyAtTheNextEvent(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var chip = RTC146818()
        var now: UInt64 = 0
        for _ in 0..<5000 {
            now += random.next() % 700_000_000
            _ = operate(&chip, random.next(), random.next(), now)
            chip.advance(to: now)
            guard !chip.interruptAsserted else {
                chip.write(0, 0x0C, at: now)
                _ = chip.read(1, at: now)
                continue
            }
            let next = chip.nextEvent(at: now)
            #expect(next.map { $0 > now } ?? true)
            var early = chip, onTime = chip
            early.advance(to: (next ?? .max) - 1)
            #expect(!early.interruptAsserted)
            if let next {
                onTime.advance(to: next)
                #expect(onTime.interruptAsserted)
            }
        }
    }

    private func operate(_ chip: inout RTC146818, _ choice: UInt64, _ argument: UInt64, _ now: UInt64) -> UInt64 {
        let byte = UInt8(truncatingIfNeeded: argument), register = UInt8(truncatingIfNeeded: argument >> 8)
        switch choice % 16 {
        case 0...2: chip.write(0, register % 16, at: now)
        case 3: chip.write(0, register, at: now)
        case 4...8: return UInt64(chip.read(1, at: now))
        case 9...12: chip.write(1, byte, at: now)
        case 13:
            chip.write(0, 0x0A, at: now)
            chip.write(1, 0x20 | byte & 0x0F, at: now)
        case 14:
            chip.write(0, 0x0B, at: now)
            chip.write(1, byte & 0x7F, at: now)
        default:
            if byte < 16 {
                chip.reset(at: now)
            } else if byte < 64 {
                chip.setTime(seconds: Int64(argument >> 32), nanoseconds: UInt32(argument & 0x3FFF_FFFF), at: now)
            } else {
                return UInt64(chip.read(byte, at: now)) | UInt64(chip.peek(1, at: now)) << 8
            }
        }
        return chip.nextEvent(at: now) ?? 0
    }
}
