// IN and OUT, and how port accesses reach the core.

import CHost
import Core

extension UnsafeMutableRawPointer {
    @inline(__always)
    private func accept(_ result: AccessResult) -> Bool {
        if result.control == .resume { return true }
        return refused(result)
    }

    @inline(never)
    private func refused(_ result: AccessResult) -> Bool {
        if result.hasErrorCode { setFault(result.vector, code: result.errorCode) } else { setFault(result.vector) }
        return false
    }

    /// nil: a policy injects an exception, which is left.
    @inline(__always)
    func portRead(_ p: P, _ port: UInt16, _ width: UInt8) -> UInt64? {
        publishCount(p)
        let rip = rip(at: p)
        run.pointee.exitRIP = rip
        let result = run.pointee.exits._withUnsafeGuaranteedRef {
            $0.portRead(run.pointee.index, port: port, width: width, rip: rip)
        }
        return accept(result) ? result.value : nil
    }

    @inline(__always)
    func portWrite(_ p: P, _ port: UInt16, _ width: UInt8, _ value: UInt64) -> Bool {
        publishCount(p)
        let rip = rip(at: p)
        run.pointee.exitRIP = rip
        return accept(
            run.pointee.exits._withUnsafeGuaranteedRef {
                $0.portWrite(run.pointee.index, port: port, width: width, value: value, rip: rip)
            })
    }

    func portReadString(_ p: P, _ port: UInt16, _ width: UInt8, _ count: Int, _ bytes: UnsafeMutableRawPointer) -> Bool
    {
        publishCount(p)
        let rip = rip(at: p)
        run.pointee.exitRIP = rip
        return accept(
            run.pointee.exits._withUnsafeGuaranteedRef {
                $0.portReadString(run.pointee.index, port: port, width: width, count: count, into: bytes, rip: rip)
            })
    }

    func portWriteString(_ p: P, _ port: UInt16, _ width: UInt8, _ count: Int, _ bytes: UnsafeRawPointer) -> Bool {
        publishCount(p)
        let rip = rip(at: p)
        run.pointee.exitRIP = rip
        return accept(
            run.pointee.exits._withUnsafeGuaranteedRef {
                $0.portWriteString(run.pointee.index, port: port, width: width, count: count, from: bytes, rip: rip)
            })
    }

    /// CPL at most IOPL, or real mode: no look at the TSS.
    @inline(__always)
    fileprivate var mayUsePorts: Bool {
        let flags = cpu.pointee.systemFlags
        return cpu.pointee.cpl == 0
            || (UInt64(cpu.pointee.cpl) <= flags &>> 12 & 3 && flags & RFLAGS.vm == 0)
    }
}

/// The machine may have changed, or want its thread: the block ends after this instruction.
@inline(__always)
private func afterExit(_ s: S, _ p: P) -> P {
    ch_load(s.run.pointee.attention) & s.run.pointee.attentionMask == 0 ? next(s, p) : retire(s, p)
}

@inline(__always)
private func port(_ s: S, _ p: P) -> UInt16 {
    let fixed = p.op.pointee.imm
    return fixed & 0x10000 != 0 ? s.get(Register.rdx, as: UInt16.self) : UInt16(truncatingIfNeeded: fixed)
}

let portIn: Handler = { s, p in
    let port = port(s, p)
    let size = p.op.pointee.size
    if !s.mayUsePorts, !ioAllowed(s, p, port: port, size: Int(size)) { return abort(s, p) }
    if s.run.pointee.mode.contains(.dataBreakpoints) { s.notePortAccess(port, UInt64(size)) }
    guard let value = s.portRead(p, port, size) else { return abort(s, p) }
    s.putRegister(Register.rax, size, value)
    return afterExit(s, p)
}

let portOut: Handler = { s, p in
    let port = port(s, p)
    let size = p.op.pointee.size
    if !s.mayUsePorts, !ioAllowed(s, p, port: port, size: Int(size)) { return abort(s, p) }
    if s.run.pointee.mode.contains(.dataBreakpoints) { s.notePortAccess(port, UInt64(size)) }
    guard s.portWrite(p, port, size, s[Register.rax]) else { return abort(s, p) }
    return afterExit(s, p)
}
