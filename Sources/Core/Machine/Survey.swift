// What a machine is, for tables, drawings and the bench: copies, taken with the lock held.

import CBackplane
import CHost

/// A range of ports or addresses and who answers it.
public struct ClaimSummary: Sendable, Equatable {
    public var owner: String
    /// "command block"; may be empty.
    public var name: String
    public var first: UInt64
    public var last: UInt64
    public var priority: Int64
    /// OR of 1, 2, 4, 8; 0 for plain memory.
    public var widths: UInt8
    public var kind: Kind

    /// `device`: memory of a device's own, which the guest reads and writes as it does RAM.
    public enum Kind: String, Sendable {
        case ports, mmio, ram, rom, device, msrs

        init(space: Int) {
            switch space {
            case BP_SPACE_PORT: self = .ports
            case BP_SPACE_MSR: self = .msrs
            default: self = .mmio
            }
        }

        /// BP_SPACE_*
        var space: Int {
            switch self {
            case .ports: BP_SPACE_PORT
            case .msrs: BP_SPACE_MSR
            case .mmio, .ram, .rom, .device: BP_SPACE_MEMORY
            }
        }
    }
}

extension MemoryKind {
    fileprivate var summaryKind: ClaimSummary.Kind {
        switch self {
        case .main: .ram
        case .rom: .rom
        case .device: .device
        }
    }
}

/// An interrupt line, who drives it, and its level.
public struct LineSummary: Sendable, Equatable {
    public var endpoint: Endpoint
    public var drivers: [String]
    public var level: Bool
}

extension Machine {
    /// Ports first, then guest-physical space, then MSRs; each ascending.
    public func claimSummaries() -> [ClaimSummary] {
        lock.held { _ in
            var list: [ClaimSummary] = []
            for number in 1..<max(1, exits.claims.count) where exits.claimRecords[number].isLive {
                let record = exits.claimRecords[number]
                list.append(
                    ClaimSummary(
                        owner: instance(of: record.node)?.id ?? "?", name: claimNames[number] ?? "", first: record.base,
                        last: record.last, priority: Int64(record.priority), widths: record.widths,
                        kind: ClaimSummary.Kind(space: Int(record.space))))
            }
            for mapping in memory.mappings {
                let owner = instances.first { ObjectIdentifier($0) == mapping.owner }
                list.append(
                    ClaimSummary(
                        owner: owner?.id ?? "memory", name: memory.region(of: mapping.region)?.key ?? "RAM",
                        first: mapping.address, last: mapping.last, priority: mapping.priority, widths: 0,
                        kind: mapping.kind.summaryKind))
            }
            func rank(_ claim: ClaimSummary) -> (Int, UInt64, Int64) {
                (
                    claim.kind == .ports ? 0 : claim.kind == .msrs ? 2 : 1, claim.first,
                    -max(claim.priority, Int64(Int32.min))
                )
            }
            return list.sorted { rank($0) < rank($1) }
        }
    }

    /// In the order of their endpoints.
    public func lineSummaries() -> [LineSummary] {
        lock.held { _ in
            return lines.lines.map {
                LineSummary(endpoint: $0.endpoint, drivers: $0.drivingInstances.map(\.id), level: $0.level)
            }.sorted { ($0.endpoint.instance, $0.endpoint.index) < ($1.endpoint.instance, $1.endpoint.index) }
        }
    }

    /// INTR of a vCPU.
    public func interruptPin(_ vcpu: Int = 0) -> Bool { vcpus.indices.contains(vcpu) && vcpus[vcpu].interruptRequested }
}
