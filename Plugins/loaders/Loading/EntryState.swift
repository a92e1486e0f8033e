public import PluginKit

/// CPU states that loaders enter an image in, complete, so that nothing of an earlier run is left.
/// Source: Intel SDM volume 3, table 10-1 (state after reset), sections 3.4.3 and 21.1.
extension bp_registers {
    /// 32-bit protected mode without paging: every segment flat, 4 GiB from 0, in the hidden parts of the registers
    /// only. There is no GDT and no IDT: an image that loads a segment register or takes an interrupt has to bring its
    /// own. Interrupts are disabled. CS holds 0x08, the others 0x10.
    public static func flatProtected(entry: UInt32, stack: UInt32 = 0) -> bp_registers {
        var registers = afterReset
        registers.rip = UInt64(entry)
        registers.general.4 = UInt64(stack)
        registers.cr0 = 0x11  // PE and ET
        registers.idtr_limit = 0
        registers.gdtr_limit = 0
        registers.cs = bp_segment(base: 0, limit: .max, selector: 0x08, attributes: 0xC09B)
        registers.setData(bp_segment(base: 0, limit: .max, selector: 0x10, attributes: 0xC093))
        return registers
    }

    /// Real mode with interrupts disabled and the interrupt table at 0. The data segments are all at 0.
    public static func realMode(codeSegment: UInt16, instruction: UInt16, stack: UInt16) -> bp_registers {
        var registers = afterReset
        registers.rip = UInt64(instruction)
        registers.general.4 = UInt64(stack)
        registers.cs = bp_segment(
            base: UInt64(codeSegment) << 4, limit: 0xFFFF, selector: codeSegment, attributes: 0x9B)
        registers.setData(bp_segment(base: 0, limit: 0xFFFF, selector: 0, attributes: 0x93))
        return registers
    }

    private mutating func setData(_ segment: bp_segment) {
        ds = segment
        es = segment
        fs = segment
        gs = segment
        ss = segment
    }

    /// But for CS:RIP, the data segments, EDX (the CPU's signature, which no loader hands on), and CD and NW of CR0,
    /// which firmware clears before it loads anything.
    private static var afterReset: bp_registers {
        var registers = bp_registers()
        registers.size = UInt32(MemoryLayout<bp_registers>.size)
        registers.rflags = 2
        registers.cr0 = 0x10  // ET
        registers.idtr_limit = 0x3FF
        registers.gdtr_limit = 0xFFFF
        registers.ldtr = bp_segment(base: 0, limit: 0xFFFF, selector: 0, attributes: 0x82)
        registers.tr = bp_segment(base: 0, limit: 0xFFFF, selector: 0, attributes: 0x8B)
        registers.dr.6 = 0xFFFF_0FF0
        registers.dr.7 = 0x400
        return registers
    }
}

/// Linux's boot protocols: flat segments with the selectors 0x10 (code) and 0x18 (data), in a descriptor table in memory.
/// Source: Linux, Documentation/arch/x86/boot.rst, "32-bit Boot Protocol" and "64-bit Boot Protocol".
extension bp_registers {
    /// 32-bit protected mode without paging; ESI holds the zero page.
    public static func linux32(entry: UInt32, zeroPage: UInt32, descriptors: UInt64) -> bp_registers {
        var registers = flatProtected(entry: entry)
        registers.setBootSegments(descriptors, code: 0xC09B)
        registers.general.6 = UInt64(zeroPage)
        return registers
    }

    /// 64-bit mode with the page tables at `pageTables`; RSI holds the zero page.
    public static func linux64(
        entry: UInt64, zeroPage: UInt64, descriptors: UInt64, pageTables: UInt64
    ) -> bp_registers {
        var registers = flatProtected(entry: 0)
        registers.setBootSegments(descriptors, code: 0xA09B)
        registers.rip = entry
        registers.general.6 = zeroPage
        registers.cr0 = 0x8000_0011  // PG, ET and PE
        registers.cr3 = pageTables
        registers.cr4 = 0x20  // PAE
        registers.efer = 0x500  // LME and LMA
        return registers
    }

    private mutating func setBootSegments(_ descriptors: UInt64, code: UInt16) {
        gdtr_base = descriptors
        gdtr_limit = 31
        cs = bp_segment(base: 0, limit: .max, selector: 0x10, attributes: code)
        setData(bp_segment(base: 0, limit: .max, selector: 0x18, attributes: 0xC093))
    }
}
