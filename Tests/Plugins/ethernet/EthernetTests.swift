import Ethernet
import Testing

@Suite struct EthernetTests {
    @Test func addressesAreSixBytesInHex() throws {
        #expect(try EthernetAddress.parse("52:54:00:12:34:Fe") == [0x52, 0x54, 0, 0x12, 0x34, 0xFE])
        for text in [
            "", "52:54:00:12:34", "52:54:00:12:34:56:78", "52:54:00:12:34:5", "52:54:00:12:34:g0", "+1:54:00:12:34:56",
        ] {
            #expect(throws: EthernetAddress.Mistake.noAddress(text), "\(text)") { try EthernetAddress.parse(text) }
        }
        #expect(throws: EthernetAddress.Mistake.ofGroup("01:00:5e:00:00:01")) {
            try EthernetAddress.parse("01:00:5e:00:00:01")
        }
    }

    @Test func addressesOfIdsDifferAndAreNoGroups() {
        let (one, other) = (EthernetAddress.made(from: "nic0"), EthernetAddress.made(from: "nic1"))
        #expect(one != other && one.count == 6 && Array(one.prefix(3)) == [0x52, 0x54, 0x00])
    }

    /// RFC 1071, section 3: 00 01 f2 03 f4 f5 f6 f7 sums to ddf2.
    @Test func checksumIsThatOfTheRFC() {
        #expect(InternetChecksum.sum([0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7][...]) == 0xDDF2)
        #expect(InternetChecksum.sum([0xAB][...]) == 0xAB00)
        #expect(InternetChecksum.sum([][...], from: 0x1_0000) == 1)
    }
}

@Suite struct WaitingFramesTests {
    @Test func roomIsGrantedAtFirstWholeAndAgainWhenHalfOfItIsUsed() {
        var waiting = WaitingFrames()
        #expect(waiting.grant() == 64)
        #expect(waiting.grant() == nil)
        for _ in 0..<31 { waiting.take([1], isWanted: false) }
        #expect(waiting.grant() == nil)
        waiting.take([1], isWanted: false)
        #expect(waiting.grant() == 64)
    }

    @Test func waitingFramesTakeRoomAndNoMoreThanItWait() {
        var waiting = WaitingFrames()
        for number in 0..<70 as Range<UInt8> { waiting.take([number], isWanted: true) }
        #expect(waiting.frames.count == 64)
        #expect(waiting.grant() == nil)
        waiting.removeFirst(10)
        #expect(waiting.frames.first == [10])
        #expect(waiting.grant() == 10)
        waiting.forgetGrants()
        #expect(waiting.grant() == 10)
    }

    @Test func savedFramesComeBackAndBrokenOnesChangeNothing() {
        var waiting = WaitingFrames()
        waiting.take([1, 2, 3], isWanted: true)
        waiting.take([], isWanted: true)
        #expect(waiting.bytes == [3, 0, 1, 2, 3, 0, 0])
        var other = WaitingFrames()
        let isRestored = other.restore(waiting.bytes)
        #expect(isRestored)
        #expect(other.frames == [[1, 2, 3], []])
        for broken in [[3], [3, 0, 1, 2], [UInt8](repeating: 0, count: 130)] as [[UInt8]] {
            let isTaken = other.restore(broken)
            #expect(!isTaken)
        }
        #expect(other.frames == [[1, 2, 3], []])
    }
}
