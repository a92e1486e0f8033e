/// Guest RAM, for DMA.
public protocol E1000Memory {
    /// `count` bytes (up to 128 KiB); nil where one of them is not RAM.
    func read(_ address: UInt64, count: Int) -> [UInt8]?
    /// Up to 16 KiB; false, and nothing is written, where one of them is not RAM.
    func write(_ address: UInt64, _ bytes: ArraySlice<UInt8>) -> Bool
}

/// The cable.
public protocol E1000Wire {
    /// A frame without its FCS, all checksums in place.
    func send(_ frame: [UInt8])
}

// The manual, "Transmit Descriptor Ring Structure" and "Packet Transmission".

extension E1000 {
    /// Descriptors and bytes of one call of `transmit`; a frame counts as `frameCost` bytes more, for segments may be tiny.
    private static let descriptorBudget = 256
    private static let byteBudget = 1 << 20
    private static let frameCost = 512

    /// Whether `transmit` would do something.
    public var hasTransmitWork: Bool { state.transmitControl.contains(.enabled) && state.transmit.available > 0 }

    /// Works the ring off from head to tail, up to a budget; the owner calls it after a write while `hasTransmitWork`, and
    /// again where it is still true. A descriptor that is not in RAM is passed over.
    public mutating func transmit(at now: UInt64, _ memory: some E1000Memory, _ wire: some E1000Wire) {
        guard hasTransmitWork else { return }
        var cost = 0
        var causes: Cause = []
        for _ in 0..<Self.descriptorBudget where state.transmit.available > 0 && cost < Self.byteBudget {
            if let fetched = memory.read(state.transmit.headAddress, count: 16), fetched.count == 16 {
                let descriptor = TransmitDescriptor(bytes: fetched)
                cost += process(descriptor, memory, wire)
                if descriptor.reportsStatus {
                    _ = memory.write(state.transmit.headAddress &+ 12, [fetched[12] & 0xF0 | 1])
                    causes.insert(.transmitWrittenBack)
                }
            }
            state.transmit.advance()
        }
        if state.transmit.available == 0 { causes.insert(.transmitQueueEmpty) }
        raise(causes, at: now)
    }

    /// What it costs of the budget.
    private mutating func process(
        _ descriptor: TransmitDescriptor, _ memory: some E1000Memory, _ wire: some E1000Wire
    ) -> Int {
        if descriptor.isContext {
            state.packet.load(descriptor)
            return 0
        }
        state.packet.begin(descriptor)
        if descriptor.hasTag && state.control.contains(.vlanMode) { state.packet.tag = descriptor.special }
        let length = descriptor.length
        if state.packet.bytes.count + length > Self.longestPacket {
            state.packet.isDropped = true
        } else if !state.packet.isDropped && length > 0 {
            if let data = memory.read(descriptor.address, count: length), data.count == length {
                state.packet.bytes += data
            } else {
                state.packet.isDropped = true
            }
        }
        let frames = descriptor.endsPacket ? finishPacket(wire) : 0
        return min(length, Self.longestPacket) + frames * Self.frameCost
    }

    /// How many frames went out.
    private mutating func finishPacket(_ wire: some E1000Wire) -> Int {
        defer { state.packet.end() }
        guard !state.packet.isDropped else { return 0 }
        if state.packet.isSegmented { return sendSegments(wire) }
        var frame = state.packet.bytes
        state.packet.insertChecksums(&frame)
        send(frame, wire)
        return 1
    }

    private mutating func sendSegments(_ wire: some E1000Wire) -> Int {
        guard let plan = Segmentation(state.packet) else {
            state.statistics.add(.failedSegmentations)
            return 0
        }
        state.statistics.add(.segmentations)
        for index in 0..<plan.count { send(plan.frame(index), wire) }
        return plan.count
    }

    /// Frames without an Ethernet header, or longer than the chip's FIFO holds, do not go out; none does without a link.
    private mutating func send(_ frame: [UInt8], _ wire: some E1000Wire) {
        guard isLinkUp, frame.count >= 14, frame.count <= 16288 else { return }
        var frame = frame
        if let tag = state.packet.tag {
            let type = UInt16(truncatingIfNeeded: state.vlanType)
            frame.insert(contentsOf: [type, tag].flatMap { [UInt8($0 >> 8), UInt8(truncatingIfNeeded: $0)] }, at: 12)
        }
        if frame.count < 60 && state.transmitControl.contains(.padsShortPackets) {
            frame += [UInt8](repeating: 0, count: 60 - frame.count)
        }
        state.statistics.countSent(frame)
        wire.send(frame)
    }
}

/// 16 bytes of the ring: legacy, or extended with a type.
struct TransmitDescriptor {
    let bytes: [UInt8]

    private enum Command { static let end: UInt8 = 1, legacyChecksum: UInt8 = 4, segment: UInt8 = 4, status: UInt8 = 8 }

    private func number(_ range: Range<Int>) -> UInt64 {
        bytes[range].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    var command: UInt8 { bytes[11] }
    var isExtended: Bool { command & 0x20 != 0 }
    /// DTYP 0; 1 is data, and so are the reserved ones.
    var isContext: Bool { isExtended && bytes[10] >> 4 == 0 }
    var endsPacket: Bool { command & Command.end != 0 }
    var reportsStatus: Bool { command & (Command.status | 0x10) != 0 }
    var hasTag: Bool { command & 0x40 != 0 }
    var address: UInt64 { number(0..<8) }
    var length: Int { Int(isExtended ? number(8..<11) & 0xF_FFFF : number(8..<10)) }
    var special: UInt16 { UInt16(number(14..<16)) }
    /// Data descriptors: TSE.
    var isSegmented: Bool { isExtended && command & Command.segment != 0 }
    /// POPTS.
    var options: UInt8 { isExtended ? bytes[13] : 0 }
    /// Legacy descriptors with IC: CSO and CSS.
    var checksum: (place: UInt8, start: UInt8)? {
        !isExtended && command & Command.legacyChecksum != 0 ? (bytes[10], bytes[13]) : nil
    }
}
