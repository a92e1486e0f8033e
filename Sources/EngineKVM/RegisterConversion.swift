// bp_registers and KVM's structs, both ways. Nothing here judges: RegisterRules does.

import CBackplane
import CHost

extension bp_registers {
    init(_ general: kvm_regs, _ system: kvm_sregs, _ debug: kvm_debugregs) {
        self.init()
        size = UInt32(MemoryLayout<bp_registers>.size)
        self.general = (
            general.rax, general.rcx, general.rdx, general.rbx, general.rsp, general.rbp, general.rsi, general.rdi,
            general.r8, general.r9, general.r10, general.r11, general.r12, general.r13, general.r14, general.r15
        )
        rip = general.rip
        rflags = general.rflags
        es = bp_segment(system.es)
        cs = bp_segment(system.cs)
        ss = bp_segment(system.ss)
        ds = bp_segment(system.ds)
        fs = bp_segment(system.fs)
        gs = bp_segment(system.gs)
        ldtr = bp_segment(system.ldt)
        tr = bp_segment(system.tr)
        gdtr_base = system.gdt.base
        gdtr_limit = system.gdt.limit
        idtr_base = system.idt.base
        idtr_limit = system.idt.limit
        cr0 = system.cr0
        cr2 = system.cr2
        cr3 = system.cr3
        cr4 = system.cr4
        cr8 = system.cr8
        efer = system.efer
        dr = (debug.db.0, debug.db.1, debug.db.2, debug.db.3, 0, 0, debug.dr6, debug.dr7)
    }

    var kvmGeneral: kvm_regs {
        let g = general
        return kvm_regs(
            rax: g.0, rbx: g.3, rcx: g.1, rdx: g.2, rsi: g.6, rdi: g.7, rsp: g.4, rbp: g.5,
            r8: g.8, r9: g.9, r10: g.10, r11: g.11, r12: g.12, r13: g.13, r14: g.14, r15: g.15,
            rip: rip, rflags: rflags | 2)
    }

    var kvmDebug: kvm_debugregs {
        var debug = kvm_debugregs()
        debug.db = (dr.0, dr.1, dr.2, dr.3)
        debug.dr6 = dr.6
        debug.dr7 = dr.7
        return debug
    }

    /// Leaves what bp_registers does not have: the APIC base and an interrupt that waits for delivery.
    func store(in system: inout kvm_sregs) {
        system.es = kvm_segment(es)
        system.cs = kvm_segment(cs)
        system.ss = kvm_segment(ss)
        system.ds = kvm_segment(ds)
        system.fs = kvm_segment(fs)
        system.gs = kvm_segment(gs)
        system.ldt = kvm_segment(ldtr)
        system.tr = kvm_segment(tr)
        system.gdt.base = gdtr_base
        system.gdt.limit = gdtr_limit
        system.idt.base = idtr_base
        system.idt.limit = idtr_limit
        system.cr0 = cr0
        system.cr2 = cr2
        system.cr3 = cr3
        system.cr4 = cr4
        system.cr8 = cr8
        system.efer = efer
    }
}

extension bp_segment {
    init(_ segment: kvm_segment) {
        var attributes = UInt16(segment.type & 15) | UInt16(segment.s & 1) << 4 | UInt16(segment.dpl & 3) << 5
        attributes |= UInt16(segment.present & 1) << 7 | UInt16(segment.unusable & 1) << 8
        attributes |= UInt16(segment.avl & 1) << 12 | UInt16(segment.l & 1) << 13
        attributes |= UInt16(segment.db & 1) << 14 | UInt16(segment.g & 1) << 15
        self.init(base: segment.base, limit: segment.limit, selector: segment.selector, attributes: attributes)
    }
}

extension kvm_segment {
    init(_ segment: bp_segment) {
        func bit(_ number: UInt16) -> UInt8 { UInt8(segment.attributes >> number & 1) }
        self.init()
        base = segment.base
        limit = segment.limit
        selector = segment.selector
        type = UInt8(segment.attributes & 15)
        s = bit(4)
        dpl = UInt8(segment.attributes >> 5 & 3)
        present = bit(7)
        unusable = bit(8)
        avl = bit(12)
        l = bit(13)
        db = bit(14)
        g = bit(15)
    }
}
