import SplitMix
import LocalAPIC
import Testing

@Suite struct LocalAPICFuzzTests {
    /// Two chips, one of which is replaced by a restored copy at random, agree after every one of 100,000 operations.
    @Test func randomOperationsNeitherTrapNorTellARestoredChipApart() {
        var random = SplitMix64(seed: 0xA91C)
        var (chip, twin) = (readyAPIC(), readyAPIC())
        var now: UInt64 = 0
        var served = 0
        for step in 0..<100_000 {
            now &+= random.next() >> (24 + random.next() % 40)
            let seed = random.next()
            let before = chip.state.inService
            operate(&chip, seed, at: now)
            if chip.state.inService != before { served += 1 }
            operate(&twin, seed, at: now)
            if step % 97 == 0 {
                var fresh = LocalAPIC(id: 9, isBootstrap: false)
                guard fresh.restore(twin.state) else { return #expect(Bool(false), "\(twin.state)") }
                #expect(fresh.state == twin.state)
                twin = readyAPIC()
                _ = twin.restore(fresh.state)
                _ = chip.takeOutputs()
            }
            if chip.state != twin.state || chip.request != twin.request || chip.nextDeadline != twin.nextDeadline {
                return #expect(Bool(false), "step \(step)")
            }
            var seen = chip
            seen.advance(to: now)
            if let deadline = seen.nextDeadline, deadline <= now { return #expect(deadline > now) }
        }
        #expect(served > 100, "interrupts were served")
    }

    private func operate(_ chip: inout LocalAPIC, _ seed: UInt64, at now: UInt64) {
        var random = SplitMix64(seed: seed)
        let offset = UInt16(random.next() & 0x3F0) | (random.next() % 16 == 0 ? UInt16(random.next() & 15) : 0)
        let value = UInt32(truncatingIfNeeded: random.next()) & UInt32(truncatingIfNeeded: random.next())
        switch random.next() % 12 {
        case 0...3: chip.write(offset, value, at: now)
        case 4, 5: _ = chip.read(offset, at: now)
        case 6: chip.setLine(UInt8(value & 3), value & 4 != 0, at: now)
        case 7:
            if let message = InterruptMessage(
                address: 0xFEE0_0000 | UInt64(value & 0xF_F00C), data: UInt32(offset) << 5 | value & 0xFF)
            {
                chip.receive(message, at: now)
            }
        case 8: _ = chip.acknowledge()
        case 9:
            chip.write(0x0F0, 0x1FF, at: now)
            chip.write(0x0B0, 0, at: now)
        case 10: chip.writeDeadline(random.next(), tsc: random.next(), at: now)
        default: if value & 31 == 0 { _ = chip.writeBase(0xFEE0_0000 | UInt64(value & 0xF00), at: now) }
        }
        if chip.takeOutputs().startUp != nil { chip.setTaskPriorityClass(UInt8(value & 15)) }
    }

    @Test func statesThatNoChipCanBeInAreRefused() {
        let broken: [(inout LocalAPIC.State) -> Void] = [
            { $0.base = .init(rawValue: 0xFEE0_0C00) }, { $0.timer = .init(rawValue: 0x8_0000) },
            { $0.lint1 = .init(rawValue: 0x4000) }, { $0.spurious = .init(rawValue: 0x1000) },
            { $0.destinationFormat = 16 }, { $0.errors = .init(rawValue: 1) }, { $0.commandHigh = 1 },
            { $0.divide = 4 }, { $0.lines = 4 }, { $0.count = 1 }, { $0.deadline = 1 },
        ]
        for change in broken {
            var chip = readyAPIC()
            let before = chip.state
            var state = before
            change(&state)
            #expect(chip.restore(state) == false)
            #expect(chip.state == before)
        }
    }
}
