// Accesses that are not the common case: policies, pieces, RAM and ROM edges, string I/O.
// SAFETY: as in ExitHandler.swift; the machine's lock is held.

import CBackplane
import CHost

extension ExitHandler {
    /// One access by a vCPU, with the policies asked. `value` nil: a read.
    @inline(never)
    func access(
        _ held: borrowing HeldLock, _ vcpu: UInt32, _ space: Int, _ address: UInt64, _ width: UInt8, _ value: UInt64?,
        _ rip: UInt64, flags: UInt16
    ) -> AccessResult {
        let reason = space == BP_SPACE_PORT ? BP_EXIT_IO : BP_EXIT_EPT_VIOLATION
        guard isWanted(space, address, reason) else {
            return AccessResult(value: perform(held, vcpu, space, address, width, value))
        }
        var exit = bp_exit()
        exit.size = UInt32(MemoryLayout<bp_exit>.size)
        exit.reason = UInt16(reason)
        exit.flags = flags | (value == nil ? 0 : UInt16(BP_EXITF_WRITE))
        if !isClaimed(space, address, width, isWrite: value != nil) { exit.flags |= UInt16(BP_EXITF_UNCLAIMED) }
        if value != nil, space == BP_SPACE_MEMORY, isRAM(address) { exit.flags |= UInt16(BP_EXITF_RAM) }
        exit.vcpu = vcpu
        exit.width = UInt32(width)
        exit.rip = rip
        exit.address = address
        exit.value = value ?? 0
        return decideAndPerform(held, &exit, space) { perform(held, vcpu, space, address, width, value) }
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
        _ held: borrowing HeldLock, _ exit: inout bp_exit, _ space: Int, _ perform: () -> UInt64
    ) -> AccessResult {
        let vcpu = Int(exit.vcpu)
        sequences[vcpu] &+= 1
        exit.sequence = sequences[vcpu]
        let isWatched = wantsObservation(&exit)
        // Reading the clock costs as much as all the rest: only observers pay for it.
        if isWatched { exit.time = machine.clock.now }
        let isWrite = exit.flags & UInt16(BP_EXITF_WRITE) != 0
        let owner =
            isWatched ? owner(space, exit.address, UInt8(truncatingIfNeeded: exit.width), isWrite: isWrite) : nil
        let begin = isWatched ? ch_monotonic() : 0
        var verdict = bp_verdict()
        let (action, answerer) = decide(held, &exit, &verdict)
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
    func ask(_ held: borrowing HeldLock, _ exit: inout bp_exit) -> EventResult {
        guard policies.reasons >> UInt64(exit.reason & 63) & 1 != 0 else { return .unhandled }
        exit.size = UInt32(MemoryLayout<bp_exit>.size)
        let vcpu = Int(exit.vcpu)
        sequences[vcpu] &+= 1
        exit.sequence = sequences[vcpu]
        exit.time = machine.clock.now
        let isWatched = wantsObservation(&exit)
        let begin = isWatched ? ch_monotonic() : 0
        var verdict = bp_verdict()
        let (action, answerer) = decide(held, &exit, &verdict)
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
        where policies.wants[index].want.observes && policies.wants[index].want.matches(&exit) { return true }
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
            guard want.pointee.want.observes, want.pointee.policy != told, want.pointee.want.matches(&exit) else {
                continue
            }
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

    private func owner(_ space: Int, _ address: UInt64, _ width: UInt8, isWrite: Bool)
        -> UnsafeMutablePointer<ch_node>?
    {
        if let number = whole(space, address, width, isWrite: isWrite) { return claimRecords[number].node }
        switch find(space, address, isWrite: isWrite).target {
        case .claim(let number): return claimRecords[number].node
        case .memory: return machine.memoryNode
        case .nothing: return nil
        }
    }

    /// Whether something answers every byte of an access.
    private func isClaimed(_ space: Int, _ address: UInt64, _ width: UInt8, isWrite: Bool) -> Bool {
        if whole(space, address, width, isWrite: isWrite) != nil { return true }
        var at = address
        let last = address &+ UInt64(width &- 1)
        while true {
            let found = find(space, at, isWrite: isWrite)
            guard found.target != .nothing else { return false }
            if found.last >= last || last < address { return true }
            at = found.last + 1
        }
    }

    /// Whether the guest could write there without an exit, were it not watched.
    private func isRAM(_ address: UInt64) -> Bool {
        guard case .memory(_, let kind) = find(BP_SPACE_MEMORY, address, isWrite: true).target else {
            return false
        }
        return !kind.isReadOnly
    }

    /// The claim that takes an access as a whole; nil: none, it is answered piece by piece.
    private func whole(_ space: Int, _ address: UInt64, _ width: UInt8, isWrite: Bool) -> Int? {
        if space == BP_SPACE_PORT {
            guard address < UInt64(PortSpace.count), ports.entries[Int(address)] & PortSpace.lookUpBit != 0 else {
                return nil
            }
        } else if space == BP_SPACE_MSR {
            return nil
        } else if !hasWholeMemoryClaims {
            return nil
        }
        return claims.whole(space, address, width, isWrite: isWrite)
    }

    /// Who answers an address, and the last address that it answers without a gap.
    private func find(_ space: Int, _ address: UInt64, isWrite: Bool)
        -> (target: AddressSegment.Target, first: UInt64, last: UInt64)
    {
        if space == BP_SPACE_PORT {
            guard address < UInt64(PortSpace.count) else { return (.nothing, address, address) }
            let number = portClaim(Int(address), isWrite: isWrite)
            var last = Int(address)
            while last + 1 < PortSpace.count, last < Int(address) + 8,
                portClaim(last + 1, isWrite: isWrite) == number
            {
                last += 1
            }
            return (number == 0 ? .nothing : .claim(number), address, UInt64(last))
        }
        if space == BP_SPACE_MSR {
            let number = claims.answering(space, address, isWrite: isWrite)
            return (number == 0 ? .nothing : .claim(number), address, address)
        }
        if let segment = lastSegment, segment.first <= address, address <= segment.last {
            return (segment.target(isWrite: isWrite), segment.first, segment.last)
        }
        guard let segment = map.find(address) else { return (.nothing, address, address) }
        lastSegment = segment
        return (segment.target(isWrite: isWrite), segment.first, segment.last)
    }

    /// The claim of a port; 0: none.
    private func portClaim(_ port: Int, isWrite: Bool) -> Int {
        let entry = ports.entries[port]
        guard entry & PortSpace.lookUpBit != 0 else { return Int(entry & 0xffff) }
        return claims.answering(BP_SPACE_PORT, UInt64(port), isWrite: isWrite)
    }

    /// Performs an access: as a whole where a claim takes it so, else piece by piece, split at the edges of claims and into widths that
    /// each handler takes.
    func perform(
        _ held: borrowing HeldLock, _ vcpu: UInt32, _ space: Int, _ address: UInt64, _ width: UInt8, _ value: UInt64?
    ) -> UInt64 {
        if let number = whole(space, address, width, isWrite: value != nil) {
            return performPiece(held, vcpu, .claim(number), address, address, width, value) & allOnes(width)
        }
        var result: UInt64 = 0
        var done: UInt64 = 0
        while done < UInt64(width) {
            let (at, overflow) = address.addingReportingOverflow(done)
            guard !overflow else {
                result |= UInt64.max &<< (done &* 8)
                break
            }
            let (target, first, last) = find(space, at, isWrite: value != nil)
            let room = min(UInt64(width) &- done, (last &- at) == .max ? .max : last &- at &+ 1)
            let piece = pieceWidth(target, at, room)
            let input = value.map { $0 >> (done &* 8) & allOnes(piece) }
            let output = performPiece(held, vcpu, target, at, first, piece, input)
            result |= (output & allOnes(piece)) &<< (done &* 8)
            done += UInt64(piece)
        }
        return result & allOnes(width)
    }

    /// The widest power of two that fits and that the handler takes; where none does, the widest that fits and is aligned in the
    /// claim.
    private func pieceWidth(_ target: AddressSegment.Target, _ address: UInt64, _ room: UInt64) -> UInt8 {
        guard case .claim(let number) = target else { return widest { UInt64($0) <= room } }
        let record = claimRecords + number
        let taken = widest { UInt64($0) <= room && record.pointee.widths & $0 != 0 }
        if record.pointee.widths & taken != 0 { return taken }
        let offset = address &- record.pointee.base
        return widest { UInt64($0) <= room && offset & UInt64($0 &- 1) == 0 }
    }

    /// 1 where no other does.
    @inline(__always)
    private func widest(_ fits: (UInt8) -> Bool) -> UInt8 {
        var candidate: UInt8 = 8
        while candidate > 1, !fits(candidate) { candidate >>= 1 }
        return candidate
    }

    private func performPiece(
        _ held: borrowing HeldLock, _ vcpu: UInt32, _ target: AddressSegment.Target, _ address: UInt64, _ first: UInt64,
        _ width: UInt8, _ value: UInt64?
    ) -> UInt64 {
        switch target {
        case .nothing: return .max
        case .memory(let backing, let kind):
            return memoryPiece(backing.advanced(by: address &- first), width, value, kind.isReadOnly)
        case .claim(let number):
            let record = claimRecords + number
            // The host never enters an instance that is on the stack (DMA that comes back to its own claim).
            guard let node = record.pointee.node, node.pointee.depth == 0 else { return .max }
            let offset = address &- record.pointee.base
            guard record.pointee.widths & width != 0 else {
                return value == nil ? cut(held, record, vcpu, offset, width) : .max
            }
            if let value {
                let status = callWrite(record, vcpu, offset, address, width, value)
                return settle(held, status, record, 0, vcpu, address)
            }
            var output: UInt64 = 0
            let status = callRead(record, vcpu, offset, address, width, &output)
            return settle(held, status, record, output, vcpu, address)
        }
    }

    /// A read that is narrower than all that the claim takes: bytes of the narrowest register that it takes, aligned in the claim.
    private func cut(
        _ held: borrowing HeldLock, _ record: UnsafeMutablePointer<ClaimRecord>, _ vcpu: UInt32, _ offset: UInt64,
        _ width: UInt8
    ) -> UInt64 {
        var whole = width
        repeat { whole = whole &<< 1 } while whole <= 8 && record.pointee.widths & whole == 0
        let start = offset & ~UInt64(whole &- 1)
        guard whole <= 8, offset &- start &+ UInt64(width) <= UInt64(whole),
            start <= record.pointee.length, record.pointee.length &- start >= UInt64(whole)
        else { return .max }
        var output: UInt64 = 0
        let status = callRead(record, vcpu, start, record.pointee.base &+ start, whole, &output)
        return settle(held, status, record, output, vcpu, record.pointee.base &+ start) >> ((offset &- start) &* 8)
    }

    /// Without side effects, for a debugger; nil: no claim, or not of this width.
    func peek(_ space: Int, _ address: UInt64, _ width: UInt8) -> UInt64? {
        let number: Int
        if let whole = whole(space, address, width, isWrite: false) {
            number = whole
        } else {
            guard case .claim(let found) = find(space, address, isWrite: false).target else { return nil }
            number = found
        }
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

    private func memoryPiece(_ backing: Backing, _ width: UInt8, _ value: UInt64?, _ isReadOnly: Bool) -> UInt64 {
        var copy: UInt64 = 0
        if let value {
            if !isReadOnly {
                copy = value
                backing.host.copyMemory(from: &copy, byteCount: Int(width))
                machine.didWrite(backing.address, UInt64(width))
            }
            return 0
        }
        withUnsafeMutableBytes(of: &copy) { $0.baseAddress!.copyMemory(from: backing.host, byteCount: Int(width)) }
        return copy
    }
}
