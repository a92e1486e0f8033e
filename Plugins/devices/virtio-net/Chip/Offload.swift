import Ethernet

/// A packet as the driver sends it: what it left to the device is its checksum, and to be cut into segments (virtio 1.2, 5.1.6.2).
public struct OutgoingPacket: Sendable {
    private let header: Header
    private var frame: [UInt8]

    /// 5.1.6
    private struct Header {
        var needsChecksum: Bool
        /// 0: none, 1: TCP over IPv4, 4: over IPv6; bit 7 says that there may be congestion marks.
        var segmentation: UInt8
        var segmentSize: Int
        var checksumStart: Int
        var checksumOffset: Int

        init(_ bytes: ArraySlice<UInt8>) {
            let bytes = Array(bytes)
            func word(_ offset: Int) -> Int { Int(bytes[offset]) | Int(bytes[offset + 1]) << 8 }
            (needsChecksum, segmentation) = (bytes[0] & 1 != 0, bytes[1] & 0x7F)
            // Bytes 2 and 3, the length of the headers, are a hint that nobody may rely on (5.1.6.2.1).
            (segmentSize, checksumStart, checksumOffset) = (word(4), word(6), word(8))
        }
    }

    /// - Parameters:
    ///   - bytes: the header of 10 or 12 bytes, then the packet.
    /// - Returns: nil: no such header, or longer than a packet is.
    public init?(_ bytes: [UInt8], headerSize: Int) {
        guard headerSize >= 10, bytes.count >= headerSize,
            bytes.count - headerSize <= Int(VirtioNet.longestPacket)
        else { return nil }
        header = Header(bytes[..<headerSize])
        frame = Array(bytes[headerSize...])
    }

    /// What goes out: one frame, or its segments. None: it cannot be sent so.
    public func frames() -> [[UInt8]] {
        switch header.segmentation {
        case 0:
            guard header.needsChecksum else { return [frame] }
            var whole = frame
            return whole.insertChecksum(start: header.checksumStart, offset: header.checksumOffset) ? [whole] : []
        case 1: return segments(isIPv4: true)
        case 4: return segments(isIPv4: false)
        default: return []
        }
    }

    /// Cuts TCP's payload; headers are found by what they say themselves.
    private func segments(isIPv4: Bool) -> [[UInt8]] {
        guard let (ip, tcp, payload) = headers(isIPv4: isIPv4), header.segmentSize > 0 else { return [] }
        let (data, size) = (frame.count - payload, header.segmentSize)
        let count = max((data + size - 1) / size, 1)
        guard count <= Self.mostSegments else { return [] }
        return (0..<count).map { index in
            var segment = Array(frame[..<payload])
            segment += frame[(payload + index * size)..<min(payload + (index + 1) * size, frame.count)]
            segment.setIP(at: ip, isIPv4: isIPv4, index: index)
            segment.setTCP(at: tcp, by: index * size, isFirst: index == 0, isLast: index == count - 1)
            segment.setTCPChecksum(ip: ip, tcp: tcp, isIPv4: isIPv4)
            return segment
        }
    }

    /// Of the smallest segment that TCP allows in practice, 64 KiB make as many; a driver that asks for more has not meant it.
    private static let mostSegments = 1024

    /// Where the headers of IP and TCP begin, and TCP's payload. TCP begins where its checksum does (5.1.6.2).
    private func headers(isIPv4: Bool) -> (ip: Int, tcp: Int, payload: Int)? {
        var ip = 14
        // IEEE 802.1Q, 802.1ad: tags of four bytes in front of the type.
        while ip + 2 <= frame.count, ip <= 18, [0x8100, 0x88A8].contains(frame.word(at: ip - 2)) { ip += 4 }
        let tcp = header.checksumStart
        guard tcp >= ip + (isIPv4 ? 20 : 40), tcp + 20 <= frame.count, frame[ip] >> 4 == (isIPv4 ? 4 : 6) else {
            return nil
        }
        if isIPv4, ip + Int(frame[ip] & 15) * 4 != tcp { return nil }
        let payload = tcp + Int(frame[tcp + 12] >> 4) * 4
        guard payload >= tcp + 20, payload <= frame.count else { return nil }
        return (ip, tcp, payload)
    }
}

extension [UInt8] {
    fileprivate func word(at offset: Int) -> UInt16 { UInt16(self[offset]) << 8 | UInt16(self[offset + 1]) }
    fileprivate func long(at offset: Int) -> UInt32 { UInt32(word(at: offset)) << 16 | UInt32(word(at: offset + 2)) }

    fileprivate mutating func put(_ value: UInt16, at offset: Int) {
        (self[offset], self[offset + 1]) = (UInt8(value >> 8), UInt8(value & 0xFF))
    }

    fileprivate func sum(from start: Int, to end: Int, _ first: UInt32 = 0) -> UInt16 {
        InternetChecksum.sum(self[start..<end], from: first)
    }

    /// The driver has put the pseudo header's sum into the field (5.1.6.2). False: the field is not inside the packet.
    fileprivate mutating func insertChecksum(start: Int, offset: Int) -> Bool {
        guard start < count, start + offset + 2 <= count else { return false }
        let value = ~sum(from: start, to: count)
        // RFC 768: of UDP, 0 says that there is none; to TCP both are the same.
        put(value == 0 ? 0xFFFF : value, at: start + offset)
        return true
    }

    /// RFC 791: length, identification, checksum. RFC 8200: length.
    fileprivate mutating func setIP(at ip: Int, isIPv4: Bool, index: Int) {
        let length = UInt16(truncatingIfNeeded: count - ip)
        guard isIPv4 else { return put(length &- 40, at: ip + 4) }
        put(length, at: ip + 2)
        put(word(at: ip + 4) &+ UInt16(truncatingIfNeeded: index), at: ip + 4)
        put(0, at: ip + 10)
        put(~sum(from: ip, to: ip + Int(self[ip] & 15) * 4), at: ip + 10)
    }

    /// RFC 9293: the sequence number; FIN and PSH in the last segment only. RFC 3168: CWR in the first only.
    fileprivate mutating func setTCP(at tcp: Int, by offset: Int, isFirst: Bool, isLast: Bool) {
        let number = long(at: tcp + 4) &+ UInt32(truncatingIfNeeded: offset)
        put(UInt16(number >> 16), at: tcp + 4)
        put(UInt16(truncatingIfNeeded: number), at: tcp + 6)
        if !isLast { self[tcp + 13] &= ~0x09 }
        if !isFirst { self[tcp + 13] &= ~0x80 }
    }

    /// With a pseudo header of the segment's own length.
    fileprivate mutating func setTCPChecksum(ip: Int, tcp: Int, isIPv4: Bool) {
        put(0, at: tcp + 16)
        let addresses = isIPv4 ? ip + 12..<ip + 20 : ip + 8..<ip + 40
        let sumOfAddresses = sum(from: addresses.lowerBound, to: addresses.upperBound)
        let pseudo = UInt32(sumOfAddresses) + 6 + UInt32(truncatingIfNeeded: count - tcp)
        put(~sum(from: tcp, to: count, pseudo), at: tcp + 16)
    }
}
