// Which register states a CPU can hold. Source: SDM volume 3, 27.3.1 "Checks on the Guest State Area" with
// "unrestricted guest", which is what a VM entry refuses, and 4.1 (paging modes). Not checked: reserved bits of CR3 and
// CR4, which depend on CPUID: the engines do that.

public import CBackplane

public enum RegisterRules {
    /// The first rule that a state breaks, in words; nil: none.
    public static func broken(by state: bp_registers) -> String? {
        control(state) ?? flags(state) ?? (state.rflags & RFLAGS.vm != 0 ? virtual8086(state) : segments(state))
            ?? systemSegments(state) ?? addresses(state)
    }

    // MARK: Control registers

    private static func control(_ state: bp_registers) -> String? {
        let pe = state.cr0 & CR0.pe != 0
        let pg = state.cr0 & CR0.pg != 0
        let lme = state.efer & EFER.lme != 0
        let lma = state.efer & EFER.lma != 0
        if state.cr0 & ~CR0.defined != 0 { return "CR0 0x\(hex(state.cr0)) has reserved bits" }
        if pg && !pe { return "CR0 0x\(hex(state.cr0)) has PG without PE" }
        if state.cr0 & CR0.nw != 0, state.cr0 & CR0.cd == 0 { return "CR0 0x\(hex(state.cr0)) has NW without CD" }
        if state.cr4 >> 32 != 0 { return "CR4 0x\(hex(state.cr4)) has reserved bits" }
        if state.cr8 > 15 { return "CR8 0x\(hex(state.cr8)) is above 15" }
        if state.efer & ~0x20_fd01 != 0 { return "EFER 0x\(hex(state.efer)) has reserved bits" }
        if lma != (lme && pg) { return "EFER.LMA is not EFER.LME and CR0.PG" }
        if lma, state.cr4 & CR4.pae == 0 { return "long mode without CR4.PAE" }
        if !lma, state.cr4 & CR4.pcide != 0 { return "CR4.PCIDE outside of long mode" }
        if !lma, attribute(state.cs, 13) { return "CS.L outside of long mode" }
        if state.cr3 >> 52 != 0 { return "CR3 0x\(hex(state.cr3)) has reserved bits" }
        if state.dr.6 >> 32 != 0 { return "DR6 0x\(hex(state.dr.6)) has reserved bits" }
        if state.dr.7 >> 32 != 0 { return "DR7 0x\(hex(state.dr.7)) has reserved bits" }
        return nil
    }

    private static func flags(_ state: bp_registers) -> String? {
        if state.rflags & ~0x3f_7fd7 != 0 { return "RFLAGS 0x\(hex(state.rflags)) has reserved bits" }
        guard state.rflags & RFLAGS.vm != 0 else { return nil }
        if state.cr0 & CR0.pe == 0 { return "RFLAGS.VM in real mode" }
        return isLong(state) ? "RFLAGS.VM in long mode" : nil
    }

    // MARK: Segments

    private static func virtual8086(_ state: bp_registers) -> String? {
        for (name, segment) in ordinary(state) {
            let isPlain = segment.limit == 0xffff && segment.attributes == 0xf3
            guard isPlain, segment.base == UInt64(segment.selector) << 4 else {
                let rule = "base selector * 16, limit 0xffff, attributes 0xf3"
                return "\(name) is not a segment of virtual-8086 mode: \(rule)"
            }
        }
        return nil
    }

    private static func segments(_ state: bp_registers) -> String? {
        for (name, segment) in ordinary(state) {
            if let rule = shape(name, segment) { return rule }
            guard isUsable(segment) else { continue }
            if !attribute(segment, 4) { return "\(name) is a system segment" }
            if segment.attributes & 1 == 0 { return "\(name) is not marked accessed" }
            if !["FS", "GS"].contains(name), segment.base >> 32 != 0 { return "\(name) has a base above 4 GiB" }
            let type = segment.attributes & 15
            if name != "CS", type & 8 != 0, type & 2 == 0 { return "\(name) cannot be read" }
        }
        return code(state) ?? stack(state)
    }

    private static func code(_ state: bp_registers) -> String? {
        let cs = state.cs
        guard isUsable(cs) else { return "CS is unusable" }
        // Real mode's CS is writable data, and stays so in protected mode until it is loaded.
        if cs.attributes & 8 == 0, cs.attributes & 15 != 3 { return "CS is not a code segment" }
        if isLong(state), attribute(cs, 13), attribute(cs, 14) { return "CS has both L and D" }
        let level = privilege(cs)
        let stackLevel = privilege(state.ss)
        if cs.attributes & 8 == 0 { return level == 0 ? nil : "CS as real mode has it, with a DPL other than 0" }
        if cs.attributes & 4 == 0, level != stackLevel { return "CS.DPL \(level) is not SS.DPL \(stackLevel)" }
        return level > stackLevel ? "CS.DPL \(level) is above SS.DPL \(stackLevel)" : nil
    }

    private static func stack(_ state: bp_registers) -> String? {
        if state.cr0 & CR0.pe == 0, privilege(state.ss) != 0 { return "SS of real mode has a DPL other than 0" }
        guard isUsable(state.ss), ![3, 7].contains(state.ss.attributes & 15) else { return nil }
        return "SS is not a writable data segment"
    }

    private static func systemSegments(_ state: bp_registers) -> String? {
        for (name, segment) in [("LDTR", state.ldtr), ("TR", state.tr)] {
            if let rule = shape(name, segment) { return rule }
            guard isUsable(segment) else { continue }
            if attribute(segment, 4) { return "\(name) is not a system segment" }
            if segment.selector & 4 != 0 { return "\(name)'s selector points into the LDT" }
        }
        if isUsable(state.ldtr), state.ldtr.attributes & 15 != 2 { return "LDTR is not an LDT" }
        guard isUsable(state.tr) else { return "TR is unusable" }
        let type = state.tr.attributes & 15
        return type == 11 || (type == 3 && !isLong(state)) ? nil : "TR is not a busy TSS"
    }

    private static func shape(_ name: String, _ segment: bp_segment) -> String? {
        if segment.attributes & 0x0e00 != 0 { return "\(name)'s attributes have reserved bits" }
        guard isUsable(segment) else { return nil }
        if !attribute(segment, 7) { return "\(name) is not present" }
        if attribute(segment, 15) {
            if segment.limit & 0xfff != 0xfff { return "\(name) counts pages and its limit does not end in 0xfff" }
        } else if segment.limit >> 20 != 0 {
            return "\(name) counts bytes and its limit is 1 MiB or more"
        }
        return nil
    }

    // MARK: Addresses

    private static func addresses(_ state: bp_registers) -> String? {
        let bits: UInt64 = state.cr4 & CR4.la57 != 0 ? 57 : 48
        func isCanonical(_ address: UInt64) -> Bool {
            let shift = 64 - bits
            return UInt64(bitPattern: Int64(bitPattern: address << shift) >> Int64(shift)) == address
        }
        for (name, base) in [
            ("FS", state.fs.base), ("GS", state.gs.base), ("TR", state.tr.base), ("GDTR", state.gdtr_base),
            ("IDTR", state.idtr_base), ("LDTR", isUsable(state.ldtr) ? state.ldtr.base : 0),
        ] where !isCanonical(base) { return "\(name)'s base 0x\(hex(base)) is not canonical" }
        if isLong(state), attribute(state.cs, 13) {
            return isCanonical(state.rip) ? nil : "RIP 0x\(hex(state.rip)) is not canonical"
        }
        return state.rip >> 32 == 0 ? nil : "RIP 0x\(hex(state.rip)) is above 4 GiB outside of 64-bit mode"
    }

    // MARK: Parts

    private static func ordinary(_ state: bp_registers) -> [(String, bp_segment)] {
        [("CS", state.cs), ("SS", state.ss), ("DS", state.ds), ("ES", state.es), ("FS", state.fs), ("GS", state.gs)]
    }
    private static func isLong(_ state: bp_registers) -> Bool { state.efer & EFER.lma != 0 }
    private static func attribute(_ segment: bp_segment, _ bit: UInt16) -> Bool { segment.attributes >> bit & 1 != 0 }
    private static func isUsable(_ segment: bp_segment) -> Bool { !attribute(segment, 8) }
    private static func privilege(_ segment: bp_segment) -> UInt16 { segment.attributes >> 5 & 3 }
    private static func hex(_ number: UInt64) -> String { String(number, radix: 16) }
}

extension bp_registers {
    /// These registers with the fields set to `to`'s in which `from` and `to` differ. Every field, or group of small
    /// ones, is one aligned word of 8 bytes.
    public func changed(from: bp_registers, to: bp_registers) -> bp_registers {
        var result = self
        // SAFETY: three structs of the same plain C type, read and written within their size.
        withUnsafeBytes(of: from) { from in
            withUnsafeBytes(of: to) { to in
                withUnsafeMutableBytes(of: &result) { result in
                    for offset in stride(from: 8, to: MemoryLayout<bp_registers>.size, by: 8) {
                        let new = to.load(fromByteOffset: offset, as: UInt64.self)
                        if new == from.load(fromByteOffset: offset, as: UInt64.self) { continue }
                        result.storeBytes(of: new, toByteOffset: offset, as: UInt64.self)
                    }
                }
            }
        }
        return result
    }
}
