// Registers after RESET. Source: SDM volume 3, table 11-1 ("Processor States Following Power-up, Reset, or INIT").

public import CBackplane

extension bp_registers {
    /// `signature`: EDX, as CPUID leaf 1 gives it in EAX.
    public static func powerOn(signature: UInt32) -> bp_registers {
        func segment(_ selector: UInt16, base: UInt64 = 0, attributes: UInt16) -> bp_segment {
            bp_segment(base: base, limit: 0xffff, selector: selector, attributes: attributes)
        }
        var state = bp_registers()
        state.size = UInt32(MemoryLayout<bp_registers>.size)
        state.general.2 = UInt64(signature)
        state.rip = 0xfff0
        state.rflags = RFLAGS.fixed
        state.cs = segment(0xf000, base: 0xffff_0000, attributes: 0x9b)
        let data = segment(0, attributes: 0x93)
        (state.ss, state.ds, state.es, state.fs, state.gs) = (data, data, data, data, data)
        state.ldtr = segment(0, attributes: 0x82)
        state.tr = segment(0, attributes: 0x8b)
        state.gdtr_limit = 0xffff
        state.idtr_limit = 0xffff
        state.cr0 = CR0.cd | CR0.nw | CR0.et
        state.dr.6 = DR6.fixed
        state.dr.7 = DR7.fixed
        return state
    }
}
