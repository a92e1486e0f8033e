// Control flow, strings, I/O and system instructions. Source: SDM volume 2, appendix A.

extension TableBuilder {
    mutating func addControlFlow() {
        let near: EntryFlags = [.force64, .endsBlock]
        for condition in 0..<16 as Range<UInt8> {
            add(.one, 0x70 + condition, .jcc, .Jb, flags: near)
            add(.two, 0x80 + condition, .jcc, .Jz, flags: near)
        }
        add(.one, 0xe0, .loopne, .Jb, flags: near)
        add(.one, 0xe1, .loope, .Jb, flags: near)
        add(.one, 0xe2, .loop, .Jb, flags: near)
        add(.one, 0xe3, .jcxz, .Jb, flags: near)
        add(.one, 0xe8, .call, .Jz, flags: near)
        add(.one, 0xe9, .jmp, .Jz, flags: near)
        add(.one, 0xeb, .jmp, .Jb, flags: near)
        add(.one, 0xff, .callIndirect, .Ev, reg: 2, flags: near)
        add(.one, 0xff, .jmpIndirect, .Ev, reg: 4, flags: near)
        add(.one, 0xc2, .ret, .Iw, flags: near)
        add(.one, 0xc3, .ret, flags: near)
        let far: EntryFlags = [.endsBlock, .system]
        add(.one, 0x9a, .callFar, .Ap, flags: far.union(.invalid64))
        add(.one, 0xea, .jmpFar, .Ap, flags: far.union(.invalid64))
        add(.one, 0xff, .callFarIndirect, .Mp, reg: 3, form: .memory, flags: far)
        add(.one, 0xff, .jmpFarIndirect, .Mp, reg: 5, form: .memory, flags: far)
        add(.one, 0xca, .retFar, .Iw, flags: far)
        add(.one, 0xcb, .retFar, flags: far)
        add(.one, 0xcc, .int3, flags: far)
        add(.one, 0xcd, .int, .Ib, flags: far)
        add(.one, 0xce, .into, flags: far.union(.invalid64))
        add(.one, 0xf1, .int1, flags: far)
        add(.one, 0xcf, .iret, flags: far)
        add(.one, 0x62, .bound, .Gv, .Ma, form: .memory, flags: [.invalid64, .system])
        add(.two, 0x0b, .ud2, flags: .endsBlock)
        add(.two, 0xb9, .ud1, .Gv, .Ev, flags: .endsBlock)
        add(.two, 0xff, .ud0, .Gv, .Ev, flags: .endsBlock)
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
        add(.one, 0x6c, .ins, .Yb, .DX, flags: .system)
        add(.one, 0x6d, .ins, .Yv, .DX, flags: .system)
        add(.one, 0x6e, .outs, .DX, .Xb, flags: .system)
        add(.one, 0x6f, .outs, .DX, .Xv, flags: .system)
    }

    mutating func addSystem() {
        addIO()
        addSegments()
        addControlRegisters()
        addGroup7()
        let system: EntryFlags = [.system, .endsBlock]
        add(.one, 0xf4, .hlt, flags: system)
        add(.one, 0xfa, .cli, flags: .system)
        add(.one, 0xfb, .sti, flags: system)
        add(.one, 0x9b, .fwait, flags: .x87)
        add(.two, 0xa2, .cpuid, flags: .system)
        add(.two, 0x31, .rdtsc, flags: .system)
        add(.two, 0x33, .rdpmc, flags: .system)
        add(.two, 0x30, .wrmsr, flags: system)
        add(.two, 0x32, .rdmsr, flags: .system)
        add(.two, 0x05, .syscall, flags: system.union(.only64), feature: .syscall)
        add(.two, 0x07, .sysret, flags: system.union(.only64), feature: .syscall)
        add(.two, 0x34, .sysenter, flags: system, feature: .sysenter)
        add(.two, 0x35, .sysexit, flags: system, feature: .sysenter)
        add(.two, 0x06, .clts, flags: system)
        add(.two, 0x08, .invd, flags: .system)
        add(.two, 0x09, .wbinvd, flags: .system)
        add(.two, 0xaa, .rsm, flags: system)
        add(.three38, 0x82, .invpcid, .Gy, .Mdq, prefix: .p66, form: .memory, flags: system, feature: .invpcid)
        for (reg, mnemonic) in [(6, Mnemonic.rdrand), (7, .rdseed)] as [(UInt8, Mnemonic)] {
            let feature: Feature = mnemonic == .rdrand ? .rdrand : .rdseed
            if mnemonic == .rdseed {
                add(.two, 0xc7, .rdpid, .Ry, prefix: .pF3, reg: 7, form: .register, flags: .system, feature: .rdpid)
            }
            add(.two, 0xc7, mnemonic, .Ev, reg: reg, form: .register, flags: .system, feature: feature)
        }
        addFences()
        // The VMX instructions, which are undefined here, are told apart so that a policy can see them.
        add(.two, 0xc7, .vmptrld, .Mq, prefix: .none, reg: 6, form: .memory, flags: .system)
        add(.two, 0xc7, .vmclear, .Mq, prefix: .p66, reg: 6, form: .memory, flags: .system)
        add(.two, 0xc7, .vmxon, .Mq, prefix: .pF3, reg: 6, form: .memory, flags: .system)
        add(.two, 0xc7, .vmptrst, .Mq, prefix: .none, reg: 7, form: .memory, flags: .system)
        add(.two, 0x78, .vmread, .Ey, .Gy, prefix: .none, flags: .system)
        add(.two, 0x79, .vmwrite, .Gy, .Ey, prefix: .none, flags: .system)
    }

    private mutating func addIO() {
        add(.one, 0xe4, .in_, .AL, .Ib, flags: .system)
        add(.one, 0xe5, .in_, .rAX, .Ib, flags: .system)
        add(.one, 0xe6, .out_, .Ib, .AL, flags: .system)
        add(.one, 0xe7, .out_, .Ib, .rAX, flags: .system)
        add(.one, 0xec, .in_, .AL, .DX, flags: .system)
        add(.one, 0xed, .in_, .rAX, .DX, flags: .system)
        add(.one, 0xee, .out_, .DX, .AL, flags: .system)
        add(.one, 0xef, .out_, .DX, .rAX, flags: .system)
    }

    private mutating func addSegments() {
        let loads: EntryFlags = [.system, .endsBlock]
        add(.one, 0x8c, .movFromSegment, .Ev, .Sw, flags: .system)
        add(.one, 0x8e, .movSegment, .Sw, .Ew, flags: loads)
        for (opcode, segment) in [(0x06, Operand.ES), (0x0e, .CS), (0x16, .SS), (0x1e, .DS)] as [(UInt8, Operand)] {
            add(.one, opcode, .pushSegment, segment, flags: [.invalid64, .system])
            if segment != .CS { add(.one, opcode + 1, .popSegment, segment, flags: loads.union(.invalid64)) }
        }
        for (opcode, segment) in [(0xa0, Operand.FS), (0xa8, .GS)] as [(UInt8, Operand)] {
            add(.two, opcode, .pushSegment, segment, flags: [.default64, .system])
            add(.two, opcode + 1, .popSegment, segment, flags: loads.union(.default64))
        }
        add(.one, 0xc4, .les, .Gv, .Mp, form: .memory, flags: loads.union(.invalid64))
        add(.one, 0xc5, .lds, .Gv, .Mp, form: .memory, flags: loads.union(.invalid64))
        add(.two, 0xb2, .lss, .Gv, .Mp, form: .memory, flags: loads)
        add(.two, 0xb4, .lfs, .Gv, .Mp, form: .memory, flags: loads)
        add(.two, 0xb5, .lgs, .Gv, .Mp, form: .memory, flags: loads)
        let group6: [(Mnemonic, EntryFlags)] = [
            (.sldt, []), (.str, []), (.lldt, .endsBlock), (.ltr, .endsBlock), (.verr, []), (.verw, []),
        ]
        for (number, (mnemonic, flags)) in group6.enumerated() {
            // SLDT and STR store 16 bits in memory whatever the operand size.
            add(
                .two, 0x00, mnemonic, number < 2 ? .Ev : .Ew, reg: UInt8(number),
                flags: flags.union([.system, .protectedOnly]))
        }
        add(.two, 0x02, .lar, .Gv, .Ew, flags: [.system, .protectedOnly])
        add(.two, 0x03, .lsl, .Gv, .Ew, flags: [.system, .protectedOnly])
        add(.one, 0x63, .arpl, .Ew, .Gw, flags: [.system, .protectedOnly, .invalid64])
        for (reg, mnemonic) in [(0, Mnemonic.rdfsbase), (1, .rdgsbase), (2, .wrfsbase), (3, .wrgsbase)]
            as [(UInt8, Mnemonic)]
        {
            add(
                .two, 0xae, mnemonic, .Ey, prefix: .pF3, reg: reg, form: .register, flags: [.system, .only64],
                feature: .fsgsbase)
        }
    }

    private mutating func addControlRegisters() {
        add(.two, 0x20, .movFromCR, .Ry, .Cy, flags: .system)
        add(.two, 0x21, .movFromDR, .Ry, .Dy, flags: .system)
        add(.two, 0x22, .movToCR, .Cy, .Ry, flags: [.system, .endsBlock])
        add(.two, 0x23, .movToDR, .Dy, .Ry, flags: [.system, .endsBlock])
    }

    /// 0F 01.
    private mutating func addGroup7() {
        let system: EntryFlags = [.system, .endsBlock]
        func register(
            _ reg: UInt8, _ rm: UInt8, _ mnemonic: Mnemonic, _ flags: EntryFlags, _ feature: Feature = .base,
            _ self: inout TableBuilder
        ) {
            self.add(.two, 0x01, mnemonic, reg: reg, rm: rm, form: .register, flags: flags, feature: feature)
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
        add(.two, 0x01, .sgdt, .Ms, reg: 0, form: .memory, flags: .system)
        add(.two, 0x01, .sidt, .Ms, reg: 1, form: .memory, flags: .system)
        add(.two, 0x01, .lgdt, .Ms, reg: 2, form: .memory, flags: .system)
        add(.two, 0x01, .lidt, .Ms, reg: 3, form: .memory, flags: .system)
        // SMSW stores 16 bits in memory; LMSW takes 16.
        add(.two, 0x01, .smsw, .Ev, reg: 4, flags: .system)
        add(.two, 0x01, .lmsw, .Ew, reg: 6, flags: system)
        add(.two, 0x01, .invlpg, .Mb, reg: 7, form: .memory, flags: system)
    }

    private mutating func addFences() {
        add(.two, 0xae, .lfence, prefix: .none, reg: 5, form: .register, feature: .sse2)
        add(.two, 0xae, .mfence, prefix: .none, reg: 6, form: .register, feature: .sse2)
        add(.two, 0xae, .sfence, prefix: .none, reg: 7, form: .register, feature: .sse)
        add(.two, 0xae, .clflush, .Mb, prefix: .none, reg: 7, form: .memory, feature: .clflush)
        add(.two, 0xae, .clflushopt, .Mb, prefix: .p66, reg: 7, form: .memory, feature: .clflushopt)
    }
}
