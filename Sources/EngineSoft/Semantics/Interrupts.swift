// INT n, INT3, INTO, INT1, BOUND, undefined opcodes, and the I/O permission check. Source: SDM volume 2, INT n, BOUND; volume 3, 6.4, 20.2.7;
// volume 1, 19.5 (I/O privilege, permission bitmap).

import CBackplane
import Core

let int3: Handler = { s, p in call(s, p) { $0.breakpoint(p) } }
let interruptSoftware: Handler = { s, p in call(s, p) { $0.interruptSoftware(p) } }
let interruptOverflow: Handler = { s, p in call(s, p) { $0.interruptOverflow(p) } }
let int1: Handler = { s, p in call(s, p) { $0.softwareInterrupt(Vector.db, .privileged, p) } }
let bound: Handler = { s, p in call(s, p) { $0.bound(p) } }
let undefinedOpcode: Handler = { s, p in call(s, p) { $0.undefined(p, isTooLong: false) } }
let instructionTooLong: Handler = { s, p in call(s, p) { $0.undefined(p, isTooLong: true) } }

/// Whether the code of the moment may reach ports; false: #GP(0) or a fault of the look-up is left.
func ioAllowed(_ s: S, _ p: P, port: UInt16, size: Int) -> Bool {
    s.mayExit(p)
    return s.run.pointee.owner._withUnsafeGuaranteedRef { $0.ioAllowed(port: port, size: size) }
}

extension SoftCPU {
    /// An event by the instruction of `p`: it returns to the next one; a fault in delivery is one of the instruction.
    func softwareInterrupt(_ vector: UInt8, _ kind: EventKind, _ p: P) -> P {
        if kind != .software || vector == Vector.bp || vector == Vector.of,
            intercepts(BP_EXIT_EXCEPTION, UInt64(vector))
        {
            var exit = bp_exit()
            switch ask(BP_EXIT_EXCEPTION, p, UInt64(vector), &exit) {
            case .proceed: break
            case .answered: return retire(s, p)
            case .raised: return abort(s, p)
            }
        }
        let block = s.rip
        system.hasSwitched = false
        s.rip = s.rip(after: p)
        if deliverOnce(vector, kind, nil) || system.hasSwitched { return toRunLoop }
        s.rip = block
        return abort(s, p)
    }

    func breakpoint(_ p: P) -> P {
        if debug.softwareBreakpoints {
            rewind(s, p)
            runEnd = .debug(DebugEvent(kind: .softwareBreakpoint, rip: s.rip, dr6: s.debugRegister(6).pointee))
            s.run.pointee.stop = .end
            return toRunLoop
        }
        return softwareInterrupt(Vector.bp, .software, p)
    }

    func interruptSoftware(_ p: P) -> P {
        let vector = UInt8(truncatingIfNeeded: p.op.pointee.imm64)
        if isVirtual8086 {
            switch interruptRedirection(vector) {
            case .program: return interruptProgram(vector, p)
            case .monitor where s.interruptFlag == .real: break
            case .monitor: return raise(s, p, Vector.gp, code: 0)
            case nil: return abort(s, p)
            }
        }
        return softwareInterrupt(vector, .software, p)
    }

    func interruptOverflow(_ p: P) -> P {
        s.cpu.overflow ? softwareInterrupt(Vector.of, .software, p) : retire(s, p)
    }

    /// Signed bounds, both inclusive.
    func bound(_ p: P) -> P {
        let address = linear(s, p)
        let isWithin: Bool
        if p.operandSize == 2 {
            guard let low = s.read(p, address, as: UInt16.self),
                let high = s.read(p, (address &+ 2) & s.run.pointee.linearMask, as: UInt16.self)
            else { return abort(s, p) }
            let index = Int16(bitPattern: s.get(p.op.pointee.dst))
            isWithin = index >= Int16(bitPattern: low) && index <= Int16(bitPattern: high)
        } else {
            guard let low = s.read(p, address, as: UInt32.self),
                let high = s.read(p, (address &+ 4) & s.run.pointee.linearMask, as: UInt32.self)
            else { return abort(s, p) }
            let index = Int32(bitPattern: s.get(p.op.pointee.dst))
            isWithin = index >= Int32(bitPattern: low) && index <= Int32(bitPattern: high)
        }
        return isWithin ? following(p) : raise(s, p, Vector.br)
    }

    // MARK: Undefined opcodes

    func undefined(_ p: P, isTooLong: Bool) -> P {
        note(undefined: p)
        return isTooLong ? raise(s, p, Vector.gp, code: 0) : raise(s, p, Vector.ud)
    }

    /// Counts the opcode by its first 8 bytes, and logs it the first time.
    private func note(undefined p: P) {
        let start = s.rip(at: p)
        var bytes: UInt64 = 0
        var text = ""
        for index in 0..<UInt64(min(p.op.pointee.length, 8)) {
            guard let physical = try? translate(fetchLinear(start &+ index)) else { break }
            let byte = memory.readPhysical(s, physical, 1) & 0xff
            bytes |= byte << (index * 8)
            text += (byte < 16 ? " 0" : " ") + String(byte, radix: 16)
        }
        // A guest that makes opcodes up does not fill the host's memory.
        guard undefinedSeen.count < 256 || undefinedSeen[bytes] != nil else { return }
        undefinedSeen[bytes, default: 0] &+= 1
        if undefinedSeen[bytes] == 1 {
            vcpu.exits.log(.info, "CPU \(vcpu.index): no such instruction at 0x\(String(start, radix: 16)):\(text)")
        }
    }

    // MARK: I/O permission

    func ioAllowed(port: UInt16, size: Int) -> Bool {
        let cpu = s.cpu
        if cpu.pointee.cr0 & CR0.pe == 0 { return true }
        let flags = cpu.pointee.systemFlags
        if flags & RFLAGS.vm == 0, UInt64(cpu.pointee.cpl) <= flags >> 12 & 3 { return true }
        let task = s.segment(Segment.tr).pointee
        guard task.isUsable, task.type & 8 != 0, task.limit >= 103 else { return fail(Vector.gp, 0) }
        guard let base = systemRead(task.base &+ 102, UInt16.self) else { return false }
        let offset = UInt64(base) + UInt64(port >> 3)
        // Two bytes are read always.
        guard offset + 1 <= UInt64(task.limit) else { return fail(Vector.gp, 0) }
        guard let bits = systemRead(task.base &+ offset, UInt16.self) else { return false }
        let wanted = (UInt16(1) << UInt16(size & 15)) &- 1
        return bits >> (port & 7) & wanted == 0 ? true : fail(Vector.gp, 0)
    }
}
