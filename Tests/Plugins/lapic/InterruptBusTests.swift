import LocalAPIC
import Testing

@Suite struct InterruptBusTests {
    private static func four() -> [LocalAPIC] { (0..<4).map { readyAPIC(id: $0, isBootstrap: $0 == 0) } }

    private func receivers(
        _ destination: InterruptMessage.Destination, from sender: Int? = nil, among chips: [LocalAPIC] = four()
    ) -> [Int] {
        var chips = chips
        InterruptBus.deliver(
            InterruptMessage(destination: destination, delivery: .fixed, vector: 0x40), from: sender, to: &chips, at: 0)
        return chips.indices.filter { chips[$0].request == .vector(0x40) }
    }

    @Test func physicalDestinationsNameOneOrAll() {
        #expect(receivers(.physical(2)) == [2])
        #expect(receivers(.physical(0xFF)) == [0, 1, 2, 3])
        #expect(receivers(.physical(9)) == [])
        #expect(receivers(.allExcludingSelf, from: 1) == [0, 2, 3])
        #expect(receivers(.allIncludingSelf, from: 1) == [0, 1, 2, 3])
    }

    @Test func flatLogicalDestinationsAreMasks() {
        var chips = Self.four()
        for index in chips.indices { chips[index].write(0x0D0, 1 << UInt32(24 + index), at: 0) }
        #expect(receivers(.logical(0x05), among: chips) == [0, 2])
        #expect(receivers(.logical(0xFF), among: chips) == [0, 1, 2, 3])
        #expect(receivers(.logical(0x10), among: chips) == [])
    }

    @Test func clusterLogicalDestinationsNameAClusterAndItsMembers() {
        var chips = Self.four()
        for (index, logical): (Int, UInt32) in [(0, 0x11), (1, 0x12), (2, 0x21), (3, 0x24)] {
            chips[index].write(0x0E0, 0, at: 0)
            chips[index].write(0x0D0, logical << 24, at: 0)
        }
        #expect(receivers(.logical(0x13), among: chips) == [0, 1])
        #expect(receivers(.logical(0x25), among: chips) == [2, 3])
        #expect(receivers(.logical(0x21), among: chips) == [2])
        #expect(receivers(.logical(0xFF), among: chips) == [0, 1, 2, 3])
        #expect(receivers(.logical(0x30), among: chips) == [])
    }

    @Test func lowestPriorityGoesToTheLeastBusyOnly() {
        var chips = Self.four()
        for (index, priority): (Int, UInt32) in [(0, 0x50), (1, 0x20), (2, 0x20), (3, 0x60)] {
            chips[index].write(0x080, priority, at: 0)
        }
        let message = InterruptMessage(destination: .physical(0xFF), delivery: .lowestPriority, vector: 0x70)
        InterruptBus.deliver(message, from: nil, to: &chips, at: 0)
        #expect(chips.map { $0.state.requests.contains(0x70) } == [false, true, false, false])
        InterruptBus.deliver(message, from: 1, to: &chips, at: 0)
        #expect(
            chips.map { $0.state.requests.contains(0x70) } == [false, true, true, false], "the next after the sender")
        chips[1].write(0x0F0, 0xFF, at: 0)
        chips[2].write(0x0F0, 0xFF, at: 0)
        InterruptBus.deliver(message, from: nil, to: &chips, at: 0)
        #expect(chips[0].state.requests.contains(0x70), "one that is switched off takes none")
    }

    /// The sequence of the SDM's "Typical AP Initialization": INIT, then SIPI, to all but the sender.
    @Test func initAndStartUpReachTheOtherCPUs() {
        var chips = Self.four()
        for (command, check): (UInt32, (LocalAPIC.Outputs) -> Bool) in [
            (0xC_4500, { $0.initialize }), (0xC_4608, { $0.startUp == 8 }),
        ] {
            chips[0].write(0x300, command, at: 0)
            guard let sent = chips[0].takeOutputs().sent else { return #expect(Bool(false), "nothing was sent") }
            InterruptBus.deliver(sent, from: 0, to: &chips, at: 0)
            #expect(!check(chips[0].takeOutputs()))
            for index in 1..<4 { #expect(check(chips[index].takeOutputs())) }
        }
        #expect(chips[1].peek(0x0F0, at: 0) == 0xFF, "INIT resets the chip")
        #expect(chips[1].peek(0x020, at: 0) == 0x0100_0000, "but not its ID")
    }
}
