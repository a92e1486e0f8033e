import SplitMix
import E1000
import Testing

@Suite struct E1000FuzzTests {
    private static let offsets: [UInt32] = [
        0x00, 0x08, 0x10, 0x14, 0x20, 0x38, 0xC0, 0xC4, 0xC8, 0xD0, 0xD8, 0x100, 0x400, 0x2800, 0x2804, 0x2808, 0x2810,
        0x2818,
        0x3800, 0x3804, 0x3808, 0x3810, 0x3818, 0x5000, 0x5400, 0x5404, 0x5200, 0x5600, 0x4010, 0x40C0, 0x40C4, 0x1000,
    ]

    /// Two chips over equal RAM, one of which is replaced by a restored copy at random, do the same for 100,000 operations.
    @Test func randomOperationsNeitherTrapNorTellARestoredChipApart() {
        var random = SplitMix64(seed: 82540)
        var (one, other) = (Bench(), Bench())
        fill(one.machine, 1)
        fill(other.machine, 1)
        var (frames, received) = (0, 0)
        for step in 0..<100_000 {
            let seed = random.next()
            if operate(&one, seed) == .accepted { received += 1 }
            _ = operate(&other, seed)
            if one.chip.state != other.chip.state || one.chip.interruptAsserted != other.chip.interruptAsserted {
                return #expect(Bool(false), "step \(step)")
            }
            let sent = one.machine.takeSent()
            frames += sent.count
            if sent != other.machine.takeSent() { return #expect(Bool(false), "step \(step)") }
            guard step % 211 == 0 else { continue }
            var fresh = E1000(address: [])
            guard fresh.restore(other.chip.state) else { return #expect(Bool(false), "\(other.chip.state)") }
            other.chip = fresh
        }
        #expect(one.machine.ram == other.machine.ram)
        #expect(frames > 100, "frames went out")
        #expect(received > 100, "and came in")
    }

    private func fill(_ machine: Machine, _ seed: UInt64) {
        var random = SplitMix64(seed: seed)
        for index in stride(from: 0, to: machine.ram.count, by: 8) { machine.put(little(random.next(), 8), at: index) }
        // Descriptors that often lie in RAM, so that something happens.
        for index in 0..<256 {
            machine.put(little(random.next() & 0x3_FFFF, 8), at: 0x1000 + index * 16)
            machine.put(little(random.next() & 0x7FF, 2), at: 0x1000 + index * 16 + 8)
        }
    }

    /// What a frame met, where the operation was one that came in.
    private func operate(_ bench: inout Bench, _ seed: UInt64) -> E1000.Reception? {
        var random = SplitMix64(seed: seed)
        bench.now &+= random.next() >> 44
        let value = UInt32(truncatingIfNeeded: random.next())
        let known = Self.offsets[Int(random.next() % UInt64(Self.offsets.count))]
        let offset = random.next() % 4 == 0 ? UInt32(random.next() & 0x1_FFFF) : known
        switch random.next() % 16 {
        case 0...3: bench.set(offset, offset == 0 && value & 0xF0 != 0 ? value & ~(1 << 26) : value)
        case 4, 5: _ = bench.get(offset)
        case 6: bench.set(0x10, value & 0x77 | 0x42)
        case 7: bench.set(0x20, 1 << 21 | value & 0x0C1F_FFFF)
        case 8, 9: bench.chip.transmit(at: bench.now, bench.machine, bench.machine)
        case 10, 11, 12:
            let destination = [station, broadcast, [1, 2, 3, 4, 5, 6], peer][Int(value & 3)]
            let bytes =
                value & 4 == 0
                ? frame(to: destination, length: Int(value >> 20))
                : packet(tcp: value & 8 == 0, payload: Int(value >> 24))
            return bench.chip.receive(bytes, at: bench.now, bench.machine)
        case 13:
            for (offset, value): (UInt32, UInt32) in [
                (0x00, 0x41), (0x3800, 0x1000), (0x3804, 0), (0x3808, 4096), (0x2800, 0x2000), (0x2804, 0),
                (0x2808, 128),
                (0x400, 2), (0x100, 0x801A), (0x3818, value & 0xFF), (0x2818, value >> 8 & 7),
                (0x3810, value >> 16 & 0xFF),
                (0x2810, 0),
            ] { bench.set(offset, value) }
        case 14: if value & 63 == 0 { bench.chip.setCarrier(value & 64 != 0, at: bench.now) }
        default:
            bench.chip.writeWindow(0, offset, at: bench.now)
            bench.chip.writeWindow(4, value & ~(1 << 26), at: bench.now)
            _ = bench.chip.readWindow(4, at: bench.now)
        }
        return nil
    }

    @Test func statesThatNoChipCanBeInAreRefused() {
        let broken: [(inout E1000.State) -> Void] = [
            { $0.addresses = [] }, { $0.multicast.removeLast() }, { $0.vlans.append(0) }, { $0.kept = [] },
            { $0.eeprom.words.removeLast() }, { $0.eeprom.commandBits = 10 }, { $0.eeprom.pins = 8 },
            { $0.statistics.values = [] }, { $0.control = .init(rawValue: 1 << 26) }, { $0.vlanType = 1 << 16 },
            { $0.cause = .init(rawValue: 1 << 31) }, { $0.receive.baseLow = 1 }, { $0.transmit.length = 1 },
            { $0.receive.head = 1 << 16 }, { $0.packet.bytes = [1] }, { $0.phy.hasCarrier = false },
            { ($0.packet.hasBegun, $0.packet.bytes) = (true, [UInt8](repeating: 0, count: 1 << 18)) },
            { $0.receiveControl = .init(rawValue: 1) }, { $0.phy.control = 0x8000 },
        ]
        for (index, change) in broken.enumerated() {
            var chip = E1000(address: station)
            let before = chip.state
            var state = before
            change(&state)
            #expect(chip.restore(state) == false, "\(index)")
            #expect(chip.state == before)
        }
    }
}
