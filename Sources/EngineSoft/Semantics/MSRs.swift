// RDMSR and WRMSR. Source: SDM volume 4, chapter 2 (architectural MSRs). An MSR that is not here raises #GP(0), as on a CPU that does
// not have it.

import CBackplane
import Core

let readMSR: Handler = { s, p in call(s, p) { $0.readMSR(p) } }
let writeMSR: Handler = { s, p in call(s, p) { $0.writeMSR(p) } }

/// IA32_MISC_ENABLE (SDM volume 4, table 2-2), as far as CPUID promises what its bits switch.
enum MiscEnable {
    /// Fast strings, CPUID leaves up to 2 only, no NX.
    static let fastStrings: UInt64 = 1, limitsCPUID: UInt64 = 1 << 22, xdDisable: UInt64 = 1 << 34
    static let writable = fastStrings | limitsCPUID | xdDisable
    /// No branch trace storage and no PEBS.
    static let readOnly: UInt64 = 1 << 11 | 1 << 12
}

extension SoftCPU {
    func readMSR(_ p: P) -> P {
        guard s.cpu.pointee.cpl == 0 else { return raise(s, p, Vector.gp, code: 0) }
        let index = s.get(Register.rcx, as: UInt32.self)
        let value = msr(index)
        var exit = bp_exit()
        switch ask(BP_EXIT_RDMSR, p, UInt64(index), &exit, isUnclaimed: value == nil, { $0.value = value ?? 0 }) {
        case .proceed:
            guard let value else { return raise(s, p, Vector.gp, code: 0) }
            putPair(value)
        case .answered: putPair(exit.value)
        case .raised: return abort(s, p)
        }
        return go(p)
    }

    func writeMSR(_ p: P) -> P {
        guard s.cpu.pointee.cpl == 0 else { return raise(s, p, Vector.gp, code: 0) }
        let index = s.get(Register.rcx, as: UInt32.self)
        let value = pair
        var exit = bp_exit()
        let answer = ask(BP_EXIT_WRMSR, p, UInt64(index), &exit, isUnclaimed: msr(index) == nil) {
            $0.value = value
            $0.flags |= UInt16(BP_EXITF_WRITE)
        }
        switch answer {
        case .raised: return abort(s, p)
        case .answered: if index == MSR.apicBase { s.cpu.pointee.msrs.apicBase = value }
        case .proceed: guard setMSR(index, value) else { return raise(s, p, Vector.gp, code: 0) }
        }
        return retire(s, p)
    }

    /// nil: there is none.
    func msr(_ index: UInt32) -> UInt64? {
        let cpu = s.cpu
        switch index {
        case MSR.tsc: return timeStamp
        case MSR.machineCheckAddress, MSR.machineCheckType, MSR.platformID, MSR.debugControl: return 0
        // The revision is in bits 63:32.
        case MSR.microcode: return 1 << 32
        case MSR.sysenterCS: return cpu.pointee.msrs.sysenterCS
        case MSR.sysenterESP: return cpu.pointee.msrs.sysenterESP
        case MSR.sysenterEIP: return cpu.pointee.msrs.sysenterEIP
        case MSR.miscEnable: return cpu.pointee.msrs.miscEnable
        case MSR.pat: return cpu.pointee.msrs.pat
        case MSR.efer: return cpu.pointee.efer
        case MSR.star: return cpu.pointee.msrs.star
        case MSR.lstar: return cpu.pointee.msrs.lstar
        case MSR.cstar: return cpu.pointee.msrs.cstar
        case MSR.syscallMask: return cpu.pointee.msrs.syscallMask
        case MSR.fsBase: return s.segment(Segment.fs).pointee.base
        case MSR.gsBase: return s.segment(Segment.gs).pointee.base
        case MSR.kernelGSBase: return cpu.pointee.msrs.kernelGSBase
        case MSR.tscAux: return cpu.pointee.msrs.tscAux
        default: return nil
        }
    }

    /// false: there is none, or it cannot hold the value.
    func setMSR(_ index: UInt32, _ value: UInt64) -> Bool {
        let cpu = s.cpu
        switch index {
        case MSR.tsc: cpu.pointee.msrs.tscOffset = cpu.pointee.msrs.tscOffset &+ (value &- timeStamp)
        case MSR.microcode: break
        case MSR.debugControl: return value == 0
        case MSR.sysenterCS: cpu.pointee.msrs.sysenterCS = value & 0xffff_ffff
        case MSR.miscEnable: return setMiscEnable(value)
        case MSR.pat:
            guard isValidPAT(value) else { return false }
            cpu.pointee.msrs.pat = value
        case MSR.efer: return setEFER(value)
        case MSR.star: cpu.pointee.msrs.star = value
        case MSR.syscallMask: cpu.pointee.msrs.syscallMask = value & 0xffff_ffff
        case MSR.tscAux:
            guard value >> 32 == 0 else { return false }
            cpu.pointee.msrs.tscAux = value
        default: return setAddressMSR(index, value)
        }
        return true
    }

    /// MSRs that hold a linear address, which must be canonical.
    private func setAddressMSR(_ index: UInt32, _ value: UInt64) -> Bool {
        let cpu = s.cpu
        guard SoftMemory.isCanonical(value) else { return false }
        switch index {
        case MSR.sysenterESP: cpu.pointee.msrs.sysenterESP = value
        case MSR.sysenterEIP: cpu.pointee.msrs.sysenterEIP = value
        case MSR.lstar: cpu.pointee.msrs.lstar = value
        case MSR.cstar: cpu.pointee.msrs.cstar = value
        case MSR.fsBase: setBase(Segment.fs, value)
        case MSR.gsBase: setBase(Segment.gs, value)
        case MSR.kernelGSBase: cpu.pointee.msrs.kernelGSBase = value
        default: return false
        }
        return true
    }

    /// Memory types 0, 1, 4, 5, 6, 7 in each byte.
    func isValidPAT(_ value: UInt64) -> Bool {
        for entry in 0..<8 as Range<UInt64> {
            let type = value >> (entry * 8) & 0xff
            if type > 7 || type == 2 || type == 3 { return false }
        }
        return true
    }

    /// Bits of features that CPUID denies are reserved, and the read-only ones stay. NX cannot be taken away while it is in use.
    private func setMiscEnable(_ value: UInt64) -> Bool {
        guard value & ~(MiscEnable.writable | MiscEnable.readOnly) == 0 else { return false }
        if value & MiscEnable.xdDisable != 0, s.cpu.pointee.efer & EFER.nxe != 0 { return false }
        s.cpu.pointee.msrs.miscEnable = value & MiscEnable.writable | MiscEnable.readOnly
        return true
    }

    /// SDM volume 3, 2.2.1: LMA is read-only, LME cannot change under paging.
    private func setEFER(_ value: UInt64) -> Bool {
        let cpu = s.cpu
        let old = cpu.pointee.efer
        guard value & ~(EFER.sce | EFER.lme | EFER.lma | EFER.nxe) == 0 else { return false }
        if value & EFER.nxe != 0, cpu.pointee.msrs.miscEnable & MiscEnable.xdDisable != 0 { return false }
        if (old ^ value) & EFER.lme != 0, cpu.pointee.cr0 & CR0.pg != 0 { return false }
        cpu.pointee.efer = value & ~EFER.lma | old & EFER.lma
        if (old ^ value) & EFER.nxe != 0 { flushTranslations(keepsGlobal: false) }
        updateMode()
        return true
    }
}
