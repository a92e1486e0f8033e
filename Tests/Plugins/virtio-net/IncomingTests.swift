import SplitMix
import Testing
import Virtio
import VirtioNet

// GUEST_CSUM, GUEST_TSO4, GUEST_TSO6, MRG_RXBUF, VERSION_1.
private let features = VirtioFeatures(rawValue: 1 << 1 | 1 << 7 | 1 << 8 | 1 << 15 | 1 << 32)

/// RFC 1071.
private func sum(_ bytes: [UInt8]) -> UInt16 {
    var total: UInt32 = 0
    for index in stride(from: 0, to: bytes.count, by: 2) {
        total += UInt32(bytes[index]) << 8 | (index + 1 < bytes.count ? UInt32(bytes[index + 1]) : 0)
        total = total & 0xFFFF + total >> 16
    }
    return UInt16(total)
}

private func word(_ value: Int) -> [UInt8] { [UInt8(value >> 8 & 0xFF), UInt8(value & 0xFF)] }

/// A segment with right sums. Timestamps stand for options.
private func segment(
    _ payload: [UInt8], at sequence: Int, isIPv4: Bool = true, flags: UInt8 = 0x10, window: Int = 512, port: Int = 80,
    time: UInt8 = 7
) -> [UInt8] {
    var tcp = word(5001) + word(port) + word(sequence >> 16) + word(sequence)
    tcp += [0, 0, 0, 9, 0x80, flags] + word(window) + [0, 0, 0, 0, 1, 1, 8, 10, 0, 0, 0, time, 0, 0, 0, 1]
    tcp += payload
    var ip: [UInt8]
    let addresses: [UInt8]
    if isIPv4 {
        addresses = [10, 0, 2, 2, 10, 0, 2, 15]
        ip = [0x45, 0] + word(20 + tcp.count) + word(sequence / 1000) + [0x40, 0, 64, 6, 0, 0] + addresses
        ip.replaceSubrange(10..<12, with: word(Int(~sum(ip))))
    } else {
        addresses = (0..<32).map { UInt8($0) }
        ip = [0x60, 0, 0, 0] + word(tcp.count) + [6, 64] + addresses
    }
    tcp.replaceSubrange(16..<18, with: word(Int(~sum(addresses + [0, 6] + word(tcp.count) + tcp))))
    let types: [UInt8] = isIPv4 ? [0x08, 0x00] : [0x86, 0xDD]
    return [UInt8](repeating: 0x52, count: 12) + types + ip + tcp
}

private func data(_ count: Int, _ seed: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ seed) }
}

@Suite struct IncomingTests {
    private func join(_ frames: [[UInt8]], _ features: VirtioFeatures = features) -> (joined: Int, bytes: [UInt8]) {
        var packet = IncomingPacket(frames[0], features)
        for frame in frames.dropFirst() { if !packet.join(frame, features) { break } }
        let segments = packet.segments
        return (segments, packet.finished(features))
    }

    /// What is joined here and cut as a driver's packet is (5.1.6.2) is what came.
    @Test(arguments: [true, false]) func segmentsBecomeOnePacketAndCanBeCutAgain(_ isIPv4: Bool) throws {
        let frames = (0..<10).map { index in
            segment(
                data(index == 9 ? 777 : 1448, index), at: 0xFFFF_F000 + index * 1448, isIPv4: isIPv4,
                flags: index == 9 ? 0x18 : 0x10)
        }
        let (joined, bytes) = join(frames)
        #expect(joined == 10)
        let payload = isIPv4 ? 66 : 86
        let start = payload - 32
        let (length, segmentSize) = (bytes.count - 12, 1448)
        #expect(Array(bytes[..<2]) == [1, isIPv4 ? 1 : 4], "NEEDS_CSUM, GSO")
        #expect(
            Array(bytes[2..<10]) == [UInt8(payload), 0, 0xA8, 0x05, UInt8(start), 0, 16, 0] && segmentSize == 0x5A8)
        #expect(Array(bytes[(12 + payload)...]) == frames.flatMap { $0[payload...] })
        #expect(length == payload + 9 * 1448 + 777)
        let pseudo = isIPv4 ? Array(bytes[38..<46]) : Array(bytes[34..<66])
        #expect(
            sum(pseudo + [0, 6] + word(length - start)) == UInt16(bytes[12 + start + 16]) << 8
                | UInt16(bytes[12 + start + 17]))
        var again = try #require(OutgoingPacket(bytes, headerSize: 12)).frames()
        var expected = frames
        for index in again.indices where isIPv4 {
            // The identification counts up from the first's; here it stood for the sequence number.
            #expect(sum(Array(again[index][14..<34])) == 0xFFFF)
            for field in [18..<20, 24..<26] {
                again[index].replaceSubrange(field, with: [0, 0])
                expected[index].replaceSubrange(field, with: [0, 0])
            }
        }
        #expect(again == expected)
    }

    @Test func whatDoesNotGoOnIsNotJoined() {
        let first = segment(data(1000, 0), at: 5000)
        let next = segment(data(1000, 1), at: 6000)
        #expect(join([first, next]).joined == 2)
        var otherSource = next
        otherSource[8] ^= 1
        let others = [
            segment(data(1000, 1), at: 6001), segment(data(1000, 1), at: 5000), segment(data(1001, 1), at: 6000),
            segment([], at: 6000), segment(data(1000, 1), at: 6000, flags: 0x11),
            segment(data(1000, 1), at: 6000, flags: 0x14),
            segment(data(1000, 1), at: 6000, flags: 0x90), segment(data(1000, 1), at: 6000, window: 511),
            segment(data(1000, 1), at: 6000, port: 81), segment(data(1000, 1), at: 6000, time: 8),
            segment(data(1000, 1), at: 6000, isIPv4: false), otherSource, Array(next.dropLast()), next + [0],
            Array(next.prefix(54)), [],
        ]
        for (index, other) in others.enumerated() { #expect(join([first, other]).joined == 1, "\(index)") }
        for other in [segment(data(1000, 0), at: 5000, flags: 0x02), segment([], at: 6000)] {
            #expect(join([other, next]).joined == 1)
        }
    }

    @Test func shortSegmentOrPushEndsThePacket() {
        let (first, short) = (segment(data(1000, 0), at: 5000), segment(data(10, 0), at: 6000))
        #expect(join([first, short, segment(data(10, 0), at: 6010)]).joined == 2)
        let pushed = segment(data(1000, 0), at: 6000, flags: 0x18)
        let (joined, bytes) = join([first, pushed, segment(data(1000, 0), at: 7000)])
        #expect(joined == 2 && bytes[12 + 34 + 13] == 0x18)
    }

    @Test func packetIsNoLongerThanItsLengthCanSay() {
        let frames = (0..<60).map { segment(data(1448, $0), at: $0 * 1448) }
        let (joined, bytes) = join(frames)
        #expect(joined == 45 && bytes.count - 12 - 14 <= 65535)
    }

    @Test func sumsAreTakenHereWhereTheDriverLetsThat() {
        let good = segment(data(100, 0), at: 1)
        #expect(join([good]).bytes == [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] + good, "DATA_VALID")
        #expect(join([good], VirtioFeatures(rawValue: 1 << 32)).bytes == [UInt8](repeating: 0, count: 12) + good)
        for offset in [14 + 12, 34 + 8, 34 + 16, good.count - 1] {
            var bad = good
            bad[offset] ^= 4
            #expect(join([bad]).bytes == [UInt8](repeating: 0, count: 12) + bad)
            #expect(join([bad, segment(data(100, 0), at: 101)]).joined == 1)
            var second = segment(data(100, 0), at: 101)
            second[offset] ^= 4
            #expect(join([good, second]).joined == 1)
        }
    }

    @Test func onlyWhatWasNegotiatedIsJoined() {
        for (isIPv4, bit) in [(true, 7), (false, 8)] as [(Bool, UInt64)] {
            let frames = (0..<2).map { segment(data(600, 0), at: $0 * 600, isIPv4: isIPv4) }
            #expect(join(frames, VirtioFeatures(rawValue: 2 | 1 << bit)).joined == 2)
            #expect(join(frames, VirtioFeatures(rawValue: 2 | 1 << (15 - bit))).joined == 1)
        }
        #expect(
            !VirtioNet.accepts(VirtioFeatures(rawValue: 1 << 7)) && !VirtioNet.accepts(VirtioFeatures(rawValue: 1 << 8))
        )
        #expect(VirtioNet.accepts(VirtioFeatures(rawValue: 1 << 7 | 1 << 1)))
        #expect(IncomingPacket.maybeJoined(segment(data(600, 0), at: 0), features))
        #expect(!IncomingPacket.maybeJoined(segment(data(60, 0), at: 0), features))
        #expect(!IncomingPacket.maybeJoined(segment(data(600, 0), at: 0), []))
    }

    @Test func randomFramesTrapNothing() {
        var random = SplitMix64(seed: 21)
        var joined = 0
        for _ in 0..<20_000 {
            let isIPv4 = random.next() & 1 == 0
            var frames = (0..<3).map { segment(data(Int(random.next() % 80), 0), at: $0 * 79, isIPv4: isIPv4) }
            for _ in 0..<random.next() % 3 {
                let which = Int(random.next() % 3)
                if random.next() & 1 == 0 { frames[which].removeLast(Int(random.next() % UInt64(frames[which].count))) }
                guard !frames[which].isEmpty else { continue }
                frames[which][Int(random.next() % UInt64(frames[which].count))] = UInt8(
                    truncatingIfNeeded: random.next())
            }
            if random.next() & 3 == 0 { frames[1] = frames[0].map { _ in UInt8(truncatingIfNeeded: random.next()) } }
            let (segments, bytes) = join(frames)
            if segments > 1 { joined += 1 }
            #expect(bytes.count >= 12)
        }
        #expect(joined > 0)
    }
}
