// Where the guest's registers are in generated code: in registers of their own, from block to block. R15 is S; R10 and R11 are temporaries;
// the guest's RSP is in R9, and its R9, R10, R11 and R15, the least used ones, stay in S.

extension BlockEmitter {
    static let homes: [HostRegister?] = [
        .rax, .rcx, .rdx, .rbx, .r9, .rbp, .rsi, .rdi, .r8, nil, nil, nil, .r12, .r13, .r14, nil,
    ]

    static func home(_ guest: UInt8) -> HostRegister? { homes[Int(guest & 15)] }

    static func place(_ guest: UInt8) -> HostAddress { HostAddress(.r15, Int(guest & 15) * 8) }

    /// The register with a guest's value: its home, or `temporary`.
    mutating func value(_ guest: UInt8, in temporary: HostRegister) -> HostRegister {
        if let home = Self.home(guest) { return home }
        code.mov(.quad, temporary, Self.place(guest))
        return temporary
    }

    /// A register to be changed: its home, or `temporary` with the value, which `finish` puts back.
    mutating func begin(_ guest: UInt8, _ temporary: HostRegister) -> HostRegister { value(guest, in: temporary) }

    mutating func finish(_ guest: UInt8, _ register: HostRegister) {
        if Self.home(guest) == nil { code.mov(.quad, Self.place(guest), register) }
    }

    /// A register to be written as a whole.
    func target(_ guest: UInt8, _ temporary: HostRegister) -> HostRegister { Self.home(guest) ?? temporary }
}

extension Assembler {
    /// All that is in homes to S.
    mutating func storeGuestRegisters() {
        for (guest, home) in BlockEmitter.homes.enumerated() {
            if let home { mov(.quad, HostAddress(.r15, guest * 8), home) }
        }
    }

    mutating func loadGuestRegisters() {
        for (guest, home) in BlockEmitter.homes.enumerated() {
            if let home { mov(.quad, home, HostAddress(.r15, guest * 8)) }
        }
    }
}
