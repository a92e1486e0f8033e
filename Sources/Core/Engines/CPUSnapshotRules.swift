// Which snapshots are of no CPU. Source: SDM volume 3, 27.3.1.4 and 27.3.1.5 ("Checks on Guest Non-Register State"), 27.2.1.3 (event injection).

extension CPUSnapshot {
    /// The first rule that it breaks, in words that name the field; nil: none. What depends on the CPU's features is the engine's to refuse.
    public var brokenRule: String? {
        RegisterRules.broken(by: registers) ?? floatingRule ?? pending.brokenRule(self)
    }

    private var floatingRule: String? {
        if floating.control & ~0x1f3f != 0x40 { return "fpu.control \(hex(floating.control)) has reserved bits" }
        if floating.opcode >> 11 != 0 { return "fpu.opcode \(hex(floating.opcode)) has more than 11 bits" }
        if floating.mxcsr >> 16 != 0 { return "mxcsr \(hex(floating.mxcsr)) has reserved bits" }
        if xcr0 & 1 == 0 { return "xcr0 \(hex(xcr0)) is without x87" }
        if xcr0 & 6 == 4 { return "xcr0 \(hex(xcr0)) has AVX without SSE" }
        if extendedComponents & 3 != 0 { return "xstate.components \(hex(extendedComponents)) has x87 or SSE" }
        return extendedComponents == 0 && !extendedState.isEmpty ? "xstate is there without xstate.components" : nil
    }
}

extension CPUSnapshot.Pending {
    fileprivate func brokenRule(_ all: CPUSnapshot) -> String? {
        let state = all.registers
        let isProtected = state.cr0 & 1 != 0
        let takesInterrupts = state.rflags >> 9 & 1 != 0
        if shadow == .sti, !takesInterrupts { return "interrupt_shadow is STI's with RFLAGS.IF clear" }
        if debugTraps & ~0xc00f != 0 { return "pending_debug \(hex(debugTraps)) has bits that are no trap's" }
        if activity == .halted {
            if shadow != .none { return "activity is HLT with an interrupt shadow" }
            if isProtected, state.ss.attributes >> 5 & 3 != 0 { return "activity is HLT in a ring other than 0" }
            if event != nil || debugTraps != 0 { return "activity is HLT, and an event waits that ends it" }
            if isBetweenRounds { return "activity is HLT within a string instruction" }
        }
        guard let event else { return nil }
        if debugTraps != 0 { return "pending_debug and event are there both" }
        switch event.kind {
        case .external:
            if !takesInterrupts { return "event is an interrupt with RFLAGS.IF clear" }
            if shadow != .none { return "event is an interrupt in an interrupt shadow" }
        case .nmi:
            if event.vector != 2 { return "event is an NMI of vector \(event.vector)" }
            if shadow == .movSS { return "event is an NMI in MOV SS's shadow" }
            if isNMIBlocked { return "event is an NMI, and NMIs are blocked" }
        case .exception:
            if event.vector > 31 || event.vector == 2 { return "event is an exception of vector \(event.vector)" }
        }
        let hasCode = event.kind == .exception && isProtected && [8, 10, 11, 12, 13, 14, 17].contains(event.vector)
        if hasCode != (event.errorCode != nil) {
            return "event of vector \(event.vector) \(hasCode ? "lacks its" : "has no") error code"
        }
        return event.errorCode.map { $0 >> 16 != 0 } ?? false ? "event_error_code has more than 16 bits" : nil
    }
}

private func hex<T: FixedWidthInteger & UnsignedInteger>(_ number: T) -> String { "0x" + String(number, radix: 16) }
