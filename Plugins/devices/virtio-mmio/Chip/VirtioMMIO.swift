public import Virtio

/// The registers of virtio by MMIO: the transport only. `VirtioMMIOPlugin.swift` connects it to addresses, an interrupt line and a device.
///
/// Source: virtio 1.2, 4.2.2, version 2. Not modelled: the legacy interface (4.2.4), shared memory (its lengths read as all ones: there is none).
public struct VirtioMMIO: Sendable {
    // MARK: Registers

    public enum Register: UInt32, Sendable {
        case magic = 0x000, version = 0x004, device = 0x008, vendor = 0x00C
        case deviceFeatures = 0x010, deviceSelect = 0x014, driverFeatures = 0x020, driverSelect = 0x024
        case queueSelect = 0x030, queueMost = 0x034, queueEntries = 0x038, queueReady = 0x044, queueNotify = 0x050
        case interruptStatus = 0x060, interruptAcknowledge = 0x064, status = 0x070
        case descriptorsLow = 0x080, descriptorsHigh = 0x084, driverLow = 0x090, driverHigh = 0x094
        case deviceLow = 0x0A0, deviceHigh = 0x0A4
        case sharedLengthLow = 0x0B0, sharedLengthHigh = 0x0B4, sharedBaseLow = 0x0B8, sharedBaseHigh = 0x0BC
        case queueReset = 0x0C0, generation = 0x0FC
    }

    /// Where the device's configuration space begins.
    public static let configuration: UInt32 = 0x100
    /// Bytes of the whole.
    public static let size: UInt64 = 0x200
    private static let magic: UInt32 = 0x7472_6976  // "virt"
    private static let version: UInt32 = 2
    /// "BKPL"
    public static let vendor: UInt32 = 0x4C50_4B42

    // MARK: State

    public private(set) var negotiation: VirtioNegotiation

    public init(_ identity: VirtioIdentity) { negotiation = VirtioNegotiation(identity) }

    public mutating func reset() { negotiation.forget() }
    public mutating func restore(_ saved: VirtioNegotiation.State) -> Bool { negotiation.restore(saved) }

    // MARK: Guest side

    /// Registers are 32 bits wide; other widths and places read as 0 (4.2.2.2). Reads have no side effect but those of the device's own
    /// configuration space.
    public func read(_ offset: UInt32, width: UInt8, isPeek: Bool, _ target: some VirtioTarget) -> UInt32 {
        if offset >= Self.configuration {
            return negotiation.readConfig(offset &- Self.configuration, width: width, isPeek: isPeek, target)
        }
        guard width == 4, let register = Register(rawValue: offset) else { return 0 }
        let queue = negotiation.queue
        switch register {
        case .magic: return Self.magic
        case .version: return Self.version
        case .device: return UInt32(negotiation.identity.type)
        case .vendor: return Self.vendor
        case .deviceFeatures: return negotiation.deviceFeatures
        case .queueMost: return queue == nil ? 0 : UInt32(negotiation.identity.entries)
        case .queueReady: return queue?.isEnabled == true ? 1 : 0
        case .interruptStatus: return UInt32(negotiation.state.interrupts.rawValue)
        case .status: return UInt32(negotiation.state.status.rawValue)
        case .sharedLengthLow, .sharedLengthHigh, .sharedBaseLow, .sharedBaseHigh: return .max
        case .generation: return UInt32(negotiation.state.generation)
        default: return 0
        }
    }

    public mutating func write(_ offset: UInt32, width: UInt8, _ value: UInt32, _ target: some VirtioTarget) {
        if offset >= Self.configuration {
            return negotiation.writeConfig(offset &- Self.configuration, width: width, value, target)
        }
        guard width == 4, let register = Register(rawValue: offset) else { return }
        switch register {
        case .deviceSelect: negotiation.selectDeviceFeatures(value)
        case .driverSelect: negotiation.selectDriverFeatures(value)
        case .driverFeatures: negotiation.acceptFeatures(value)
        case .status: negotiation.writeStatus(UInt8(truncatingIfNeeded: value), target)
        case .interruptAcknowledge: negotiation.acknowledge(.init(rawValue: UInt8(truncatingIfNeeded: value)))
        case .queueNotify: if let queue = UInt16(exactly: value) { negotiation.notify(queue, target) }
        default: writeQueue(register, value, target)
        }
    }

    private mutating func writeQueue(_ register: Register, _ value: UInt32, _ target: some VirtioTarget) {
        switch register {
        case .queueSelect: negotiation.selectQueue(UInt16(clamping: value))
        case .queueEntries: negotiation.setQueue { $0.entries = UInt16(clamping: value) }
        case .queueReady: if value & 1 != 0 { negotiation.enableQueue(target) } else { negotiation.resetQueue(target) }
        case .queueReset:
            let isKnown = negotiation.state.accepted.contains(.ringReset)
            if value & 1 != 0, isKnown { negotiation.resetQueue(target) }
        case .descriptorsLow: negotiation.setQueue { $0.descriptors.setLow(value) }
        case .descriptorsHigh: negotiation.setQueue { $0.descriptors.setHigh(value) }
        case .driverLow: negotiation.setQueue { $0.driver.setLow(value) }
        case .driverHigh: negotiation.setQueue { $0.driver.setHigh(value) }
        case .deviceLow: negotiation.setQueue { $0.device.setLow(value) }
        case .deviceHigh: negotiation.setQueue { $0.device.setHigh(value) }
        default: break
        }
    }

    // MARK: The device's side

    public mutating func usedBuffers() { negotiation.interrupt(.usedBuffers) }

    public mutating func configChanged() {
        negotiation.configChanged()
        negotiation.interrupt(.configuration)
    }

    public mutating func needsReset() { if negotiation.needsReset() { negotiation.interrupt(.configuration) } }

    // MARK: Pins, derived from the state and never stored

    public var interruptAsserted: Bool { !negotiation.state.interrupts.isEmpty }
}
