import Loading
import PluginKit
import Testing

/// Attributes as in a VMCS: type 3:0, S 4, DPL 6:5, P 7, D/B 14, G 15.
@Suite struct EntryStateTests {
    @Test func protectedModeIsFlatAndWithoutPaging() {
        let registers = bp_registers.flatProtected(entry: 0x100010, stack: 0x7C00)
        #expect(registers.rip == 0x100010)
        #expect(registers.general.4 == 0x7C00)
        #expect(registers.cr0 == 0x11)
        #expect(registers.cr4 == 0)
        #expect(registers.efer == 0)
        #expect(registers.rflags == 0x2)
        #expect(registers.cs.base == 0)
        #expect(registers.cs.limit == 0xFFFF_FFFF)
        #expect(registers.cs.attributes == 0xC09B)  // code, readable, accessed; S, P, D, G
        for segment in [registers.ds, registers.es, registers.fs, registers.gs, registers.ss] {
            #expect(segment.base == 0)
            #expect(segment.limit == 0xFFFF_FFFF)
            #expect(segment.attributes == 0xC093)  // data, writable, accessed; S, P, B, G
        }
        #expect(registers.gdtr_limit == 0)
        #expect(registers.idtr_limit == 0)
    }

    @Test func realModeHasTheInterruptTableAtZero() {
        let registers = bp_registers.realMode(codeSegment: 0xF000, instruction: 0xFFF0, stack: 0x7C00)
        #expect(registers.rip == 0xFFF0)
        #expect(registers.general.4 == 0x7C00)
        #expect(registers.cr0 == 0x10)
        #expect(registers.rflags == 0x2)
        #expect(registers.cs.selector == 0xF000)
        #expect(registers.cs.base == 0xF0000)
        #expect(registers.cs.limit == 0xFFFF)
        #expect(registers.cs.attributes == 0x9B)
        #expect(registers.ss.base == 0)
        #expect(registers.ss.selector == 0)
        #expect(registers.ss.attributes == 0x93)
        #expect(registers.idtr_base == 0)
        #expect(registers.idtr_limit == 0x3FF)
    }

    /// SDM volume 3, table 10-1.
    @Test func theRestIsAsAfterReset() {
        for registers in [bp_registers.flatProtected(entry: 0), .realMode(codeSegment: 0, instruction: 0, stack: 0)] {
            #expect(registers.dr.6 == 0xFFFF_0FF0)
            #expect(registers.dr.7 == 0x400)
            #expect(registers.tr.attributes == 0x8B)  // a busy 32-bit TSS: VM entry takes no other
            #expect(registers.ldtr.attributes == 0x82)
            #expect(registers.size == UInt32(MemoryLayout<bp_registers>.size))
        }
    }
}

/// Linux, Documentation/arch/x86/boot.rst: __BOOT_CS is 0x10 and __BOOT_DS 0x18.
@Suite struct LinuxEntryStateTests {
    @Test func longModeHasPagingAndTheZeroPageInRSI() {
        let registers = bp_registers.linux64(
            entry: 0x100_0200, zeroPage: 0x10000, descriptors: 0x11000, pageTables: 0x12000)
        #expect(registers.rip == 0x100_0200)
        #expect(registers.general.6 == 0x10000)
        #expect(registers.cr0 == 0x8000_0011)
        #expect(registers.cr3 == 0x12000)
        #expect(registers.cr4 == 0x20)
        #expect(registers.efer == 0x500)
        #expect(registers.rflags == 2)
        #expect(registers.cs.selector == 0x10)
        #expect(registers.cs.attributes == 0xA09B)  // L and not D
        #expect(registers.gdtr_base == 0x11000)
        #expect(registers.gdtr_limit == 31)
        for segment in [registers.ds, registers.es, registers.ss] {
            #expect(segment.selector == 0x18)
            #expect(segment.attributes == 0xC093)
        }
    }

    @Test func protectedModeHasNoPagingAndTheZeroPageInESI() {
        let registers = bp_registers.linux32(entry: 0x100_0000, zeroPage: 0x10000, descriptors: 0x11000)
        #expect(registers.rip == 0x100_0000)
        #expect(registers.general.6 == 0x10000)
        // EBP, EDI and EBX must be zero.
        #expect(registers.general.3 == 0 && registers.general.5 == 0 && registers.general.7 == 0)
        #expect(registers.cr0 == 0x11)
        #expect(registers.cr3 == 0 && registers.cr4 == 0 && registers.efer == 0)
        #expect(registers.cs.selector == 0x10)
        #expect(registers.cs.attributes == 0xC09B)
        #expect(registers.ss.selector == 0x18)
        #expect(registers.gdtr_base == 0x11000)
    }
}
