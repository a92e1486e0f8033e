/// How a function names itself (virtio 1.2, 4.1.2).
public struct PCIIdentity: Equatable, Sendable {
    public static let vendor: UInt16 = 0x1AF4

    public let device: UInt16
    public let revision: UInt8
    public let subsystem: UInt16
    public let classCode: UInt32
    /// It has the legacy interface too.
    public let isTransitional: Bool

    /// - Parameter allowsLegacy: a device that legacy drivers know may be transitional.
    public init(_ type: UInt16, allowsLegacy: Bool) {
        classCode = Self.classes[type] ?? 0xFF_00_00
        if allowsLegacy, let old = Self.transitional[type] {
            (device, revision, subsystem, isTransitional) = (old, 0, type, true)
        } else {
            // 4.1.2.1: a subsystem of 0x40 or more keeps legacy drivers away.
            (device, revision, subsystem, isTransitional) = (0x1040 &+ type, 1, 0x1100, false)
        }
    }

    /// 4.1.2: net, block, balloon, console, SCSI host, entropy, 9P.
    private static let transitional: [UInt16: UInt16] = [
        1: 0x1000, 2: 0x1001, 5: 0x1002, 3: 0x1003, 8: 0x1004, 4: 0x1005, 9: 0x1009,
    ]

    /// PCI's class codes, which the specification leaves open; those that QEMU has.
    private static let classes: [UInt16: UInt32] = [
        1: 0x02_00_00, 2: 0x01_00_00, 3: 0x07_80_00, 4: 0x00_FF_00, 5: 0x00_FF_00, 8: 0x01_00_00, 9: 0x00_02_00,
        16: 0x03_80_00, 18: 0x09_80_00,
    ]
}
