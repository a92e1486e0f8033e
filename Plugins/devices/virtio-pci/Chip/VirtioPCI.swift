public import Virtio

/// The register banks of virtio on PCI: the transport only. `VirtioPCIPlugin.swift` has the function that shows them.
///
/// Source: virtio 1.2, 4.1. Not modelled: shared memory, and notifications that carry data (4.1.4.4).
public struct VirtioPCI: Sendable {
    // MARK: Where they are in the memory of their base address register

    /// Bytes of each bank of `layout`.
    public static let bankSize: UInt32 = 0x1000
    public enum Bank: UInt32, Sendable, CaseIterable { case common = 0, interrupt, device, notify }
    /// Bytes of all.
    public static let size = UInt64(bankSize) * UInt64(Bank.allCases.count)
    /// Bytes between the places where two queues are notified (4.1.4.4).
    public static let notifyMultiplier: UInt32 = 4

    // MARK: State

    public private(set) var negotiation: VirtioNegotiation
    /// Queues, and the configuration.
    public let vectors: Int

    public init(_ identity: VirtioIdentity) {
        negotiation = VirtioNegotiation(identity)
        vectors = identity.queues + 1
    }

    public mutating func reset() { negotiation.forget() }
    public mutating func restore(_ saved: VirtioNegotiation.State) -> Bool { negotiation.restore(saved) }

    // MARK: Guest side: memory

    /// 1, 2 or 4 bytes, aligned. A read of the interrupt status clears it (4.1.4.5.1).
    public mutating func read(_ offset: UInt32, width: UInt8, isPeek: Bool, _ target: some VirtioTarget) -> UInt32 {
        let place = offset % Self.bankSize
        switch Bank(rawValue: offset / Self.bankSize) {
        case .common: return Self.part(common(place & ~3), place & 3, width)
        case .interrupt: return place == 0 ? takeInterrupts(isPeek: isPeek) : 0
        case .device: return negotiation.readConfig(place, width: width, isPeek: isPeek, target)
        case .notify, nil: return 0
        }
    }

    public mutating func write(_ offset: UInt32, width: UInt8, _ value: UInt32, _ target: some VirtioTarget) {
        let place = offset % Self.bankSize
        switch Bank(rawValue: offset / Self.bankSize) {
        case .common: writeCommon(place, width, value, target)
        case .device: negotiation.writeConfig(place, width: width, value, target)
        case .notify:
            // Without NOTIFICATION_DATA the place says which queue it is, and so does the value.
            if let queue = UInt16(exactly: place / Self.notifyMultiplier) { negotiation.notify(queue, target) }
        case .interrupt, nil: break
        }
    }

    private mutating func takeInterrupts(isPeek: Bool) -> UInt32 {
        let interrupts = negotiation.state.interrupts
        if !isPeek { negotiation.acknowledge(.all) }
        return UInt32(interrupts.rawValue)
    }

    private static func part(_ long: UInt32, _ offset: UInt32, _ width: UInt8) -> UInt32 {
        long &>> (offset &* 8) & (width >= 4 ? .max : (1 &<< (UInt32(width) &* 8)) &- 1)
    }

    /// 4.1.4.3, by whole 32 bits.
    private func common(_ place: UInt32) -> UInt32 {
        let state = negotiation.state
        let queue = negotiation.queue
        func pair(_ low: UInt16, _ high: UInt16) -> UInt32 { UInt32(low) | UInt32(high) &<< 16 }
        switch place {
        case 0: return state.deviceSelect
        case 4: return negotiation.deviceFeatures
        case 8: return state.driverSelect
        case 12: return negotiation.driverFeatures
        case 16: return pair(state.configVector, UInt16(truncatingIfNeeded: state.queues.count))
        case 20: return pair(UInt16(state.status.rawValue) | UInt16(state.generation) &<< 8, state.queueSelect)
        case 24: return pair(queue?.entries ?? 0, queue?.vector ?? VirtioNegotiation.noVector)
        case 28: return pair(queue?.isEnabled == true ? 1 : 0, queue == nil ? 0 : state.queueSelect)
        case 32: return UInt32(truncatingIfNeeded: queue?.descriptors ?? 0)
        case 36: return UInt32(truncatingIfNeeded: (queue?.descriptors ?? 0) &>> 32)
        case 40: return UInt32(truncatingIfNeeded: queue?.driver ?? 0)
        case 44: return UInt32(truncatingIfNeeded: (queue?.driver ?? 0) &>> 32)
        case 48: return UInt32(truncatingIfNeeded: queue?.device ?? 0)
        case 52: return UInt32(truncatingIfNeeded: (queue?.device ?? 0) &>> 32)
        default: return 0
        }
    }

    /// Each field by its own width; those of 64 bits in two halves (4.1.3.1).
    private mutating func writeCommon(_ place: UInt32, _ width: UInt8, _ value: UInt32, _ target: some VirtioTarget) {
        let word = UInt16(truncatingIfNeeded: value)
        switch (place, width) {
        case (0, 4): negotiation.selectDeviceFeatures(value)
        case (8, 4): negotiation.selectDriverFeatures(value)
        case (12, 4): negotiation.acceptFeatures(value)
        case (16, 2): negotiation.setConfigVector(vector(word))
        case (20, 1): negotiation.writeStatus(UInt8(truncatingIfNeeded: value), target)
        case (22, 2): negotiation.selectQueue(word)
        case (24, 2): negotiation.setQueue { $0.entries = word }
        case (26, 2): negotiation.setQueueVector(vector(word))
        case (28, 2): if word == 1 { negotiation.enableQueue(target) }
        case (32, 4): negotiation.setQueue { $0.descriptors.setLow(value) }
        case (36, 4): negotiation.setQueue { $0.descriptors.setHigh(value) }
        case (40, 4): negotiation.setQueue { $0.driver.setLow(value) }
        case (44, 4): negotiation.setQueue { $0.driver.setHigh(value) }
        case (48, 4): negotiation.setQueue { $0.device.setLow(value) }
        case (52, 4): negotiation.setQueue { $0.device.setHigh(value) }
        case (58, 2):
            if word == 1, negotiation.state.accepted.contains(.ringReset) { negotiation.resetQueue(target) }
        default: break
        }
    }

    /// What cannot be had reads back as none (4.1.5.1.2.1).
    private func vector(_ number: UInt16) -> UInt16 { Int(number) < vectors ? number : VirtioNegotiation.noVector }

    // MARK: Guest side: the legacy interface (4.1.4.10)

    /// Where the device's own configuration begins: MSI-X, while it is enabled, has two registers in front of it.
    private static func legacyConfiguration(_ hasMessages: Bool) -> UInt32 { hasMessages ? 24 : 20 }

    /// Bytes of the interface with the device's configuration, a power of two.
    public var legacySize: UInt64 {
        let bytes = UInt64(Self.legacyConfiguration(true)) + UInt64(negotiation.identity.configSize)
        return bytes.nonzeroBitCount == 1 ? bytes : 1 << UInt64(64 - bytes.leadingZeroBitCount)
    }

    public mutating func readLegacy(
        _ offset: UInt32, width: UInt8, hasMessages: Bool, isPeek: Bool, _ target: some VirtioTarget
    ) -> UInt32 {
        let first = Self.legacyConfiguration(hasMessages)
        if offset >= first { return negotiation.readConfig(offset &- first, width: width, isPeek: isPeek, target) }
        switch (offset, width) {
        case (0, 4): return negotiation.legacyFeatures
        case (4, 4): return UInt32(truncatingIfNeeded: negotiation.state.accepted.rawValue)
        case (8, 4): return negotiation.legacyPage
        case (12, 2): return negotiation.queue == nil ? 0 : UInt32(negotiation.identity.entries)
        case (14, 2): return UInt32(negotiation.state.queueSelect)
        case (18, 1): return UInt32(negotiation.state.status.rawValue)
        case (19, 1): return takeInterrupts(isPeek: isPeek)
        case (20, 2): return UInt32(negotiation.state.configVector)
        case (22, 2): return UInt32(negotiation.queue?.vector ?? VirtioNegotiation.noVector)
        default: return 0
        }
    }

    public mutating func writeLegacy(
        _ offset: UInt32, width: UInt8, _ value: UInt32, hasMessages: Bool, _ target: some VirtioTarget
    ) {
        let first = Self.legacyConfiguration(hasMessages)
        if offset >= first { return negotiation.writeConfig(offset &- first, width: width, value, target) }
        let word = UInt16(truncatingIfNeeded: value)
        switch (offset, width) {
        case (4, 4): negotiation.acceptLegacyFeatures(value)
        case (8, 4): negotiation.setLegacyPage(value, target)
        case (14, 2): negotiation.selectQueue(word)
        case (16, 2): negotiation.notify(word, target)
        case (18, 1): negotiation.writeStatus(UInt8(truncatingIfNeeded: value), isLegacy: true, target)
        case (20, 2): negotiation.setConfigVector(vector(word))
        case (22, 2): negotiation.setQueueVector(vector(word))
        default: break
        }
    }

    // MARK: The board's side

    public mutating func setBusMaster(_ isMaster: Bool, _ target: some VirtioTarget) {
        negotiation.setMayUseMemory(isMaster, target)
    }

    /// After a restore: the device has kept what it was told.
    public mutating func restoreBusMaster(_ isMaster: Bool) { negotiation.restoreMayUseMemory(isMaster) }

    public mutating func resetDevice(_ target: some VirtioTarget) { negotiation.reset(target) }

    // MARK: The device's side

    /// - Returns: the vector to be raised; nil: none, the driver is told by the pin, or not at all.
    public mutating func usedBuffers(_ queue: UInt32, hasMessages: Bool) -> UInt16? {
        guard hasMessages else {
            negotiation.interrupt(.usedBuffers)
            return nil
        }
        guard let queue = Int(exactly: queue), queue < negotiation.state.queues.count else { return nil }
        return usable(negotiation.state.queues[queue].vector)
    }

    /// The same, of a change of configuration.
    public mutating func configChanged(hasMessages: Bool) -> UInt16? {
        negotiation.configChanged()
        return tellOfConfiguration(hasMessages)
    }

    public mutating func needsReset(hasMessages: Bool) -> UInt16? {
        negotiation.needsReset() ? tellOfConfiguration(hasMessages) : nil
    }

    /// The bit of the interrupt status is set with messages too (4.1.4.5.1).
    private mutating func tellOfConfiguration(_ hasMessages: Bool) -> UInt16? {
        negotiation.interrupt(.configuration)
        return hasMessages ? usable(negotiation.state.configVector) : nil
    }

    private func usable(_ vector: UInt16) -> UInt16? { Int(vector) < vectors ? vector : nil }

    // MARK: Pins, derived from the state and never stored

    /// What the pin shows where messages are off.
    public var interruptPending: Bool { !negotiation.state.interrupts.isEmpty }
}
