/// The device behind a transport, as the transport's registers see it.
public protocol VirtioTarget {
    /// The status as it counts for the device, and the features accepted so far. Zero is a reset.
    /// - Returns: false, of a status with FEATURES_OK: not these features.
    func status(_ status: UInt8, features: UInt64) -> Bool
    /// nil: the queue is not enabled any more.
    func queue(_ number: UInt16, is layout: VirtQueue.Layout?)
    func kick(_ number: UInt16)
    /// Configuration space: 1, 2 or 4 bytes, aligned and within it; nil: the device does not answer.
    func readConfig(_ offset: UInt32, width: UInt8, isPeek: Bool) -> UInt32?
    func writeConfig(_ offset: UInt32, width: UInt8, _ value: UInt32)
}

/// What the device says of itself.
public struct VirtioIdentity: Equatable, Sendable {
    /// Virtio 1.2, chapter 5: 1 net, 2 block, 3 console...
    public var type: UInt16
    public var features: VirtioFeatures
    public var queues: Int
    /// Of each queue at most.
    public var entries: UInt16
    /// Bytes of configuration space.
    public var configSize: UInt32

    public init(type: UInt16, features: VirtioFeatures, queues: Int, entries: UInt16, configSize: UInt32) {
        (self.type, self.features, self.queues, self.entries) = (type, features, queues, entries)
        self.configSize = configSize
    }
}
