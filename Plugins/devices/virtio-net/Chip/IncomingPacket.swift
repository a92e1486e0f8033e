import Ethernet
public import Virtio

/// A packet for the driver: a frame as it came from the network, or segments of TCP that came one behind the other, joined (virtio 1.2, 5.1.6.4). What a
/// driver does for each packet it does once then, and the sums of what came are taken here.
public struct IncomingPacket: Sendable {
    private var bytes: [UInt8]
    /// Where the sum of its TCP is right.
    private var tcp: TCPSegment?
    public private(set) var segments = 1
    /// The last one that was joined was shorter than the first: nothing goes behind it.
    private var isClosed = false

    /// Of an IP packet (RFC 791: its length has 16 bits), and Ethernet's header.
    private static let longest = 0xFFFF + 14

    public init(_ frame: [UInt8], _ features: VirtioFeatures) {
        bytes = frame
        if features.contains(VirtioNet.Feature.guestChecksum) { tcp = TCPSegment(frame) }
    }

    /// Whether a frame that comes next may be joined with others: worth a short wait for them.
    public static func maybeJoined(_ frame: [UInt8], _ features: VirtioFeatures) -> Bool {
        guard frame.count >= 512, frame[12] == 0x08 || frame[12] == 0x86 else { return false }
        guard features.contains(VirtioNet.Feature.mergeableBuffers) else { return false }
        return !features.isDisjoint(with: [VirtioNet.Feature.guestSegmentsTCP4, VirtioNet.Feature.guestSegmentsTCP6])
    }

    /// - Returns: false: it does not go on where this packet ends, and nothing has changed.
    public mutating func join(_ frame: [UInt8], _ features: VirtioFeatures) -> Bool {
        guard let tcp, !isClosed, tcp.isJoinable else { return false }
        let needed = tcp.isIPv4 ? VirtioNet.Feature.guestSegmentsTCP4 : VirtioNet.Feature.guestSegmentsTCP6
        // What most often differs goes before what costs most: the sum.
        guard features.contains(needed), bytes.count + frame.count - tcp.payload <= Self.longest,
            tcp.goesOn(in: frame, after: bytes.count - tcp.payload, like: bytes),
            let next = TCPSegment(frame), next.isJoinable, next.payload == tcp.payload,
            frame.count <= tcp.payload + tcp.size
        else { return false }
        bytes += frame[next.payload...]
        bytes[tcp.start + 13] |= frame[tcp.start + 13] & TCPSegment.push
        segments += 1
        isClosed = next.size < tcp.size || frame[tcp.start + 13] & TCPSegment.push != 0
        return true
    }

    /// With its header (5.1.6), whose number of buffers is not known yet.
    public consuming func finished(_ features: VirtioFeatures) -> [UInt8] {
        var header = VirtioNet.header(features, buffers: 0)
        if let tcp {
            if segments > 1 {
                header[0] = 1  // NEEDS_CSUM
                header[1] = tcp.isIPv4 ? 1 : 4  // GSO_TCPV4, GSO_TCPV6
                for (offset, value) in [(2, tcp.payload), (4, tcp.size), (6, tcp.start), (8, 16)] {
                    (header[offset], header[offset + 1]) = (UInt8(value & 0xFF), UInt8(value >> 8 & 0xFF))
                }
                tcp.setLength(of: &bytes)
            } else {
                header[0] = 2  // DATA_VALID
            }
        }
        return header + bytes
    }
}

/// A whole segment of TCP in a frame without a tag, over IPv4 without options or IPv6 without extensions, whose sums are right.
struct TCPSegment: Sendable {
    static let push: UInt8 = 0x08
    private static let acknowledge: UInt8 = 0x10
    private static let ip = 14

    let isIPv4: Bool
    /// Where TCP begins, and its payload.
    let start: Int
    let payload: Int
    /// Of its payload, in bytes.
    let size: Int
    /// It has a payload, and says nothing else that its receiver must hear by itself.
    let isJoinable: Bool

    init?(_ frame: [UInt8]) {
        guard frame.count >= 54, frame[12] == 0x08 && frame[13] == 0 || frame[12] == 0x86 && frame[13] == 0xDD else {
            return nil
        }
        isIPv4 = frame[12] == 0x08
        start = Self.ip + (isIPv4 ? 20 : 40)
        guard frame.count >= start + 20, isIPv4 ? Self.isWholeIPv4(frame) : Self.isWholeIPv6(frame) else { return nil }
        payload = start + Int(frame[start + 12] >> 4) * 4
        guard payload >= start + 20, payload <= frame.count else { return nil }
        size = frame.count - payload
        let flags = frame[start + 13]
        isJoinable = size > 0 && flags & ~Self.push == Self.acknowledge
        let sum = InternetChecksum.sum(frame[start...], from: Self.pseudoHeader(frame, isIPv4, frame.count - start))
        guard sum == 0xFFFF else { return nil }
    }

    /// RFC 791: no options, no fragment, TCP, the frame's length, and a sum that is right.
    private static func isWholeIPv4(_ frame: [UInt8]) -> Bool {
        frame[ip] == 0x45 && frame[ip + 9] == 6 && frame[ip + 6] & 0x3F == 0 && frame[ip + 7] == 0
            && Int(frame[ip + 2]) << 8 | Int(frame[ip + 3]) == frame.count - ip
            && InternetChecksum.sum(frame[ip..<ip + 20]) == 0xFFFF
    }

    /// RFC 8200: TCP at once.
    private static func isWholeIPv6(_ frame: [UInt8]) -> Bool {
        frame[ip] >> 4 == 6 && frame[ip + 6] == 6
            && Int(frame[ip + 4]) << 8 | Int(frame[ip + 5]) == frame.count - ip - 40
    }

    /// The sum of addresses, protocol and length.
    private static func pseudoHeader(_ frame: [UInt8], _ isIPv4: Bool, _ length: Int) -> UInt32 {
        let addresses = isIPv4 ? ip + 12..<ip + 20 : ip + 8..<ip + 40
        return UInt32(InternetChecksum.sum(frame[addresses])) + 6 + UInt32(truncatingIfNeeded: length)
    }

    /// Whether `frame` has the headers of `first`, this segment, and its sequence number is `distance` further: addresses, service, hops, fragment bits, ports,
    /// acknowledgement, flags but PSH, window, options.
    func goesOn(in frame: [UInt8], after distance: Int, like first: [UInt8]) -> Bool {
        guard frame.count > payload else { return false }
        func isSame(_ range: Range<Int>) -> Bool {
            for index in range where frame[index] != first[index] { return false }
            return true
        }
        func number(_ bytes: [UInt8]) -> UInt32 {
            (start + 4..<start + 8).reduce(0) { $0 << 8 | UInt32(bytes[$1]) }
        }
        guard number(frame) == number(first) &+ UInt32(truncatingIfNeeded: distance), isSame(0..<16),
            isIPv4 ? isSame(20..<24) && isSame(26..<34) : isSame(16..<18) && isSame(20..<54)
        else { return false }
        return isSame(start..<start + 4) && isSame(start + 8..<start + 13)
            && (frame[start + 13] ^ first[start + 13]) & ~Self.push == 0 && isSame(start + 14..<start + 16)
            && isSame(start + 18..<payload)
    }

    /// Of joined segments: IP's length, and instead of TCP's sum that of the pseudo header, to which the driver adds the rest where it sends them on (5.1.6.2).
    func setLength(of bytes: inout [UInt8]) {
        func put(_ value: UInt16, at offset: Int) {
            (bytes[offset], bytes[offset + 1]) = (UInt8(value >> 8), UInt8(value & 0xFF))
        }
        if isIPv4 {
            put(UInt16(truncatingIfNeeded: bytes.count - Self.ip), at: Self.ip + 2)
            put(0, at: Self.ip + 10)
            put(~InternetChecksum.sum(bytes[Self.ip..<start]), at: Self.ip + 10)
        } else {
            put(UInt16(truncatingIfNeeded: bytes.count - start), at: Self.ip + 4)
        }
        // Of no bytes: folded.
        put(InternetChecksum.sum([], from: Self.pseudoHeader(bytes, isIPv4, bytes.count - start)), at: start + 16)
    }
}
