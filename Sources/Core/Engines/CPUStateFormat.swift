// A CPU's saved state as tagged fields: names, widths and which of them must be there. docs/engines.md has the table for readers.

import CBackplane

enum CPUStateFormat {
    static let version: UInt32 = 1

    // MARK: Fields that are one number each, and always there

    /// `bits`: 8, 16, 32 or 64.
    struct Number: Sendable {
        let name: String
        let bits: Int
        let get: @Sendable (CPUSnapshot) -> UInt64
        /// The value has no more bits than `bits`.
        let set: @Sendable (inout CPUSnapshot, UInt64) -> Void

        init<T: FixedWidthInteger & UnsignedInteger & SendableMetatype>(
            _ name: String, _ path: WritableKeyPath<CPUSnapshot, T> & Sendable
        ) {
            self.init(
                name, bits: T.bitWidth, get: { UInt64(truncatingIfNeeded: $0[keyPath: path]) },
                set: { $0[keyPath: path] = T(truncatingIfNeeded: $1) })
        }

        init(
            _ name: String, bits: Int, get: @escaping @Sendable (CPUSnapshot) -> UInt64,
            set: @escaping @Sendable (inout CPUSnapshot, UInt64) -> Void
        ) {
            (self.name, self.bits, self.get, self.set) = (name, bits, get, set)
        }
    }

    static let numbers: [Number] = general + segments + system + floating

    private static let general: [Number] = [
        Number("rax", \.registers.general.0), Number("rcx", \.registers.general.1),
        Number("rdx", \.registers.general.2), Number("rbx", \.registers.general.3),
        Number("rsp", \.registers.general.4), Number("rbp", \.registers.general.5),
        Number("rsi", \.registers.general.6), Number("rdi", \.registers.general.7),
        Number("r8", \.registers.general.8), Number("r9", \.registers.general.9),
        Number("r10", \.registers.general.10), Number("r11", \.registers.general.11),
        Number("r12", \.registers.general.12), Number("r13", \.registers.general.13),
        Number("r14", \.registers.general.14), Number("r15", \.registers.general.15),
        Number("rip", \.registers.rip), Number("rflags", \.registers.rflags),
    ]

    private static let segments: [Number] =
        segment("es", \.es) + segment("cs", \.cs) + segment("ss", \.ss) + segment("ds", \.ds) + segment("fs", \.fs)
        + segment("gs", \.gs) + segment("ldtr", \.ldtr) + segment("tr", \.tr)

    private static func segment(
        _ name: String, _ path: WritableKeyPath<bp_registers, bp_segment> & Sendable
    ) -> [Number] {
        func part<T: FixedWidthInteger & UnsignedInteger & SendableMetatype>(
            _ part: String, _ inner: WritableKeyPath<bp_segment, T> & Sendable
        ) -> Number {
            Number(
                "\(name).\(part)", bits: T.bitWidth,
                get: { UInt64(truncatingIfNeeded: $0.registers[keyPath: path][keyPath: inner]) },
                set: { $0.registers[keyPath: path][keyPath: inner] = T(truncatingIfNeeded: $1) })
        }
        return [
            part("selector", \.selector), part("base", \.base), part("limit", \.limit),
            part("attributes", \.attributes),
        ]
    }

    private static let system: [Number] = [
        Number("gdtr.base", \.registers.gdtr_base), Number("gdtr.limit", \.registers.gdtr_limit),
        Number("idtr.base", \.registers.idtr_base), Number("idtr.limit", \.registers.idtr_limit),
        Number("cr0", \.registers.cr0), Number("cr2", \.registers.cr2), Number("cr3", \.registers.cr3),
        Number("cr4", \.registers.cr4), Number("cr8", \.registers.cr8), Number("efer", \.registers.efer),
        Number("xcr0", \.xcr0), Number("dr0", \.registers.dr.0), Number("dr1", \.registers.dr.1),
        Number("dr2", \.registers.dr.2), Number("dr3", \.registers.dr.3), Number("dr6", \.registers.dr.6),
        Number("dr7", \.registers.dr.7),
    ]

    private static let floating: [Number] = [
        Number("fpu.control", \.floating.control), Number("fpu.status", \.floating.status),
        Number("fpu.not_empty", \.floating.notEmpty), Number("fpu.opcode", \.floating.opcode),
        Number("fpu.instruction", \.floating.instructionPointer), Number("fpu.data", \.floating.dataPointer),
        Number("fpu.instruction_selector", \.instructionSelector), Number("fpu.data_selector", \.dataSelector),
        Number("mxcsr", \.floating.mxcsr),
    ]

    /// There where `CPUSnapshot.isPAE`.
    private static let pointers: [Number] = [
        Number("pdpte0", \.pageDirectoryPointers.0), Number("pdpte1", \.pageDirectoryPointers.1),
        Number("pdpte2", \.pageDirectoryPointers.2), Number("pdpte3", \.pageDirectoryPointers.3),
    ]

    // MARK: MSRs

    /// Those with names of their own; the others are "msr." and eight hexadecimal digits.
    private static let msrNames: [(name: String, index: UInt32)] = [
        ("tsc", MSR.tsc), ("apic_base", MSR.apicBase), ("sysenter_cs", MSR.sysenterCS),
        ("sysenter_esp", MSR.sysenterESP), ("sysenter_eip", MSR.sysenterEIP), ("misc_enable", MSR.miscEnable),
        ("pat", MSR.pat), ("star", MSR.star), ("lstar", MSR.lstar), ("cstar", MSR.cstar),
        ("syscall_mask", MSR.syscallMask), ("kernel_gs_base", MSR.kernelGSBase), ("tsc_aux", MSR.tscAux),
    ]

    /// Of these, all that every CPU has.
    static let everyCPUsMSRs = msrNames.map(\.index).filter { $0 != MSR.apicBase }

    /// How an error names one.
    static func name(ofMSR index: UInt32) -> String {
        if let named = msrNames.first(where: { $0.index == index }) { return named.name }
        let digits = String(index, radix: 16)
        return "msr." + String(repeating: "0", count: 8 - digits.count) + digits
    }

    /// nil: the name is of no MSR, or of one that other fields hold.
    private static func msr(named name: String) -> UInt32? {
        if let named = msrNames.first(where: { $0.name == name }) { return named.index }
        guard name.hasPrefix("msr."), let index = UInt32(name.dropFirst(4), radix: 16), self.name(ofMSR: index) == name,
            index != MSR.efer, index != MSR.fsBase, index != MSR.gsBase
        else { return nil }
        return index
    }

    // MARK: Out

    static func encode(_ snapshot: CPUSnapshot) -> StateBuffer {
        var fields: [String: StateBuffer.Field] = [:]
        func put(_ name: String, _ value: UInt64) { fields[name] = .init(content: .unsigned(value)) }
        for number in numbers + (snapshot.isPAE ? pointers : []) { put(number.name, number.get(snapshot)) }
        let stack = (0..<8).flatMap { snapshot.floating.registers[$0 * 16..<$0 * 16 + 10] }
        fields["fpu.registers"] = .init(content: .bytes(stack))
        fields["xmm"] = .init(content: .bytes(snapshot.floating.vectors))
        if snapshot.extendedComponents != 0 {
            put("xstate.components", snapshot.extendedComponents)
            fields["xstate"] = .init(content: .bytes(snapshot.extendedState))
        }
        for (index, value) in snapshot.msrs { put(name(ofMSR: index), value) }
        let pending = snapshot.pending
        put("activity", UInt64(pending.activity.rawValue))
        put("interrupt_shadow", UInt64(pending.shadow.rawValue))
        put("nmi_blocked", pending.isNMIBlocked ? 1 : 0)
        put("nmi_pending", pending.isNMIPending ? 1 : 0)
        put("pending_debug", pending.debugTraps)
        put("string_round", pending.isBetweenRounds ? 1 : 0)
        put("event", pending.event.map(information) ?? 0)
        if let code = pending.event?.errorCode { put("event_error_code", UInt64(code)) }
        return StateBuffer(version: version, fields: fields)
    }

    /// VM-entry interruption-information (SDM volume 3, table 25-17).
    private static func information(_ event: CPUSnapshot.Event) -> UInt64 {
        1 << 31 | (event.errorCode != nil ? 1 << 11 : 0) | UInt64(event.kind.rawValue) << 8 | UInt64(event.vector)
    }

    // MARK: In

    static func decode(_ state: StateBuffer) throws(EngineError) -> CPUSnapshot {
        guard state.version == version else {
            throw EngineError("it is of version \(state.version), and this program knows version \(version)")
        }
        var reader = Reader(fields: state.fields)
        var snapshot = CPUSnapshot()
        snapshot.registers.size = UInt32(MemoryLayout<bp_registers>.size)
        for number in numbers { try number.set(&snapshot, reader.number(number.name, bits: number.bits)) }
        if snapshot.isPAE {
            for number in pointers { try number.set(&snapshot, reader.number(number.name, bits: number.bits)) }
        }
        let stack = try reader.bytes("fpu.registers", count: 80)
        for number in 0..<8 {
            snapshot.floating.registers.replaceSubrange(
                number * 16..<number * 16 + 10, with: stack[number * 10..<number * 10 + 10])
        }
        snapshot.floating.vectors = try reader.bytes("xmm", count: 256)
        if reader.has("xstate.components") {
            snapshot.extendedComponents = try reader.number("xstate.components", bits: 64)
            snapshot.extendedState = try reader.bytes("xstate", atMost: extendedRoom)
        }
        snapshot.pending = try pending(&reader)
        guard reader.has("tsc") else { throw EngineError("field 'tsc' is missing") }
        for name in reader.rest {
            if let index = msr(named: name) {
                snapshot.msrs[index] = try reader.number(name, bits: 64)
            } else if !reader.isOptional(name) {
                throw EngineError("field '\(name)' is unknown")
            }
        }
        return snapshot
    }

    /// Of an image of XSAVE that KVM gives in 4096 bytes.
    private static let extendedRoom = 4096 - 576

    private static func pending(_ reader: inout Reader) throws(EngineError) -> CPUSnapshot.Pending {
        var pending = CPUSnapshot.Pending()
        let activity = try reader.number("activity", below: 2)
        pending.activity = activity == 1 ? .halted : .active
        let shadow = try reader.number("interrupt_shadow", below: 3)
        pending.shadow = shadow == 1 ? .sti : shadow == 2 ? .movSS : .none
        pending.isNMIBlocked = try reader.number("nmi_blocked", below: 2) != 0
        pending.isNMIPending = try reader.number("nmi_pending", below: 2) != 0
        pending.debugTraps = try reader.number("pending_debug", bits: 64)
        pending.isBetweenRounds = try reader.number("string_round", below: 2) != 0
        let information = try reader.number("event", bits: 32)
        guard information >> 31 != 0 else {
            if information != 0 { throw EngineError("field 'event' has bits beside those of an event") }
            return pending
        }
        guard let kind = CPUSnapshot.Event.Kind(rawValue: UInt8(information >> 8 & 7)), information >> 12 & 0x7ffff == 0
        else { throw EngineError("field 'event' is of no kind of event") }
        let code: UInt64? = information >> 11 & 1 != 0 ? try reader.number("event_error_code", bits: 32) : nil
        pending.event = CPUSnapshot.Event(
            kind, UInt8(truncatingIfNeeded: information), errorCode: code.map { UInt32(truncatingIfNeeded: $0) })
        return pending
    }
}

/// Takes fields out, and knows what is left.
private struct Reader {
    private var fields: [String: StateBuffer.Field]

    init(fields: [String: StateBuffer.Field]) { self.fields = fields }

    var rest: [String] { fields.keys.sorted() }
    func has(_ name: String) -> Bool { fields[name] != nil }
    func isOptional(_ name: String) -> Bool { fields[name]?.isOptional ?? true }

    private mutating func take(_ name: String) throws(EngineError) -> StateBuffer.Content {
        guard let field = fields.removeValue(forKey: name) else { throw EngineError("field '\(name)' is missing") }
        return field.content
    }

    mutating func number(_ name: String, bits: Int) throws(EngineError) -> UInt64 {
        guard case .unsigned(let value) = try take(name) else { throw EngineError("field '\(name)' is no number") }
        guard bits == 64 || value >> UInt64(bits) == 0 else {
            throw EngineError("field '\(name)' is 0x\(String(value, radix: 16)): more than \(bits) bits")
        }
        return value
    }

    mutating func number(_ name: String, below limit: UInt64) throws(EngineError) -> UInt64 {
        let value = try number(name, bits: 64)
        guard value < limit else { throw EngineError("field '\(name)' is \(value): 0 to \(limit - 1)") }
        return value
    }

    mutating func bytes(_ name: String, count: Int) throws(EngineError) -> [UInt8] {
        let bytes = try self.bytes(name, atMost: .max)
        guard bytes.count == count else {
            throw EngineError("field '\(name)' has \(bytes.count) bytes: \(count) are needed")
        }
        return bytes
    }

    mutating func bytes(_ name: String, atMost limit: Int) throws(EngineError) -> [UInt8] {
        guard case .bytes(let bytes) = try take(name) else { throw EngineError("field '\(name)' is a number") }
        guard bytes.count <= limit else {
            throw EngineError("field '\(name)' has \(bytes.count) bytes: \(limit) at most")
        }
        return bytes
    }
}
