import CBackplane
import CHost
import Glibc

extension ServiceTables {
    nonisolated(unsafe) static let io = HostFunctions.constant(
        bp_io_1(
            size: HostFunctions.size(bp_io_1.self), reserved: 0,
            claim: { host, claim, out in
                PluginInstance.serve(host, "io/1 claim") { $0.claim(claim, out) }
            },
            release: { host, id in
                PluginInstance.serve(host, "io/1 release", .always) { $0.machine.releaseClaim(id, owner: $0) }
            },
            move: { host, id, base in
                PluginInstance.serve(host, "io/1 move") { $0.machine.moveClaim(id, owner: $0, to: base) }
            },
            complete: { host, token, answer, value in
                guard let machine = PluginInstance.of(host)?.machine else { return status(BP_INVALID) }
                let isKnown = machine.deferred.complete(token, answer, value) { token in
                    let vcpu = Int(token >> 48) - 1
                    return ch_load64(machine.exits.tokens + vcpu) == token
                }
                return status(isKnown ? BP_OK : BP_STALE)
            },
            direct: { host, id, directions in
                PluginInstance.serve(host, "io/1 direct") { $0.machine.directClaim(id, owner: $0, directions) }
            }))
}

extension PluginInstance {
    fileprivate func claim(_ claim: UnsafePointer<bp_claim>?, _ out: UnsafeMutablePointer<bp_id>?) -> bp_status {
        let service: StaticString = "io/1 claim"
        guard let claim else { return refuse(service, "claim", "is NULL") }
        guard let out else { return refuse(service, "out", "is NULL") }
        guard let copy = PassedStruct.read(claim, least: LeastPassedSize.claim, empty: bp_claim()) else {
            return refuse(service, "size", "is less than that of ABI 1.0, \(LeastPassedSize.claim)")
        }
        guard [BP_SPACE_PORT, BP_SPACE_MEMORY, BP_SPACE_MSR].contains(Int(copy.space)) else {
            return refuse(service, "space", "\(copy.space) is no BP_SPACE")
        }
        guard copy.widths != 0, copy.widths < 16 else {
            return refuse(service, "widths", "\(copy.widths) is no OR of 1, 2, 4 and 8")
        }
        guard Int(copy.flags) & ~(BP_CLAIM_WHOLE | BP_CLAIM_READS | BP_CLAIM_WRITES) == 0 else {
            return refuse(service, "flags", "\(copy.flags) has bits that are no BP_CLAIM")
        }
        if Int(copy.space) == BP_SPACE_MSR {
            guard copy.widths == 8 else { return refuse(service, "widths", "\(copy.widths): MSRs are 8 bytes wide") }
            guard machine.isLoading else {
                return refuse(service, "space", "MSRs are claimed in connect of a machine that is made", BP_REFUSED)
            }
        }
        guard copy.length > 0 else { return refuse(service, "length", "is 0") }
        guard machine.isInside(Int(copy.space), copy.base, copy.length) else {
            let end = SpaceText.last(Int(copy.space))
            return refuse(service, "length", "\(hexText(copy.length)) from \(hexText(copy.base)) goes beyond \(end)")
        }
        return machine.addClaim(copy, owner: self, out)
    }
}

func hexText(_ number: UInt64) -> String { "0x" + String(number, radix: 16) }

extension Machine {
    fileprivate func isInside(_ space: Int, _ base: UInt64, _ length: UInt64) -> Bool {
        switch space {
        case BP_SPACE_PORT:
            base < UInt64(PortSpace.count) && length <= UInt64(PortSpace.count) - base
        case BP_SPACE_MEMORY: !base.addingReportingOverflow(length - 1).overflow
        case BP_SPACE_MSR: base < 1 << 32 && length <= 1 << 32 - base
        default: false
        }
    }

    func addClaim(_ claim: bp_claim, owner: PluginInstance, _ out: UnsafeMutablePointer<bp_id>) -> bp_status {
        owner.hasMissedWire = false
        let directions = Machine.directions(of: claim)
        let id = newID()
        let record = ClaimRecord(
            instance: owner.raw, node: owner.node, read: claim.read ?? ClaimRecord.noRead,
            write: claim.write ?? ClaimRecord.noWrite, readBulk: claim.read_bulk, writeBulk: claim.write_bulk,
            cookie: claim.cookie, base: claim.base, length: claim.length, id: id, sequence: 0,
            priority: claim.priority, widths: claim.widths, space: claim.space, directions: directions,
            allowed: directions, isWhole: Int(claim.flags) & BP_CLAIM_WHOLE != 0, isCovered: false, isLive: true)
        if isLoading, let conflict = conflict(record) {
            owner.conflict = describe(conflict, claim.space, claim.base, claim.length)
            return status(BP_OVERLAP)
        }
        guard let number = exits.claims.add(record) else { return status(BP_NO_MEMORY) }
        claimNames[number] = claim.name.map { HostFunctions.text($0, UInt64(strnlen($0, 256))) } ?? ""
        out.pointee = id
        claimsChanged(claim.space, [record.range])
        return status(BP_OK)
    }

    private static func directions(of claim: bp_claim) -> UInt8 {
        let flags = Int(claim.flags)
        guard flags & (BP_CLAIM_READS | BP_CLAIM_WRITES) != 0 else { return UInt8(BP_MAP_READ | BP_MAP_WRITE) }
        return UInt8(
            (flags & BP_CLAIM_READS != 0 ? BP_MAP_READ : 0) | (flags & BP_CLAIM_WRITES != 0 ? BP_MAP_WRITE : 0))
    }

    /// The claim's number; nil: the owner has no such claim.
    private func claim(_ id: bp_id, of owner: PluginInstance) -> Int? {
        guard let number = exits.claims.number(of: id), exits.claimRecords[number].node == owner.node else {
            return nil
        }
        return number
    }

    func releaseClaim(_ id: bp_id, owner: PluginInstance) -> bp_status {
        guard let number = claim(id, of: owner) else { return owner.refuse("io/1 release", id: id, "claim") }
        let record = exits.claimRecords[number]
        exits.claims.remove(number)
        claimsChanged(record.space, [record.range])
        return status(BP_OK)
    }

    func moveClaim(_ id: bp_id, owner: PluginInstance, to base: UInt64) -> bp_status {
        guard let number = claim(id, of: owner) else { return owner.refuse("io/1 move", id: id, "claim") }
        let before = exits.claimRecords[number]
        guard Int(before.space) != BP_SPACE_MSR else {
            return owner.refuse("io/1 move", "claim", "is of MSRs, which stay where they are", BP_REFUSED)
        }
        guard isInside(Int(before.space), base, before.length) else { return status(BP_INVALID) }
        exits.claimRecords[number].base = base
        claimsChanged(before.space, [before.range, exits.claimRecords[number].range])
        return status(BP_OK)
    }

    func directClaim(_ id: bp_id, owner: PluginInstance, _ directions: UInt32) -> bp_status {
        guard let number = claim(id, of: owner) else { return owner.refuse("io/1 direct", id: id, "claim") }
        let record = exits.claimRecords + number
        guard directions & ~UInt32(record.pointee.allowed) == 0 else { return status(BP_INVALID) }
        guard record.pointee.directions != UInt8(directions) else { return status(BP_OK) }
        record.pointee.directions = UInt8(directions)
        claimsChanged(record.pointee.space, [record.pointee.range])
        return status(BP_OK)
    }

    private func claimsChanged(_ space: UInt16, _ ranges: [ClosedRange<UInt64>]) {
        // While loading, the tables are built once, when all instances are connected.
        guard !isLoading else { return }
        switch Int(space) {
        case BP_SPACE_PORT:
            for range in ranges { updatePorts(Int(range.lowerBound)...Int(range.upperBound)) }
        case BP_SPACE_MEMORY: updateMemory(ranges)
        default: break  // MSRs are looked up at each access; what comes out stays as it was when the machine was made
        }
    }

    // MARK: Conflicts

    private func conflict(_ claim: ClaimRecord) -> String? {
        if let number = exits.claims.conflict(with: claim) { return describeClaim(number) }
        guard Int(claim.space) == BP_SPACE_MEMORY, !claim.isWhole else { return nil }
        return memory.mappings.first {
            $0.priority == Int64(claim.priority) && $0.allowed & UInt32(claim.allowed) != 0
                && claim.overlaps($0.range)
        }.map(describeMapping)
    }

    private func describe(_ other: String, _ space: UInt16, _ base: UInt64, _ length: UInt64) -> String {
        return "\(SpaceText.many(Int(space))) \(Machine.rangeText(base, base &+ (length &- 1))) overlap with \(other)"
    }

    func describeMapping(_ mapping: MemoryMapping) -> String {
        let owner = instances.first { ObjectIdentifier($0) == mapping.owner }
        let place = owner.map { " (\($0.description.location))" } ?? ""
        return "'\(owner?.id ?? "RAM")' \(Machine.rangeText(mapping.address, mapping.last))\(place)"
    }

    func describeClaim(_ number: Int) -> String {
        let record = exits.claimRecords[number]
        let owner = instance(of: record.node)
        let place = owner.map { " (\($0.description.location))" } ?? ""
        return "'\(owner?.id ?? "?")' \(Machine.rangeText(record.base, record.last))\(place)"
    }

    static func rangeText(_ first: UInt64, _ last: UInt64) -> String {
        let start = "0x" + String(first, radix: 16)
        return first == last ? start : start + "-0x" + String(last, radix: 16)
    }
}
