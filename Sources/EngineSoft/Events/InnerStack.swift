// Stacks that the TSS gives for an inner ring. Source: SDM volume 3, 5.8.5, 5.8.5.1, 6.12.1, 6.14.2, 6.14.5.

/// A stack to change to, checked.
struct InnerStack {
    var stack: Stack
    /// nil: SS becomes null (long mode).
    var descriptor: Descriptor?
}

extension SoftCPU {
    /// The stack of a privilege level, or of an interrupt stack table entry (1 to 7). nil: a fault is left.
    func innerStack(level: UInt8, table: UInt32 = 0) -> InnerStack? {
        isLongMode ? longStack(level: level, table: table) : legacyStack(level: level)
    }

    private func longStack(level: UInt8, table: UInt32) -> InnerStack? {
        let offset = table != 0 ? 28 + UInt64(table) * 8 : 4 + UInt64(level) * 8
        guard let address = taskAddress(offset, 8), let pointer = systemRead(address, UInt64.self) else { return nil }
        guard SoftMemory.isCanonical(pointer) else {
            s.setFault(Vector.ss, code: system.external)
            return nil
        }
        let stack = Stack(
            segment: SegmentRegister(), pointer: pointer, mask: .max, privilege: privilege(level: level),
            code: system.external)
        return InnerStack(stack: stack, descriptor: nil)
    }

    private func legacyStack(level: UInt8) -> InnerStack? {
        let is32 = s.segment(Segment.tr).pointee.type & 8 != 0
        let pointer: UInt64
        let selector: UInt16
        if is32 {
            guard let address = taskAddress(4 + UInt64(level) * 8, 6),
                let offset = systemRead(address, UInt32.self), let segment = systemRead(address + 4, UInt16.self)
            else { return nil }
            (pointer, selector) = (UInt64(offset), segment)
        } else {
            guard let address = taskAddress(2 + UInt64(level) * 4, 4),
                let offset = systemRead(address, UInt16.self), let segment = systemRead(address + 2, UInt16.self)
            else { return nil }
            (pointer, selector) = (UInt64(offset), segment)
        }
        guard selector & 0xfffc != 0 else {
            s.setFault(Vector.ts, code: system.external)
            return nil
        }
        guard let descriptor = stackDescriptor(selector, level: level, invalid: Vector.ts) else { return nil }
        let stack = Stack(
            segment: descriptor.register, pointer: pointer, mask: descriptor.isBig ? 0xffff_ffff : 0xffff,
            privilege: privilege(level: level), code: selectorCode(selector))
        return InnerStack(stack: stack, descriptor: descriptor)
    }

    /// The linear address of bytes of the TSS; nil: #TS with TR's selector is left.
    private func taskAddress(_ offset: UInt64, _ size: UInt64) -> UInt64? {
        let task = s.segment(Segment.tr).pointee
        guard offset + size - 1 <= UInt64(task.limit) else {
            s.setFault(Vector.ts, code: selectorCode(task.selector))
            return nil
        }
        return task.base &+ offset
    }

    /// SS of an inner stack; the pointer is the caller's.
    func setStack(_ inner: InnerStack, level: UInt8) {
        if let descriptor = inner.descriptor {
            s.segment(Segment.ss).pointee = descriptor.register
        } else {
            setNull(Segment.ss, UInt16(level), level: level)
        }
    }
}
