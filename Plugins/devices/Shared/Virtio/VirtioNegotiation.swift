/// What every transport has: status, features, queues as the driver sets them up, and what waits to be told. The transport's registers are
/// names for it (virtio 1.2, 4.1.4.3 and 4.1.4.10 on PCI, 4.2.2 by MMIO).
///
/// Source: virtio 1.2, chapters 2 and 3. Not modelled: shared memory regions, NOTIFICATION_DATA, administration queues.
public struct VirtioNegotiation: Sendable {
    // MARK: Registers

    /// 2.1
    public struct Status: OptionSet, Equatable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static let acknowledge = Self(rawValue: 1)
        public static let driver = Self(rawValue: 2)
        public static let driverOK = Self(rawValue: 4)
        public static let featuresOK = Self(rawValue: 8)
        public static let needsReset = Self(rawValue: 64)
        public static let failed = Self(rawValue: 128)

        /// What a driver writes.
        static let writable: Self = [.acknowledge, .driver, .driverOK, .featuresOK, .failed]
    }

    /// 4.1.4.5, 4.2.2: what the driver has not yet been told.
    public struct Interrupts: OptionSet, Equatable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static let usedBuffers = Self(rawValue: 1)
        public static let configuration = Self(rawValue: 2)
        public static let all: Self = [.usedBuffers, .configuration]
    }

    public struct Queue: Equatable, Sendable {
        /// As the driver wants it; at first the most.
        public var entries: UInt16
        public var isEnabled = false
        public var descriptors: UInt64 = 0
        public var driver: UInt64 = 0
        public var device: UInt64 = 0
        /// The MSI-X vector of its interrupts.
        public var vector = VirtioNegotiation.noVector

        init(entries: UInt16) { self.entries = entries }

        var layout: VirtQueue.Layout {
            .init(entries: entries, descriptors: descriptors, driver: driver, device: device)
        }
    }

    /// 4.1.5.1.2.1
    public static let noVector: UInt16 = 0xFFFF

    // MARK: State: a snapshot is exactly this, and its defaults are the reset values

    public struct State: Equatable, Sendable {
        public var status: Status = []
        /// Which 32 bits of the features the registers show.
        public var deviceSelect: UInt32 = 0
        public var driverSelect: UInt32 = 0
        public var accepted: VirtioFeatures = []
        public var queueSelect: UInt16 = 0
        public var queues: [Queue]
        public var interrupts: Interrupts = []
        public var generation: UInt8 = 0
        public var configVector = VirtioNegotiation.noVector

        public init(_ identity: VirtioIdentity) {
            queues = [Queue](repeating: Queue(entries: identity.entries), count: identity.queues)
        }
    }

    public let identity: VirtioIdentity
    public private(set) var state: State
    /// Whether the transport lets the device reach memory. Legacy drivers, which do not ask for it, have it always (QEMU; Linux before 2.6.34
    /// did not make its devices bus masters).
    private var mayUseMemory = true

    public init(_ identity: VirtioIdentity) {
        self.identity = identity
        state = State(identity)
    }

    /// Takes over a saved state.
    /// - Returns: false, and nothing is changed, where it is none of this device.
    public mutating func restore(_ saved: State) -> Bool {
        guard saved.queues.count == identity.queues,
            saved.accepted.isSubset(of: identity.features) || !saved.status.contains(.featuresOK),
            saved.status.subtracting([.writable, .needsReset]).isEmpty, saved.interrupts.isSubset(of: .all),
            saved.queues.allSatisfy({ !$0.isEnabled || $0.layout.isValid(most: identity.entries) })
        else { return false }
        state = saved
        return true
    }

    // MARK: Guest side: features

    /// What a modern driver is offered.
    private var offered: VirtioFeatures { identity.features.subtracting(.anyLayout) }

    public var deviceFeatures: UInt32 { Self.window(offered, state.deviceSelect) }
    public var driverFeatures: UInt32 { Self.window(state.accepted, state.driverSelect) }
    public var legacyFeatures: UInt32 { Self.window(identity.features, 0) }

    public mutating func selectDeviceFeatures(_ value: UInt32) { state.deviceSelect = value }
    public mutating func selectDriverFeatures(_ value: UInt32) { state.driverSelect = value }

    /// Nothing once FEATURES_OK is set. What was not offered is refused with FEATURES_OK (2.2.1).
    public mutating func acceptFeatures(_ value: UInt32) {
        guard !state.status.contains(.featuresOK), state.driverSelect < 2 else { return }
        let shift = UInt64(state.driverSelect) &* 32
        let kept = state.accepted.rawValue & ~(0xFFFF_FFFF &<< shift)
        state.accepted = VirtioFeatures(rawValue: kept | UInt64(value) &<< shift)
    }

    public mutating func acceptLegacyFeatures(_ value: UInt32) {
        state.accepted = VirtioFeatures(rawValue: UInt64(value)).intersection(identity.features)
    }

    private static func window(_ features: VirtioFeatures, _ select: UInt32) -> UInt32 {
        select < 2 ? UInt32(truncatingIfNeeded: features.rawValue &>> (UInt64(select) &* 32)) : 0
    }

    // MARK: Guest side: status

    /// 2.1, 3.1.1.
    /// - Parameter isLegacy: by a legacy driver's register, which knows no FEATURES_OK.
    public mutating func writeStatus(_ value: UInt8, isLegacy: Bool = false, _ target: some VirtioTarget) {
        guard value != 0 else { return reset(target) }
        var new = Status(rawValue: value).intersection(.writable).union(state.status.intersection(.needsReset))
        if isLegacy { new.remove(.featuresOK) }
        let asks = new.contains(.featuresOK) && !state.status.contains(.featuresOK)
        if asks, !state.accepted.contains(.version1) || !state.accepted.isSubset(of: offered) {
            new.remove(.featuresOK)
        }
        state.status = new
        if !tell(target), asks { state.status.remove(.featuresOK) }
    }

    /// The device is told what counts.
    @discardableResult
    private func tell(_ target: some VirtioTarget) -> Bool {
        var status = state.status
        if state.accepted.contains(.version1), !mayUseMemory || !status.contains(.featuresOK) {
            status.remove(.driverOK)
        }
        return target.status(status.rawValue, features: state.accepted.intersection(identity.features).rawValue)
    }

    /// 2.4: everything is as at first, and the device is off memory.
    public mutating func reset(_ target: some VirtioTarget) {
        let generation = state.generation
        state = State(identity)
        state.generation = generation
        _ = target.status(0, features: 0)
    }

    /// The same where the device is reset by itself, with the whole machine.
    public mutating func forget() { state = State(identity) }

    public mutating func setMayUseMemory(_ may: Bool, _ target: some VirtioTarget) {
        guard may != mayUseMemory else { return }
        mayUseMemory = may
        if !state.status.isEmpty { tell(target) }
    }

    /// After a restore: the device has kept what it was told.
    public mutating func restoreMayUseMemory(_ may: Bool) { mayUseMemory = may }

    // MARK: Guest side: queues

    public mutating func selectQueue(_ value: UInt16) { state.queueSelect = value }

    /// The selected one; nil: there is none (4.1.4.3.1: its size reads as 0).
    public var queue: Queue? {
        Int(state.queueSelect) < state.queues.count ? state.queues[Int(state.queueSelect)] : nil
    }

    /// Changes the selected queue, while it is not enabled.
    public mutating func setQueue(_ change: (inout Queue) -> Void) {
        let number = Int(state.queueSelect)
        guard number < state.queues.count, !state.queues[number].isEnabled else { return }
        change(&state.queues[number])
    }

    /// The MSI-X vector of the selected queue, at any time.
    public mutating func setQueueVector(_ vector: UInt16) {
        if Int(state.queueSelect) < state.queues.count { state.queues[Int(state.queueSelect)].vector = vector }
    }

    public mutating func setConfigVector(_ vector: UInt16) { state.configVector = vector }

    /// Nothing where it is enabled, or set up as no queue can be.
    public mutating func enableQueue(_ target: some VirtioTarget) {
        guard let queue, !queue.isEnabled, queue.layout.isValid(most: identity.entries) else { return }
        state.queues[Int(state.queueSelect)].isEnabled = true
        target.queue(state.queueSelect, is: queue.layout)
    }

    /// 2.6.1, and QueueReady by MMIO: the queue is as after a reset, at once.
    public mutating func resetQueue(_ target: some VirtioTarget) {
        guard let queue else { return }
        state.queues[Int(state.queueSelect)] = Queue(entries: identity.entries)
        if queue.isEnabled { target.queue(state.queueSelect, is: nil) }
    }

    /// Where a legacy driver has put the selected queue, in pages (4.1.5.1.3.1); 0: nowhere any more.
    public var legacyPage: UInt32 {
        guard let queue, queue.isEnabled else { return 0 }
        return UInt32(truncatingIfNeeded: queue.descriptors / 4096)
    }

    /// 2.7.2: the used ring begins at the next page behind the available ring.
    public mutating func setLegacyPage(_ page: UInt32, _ target: some VirtioTarget) {
        if page == 0 || queue?.isEnabled == true { resetQueue(target) }
        guard page != 0 else { return }
        let entries = identity.entries
        setQueue { queue in
            queue.entries = entries
            queue.descriptors = UInt64(page) &* 4096
            queue.driver = queue.descriptors &+ UInt64(queue.entries) &* 16
            queue.device = (queue.driver &+ 6 &+ UInt64(queue.entries) &* 2 &+ 4095) & ~4095
        }
        enableQueue(target)
    }

    public func notify(_ number: UInt16, _ target: some VirtioTarget) {
        guard state.status.contains(.driverOK), Int(number) < state.queues.count, state.queues[Int(number)].isEnabled
        else { return }
        target.kick(number)
    }

    // MARK: Guest side: configuration space

    /// 1, 2 or 4 bytes; ones beyond its end, and where it is not aligned.
    public func readConfig(_ offset: UInt32, width: UInt8, isPeek: Bool, _ target: some VirtioTarget) -> UInt32 {
        guard holds(offset, width) else { return .max }
        return target.readConfig(offset, width: width, isPeek: isPeek) ?? .max
    }

    public func writeConfig(_ offset: UInt32, width: UInt8, _ value: UInt32, _ target: some VirtioTarget) {
        if holds(offset, width) { target.writeConfig(offset, width: width, value) }
    }

    private func holds(_ offset: UInt32, _ width: UInt8) -> Bool {
        (width == 1 || width == 2 || width == 4) && offset & UInt32(width &- 1) == 0 && offset < identity.configSize
            && UInt32(width) <= identity.configSize &- offset
    }

    // MARK: The device's side

    /// Remembers what the driver is to be told, for transports and drivers without messages.
    public mutating func interrupt(_ what: Interrupts) { state.interrupts.formUnion(what) }

    /// What was told is forgotten.
    public mutating func acknowledge(_ what: Interrupts) { state.interrupts.subtract(what) }

    /// 2.5.1: whoever reads in between sees that there was a change.
    public mutating func configChanged() { state.generation &+= 1 }

    /// 2.1.2.
    /// - Returns: whether the driver is told of it, as of a change of configuration.
    public mutating func needsReset() -> Bool {
        state.status.insert(.needsReset)
        return state.status.contains(.driverOK)
    }
}
