public import PCIConfiguration
import Virtio

/// The function that shows the register banks: base address registers as QEMU has them, and the capabilities that say where the banks are
/// (virtio 1.2, 4.1.4).
extension VirtioPCI {
    /// BAR 0: the legacy interface; BAR 1: the table of MSI-X and its pending bits; BARs 4 and 5: the banks, by 64 bits.
    public enum Window { public static let (legacy, messages, banks) = (0, 1, 4) }
    /// Bytes of BAR 1's memory, and where in it the pending bits are: behind 128 vectors.
    public static let messageSize: UInt64 = 0x1000
    public static let pendingOffset: UInt32 = 0x800

    /// - Parameter identity: whether the legacy interface is there is its word.
    /// - Returns: the function, and where its capability for access by configuration space is.
    public func configuration(
        _ identity: PCIIdentity
    ) throws(LayoutError) -> (space: ConfigurationSpace, access: UInt32) {
        var layout = ConfigurationSpace.Layout(
            .function,
            .init(
                vendor: PCIIdentity.vendor, device: identity.device, revision: identity.revision,
                classCode: identity.classCode, subsystemVendor: PCIIdentity.vendor, subsystem: identity.subsystem),
            interruptPin: 1)
        if identity.isTransitional { try layout.addBaseAddress(Window.legacy, .io, size: legacySize) }
        try layout.addBaseAddress(Window.messages, .memory32(prefetchable: false), size: Self.messageSize)
        try layout.addBaseAddress(Window.banks, .memory64(prefetchable: true), size: Self.size)
        try layout.addMSIX(
            vectors: vectors, table: (Window.messages, 0), pending: (Window.messages, Self.pendingOffset))
        for bank in Bank.allCases { try Self.add(bank, to: &layout) }
        let access = try Self.addAccess(to: &layout)
        return (ConfigurationSpace(layout), access)
    }

    /// 4.1.4: cfg_type by bank.
    private static func type(_ bank: Bank) -> UInt32 {
        switch bank {
        case .common: 1
        case .notify: 2
        case .interrupt: 3
        case .device: 4
        }
    }

    private static func add(_ bank: Bank, to layout: inout ConfigurationSpace.Layout) throws(LayoutError) {
        let length: UInt32 = bank == .notify ? 20 : 16
        let place = try layout.addCapability(id: 9, length: length)
        try layout.redefine(place &+ 2, width: 2, reset: length | type(bank) << 8)
        try layout.redefine(place &+ 4, width: 4, reset: UInt32(Window.banks))
        try layout.redefine(place &+ 8, width: 4, reset: bank.rawValue &* bankSize)
        try layout.redefine(place &+ 12, width: 4, reset: bankSize)
        if bank == .notify { try layout.redefine(place &+ 16, width: 4, reset: notifyMultiplier) }
    }

    /// 4.1.4.9: an access to the banks by configuration space, for firmware that reaches no memory. Its data are not in the space itself.
    private static func addAccess(to layout: inout ConfigurationSpace.Layout) throws(LayoutError) -> UInt32 {
        let place = try layout.addCapability(id: 9, length: 20)
        try layout.redefine(place &+ 2, width: 2, reset: 20 | 5 << 8)
        try layout.redefine(place &+ 4, width: 4, reset: 0, writable: 0xFF)
        try layout.redefine(place &+ 8, width: 4, reset: 0, writable: .max)
        try layout.redefine(place &+ 12, width: 4, reset: 0, writable: .max)
        return place
    }

    /// The access that the capability at `place` names; nil: none that can be.
    public static func access(
        _ space: ConfigurationSpace, at place: UInt32
    ) -> (offset: UInt32, width: UInt8)? {
        let (bar, offset) = (space.read(place &+ 4, width: 1), space.read(place &+ 8, width: 4))
        let length = space.read(place &+ 12, width: 4)
        guard bar == UInt32(Window.banks), length == 1 || length == 2 || length == 4, offset & (length &- 1) == 0,
            UInt64(offset) &+ UInt64(length) <= size
        else { return nil }
        return (offset, UInt8(length))
    }
}
