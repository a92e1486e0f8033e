import SplitMix
import Testing
@testable import UART16550

/// Snapshots, hostile states, and random operation.
extension UART16550Tests {
    private func restored(_ state: UART16550.State) -> UART16550? {
        var chip = UART16550()
        return chip.restore(state) ? chip : nil
    }

    private func refuses(_ change: (inout UART16550.State) -> Void) -> Bool {
        var bench = Bench.fast(fifo: 0x01)
        bench.receive(0x41)
        let before = bench.chip.state
        var state = before
        change(&state)
        return !bench.chip.restore(state) && bench.chip.state == before
    }

    @Test func restoredChipContinuesWhereTheSavedOneStopped() throws {
        var b = Bench.fast(fifo: 0x81)
        b.chip.hostReady = false
        b.write(1, 0x0F)
        b.write(0, 0x61)
        b.receive(0x41)
        b.receive(0x42, errors: .parityError)
        b.wait(400_000)
        var copy = try #require(restored(b.chip.state))
        #expect(copy.state == b.chip.state)
        #expect(copy.read(2, at: b.now) == 0xCC)
        #expect(copy.read(0, at: b.now) == 0x41)
        #expect(copy.read(5, at: b.now) == 0x85)
        #expect(copy.popTransmit() == 0x61)
    }

    @Test func impossibleStatesAreRefusedWhole() {
        #expect(refuses { $0.interruptEnable = .init(rawValue: 0x10) })
        #expect(refuses { $0.fifoControl = .init(rawValue: 0x03) })
        #expect(refuses { $0.fifoControl = .init(rawValue: 0xC0) })
        #expect(refuses { $0.modemControl = .init(rawValue: 0x20) })
        #expect(refuses { $0.lineErrors = .init(rawValue: 0x01) })
        #expect(refuses { $0.lineErrors = .init(rawValue: 0x80) })
        #expect(refuses { $0.modemInputs = .init(rawValue: 0x01) })
        #expect(refuses { $0.modemDeltas = .init(rawValue: 0x10) })
        #expect(refuses { $0.receiveQueue.count = 17 })
        #expect(refuses { $0.receiveQueue.count = 255 })
        #expect(refuses { $0.receiveQueue.count = 0 }, "a character beyond the count")
        #expect(refuses { $0.receiveQueue.errors = 0x1 }, "the oldest character's errors are in LSR")
        #expect(refuses { $0.receiveQueue.errors = 0x10 }, "errors of a character that is not there")
        #expect(refuses { $0.receiveQueue.high = 1 })
        #expect(
            refuses {
                $0.receiveQueue.count = 2; $0.receiveQueue.errors = 0x80
            })
        #expect(refuses { $0.transmitQueue.low = 1 })
        #expect(
            refuses {
                $0.transmitQueue.count = 1; $0.transmitterEmptyPending = true
            })
        #expect(
            refuses {
                $0.transmitQueue.count = 2; $0.transmitQueue.errors = 0x10
            })
        #expect(
            refuses {
                $0.fifoControl = []; $0.receiveQueue.push(0x42)
            }, "two characters without a FIFO")
        #expect(
            refuses {
                $0.receiveQueue = CharacterQueue(); $0.characterTimeout = true
            })
        #expect(
            refuses {
                $0.fifoControl = []; $0.characterTimeout = true
            })
    }

    @Test func queueKnowsWhatItCanHold() {
        var queue = CharacterQueue()
        for count in 0...16 {
            #expect(queue.isConsistent)
            var wrong = queue
            wrong.count = UInt8(count) &+ 1
            if count < 16 { #expect(wrong.isConsistent, "zero characters are characters") }
            if count > 0 {
                wrong.count = UInt8(count) &- 1
                #expect(!wrong.isConsistent)
            }
            queue.push(0xFF, errors: 0x7)
        }
        #expect(queue.count == 16 && queue.isFull)
        var same = queue
        same.push(1)
        #expect(same == queue)
    }

    @Test func anyTimeInASavedStateIsHarmless() throws {
        var b = Bench.fast(fifo: 0xC1)
        b.write(1, 0x01)
        b.receive(0x41)
        for time in [0, 1, UInt64.max / 2, .max - 1, .max] {
            var state = b.chip.state
            state.receiveActivity = time
            let chip = try #require(restored(state))
            for now in [0, 347_222, UInt64.max] {
                _ = chip.nextEvent(at: now)
                #expect(chip.peek(0, at: now) == 0x41)
            }
        }
    }

    /// Every state that operation reaches can be restored, the restored chip answers the same, and the invariants of
    /// the register summary hold throughout.
    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func randomOperationNeverTrapsAndSurvivesRestore(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        var chip = UART16550(), twin = UART16550()
        var now: UInt64 = 0
        for step in 0..<20_000 {
            now += random.next() % 200_000
            if step % 37 == 0 {
                let hostReady = twin.hostReady
                twin = try #require(restored(chip.state))
                twin.hostReady = hostReady
            }
            let choice = random.next(), argument = random.next()
            #expect(operate(&chip, choice, argument, now) == operate(&twin, choice, argument, now))
            #expect(chip.state == twin.state)
            checkInvariants(chip, at: now)
        }
        #expect(chip.nextEvent(at: .max) == twin.nextEvent(at: .max))
    }

    private func operate(_ chip: inout UART16550, _ choice: UInt64, _ argument: UInt64, _ now: UInt64) -> UInt64 {
        let offset = UInt8(truncatingIfNeeded: argument >> 8), byte = UInt8(truncatingIfNeeded: argument)
        switch choice % 16 {
        case 0...4: return UInt64(chip.read(offset, at: now))
        case 5...8: chip.write(offset, byte, at: now)
        case 9, 10: chip.receive(byte, errors: .init(rawValue: offset & byte), at: now)
        case 11: chip.receiveBreak(at: now)
        case 12: chip.setModemInputs(cts: byte & 1 != 0, dsr: byte & 2 != 0, ri: byte & 4 != 0, dcd: byte & 8 != 0)
        case 13: return chip.popTransmit().map(UInt64.init) ?? 256
        case 14: chip.hostReady = byte & 1 != 0
        default: if byte == 0 { chip.reset() } else { chip.write(2, byte | 1, at: now) }
        }
        return chip.nextEvent(at: now) ?? 0
    }

    private func checkInvariants(_ chip: UART16550, at now: UInt64) {
        let lsr = chip.peek(5, at: now), iir = chip.peek(2, at: now)
        #expect((lsr & 0x60 == 0x60) == (chip.transmitPending == 0))
        #expect(lsr & 0x60 == 0x60 || lsr & 0x60 == 0)
        #expect((0...16).contains(chip.receiveRoom) && (0...16).contains(chip.transmitPending))
        #expect([0x00, 0x01, 0x02, 0x04, 0x06, 0x0C].contains(iir & 0x3F))
        #expect(iir & 0xC0 == (chip.fifoEnabled ? 0xC0 : 0))
        #expect(iir & 0x3F != 0x0C || lsr & 1 == 1)
    }
}
