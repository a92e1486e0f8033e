// A decoded operation: what a block is an array of. An instruction is one operation, or some that prepare its address and one that
// does its work; only the last one changes what the guest can see, so that a fault or a stale block restarts the instruction.

import CHost

/// The address of an operation.
typealias P = UnsafeRawPointer

/// Does one operation and, by a tail call, those after it up to the end of the block; gives the operation to go on with, or
/// `toRunLoop`. All of them end in tail calls (a test reads the code), or return, so that the stack stays flat. Not optional: the
/// conversion of an Optional's payload behind a call would keep it from being one.
typealias Handler = @convention(c) (S, P) -> P

/// What a handler returns where the run loop has to look: no operation's address.
@inline(__always)
var toRunLoop: P { P(bitPattern: 1).unsafelyUnwrapped }

/// Behind the pointer to a C function made of a closure is a thunk that only jumps to the closure's body: this is the body itself
/// (3 % of a Linux boot were such jumps). Where the compiler makes the thunk otherwise, it is called as it is.
@inline(__always)
func unthunked(_ handler: Handler) -> Handler {
    // SAFETY: the bytes of a function of our own, which has at least the five of the jump looked for.
    let code = unsafeBitCast(handler, to: UnsafeRawPointer.self)
    guard code.load(as: UInt8.self) == 0xe9 else { return handler }
    let distance = code.loadUnaligned(fromByteOffset: 1, as: Int32.self)
    return unsafeBitCast(code + 5 + Int(distance), to: Handler.self)
}

struct Op {
    static let stride = 32

    var run: Handler
    var imm: Int32 = 0
    var disp: Int32 = 0
    /// Registers as byte offsets (`Register`); XMM, MMX, x87, segment, control and debug registers by number.
    var dst: UInt8 = 0
    var src: UInt8 = 0
    /// The operand's address is S[base] + S[index] << scale + disp + segmentBase[seg].
    var base: UInt8 = Register.zero
    var index: UInt8 = Register.zero
    var scale: UInt8 = 0
    var seg: UInt8 = UInt8(Segment.flat)
    /// Bytes of the instruction.
    var length: UInt8 = 0
    /// Instructions of the block before this one.
    var number: UInt8 = 0
    /// Of the instruction, from the block's start.
    var offset: UInt16 = 0
    /// The kind's own: Operands.swift has their names.
    var small: UInt16 = 0
    var large: UInt32 = 0

    /// `imm` and `disp` as one: operations without a memory operand.
    var imm64: UInt64 {
        get { UInt64(UInt32(bitPattern: imm)) | UInt64(UInt32(bitPattern: disp)) << 32 }
        set {
            imm = Int32(bitPattern: UInt32(truncatingIfNeeded: newValue))
            disp = Int32(bitPattern: UInt32(truncatingIfNeeded: newValue >> 32))
        }
    }
}

extension UnsafeRawPointer {
    @inline(__always)
    var op: UnsafePointer<Op> { assumingMemoryBound(to: Op.self) }
    /// The immediate, sign-extended.
    @inline(__always)
    var imm: UInt64 { UInt64(bitPattern: Int64(op.pointee.imm)) }
}

/// Goes on with the operation after `p`.
@inline(__always)
func next(_ s: S, _ p: P) -> P {
    let following = p + Op.stride
    return following.load(as: Handler.self)(s, following)
}

/// The operation after `p`, for the run loop to go on with: what a handler returns that is not itself in tail position, such as a
/// method of SoftCPU. Going on from there by `next` would leave a frame on the stack for every one of them.
@inline(__always)
func following(_ p: P) -> P { p + Op.stride }

/// The linear address of a memory operand.
@inline(__always)
func linear(_ s: S, _ p: P) -> UInt64 {
    let op = p.op
    let scaled = s[op.pointee.index] &<< UInt64(op.pointee.scale)
    let displacement = UInt64(bitPattern: Int64(op.pointee.disp))
    let offset = s[op.pointee.base] &+ scaled &+ displacement
    return (offset &+ s.segmentBases[Int(op.pointee.seg)]) & s.run.pointee.linearMask
}

// MARK: Counting

extension UnsafeMutableRawPointer {
    /// Before anything that may ask the clock, inside a block: the instructions before that of `p` have retired.
    @inline(__always)
    func publishCount(_ p: P) {
        let entered = run.pointee.executed &- UInt64(run.pointee.blockCount)
        run.pointee.retired.pointee = entered &+ UInt64(p.op.pointee.number)
    }

    /// Before anything that may exit for the instruction of `p`.
    @inline(__always)
    func mayExit(_ p: P) {
        publishCount(p)
        run.pointee.exitRIP = rip(at: p)
    }

    /// Between blocks.
    @inline(__always)
    func publishCount() { run.pointee.retired.pointee = run.pointee.executed }
}

// MARK: Leaving a block

/// RIP goes to the instruction of `p`, and those after it, and itself, have not retired.
@inline(never)
func rewind(_ s: S, _ p: P) {
    s.rip = (s.rip &+ UInt64(p.op.pointee.offset)) & ripMask(s)
    let left = UInt64(s.run.pointee.blockCount) &- UInt64(p.op.pointee.number)
    s.run.pointee.executed = s.run.pointee.executed &- left
    s.run.pointee.blockCount = 0
}

/// The instruction of `p` has retired and the block ends after it: RIP goes to the next instruction.
@inline(never)
func retire(_ s: S, _ p: P) -> P {
    s.rip = (s.rip &+ UInt64(p.op.pointee.offset) &+ UInt64(p.op.pointee.length)) & ripMask(s)
    let left = UInt64(s.run.pointee.blockCount) &- UInt64(p.op.pointee.number) &- 1
    s.run.pointee.executed = s.run.pointee.executed &- left
    s.run.pointee.blockCount = 0
    return toRunLoop
}

/// A memory access has left a fault.
@inline(never)
func abort(_ s: S, _ p: P) -> P {
    // An address that is not canonical is #SS(0) where it is one of the stack segment (SDM volume 3, 6.15 "Interrupt 12"): that
    // of PUSH and its relatives, and of operands with RSP or RBP as their base.
    let op = p.op
    if s.run.pointee.fault.isAddress, op.pointee.seg == UInt8(Segment.flatStack) {
        s.run.pointee.fault.vector = Vector.ss
    }
    rewind(s, p)
    return toRunLoop
}

/// Raises an exception at the instruction of `p`.
@inline(never)
func raise(_ s: S, _ p: P, _ vector: UInt8) -> P {
    s.setFault(vector)
    return abort(s, p)
}

@inline(never)
func raise(_ s: S, _ p: P, _ vector: UInt8, code: UInt32) -> P {
    s.setFault(vector, code: code)
    return abort(s, p)
}

/// 64 bits in 64-bit mode, else 32; IP of 16-bit code may run beyond 0xffff only to fault there.
@inline(__always)
func ripMask(_ s: S) -> UInt64 { s.run.pointee.mode.contains(.code64) ? .max : 0xffff_ffff }

extension UnsafeMutableRawPointer {
    /// The address of the instruction of `p`, inside a block.
    @inline(__always)
    func rip(at p: P) -> UInt64 { (rip &+ UInt64(p.op.pointee.offset)) & ripMask(self) }
    /// And that of the one after it.
    @inline(__always)
    func rip(after p: P) -> UInt64 {
        (rip &+ UInt64(p.op.pointee.offset) &+ UInt64(p.op.pointee.length)) & ripMask(self)
    }

    func setFault(_ vector: UInt8) {
        run.pointee.fault = Fault(vector: vector)
        run.pointee.stop = .fault
    }

    func setFault(_ vector: UInt8, code: UInt32) {
        run.pointee.fault = Fault(vector: vector, hasCode: true, code: code)
        run.pointee.stop = .fault
    }
}
