// Both ends of "virtio/1". As in Peers.swift.

/// What a virtio device says of itself: numbers as in virtio 1.2.
public struct VirtioDescription: Equatable, Sendable {
    /// Section 5: 1 net, 2 block, 3 console...
    public var type: UInt32 = 0
    /// Offered, by bit.
    public var features: UInt64 = 0
    public var queues: UInt32 = 0
    /// Of each queue at most; a power of two, at most 32768.
    public var entries: UInt32 = 0
    /// Bytes of its configuration space.
    public var configSize: UInt32 = 0

    public init() {}

    public init(type: UInt32, features: UInt64, queues: UInt32, entries: UInt32, configSize: UInt32) {
        (self.type, self.features, self.queues, self.entries) = (type, features, queues, entries)
        self.configSize = configSize
    }

    var raw: bp_virtio_device {
        bp_virtio_device(
            size: UInt32(MemoryLayout<bp_virtio_device>.size), type: type, features: features, queues: queues,
            entries: entries, config_size: configSize, reserved: 0)
    }
}

/// The device's status (virtio 1.2, 2.1).
public struct VirtioStatus: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let acknowledge = Self(rawValue: UInt32(BP_VIRTIO_ACKNOWLEDGE))
    public static let driver = Self(rawValue: UInt32(BP_VIRTIO_DRIVER))
    public static let driverOK = Self(rawValue: UInt32(BP_VIRTIO_DRIVER_OK))
    public static let featuresOK = Self(rawValue: UInt32(BP_VIRTIO_FEATURES_OK))
    public static let needsReset = Self(rawValue: UInt32(BP_VIRTIO_NEEDS_RESET))
    public static let failed = Self(rawValue: UInt32(BP_VIRTIO_FAILED))
}

/// Where an enabled queue is: guest-physical addresses, which nobody has checked.
public struct VirtioQueueLayout: Equatable, Sendable {
    public var entries: UInt32
    public var descriptors: UInt64
    /// The driver's area: the available ring.
    public var driver: UInt64
    /// The device's area: the used ring.
    public var device: UInt64

    public init(entries: UInt32, descriptors: UInt64, driver: UInt64, device: UInt64) {
        (self.entries, self.descriptors, self.driver, self.device) = (entries, descriptors, driver, device)
    }

    /// nil: the queue is not enabled.
    init?(raw: bp_virtio_queue) {
        guard raw.entries > 0 else { return nil }
        self.init(entries: raw.entries, descriptors: raw.descriptors, driver: raw.driver, device: raw.device)
    }
}

/// The transport that a "virtio/1" slot is wired to.
public struct VirtioTransport: @unchecked Sendable {
    let peer: bp_peer
    private var table: UnsafePointer<bp_virtio>? { peer.functions?.assumingMemoryBound(to: bp_virtio.self) }

    public static let unwired = VirtioTransport(peer: bp_peer())
    public var isWired: Bool { peer.functions != nil }
    /// The guest is to be told of used buffers.
    public func used(queue: UInt32) { table?.pointee.used(peer.`self`, peer.index, queue) }
    public func configChanged() { table?.pointee.config_changed(peer.`self`, peer.index) }
    /// Nothing more is done until the status is empty.
    public func needsReset() { table?.pointee.needs_reset(peer.`self`, peer.index) }
}

/// What a transport sees of the device behind it.
public struct VirtioClient: @unchecked Sendable {
    let peer: bp_peer
    private var table: UnsafePointer<bp_virtio_client>? {
        peer.functions?.assumingMemoryBound(to: bp_virtio_client.self)
    }

    /// From reset on; nil: the device is off line or broken.
    public var description: VirtioDescription? {
        var out = bp_virtio_device()
        out.size = UInt32(MemoryLayout<bp_virtio_device>.size)
        guard let table, table.pointee.device(peer.`self`, peer.index, &out) == 0 else { return nil }
        return VirtioDescription(
            type: out.type, features: out.features, queues: out.queues, entries: out.entries,
            configSize: out.config_size)
    }
    /// False: the device does not take these features.
    @discardableResult
    public func status(_ status: VirtioStatus, features: UInt64) -> Bool {
        table.map { $0.pointee.status(peer.`self`, peer.index, status.rawValue, features) == 0 } ?? false
    }
    /// nil: the queue is not enabled any more.
    public func queue(_ number: UInt32, is layout: VirtioQueueLayout?) {
        var place = bp_virtio_queue()
        place.size = UInt32(MemoryLayout<bp_virtio_queue>.size)
        if let layout {
            place.entries = layout.entries
            (place.descriptors, place.driver, place.device) = (layout.descriptors, layout.driver, layout.device)
        }
        _ = table?.pointee.queue(peer.`self`, peer.index, number, &place)
    }
    public func kick(queue: UInt32) { table?.pointee.kick(peer.`self`, peer.index, queue) }
    /// nil: the device is off line or broken.
    public func configRead(_ offset: UInt32, width: UInt8, isPeek: Bool = false) -> UInt32? {
        var value: UInt32 = 0
        let flags = isPeek ? UInt32(BP_VIRTIO_PEEK) : 0
        guard let table,
            table.pointee.config_read(peer.`self`, peer.index, offset, UInt32(width), flags, &value) == 0
        else { return nil }
        return value
    }
    public func configWrite(_ offset: UInt32, width: UInt8, _ value: UInt32) {
        _ = table?.pointee.config_write(peer.`self`, peer.index, offset, UInt32(width), value)
    }
}

extension Host {
    public func virtioTransport(_ slot: StaticString, position: UInt32 = 0) throws(PluginError) -> VirtioTransport {
        if let peer = try peer(slot, position: position) { VirtioTransport(peer: peer) } else { .unwired }
    }
}
