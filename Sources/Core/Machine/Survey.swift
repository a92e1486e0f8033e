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

    public enum Kind: String, Sendable { case ports, mmio, ram, rom }
}

/// An interrupt line, who drives it, and its level.
public struct LineSummary: Sendable, Equatable {
    public var endpoint: Endpoint
    public var drivers: [String]
    public var level: Bool
}

extension Machine {
    /// Ports first, then guest-physical space; each ascending.
    public func claimSummaries() -> [ClaimSummary] {
        ch_lock_acquire(&host.pointee.lock)
        defer { ch_lock_release(&host.pointee.lock) }
        var list: [ClaimSummary] = []
        for number in 1..<max(1, exits.claims.count) where exits.claimRecords[number].isLive {
            let record = exits.claimRecords[number]
            list.append(
                ClaimSummary(
                    owner: instance(of: record.node)?.id ?? "?", name: claimNames[number] ?? "", first: record.base,
                    last: record.last, priority: Int64(record.priority), widths: record.widths,
                    kind: Int(record.space) == BP_SPACE_PORT ? .ports : .mmio))
        }
        for mapping in memory.mappings {
            let owner = instances.first { ObjectIdentifier($0) == mapping.owner }
            list.append(
                ClaimSummary(
                    owner: owner?.id ?? "memory", name: memory.region(of: mapping.region)?.key ?? "RAM",
                    first: mapping.address, last: mapping.last, priority: mapping.priority, widths: 0,
                    kind: mapping.isReadOnly ? .rom : .ram))
        }
        func rank(_ claim: ClaimSummary) -> (Int, UInt64, Int64) {
            (claim.kind == .ports ? 0 : 1, claim.first, -max(claim.priority, Int64(Int32.min)))
        }
        return list.sorted { rank($0) < rank($1) }
    }

    /// In the order of their endpoints.
    public func lineSummaries() -> [LineSummary] {
        ch_lock_acquire(&host.pointee.lock)
        defer { ch_lock_release(&host.pointee.lock) }
        return lines.lines.map {
            LineSummary(endpoint: $0.endpoint, drivers: $0.drivingInstances.map(\.id), level: $0.level)
        }.sorted { ($0.endpoint.instance, $0.endpoint.index) < ($1.endpoint.instance, $1.endpoint.index) }
    }

    /// INTR of a vCPU.
    public func interruptPin(_ vcpu: Int = 0) -> Bool { vcpus.indices.contains(vcpu) && vcpus[vcpu].interruptRequested }
}

// MARK: A machine without a CPU, driven by its owner's thread (the bench)

extension Machine {
    public var now: UInt64 { clock.now }

    /// As at power-on (`warm` false) or RESET, for every instance but loaders.
    public func resetInstances(warm: Bool) {
        _ = try? locked { () throws(MachineError) in
            spans.removeAll()
            for instance in instances where instance.description.type.kind != .loader { instance.reset(warm: warm) }
        }
    }

    /// Moves a manual clock on, firing each timer at its own time.
    public func advance(to time: UInt64) {
        _ = try? locked { () throws(MachineError) in
            while let deadline = timers.nextDeadline, deadline <= time {
                clock.advance(to: deadline)
                loop.runTimers()
                // A timer that sets itself for the past fires again at once, at most as often as there are nanoseconds.
                if timers.nextDeadline == deadline, deadline >= clock.now { clock.advance(to: deadline &+ 1) }
            }
            clock.advance(to: time)
        }
    }

    /// Runs what other threads have posted.
    public func runPosted() { loop.runPosted() }

    /// A port or memory access as vCPU 0 makes it; `value` nil reads.
    public func access(port: UInt16, width: UInt8, value: UInt64? = nil) -> UInt64 {
        value.map { exits.portWrite(0, port: port, width: width, value: $0, rip: 0).value }
            ?? exits.portRead(0, port: port, width: width, rip: 0).value
    }

    public func access(address: UInt64, width: UInt8, value: UInt64? = nil) -> UInt64 {
        value.map { exits.memoryWrite(0, address: address, width: width, value: $0, rip: 0).value }
            ?? exits.memoryRead(0, address: address, width: width, rip: 0).value
    }

    /// String I/O; `bytes` holds whole elements.
    public func accessString(port: UInt16, width: UInt8, _ bytes: UnsafeMutableRawBufferPointer, isWrite: Bool) {
        guard let base = bytes.baseAddress, width > 0 else { return }
        let count = bytes.count / Int(width)
        if isWrite {
            _ = exits.portWriteString(0, port: port, width: width, count: count, from: base, rip: 0)
        } else {
            _ = exits.portReadString(0, port: port, width: width, count: count, into: base, rip: 0)
        }
    }

    /// Reads a claim without side effects; nil: nothing claims it, or it does not take this width.
    public func peek(space: ClaimSummary.Kind, address: UInt64, width: UInt8) -> UInt64? {
        ch_lock_acquire(&host.pointee.lock)
        defer { ch_lock_release(&host.pointee.lock) }
        host.pointee.holder = ch_thread_id()
        return exits.peek(space == .ports ? BP_SPACE_PORT : BP_SPACE_MEMORY, address, width)
    }

    public func acknowledgeInterrupt() -> UInt8? { exits.acknowledgeInterrupt(0) }

    /// What a plugin, a policy or an operator has asked for.
    public var requestedEnd: MachineEnd? { state.pendingEnd }
    public func clearRequests() {
        ch_lock_acquire(&host.pointee.lock)
        state.pendingEnd = nil
        state.wantsReset = false
        ch_lock_release(&host.pointee.lock)
    }
    public var hasResetRequest: Bool { state.wantsReset }

    /// Disconnects and destroys everything.
    public func tearDown() {
        ch_thread_begin(host)
        ch_lock_acquire(&host.pointee.lock)
        host.pointee.holder = ch_thread_id()
        dismantle()
        ch_lock_release(&host.pointee.lock)
        ch_thread_begin(nil)
        loop.join()
    }
}
