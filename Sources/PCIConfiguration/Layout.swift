/// What the device's maker got wrong; no guest can cause it.
public enum LayoutError: Error, Equatable, Sendable {
    /// No such base address register or interrupt pin in this header.
    case noSuchIndex(Int)
    /// A size that is no power of two or out of its bounds, in bytes.
    case badSize(UInt64)
    /// Another register has this byte.
    case occupied(UInt32)
    /// Outside of 0x40...0xFF, or no room left there.
    case noRoom
    /// No number of vectors that MSI or MSI-X can have, or its memory is not in a memory BAR.
    case badVectors(Int)
    /// There is one already.
    case twice
}

extension ConfigurationSpace {
    /// Who the function is.
    public struct Identity: Equatable, Sendable {
        public var vendor: UInt16
        public var device: UInt16
        public var revision: UInt8
        /// Base class, sub-class, programming interface: 0x010180 is an IDE controller with bus mastering.
        public var classCode: UInt32
        /// Type 0 only.
        public var subsystemVendor: UInt16
        public var subsystem: UInt16

        public init(
            vendor: UInt16, device: UInt16, revision: UInt8 = 0, classCode: UInt32, subsystemVendor: UInt16 = 0,
            subsystem: UInt16 = 0
        ) {
            self.vendor = vendor
            self.device = device
            self.revision = revision
            self.classCode = classCode
            self.subsystemVendor = subsystemVendor
            self.subsystem = subsystem
        }
    }

    public enum Header: UInt8, Sendable { case function = 0, bridge = 1 }

    /// Which bits a function has, what they are after reset, and who may change them. Built once by the device, then
    /// fixed.
    public struct Layout: Sendable {
        /// Bytes of configuration space.
        public static let size = 256

        public let header: Header
        var reset = [UInt8](repeating: 0, count: size)
        /// Bits that software writes.
        var writable = [UInt8](repeating: 0, count: size)
        /// Bits that software clears by writing 1.
        var clearable = [UInt8](repeating: 0, count: size)
        /// Read-only bits that the device changes.
        var changing = [UInt8](repeating: 0, count: size)
        private var taken = [Bool](repeating: false, count: size)
        private var lastCapability: UInt32?

        public internal(set) var baseAddresses: [BaseAddress] = []
        /// Bytes of the expansion ROM; 0: none.
        public internal(set) var romSize: UInt32 = 0
        public internal(set) var powerManagement: PowerManagement?
        public internal(set) var msi: MSI?
        public internal(set) var msix: MSIX?

        /// - Parameters:
        ///   - command: the bits of Command that software may write; the others are 0.
        ///   - interruptPin: 1...4 for INTA# to INTD#, 0 for none; others count as none.
        public init(
            _ header: Header = .function, _ identity: Identity, command: Command = .usual, status: Status = [],
            deviceSelect: DeviceSelect = .medium, interruptPin: UInt8 = 0
        ) {
            self.header = header
            put(Register.vendor, 2, reset: UInt32(identity.vendor))
            put(Register.device, 2, reset: UInt32(identity.device))
            put(Register.command, 2, writable: UInt32(command.rawValue))
            put(
                Register.status, 2, reset: UInt32(status.rawValue & 0x00A0 | deviceSelect.rawValue &<< 9),
                clearable: UInt32(Status.clearable.rawValue))
            put(Register.revision, 4, reset: UInt32(identity.revision) | identity.classCode &<< 8)
            put(Register.cacheLineSize, 2, writable: 0xFFFF)
            put(Register.headerType, 1, reset: UInt32(header.rawValue))
            put(Register.interruptLine, 1, writable: 0xFF)
            put(Register.interruptPin, 1, reset: UInt32(interruptPin <= 4 ? interruptPin : 0))
            for offset in 0..<Int(Register.firstFree) { taken[offset] = true }
            switch header {
            case .function:
                put(Register.subsystemVendor, 2, reset: UInt32(identity.subsystemVendor))
                put(Register.subsystem, 2, reset: UInt32(identity.subsystem))
            case .bridge: putBridge(deviceSelect)
            }
        }

        public var interruptPin: UInt8 { reset[Int(Register.interruptPin)] }

        /// MIN_GNT and MAX_LAT of a type 0 header, in units of 250 ns (6.2.4).
        public mutating func setLatency(minimumGrant: UInt8, maximumLatency: UInt8) {
            guard header == .function else { return }
            put(0x3E, 2, reset: UInt32(minimumGrant) | UInt32(maximumLatency) &<< 8)
        }

        /// The device's own register at 0x40...0xFF.
        /// - Parameters:
        ///   - width: bytes, 1...4; bits beyond them are ignored.
        ///   - writable, clearable, changing: what software writes, what it clears by writing 1, and what only the
        ///     device changes. All other bits keep their reset value.
        public mutating func define(
            _ offset: UInt32, width: UInt32, reset: UInt32 = 0, writable: UInt32 = 0, clearable: UInt32 = 0,
            changing: UInt32 = 0
        ) throws(LayoutError) {
            guard (1...4).contains(width) else { throw .badSize(UInt64(width)) }
            try take(offset, width)
            put(offset, width, reset: reset, writable: writable, clearable: clearable, changing: changing)
        }

        /// Makes more bits of a header register read-only or gives them another reset value: chips older than PCI 2.0
        /// have fixed ones where the specification has registers.
        public mutating func redefine(
            _ offset: UInt32, width: UInt32, reset: UInt32, writable: UInt32 = 0, clearable: UInt32 = 0
        ) throws(LayoutError) {
            guard (1...4).contains(width) else { throw .badSize(UInt64(width)) }
            guard offset < UInt32(Self.size), offset &+ width <= UInt32(Self.size) else { throw .noRoom }
            put(offset, width, reset: reset, writable: writable, clearable: clearable)
        }

        /// Adds a capability at the end of the list (6.7).
        /// - Parameters:
        ///   - length: bytes with the two of the list; rounded up to whole dwords.
        ///   - at: its offset, a multiple of 4; nil: the first room.
        /// - Returns: its offset.
        public mutating func addCapability(
            id: UInt8, length: UInt32, at wanted: UInt32? = nil
        ) throws(LayoutError) -> UInt32 {
            let bytes = (length &+ 3) & ~3
            guard length >= 2, length <= 192 else { throw .badSize(UInt64(length)) }
            guard let offset = wanted ?? room(bytes), offset % 4 == 0 else { throw .noRoom }
            try take(offset, bytes)
            put(offset, 1, reset: UInt32(id))
            put(lastCapability.map { $0 &+ 1 } ?? Register.capabilities, 1, reset: offset)
            lastCapability = offset
            reset[Int(Register.status)] |= Status.capabilities.low
            return offset
        }

        private func room(_ bytes: UInt32) -> UInt32? {
            var offset = Register.firstFree
            while offset &+ bytes <= UInt32(Self.size) {
                if !(offset..<offset &+ bytes).contains(where: { taken[Int($0)] }) { return offset }
                offset &+= 4
            }
            return nil
        }

        private mutating func take(_ offset: UInt32, _ bytes: UInt32) throws(LayoutError) {
            guard offset >= Register.firstFree, offset < UInt32(Self.size), bytes <= UInt32(Self.size) &- offset else {
                throw .noRoom
            }
            for byte in offset..<offset &+ bytes where taken[Int(byte)] { throw .occupied(byte) }
            for byte in offset..<offset &+ bytes { taken[Int(byte)] = true }
        }

        /// Sets the four masks of a register inside the 256 bytes.
        mutating func put(
            _ offset: UInt32, _ width: UInt32, reset: UInt32 = 0, writable: UInt32 = 0, clearable: UInt32 = 0,
            changing: UInt32 = 0
        ) {
            for i in 0..<width {
                let (index, shift) = (Int(offset &+ i), i &* 8)
                self.reset[index] = UInt8(truncatingIfNeeded: reset &>> shift)
                self.writable[index] = UInt8(truncatingIfNeeded: writable &>> shift)
                self.clearable[index] = UInt8(truncatingIfNeeded: clearable &>> shift)
                self.changing[index] = UInt8(truncatingIfNeeded: changing &>> shift)
            }
        }
    }
}
