import SplitMix
import Testing
import VirtioInput

private func key(_ code: UInt16, _ value: Int32) -> InputWord { InputWord(type: 1, code: code, value: value) }
private func relative(_ code: UInt16, _ value: Int32) -> InputWord { InputWord(type: 2, code: code, value: value) }
private func absolute(_ code: UInt16, _ value: Int32) -> InputWord { InputWord(type: 3, code: code, value: value) }

extension InputPackets {
    fileprivate mutating func enter(_ events: [InputWord], isLive: Bool = true) {
        for event in events { add(event) }
        end(isLive: isLive)
    }

    /// All that waits, a packet each, without their ends.
    fileprivate mutating func takeAll() -> [[InputWord]] {
        var packets: [[InputWord]] = []
        while true {
            let words = next(entries: 64 << 10)
            guard let last = words.last else { return packets }
            #expect(last == .end)
            packets.append(words.dropLast())
            delivered(words.count)
        }
    }

    fileprivate func reloaded(_ sends: (InputWord) -> Bool = { _ in true }) -> InputPackets? {
        InputPackets(waiting: waitingBytes, open: openBytes, held: heldBytes, sends: sends)
    }
}

@Suite struct PacketTests {
    @Test func packetGoesOutWholeAtItsEnd() {
        var packets = InputPackets()
        packets.add(absolute(0, 5))
        packets.add(key(0x110, 1))
        #expect(packets.next(entries: 64) == [])
        packets.end(isLive: true)
        #expect(packets.next(entries: 64) == [absolute(0, 5), key(0x110, 1), .end])
        packets.delivered(3)
        #expect(packets.next(entries: 64) == [])
        packets.end(isLive: true)
        #expect(packets.next(entries: 64) == [], "an empty packet is none")
    }

    /// A queue of two entries never has room for three events at once.
    @Test func queueThatIsTooShortGetsPieces() {
        var packets = InputPackets()
        packets.enter([absolute(0, 5), absolute(1, 6), key(0x110, 1)])
        var pieces: [[InputWord]] = []
        while let words = Optional(packets.next(entries: 2)), !words.isEmpty {
            pieces.append(words)
            packets.delivered(words.count)
            #expect(packets.reloaded() == packets)
        }
        #expect(pieces == [[absolute(0, 5), absolute(1, 6)], [key(0x110, 1), .end]])
    }

    @Test func motionsThatWaitBecomeOne() {
        var packets = InputPackets()
        packets.enter([absolute(0, 1), absolute(1, 1)])
        packets.enter([absolute(0, 9)])
        packets.enter([key(0x110, 1)])
        packets.enter([relative(8, .max)])
        packets.enter([relative(8, 1), relative(1, -3)])
        packets.enter([relative(1, -4)])
        #expect(
            packets.takeAll() == [
                [absolute(0, 9), absolute(1, 1)], [key(0x110, 1)], [relative(8, .max), relative(1, -7)],
            ])
    }

    @Test func keyGoesDownOnceAndUpOnce() {
        var packets = InputPackets()
        packets.enter([key(30, 0)])
        packets.enter([key(30, 1)])
        packets.enter([key(30, 1)])
        packets.enter([key(30, 0)])
        packets.enter([key(30, 0)])
        #expect(packets.takeAll() == [[key(30, 1)], [key(30, 0)]])
    }

    @Test func withoutADriverNothingWaits() {
        var packets = InputPackets()
        packets.enter([key(30, 1)], isLive: false)
        packets.enter([key(30, 0)])
        #expect(packets.takeAll() == [], "the release of what the guest never saw")
        packets.enter([key(31, 1)])
        packets.forget()
        packets.enter([key(31, 0)])
        #expect(packets.takeAll() == [])
    }

    @Test func fullQueueDropsWholePacketsAndNoRelease() {
        var packets = InputPackets()
        packets.enter([key(30, 1), key(31, 1)])
        for _ in 0..<5000 {
            packets.enter([key(40, 1), relative(8, 1)])
            packets.enter([key(40, 0)])
        }
        packets.enter([key(30, 0), relative(8, 1), key(50, 1), key(31, 0)])
        packets.enter([key(50, 0)])
        let all = packets.takeAll()
        #expect(all.reduce(0) { $0 + $1.count + 1 } < 600)
        #expect(all.last == [key(30, 0), key(31, 0)], "the rest of a packet without room is dropped")
        #expect(all.allSatisfy { $0.count == 2 || $0 == [key(40, 0)] })
        packets.enter([key(50, 1)])
        #expect(packets.takeAll() == [[key(50, 1)]], "there is room again")
    }

    @Test func packetWithoutEndDoesNotGrow() {
        var packets = InputPackets()
        packets.enter([key(1, 1), key(2, 1)])
        for _ in 0..<10_000 { for code in 0..<200 as Range<UInt16> { packets.add(key(code, code == 1 ? 0 : 1)) } }
        for index in 0..<10_000 as Range<Int32> { packets.add(absolute(0, index)) }
        packets.add(key(2, 0))
        #expect(packets.openBytes.count <= 8 * 257 && packets.reloaded() == packets)
        packets.end(isLive: true)
        #expect(packets.takeAll() == [[key(1, 1), key(2, 1)], [key(1, 0), key(2, 0)]])
    }

    // MARK: State

    /// Whatever is entered, of a keyboard with a tablet's axes: what can be reached can be saved, and no key stays down.
    @Test(arguments: 1...20 as ClosedRange<UInt64>) func everyStateIsLoadedAsItWas(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var (packets, down) = (InputPackets(), Set<UInt16>())
        for _ in 0..<2000 {
            switch random.next() % 8 {
            case 0: packets.add(absolute(UInt16(random.next() % 2), Int32(random.next() % 32768)))
            case 1: packets.end(isLive: true)
            case 2 where random.next() % 16 == 0:
                let words = packets.next(entries: Int(random.next() % 4))
                for word in words where word.type == 1 {
                    #expect((word.value == 1) != down.contains(word.code))
                    if word.value == 1 { down.insert(word.code) } else { down.remove(word.code) }
                }
                packets.delivered(words.count)
            default: packets.add(key(UInt16(1 + random.next() % 248), Int32(random.next() % 2)))
            }
        }
        #expect(packets.reloaded() == packets)
        packets.enter((1...248).map { key($0, 0) })
        #expect(packets.reloaded() == packets)
        for word in packets.takeAll().joined() where word.type == 1 {
            if word.value == 1 { down.insert(word.code) } else { down.remove(word.code) }
        }
        #expect(down.isEmpty)
    }

    @Test func statesThatCannotBeAreRefused() {
        let (good, end) = (key(30, 1).bytes, InputWord.end.bytes)
        func load(waiting: [UInt8] = [], open: [UInt8] = [], held: [UInt8] = []) -> InputPackets? {
            InputPackets(waiting: waiting, open: open, held: held) { $0.code == 30 }
        }
        #expect(load(waiting: good + end, open: end + good, held: good) != nil)
        #expect(load(waiting: good) == nil, "without an end")
        #expect(load(waiting: [1, 2, 3]) == nil && load(open: [1]) == nil && load(held: [1]) == nil)
        #expect(load(waiting: key(31, 1).bytes + end) == nil && load(open: key(31, 1).bytes) == nil)
        #expect(load(held: key(31, 1).bytes) == nil && load(held: absolute(30, 1).bytes) == nil)
        #expect(load(open: good + end) == nil)
        let many = [[UInt8]](repeating: good + end, count: 5000).flatMap(\.self)
        #expect(load(waiting: many) == nil && load(open: many) == nil)
    }
}
