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
        guard [BP_SPACE_PORT, BP_SPACE_MEMORY].contains(Int(copy.space)) else {
            return refuse(service, "space", "\(copy.space) is no BP_SPACE")
        }
        guard copy.widths != 0, copy.widths < 16 else {
            return refuse(service, "widths", "\(copy.widths) is no OR of 1, 2, 4 and 8")
        }
        guard copy.length > 0 else { return refuse(service, "length", "is 0") }
        guard machine.isInside(Int(copy.space), copy.base, copy.length) else {
            let end = Int(copy.space) == BP_SPACE_PORT ? "port 0xffff" : "the last address"
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
        default: false
        }
    }

    func addClaim(_ claim: bp_claim, owner: PluginInstance, _ out: UnsafeMutablePointer<bp_id>) -> bp_status {
        if isLoading, let conflict = conflict(claim.space, claim.base, claim.length, claim.priority) {
            owner.conflict = describe(conflict, claim.space, claim.base, claim.length)
            return status(BP_OVERLAP)
        }
        let id = newID()
        let record = ClaimRecord(
            instance: owner.raw, node: owner.node, read: claim.read ?? ClaimRecord.noRead,
            write: claim.write ?? ClaimRecord.noWrite, readBulk: claim.read_bulk, writeBulk: claim.write_bulk,
            cookie: claim.cookie, base: claim.base, length: claim.length, id: id, sequence: 0,
            priority: claim.priority, widths: claim.widths, space: claim.space, isCovered: false, isLive: true)
        guard let number = exits.claims.add(record) else { return status(BP_NO_MEMORY) }
        claimNames[number] = claim.name.map { HostFunctions.text($0, UInt64(strnlen($0, 256))) } ?? ""
        out.pointee = id
        claimsChanged(claim.space)
        return status(BP_OK)
    }

    func releaseClaim(_ id: bp_id, owner: PluginInstance) -> bp_status {
        guard let number = exits.claims.number(of: id), exits.claimRecords[number].node == owner.node else {
            return owner.refuse("io/1 release", id: id, "claim")
        }
        let space = exits.claimRecords[number].space
        exits.claims.remove(number)
        claimsChanged(space)
        return status(BP_OK)
    }

    func moveClaim(_ id: bp_id, owner: PluginInstance, to base: UInt64) -> bp_status {
        guard let number = exits.claims.number(of: id), exits.claimRecords[number].node == owner.node else {
            return owner.refuse("io/1 move", id: id, "claim")
        }
        let record = exits.claimRecords[number]
        guard isInside(Int(record.space), base, record.length) else { return status(BP_INVALID) }
        exits.claimRecords[number].base = base
        claimsChanged(record.space)
        return status(BP_OK)
    }

    private func claimsChanged(_ space: UInt16) {
        // While loading, the tables are built once, when all instances are connected.
        guard !isLoading else { return }
        rebuildTables(ports: Int(space) == BP_SPACE_PORT, memory: Int(space) == BP_SPACE_MEMORY)
    }

    // MARK: Conflicts

    private func conflict(_ space: UInt16, _ base: UInt64, _ length: UInt64, _ priority: Int32) -> String? {
        if let number = exits.claims.conflict(space: space, base: base, length: length, priority: priority) {
            return describeClaim(number)
        }
        guard Int(space) == BP_SPACE_MEMORY else { return nil }
        let last = base &+ (length &- 1)
        return memory.mappings.first {
            $0.priority == Int64(priority) && $0.address <= last && base <= $0.last
        }.map(describeMapping)
    }

    private func describe(_ other: String, _ space: UInt16, _ base: UInt64, _ length: UInt64) -> String {
        let what = Int(space) == BP_SPACE_PORT ? "ports" : "addresses"
        return "\(what) \(Machine.rangeText(base, base &+ (length &- 1))) overlap with \(other)"
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
