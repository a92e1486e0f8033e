// The manual, "TCP/IP Context Transmit Descriptor", "IP/TCP/UDP Transmit Checksum Offloading", "TCP Segmentation".

extension E1000 {
    /// What a context descriptor says.
    public struct Context: Equatable, Sendable {
        public var ipStart: UInt8 = 0
        public var ipPlace: UInt8 = 0
        public var ipEnd: UInt16 = 0
        public var start: UInt8 = 0
        public var place: UInt8 = 0
        public var end: UInt16 = 0
        public var isTCP = false
        public var isIPv4 = false
        public var headerLength: UInt8 = 0
        public var segmentSize: UInt16 = 0
        public init() {}

        init(_ bytes: [UInt8]) {
            (ipStart, ipPlace, ipEnd) = (bytes[0], bytes[1], UInt16(bytes[2]) | UInt16(bytes[3]) << 8)
            (start, place, end) = (bytes[4], bytes[5], UInt16(bytes[6]) | UInt16(bytes[7]) << 8)
            (isTCP, isIPv4) = (bytes[11] & 1 != 0, bytes[11] & 2 != 0)
            (headerLength, segmentSize) = (bytes[13], UInt16(bytes[14]) | UInt16(bytes[15]) << 8)
        }

        /// Both checksums; `options` is POPTS.
        func insertChecksums(_ frame: inout [UInt8], options: UInt8) {
            if options & 1 != 0 {
                Checksum.insert(
                    into: &frame, at: Int(ipPlace), start: Int(ipStart), end: Int(ipEnd), avoidsZero: false)
            }
            if options & 2 != 0 {
                Checksum.insert(into: &frame, at: Int(place), start: Int(start), end: Int(end), avoidsZero: !isTCP)
            }
        }
    }

    /// The packet that is being collected from descriptors, and the contexts, which stay from one to the next.
    public struct Packet: Equatable, Sendable {
        public var bytes: [UInt8] = []
        public var hasBegun = false
        public var isDropped = false
        public var isSegmented = false
        /// POPTS of the first descriptor.
        public var options: UInt8 = 0
        public var tag: UInt16?
        public var legacyPlace: UInt8?
        public var legacyStart: UInt8 = 0
        public var checksums = Context()
        public var segments = Context()
        public init() {}

        var isPossible: Bool {
            bytes.count <= E1000.longestPacket && (hasBegun || (bytes.isEmpty && !isDropped && !isSegmented))
        }

        mutating func load(_ descriptor: TransmitDescriptor) {
            if descriptor.isSegmented {
                segments = Context(descriptor.bytes)
            } else {
                checksums = Context(descriptor.bytes)
            }
        }

        /// The packet's first data descriptor says how it goes out; a legacy one with IC may be any of them.
        mutating func begin(_ descriptor: TransmitDescriptor) {
            if let checksum = descriptor.checksum { (legacyPlace, legacyStart) = (checksum.place, checksum.start) }
            guard !hasBegun else { return }
            (hasBegun, isSegmented, options) = (true, descriptor.isSegmented, descriptor.options)
        }

        mutating func end() {
            let (checksums, segments) = (checksums, segments)
            self = Packet()
            (self.checksums, self.segments) = (checksums, segments)
        }

        func insertChecksums(_ frame: inout [UInt8]) {
            checksums.insertChecksums(&frame, options: options)
            guard let legacyPlace else { return }
            Checksum.insert(into: &frame, at: Int(legacyPlace), start: Int(legacyStart), end: 0, avoidsZero: false)
        }
    }

    /// A packet cut into frames of up to MSS bytes behind the same header.
    struct Segmentation {
        let context: Context
        let options: UInt8
        let header: ArraySlice<UInt8>
        let payload: ArraySlice<UInt8>

        /// Nil: no header, no segment size, or more segments than there may be.
        init?(_ packet: Packet) {
            context = packet.segments
            options = packet.options
            header = packet.bytes.prefix(Int(context.headerLength))
            payload = packet.bytes.dropFirst(Int(context.headerLength))
            guard header.count == Int(context.headerLength), !header.isEmpty, context.segmentSize > 0,
                count <= E1000.mostSegments
            else { return nil }
        }

        /// A packet of its header alone is one frame.
        var count: Int {
            let size = max(Int(context.segmentSize), 1)
            return max((payload.count + size - 1) / size, 1)
        }

        func frame(_ index: Int) -> [UInt8] {
            let size = Int(context.segmentSize)
            var frame = Array(header) + payload.dropFirst(index * size).prefix(size)
            updateIP(&frame, index)
            updateTransport(&frame, index)
            context.insertChecksums(&frame, options: options)
            return frame
        }

        /// Total length and identification of IPv4, payload length of IPv6.
        private func updateIP(_ frame: inout [UInt8], _ index: Int) {
            let start = Int(context.ipStart)
            let length = UInt16(truncatingIfNeeded: frame.count - start)
            guard context.isIPv4 else { return frame.put(length &- 40, at: start + 4) }
            frame.put(length, at: start + 2)
            frame.put(frame.word(at: start + 4) &+ UInt16(truncatingIfNeeded: index), at: start + 4)
        }

        /// TCP's sequence number, FIN and PSH in the last frame only; UDP's length. Software left the pseudo header's sum without
        /// its length in the checksum field.
        private func updateTransport(_ frame: inout [UInt8], _ index: Int) {
            let start = Int(context.start)
            let length = UInt16(truncatingIfNeeded: frame.count - start)
            if context.isTCP {
                let old = UInt32(frame.word(at: start + 4)) << 16 | UInt32(frame.word(at: start + 6))
                let new = old &+ UInt32(truncatingIfNeeded: index * Int(context.segmentSize))
                frame.put(UInt16(new >> 16), at: start + 4)
                frame.put(UInt16(truncatingIfNeeded: new), at: start + 6)
                if index < count - 1 && start + 13 < frame.count { frame[start + 13] &= ~0x09 }
            } else {
                frame.put(length, at: start + 4)
            }
            let sum = UInt32(frame.word(at: Int(context.place))) + UInt32(length)
            frame.put(UInt16(sum & 0xFFFF) &+ UInt16(sum >> 16), at: Int(context.place))
        }
    }
}
