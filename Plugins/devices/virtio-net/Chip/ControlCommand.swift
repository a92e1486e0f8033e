public import Virtio

/// A command of the control queue (virtio 1.2, 5.1.6.5).
public struct ControlCommand: Sendable {
    /// Bytes of a command that is read at all: two tables of 4096 addresses, and more than any driver has.
    public static let longest: UInt32 = 2 + 2 * (4 + 4096 * 6)
    /// The device's only answer.
    public enum Answer: UInt8, Sendable { case ok = 0, error = 1 }

    private enum Class {
        static let receiveMode: UInt8 = 0  // CTRL_RX
        static let address: UInt8 = 1  // CTRL_MAC
        static let vlan: UInt8 = 2  // CTRL_VLAN
    }

    private let kind: UInt8
    private let number: UInt8
    private let data: [UInt8]

    /// nil: not even a class and a command.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count >= 2 else { return nil }
        (kind, number, data) = (bytes[0], bytes[1], Array(bytes[2...]))
    }

    /// Carries it out, or changes nothing: of what was not negotiated, what is unknown, and data that are not whole.
    public func run(on net: inout VirtioNet, _ features: VirtioFeatures) -> Answer {
        guard features.contains(VirtioNet.Feature.control) else { return .error }
        switch kind {
        case Class.receiveMode: return setMode(&net.filter, features)
        case Class.address where number == 0: return setTables(&net.filter, features)
        case Class.address where number == 1: return setAddress(&net, features)
        case Class.vlan: return setVLAN(&net.filter, features)
        default: return .error
        }
    }

    private func setMode(_ filter: inout ReceiveFilter, _ features: VirtioFeatures) -> Answer {
        let needed = number < 2 ? VirtioNet.Feature.controlReceive : VirtioNet.Feature.controlReceiveMore
        guard features.contains(needed), let mode = ReceiveFilter.Mode(command: number), data.count == 1, data[0] < 2
        else { return .error }
        filter.set(mode, data[0] == 1)
        return .ok
    }

    private func setTables(_ filter: inout ReceiveFilter, _ features: VirtioFeatures) -> Answer {
        var rest = data[...]
        guard features.contains(VirtioNet.Feature.controlReceive), let unicast = Self.takeTable(&rest),
            let multicast = Self.takeTable(&rest), rest.isEmpty
        else { return .error }
        filter.setTables(unicast: unicast, multicast: multicast)
        return .ok
    }

    /// A number of 32 bits, and as many addresses.
    private static func takeTable(_ rest: inout ArraySlice<UInt8>) -> [[UInt8]]? {
        guard rest.count >= 4 else { return nil }
        let count = rest.prefix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
        rest = rest.dropFirst(4)
        guard count <= rest.count / 6 else { return nil }
        let addresses = ReceiveFilter.addresses(Array(rest.prefix(count * 6)))
        rest = rest.dropFirst(count * 6)
        return addresses
    }

    private func setAddress(_ net: inout VirtioNet, _ features: VirtioFeatures) -> Answer {
        guard features.contains(VirtioNet.Feature.controlAddress), data.count == 6, data[0] & 1 == 0 else {
            return .error
        }
        return net.restore(address: data) ? .ok : .error
    }

    private func setVLAN(_ filter: inout ReceiveFilter, _ features: VirtioFeatures) -> Answer {
        guard features.contains(VirtioNet.Feature.controlVLAN), number < 2, data.count == 2 else { return .error }
        return filter.setVLAN(UInt16(data[0]) | UInt16(data[1]) << 8, number == 0) ? .ok : .error
    }
}
