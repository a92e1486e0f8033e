// MOV DR. Source: SDM volume 3, 17.2; volume 2, MOV DR.

import CBackplane

let moveFromDebug: Handler = { s, p in call(s, p) { $0.moveFromDebug(p) } }
let moveToDebug: Handler = { s, p in call(s, p) { $0.moveToDebug(p) } }

extension SoftCPU {
    /// The register's number after the checks that both directions share; nil: a fault is left.
    private func debugNumber(_ p: P) -> Int? {
        var number = p.op.pointee.which
        if number == 4 || number == 5 {
            if s.cpu.pointee.cr4 & CR4.de != 0 {
                s.setFault(Vector.ud)
                return nil
            }
            number += 2
        }
        guard s.cpu.pointee.cpl == 0 else {
            s.setFault(Vector.gp, code: 0)
            return nil
        }
        if s.debugRegister(7).pointee & DR7.accessDetection != 0 {
            s.debugRegister(6).pointee |= DR6.accessDetected
            s.setFault(Vector.db)
            return nil
        }
        return number
    }

    func moveFromDebug(_ p: P) -> P {
        guard let number = debugNumber(p) else { return abort(s, p) }
        var value = s.debugRegister(number).pointee
        var exit = bp_exit()
        switch ask(BP_EXIT_DR, p, UInt64(number), &exit, { $0.value = value }) {
        case .proceed: break
        case .answered: value = exit.value
        case .raised: return abort(s, p)
        }
        put(p.op.pointee.src, value, size: is64 ? 8 : 4)
        return go(p)
    }

    func moveToDebug(_ p: P) -> P {
        guard let number = debugNumber(p) else { return abort(s, p) }
        let value = s[p.op.pointee.src] & (is64 ? .max : 0xffff_ffff)
        guard number < 6 || value >> 32 == 0 else { return raise(s, p, Vector.gp, code: 0) }
        var exit = bp_exit()
        let answer = ask(BP_EXIT_DR, p, UInt64(number), &exit) {
            $0.value = value
            $0.flags |= UInt16(BP_EXITF_WRITE)
        }
        switch answer {
        case .raised: return abort(s, p)
        case .answered: break
        case .proceed: setDebugRegister(number, value)
        }
        return retire(s, p)
    }

    func setDebugRegister(_ number: Int, _ value: UInt64) {
        switch number {
        case 6: s.debugRegister(6).pointee = value & DR6.writable | DR6.fixed
        case 7:
            s.debugRegister(7).pointee = value & DR7.writable | DR7.fixed
            updateMode()
        default: s.debugRegister(number).pointee = value
        }
    }
}
