// GDTR, IDTR, LDTR and TR. Source: SDM volume 2, LGDT, SGDT, LLDT, LTR, SLDT, STR; volume 3, 2.4, 7.2.

import CBackplane

let loadTable: Handler = { s, p in call(s, p) { $0.loadTable(p) } }
let storeTable: Handler = { s, p in call(s, p) { $0.storeTable(p) } }
let loadLDT: Handler = { s, p in call(s, p) { $0.loadLDT(p) } }
let loadTaskRegister: Handler = { s, p in call(s, p) { $0.loadTaskRegister(p) } }
let storeSystemSegment: Handler = { s, p in call(s, p) { $0.storeSystemSegment(p) } }

extension SoftCPU {
    /// Exits of these instructions say which one it is in `address`: 0 GDTR, 1 IDTR; 0 LDTR, 1 TR.
    private func askTable(_ reason: Int, _ number: UInt64, isLoad: Bool, _ p: P) -> P? {
        var exit = bp_exit()
        let answer = ask(reason, p, number, &exit) { if isLoad { $0.flags |= UInt16(BP_EXITF_WRITE) } }
        switch answer {
        case .proceed: return nil
        case .answered: return .some(retire(s, p))
        case .raised: return .some(abort(s, p))
        }
    }

    func loadTable(_ p: P) -> P {
        guard s.cpu.pointee.cpl == 0 else { return raise(s, p, Vector.gp, code: 0) }
        let isIDT = p.op.pointee.which == 1
        let address = linear(s, p)
        let second = (address &+ 2) & s.run.pointee.linearMask
        guard let limit = s.read(p, address, as: UInt16.self) else { return abort(s, p) }
        var base: UInt64
        if is64 {
            guard let wide = s.read(p, second, as: UInt64.self) else { return abort(s, p) }
            base = wide
            guard SoftMemory.isCanonical(base) else { return raise(s, p, Vector.gp, code: 0) }
        } else {
            guard let narrow = s.read(p, second, as: UInt32.self) else { return abort(s, p) }
            // With 16 bits of operand size the base has 24.
            base = UInt64(narrow) & (p.operandSize == 2 ? 0xff_ffff : 0xffff_ffff)
        }
        if let end = askTable(BP_EXIT_DESCRIPTOR_TABLE, isIDT ? 1 : 0, isLoad: true, p) { return end }
        let table = DescriptorTable(base: base, limit: limit)
        if isIDT { s.cpu.pointee.idt = table } else { s.cpu.pointee.gdt = table }
        return go(p)
    }

    func storeTable(_ p: P) -> P {
        guard mayStoreSystem else { return raise(s, p, Vector.gp, code: 0) }
        let isIDT = p.op.pointee.which == 1
        if let end = askTable(BP_EXIT_DESCRIPTOR_TABLE, isIDT ? 1 : 0, isLoad: false, p) { return end }
        let table = isIDT ? s.cpu.pointee.idt : s.cpu.pointee.gdt
        let address = linear(s, p)
        let second = (address &+ 2) & s.run.pointee.linearMask
        // The base first: if only one of the two pages is there, nothing has been stored but what the restart stores again.
        let isStored =
            is64
            ? s.write(p, second, table.base) : s.write(p, second, UInt32(truncatingIfNeeded: table.base))
        guard isStored, s.write(p, address, table.limit) else { return abort(s, p) }
        return go(p)
    }

    func loadLDT(_ p: P) -> P {
        guard s.cpu.pointee.cpl == 0 else { return raise(s, p, Vector.gp, code: 0) }
        guard let selector = operand16(p) else { return abort(s, p) }
        if let end = askTable(BP_EXIT_LDTR_TR, 0, isLoad: true, p) { return end }
        return loadLDT(selector, invalid: Vector.gp) ? retire(s, p) : abort(s, p)
    }

    /// false: a fault is left; `invalid` is the vector of everything but "not present" of LLDT.
    func loadLDT(_ selector: UInt16, invalid: UInt8) -> Bool {
        if selector & 0xfffc == 0 {
            s.segment(Segment.ldtr).pointee = SegmentRegister(base: 0, limit: 0, selector: selector, attributes: 0x100)
            return true
        }
        guard selector & 4 == 0 else { return fail(invalid, selector: selector) }
        guard var descriptor = descriptor(selector, outside: invalid) else { return false }
        guard !descriptor.isSegment, descriptor.type == 2 else { return fail(invalid, selector: selector) }
        guard descriptor.isPresent else {
            return fail(invalid == Vector.gp ? Vector.np : invalid, selector: selector)
        }
        if isLongMode {
            guard extend(&descriptor) else { return false }
            guard SoftMemory.isCanonical(descriptor.base) else { return fail(invalid, selector: selector) }
        }
        s.segment(Segment.ldtr).pointee = descriptor.register
        return true
    }

    func loadTaskRegister(_ p: P) -> P {
        guard s.cpu.pointee.cpl == 0 else { return raise(s, p, Vector.gp, code: 0) }
        guard let selector = operand16(p) else { return abort(s, p) }
        if let end = askTable(BP_EXIT_LDTR_TR, 1, isLoad: true, p) { return end }
        guard selector & 0xfffc != 0 else { return raise(s, p, Vector.gp, code: 0) }
        guard selector & 4 == 0 else { return raise(s, p, Vector.gp, code: selectorCode(selector)) }
        guard var descriptor = descriptor(selector) else { return abort(s, p) }
        let isAvailable = descriptor.type == 9 || (descriptor.type == 1 && !isLongMode)
        guard !descriptor.isSegment, isAvailable else { return raise(s, p, Vector.gp, code: selectorCode(selector)) }
        guard descriptor.isPresent else { return raise(s, p, Vector.np, code: selectorCode(selector)) }
        if isLongMode {
            guard extend(&descriptor) else { return abort(s, p) }
            guard SoftMemory.isCanonical(descriptor.base) else {
                return raise(s, p, Vector.gp, code: selectorCode(selector))
            }
        }
        guard setBusy(descriptor, true) else { return abort(s, p) }
        var register = descriptor.register
        register.attributes |= 2
        s.segment(Segment.tr).pointee = register
        return retire(s, p)
    }

    func storeSystemSegment(_ p: P) -> P {
        guard mayStoreSystem else { return raise(s, p, Vector.gp, code: 0) }
        let number = p.op.pointee.which
        if let end = askTable(BP_EXIT_LDTR_TR, number == Segment.tr ? 1 : 0, isLoad: false, p) { return end }
        return store16(p, UInt64(s.segment(number).pointee.selector)) ? go(p) : abort(s, p)
    }
}
