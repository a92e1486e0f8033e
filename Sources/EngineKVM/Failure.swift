// The text of an engine error: the reason in words, registers, and the code where the CPU stands.

import CBackplane
import CHost
import Core

extension KVMCPU {
    /// An exit that ends the run in failure.
    func exitFailure(_ reason: UInt32) -> EngineError {
        switch Int32(truncatingIfNeeded: reason) {
        case KVM_EXIT_INTERNAL_ERROR: failure(internalError())
        case KVM_EXIT_FAIL_ENTRY: failure(entryFailure(ch_run_entry_failure(shared)))
        case KVM_EXIT_UNKNOWN:
            failure("KVM does not know the hardware's exit reason 0x\(hex(ch_run_unknown_reason(shared)))")
        case KVM_EXIT_EXCEPTION: failure("KVM_EXIT_EXCEPTION: an exception that KVM could not deliver")
        default: failure("KVM exit \(reason), which this engine does not know")
        }
    }

    /// Codes of Linux's include/uapi/linux/kvm.h.
    private func internalError() -> String {
        let suberror = ch_run_suberror(shared)
        var words: String
        switch suberror {
        case 1: words = "KVM could not emulate an instruction"
        case 2: words = "KVM met an exception while it delivered an exception"
        case 3: words = "KVM met an exit while it delivered an event"
        case 4: words = "KVM met an exit that it does not expect"
        default: words = "KVM internal error \(suberror)"
        }
        if suberror == 1 {
            let bytes = failedInstruction()
            if !bytes.isEmpty { words += ": " + text(bytes) }
            return words
        }
        let data = (0..<ch_run_internal_count(shared)).map { "0x" + hex(ch_run_internal_data(shared, $0)) }
        return data.isEmpty ? words : words + " (data: \(data.joined(separator: " ")))"
    }

    /// A KVM that emulates supervisor code does not emulate INT3 in protected mode, and asks instead.
    func isEmulatedBreakpoint(_ reason: UInt32) -> Bool {
        debug.softwareBreakpoints && reason == KVM_EXIT_INTERNAL_ERROR && ch_run_suberror(shared) == 1
            && failedInstruction().first == 0xcc
    }

    private func failedInstruction() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 15)
        let count = ch_run_failed_instruction(shared, &bytes)
        return Array(bytes.prefix(Int(count)))
    }

    /// Intel: bit 31 marks an entry failure, the rest is the basic exit reason (SDM volume 3, 27.8). AMD:
    /// VMEXIT_INVALID.
    private func entryFailure(_ reason: UInt64) -> String {
        let words =
            switch reason {
            case 0x8000_0021: "invalid guest state"
            case 0x8000_0022: "MSR loading failed"
            case 0x8000_0029: "machine check during entry"
            case 0xffff_ffff, 0xffff_ffff_ffff_ffff: "invalid guest state, VMEXIT_INVALID"
            case 7: "VM entry with invalid control fields"
            case 8: "VM entry with invalid host state"
            default: "no name for it"
            }
        return "the CPU refused to enter the guest: hardware reason 0x\(hex(reason)) (\(words))"
    }

    func failure(_ words: String) -> EngineError {
        let state: bp_registers
        do throws(EngineError) {
            state = try registers()
        } catch {
            return EngineError("\(words)\n(registers: \(error))")
        }
        return EngineError("\(words)\(unwritable(state))\n\(state.text)\n\(code(at: state))")
    }

    /// The processor's own writes - A and D bits, what an interrupt pushes, busy bits - leave no instruction for KVM to emulate: where they go to ROM
    /// or to memory whose writes a policy watches, it gives up.
    private func unwritable(_ state: bp_registers) -> String {
        let isPaged = state.cr0 >> 31 & 1 != 0
        let tables = isPaged && engine.isReadOnly(state.cr3 & 0xf_ffff_ffff_f000) ? ["page tables"] : []
        let others = [
            ("stack", state.ss.base &+ state.general.4 &- 1), ("GDT", state.gdtr_base), ("LDT", state.ldtr.base),
            ("TSS", state.tr.base),
        ].filter { (try? translate($0.1)).map { $0.map(engine.isReadOnly) ?? false } ?? false }
        let names = tables + others.map(\.0)
        if names.isEmpty { return "" }
        return
            "; memory that cannot be written (ROM, or watched by a policy) holds its \(names.joined(separator: ", ")): "
            + "the processor's own writes to it are no exits of KVM; engine 'soft' has them"
    }

    private func code(at state: bp_registers) -> String {
        let linear = state.linearRIP
        guard let physical = try? translate(linear) else { return "code at 0x\(hex(linear)): not mapped" }
        let bytes = engine.bytes(at: physical, count: min(16, Int(4096 - physical & 0xfff)))
        if bytes.isEmpty { return "code at 0x\(hex(linear)), physical 0x\(hex(physical)): no memory there" }
        return "code at 0x\(hex(linear)): \(text(bytes))"
    }

    private func text(_ bytes: [UInt8]) -> String {
        bytes.map { hex(UInt64($0), digits: 2) }.joined(separator: " ")
    }
}

extension bp_registers {
    /// Several lines.
    var text: String {
        let g = general
        let values = [
            g.0, g.3, g.1, g.2, g.6, g.7, g.5, g.4, g.8, g.9, g.10, g.11, g.12, g.13, g.14, g.15,
        ]
        let names = [
            "RAX", "RBX", "RCX", "RDX", "RSI", "RDI", "RBP", "RSP", "R8 ", "R9 ", "R10", "R11", "R12", "R13", "R14",
            "R15",
        ]
        var lines: [String] = []
        for row in 0..<4 {
            let entries = (row * 4..<row * 4 + 4).map { "\(names[$0]) \(hex(values[$0], digits: 16))" }
            lines.append(entries.joined(separator: "  "))
        }
        lines.append("RIP \(hex(rip, digits: 16))  RFLAGS \(hex(rflags, digits: 8))")
        lines.append(
            "CR0 \(hex(cr0, digits: 8))  CR2 \(hex(cr2, digits: 16))  CR3 \(hex(cr3, digits: 16))  "
                + "CR4 \(hex(cr4, digits: 8))  CR8 \(hex(cr8))  EFER \(hex(efer))")
        for (name, segment) in [
            ("CS", cs), ("SS", ss), ("DS", ds), ("ES", es), ("FS", fs), ("GS", gs), ("LDTR", ldtr), ("TR", tr),
        ] {
            lines.append(
                name + String(repeating: " ", count: 5 - name.utf8.count)
                    + "\(hex(UInt64(segment.selector), digits: 4))  base \(hex(segment.base, digits: 16))  "
                    + "limit \(hex(UInt64(segment.limit), digits: 8))  "
                    + "attributes \(hex(UInt64(segment.attributes), digits: 4))")
        }
        lines.append(
            "GDTR base \(hex(gdtr_base, digits: 16)) limit \(hex(UInt64(gdtr_limit), digits: 4))  "
                + "IDTR base \(hex(idtr_base, digits: 16)) limit \(hex(UInt64(idtr_limit), digits: 4))")
        return lines.joined(separator: "\n")
    }
}
