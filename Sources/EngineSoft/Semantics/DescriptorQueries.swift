// Instructions that only ask about descriptors: VERR, VERW, LAR, LSL, ARPL. Source: SDM volume 2, at their names; volume 3, 5.10. What is
// not allowed clears ZF and faults nothing.

let verifyRead: Handler = { s, p in call(s, p) { $0.verify(p, isWrite: false) } }
let verifyWrite: Handler = { s, p in call(s, p) { $0.verify(p, isWrite: true) } }
let loadAccessRights: Handler = { s, p in call(s, p) { $0.query(p, isLimit: false) } }
let loadSegmentLimit: Handler = { s, p in call(s, p) { $0.query(p, isLimit: true) } }
let adjustRPL: Handler = { s, p in call(s, p) { $0.adjustRPL(p) } }

extension SoftCPU {
    private enum Looked {
        case descriptor(Descriptor)
        case none
        /// A page fault is left.
        case fault
    }

    private func look(_ selector: UInt16) -> Looked {
        guard selector & 0xfffc != 0, let address = descriptorAddress(selector) else { return .none }
        guard let descriptor = descriptor(at: address, selector) else { return .fault }
        return .descriptor(descriptor)
    }

    private func setZero(_ isSet: Bool) {
        let flags = s.cpu.statusFlags
        s.cpu.setStatusFlags(isSet ? flags | RFLAGS.zf : flags & ~RFLAGS.zf)
    }

    /// Conforming code can be seen from every ring.
    private func isVisible(_ descriptor: Descriptor) -> Bool {
        descriptor.isConforming || descriptor.dpl >= max(s.cpu.pointee.cpl, descriptor.rpl)
    }

    func verify(_ p: P, isWrite: Bool) -> P {
        guard let selector = operand16(p) else { return abort(s, p) }
        switch look(selector) {
        case .fault: return abort(s, p)
        case .none: setZero(false)
        case .descriptor(let descriptor):
            setZero(isVisible(descriptor) && (isWrite ? descriptor.isWritableData : descriptor.isReadable))
        }
        return following(p)
    }

    /// LAR or LSL.
    func query(_ p: P, isLimit: Bool) -> P {
        guard let selector = operand16(p) else { return abort(s, p) }
        var looked = look(selector)
        if case .descriptor(let descriptor) = looked {
            let isKnown = descriptor.isSegment || isKnownSystem(descriptor.type, isLimit: isLimit)
            looked = isKnown && isVisible(descriptor) ? secondHalf(descriptor) : .none
        }
        switch looked {
        case .fault: return abort(s, p)
        case .none: setZero(false)
        case .descriptor(let descriptor):
            let value = isLimit ? UInt64(descriptor.limit) : UInt64(descriptor.high & 0x00ff_ff00)
            put(p.op.pointee.dst, value, size: p.operandSize)
            setZero(true)
        }
        return following(p)
    }

    /// In long mode a system descriptor has 16 bytes, which must lie in the table, and bits 12:8 of the last four are 0 (SDM volume 3, 3.5.2 and
    /// 5.8.3.1).
    private func secondHalf(_ descriptor: Descriptor) -> Looked {
        guard isLongMode, !descriptor.isSegment else { return .descriptor(descriptor) }
        guard descriptorAddress(descriptor.selector, size: 16) != nil else { return .none }
        guard let upper = systemRead(descriptor.address &+ 8, UInt64.self) else { return .fault }
        return upper >> 40 & 0x1f == 0 ? .descriptor(descriptor) : .none
    }

    /// SDM volume 2, tables 3-52 (LAR) and 3-54 (LSL).
    private func isKnownSystem(_ type: UInt16, isLimit: Bool) -> Bool {
        switch type {
        case 2, 9, 11: true
        case 1, 3: !isLongMode
        case 4, 5: !isLongMode && !isLimit
        case 12: !isLimit
        default: false
        }
    }

    func adjustRPL(_ p: P) -> P {
        let source = s.get(p.op.pointee.dst, as: UInt16.self) & 3
        guard let old = operand16(p) else { return abort(s, p) }
        let isRaised = old & 3 < source
        if isRaised {
            let new = old & ~3 | source
            if p.isMemory {
                guard s.write(p, linear(s, p), new) else { return abort(s, p) }
            } else {
                s.put(p.op.pointee.src, new)
            }
        }
        setZero(isRaised)
        return following(p)
    }
}
