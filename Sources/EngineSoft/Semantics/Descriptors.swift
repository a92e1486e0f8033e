// Descriptors and where they lie. Source: SDM volume 3, 3.4.5, 3.5, 5.8.3 (call gates), 7.2.2 (TSS), 6.11 and 6.14.1 (IDT).

/// One entry of a descriptor table, 8 or 16 bytes.
struct Descriptor {
    var selector: UInt16
    /// Linear address of the entry.
    var address: UInt64
    var low: UInt32
    var high: UInt32
    /// Of system descriptors in long mode: base or offset 63:32.
    var upper: UInt32 = 0

    var type: UInt16 { UInt16(high >> 8 & 15) }
    /// S: code or data; system segments and gates otherwise.
    var isSegment: Bool { high & 1 << 12 != 0 }
    var isCode: Bool { isSegment && type & 8 != 0 }
    var isConforming: Bool { isCode && type & 4 != 0 }
    var isReadable: Bool { isSegment && (type & 8 == 0 || type & 2 != 0) }
    var isWritableData: Bool { isSegment && type & 0xa == 2 }
    var isPresent: Bool { high & 1 << 15 != 0 }
    var isLong: Bool { high & 1 << 21 != 0 }
    var isBig: Bool { high & 1 << 22 != 0 }
    var dpl: UInt8 { UInt8(high >> 13 & 3) }
    var rpl: UInt8 { UInt8(selector & 3) }

    var base: UInt64 { UInt64(low >> 16 | (high & 0xff) << 16 | high & 0xff00_0000) | UInt64(upper) << 32 }
    /// In bytes.
    var limit: UInt32 {
        let raw = low & 0xffff | high & 0xf0000
        return high & 1 << 23 != 0 ? raw << 12 | 0xfff : raw
    }
    /// As a VMCS has them.
    var attributes: UInt16 { UInt16(high >> 8 & 0xf0ff) }
    /// Hidden part and selector, of a segment marked as accessed.
    var register: SegmentRegister {
        SegmentRegister(base: base, limit: limit, selector: selector, attributes: attributes | (isSegment ? 1 : 0))
    }

    // MARK: Gates
    var gateSelector: UInt16 { UInt16(low >> 16) }
    /// Of 16-bit gates the low half counts.
    var gateOffset: UInt64 {
        if type & 8 == 0 { return UInt64(low & 0xffff) }
        return UInt64(low & 0xffff | high & 0xffff_0000) | UInt64(upper) << 32
    }
    var gateCount: UInt32 { high & 31 }
    var stackTable: UInt32 { high & 7 }
}

extension SoftCPU {
    /// Where the entry of a selector lies; nil: beyond the table's limit, or there is no table.
    func descriptorAddress(_ selector: UInt16, size: UInt64 = 8) -> UInt64? {
        let offset = UInt64(selector & 0xfff8)
        if selector & 4 == 0 {
            let table = s.cpu.pointee.gdt
            return offset + size - 1 <= UInt64(table.limit) ? table.base &+ offset : nil
        }
        let table = s.segment(Segment.ldtr).pointee
        guard table.isUsable, offset + size - 1 <= UInt64(table.limit) else { return nil }
        return table.base &+ offset
    }

    /// nil: a page fault is left.
    func descriptor(at address: UInt64, _ selector: UInt16) -> Descriptor? {
        guard let raw = systemRead(address, UInt64.self) else { return nil }
        return Descriptor(
            selector: selector, address: address, low: UInt32(truncatingIfNeeded: raw),
            high: UInt32(truncatingIfNeeded: raw >> 32))
    }

    /// The descriptor of a selector; nil: a fault is left, `vector` with the selector where it is beyond the table.
    func descriptor(_ selector: UInt16, outside vector: UInt8 = Vector.gp) -> Descriptor? {
        guard let address = descriptorAddress(selector) else {
            s.setFault(vector, code: selectorCode(selector))
            return nil
        }
        return descriptor(at: address, selector)
    }

    /// Adds the second half that system descriptors have in long mode. false: a fault is left.
    func extend(_ descriptor: inout Descriptor) -> Bool {
        guard descriptorAddress(descriptor.selector, size: 16) != nil else {
            return fail(Vector.gp, selector: descriptor.selector)
        }
        guard let upper = systemRead(descriptor.address &+ 8, UInt64.self) else { return false }
        // Bits 12:8 of the last word would be a type.
        guard upper >> 40 & 0x1f == 0 else { return fail(Vector.gp, selector: descriptor.selector) }
        descriptor.upper = UInt32(truncatingIfNeeded: upper)
        return true
    }

    /// Sets the accessed bit in the table. false: a fault is left.
    func markAccessed(_ descriptor: Descriptor) -> Bool {
        if descriptor.high & 0x100 != 0 { return true }
        return systemWrite(descriptor.address &+ 5, UInt8(truncatingIfNeeded: descriptor.high >> 8 | 1))
    }

    /// Sets or clears the busy bit of a TSS descriptor (type bit 1).
    func setBusy(_ descriptor: Descriptor, _ isBusy: Bool) -> Bool {
        let byte = UInt8(truncatingIfNeeded: descriptor.high >> 8)
        return systemWrite(descriptor.address &+ 5, isBusy ? byte | 2 : byte & ~2)
    }

    /// Whether RIP may be `offset` in a code segment: canonical, or within its limit.
    func isWithin(_ code: Descriptor, _ offset: UInt64) -> Bool {
        if isLongMode, code.isLong { return SoftMemory.isCanonical(offset) }
        return offset <= UInt64(code.limit)
    }

    /// CS and CPL. `updateMode` is the caller's.
    func setCode(_ code: Descriptor, level: UInt8) {
        var register = code.register
        register.selector = code.selector & ~3 | UInt16(level)
        s.segment(Segment.cs).pointee = register
        s.cpu.pointee.cpl = level
    }

    /// CS of real and virtual-8086 mode: base and selector; a limit that protected mode has left stays in real mode.
    func setRealCode(_ selector: UInt16) { setRealSegment(Segment.cs, selector) }

    func setRealSegment(_ number: Int, _ selector: UInt16) {
        let register = s.segment(number)
        register.pointee.selector = selector
        register.pointee.base = UInt64(selector) << 4
        if isVirtual8086 {
            register.pointee.limit = 0xffff
            register.pointee.attributes = 0xf3
        } else {
            register.pointee.attributes = register.pointee.attributes & 0xd000 | 0x93
        }
    }

    /// An SS or data segment that cannot be used.
    func setNull(_ number: Int, _ selector: UInt16, level: UInt8 = 0) {
        s.segment(number).pointee = SegmentRegister(
            base: 0, limit: 0, selector: selector, attributes: 0x100 | UInt16(level) << 5)
    }
}
