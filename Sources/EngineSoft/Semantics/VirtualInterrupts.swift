// INT n of virtual-8086 mode with CR4.VME: straight to the program's own handler, where the TSS says so. Source: SDM volume 3, 20.3.3 (methods 1
// to 6); volume 2, INT n.

/// Where an INT n of virtual-8086 mode goes.
enum InterruptRedirection {
    /// By the IDT, or #GP(0), as IOPL says.
    case monitor
    /// By the 8086 program's interrupt vector table, at linear address 0.
    case program
}

extension SoftCPU {
    /// By the bit of a vector in the TSS's redirection map, the 32 bytes before the I/O permission map. nil: #GP(0) of a map beyond the TSS's limit,
    /// or a fault of the look-up, is left.
    func interruptRedirection(_ vector: UInt8) -> InterruptRedirection? {
        guard s.cpu.pointee.cr4 & CR4.vme != 0 else { return .monitor }
        let task = s.segment(Segment.tr).pointee
        guard task.isUsable, task.type & 8 != 0, task.limit >= 103 else {
            _ = fail(Vector.gp, 0)
            return nil
        }
        guard let map = systemRead(task.base &+ 102, UInt16.self) else { return nil }
        let offset = UInt32(map) &- 32 &+ UInt32(vector >> 3)
        guard map >= 32, offset <= task.limit else {
            _ = fail(Vector.gp, 0)
            return nil
        }
        guard let bits = systemRead(task.base &+ UInt64(offset), UInt8.self) else { return nil }
        return bits >> (vector & 7) & 1 == 0 ? .program : .monitor
    }

    /// Methods 5 (IOPL 3) and 6: as in real mode, on the program's own stack.
    func interruptProgram(_ vector: UInt8, _ p: P) -> P {
        let isReal = s.interruptFlag == .real
        let flags = isReal ? s.cpu.rflags : virtualImage(s.cpu.rflags)
        guard let entry = systemRead(UInt64(vector) * 4, UInt32.self) else { return abort(s, p) }
        var stack = deliveryStack
        guard stack.push(self, flags, 2), stack.push(self, UInt64(s.segment(Segment.cs).pointee.selector), 2),
            stack.push(self, s.rip(after: p), 2)
        else { return abort(s, p) }
        s[Register.rsp] = stack.pointer
        s.cpu.pointee.systemFlags &= ~(RFLAGS.tf | RFLAGS.rf | (isReal ? RFLAGS.interrupt : RFLAGS.vif))
        setRealCode(UInt16(truncatingIfNeeded: entry >> 16))
        s.rip = UInt64(entry & 0xffff)
        didDeliver = true
        updateMode()
        return toRunLoop
    }
}
