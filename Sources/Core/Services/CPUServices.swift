// vcpu/1 and exit/1.

import CBackplane
import CHost
import Glibc

extension ServiceTables {
    nonisolated(unsafe) static let vcpu = HostFunctions.constant(
        bp_vcpu_1(
            size: HostFunctions.size(bp_vcpu_1.self), reserved: 0,
            get: { host, vcpu, out in
                PluginInstance.serve(host, "vcpu/1 get") { owner in
                    guard let out else { return owner.refuse("vcpu/1 get", "out", "is NULL") }
                    return owner.withCPU("vcpu/1 get", vcpu) { (cpu) throws(EngineError) in
                        PassedStruct.write(try cpu.registers(), to: out, least: LeastPassedSize.registers)
                    }
                }
            },
            set: { host, vcpu, registers in
                PluginInstance.serve(host, "vcpu/1 set") { owner in
                    guard let registers else { return owner.refuse("vcpu/1 set", "registers", "is NULL") }
                    let copy = PassedStruct.read(registers, least: LeastPassedSize.registers, empty: bp_registers())
                    guard let copy else {
                        return owner.refuse(
                            "vcpu/1 set", "size", "is less than that of ABI 1.0, \(LeastPassedSize.registers)")
                    }
                    return owner.withCPU("vcpu/1 set", vcpu) { (cpu) throws(EngineError) in try cpu.setRegisters(copy) }
                }
            },
            read_linear: { host, vcpu, address, bytes, length in
                PluginInstance.serve(host, "vcpu/1 read_linear") { owner in
                    guard let bytes else { return owner.refuse("vcpu/1 read_linear", "bytes", "is NULL") }
                    guard length <= 1 << 20 else {
                        return owner.refuse("vcpu/1 read_linear", "length", "is more than 1 MiB")
                    }
                    return owner.readLinear(vcpu, address, bytes, Int(length))
                }
            },
            retired: { host, vcpu, out in
                PluginInstance.serve(host, "vcpu/1 retired") { owner in
                    guard let out else { return owner.refuse("vcpu/1 retired", "out", "is NULL") }
                    guard let count = owner.machine.retired(vcpu) else { return status(BP_UNSUPPORTED) }
                    out.pointee = count
                    return status(BP_OK)
                }
            },
            at_retired: { host, vcpu, count, handler, argument in
                PluginInstance.serve(host, "vcpu/1 at_retired") {
                    $0.setInstructionAlarm(vcpu, count, handler, argument)
                }
            }))

    nonisolated(unsafe) static let exit = HostFunctions.constant(
        bp_exit_1(
            size: HostFunctions.size(bp_exit_1.self), reserved: 0,
            want: { host, want, out in
                PluginInstance.serve(host, "exit/1 want") { owner in
                    guard let want else { return owner.refuse("exit/1 want", "want", "is NULL") }
                    guard let out else { return owner.refuse("exit/1 want", "out", "is NULL") }
                    let copy = PassedStruct.read(want, least: LeastPassedSize.want, empty: bp_want())
                    guard let copy else {
                        return owner.refuse(
                            "exit/1 want", "size", "is less than that of ABI 1.0, \(LeastPassedSize.want)")
                    }
                    if let wrong = owner.problem(of: copy) {
                        return owner.refuse("exit/1 want", wrong.field, wrong.why)
                    }
                    return owner.machine.addWant(copy, of: owner, &out.pointee)
                }
            },
            unwant: { host, id in
                PluginInstance.serve(host, "exit/1 unwant", .always) { $0.machine.removeWant(id, of: $0) }
            },
            nearest_claim: { host, space, address, text, length in
                PluginInstance.serve(host, "exit/1 nearest_claim") { owner in
                    guard let text else { return owner.refuse("exit/1 nearest_claim", "utf8", "is NULL") }
                    guard let length else { return owner.refuse("exit/1 nearest_claim", "length", "is NULL") }
                    guard let nearest = owner.machine.nearestClaim(Int(space), address) else {
                        return status(BP_NOT_FOUND)
                    }
                    HostFunctions.give(nearest, text, length)
                    return status(BP_OK)
                }
            }))
}

extension PluginInstance {
    /// What no want can be; nil: nothing.
    fileprivate func problem(of want: bp_want) -> (field: String, why: String)? {
        let flags = Int(want.flags)
        let known =
            BP_WANT_REQUIRED | BP_WANT_DECIDE | BP_WANT_OBSERVE | BP_WANT_UNCLAIMED | BP_WANT_PRECISE | BP_WANT_COUNTED
            | BP_WANT_RAM_WRITES
        guard Int(want.reason) < BP_EXIT_REASONS || Int(want.reason) == BP_WANT_ALL else {
            return ("reason", "\(want.reason) is no exit reason: they are 0 to \(BP_EXIT_REASONS - 1), or BP_WANT_ALL")
        }
        guard want.first <= want.last else {
            return ("first", "\(hexText(want.first)) is beyond last, \(hexText(want.last))")
        }
        guard flags & ~known == 0 else {
            return ("flags", "\(hexText(UInt64(want.flags))) has bits that are no BP_WANT")
        }
        guard flags & (BP_WANT_DECIDE | BP_WANT_OBSERVE | BP_WANT_COUNTED) != 0 else {
            return (
                "flags",
                "\(hexText(UInt64(want.flags))) has none of BP_WANT_DECIDE, BP_WANT_OBSERVE and BP_WANT_COUNTED"
            )
        }
        let table = type.pointee.policy?.pointee
        let decides = flags & BP_WANT_DECIDE != 0 && table?.decide != nil
        let observes = flags & BP_WANT_OBSERVE != 0 && table?.observe != nil
        guard decides || observes || flags & BP_WANT_COUNTED != 0 else {
            return ("flags", "\(hexText(UInt64(want.flags))) asks for functions that the policy's table has not")
        }
        if flags & BP_WANT_RAM_WRITES != 0, Int(want.reason) != BP_EXIT_EPT_VIOLATION {
            return ("flags", "has BP_WANT_RAM_WRITES, which is of BP_EXIT_EPT_VIOLATION only")
        }
        return nil
    }
}

extension PluginInstance {
    fileprivate func withCPU(
        _ service: StaticString, _ index: UInt32, _ body: (any CPU) throws(EngineError) -> Void
    ) -> bp_status {
        guard machine.cpus.indices.contains(Int(index)) else {
            return refuse(service, "vcpu", "\(index) is none: there are \(machine.cpus.count)", BP_NOT_FOUND)
        }
        // The vCPU's own thread: loaders in reset, policies in decide and observe.
        guard machine.exits.threads[Int(index)] == machine.lock.holder else {
            let why =
                "\(index) runs on another thread than this callback: it is for loaders in reset, and policies in decide and observe"
            return refuse(service, "vcpu", why, BP_REFUSED)
        }
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
        let answer = withCPU("vcpu/1 read_linear", index) { cpu in
            let done = machine.readLinear(address, UnsafeMutableRawBufferPointer(start: bytes, count: length), cpu)
            if done < length { result = status(BP_OUT_OF_RANGE) }
        }
        return answer == 0 ? result : answer
    }
}

extension Machine {
    fileprivate func addWant(_ want: bp_want, of owner: PluginInstance, _ out: inout bp_id) -> bp_status {
        guard policies.place(of: owner) != nil else { return status(BP_INVALID) }
        for ability in Self.abilities(of: want) {
            if let engine, !engine.abilities.has(ability) {
                owner.conflict = "the engine '\(engine.name)' cannot deliver \(ability)"
                return status(BP_UNSUPPORTED)
            }
            policies.demands.append(
                EngineRequirements.Demand(policy: owner.id, ability: ability, location: owner.description.location))
        }
        out = newID()
        policies.wants.append(
            PolicyWant(
                id: out, owner: ObjectIdentifier(owner), reason: want.reason, flags: want.flags, first: want.first,
                last: want.last))
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
        guard let index = policies.wants.firstIndex(where: { $0.id == id && $0.owner == ObjectIdentifier(owner) })
        else {
            return owner.refuse("exit/1 unwant", id: id, "want")
        }
        policies.wants.remove(at: index)
        wantsChanged()
        return status(BP_OK)
    }

    /// While loading, the tables are built once at the end. Later they change at a point where the vCPUs are quiet: the
    /// chain may be in use just now.
    private func wantsChanged() {
        guard !isLoading, !policies.isChanging else { return }
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
