// MSI-X: the capability, and its table and pending bits, which are memory in a BAR of the function (PCI 3.0, 6.8.2).

extension ConfigurationSpace {
    /// The MSI-X capability, ID 0x11: 12 bytes.
    public struct MSIX: Equatable, Sendable {
        public let offset: UInt32
        /// 1...2048.
        public let vectors: Int
        /// Which base address register, and the byte inside it: multiples of 8.
        public let tableBaseAddress: Int
        public let tableOffset: UInt32
        public let pendingBaseAddress: Int
        public let pendingOffset: UInt32
    }

    /// Message Control (6.8.2.3), without the table's size in bits 10:0.
    public struct MSIXControl: OptionSet, Equatable, Sendable {
        public let rawValue: UInt16
        public init(rawValue: UInt16) { self.rawValue = rawValue }

        public static let functionMask = Self(rawValue: 1 << 14)
        public static let enable = Self(rawValue: 1 << 15)
    }

    /// Nil: the function has no MSI-X.
    public var msixControl: MSIXControl? {
        layout.msix.map { MSIXControl(rawValue: register16($0.offset &+ 2)).intersection([.functionMask, .enable]) }
    }
}

extension ConfigurationSpace.Layout {
    /// The base address registers are added first: table and pending bits must lie inside their memory.
    /// - Parameters:
    ///   - vectors: 1...2048.
    ///   - table, pending: base address register and byte in it, a multiple of 8.
    public mutating func addMSIX(
        vectors: Int, table: (baseAddress: Int, offset: UInt32), pending: (baseAddress: Int, offset: UInt32),
        at offset: UInt32? = nil
    ) throws(LayoutError) {
        guard msix == nil else { throw .twice }
        guard (1...2048).contains(vectors), holds(table, UInt64(vectors) * 16),
            holds(pending, UInt64(vectors + 63) / 64 * 8)
        else { throw .badVectors(vectors) }
        let base = try addCapability(id: 0x11, length: 12, at: offset)
        put(base &+ 2, 2, reset: UInt32(truncatingIfNeeded: vectors &- 1), writable: 0b11 << 14)
        put(base &+ 4, 4, reset: table.offset | UInt32(truncatingIfNeeded: table.baseAddress))
        put(base &+ 8, 4, reset: pending.offset | UInt32(truncatingIfNeeded: pending.baseAddress))
        msix = ConfigurationSpace.MSIX(
            offset: base, vectors: vectors, tableBaseAddress: table.baseAddress, tableOffset: table.offset,
            pendingBaseAddress: pending.baseAddress, pendingOffset: pending.offset)
    }

    private func holds(_ place: (baseAddress: Int, offset: UInt32), _ bytes: UInt64) -> Bool {
        guard place.offset % 8 == 0, let bar = baseAddresses.first(where: { $0.index == place.baseAddress }) else {
            return false
        }
        return bar.kind != .io && UInt64(place.offset) &+ bytes <= bar.size
    }
}

/// The memory of MSI-X: a table of 16 bytes a vector (address, upper address, data, control) and the pending bits.
public struct MSIXTable: Sendable {
    // MARK: State: a snapshot is exactly this, and its defaults are the reset values

    public struct State: Equatable, Sendable {
        /// Four a vector: address, upper address, data, vector control (bit 0: masked).
        public var table: [UInt32]
        /// One bit a vector, the first in bit 0 of the first.
        public var pending: [UInt64]

        public init(vectors: Int) {
            table = [UInt32](repeating: 0, count: vectors * 4)
            for vector in 0..<vectors { table[vector * 4 + 3] = 1 }  // masked after reset (6.8.2.9)
            pending = [UInt64](repeating: 0, count: (vectors + 63) / 64)
        }
    }

    public let vectors: Int
    public private(set) var state: State

    /// - Parameter vectors: held to 1...2048.
    public init(vectors: Int) {
        self.vectors = min(max(vectors, 1), 2048)
        state = State(vectors: self.vectors)
    }

    public mutating func reset() { state = State(vectors: vectors) }

    /// Takes over a saved state.
    /// - Returns: false, and nothing is changed, where its size is another or a reserved bit is set.
    public mutating func restore(_ saved: State) -> Bool {
        guard saved.table.count == vectors * 4, saved.pending.count == state.pending.count else { return false }
        for vector in 0..<vectors {
            guard saved.table[vector * 4] & 0b11 == 0, saved.table[vector * 4 + 3] & ~1 == 0 else { return false }
        }
        let rest = UInt64(truncatingIfNeeded: vectors % 64)
        if rest != 0, let last = saved.pending.last, last &>> rest != 0 { return false }
        state = saved
        return true
    }

    // MARK: Guest side

    /// Bytes of the table, and of the pending bits, which are whole quadwords.
    public var tableSize: UInt64 { UInt64(vectors) * 16 }
    public var pendingSize: UInt64 { UInt64(state.pending.count) * 8 }

    /// Reads up to 8 bytes of the table, little-endian. The standard defines aligned dwords and quadwords only; other
    /// accesses get the bytes that lie there. Bytes beyond the table are 0.
    public func read(_ offset: UInt64, width: UInt32) -> UInt64 {
        Self.gather(offset, width) { byte in
            guard byte < tableSize else { return 0 }
            return UInt8(truncatingIfNeeded: state.table[Int(byte / 4)] &>> UInt32(truncatingIfNeeded: byte % 4 * 8))
        }
    }

    /// Writes up to 8 bytes of the table, little-endian.
    public mutating func write(_ offset: UInt64, width: UInt32, _ value: UInt64) {
        guard offset < tableSize else { return }
        for i in 0..<UInt64(min(width, 8)) {
            let byte = offset &+ i
            guard byte < tableSize else { return }
            let (index, shift) = (Int(byte / 4), UInt32(truncatingIfNeeded: byte % 4 * 8))
            let new = UInt32(UInt8(truncatingIfNeeded: value &>> (i &* 8))) &<< shift
            let mask = Self.writable[index % 4] & (0xFF &<< shift)
            state.table[index] = (state.table[index] & ~mask) | (new & mask)
        }
    }

    /// Address bits 1:0 are 0, and only the mask of Vector Control exists.
    private static let writable: InlineArray<4, UInt32> = [~0b11, .max, .max, 1]

    /// Reads up to 8 bytes of the pending bits; they cannot be written.
    public func readPending(_ offset: UInt64, width: UInt32) -> UInt64 {
        Self.gather(offset, width) { byte in
            guard byte < pendingSize else { return 0 }
            return UInt8(truncatingIfNeeded: state.pending[Int(byte / 8)] &>> (byte % 8 * 8))
        }
    }

    private static func gather(_ offset: UInt64, _ width: UInt32, _ byte: (UInt64) -> UInt8) -> UInt64 {
        guard offset < 1 << 32 else { return 0 }
        var value: UInt64 = 0
        for i in 0..<UInt64(min(width, 8)) { value |= UInt64(byte(offset &+ i)) &<< (i &* 8) }
        return value
    }

    // MARK: Host side

    public func message(_ vector: Int) -> InterruptMessage? {
        guard (0..<vectors).contains(vector) else { return nil }
        let entry = vector * 4
        return InterruptMessage(
            address: UInt64(state.table[entry]) | UInt64(state.table[entry + 1]) &<< 32, data: state.table[entry + 2])
    }

    /// The vector's own mask bit.
    public func isMasked(_ vector: Int) -> Bool {
        guard (0..<vectors).contains(vector) else { return true }
        return state.table[vector * 4 + 3] & 1 != 0
    }

    public func isPending(_ vector: Int) -> Bool {
        guard (0..<vectors).contains(vector) else { return false }
        return state.pending[vector / 64] &>> UInt64(vector % 64) & 1 != 0
    }

    public mutating func setPending(_ vector: Int, _ pending: Bool) {
        guard (0..<vectors).contains(vector) else { return }
        let bit: UInt64 = 1 &<< UInt64(vector % 64)
        if pending { state.pending[vector / 64] |= bit } else { state.pending[vector / 64] &= ~bit }
    }

    /// A vector's event. While it or the function is masked the event is pending, and `take` gives it later.
    /// - Parameter control: the function's `msixControl`.
    /// - Returns: the message to send now; nil: masked, or MSI-X is off (which loses it).
    public mutating func signal(_ vector: Int, control: ConfigurationSpace.MSIXControl?) -> InterruptMessage? {
        guard (0..<vectors).contains(vector), let control, control.contains(.enable) else { return nil }
        guard control.contains(.functionMask) || isMasked(vector) else { return message(vector) }
        setPending(vector, true)
        return nil
    }

    /// The next message that was pending and is masked no more; nil: none. Ask after a write to the table, and after one
    /// to configuration space that changed `messages`.
    public mutating func take(control: ConfigurationSpace.MSIXControl?) -> InterruptMessage? {
        guard let control, control.contains(.enable), !control.contains(.functionMask) else { return nil }
        for word in state.pending.indices {
            var left = state.pending[word]
            while left != 0 {
                let vector = word * 64 + left.trailingZeroBitCount
                left &= left &- 1
                guard !isMasked(vector) else { continue }
                setPending(vector, false)
                return message(vector)
            }
        }
        return nil
    }
}
