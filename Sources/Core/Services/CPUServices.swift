// vcpu/1 and exit/1.

import CBackplane
import CHost
import Glibc

extension ServiceTables {
    nonisolated(unsafe) static let vcpu = HostFunctions.constant(
        bp_vcpu_1(
            size: HostFunctions.size(bp_vcpu_1.self), reserved: 0,
            get: { host, vcpu, out in
                guard let out else { return status(BP_INVALID) }
                return PluginInstance.of(host).withCPU(vcpu) { (cpu) throws(EngineError) in
                    PassedStruct.write(try cpu.registers(), to: out, least: LeastPassedSize.registers)
                }
            },
            set: { host, vcpu, registers in
                guard let registers,
                    let copy = PassedStruct.read(
                        registers, least: LeastPassedSize.registers, empty: bp_registers())
                else { return status(BP_INVALID) }
                return PluginInstance.of(host).withCPU(vcpu) { (cpu) throws(EngineError) in
                    try cpu.setRegisters(copy)
                }
            },
            read_linear: { host, vcpu, address, bytes, length in
                guard let bytes, length <= 1 << 20 else { return status(BP_INVALID) }
                return PluginInstance.of(host).readLinear(vcpu, address, bytes, Int(length))
            },
            retired: { host, vcpu, out in
                guard let out else { return status(BP_INVALID) }
                guard let count = PluginInstance.of(host).machine.retired(vcpu) else { return status(BP_UNSUPPORTED) }
                out.pointee = count
                return status(BP_OK)
            },
            at_retired: { host, vcpu, count, handler, argument in
                PluginInstance.of(host).setInstructionAlarm(vcpu, count, handler, argument)
            }))

    nonisolated(unsafe) static let exit = HostFunctions.constant(
        bp_exit_1(
            size: HostFunctions.size(bp_exit_1.self), reserved: 0,
            want: { host, want, out in
                guard let want, let out,
                    let copy = PassedStruct.read(want, least: LeastPassedSize.want, empty: bp_want())
                else { return status(BP_INVALID) }
                let owner = PluginInstance.of(host)
                return owner.machine.addWant(copy, of: owner, &out.pointee)
            },
            unwant: { host, id in
                let owner = PluginInstance.of(host)
                return owner.machine.removeWant(id, of: owner)
            },
            nearest_claim: { host, space, address, text, length in
                guard let text, let length else { return status(BP_INVALID) }
                guard let nearest = PluginInstance.of(host).machine.nearestClaim(Int(space), address) else {
                    return status(BP_NOT_FOUND)
                }
                let bytes = Array(nearest.utf8.prefix(Int(clamping: length.pointee)))
                memcpy(text, bytes, bytes.count)
                length.pointee = UInt64(bytes.count)
                return status(BP_OK)
            }))
}

extension PluginInstance {
    fileprivate func withCPU(_ index: UInt32, _ body: (any CPU) throws(EngineError) -> Void) -> bp_status {
        guard machine.cpus.indices.contains(Int(index)) else { return status(BP_NOT_FOUND) }
        // The vCPU's own thread: loaders in reset, policies in decide and observe.
        guard machine.exits.threads[Int(index)] == machine.host.pointee.holder else { return status(BP_REFUSED) }
        do throws(EngineError) {
            try body(machine.cpus[Int(index)])
            return status(BP_OK)
        } catch {
            machine.log(.warning, id, "\(error)")
            return status(BP_INVALID)
        }
    }

    fileprivate func readLinear(
        _ index: UInt32, _ address: UInt64, _ bytes: UnsafeMutableRawPointer, _ length: Int
    ) -> bp_status {
        var result = status(BP_OK)
        let answer = withCPU(index) { (cpu) throws(EngineError) in
            var done = 0
            while done < length {
                let at = address &+ UInt64(done)
                let piece = min(length - done, 4096 - Int(at & 4095))
                guard let physical = try cpu.translate(at),
                    machine.copy(physical, bytes + done, UInt64(piece), toGuest: false) == 0
                else {
                    result = status(BP_OUT_OF_RANGE)
                    return
                }
                done += piece
            }
        }
        return answer == 0 ? result : answer
    }
}

extension Machine {
    fileprivate func addWant(_ want: bp_want, of owner: PluginInstance, _ out: inout bp_id) -> bp_status {
        guard want.first <= want.last,
            Int(want.reason) < BP_EXIT_REASONS || Int(want.reason) == BP_WANT_ALL,
            let position = chain.firstIndex(where: { $0 === owner })
        else { return status(BP_INVALID) }
        let watchesRAM = want.flags & UInt16(BP_WANT_RAM_WRITES) != 0
        guard !watchesRAM || Int(want.reason) == BP_EXIT_EPT_VIOLATION else { return status(BP_INVALID) }
        for ability in Self.abilities(of: want) {
            if let engine, !engine.abilities.has(ability) {
                owner.conflict = "the engine '\(engine.name)' cannot deliver \(ability)"
                return status(BP_UNSUPPORTED)
            }
            demands.append(
                EngineRequirements.Demand(policy: owner.id, ability: ability, location: owner.description.location))
        }
        out = newID()
        wants.append(
            PolicyWant(
                id: out, policy: position, reason: want.reason, flags: want.flags, first: want.first, last: want.last))
        wantsChanged()
        return status(BP_OK)
    }

    /// What the engine must be able to do for it.
    private static func abilities(of want: bp_want) -> [EngineRequirements.Ability] {
        func has(_ flag: Int) -> Bool { want.flags & UInt16(flag) != 0 }
        var abilities: [EngineRequirements.Ability] = []
        if has(BP_WANT_REQUIRED), Int(want.reason) != BP_WANT_ALL { abilities.append(.exit(want.reason)) }
        if has(BP_WANT_PRECISE) { abilities.append(.preciseInject) }
        if has(BP_WANT_COUNTED) { abilities.append(.countedInstructions) }
        return abilities
    }

    fileprivate func removeWant(_ id: bp_id, of owner: PluginInstance) -> bp_status {
        guard let index = wants.firstIndex(where: { $0.id == id && chain[$0.policy] === owner }) else {
            return status(BP_NOT_FOUND)
        }
        wants.remove(at: index)
        wantsChanged()
        return status(BP_OK)
    }

    /// While loading, the tables are built once at the end. Later they change at a point where the vCPUs are quiet: the
    /// chain may be in use just now.
    private func wantsChanged() {
        guard !isLoading, !state.isChangingPolicies else { return }
        state.quietWork.append { [self] in
            rebuildPolicies()
            do throws(EngineError) { try engine?.setIntercepts(intercepts) } catch { requestEnd(6, "\(error)") }
        }
        callIn()
        unpark()
    }

    /// "com1 0x3f8-0x3ff": the claim whose edge is nearest.
    func nearestClaim(_ space: Int, _ address: UInt64) -> String? {
        let candidates = exits.claims.inOrder(of: space, AddressMap.everything)
        func distance(_ number: Int) -> UInt64 {
            let record = exits.claimRecords[number]
            if record.contains(address) { return 0 }
            return address < record.base ? record.base - address : address - record.last
        }
        guard let nearest = candidates.min(by: { distance($0) < distance($1) }) else { return nil }
        let record = exits.claimRecords[nearest]
        return "\(instance(of: record.node)?.id ?? "?") \(Machine.rangeText(record.base, record.last))"
    }
}
