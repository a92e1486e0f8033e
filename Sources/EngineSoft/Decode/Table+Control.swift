// Control flow, strings, I/O and system instructions. Source: SDM volume 2, appendix A.

extension TableBuilder {
    mutating func addControlFlow() {
        let near: EntryFlags = [.force64, .endsBlock]
        for condition in 0..<16 as Range<UInt8> {
            add(.one, 0x70 + condition, .jcc, .Jb, near)
            add(.two, 0x80 + condition, .jcc, .Jz, near)
        }
        add(.one, 0xe0, .loopne, .Jb, near)
        add(.one, 0xe1, .loope, .Jb, near)
        add(.one, 0xe2, .loop, .Jb, near)
        add(.one, 0xe3, .jcxz, .Jb, near)
        add(.one, 0xe8, .call, .Jz, near)
        add(.one, 0xe9, .jmp, .Jz, near)
        add(.one, 0xeb, .jmp, .Jb, near)
        add(.one, 0xff, .callIndirect, .Ev, reg: 2, near)
        add(.one, 0xff, .jmpIndirect, .Ev, reg: 4, near)
        add(.one, 0xc2, .ret, .Iw, near)
        add(.one, 0xc3, .ret, near)
        let far: EntryFlags = [.endsBlock, .system]
        add(.one, 0x9a, .callFar, .Ap, far.union(.invalid64))
        add(.one, 0xea, .jmpFar, .Ap, far.union(.invalid64))
        add(.one, 0xff, .callFarIndirect, .Mp, reg: 3, form: .memory, far)
        add(.one, 0xff, .jmpFarIndirect, .Mp, reg: 5, form: .memory, far)
        add(.one, 0xca, .retFar, .Iw, far)
        add(.one, 0xcb, .retFar, far)
        add(.one, 0xcc, .int3, far)
        add(.one, 0xcd, .int, .Ib, far)
        add(.one, 0xce, .into, far.union(.invalid64))
        add(.one, 0xf1, .int1, far)
        add(.one, 0xcf, .iret, far)
        add(.one, 0x62, .bound, .Gv, .Ma, form: .memory, [.invalid64, .system])
        add(.two, 0x0b, .ud2, .endsBlock)
        add(.two, 0xb9, .ud1, .Gv, .Ev, .endsBlock)
        add(.two, 0xff, .ud0, .Gv, .Ev, .endsBlock)
    }

    mutating func addStrings() {
        add(.one, 0xa4, .movs, .Yb, .Xb)
        add(.one, 0xa5, .movs, .Yv, .Xv)
        add(.one, 0xa6, .cmps, .Xb, .Yb)
        add(.one, 0xa7, .cmps, .Xv, .Yv)
        add(.one, 0xaa, .stos, .Yb, .AL)
        add(.one, 0xab, .stos, .Yv, .rAX)
        add(.one, 0xac, .lods, .AL, .Xb)
        add(.one, 0xad, .lods, .rAX, .Xv)
        add(.one, 0xae, .scas, .AL, .Yb)
        add(.one, 0xaf, .scas, .rAX, .Yv)
        add(.one, 0x6c, .ins, .Yb, .DX, .system)
        add(.one, 0x6d, .ins, .Yv, .DX, .system)
        add(.one, 0x6e, .outs, .DX, .Xb, .system)
        add(.one, 0x6f, .outs, .DX, .Xv, .system)
    }

    mutating func addSystem() {
        addIO()
        addSegments()
        addControlRegisters()
        addGroup7()
        let system: EntryFlags = [.system, .endsBlock]
        add(.one, 0xf4, .hlt, system)
        add(.one, 0xfa, .cli, .system)
        add(.one, 0xfb, .sti, system)
        add(.one, 0x9b, .fwait, .x87)
        add(.two, 0xa2, .cpuid, .system)
        add(.two, 0x31, .rdtsc, .system)
        add(.two, 0x33, .rdpmc, .system)
        add(.two, 0x30, .wrmsr, system)
        add(.two, 0x32, .rdmsr, .system)
        add(.two, 0x05, .syscall, system.union(.only64), feature: .syscall)
        add(.two, 0x07, .sysret, system.union(.only64), feature: .syscall)
        add(.two, 0x34, .sysenter, system, feature: .sysenter)
        add(.two, 0x35, .sysexit, system, feature: .sysenter)
        add(.two, 0x06, .clts, system)
        add(.two, 0x08, .invd, .system)
        add(.two, 0x09, .wbinvd, .system)
        add(.two, 0xaa, .rsm, system)
        add(.three38, 0x82, .invpcid, .Gy, .Mdq, prefix: .p66, form: .memory, system, feature: .invpcid)
        for (reg, mnemonic) in [(6, Mnemonic.rdrand), (7, .rdseed)] as [(UInt8, Mnemonic)] {
            let feature: Feature = mnemonic == .rdrand ? .rdrand : .rdseed
            if mnemonic == .rdseed { add(.two, 0xc7, .rdpid, .Ry, prefix: .pF3, reg: 7, form: .register, .system, feature: .rdpid) }
            add(.two, 0xc7, mnemonic, .Ev, reg: reg, form: .register, .system, feature: feature)
        }
        addFences()
        // The VMX instructions, which are undefined here, are told apart so that a policy can see them.
        add(.two, 0xc7, .vmptrld, .Mq, prefix: .none, reg: 6, form: .memory, .system)
        add(.two, 0xc7, .vmclear, .Mq, prefix: .p66, reg: 6, form: .memory, .system)
        add(.two, 0xc7, .vmxon, .Mq, prefix: .pF3, reg: 6, form: .memory, .system)
        add(.two, 0xc7, .vmptrst, .Mq, prefix: .none, reg: 7, form: .memory, .system)
        add(.two, 0x78, .vmread, .Ey, .Gy, prefix: .none, .system)
        add(.two, 0x79, .vmwrite, .Gy, .Ey, prefix: .none, .system)
    }

    private mutating func addIO() {
        add(.one, 0xe4, .in_, .AL, .Ib, .system)
        add(.one, 0xe5, .in_, .rAX, .Ib, .system)
        add(.one, 0xe6, .out_, .Ib, .AL, .system)
        add(.one, 0xe7, .out_, .Ib, .rAX, .system)
        add(.one, 0xec, .in_, .AL, .DX, .system)
        add(.one, 0xed, .in_, .rAX, .DX, .system)
        add(.one, 0xee, .out_, .DX, .AL, .system)
        add(.one, 0xef, .out_, .DX, .rAX, .system)
    }

    private mutating func addSegments() {
        let loads: EntryFlags = [.system, .endsBlock]
        add(.one, 0x8c, .movFromSegment, .Ev, .Sw, .system)
        add(.one, 0x8e, .movSegment, .Sw, .Ew, loads)
        for (opcode, segment) in [(0x06, Operand.ES), (0x0e, .CS), (0x16, .SS), (0x1e, .DS)] as [(UInt8, Operand)] {
            add(.one, opcode, .pushSegment, segment, [.invalid64, .system])
            if segment != .CS { add(.one, opcode + 1, .popSegment, segment, loads.union(.invalid64)) }
        }
        for (opcode, segment) in [(0xa0, Operand.FS), (0xa8, .GS)] as [(UInt8, Operand)] {
            add(.two, opcode, .pushSegment, segment, [.default64, .system])
            add(.two, opcode + 1, .popSegment, segment, loads.union(.default64))
        }
        add(.one, 0xc4, .les, .Gv, .Mp, form: .memory, loads.union(.invalid64))
        add(.one, 0xc5, .lds, .Gv, .Mp, form: .memory, loads.union(.invalid64))
        add(.two, 0xb2, .lss, .Gv, .Mp, form: .memory, loads)
        add(.two, 0xb4, .lfs, .Gv, .Mp, form: .memory, loads)
        add(.two, 0xb5, .lgs, .Gv, .Mp, form: .memory, loads)
        let group6: [(Mnemonic, EntryFlags)] = [
            (.sldt, []), (.str, []), (.lldt, .endsBlock), (.ltr, .endsBlock), (.verr, []), (.verw, []),
        ]
        for (number, (mnemonic, flags)) in group6.enumerated() {
            // SLDT and STR store 16 bits in memory whatever the operand size.
            add(.two, 0x00, mnemonic, number < 2 ? .Ev : .Ew, reg: UInt8(number), flags.union([.system, .protectedOnly]))
        }
        add(.two, 0x02, .lar, .Gv, .Ew, [.system, .protectedOnly])
        add(.two, 0x03, .lsl, .Gv, .Ew, [.system, .protectedOnly])
        add(.one, 0x63, .arpl, .Ew, .Gw, [.system, .protectedOnly, .invalid64])
        for (reg, mnemonic) in [(0, Mnemonic.rdfsbase), (1, .rdgsbase), (2, .wrfsbase), (3, .wrgsbase)] as [(UInt8, Mnemonic)] {
            add(.two, 0xae, mnemonic, .Ey, prefix: .pF3, reg: reg, form: .register, [.system, .only64], feature: .fsgsbase)
        }
    }

    private mutating func addControlRegisters() {
        add(.two, 0x20, .movFromCR, .Ry, .Cy, .system)
        add(.two, 0x21, .movFromDR, .Ry, .Dy, .system)
        add(.two, 0x22, .movToCR, .Cy, .Ry, [.system, .endsBlock])
        add(.two, 0x23, .movToDR, .Dy, .Ry, [.system, .endsBlock])
    }

    /// 0F 01.
    private mutating func addGroup7() {
        let system: EntryFlags = [.system, .endsBlock]
        func register(_ reg: UInt8, _ rm: UInt8, _ mnemonic: Mnemonic, _ flags: EntryFlags, _ feature: Feature = .base, _ self: inout TableBuilder) {
            self.add(.two, 0x01, mnemonic, reg: reg, rm: rm, form: .register, flags, feature: feature)
        }
        register(0, 1, .vmcall, system, .base, &self)
        register(0, 2, .vmlaunch, system, .base, &self)
        register(0, 3, .vmresume, system, .base, &self)
        register(0, 4, .vmxoff, system, .base, &self)
        register(1, 0, .monitor, .system, .monitor, &self)
        register(1, 1, .mwait, system, .monitor, &self)
        register(1, 2, .clac, system, .smap, &self)
        register(1, 3, .stac, system, .smap, &self)
        register(2, 0, .xgetbv, .system, .xsave, &self)
        register(2, 1, .xsetbv, system, .xsave, &self)
        register(3, 0, .vmrun, system, .base, &self)
        register(3, 1, .vmmcall, system, .base, &self)
        register(7, 0, .swapgs, system.union(.only64), .base, &self)
        register(7, 1, .rdtscp, .system, .rdtscp, &self)
        add(.two, 0x01, .sgdt, .Ms, reg: 0, form: .memory, .system)
        add(.two, 0x01, .sidt, .Ms, reg: 1, form: .memory, .system)
        add(.two, 0x01, .lgdt, .Ms, reg: 2, form: .memory, .system)
        add(.two, 0x01, .lidt, .Ms, reg: 3, form: .memory, .system)
        // SMSW stores 16 bits in memory; LMSW takes 16.
        add(.two, 0x01, .smsw, .Ev, reg: 4, .system)
        add(.two, 0x01, .lmsw, .Ew, reg: 6, system)
        add(.two, 0x01, .invlpg, .Mb, reg: 7, form: .memory, system)
    }

    private mutating func addFences() {
        add(.two, 0xae, .lfence, prefix: .none, reg: 5, form: .register, feature: .sse2)
        add(.two, 0xae, .mfence, prefix: .none, reg: 6, form: .register, feature: .sse2)
        add(.two, 0xae, .sfence, prefix: .none, reg: 7, form: .register, feature: .sse)
        add(.two, 0xae, .clflush, .Mb, prefix: .none, reg: 7, form: .memory, feature: .clflush)
        add(.two, 0xae, .clflushopt, .Mb, prefix: .p66, reg: 7, form: .memory, feature: .clflushopt)
    }
}
