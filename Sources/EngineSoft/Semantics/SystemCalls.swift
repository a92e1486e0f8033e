// SYSCALL, SYSRET, SYSENTER, SYSEXIT. Source: SDM volume 2, at their names; volume 3, 5.8.7 and 5.8.8. Their segments are flat and come
// from no table.

let systemCall: Handler = { s, p in call(s, p) { $0.systemCall(p) } }
let systemReturn: Handler = { s, p in call(s, p) { $0.systemReturn(p) } }
let systemEnter: Handler = { s, p in call(s, p) { $0.systemEnter(p) } }
let systemExit: Handler = { s, p in call(s, p) { $0.systemExit(p) } }

extension SoftCPU {
    private func setFlatCode(_ selector: UInt16, level: UInt8, isLong: Bool) {
        let attributes: UInt16 = (isLong ? 0xa09b : 0xc09b) | UInt16(level) << 5
        s.segment(Segment.cs).pointee = SegmentRegister(
            base: 0, limit: 0xffff_ffff, selector: selector, attributes: attributes)
        s.cpu.pointee.cpl = level
    }

    private func setFlatStack(_ selector: UInt16, level: UInt8) {
        s.segment(Segment.ss).pointee = SegmentRegister(
            base: 0, limit: 0xffff_ffff, selector: selector, attributes: 0xc093 | UInt16(level) << 5)
    }

    func systemCall(_ p: P) -> P {
        let cpu = s.cpu
        guard cpu.pointee.efer & EFER.sce != 0 else { return raise(s, p, Vector.ud) }
        let flags = cpu.rflags & ~RFLAGS.rf
        s[Register.rcx] = s.rip(after: p)
        s[Register.general(11)] = flags
        cpu.rflags = flags & ~cpu.pointee.msrs.syscallMask
        let selector = UInt16(truncatingIfNeeded: cpu.pointee.msrs.star >> 32)
        setFlatCode(selector & 0xfffc, level: 0, isLong: true)
        setFlatStack(selector &+ 8, level: 0)
        s.rip = cpu.pointee.msrs.lstar
        updateMode()
        return toRunLoop
    }

    func systemReturn(_ p: P) -> P {
        let cpu = s.cpu
        guard cpu.pointee.efer & EFER.sce != 0 else { return raise(s, p, Vector.ud) }
        guard cpu.pointee.cpl == 0 else { return raise(s, p, Vector.gp, code: 0) }
        let isLong = p.operandSize == 8
        let target = s[Register.rcx] & (isLong ? .max : 0xffff_ffff)
        guard SoftMemory.isCanonical(target) else { return raise(s, p, Vector.gp, code: 0) }
        cpu.rflags = s[Register.general(11)] & 0x3c_7fd7
        let selector = UInt16(truncatingIfNeeded: cpu.pointee.msrs.star >> 48)
        setFlatCode((isLong ? selector &+ 16 : selector) | 3, level: 3, isLong: isLong)
        setFlatStack((selector &+ 8) | 3, level: 3)
        s.rip = target
        updateMode()
        return toRunLoop
    }

    func systemEnter(_ p: P) -> P {
        let cpu = s.cpu
        let selector = UInt16(truncatingIfNeeded: cpu.pointee.msrs.sysenterCS)
        guard cpu.pointee.cr0 & CR0.pe != 0, selector & 0xfffc != 0 else { return raise(s, p, Vector.gp, code: 0) }
        cpu.pointee.systemFlags &= ~(RFLAGS.vm | RFLAGS.interrupt | RFLAGS.rf)
        let mask: UInt64 = isLongMode ? .max : 0xffff_ffff
        setFlatCode(selector & 0xfffc, level: 0, isLong: isLongMode)
        setFlatStack((selector & 0xfffc) &+ 8, level: 0)
        s[Register.rsp] = cpu.pointee.msrs.sysenterESP & mask
        s.rip = cpu.pointee.msrs.sysenterEIP & mask
        updateMode()
        return toRunLoop
    }

    func systemExit(_ p: P) -> P {
        let cpu = s.cpu
        let selector = UInt16(truncatingIfNeeded: cpu.pointee.msrs.sysenterCS)
        guard isProtected, cpu.pointee.cpl == 0, selector & 0xfffc != 0 else { return raise(s, p, Vector.gp, code: 0) }
        let isLong = p.operandSize == 8
        let mask: UInt64 = isLong ? .max : 0xffff_ffff
        let target = s[Register.rdx] & mask
        let pointer = s[Register.rcx] & mask
        guard SoftMemory.isCanonical(target), SoftMemory.isCanonical(pointer) else {
            return raise(s, p, Vector.gp, code: 0)
        }
        let code = (selector & 0xfffc) &+ (isLong ? 32 : 16)
        setFlatCode(code | 3, level: 3, isLong: isLong)
        setFlatStack((code &+ 8) | 3, level: 3)
        s[Register.rsp] = pointer
        s.rip = target
        updateMode()
        return toRunLoop
    }
}
