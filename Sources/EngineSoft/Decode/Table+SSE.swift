// MMX and SSE to SSE4.2, AES, PCLMULQDQ and SHA. Source: SDM volume 2, appendix A (tables ).

extension TableBuilder {
    mutating func addMMXAndSSE() {
        addVectorMoves()
        addVectorIntegers()
        addVectorShifts()
        addVectorFloats()
        addVectorConversions()
        addSSE3()
        addSSE4()
        addCryptography()
        addVectorState()
    }

    // MARK: Kinds of entries

    /// The memory operand must be aligned where it has 16 bytes.
    private mutating func xmm(
        _ opcode: UInt8, _ mnemonic: Mnemonic, _ source: Operand = .Wdq, _ c: Operand = .none,
        _ prefix: MandatoryPrefix = .p66,
        map: OpcodeMap = .two, feature: Feature = .sse2
    ) {
        add(map, opcode, mnemonic, .Vdq, source, c, prefix: prefix, flags: [.sse, .aligned], feature: feature)
    }

    private mutating func mmx(
        _ opcode: UInt8, _ mnemonic: Mnemonic, _ source: Operand = .Qq, _ c: Operand = .none, map: OpcodeMap = .two,
        feature: Feature = .mmx
    ) {
        add(map, opcode, mnemonic, .Pq, source, c, prefix: .none, flags: .mmx, feature: feature)
    }

    private mutating func both(_ opcode: UInt8, _ mnemonic: Mnemonic, _ feature: Feature = .mmx) {
        mmx(opcode, mnemonic, feature: feature)
        xmm(opcode, mnemonic)
    }

    // MARK: Moves

    private mutating func addVectorMoves() {
        func pair(
            _ opcode: UInt8, _ store: UInt8, _ mnemonic: Mnemonic, _ operand: Operand, _ prefix: MandatoryPrefix,
            _ flags: EntryFlags, _ feature: Feature, _ form: ModRMForm, _ self: inout TableBuilder
        ) {
            let flags = flags.union(.sse)
            self.add(.two, opcode, mnemonic, .Vdq, operand, prefix: prefix, form: form, flags: flags, feature: feature)
            self.add(.two, store, mnemonic, operand, .Vdq, prefix: prefix, form: form, flags: flags, feature: feature)
        }
        pair(0x10, 0x11, .movups, .Wdq, .none, [], .sse, .any, &self)
        pair(0x10, 0x11, .movupd, .Wdq, .p66, [], .sse2, .any, &self)
        pair(0x10, 0x11, .movss, .Wd, .pF3, [], .sse, .any, &self)
        pair(0x10, 0x11, .movsd, .Wq, .pF2, [], .sse2, .any, &self)
        add(.two, 0x12, .movhlps, .Vdq, .Udq, prefix: .none, form: .register, flags: .sse, feature: .sse)
        add(.two, 0x16, .movlhps, .Vdq, .Udq, prefix: .none, form: .register, flags: .sse, feature: .sse)
        pair(0x12, 0x13, .movlps, .Mq, .none, [], .sse, .memory, &self)
        pair(0x12, 0x13, .movlpd, .Mq, .p66, [], .sse2, .memory, &self)
        pair(0x16, 0x17, .movhps, .Mq, .none, [], .sse, .memory, &self)
        pair(0x16, 0x17, .movhpd, .Mq, .p66, [], .sse2, .memory, &self)
        pair(0x28, 0x29, .movaps, .Wdq, .none, .aligned, .sse, .any, &self)
        pair(0x28, 0x29, .movapd, .Wdq, .p66, .aligned, .sse2, .any, &self)
        pair(0x6f, 0x7f, .movdqa, .Wdq, .p66, .aligned, .sse2, .any, &self)
        pair(0x6f, 0x7f, .movdqu, .Wdq, .pF3, [], .sse2, .any, &self)
        add(.two, 0x7e, .movq, .Vdq, .Wq, prefix: .pF3, flags: .sse, feature: .sse2)
        add(.two, 0xd6, .movq, .Wq, .Vdq, prefix: .p66, flags: .sse, feature: .sse2)
        add(.two, 0x2b, .movntps, .Mdq, .Vdq, prefix: .none, form: .memory, flags: [.sse, .aligned], feature: .sse)
        add(.two, 0x2b, .movntpd, .Mdq, .Vdq, prefix: .p66, form: .memory, flags: [.sse, .aligned], feature: .sse2)
        add(.two, 0xe7, .movntdq, .Mdq, .Vdq, prefix: .p66, form: .memory, flags: [.sse, .aligned], feature: .sse2)
        add(.two, 0xe7, .movntq, .Mq, .Pq, prefix: .none, form: .memory, flags: .mmx, feature: .sse)
        add(.two, 0x6f, .movq, .Pq, .Qq, prefix: .none, flags: .mmx, feature: .mmx)
        add(.two, 0x7f, .movq, .Qq, .Pq, prefix: .none, flags: .mmx, feature: .mmx)
        add(.two, 0x6e, .movd, .Pq, .Ey, prefix: .none, flags: .mmx, feature: .mmx)
        add(.two, 0x7e, .movd, .Ey, .Pq, prefix: .none, flags: .mmx, feature: .mmx)
        add(.two, 0x6e, .movd, .Vdq, .Ey, prefix: .p66, flags: .sse, feature: .sse2)
        add(.two, 0x7e, .movd, .Ey, .Vdq, prefix: .p66, flags: .sse, feature: .sse2)
        add(.two, 0xd6, .movq2dq, .Vdq, .Nq, prefix: .pF3, form: .register, flags: [.sse, .mmx], feature: .sse2)
        add(.two, 0xd6, .movdq2q, .Pq, .Udq, prefix: .pF2, form: .register, flags: [.sse, .mmx], feature: .sse2)
        add(.two, 0x50, .movmskps, .Gd, .Udq, prefix: .none, form: .register, flags: .sse, feature: .sse)
        add(.two, 0x50, .movmskpd, .Gd, .Udq, prefix: .p66, form: .register, flags: .sse, feature: .sse2)
        add(.two, 0xd7, .pmovmskb, .Gd, .Nq, prefix: .none, form: .register, flags: .mmx, feature: .sse)
        add(.two, 0xd7, .pmovmskb, .Gd, .Udq, prefix: .p66, form: .register, flags: .sse, feature: .sse2)
        add(.two, 0xf7, .maskmovq, .Pq, .Nq, prefix: .none, form: .register, flags: .mmx, feature: .sse)
        add(.two, 0xf7, .maskmovdqu, .Vdq, .Udq, prefix: .p66, form: .register, flags: .sse, feature: .sse2)
        add(.two, 0xc4, .pinsrw, .Pq, .Ed, .Ib, prefix: .none, form: .register, flags: .mmx, feature: .sse)
        add(.two, 0xc4, .pinsrw, .Pq, .Mw, .Ib, prefix: .none, form: .memory, flags: .mmx, feature: .sse)
        add(.two, 0xc4, .pinsrw, .Vdq, .Ed, .Ib, prefix: .p66, form: .register, flags: .sse, feature: .sse2)
        add(.two, 0xc4, .pinsrw, .Vdq, .Mw, .Ib, prefix: .p66, form: .memory, flags: .sse, feature: .sse2)
        add(.two, 0xc5, .pextrw, .Gd, .Nq, .Ib, prefix: .none, form: .register, flags: .mmx, feature: .sse)
        add(.two, 0xc5, .pextrw, .Gd, .Udq, .Ib, prefix: .p66, form: .register, flags: .sse, feature: .sse2)
    }

    // MARK: Integers

    private mutating func addVectorIntegers() {
        let first: [Mnemonic] = [
            .punpcklbw, .punpcklwd, .punpckldq, .packsswb, .pcmpgtb, .pcmpgtw, .pcmpgtd, .packuswb, .punpckhbw,
            .punpckhwd,
            .punpckhdq, .packssdw,
        ]
        for (number, mnemonic) in first.enumerated() {
            // The MMX forms of the low unpacks read 4 bytes.
            mmx(0x60 + UInt8(number), mnemonic, number < 3 ? .Qd : .Qq)
            xmm(0x60 + UInt8(number), mnemonic)
        }
        xmm(0x6c, .punpcklqdq)
        xmm(0x6d, .punpckhqdq)
        both(0x74, .pcmpeqb)
        both(0x75, .pcmpeqw)
        both(0x76, .pcmpeqd)
        let late: [(UInt8, Mnemonic, Feature)] = [
            (0xd1, .psrlw, .mmx), (0xd2, .psrld, .mmx), (0xd3, .psrlq, .mmx), (0xd4, .paddq, .sse2),
            (0xd5, .pmullw, .mmx),
            (0xd8, .psubusb, .mmx), (0xd9, .psubusw, .mmx), (0xda, .pminub, .sse), (0xdb, .pand, .mmx),
            (0xdc, .paddusb, .mmx),
            (0xdd, .paddusw, .mmx), (0xde, .pmaxub, .sse), (0xdf, .pandn, .mmx), (0xe0, .pavgb, .sse),
            (0xe1, .psraw, .mmx),
            (0xe2, .psrad, .mmx), (0xe3, .pavgw, .sse), (0xe4, .pmulhuw, .sse), (0xe5, .pmulhw, .mmx),
            (0xe8, .psubsb, .mmx),
            (0xe9, .psubsw, .mmx), (0xea, .pminsw, .sse), (0xeb, .por, .mmx), (0xec, .paddsb, .mmx),
            (0xed, .paddsw, .mmx),
            (0xee, .pmaxsw, .sse), (0xef, .pxor, .mmx), (0xf1, .psllw, .mmx), (0xf2, .pslld, .mmx),
            (0xf3, .psllq, .mmx),
            (0xf4, .pmuludq, .sse2), (0xf5, .pmaddwd, .mmx), (0xf6, .psadbw, .sse), (0xf8, .psubb, .mmx),
            (0xf9, .psubw, .mmx),
            (0xfa, .psubd, .mmx), (0xfb, .psubq, .sse2), (0xfc, .paddb, .mmx), (0xfd, .paddw, .mmx),
            (0xfe, .paddd, .mmx),
        ]
        for (opcode, mnemonic, feature) in late { both(opcode, mnemonic, feature) }
        mmx(0x70, .pshufw, .Qq, .Ib, feature: .sse)
        xmm(0x70, .pshufd, .Wdq, .Ib)
        xmm(0x70, .pshufhw, .Wdq, .Ib, .pF3)
        xmm(0x70, .pshuflw, .Wdq, .Ib, .pF2)
        add(.two, 0x77, .emms, prefix: .none, flags: .mmx, feature: .mmx)
    }

    private mutating func addVectorShifts() {
        let groups: [(UInt8, UInt8, Mnemonic)] = [
            (0x71, 2, .psrlw), (0x71, 4, .psraw), (0x71, 6, .psllw), (0x72, 2, .psrld), (0x72, 4, .psrad),
            (0x72, 6, .pslld),
            (0x73, 2, .psrlq), (0x73, 6, .psllq),
        ]
        for (opcode, reg, mnemonic) in groups {
            add(.two, opcode, mnemonic, .Nq, .Ib, prefix: .none, reg: reg, form: .register, flags: .mmx, feature: .mmx)
            add(.two, opcode, mnemonic, .Udq, .Ib, prefix: .p66, reg: reg, form: .register, flags: .sse, feature: .sse2)
        }
        add(.two, 0x73, .psrldq, .Udq, .Ib, prefix: .p66, reg: 3, form: .register, flags: .sse, feature: .sse2)
        add(.two, 0x73, .pslldq, .Udq, .Ib, prefix: .p66, reg: 7, form: .register, flags: .sse, feature: .sse2)
    }

    // MARK: Floating point

    private mutating func addVectorFloats() {
        let arithmetic: [(UInt8, [Mnemonic])] = [
            (0x51, [.sqrtps, .sqrtpd, .sqrtss, .sqrtsd]), (0x58, [.addps, .addpd, .addss, .addsd]),
            (0x59, [.mulps, .mulpd, .mulss, .mulsd]), (0x5c, [.subps, .subpd, .subss, .subsd]),
            (0x5d, [.minps, .minpd, .minss, .minsd]), (0x5e, [.divps, .divpd, .divss, .divsd]),
            (0x5f, [.maxps, .maxpd, .maxss, .maxsd]),
        ]
        for (opcode, names) in arithmetic { fourFloats(opcode, names, .none) }
        fourFloats(0xc2, [.cmpps, .cmppd, .cmpss, .cmpsd], .Ib)
        xmm(0x52, .rsqrtps, .Wdq, .none, .none, feature: .sse)
        xmm(0x52, .rsqrtss, .Wd, .none, .pF3, feature: .sse)
        xmm(0x53, .rcpps, .Wdq, .none, .none, feature: .sse)
        xmm(0x53, .rcpss, .Wd, .none, .pF3, feature: .sse)
        let logic: [(UInt8, Mnemonic, Mnemonic, Operand)] = [
            (0x54, .andps, .andpd, .none), (0x55, .andnps, .andnpd, .none), (0x56, .orps, .orpd, .none),
            (0x57, .xorps, .xorpd, .none), (0x14, .unpcklps, .unpcklpd, .none), (0x15, .unpckhps, .unpckhpd, .none),
            (0xc6, .shufps, .shufpd, .Ib),
        ]
        for (opcode, single, double, immediate) in logic {
            xmm(opcode, single, .Wdq, immediate, .none, feature: .sse)
            xmm(opcode, double, .Wdq, immediate)
        }
        xmm(0x2e, .ucomiss, .Wd, .none, .none, feature: .sse)
        xmm(0x2e, .ucomisd, .Wq)
        xmm(0x2f, .comiss, .Wd, .none, .none, feature: .sse)
        xmm(0x2f, .comisd, .Wq)
    }

    private mutating func fourFloats(_ opcode: UInt8, _ names: [Mnemonic], _ immediate: Operand) {
        xmm(opcode, names[0], .Wdq, immediate, .none, feature: .sse)
        xmm(opcode, names[1], .Wdq, immediate, .p66)
        xmm(opcode, names[2], .Wd, immediate, .pF3, feature: .sse)
        xmm(opcode, names[3], .Wq, immediate, .pF2)
    }

    private mutating func addVectorConversions() {
        xmm(0x5a, .cvtps2pd, .Wq, .none, .none)
        xmm(0x5a, .cvtpd2ps)
        xmm(0x5a, .cvtss2sd, .Wd, .none, .pF3)
        xmm(0x5a, .cvtsd2ss, .Wq, .none, .pF2)
        xmm(0x5b, .cvtdq2ps, .Wdq, .none, .none)
        xmm(0x5b, .cvtps2dq)
        xmm(0x5b, .cvttps2dq, .Wdq, .none, .pF3)
        xmm(0xe6, .cvttpd2dq)
        xmm(0xe6, .cvtdq2pd, .Wq, .none, .pF3)
        xmm(0xe6, .cvtpd2dq, .Wdq, .none, .pF2)
        xmm(0x2a, .cvtsi2ss, .Ey, .none, .pF3, feature: .sse)
        xmm(0x2a, .cvtsi2sd, .Ey, .none, .pF2)
        let integers: [(UInt8, Mnemonic, Mnemonic)] = [(0x2c, .cvttss2si, .cvttsd2si), (0x2d, .cvtss2si, .cvtsd2si)]
        for (opcode, single, double) in integers {
            add(.two, opcode, single, .Gy, .Wd, prefix: .pF3, flags: .sse, feature: .sse)
            add(.two, opcode, double, .Gy, .Wq, prefix: .pF2, flags: .sse, feature: .sse2)
        }
        let both: EntryFlags = [.sse, .mmx, .aligned]
        add(.two, 0x2a, .cvtpi2ps, .Vdq, .Qq, prefix: .none, flags: both, feature: .sse)
        add(.two, 0x2a, .cvtpi2pd, .Vdq, .Qq, prefix: .p66, flags: both, feature: .sse2)
        add(.two, 0x2c, .cvttps2pi, .Pq, .Wq, prefix: .none, flags: both, feature: .sse)
        add(.two, 0x2c, .cvttpd2pi, .Pq, .Wdq, prefix: .p66, flags: both, feature: .sse2)
        add(.two, 0x2d, .cvtps2pi, .Pq, .Wq, prefix: .none, flags: both, feature: .sse)
        add(.two, 0x2d, .cvtpd2pi, .Pq, .Wdq, prefix: .p66, flags: both, feature: .sse2)
    }

    // MARK: SSE3 and later

    private mutating func addSSE3() {
        let floats: [(UInt8, Mnemonic, Mnemonic)] = [
            (0x7c, .haddpd, .haddps), (0x7d, .hsubpd, .hsubps), (0xd0, .addsubpd, .addsubps),
        ]
        for (opcode, double, single) in floats {
            xmm(opcode, double, feature: .sse3)
            xmm(opcode, single, .Wdq, .none, .pF2, feature: .sse3)
        }
        xmm(0x12, .movddup, .Wq, .none, .pF2, feature: .sse3)
        xmm(0x12, .movsldup, .Wdq, .none, .pF3, feature: .sse3)
        xmm(0x16, .movshdup, .Wdq, .none, .pF3, feature: .sse3)
        add(.two, 0xf0, .lddqu, .Vdq, .Mdq, prefix: .pF2, form: .memory, flags: .sse, feature: .sse3)
        let supplemental: [(UInt8, Mnemonic)] = [
            (0x00, .pshufb), (0x01, .phaddw), (0x02, .phaddd), (0x03, .phaddsw), (0x04, .pmaddubsw), (0x05, .phsubw),
            (0x06, .phsubd), (0x07, .phsubsw), (0x08, .psignb), (0x09, .psignw), (0x0a, .psignd), (0x0b, .pmulhrsw),
            (0x1c, .pabsb), (0x1d, .pabsw), (0x1e, .pabsd),
        ]
        for (opcode, mnemonic) in supplemental {
            mmx(opcode, mnemonic, map: .three38, feature: .ssse3)
            xmm(opcode, mnemonic, map: .three38, feature: .ssse3)
        }
        mmx(0x0f, .palignr, .Qq, .Ib, map: .three3A, feature: .ssse3)
        xmm(0x0f, .palignr, .Wdq, .Ib, map: .three3A, feature: .ssse3)
    }

    private mutating func addSSE4() {
        let two: [(UInt8, Mnemonic, Operand)] = [
            (0x10, .pblendvb, .Wdq), (0x14, .blendvps, .Wdq), (0x15, .blendvpd, .Wdq), (0x17, .ptest, .Wdq),
            (0x20, .pmovsxbw, .Wq), (0x21, .pmovsxbd, .Wd), (0x22, .pmovsxbq, .Ww), (0x23, .pmovsxwd, .Wq),
            (0x24, .pmovsxwq, .Wd), (0x25, .pmovsxdq, .Wq), (0x28, .pmuldq, .Wdq), (0x29, .pcmpeqq, .Wdq),
            (0x2b, .packusdw, .Wdq), (0x30, .pmovzxbw, .Wq), (0x31, .pmovzxbd, .Wd), (0x32, .pmovzxbq, .Ww),
            (0x33, .pmovzxwd, .Wq), (0x34, .pmovzxwq, .Wd), (0x35, .pmovzxdq, .Wq), (0x38, .pminsb, .Wdq),
            (0x39, .pminsd, .Wdq), (0x3a, .pminuw, .Wdq), (0x3b, .pminud, .Wdq), (0x3c, .pmaxsb, .Wdq),
            (0x3d, .pmaxsd, .Wdq),
            (0x3e, .pmaxuw, .Wdq), (0x3f, .pmaxud, .Wdq), (0x40, .pmulld, .Wdq), (0x41, .phminposuw, .Wdq),
        ]
        for (opcode, mnemonic, source) in two { xmm(opcode, mnemonic, source, map: .three38, feature: .sse41) }
        xmm(0x37, .pcmpgtq, map: .three38, feature: .sse42)
        add(
            .three38, 0x2a, .movntdqa, .Vdq, .Mdq, prefix: .p66, form: .memory, flags: [.sse, .aligned], feature: .sse41
        )
        let withImmediate: [(UInt8, Mnemonic, Operand)] = [
            (0x08, .roundps, .Wdq), (0x09, .roundpd, .Wdq), (0x0a, .roundss, .Wd), (0x0b, .roundsd, .Wq),
            (0x0c, .blendps, .Wdq),
            (0x0d, .blendpd, .Wdq), (0x0e, .pblendw, .Wdq), (0x21, .insertps, .Wd), (0x40, .dpps, .Wdq),
            (0x41, .dppd, .Wdq),
            (0x42, .mpsadbw, .Wdq),
        ]
        for (opcode, mnemonic, source) in withImmediate {
            xmm(opcode, mnemonic, source, .Ib, map: .three3A, feature: .sse41)
        }
        // The forms of strings take memory operands that are not aligned.
        let texts: [(UInt8, Mnemonic)] = [
            (0x60, .pcmpestrm), (0x61, .pcmpestri), (0x62, .pcmpistrm), (0x63, .pcmpistri),
        ]
        for (opcode, mnemonic) in texts {
            add(.three3A, opcode, mnemonic, .Vdq, .Wdq, .Ib, prefix: .p66, flags: .sse, feature: .sse42)
        }
        let elements: [(UInt8, Mnemonic, Operand)] = [
            (0x14, .pextrb, .Mb), (0x15, .pextrw, .Mw), (0x17, .extractps, .Md),
        ]
        for (opcode, mnemonic, memory) in elements {
            add(.three3A, opcode, mnemonic, .Ed, .Vdq, .Ib, prefix: .p66, form: .register, flags: .sse, feature: .sse41)
            add(
                .three3A, opcode, mnemonic, memory, .Vdq, .Ib, prefix: .p66, form: .memory, flags: .sse, feature: .sse41
            )
        }
        // With REX.W PEXTRQ and PINSRQ.
        add(.three3A, 0x16, .pextrd, .Ey, .Vdq, .Ib, prefix: .p66, flags: .sse, feature: .sse41)
        add(.three3A, 0x22, .pinsrd, .Vdq, .Ey, .Ib, prefix: .p66, flags: .sse, feature: .sse41)
        add(.three3A, 0x20, .pinsrb, .Vdq, .Ed, .Ib, prefix: .p66, form: .register, flags: .sse, feature: .sse41)
        add(.three3A, 0x20, .pinsrb, .Vdq, .Mb, .Ib, prefix: .p66, form: .memory, flags: .sse, feature: .sse41)
    }

    private mutating func addCryptography() {
        let aes: [(UInt8, Mnemonic)] = [
            (0xdb, .aesimc), (0xdc, .aesenc), (0xdd, .aesenclast), (0xde, .aesdec), (0xdf, .aesdeclast),
        ]
        for (opcode, mnemonic) in aes { xmm(opcode, mnemonic, map: .three38, feature: .aes) }
        xmm(0xdf, .aeskeygenassist, .Wdq, .Ib, map: .three3A, feature: .aes)
        xmm(0x44, .pclmulqdq, .Wdq, .Ib, map: .three3A, feature: .pclmul)
        let sha: [(UInt8, Mnemonic)] = [
            (0xc8, .sha1nexte), (0xc9, .sha1msg1), (0xca, .sha1msg2), (0xcb, .sha256rnds2), (0xcc, .sha256msg1),
            (0xcd, .sha256msg2),
        ]
        for (opcode, mnemonic) in sha { xmm(opcode, mnemonic, .Wdq, .none, .none, map: .three38, feature: .sha) }
        xmm(0xcc, .sha1rnds4, .Wdq, .Ib, .none, map: .three3A, feature: .sha)
    }

    // MARK: State

    private mutating func addVectorState() {
        add(.two, 0xae, .fxsave, .Mfx, prefix: .none, reg: 0, form: .memory, feature: .sse)
        add(.two, 0xae, .fxrstor, .Mfx, prefix: .none, reg: 1, form: .memory, feature: .sse)
        add(.two, 0xae, .ldmxcsr, .Md, prefix: .none, reg: 2, form: .memory, flags: .sse, feature: .sse)
        add(.two, 0xae, .stmxcsr, .Md, prefix: .none, reg: 3, form: .memory, flags: .sse, feature: .sse)
        add(.two, 0xae, .xsave, .Mxsave, prefix: .none, reg: 4, form: .memory, flags: .system, feature: .xsave)
        add(.two, 0xae, .xrstor, .Mxsave, prefix: .none, reg: 5, form: .memory, flags: .system, feature: .xsave)
        add(.two, 0xae, .xsaveopt, .Mxsave, prefix: .none, reg: 6, form: .memory, flags: .system, feature: .xsaveopt)
    }
}
