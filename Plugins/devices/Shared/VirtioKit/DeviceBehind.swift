public import PluginKit
public import Virtio

/// The device behind a transport, as its registers know it.
public struct DeviceBehind: VirtioTarget {
    private let client: VirtioClient

    public init(_ client: VirtioClient) { self.client = client }

    /// Queues that a transport has room for, and more than any device here has.
    private static let mostQueues: UInt32 = 64

    /// nil: it does not answer, or says what no device is.
    public var identity: VirtioIdentity? {
        guard let told = client.description, let type = UInt16(exactly: told.type), type > 0,
            (1...Self.mostQueues).contains(told.queues), told.entries.nonzeroBitCount == 1, told.entries <= 32768,
            told.configSize <= 4096
        else { return nil }
        return VirtioIdentity(
            type: type, features: VirtioFeatures(rawValue: told.features), queues: Int(told.queues),
            entries: UInt16(told.entries), configSize: told.configSize)
    }

    public func status(_ status: UInt8, features: UInt64) -> Bool {
        client.status(VirtioStatus(rawValue: UInt32(status)), features: features)
    }

    public func queue(_ number: UInt16, is layout: VirtQueue.Layout?) {
        client.queue(
            UInt32(number),
            is: layout.map {
                VirtioQueueLayout(
                    entries: UInt32($0.entries), descriptors: $0.descriptors, driver: $0.driver, device: $0.device)
            })
    }

    public func kick(_ number: UInt16) { client.kick(queue: UInt32(number)) }

    public func readConfig(_ offset: UInt32, width: UInt8, isPeek: Bool) -> UInt32? {
        client.configRead(offset, width: width, isPeek: isPeek)
    }

    public func writeConfig(_ offset: UInt32, width: UInt8, _ value: UInt32) {
        client.configWrite(offset, width: width, value)
    }
}
