// Accesses that are not the common case: policies, pieces, RAM and ROM edges, string I/O.
// SAFETY: as in ExitHandler.swift; the machine's lock is held.

import CBackplane
import CHost

extension ExitHandler {
    /// One access by a vCPU, with the policies asked. `value` nil: a read.
    @inline(never)
    func access(
        _ vcpu: UInt32, _ space: Int, _ address: UInt64, _ width: UInt8, _ value: UInt64?, _ rip: UInt64,
        flags: UInt16
    ) -> AccessResult {
        let reason = space == BP_SPACE_PORT ? BP_EXIT_IO : BP_EXIT_EPT_VIOLATION
        guard isWanted(space, address, reason) else {
            return AccessResult(value: perform(vcpu, space, address, width, value))
        }
        var exit = bp_exit()
        exit.size = UInt32(MemoryLayout<bp_exit>.size)
        exit.reason = UInt16(reason)
        exit.flags = flags | (value == nil ? 0 : UInt16(BP_EXITF_WRITE))
        if !isClaimed(space, address, width) { exit.flags |= UInt16(BP_EXITF_UNCLAIMED) }
        if value != nil, space == BP_SPACE_MEMORY, isRAM(address) { exit.flags |= UInt16(BP_EXITF_RAM) }
        exit.vcpu = vcpu
        exit.width = UInt32(width)
        exit.rip = rip
        exit.address = address
        exit.value = value ?? 0
        return decideAndPerform(&exit, space) { perform(vcpu, space, address, width, value) }
    }

    @inline(__always)
    private func isWanted(_ space: Int, _ address: UInt64, _ reason: Int) -> Bool {
        space == BP_SPACE_PORT
            ? ports.entries[Int(address & 0xffff)] & PortSpace.policyBit != 0
            : policies.reasons >> UInt64(reason) & 1 != 0
    }

    /// Asks the chain, performs unless somebody answered, and lets the observers see what came of it.
    @inline(__always)
    private func decideAndPerform(
        _ exit: inout bp_exit, _ space: Int, _ perform: () -> UInt64
    ) -> AccessResult {
        let vcpu = Int(exit.vcpu)
        sequences[vcpu] &+= 1
        exit.sequence = sequences[vcpu]
        let isWatched = wantsObservation(&exit)
        // Reading the clock costs as much as all the rest: only observers pay for it.
        if isWatched { exit.time = machine.clock.now }
        let owner = isWatched ? owner(space, exit.address) : nil
        let begin = isWatched ? ch_monotonic() : 0
        var verdict = bp_verdict()
        let (action, answerer) = decide(&exit, &verdict)
        let result: AccessResult
        if action == UInt32(BP_VERDICT_CONTINUE) {
            result = AccessResult(value: perform())
            if exit.flags & UInt16(BP_EXITF_WRITE) == 0 { exit.value = result.value }
        } else {
            result = carryOut(action, verdict, answerer, exit)
        }
        if isWatched { observe(&exit, action, answerer ?? owner, ch_monotonic() &- begin) }
        return result
    }

    /// Exits that are neither I/O nor memory.
    func ask(_ exit: inout bp_exit) -> EventResult {
        guard policies.reasons >> UInt64(exit.reason & 63) & 1 != 0 else { return .unhandled }
        exit.size = UInt32(MemoryLayout<bp_exit>.size)
        let vcpu = Int(exit.vcpu)
        sequences[vcpu] &+= 1
        exit.sequence = sequences[vcpu]
        exit.time = machine.clock.now
        let isWatched = wantsObservation(&exit)
        let begin = isWatched ? ch_monotonic() : 0
        var verdict = bp_verdict()
        let (action, answerer) = decide(&exit, &verdict)
        if isWatched { observe(&exit, action, answerer, ch_monotonic() &- begin) }
        switch Int(action) {
        case BP_VERDICT_CONTINUE: return .unhandled
        case BP_VERDICT_HANDLED: return .handled
        case BP_VERDICT_INJECT:
            guard machine.canInject(verdict, at: exit, of: answerer) else { return .handled }
            return .inject(
                vector: UInt8(truncatingIfNeeded: verdict.vector),
                errorCode: verdict.has_error_code != 0 ? verdict.error_code : nil)
        default:
            machine.carryOut(action, verdict, of: answerer)
            return .handled
        }
    }

    // MARK: The chain

    @inline(__always)
    private func wantsObservation(_ exit: inout bp_exit) -> Bool {
        guard policies.observed >> UInt64(exit.reason & 63) & 1 != 0 else { return false }
        for index in policies.ranges[Int(exit.reason & 63)]
        where policies.wants[index].observes && policies.wants[index].matches(&exit) { return true }
        return false
    }

    private func observe(
        _ exit: inout bp_exit, _ action: UInt32, _ owner: UnsafeMutablePointer<ch_node>?, _ nanoseconds: UInt64
    ) {
        var outcome = bp_outcome(
            size: UInt32(MemoryLayout<bp_outcome>.size), verdict: action, nanoseconds: nanoseconds,
            owner: owner?.pointee.id)
        var told = -1
        for index in policies.ranges[Int(exit.reason & 63)] {
            let want = policies.wants.baseAddress.unsafelyUnwrapped + index
            guard want.pointee.observes, want.pointee.policy != told, want.pointee.matches(&exit) else { continue }
            told = want.pointee.policy
            let policy = policies.policies.baseAddress.unsafelyUnwrapped + told
            guard let call = policy.pointee.observe, policy.pointee.node.pointee.is_offline == 0 else { continue }
            let node = policy.pointee.node
            let frame = ch_enter(host, node, ch_activity_observe, exit.address)
            call(policy.pointee.instance, &exit, &outcome)
            ch_leave(host, node, frame)
        }
    }

    // MARK: Pieces

    private func owner(_ space: Int, _ address: UInt64) -> UnsafeMutablePointer<ch_node>? {
        switch find(space, address).target {
        case .claim(let number)?: claimRecords[number].node
        case .memory?: machine.memoryNode
        case nil: nil
        }
    }

    /// Whether something answers every byte of an access.
    private func isClaimed(_ space: Int, _ address: UInt64, _ width: UInt8) -> Bool {
        var at = address
        let last = address &+ UInt64(width &- 1)
        while true {
            let found = find(space, at)
            guard found.target != nil else { return false }
            if found.last >= last || last < address { return true }
            at = found.last + 1
        }
    }

    /// Whether the guest could write there without an exit, were it not watched.
    private func isRAM(_ address: UInt64) -> Bool {
        guard case .memory(_, let kind)? = find(BP_SPACE_MEMORY, address).target else { return false }
        return !kind.isReadOnly
    }

    /// Who answers an address, and the last address that it answers without a gap.
    private func find(_ space: Int, _ address: UInt64) -> (target: AddressSegment.Target?, first: UInt64, last: UInt64)
    {
        if space == BP_SPACE_PORT {
            guard address < UInt64(PortSpace.count) else { return (nil, address, address) }
            let number = ports.entries[Int(address)] & 0xffff
            var last = Int(address)
            while last + 1 < PortSpace.count, last < Int(address) + 8, ports.entries[last + 1] & 0xffff == number {
                last += 1
            }
            return (number == 0 ? nil : .claim(Int(number)), address, UInt64(last))
        }
        if let segment = lastSegment, segment.first <= address, address <= segment.last {
            return (segment.target, segment.first, segment.last)
        }
        guard let segment = map.find(address) else { return (nil, address, address) }
        lastSegment = segment
        return (segment.target, segment.first, segment.last)
    }

    /// Performs an access piece by piece: split at the edges of claims, and into widths that each handler takes.
    func perform(_ vcpu: UInt32, _ space: Int, _ address: UInt64, _ width: UInt8, _ value: UInt64?) -> UInt64 {
        var result: UInt64 = 0
        var done: UInt64 = 0
        while done < UInt64(width) {
            let (at, overflow) = address.addingReportingOverflow(done)
            guard !overflow else {
                result |= UInt64.max &<< (done &* 8)
                break
            }
            let (target, first, last) = find(space, at)
            let room = min(UInt64(width) &- done, (last &- at) == .max ? .max : last &- at &+ 1)
            let piece = pieceWidth(target, room)
            let input = value.map { $0 >> (done &* 8) & allOnes(piece) }
            let output = performPiece(vcpu, target, at, first, piece, input)
            result |= (output & allOnes(piece)) &<< (done &* 8)
            done += UInt64(piece)
        }
        return result & allOnes(width)
    }

    /// The widest power of two that fits and that the handler takes; 1 where none does.
    private func pieceWidth(_ target: AddressSegment.Target?, _ room: UInt64) -> UInt8 {
        var widths: UInt8 = 15
        if case .claim(let number) = target { widths = claimRecords[number].widths }
        var candidate: UInt8 = 8
        while candidate > 1, UInt64(candidate) > room || widths & candidate == 0 { candidate >>= 1 }
        return candidate
    }

    private func performPiece(
        _ vcpu: UInt32, _ target: AddressSegment.Target?, _ address: UInt64, _ first: UInt64, _ width: UInt8,
        _ value: UInt64?
    ) -> UInt64 {
        switch target {
        case nil: return .max
        case .memory(let host, let kind)?:
            return memoryPiece(host + Int(truncatingIfNeeded: address &- first), address, width, value, kind.isReadOnly)
        case .claim(let number)?:
            let record = claimRecords + number
            guard record.pointee.widths & width != 0, let node = record.pointee.node else { return .max }
            // The host never enters an instance that is on the stack (DMA that comes back to its own claim).
            guard node.pointee.depth == 0 else { return .max }
            let offset = address &- record.pointee.base
            if let value {
                let status = callWrite(record, vcpu, offset, address, width, value)
                return settle(status, record, 0, vcpu, address)
            }
            var output: UInt64 = 0
            let status = callRead(record, vcpu, offset, address, width, &output)
            return settle(status, record, output, vcpu, address)
        }
    }

    /// Without side effects, for a debugger; nil: no claim, or not of this width.
    func peek(_ space: Int, _ address: UInt64, _ width: UInt8) -> UInt64? {
        guard case .claim(let number)? = find(space, address).target else { return nil }
        let record = claimRecords + number
        let offset = address &- record.pointee.base
        guard record.pointee.widths & width != 0, offset &+ UInt64(width) <= record.pointee.length,
            let node = record.pointee.node, node.pointee.depth == 0
        else { return nil }
        var call = bp_access(
            size: UInt32(MemoryLayout<bp_access>.size), width: width, flags: UInt8(BP_ACCESS_PEEK),
            space: record.pointee.space, vcpu: .max, requester: .max, offset: offset, address: address,
            cookie: record.pointee.cookie, token: 0)
        var value: UInt64 = 0
        let frame = ch_enter(host, node, ch_activity_read, address)
        let status = record.pointee.read(record.pointee.instance, &call, &value)
        ch_leave(host, node, frame)
        return status == 0 ? value & allOnes(width) : allOnes(width)
    }

    private func memoryPiece(
        _ host: UnsafeMutableRawPointer, _ address: UInt64, _ width: UInt8, _ value: UInt64?, _ isReadOnly: Bool
    ) -> UInt64 {
        var copy: UInt64 = 0
        if let value {
            if !isReadOnly {
                copy = value
                host.copyMemory(from: &copy, byteCount: Int(width))
                machine.engine?.didWriteMemory(address: address, length: UInt64(width))
            }
            return 0
        }
        withUnsafeMutableBytes(of: &copy) { $0.baseAddress!.copyMemory(from: host, byteCount: Int(width)) }
        return copy
    }
}
