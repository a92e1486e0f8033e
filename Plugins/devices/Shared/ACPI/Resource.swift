/// An entry of a resource template.
/// Source: ACPI 6.5, 6.4. Windows that a bridge passes on are `isProducer`; what a device itself uses is not.
public enum Resource: Equatable, Sendable {
    /// Edge or level, active high or low, shared or not.
    public struct Trigger: Equatable, Sendable {
        public var isEdge: Bool
        public var isActiveLow: Bool
        public var isShared: Bool
        public init(isEdge: Bool, isActiveLow: Bool, isShared: Bool) {
            (self.isEdge, self.isActiveLow, self.isShared) = (isEdge, isActiveLow, isShared)
        }
        /// ISA's.
        public static let edge = Self(isEdge: true, isActiveLow: false, isShared: false)
    }

    /// First and last address of a window, both within.
    public struct Window<Address: FixedWidthInteger & UnsignedInteger & Sendable>: Equatable, Sendable {
        public var first: Address
        public var last: Address
        public var isProducer: Bool
        public init(_ first: Address, through last: Address, isProducer: Bool = true) {
            (self.first, self.last, self.isProducer) = (first, last, isProducer)
        }
    }

    /// IRQ 0...15, a bit each.
    case irq(mask: UInt16, Trigger)
    case dma(mask: UInt8)
    /// Ports, decoded with 16 bits, `count` of them at `port`.
    case io(port: UInt16, count: UInt8)
    /// The same where the OS may choose: the first port is in `from`...`to`.
    case ioRange(from: UInt16, to: UInt16, alignment: UInt8, count: UInt8)
    case fixedMemory(address: UInt32, length: UInt32, isWritable: Bool)
    case interrupts([UInt32], Trigger)
    case buses(Window<UInt16>)
    case wordIO(Window<UInt16>)
    case doubleWordIO(Window<UInt32>)
    case doubleWordMemory(Window<UInt32>, isCacheable: Bool, isWritable: Bool)
    case quadWordMemory(Window<UInt64>, isCacheable: Bool, isWritable: Bool)

    var bytes: [UInt8] {
        switch self {
        case .irq(let mask, .edge): [0x22] + mask.littleEndianBytes
        case .irq(let mask, let trigger): [0x23] + mask.littleEndianBytes + [trigger.smallFlags]
        case .dma(let mask): [0x2A, mask, 0x00]
        case .io(let port, let count): Self.io(port, port, 1, count)
        case .ioRange(let from, let to, let alignment, let count): Self.io(from, to, alignment, count)
        case .fixedMemory(let address, let length, let isWritable):
            [0x86, 9, 0, isWritable ? 1 : 0] + address.littleEndianBytes + length.littleEndianBytes
        case .interrupts(let numbers, let trigger): Self.interrupts(numbers.prefix(255), trigger)
        case .buses(let window): Self.window(0x88, kind: 2, flags: 0, window)
        case .wordIO(let window): Self.window(0x88, kind: 1, flags: 3, window)
        case .doubleWordIO(let window): Self.window(0x87, kind: 1, flags: 3, window)
        case .doubleWordMemory(let window, let isCacheable, let isWritable):
            Self.window(0x87, kind: 0, flags: (isCacheable ? 2 : 0) | (isWritable ? 1 : 0), window)
        case .quadWordMemory(let window, let isCacheable, let isWritable):
            Self.window(0x8A, kind: 0, flags: (isCacheable ? 2 : 0) | (isWritable ? 1 : 0), window)
        }
    }

    private static func io(_ from: UInt16, _ to: UInt16, _ alignment: UInt8, _ count: UInt8) -> [UInt8] {
        [0x47, 0x01] + from.littleEndianBytes + to.littleEndianBytes + [alignment, count]
    }

    private static func interrupts(_ numbers: ArraySlice<UInt32>, _ trigger: Trigger) -> [UInt8] {
        let flags = 1 | (trigger.isEdge ? 2 : 0) | (trigger.isActiveLow ? 4 : 0) | (trigger.isShared ? 8 : 0) as UInt8
        let contents = [flags, UInt8(numbers.count)] + numbers.flatMap(\.littleEndianBytes)
        return [0x89] + UInt16(contents.count).littleEndianBytes + contents
    }

    /// Address space descriptors: minimum and maximum are fixed, decoding positive, nothing translated. A window that ends
    /// before it begins has length zero.
    private static func window<Address>(_ tag: UInt8, kind: UInt8, flags: UInt8, _ window: Window<Address>) -> [UInt8] {
        let length = window.last < window.first ? 0 : window.last &- window.first &+ 1
        let numbers: [Address] = [0, window.first, window.last, 0, length]
        let contents = [kind, window.isProducer ? 0x0C : 0x0D, flags] + numbers.flatMap(\.littleEndianBytes)
        return [tag] + UInt16(contents.count).littleEndianBytes + contents
    }
}

extension Resource.Trigger {
    var smallFlags: UInt8 { (isEdge ? 1 : 0) | (isActiveLow ? 8 : 0) | (isShared ? 16 : 0) }
}
