import SplitMix
import PCIConfiguration
import Testing

/// Saved states, and random use of a function that has everything.
@Suite struct StateTests {
    private func everything(_ header: ConfigurationSpace.Header) throws -> Layout {
        var made = layout(header)
        try made.addBaseAddress(0, .memory64(prefetchable: true), size: 0x1_0000)
        if header == .function {
            try made.addBaseAddress(2, .io, size: 32)
            try made.addBaseAddress(3, .memory32(prefetchable: false), size: 0x1000)
        }
        try made.addROM(size: 0x800)
        try made.addPowerManagement(d1: true, eventStates: 0x1F, keepsState: header == .bridge)
        try made.addMSI(vectors: 32, masks: true)
        try made.addMSIX(vectors: 65, table: (0, 0), pending: (0, 0x1000))
        try made.addVendorSpecific([1, 2, 3, 4], writable: [0xFF, 0x0F])
        try made.define(0xF0, width: 4, reset: 5, writable: 0xFF00, clearable: 0xFF_0000, changing: 0xF)
        return made
    }

    @Test(arguments: [ConfigurationSpace.Header.function, .bridge])
    func randomUseNeverTrapsAndARestoredCopyAnswersTheSame(header: ConfigurationSpace.Header) throws {
        let made = try everything(header)
        var first = ConfigurationSpace(made)
        var second = ConfigurationSpace(made)
        var table = MSIXTable(vectors: 65)
        var copy = MSIXTable(vectors: 65)
        var dice = SplitMix64(seed: 11)
        for step in 0..<100_000 {
            let bits = dice.next()
            let offset = bits & 1 == 0 ? UInt32(bits >> 8 & 0xFF) : UInt32(truncatingIfNeeded: bits >> 8)
            let width = UInt32(bits >> 40 & 7)
            let value = UInt32(truncatingIfNeeded: dice.next())
            switch bits >> 48 & 15 {
            case 0...7:
                let changes = (first.write(offset, width: width, value), second.write(offset, width: width, value))
                #expect(changes.0 == changes.1)
            case 8: first.set(offset, width: width, to: value); second.set(offset, width: width, to: value)
            case 9:
                let messages = (first.signalMSI(Int(value & 63)), second.signalMSI(Int(value & 63)))
                #expect(messages.0 == messages.1)
            case 10:
                let messages = (first.takeMSI(), second.takeMSI())
                #expect(messages.0 == messages.1)
            case 11:
                let vector = Int(value & 127) - 1
                let messages = (
                    table.signal(vector, control: first.msixControl), copy.signal(vector, control: second.msixControl)
                )
                #expect(messages.0 == messages.1)
            case 12:
                table.write(UInt64(offset), width: width &* 2, UInt64(value))
                copy.write(UInt64(offset), width: width &* 2, UInt64(value))
            case 13:
                let messages = (table.take(control: first.msixControl), copy.take(control: second.msixControl))
                #expect(messages.0 == messages.1)
            case 14: first.interruptPending = value & 1 == 0; second.interruptPending = value & 1 == 0
            default:
                #expect(
                    table.readPending(UInt64(offset), width: width) == copy.readPending(UInt64(offset), width: width))
            }
            _ = (first.forwards(port: value), first.forwards(memory: UInt64(value)), first.powerEventAsserted)
            guard step % 16 == 0 else { continue }
            #expect(first.windows == second.windows)
            #expect(first.interruptAsserted == second.interruptAsserted)
            #expect(first.read(offset, width: width) == second.read(offset, width: width))
            guard step % 1024 == 0 else { continue }
            second = ConfigurationSpace(made)
            copy = MSIXTable(vectors: 65)
            let isSpaceTaken = second.restore(first.state)
            let isTableTaken = copy.restore(table.state)
            #expect(isSpaceTaken && isTableTaken)
            second.interruptPending = first.interruptPending
            #expect(second.state == first.state)
            #expect(copy.state == table.state)
        }
    }

    @Test func statesThatTheFunctionCannotBeInAreRefused() throws {
        var made = layout()
        try made.addPowerManagement(at: 0x40)
        var space = ConfigurationSpace(made)
        let good = space.state
        for damage in [(0x00, 0x87), (0x06, 0x18), (0x3D, 0x02), (0x10, 0x01), (0x44, 0x09), (0x80, 0x01)] {
            var bad = good
            bad.bytes[damage.0] = UInt8(damage.1)
            let taken = space.restore(bad)
            #expect(!taken, "offset \(damage.0)")
        }
        let empty = space.restore(.init(bytes: []))
        #expect(!empty && space.state == good)
    }

    @Test func tablesThatCannotBeAreRefused() {
        var table = MSIXTable(vectors: 3)
        let good = table.state
        for damage in [{ $0.table[3] = 2 }, { $0.table[4] = 1 }, { $0.pending = [8] }, { $0 = .init(vectors: 4) }]
            as [(inout MSIXTable.State) -> Void]
        {
            var bad = good
            damage(&bad)
            let taken = table.restore(bad)
            #expect(!taken)
        }
        let taken = table.restore(good)
        #expect(taken)
        #expect(MSIXTable(vectors: 0).vectors == 1 && MSIXTable(vectors: 9999).vectors == 2048)
    }
}
