// Message signalled interrupts (PCI 3.0, 6.8.1).

/// A memory write that is an interrupt.
public struct InterruptMessage: Equatable, Sendable {
    public var address: UInt64
    public var data: UInt32

    public init(address: UInt64, data: UInt32) {
        self.address = address
        self.data = data
    }
}

extension ConfigurationSpace {
    /// The MSI capability, ID 5: 10 to 24 bytes.
    public struct MSI: Equatable, Sendable {
        public let offset: UInt32
        /// 1, 2, 4, 8, 16 or 32.
        public let vectors: Int
        public let has64BitAddress: Bool
        public let hasMasks: Bool

        var dataOffset: UInt32 { offset &+ (has64BitAddress ? 12 : 8) }
        var maskOffset: UInt32 { offset &+ (has64BitAddress ? 16 : 12) }
        var length: UInt32 { (hasMasks ? 20 : 10) &+ (has64BitAddress ? 4 : 0) }
        /// One bit a vector.
        var all: UInt32 { vectors >= 32 ? .max : (1 &<< UInt32(truncatingIfNeeded: vectors)) &- 1 }
    }

    /// Message Control (6.8.1.3), without the codes in bits 6:1.
    public struct MSIControl: OptionSet, Equatable, Sendable {
        public let rawValue: UInt16
        public init(rawValue: UInt16) { self.rawValue = rawValue }

        public static let enable = Self(rawValue: 1 << 0)
        public static let address64 = Self(rawValue: 1 << 7)
        public static let masks = Self(rawValue: 1 << 8)
    }

    var msiControl: MSIControl? { layout.msi.map { MSIControl(rawValue: register16($0.offset &+ 2)) } }

    /// Vectors that software allotted by Multiple Message Enable, at most those that the function asked for; 0: MSI is off.
    public var msiVectors: Int {
        guard let msi = layout.msi, msiControl?.contains(.enable) == true else { return 0 }
        let code = register16(msi.offset &+ 2) >> 4 & 0b111
        return code > 5 ? msi.vectors : min(1 &<< Int(code), msi.vectors)
    }

    /// What a vector sends; nil: MSI is off. A vector beyond those that were allotted sends the last one's, since a
    /// function with fewer messages than it wanted shares them. A masked one has a message too.
    public func msiMessage(_ vector: Int) -> InterruptMessage? {
        guard let msi = layout.msi, msiVectors > 0, (0..<msi.vectors).contains(vector) else { return nil }
        var address = UInt64(register32(msi.offset &+ 4))
        if msi.has64BitAddress { address |= UInt64(register32(msi.offset &+ 8)) &<< 32 }
        let low = UInt16(truncatingIfNeeded: msiVectors &- 1)
        let number = UInt16(truncatingIfNeeded: min(vector, msiVectors &- 1))
        return InterruptMessage(address: address, data: UInt32(register16(msi.dataOffset) & ~low | number))
    }

    public func msiIsMasked(_ vector: Int) -> Bool {
        guard let msi = layout.msi, msi.hasMasks, (0..<msi.vectors).contains(vector) else { return false }
        return register32(msi.maskOffset) &>> UInt32(truncatingIfNeeded: vector) & 1 != 0
    }

    /// Sets a vector's pending bit; nothing where the capability has none.
    public mutating func setMSIPending(_ vector: Int, _ pending: Bool) {
        guard let msi = layout.msi, msi.hasMasks, (0..<msi.vectors).contains(vector) else { return }
        let bit: UInt32 = 1 &<< UInt32(truncatingIfNeeded: vector)
        let old = register32(msi.maskOffset &+ 4)
        set(msi.maskOffset &+ 4, width: 4, to: pending ? old | bit : old & ~bit)
    }

    /// A vector's event. While it is masked the event is pending, and `takeMSI` gives it later.
    /// - Returns: the message to send now; nil: masked, or MSI is off (which loses it).
    public mutating func signalMSI(_ vector: Int) -> InterruptMessage? {
        guard let message = msiMessage(vector) else { return nil }
        guard msiIsMasked(vector) else { return message }
        setMSIPending(vector, true)
        return nil
    }

    /// The next message that was pending and is masked no more; nil: none. Ask after a write that changed `messages`.
    public mutating func takeMSI() -> InterruptMessage? {
        guard let msi = layout.msi, msi.hasMasks, msiVectors > 0 else { return nil }
        let ready = register32(msi.maskOffset &+ 4) & ~register32(msi.maskOffset) & msi.all
        guard ready != 0 else { return nil }
        let vector = ready.trailingZeroBitCount
        setMSIPending(vector, false)
        return msiMessage(vector)
    }
}

extension ConfigurationSpace.Layout {
    /// - Parameter vectors: 1, 2, 4, 8, 16 or 32.
    public mutating func addMSI(
        vectors: Int = 1, address64: Bool = true, masks: Bool = false, at offset: UInt32? = nil
    ) throws(LayoutError) {
        guard msi == nil else { throw .twice }
        guard (1...32).contains(vectors), vectors.nonzeroBitCount == 1 else { throw .badVectors(vectors) }
        let shape = ConfigurationSpace.MSI(offset: 0, vectors: vectors, has64BitAddress: address64, hasMasks: masks)
        let base = try addCapability(id: 0x05, length: shape.length, at: offset)
        let added = ConfigurationSpace.MSI(
            offset: base, vectors: vectors, has64BitAddress: address64, hasMasks: masks)
        let capable = UInt32(truncatingIfNeeded: vectors.trailingZeroBitCount) &<< 1
        put(
            base &+ 2, 2, reset: capable | (address64 ? 1 << 7 : 0) | (masks ? 1 << 8 : 0),
            writable: 1 | 0b111 << 4)
        put(base &+ 4, 4, writable: ~0b11)
        if address64 { put(base &+ 8, 4, writable: .max) }
        put(added.dataOffset, 2, writable: 0xFFFF)
        if masks {
            put(added.maskOffset, 4, writable: added.all)
            put(added.maskOffset &+ 4, 4, changing: added.all)
        }
        msi = added
    }

    /// A byte of the MSI or MSI-X capability.
    func isMessage(_ offset: UInt32) -> Bool {
        if let msi, (msi.offset..<msi.offset &+ msi.length).contains(offset) { return true }
        if let msix, (msix.offset..<msix.offset &+ 12).contains(offset) { return true }
        return false
    }
}
