/// Feature bits that are not one device's own (virtio 1.2, chapter 6), of queues and transports.
public struct VirtioFeatures: OptionSet, Equatable, Sendable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// A legacy driver's: the device takes descriptors of any number and size.
    public static let anyLayout = Self(rawValue: 1 << 27)
    /// 2.7.5.3
    public static let indirectDescriptors = Self(rawValue: 1 << 28)
    /// 2.7.7 to 2.7.10
    public static let eventIndex = Self(rawValue: 1 << 29)
    /// Not a legacy driver.
    public static let version1 = Self(rawValue: 1 << 32)
    /// 2.6.1
    public static let ringReset = Self(rawValue: 1 << 40)

    /// What every device offers that leaves its queues to `VirtQueue`.
    public static let ofQueues: Self = [.anyLayout, .indirectDescriptors, .eventIndex, .version1, .ringReset]

    /// What a legacy driver is shown: it reads 32 bits (4.1.4.8).
    public static let ofLegacy = Self(rawValue: 0xFFFF_FFFF)
}
