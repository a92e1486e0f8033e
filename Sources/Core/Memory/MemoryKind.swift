import CBackplane

/// What memory is to the guest: where loaders may put something, and what firmware's tables say of it.
enum MemoryKind: Equatable {
    /// The machine's own RAM, and regions that are to be like it.
    case main
    /// Guest writes are dropped.
    case rom
    /// It behaves as RAM does, and is a device's: video RAM.
    case device

    /// Of a region, by BP_REGION_*; nil: there is no such kind.
    init?(region kind: UInt32) {
        switch Int(kind) {
        case BP_REGION_RAM, BP_REGION_DEVICE: self = .device
        case BP_REGION_ROM: self = .rom
        case BP_REGION_MAIN: self = .main
        default: return nil
        }
    }

    /// BP_REGION_* in the layout.
    var layoutKind: UInt32 {
        switch self {
        case .main: UInt32(BP_REGION_RAM)
        case .rom: UInt32(BP_REGION_ROM)
        case .device: UInt32(BP_REGION_DEVICE)
        }
    }

    var isReadOnly: Bool { self == .rom }
}
