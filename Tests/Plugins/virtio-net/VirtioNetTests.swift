import SplitMix
import Testing
import Virtio
import VirtioNet

/// RFC 1071, word by word with end-around carry.
private func onesSum(_ bytes: [UInt8]) -> UInt16 {
    var sum: UInt32 = 0
    for index in stride(from: 0, to: bytes.count, by: 2) {
        sum += UInt32(bytes[index]) << 8 | (index + 1 < bytes.count ? UInt32(bytes[index + 1]) : 0)
        sum = sum & 0xFFFF + sum >> 16
    }
    return UInt16(sum)
}

private func big(_ value: Int, _ count: Int) -> [UInt8] {
    (0..<count).reversed().map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
}

/// The header of 5.1.6, little-endian.
private func header(
    flags: UInt8 = 0, gso: UInt8 = 0, length: Int = 0, size: Int = 0, start: Int = 0, offset: Int = 0
) -> [UInt8] {
    [flags, gso] + [length, size, start, offset, 0].flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }
}

/// Ethernet, IPv4 or IPv6, TCP with FIN, PSH, ACK and CWR, and a payload.
private func packet(payload: Int, isIPv4: Bool, tags: Int = 0) -> [UInt8] {
    let tcp = big(1000, 2) + big(80, 2) + big(0xFFFF_FF00, 4) + big(1, 4) + [0x50, 0x99] + big(512, 2) + [0, 0, 0, 0]
    let data = (0..<payload).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    let ip: [UInt8] =
        isIPv4
        ? [0x45, 0] + big(20 + 20 + payload, 2) + big(0xFFFF, 2) + [0x40, 0, 64, 6, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2]
        : [0x60, 0, 0, 0] + big(20 + payload, 2) + [6, 64] + (0..<32).map { UInt8($0) }
    let vlan = (0..<tags).flatMap { _ in [0x81, 0x00, 0, 5] as [UInt8] }
    return [UInt8](repeating: 0x52, count: 12) + vlan + (isIPv4 ? [0x08, 0x00] : [0x86, 0xDD]) + ip + tcp + data
}

@Suite struct VirtioNetTests {
    @Test func configurationHasAddressAndLink() {
        var net = VirtioNet(address: [0x52, 0x54, 0, 1, 2, 3])
        #expect(net.readConfig(0, width: 4) == 0x0100_5452 && net.readConfig(4, width: 2) == 0x0302)
        #expect(net.readConfig(6, width: 2) == 1)
        net.hasLink = false
        #expect(net.readConfig(6, width: 2) == 0)
        net.writeConfig(0, width: 1, 0x12, .version1)
        #expect(net.readConfig(0, width: 1) == 0x52, "of a legacy driver only")
        net.writeConfig(0, width: 1, 0x12, [])
        #expect(net.readConfig(0, width: 1) == 0x12)
        net.reset()
        #expect(net.readConfig(0, width: 1) == 0x52)
    }

    @Test func headerIsTenBytesForLegacyDriversOnly() {
        #expect(VirtioNet.headerSize([]) == 10)
        #expect(VirtioNet.headerSize([.version1]) == 12)
        #expect(VirtioNet.headerSize(VirtioFeatures(rawValue: 1 << 15)) == 12)
        #expect(VirtioNet.header([.version1], buffers: 3) == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0])
    }

    @Test func segmentationNeedsChecksums() {
        #expect(VirtioNet.accepts(VirtioFeatures(rawValue: 1 << 11 | 1)))
        #expect(!VirtioNet.accepts(VirtioFeatures(rawValue: 1 << 11)))
        #expect(!VirtioNet.accepts(VirtioFeatures(rawValue: 1 << 12)))
    }

    // MARK: What goes out

    @Test func frameGoesOutAsItIs() throws {
        let frame = packet(payload: 5, isIPv4: true)
        #expect(try #require(OutgoingPacket(header() + frame, headerSize: 12)).frames() == [frame])
        #expect(try #require(OutgoingPacket(Array(header().prefix(10)) + frame, headerSize: 10)).frames() == [frame])
        #expect(OutgoingPacket([1, 2, 3], headerSize: 12) == nil)
        #expect(OutgoingPacket([UInt8](repeating: 0, count: 12 + 65551), headerSize: 12) == nil)
    }

    @Test func checksumIsCompleted() throws {
        var frame = packet(payload: 33, isIPv4: true)
        let pseudo = onesSum([10, 0, 2, 15, 10, 0, 2, 2, 0, 6] + big(20 + 33, 2))
        (frame[50], frame[51]) = (UInt8(pseudo >> 8), UInt8(pseudo & 0xFF))
        let sent = try #require(
            OutgoingPacket(header(flags: 1, start: 34, offset: 16) + frame, headerSize: 12)?.frames().first)
        #expect(onesSum([10, 0, 2, 15, 10, 0, 2, 2, 0, 6] + big(53, 2) + Array(sent[34...])) == 0xFFFF)
    }

    @Test(arguments: [(true, 0), (true, 1), (false, 0), (false, 2)])
    func segmentsAreWholePacketsOfTheirOwn(_ isIPv4: Bool, _ tags: Int) throws {
        let frame = packet(payload: 3500, isIPv4: isIPv4, tags: tags)
        let ip = 14 + 4 * tags
        let tcp = ip + (isIPv4 ? 20 : 40)
        // The driver's length of headers is nonsense, and nobody relies on it.
        let words = header(flags: 1, gso: isIPv4 ? 1 : 4, length: 9999, size: 1448, start: tcp, offset: 16)
        let segments = try #require(OutgoingPacket(words + frame, headerSize: 12)).frames()
        #expect(segments.map { $0.count - tcp - 20 } == [1448, 1448, 604])
        #expect(segments.flatMap { $0[(tcp + 20)...] } == Array(frame[(tcp + 20)...]))
        for (index, segment) in segments.enumerated() {
            let length = segment.count - tcp
            if isIPv4 {
                #expect(onesSum(Array(segment[ip..<tcp])) == 0xFFFF)
                #expect(Array(segment[ip + 2..<ip + 4]) == big(20 + length, 2))
                #expect(Array(segment[ip + 4..<ip + 6]) == big(0xFFFF + index, 2), "identification")
            } else {
                #expect(Array(segment[ip + 4..<ip + 6]) == big(length, 2))
            }
            #expect(Array(segment[tcp + 4..<tcp + 8]) == big(0xFFFF_FF00 + index * 1448, 4), "sequence number")
            // FIN 1, PSH 8, ACK 16, CWR 128.
            #expect(segment[tcp + 13] == [0x90, 0x10, 0x19][index])
            let addresses = Array(isIPv4 ? segment[ip + 12..<ip + 20] : segment[ip + 8..<ip + 40])
            #expect(onesSum(addresses + [0, 6] + big(length, 2) + Array(segment[tcp...])) == 0xFFFF)
        }
    }

    @Test func packetsThatCannotBeCutAreNotSent() throws {
        let frame = packet(payload: 3000, isIPv4: true)
        for (gso, size, start) in [
            (1, 0, 34), (4, 1000, 34), (1, 1000, 35), (1, 1, 34), (3, 1000, 34), (1, 1000, 0xFFFF),
        ]
            as [(UInt8, Int, Int)]
        {
            let words = header(flags: 1, gso: gso, size: size, start: start, offset: 16)
            #expect(try #require(OutgoingPacket(words + frame, headerSize: 12)).frames() == [])
        }
        let words = header(flags: 1, start: 0xFFFF, offset: 0xFFFF)
        #expect(try #require(OutgoingPacket(words + frame, headerSize: 12)).frames() == [])
    }

    @Test func randomHeadersAndPacketsTrapNothing() {
        var random = SplitMix64(seed: 4)
        var sent = 0
        for _ in 0..<50_000 {
            var bytes = packet(
                payload: Int(random.next() % 200), isIPv4: random.next() & 1 == 0, tags: Int(random.next() % 4))
            for _ in 0..<random.next() % 4 {
                bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.next())
            }
            bytes.removeLast(Int(random.next() % UInt64(bytes.count)))
            let wild = random.next() & 7 == 0
            let words = header(
                flags: UInt8(random.next() & 1), gso: [0, 1, 4, 0x81][Int(random.next() & 3)],
                size: Int(random.next() & (wild ? 0xFFFF : 0x3F)),
                start: wild ? Int(random.next() & 0xFFFF) : [34, 38, 54][Int(random.next() % 3)],
                offset: wild ? Int(random.next() & 0xFFFF) : 16)
            sent += OutgoingPacket(words + bytes, headerSize: 12)?.frames().count ?? 0
        }
        #expect(sent > 10_000)
    }
}
