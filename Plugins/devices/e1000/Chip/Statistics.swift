extension E1000 {
    /// The counters from 0x4000 on. They stop at their largest value, and a read clears them; of those with 64 bits the read of
    /// the upper half does, and they go round.
    public struct Statistics: Equatable, Sendable {
        static let first: UInt32 = 0x4000
        static let count = 74

        enum Counter: Int {
            case missed = 4, received64 = 23, received127, received255, received511, received1023, received1522
            case goodReceived = 29, broadcastsReceived, multicastsReceived, goodSent
            case noBuffers = 40, tooLong = 43, received = 52, sent
            case sent64 = 54, sent127, sent255, sent511, sent1023, sent1522, multicastsSent, broadcastsSent
            case segmentations = 62, failedSegmentations
        }
        enum Total: Int { case goodBytesReceived = 34, goodBytesSent = 36, bytesReceived = 48, bytesSent = 50 }
        private static let totals: Set<Int> = [34, 36, 48, 50]

        public var values = [UInt32](repeating: 0, count: Statistics.count)
        public init() {}
        var isPossible: Bool { values.count == Self.count }

        /// Whether a counter is at `offset`, and which.
        static func index(_ offset: UInt32) -> Int? {
            guard offset >= first, offset & 3 == 0, Int((offset &- first) / 4) < count else { return nil }
            return Int((offset &- first) / 4)
        }

        mutating func read(_ index: Int) -> UInt32 {
            let value = values[index]
            if Self.totals.contains(index) { return value }
            values[index] = 0
            if Self.totals.contains(index - 1) { values[index - 1] = 0 }
            return value
        }

        mutating func add(_ counter: Counter) {
            if values[counter.rawValue] < .max { values[counter.rawValue] &+= 1 }
        }

        private mutating func add(_ total: Total, _ bytes: Int) {
            let old = UInt64(values[total.rawValue + 1]) << 32 | UInt64(values[total.rawValue])
            let new = old &+ UInt64(bytes)
            values[total.rawValue] = UInt32(truncatingIfNeeded: new)
            values[total.rawValue + 1] = UInt32(truncatingIfNeeded: new >> 32)
        }

        /// A frame that was taken, with the FCS that counts although it is not there.
        mutating func countReceived(_ frame: [UInt8]) {
            let bytes = frame.count + 4
            add(.received)
            add(.goodReceived)
            add(.bytesReceived, bytes)
            add(.goodBytesReceived, bytes)
            add(Counter(rawValue: Counter.received64.rawValue + Self.size(bytes)) ?? .received1522)
            if frame.isBroadcast { add(.broadcastsReceived) } else if frame.isMulticast { add(.multicastsReceived) }
        }

        mutating func countSent(_ frame: [UInt8]) {
            let bytes = frame.count + 4
            add(.sent)
            add(.goodSent)
            add(.bytesSent, bytes)
            add(.goodBytesSent, bytes)
            add(Counter(rawValue: Counter.sent64.rawValue + Self.size(bytes)) ?? .sent1522)
            if frame.isBroadcast { add(.broadcastsSent) } else if frame.isMulticast { add(.multicastsSent) }
        }

        /// 64, 65...127, 128...255, 256...511, 512...1023, 1024 and more.
        private static func size(_ bytes: Int) -> Int {
            switch bytes {
            case ...64: 0
            case ...127: 1
            case ...255: 2
            case ...511: 3
            case ...1023: 4
            default: 5
            }
        }
    }
}

extension Array<UInt8> {
    var isBroadcast: Bool { count >= 6 && prefix(6).allSatisfy { $0 == 0xFF } }
    var isMulticast: Bool { (first ?? 0) & 1 != 0 }
}
