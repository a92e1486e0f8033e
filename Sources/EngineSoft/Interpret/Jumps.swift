// How control goes from block to block.

import CHost

/// The first operation of every block; jumps do its work themselves and go on with the second one. imm64: the count of the
/// block's instructions, or `droppedCount`.
let enterBlock: Handler = { s, p in enter(s, p) }

/// In place of a dropped block's count: beyond every deadline, so that the one test for both costs a jump nothing.
let droppedCount: UInt64 = 1 << 63
/// A deadline that never comes.
let noDeadline: UInt64 = .max >> 1

/// Goes on in the block whose first operation is `first`, if it may run now; RIP is at its start.
@inline(__always)
func enter(_ s: S, _ first: P) -> P {
    let count = first.op.pointee.imm64
    let executed = s.run.pointee.executed &+ count
    if executed > s.run.pointee.deadline || ch_load(s.run.pointee.attention) & s.run.pointee.attentionMask != 0 {
        return refuse(s, count)
    }
    s.run.pointee.executed = executed
    s.run.pointee.blockCount = UInt32(truncatingIfNeeded: count)
    let block = UnsafeMutableRawPointer(mutating: first) - UnsafeMutablePointer<Block>.headerSize
    s.run.pointee.block = block.assumingMemoryBound(to: Block.self)
    #if DEBUG || SANITIZED
        // Without tail calls the stack would grow from block to block.
        return first + Op.stride
    #else
        return next(s, first)
    #endif
}

/// The block may not run now. Chains that still lead to a dropped one are cut.
@inline(never)
private func refuse(_ s: S, _ count: UInt64) -> P {
    if count == droppedCount, let from = s.run.pointee.block {
        from.chain(0).pointee.target = nil
        from.chain(1).pointee.target = nil
    }
    return toRunLoop
}

/// Behind the last instruction of a block that no jump ends.
let fallThrough: Handler = { s, p in jump(s, p.op.pointee.imm64, 1) }

/// The same where the run loop checks what is fetched.
let fallThroughChecked: Handler = { s, p in
    s.rip = (s.rip &+ p.op.pointee.imm64) & 0xffff_ffff
    return toRunLoop
}

/// A direct jump by `offset` from the block's start, in 64-bit mode or with 32-bit EIP.
@inline(__always)
func jump(_ s: S, _ offset: UInt64, _ chain: Int) -> P {
    let target = (s.rip &+ offset) & s.run.pointee.linearMask
    s.rip = target
    let slot = s.run.pointee.block.unsafelyUnwrapped.chain(chain)
    if let first = slot.pointee.target,
        slot.pointee.key == 0 || (slot.pointee.key == s.run.pointee.jumpKey && slot.pointee.rip == target)
    {
        return enter(s, first)
    }
    s.run.pointee.chain = slot
    s.run.pointee.chainTarget = target
    return toRunLoop
}

/// An indirect jump. RIP is checked already.
@inline(__always)
func jump(_ s: S, to target: UInt64) -> P {
    s.rip = target
    let entry = s.run.pointee.jumpCache + JumpEntry.index(target)
    if entry.pointee.rip == target, entry.pointee.key == s.run.pointee.jumpKey, let first = entry.pointee.target {
        return enter(s, first)
    }
    return toRunLoop
}

/// A jump where EIP has 16 bits or segments have limits: the run loop looks the target up and checks what it fetches.
@inline(never)
func jumpChecked(_ s: S, _ p: P, to target: UInt64) -> P {
    if !s.run.pointee.mode.contains(.code64) {
        if target > UInt64(s.segment(Segment.cs).pointee.limit) { return raise(s, p, Vector.gp, code: 0) }
    } else if !SoftMemory.isCanonical(target) {
        return raise(s, p, Vector.gp, code: 0)
    }
    s.rip = target
    return toRunLoop
}
