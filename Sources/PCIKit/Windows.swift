// What a function of a PCI bus does where the guest moves or switches what its base address registers decode.

public import PCIConfiguration
public import PluginKit

extension ConfigurationSpace.Window {
    /// Where the function answers now; nil: nowhere.
    public var enabledAddress: UInt64? { isEnabled ? address : nil }
}

/// A claim that follows a window: made when the window is switched on, moved with it, given back when it is switched off.
public struct WindowClaim {
    private var claim: Claim?

    public init() {}

    /// - Parameters:
    ///   - address: where the window is; nil: it is off.
    ///   - make: claims it there.
    public mutating func follow(
        _ address: UInt64?, _ host: Host, make: (IO, UInt64) throws(PluginError) -> Claim
    ) {
        guard let io = try? host.io else { return }
        switch (claim, address) {
        case (let claim?, let address?): try? io.move(claim, to: address)
        case (let old?, nil):
            io.release(old)
            claim = nil
        case (nil, let address?): claim = try? make(io, address)
        case (nil, nil): break
        }
    }
}

/// A region that a window shows: mapped when the window is first switched on, and from then on moved and switched.
public struct WindowMapping {
    private var mapping: Memory.Mapping?

    public init() {}

    /// - Parameter address: where the window is; nil: it is off.
    public mutating func follow(_ address: UInt64?, _ region: Memory.Region, _ host: Host) {
        guard let memory = try? host.memory else { return }
        switch (mapping, address) {
        case (let mapping?, let address?):
            try? memory.move(mapping, to: address)
            try? memory.direct(mapping, .both)
        case (let mapping?, nil): try? memory.direct(mapping, [])
        case (nil, let address?): mapping = try? memory.map(region, at: address)
        case (nil, nil): break
        }
    }
}
