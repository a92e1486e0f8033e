import SplitMix
@testable import PIT8254
import Testing

extension PIT8254Tests {
    /// The computed counters against one that is stepped tick by tick.
    @Suite struct Stepped {
        /// Low bytes and high bytes: no count of 1, which modes 2 and 3 do not define.
        static let lowBytes: [UInt8] = [0, 2, 3, 4, 5, 6, 7, 9, 0x10, 0x12, 0x25, 0x99, 0xA3, 0xFF]
        static let highBytes: [UInt8] = [0, 0, 0, 0, 0, 0, 0x02, 0x05, 0x99, 0xFF]

        @Test(arguments: 1...16) func theChipAgreesWithASteppedCounter(_ seed: Int) {
            var random = SplitMix64(seed: UInt64(seed))
            var bench = Bench()
            bench.gate(seed % 2 == 0)
            var stepped = SteppedCounter(gate: seed % 2 == 0)
            var access: UInt8 = 3
            var wroteLow = false
            for step in 0..<4_000 {
                let bits = random.next()
                switch bits % 32 {
                case 0...1:
                    access = UInt8(bits >> 8 % 3) + 1
                    wroteLow = false
                    let word = access << 4 | UInt8(truncatingIfNeeded: bits >> 16 & 0x0F)
                    bench.write(3, word)
                    stepped.writeControl(word)
                case 2...6:
                    let isHigh = access == 2 || wroteLow
                    let bytes = isHigh ? Self.highBytes : Self.lowBytes
                    let byte = bytes[Int(bits >> 8 % UInt64(bytes.count))]
                    if access == 3 { wroteLow.toggle() }
                    bench.write(0, byte)
                    stepped.writeCount(byte)
                case 7...9:
                    bench.gate(bits >> 8 & 1 == 1)
                    stepped.setGate(bits >> 8 & 1 == 1)
                case 10 where bits >> 8 % 8 == 0:
                    let ticks = bits >> 16 % 70_000
                    bench.tick += ticks
                    for _ in 0..<ticks { stepped.clock() }
                case 11: bench.chip.advance(to: bench.now)
                case 12...16:
                    // To the tick of a change or the one before it, so that what comes next meets it.
                    while stepped.out == SteppedCounter.after(stepped).out && bits >> 8 % 512 > bench.tick % 512 {
                        bench.tick += 1
                        stepped.clock()
                    }
                    if bits >> 20 & 1 == 1 {
                        bench.tick += 1
                        stepped.clock()
                    }
                default:
                    bench.tick += bits >> 8 % 12
                    for _ in 0..<(bits >> 8 % 12) { stepped.clock() }
                }
                let trouble = difference(bench, stepped)
                if let trouble {
                    Issue.record("step \(step): \(trouble); \(bench.chip.state.counter0) \(stepped)")
                    return
                }
                if step % 8 == 0, let trouble = eventTrouble(bench, stepped) {
                    Issue.record("step \(step): \(trouble); \(bench.chip.state.counter0) \(stepped)")
                    return
                }
            }
        }

        private func difference(_ bench: Bench, _ stepped: SteppedCounter) -> String? {
            if bench.output != stepped.out { return "OUT" }
            if bench.isNull != stepped.isNull { return "null count" }
            let edges = bench.chip.risingEdges(0, at: bench.now)
            if edges != stepped.risingEdges { return "edges \(edges)" }
            let mask: UInt16 = [0xFFFF, 0x00FF, 0xFF00, 0xFFFF][Int(bench.chip.state.counter0.control >> 4 & 3)]
            if stepped.isComparable && bench.count != stepped.shownCount & mask { return "count \(bench.count)" }
            return nil
        }

        /// Follows the stepped counter to its next change, up to 400 ticks ahead.
        private func eventTrouble(_ bench: Bench, _ start: SteppedCounter) -> String? {
            let event = bench.chip.nextEvent(at: bench.now)
            let rise = bench.chip.nextRisingEdge(0, at: bench.now)
            var stepped = start
            var change: UInt64?
            for distance: UInt64 in 1...400 {
                stepped.clock()
                if change == nil && stepped.out != start.out { change = ns(bench.tick + distance) }
                if stepped.risingEdges != start.risingEdges {
                    let time = ns(bench.tick + distance)
                    return event == change && rise == time ? nil : "event \(String(describing: event)) not \(time)"
                }
            }
            let horizon = ns(bench.tick + 400)
            if let change { return event == change ? nil : "event \(String(describing: event)) not \(change)" }
            return (event ?? .max) > horizon && (rise ?? .max) > horizon ? nil : "event too early"
        }
    }

    /// Port 0x61, saved states and hostile use.
    @Suite struct System {
        // MARK: Port B

        @Test func portBReadsBackItsOwnBits() {
            var (port, timer) = (SystemControlPortB(), PIT8254())
            #expect(port.read(timer, at: 0) == 0x00)
            port.write(0xFF, to: &timer, at: 0)
            #expect(port.read(timer, at: 0) == 0x0F)
            port.write(0x02, to: &timer, at: 0)
            #expect(port.read(timer, at: 0) == 0x02)
        }

        @Test func bit0IsGate2() {
            var (port, timer) = (SystemControlPortB(), PIT8254())
            #expect(!timer.gate(2))
            port.write(0x01, to: &timer, at: 0)
            #expect(timer.gate(2))
            #expect(port.read(timer, at: 0) & 0x01 == 0x01)
            port.write(0x00, to: &timer, at: 0)
            #expect(!timer.gate(2))
        }

        /// How firmware and kernels time a loop: counter 2 in mode 0, gate on, wait for OUT2 in bit 5.
        @Test func bit5IsOut2() {
            var (port, timer) = (SystemControlPortB(), PIT8254())
            port.write(0x01, to: &timer, at: 0)
            for (offset, value): (UInt8, UInt8) in [(3, 0xB0), (2, 100), (2, 0)] { timer.write(offset, value, at: 0) }
            #expect(port.read(timer, at: ns(100)) & 0x20 == 0x00)
            #expect(port.read(timer, at: ns(101)) & 0x20 == 0x20)
            #expect(timer.nextEvent(2, at: 0) == ns(101))
        }

        @Test func bit4TogglesEvery18Ticks() {
            var timer = PIT8254()
            let port = SystemControlPortB()
            for (tick, toggle): (UInt64, UInt8) in [(0, 0), (17, 0), (18, 0x10), (35, 0x10), (36, 0), (54, 0x10)] {
                #expect(port.read(timer, at: ns(tick)) & 0x10 == toggle)
            }
            #expect(port.read(timer, at: 15_085) & 0x10 == 0x00)
            #expect(port.read(timer, at: 15_086) & 0x10 == 0x10)
            // A guest that programs another refresh rate gets it.
            timer.write(3, 0x54, at: ns(40))
            timer.write(1, 9, at: ns(40))
            let levels = (0...27).map { port.read(timer, at: ns(41 + $0)) & 0x10 }
            #expect(
                levels == Array(repeating: 0, count: 9) + Array(repeating: 0x10, count: 9)
                    + Array(repeating: 0, count: 9) + [0x10])
        }

        @Test func speakerNeedsOut2AndItsDataBit() {
            var (port, timer) = (SystemControlPortB(), PIT8254())
            timer.write(3, 0xB6, at: 0)
            for value: UInt8 in [10, 0] { timer.write(2, value, at: 0) }
            port.write(0x03, to: &timer, at: 0)
            #expect(port.speaker(timer, at: ns(1)))
            #expect(!port.speaker(timer, at: ns(6)))
            #expect(port.speaker(timer, at: ns(11)))
            port.write(0x01, to: &timer, at: ns(11))
            #expect(!port.speaker(timer, at: ns(11)))
        }

        @Test func portBKeepsOnlyItsOwnBitsInASavedState() {
            var port = SystemControlPortB()
            for bits: UInt8 in [0x01, 0x10, 0x20, 0x80] {
                var state = SystemControlPortB.State()
                state.control = .init(rawValue: bits)
                #expect(port.restore(state) == false)
            }
            var state = SystemControlPortB.State()
            state.control = .init(rawValue: 0x0E)
            #expect(port.restore(state) == true)
            #expect(port.read(PIT8254(), at: 0) == 0x0E)
            port.reset()
            #expect(port.read(PIT8254(), at: 0) == 0x00)
        }

        // MARK: Saved states and hostile use

        @Test func channelsThatAreNotThereAnswerNothing() {
            var timer = PIT8254()
            let before = timer.state
            for channel in [-1, 3, 4, 64, .min, .max] {
                timer.setGate(channel, true, at: 0)
                #expect(!timer.output(channel, at: 1_000))
                #expect(!timer.gate(channel))
                #expect(timer.nextEvent(channel, at: 0) == nil)
                #expect(timer.nextRisingEdge(channel, at: 0) == nil)
                #expect(timer.risingEdges(channel, from: 0, to: 1_000_000) == 0)
            }
            #expect(timer.state == before)
        }

        @Test func resetWaitsForAControlWord() {
            var bench = Bench()
            bench.program(0x36, 100)
            bench.tick += 1_000
            bench.chip.reset()
            #expect(!bench.output)
            #expect(bench.chip.nextEvent(at: bench.now) == nil)
            #expect(bench.chip.state == PIT8254().state)
        }

        @Test func statesThatNoChipCanBeInAreRefused() {
            var bench = Bench()
            bench.program(0x34, 50)
            bench.tick += 20
            bench.chip.advance(to: bench.now)
            let good = bench.chip.state.counter0
            var bad = Array(repeating: good, count: 11)
            bad[0].control = 0x74
            bad[1].control = 0x04
            bad[2].period = 0
            bad[3].period = 65_537
            bad[4].elapsed = 50
            bad[5].since = .max
            bad[6].hasCount = false
            (bad[7].control, bad[7].awaitsHighRead) = (0x14, true)
            (bad[8].control, bad[8].elapsed) = (0x30, .max)
            (bad[9].control, bad[9].period) = (0x35, 10_001)
            bad[10].isLoaded = false
            for counter in bad {
                for place in [\PIT8254.State.counter0, \.counter1, \.counter2] {
                    var state = bench.chip.state
                    state[keyPath: place] = counter
                    var chip = PIT8254()
                    #expect(chip.restore(state) == false)
                    #expect(chip.state == PIT8254().state)
                }
            }
            var chip = PIT8254()
            #expect(chip.restore(bench.chip.state) == true)
        }

        /// States of random bits: refused, or every question about them has an answer.
        @Test func hostileStatesDoNotTrap() {
            var random = SplitMix64(seed: 8254)
            var accepted = 0
            for _ in 0..<60_000 {
                var state = PIT8254.State()
                state.counter0 = hostileCounter(&random)
                state.counter2 = hostileCounter(&random)
                var chip = PIT8254()
                guard chip.restore(state) == true else { continue }
                accepted += 1
                for _ in 0..<6 {
                    let bits = random.next()
                    perform(bits, on: &chip, at: time(random.next()))
                }
            }
            #expect(accepted > 1_000)
        }

        private func hostileCounter(_ random: inout SplitMix64) -> PIT8254.Counter {
            var counter = PIT8254.Counter()
            let bits = random.next()
            counter.control = UInt8(bits & 0x3F)
            counter.countRegister = UInt16(bits >> 8 & 0xFFFF) >> UInt16(bits >> 60)
            (counter.hasCount, counter.awaitsHighWrite) = (bits >> 24 & 7 != 0, bits >> 27 & 3 == 3)
            (counter.awaitsHighRead, counter.gate) = (bits >> 29 & 3 == 3, bits >> 31 & 1 == 1)
            (counter.nullCount, counter.loadsNextTick) = (bits >> 32 & 1 == 1, bits >> 33 & 1 == 1)
            (counter.isLoaded, counter.strobeEnded) = (bits >> 34 & 1 == 1, bits >> 35 & 1 == 1)
            counter.latchedCount = bits >> 36 & 1 == 1 ? UInt16(bits >> 40 & 0xFFFF) : nil
            counter.latchedStatus = bits >> 37 & 1 == 1 ? UInt8(bits >> 40 & 0xFF) : nil
            counter.risingEdges = random.next()
            guard counter.isLoaded else { return counter }
            counter.period = UInt32(random.next() % 66_000)
            counter.since = [0, 1, 70_000, 22_010_316_838_442_218, .max][Int(random.next() % 5)]
            counter.elapsed = random.next() >> (random.next() % 64)
            return counter
        }

        /// Anything a guest may do, at any time: no trap, and a copy of the state answers as the original does.
        @Test(arguments: [1, 2, 3, 4]) func randomOperationsAndACopyAgree(_ seed: UInt64) {
            var random = SplitMix64(seed: seed)
            var (chip, copy) = (PIT8254(), PIT8254())
            var now: UInt64 = 0
            for step in 0..<30_000 {
                if step % 16 == 0 && !copy.restore(chip.state) { Issue.record("step \(step): refused \(chip.state)") }
                let bits = random.next()
                // The steps reach from nanoseconds to years, so that a run gets to the end of 64 bits and stays there.
                let pause = random.next() >> (random.next() % 64 | 8)
                now = now.addingReportingOverflow(pause).overflow ? .max : now + pause
                if bits >> 50 % 64 == 0 { now = 0 }
                let answer = perform(bits, on: &chip, at: now)
                if answer != perform(bits, on: &copy, at: now) || chip.state != copy.state {
                    Issue.record("step \(step): \(chip.state) \(copy.state)")
                    return
                }
            }
        }

        private func time(_ bits: UInt64) -> UInt64 { bits >> (bits & 63) }

        @discardableResult
        private func perform(_ bits: UInt64, on chip: inout PIT8254, at now: UInt64) -> [UInt64] {
            let value = UInt8(truncatingIfNeeded: bits >> 8)
            let offset = UInt8(truncatingIfNeeded: bits >> 16)
            let channel = Int(bits >> 24 % 3)
            var answer: [UInt64] = []
            switch bits & 7 {
            case 0...2: chip.write(offset, value, at: now)
            case 3: chip.write(3, value, at: now)
            case 4: answer.append(UInt64(chip.read(offset, at: now)))
            case 5: chip.setGate(channel, value & 1 == 1, at: now)
            case 6: chip.advance(to: now)
            default: answer.append(UInt64(SystemControlPortB().read(chip, at: now)))
            }
            for channel in 0...2 {
                answer.append(UInt64(chip.peek(UInt8(channel), at: now)))
                answer.append(chip.output(channel, at: now) ? 1 : 0)
                answer.append(chip.risingEdges(channel, at: now))
                answer.append(chip.nextEvent(channel, at: now) ?? 0)
                answer.append(chip.nextRisingEdge(channel, at: now) ?? 0)
            }
            return answer
        }
    }
}
