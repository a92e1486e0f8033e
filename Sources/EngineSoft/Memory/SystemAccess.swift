// Accesses whose privilege is not that of the running code: descriptor tables, IDT, TSS, and stacks of another ring
// (SDM volume 3, 4.6.1: implicit supervisor-mode accesses). Linear addresses are full ones: in long mode a table may lie anywhere,
// whatever code is running.

import CHost

extension SoftCPU {
    var isLongMode: Bool { s.cpu.pointee.efer & EFER.lma != 0 }
    var is64: Bool { s.run.pointee.mode.contains(.code64) }
    /// CR0.PE, and not virtual-8086 mode.
    var isProtected: Bool { s.cpu.pointee.cr0 & CR0.pe != 0 && !isVirtual8086 }
    var isVirtual8086: Bool { s.cpu.pointee.systemFlags & RFLAGS.vm != 0 }

    /// The rights that explicit accesses have at a privilege level.
    func privilege(level: UInt8) -> Privilege {
        if level == 3 { return .user }
        let mayReachUser = s.cpu.pointee.cr4 & CR4.smap != 0 && s.cpu.pointee.systemFlags & RFLAGS.ac != 0
        return mayReachUser ? .supervisorAC : .supervisor
    }

    /// Runs `body` with the rights of `privilege` and full linear addresses.
    func access<R>(as privilege: Privilege, _ body: () -> R) -> R {
        let table = s.run.pointee.tlb
        let mask = s.run.pointee.linearMask
        s.run.pointee.tlb = memory.table(privilege)
        s.run.pointee.linearMask = isLongMode ? .max : 0xffff_ffff
        let result = body()
        s.run.pointee.tlb = table
        s.run.pointee.linearMask = mask
        return result
    }

    /// nil: a fault is left.
    func read<T: FixedWidthInteger & UnsignedInteger>(
        _ linear: UInt64, as privilege: Privilege, _ type: T.Type = T.self
    ) -> T? {
        access(as: privilege) {
            let address = linear & s.run.pointee.linearMask
            let entry = s.tlbEntry(address)
            let last = address &+ UInt64(T.bitWidth / 8 &- 1)
            if entry.pointee.read == last & ~0xfff {
                let host = UnsafeRawPointer(bitPattern: UInt(truncatingIfNeeded: entry.pointee.host(address)))
                return host.unsafelyUnwrapped.loadUnaligned(as: T.self)
            }
            guard memory.read(s, address, T.bitWidth / 8) else { return nil }
            return T(truncatingIfNeeded: s.run.pointee.loaded)
        }
    }

    /// false: a fault is left and nothing is written.
    func write<T: FixedWidthInteger & UnsignedInteger>(_ linear: UInt64, _ value: T, as privilege: Privilege) -> Bool {
        access(as: privilege) {
            let address = linear & s.run.pointee.linearMask
            let entry = s.tlbEntry(address)
            let last = address &+ UInt64(T.bitWidth / 8 &- 1)
            if entry.pointee.write == last & ~0xfff {
                let host = UnsafeMutableRawPointer(
                    bitPattern: UInt(truncatingIfNeeded: entry.pointee.host(address)))
                host.unsafelyUnwrapped.storeBytes(of: value, as: T.self)
                return true
            }
            return memory.write(s, address, T.bitWidth / 8, UInt64(truncatingIfNeeded: value))
        }
    }

    func systemRead<T: FixedWidthInteger & UnsignedInteger>(_ linear: UInt64, _ type: T.Type = T.self) -> T? {
        read(linear, as: .supervisor)
    }

    func systemWrite<T: FixedWidthInteger & UnsignedInteger>(_ linear: UInt64, _ value: T) -> Bool {
        write(linear, value, as: .supervisor)
    }
}

extension SegmentRegister {
    /// Limit and rights outside of 64-bit mode (SDM volume 3, 5.3 and 5.4).
    func allows(_ offset: UInt64, _ size: UInt64, isWrite: Bool) -> Bool {
        guard isUsable else { return false }
        let isCode = attributes & 8 != 0
        if isCode ? (isWrite || attributes & 2 == 0) : (isWrite && attributes & 2 == 0) { return false }
        let last = offset &+ size &- 1
        if !isCode, attributes & 4 != 0 {
            let top: UInt64 = isBig ? 0xffff_ffff : 0xffff
            return offset > UInt64(limit) && last <= top
        }
        return last <= UInt64(limit)
    }
}

/// A stack while something is pushed on it or popped off it: the registers change only when all of it has gone well.
struct Stack {
    var segment: SegmentRegister
    var pointer: UInt64
    /// Which bits of the pointer count: 16, 32 or 64.
    var mask: UInt64
    var privilege: Privilege
    /// Error code of #SS beyond the limit.
    var code: UInt32 = 0
    /// The running instruction pops or pushes its operands: alignment and data breakpoints count, which deliveries and inner stacks do not look at.
    var isOperand = false

    /// Values are truncated to `size` bytes: 2, 4 or 8. false: a fault is left.
    mutating func push(_ cpu: SoftCPU, _ value: UInt64, _ size: UInt8) -> Bool {
        let new = (pointer &- UInt64(size)) & mask
        guard let linear = linear(cpu, new, size, isWrite: true) else { return false }
        let isDone: Bool
        switch size {
        case 2: isDone = cpu.write(linear, UInt16(truncatingIfNeeded: value), as: privilege)
        case 4: isDone = cpu.write(linear, UInt32(truncatingIfNeeded: value), as: privilege)
        default: isDone = cpu.write(linear, value, as: privilege)
        }
        if isDone { move(to: new) }
        return isDone
    }

    /// nil: a fault is left.
    mutating func pop(_ cpu: SoftCPU, _ size: UInt8) -> UInt64? {
        let old = pointer & mask
        guard let linear = linear(cpu, old, size, isWrite: false) else { return nil }
        let value: UInt64?
        switch size {
        case 2: value = cpu.read(linear, as: privilege, UInt16.self).map { UInt64($0) }
        case 4: value = cpu.read(linear, as: privilege, UInt32.self).map { UInt64($0) }
        default: value = cpu.read(linear, as: privilege, UInt64.self)
        }
        if value != nil { move(to: (old &+ UInt64(size)) & mask) }
        return value
    }

    /// What RETF n does after the return address.
    mutating func release(_ bytes: UInt64) { move(to: (pointer &+ bytes) & mask) }

    private mutating func move(to new: UInt64) {
        pointer = mask == 0xffff ? pointer & ~0xffff | new : new
    }

    private func linear(_ cpu: SoftCPU, _ offset: UInt64, _ size: UInt8, isWrite: Bool) -> UInt64? {
        var linear = offset
        if mask == .max {
            guard SoftMemory.isCanonical(offset), SoftMemory.isCanonical(offset &+ UInt64(size) &- 1) else {
                cpu.s.setFault(Vector.ss, code: code)
                return nil
            }
        } else {
            guard segment.allows(offset, UInt64(size), isWrite: isWrite) else {
                cpu.s.setFault(Vector.ss, code: code)
                return nil
            }
            linear = (offset &+ segment.base) & 0xffff_ffff
        }
        let mode = cpu.s.run.pointee.mode
        if !isOperand || mode.isDisjoint(with: [.alignment, .dataBreakpoints]) { return linear }
        if mode.contains(.alignment), linear & UInt64(size &- 1) != 0 {
            cpu.s.setFault(Vector.ac, code: 0)
            return nil
        }
        if mode.contains(.dataBreakpoints) { cpu.s.noteDataAccess(linear, UInt64(size), isWrite: isWrite) }
        return linear
    }
}

extension SoftCPU {
    /// The stack of the moment.
    var stack: Stack {
        let segment = s.segment(Segment.ss).pointee
        let mask: UInt64 = is64 ? .max : segment.isBig ? 0xffff_ffff : 0xffff
        return Stack(
            segment: segment, pointer: s[Register.rsp], mask: mask, privilege: privilege(level: s.cpu.pointee.cpl),
            isOperand: true)
    }

    /// The same for what the processor pushes by itself.
    var deliveryStack: Stack {
        var stack = stack
        stack.isOperand = false
        return stack
    }

    /// Of a fault that names a selector; EXT as in the delivery of the moment (SDM volume 3, 6.13).
    func selectorCode(_ selector: UInt16) -> UInt32 { UInt32(selector & 0xfffc) | system.external }

    func fail(_ vector: UInt8, _ code: UInt32) -> Bool {
        s.setFault(vector, code: code)
        return false
    }

    func fail(_ vector: UInt8, selector: UInt16) -> Bool { fail(vector, selectorCode(selector)) }
}
