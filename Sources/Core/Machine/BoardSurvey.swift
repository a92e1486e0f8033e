// What an operator sees of the board while it runs: guest-physical space as it is now, and the functions on PCI buses.

import CBackplane
import CHost

/// A stretch of guest-physical space that the same things answer throughout.
public struct MapSummary: Sendable, Equatable {
    public var first: UInt64
    public var last: UInt64
    /// Who answers reads, and who writes: an owner and its name for it; nil: nobody.
    public var reads: String?
    public var writes: String?
}

/// A function on a bus that an instance provides ("pci/1").
public struct PCIFunctionSummary: Sendable, Equatable {
    /// The bus, and device << 3 | function.
    public var bus: Endpoint
    public var instance: String
    /// The first 64 bytes of its configuration space, as dwords; nil: it does not answer.
    public var header: [UInt32]?
}

extension Machine {
    /// Ascending; what nobody answers is left out.
    public func mapSummaries() -> [MapSummary] {
        lock.held { _ in
            return exits.map.segments.map {
                MapSummary(
                    first: $0.first, last: $0.last, reads: name(of: $0.read, at: $0.first),
                    writes: name(of: $0.write, at: $0.first))
            }.filter { $0.reads != nil || $0.writes != nil }
        }
    }

    private func name(of target: AddressSegment.Target, at address: UInt64) -> String? {
        switch target {
        case .nothing: return nil
        case .claim(let number):
            let owner = instance(of: exits.claimRecords[number].node)?.id ?? "?"
            let name = claimNames[number] ?? ""
            return name.isEmpty ? owner : "\(owner) \(name)"
        case .memory(let backing, _):
            let mapping = memory.mappings.first {
                $0.range.contains(address) && $0.backing.advanced(by: address &- $0.address) == backing
            }
            guard let mapping, let region = memory.region(of: mapping.region) else {
                let offset = mapping.map { $0.offset &+ (address &- $0.address) } ?? address
                return offset == address ? "RAM" : "RAM from \(hexText(offset))"
            }
            return "\(region.owner.id) \(region.key)"
        }
    }

    /// In the order of the buses' endpoints. Configuration space is read without side effects.
    public func pciFunctionSummaries() -> [PCIFunctionSummary] {
        lock.held { _ in
            return pciFunctions.map { function in
                PCIFunctionSummary(bus: function.bus, instance: function.instance.id, header: header(of: function))
            }.sorted { ($0.bus.instance, $0.bus.index) < ($1.bus.instance, $1.bus.index) }
        }
    }

    private func header(of function: PCIFunctionWire) -> [UInt32]? {
        guard !function.instance.isOffline, function.instance.phase == .connected,
            // SAFETY: the table holds all functions of its interface (`WireTable.completed`).
            let table = function.client.functions?.assumingMemoryBound(to: bp_pci_client.self)
        else { return nil }
        var header: [UInt32] = []
        for offset in stride(from: 0 as UInt32, to: 64, by: 4) {
            var value: UInt32 = 0
            let status = table.pointee.config_read(
                function.client.`self`, function.client.index, offset, 4, UInt32(BP_PCI_PEEK), &value)
            guard status == 0 else { return nil }
            header.append(value)
        }
        return header
    }
}

/// A function's end of its wire to a bus.
struct PCIFunctionWire {
    var bus: Endpoint
    var instance: PluginInstance
    var client: bp_peer
}
