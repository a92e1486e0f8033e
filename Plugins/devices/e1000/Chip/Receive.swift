import Ethernet

// The manual, "Packet Reception": filters, buffers, descriptors.

extension E1000 {
    public enum Reception: Equatable, Sendable {
        case accepted
        /// The filters did not want it, or it was too long.
        case filtered
        /// The ring had no room: counted, and lost.
        case noBuffers
        /// Receiver or link are down.
        case off
    }

    /// Whether a frame of `length` bytes finds room now. Where not, the owner may keep it and ask again after a write.
    public func canReceive(_ length: Int) -> Bool {
        isReceiving
            && Int(state.receive.available) * state.receiveControl.bufferSize >= Self.stored(length, strips: true) + 4
    }

    /// Whether a frame of `length` bytes will find room when the guest has emptied its ring: the receiver is on, and the ring long enough.
    public func mayReceive(_ length: Int) -> Bool {
        let room = Int(max(state.receive.count, 1) &- 1) * state.receiveControl.bufferSize
        return isReceiving && length <= Self.longestFrame && room >= Self.stored(length, strips: true) + 4
    }

    private static let longestFrame = 16380

    private var isReceiving: Bool { state.receiveControl.contains(.enabled) && isLinkUp }

    /// Short frames are filled up to what Ethernet asks for; 4 more are the FCS.
    private static func stored(_ length: Int, strips: Bool) -> Int { max(length, 60) + (strips ? 0 : 4) }

    /// A frame from the wire, without its FCS.
    public mutating func receive(_ frame: [UInt8], at now: UInt64, _ memory: some E1000Memory) -> Reception {
        guard isReceiving else { return .off }
        guard accepts(frame) else { return .filtered }
        var data = frame
        let tag = stripTag(&data)
        data += [UInt8](repeating: 0, count: Self.stored(data.count, strips: stripsCRC) - data.count)
        let size = state.receiveControl.bufferSize
        guard (data.count + size - 1) / size <= Int(state.receive.available) else {
            state.statistics.add(.missed)
            state.statistics.add(.noBuffers)
            raise(.receiveOverrun, at: now)
            return .noBuffers
        }
        let report = ReceiveReport(frame, checksum: state.receiveChecksum, tag: tag)
        store(data, report, memory)
        state.statistics.countReceived(frame)
        raise(isBelowMinimum ? [.receiveTimer, .receiveMinimum] : .receiveTimer, at: now)
        return .accepted
    }

    private var stripsCRC: Bool { state.receiveControl.contains(.stripsCRC) }

    private var isBelowMinimum: Bool {
        state.receive.available <= state.receive.count >> state.receiveControl.minimumShift
    }

    /// With VLAN mode on, the tag goes from the frame into the descriptor.
    private func stripTag(_ frame: inout [UInt8]) -> UInt16? {
        guard state.control.contains(.vlanMode), isTagged(frame) else { return nil }
        let tag = frame.word(at: 14)
        frame.removeSubrange(12..<16)
        return tag
    }

    private func isTagged(_ frame: [UInt8]) -> Bool {
        frame.count >= 16 && UInt32(frame.word(at: 12)) == state.vlanType
    }

    /// Buffer by buffer; each descriptor is done when its bytes are there. A buffer or descriptor that is not in RAM loses what
    /// would go there.
    private mutating func store(_ data: [UInt8], _ report: ReceiveReport, _ memory: some E1000Memory) {
        var rest = data[...]
        let size = state.receiveControl.bufferSize
        while !rest.isEmpty {
            let part = rest.prefix(size)
            rest = rest.dropFirst(size)
            let descriptor = state.receive.headAddress
            if let bytes = memory.read(descriptor, count: 8), bytes.count == 8 {
                _ = memory.write(bytes.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }, part)
                _ = memory.write(descriptor &+ 8, report.bytes(length: part.count, isLast: rest.isEmpty)[...])
            }
            state.receive.advance()
        }
    }

    // MARK: Filters

    private mutating func accepts(_ frame: [UInt8]) -> Bool {
        guard frame.count >= 14, frame.count <= Self.longestFrame else { return false }
        if frame.count + 4 > 1522 && state.receiveControl.isDisjoint(with: [.longPackets, .storeBadPackets]) {
            state.statistics.add(.tooLong)
            return false
        }
        if state.receiveControl.contains(.vlanFilter) && isTagged(frame) {
            let id = frame.word(at: 14) & 0xFFF
            guard state.vlans[Int(id >> 5)] >> UInt32(id & 31) & 1 != 0 else { return false }
        }
        return acceptsAddress(frame)
    }

    private func acceptsAddress(_ frame: [UInt8]) -> Bool {
        let control = state.receiveControl
        if frame.isBroadcast && control.contains(.broadcasts) { return true }
        if !frame.isMulticast && control.contains(.unicastPromiscuous) { return true }
        if frame.isMulticast && control.contains(.multicastPromiscuous) { return true }
        if state.addresses.contains(where: { $0.isValid && $0.matches($0.matchesSource ? frame[6..<12] : frame[0..<6]) }
        ) {
            return true
        }
        guard frame.isMulticast else { return false }
        let hash = (UInt16(frame[5]) << 8 | UInt16(frame[4])) >> control.multicastShift & 0xFFF
        return state.multicast[Int(hash >> 5)] >> UInt32(hash & 31) & 1 != 0
    }
}

/// What a receive descriptor says about its frame.
struct ReceiveReport {
    private var checksum: UInt16
    private var status: UInt8 = 0
    private var errors: UInt8 = 0
    private var special: UInt16 = 0

    private enum Status {
        static let done: UInt8 = 1, end: UInt8 = 2, ignore: UInt8 = 4, tagged: UInt8 = 8, transport: UInt8 = 0x20,
            ip: UInt8 = 0x40
    }
    private enum Errors { static let transport: UInt8 = 0x20, ip: UInt8 = 0x40 }

    init(_ frame: [UInt8], checksum control: E1000.ReceiveChecksum, tag: UInt16?) {
        checksum = InternetChecksum.sum(frame.dropFirst(control.start))
        if let tag {
            special = tag
            status |= Status.tagged
        }
        let headers = Headers(frame)
        if control.contains(.ip), let isGood = headers?.isIPGood {
            status |= Status.ip
            if !isGood { errors |= Errors.ip }
        }
        if control.contains(.transport), let isGood = headers?.isTransportGood {
            status |= Status.transport
            if !isGood { errors |= Errors.transport }
        }
        if status & (Status.ip | Status.transport) == 0 { status |= Status.ignore }
    }

    /// Bytes 8 to 15. Checksum, errors and tag are the last buffer's.
    func bytes(length: Int, isLast: Bool) -> [UInt8] {
        let length = UInt16(truncatingIfNeeded: length)
        let words = isLast ? (checksum, special) : (0, 0)
        return [
            UInt8(truncatingIfNeeded: length), UInt8(length >> 8), UInt8(truncatingIfNeeded: words.0),
            UInt8(words.0 >> 8),
        ]
            + [isLast ? status | Status.done | Status.end : Status.done, isLast ? errors : 0]
            + [UInt8(truncatingIfNeeded: words.1), UInt8(words.1 >> 8)]
    }
}

/// Where IPv4, TCP and UDP are in a frame that is not a fragment.
private struct Headers {
    let frame: [UInt8]
    let start: Int
    let headerLength: Int
    let totalLength: Int

    /// Nil: no IPv4, or its lengths do not fit the frame.
    init?(_ frame: [UInt8]) {
        self.frame = frame
        let isTagged = frame.word(at: 12) == 0x8100
        start = isTagged ? 18 : 14
        guard frame.word(at: start - 2) == 0x0800, frame.count >= start + 20, frame[start] >> 4 == 4 else { return nil }
        headerLength = Int(frame[start] & 15) * 4
        totalLength = Int(frame.word(at: start + 2))
        guard headerLength >= 20, totalLength >= headerLength, start + totalLength <= frame.count else { return nil }
    }

    var isIPGood: Bool { InternetChecksum.sum(frame[start..<start + headerLength]) == 0xFFFF }

    /// Nil: a fragment, another protocol, or UDP without a checksum.
    var isTransportGood: Bool? {
        let isFragment = frame.word(at: start + 6) & 0x3FFF != 0
        let kind = frame[start + 9]
        let segment = frame[start + headerLength..<start + totalLength]
        guard !isFragment, kind == 6 && segment.count >= 20 || kind == 17 && segment.count >= 8 else { return nil }
        if kind == 17 && frame.word(at: start + headerLength + 6) == 0 { return nil }
        let addresses = UInt32(InternetChecksum.sum(frame[start + 12..<start + 20]))
        return InternetChecksum.sum(segment, from: addresses + UInt32(kind) + UInt32(segment.count)) == 0xFFFF
    }
}
