// Arithmetic, data transfer and bit instructions. Source: SDM volume 2, appendix A.

extension TableBuilder {
    mutating func addArithmetic() {
        let group1: [Mnemonic] = [.add, .or, .adc, .sbb, .and, .sub, .xor, .cmp]
        for (number, mnemonic) in group1.enumerated() {
            let base = UInt8(number * 8)
            let lock: EntryFlags = mnemonic == .cmp ? [] : .lockable
            add(.one, base, mnemonic, .Eb, .Gb, flags: lock)
            add(.one, base + 1, mnemonic, .Ev, .Gv, flags: lock)
            add(.one, base + 2, mnemonic, .Gb, .Eb)
            add(.one, base + 3, mnemonic, .Gv, .Ev)
            add(.one, base + 4, mnemonic, .AL, .Ib)
            add(.one, base + 5, mnemonic, .rAX, .Iz)
            add(.one, 0x80, mnemonic, .Eb, .Ib, reg: UInt8(number), flags: lock)
            add(.one, 0x81, mnemonic, .Ev, .Iz, reg: UInt8(number), flags: lock)
            add(.one, 0x82, mnemonic, .Eb, .Ib, reg: UInt8(number), flags: lock.union(.invalid64))
            add(.one, 0x83, mnemonic, .Ev, .Ibs, reg: UInt8(number), flags: lock)
        }
        for register in 0..<8 as Range<UInt8> {
            add(.one, 0x40 + register, .inc, .Zv, flags: .invalid64)
            add(.one, 0x48 + register, .dec, .Zv, flags: .invalid64)
        }
        add(.one, 0x84, .test, .Eb, .Gb)
        add(.one, 0x85, .test, .Ev, .Gv)
        add(.one, 0xa8, .test, .AL, .Ib)
        add(.one, 0xa9, .test, .rAX, .Iz)
        for reg in 0..<2 as Range<UInt8> {
            add(.one, 0xf6, .test, .Eb, .Ib, reg: reg)
            add(.one, 0xf7, .test, .Ev, .Iz, reg: reg)
        }
        for (reg, mnemonic) in [(2, Mnemonic.not), (3, .neg)] as [(UInt8, Mnemonic)] {
            add(.one, 0xf6, mnemonic, .Eb, reg: reg, flags: .lockable)
            add(.one, 0xf7, mnemonic, .Ev, reg: reg, flags: .lockable)
        }
        for (reg, mnemonic) in [(4, Mnemonic.mul), (5, .imul), (6, .div), (7, .idiv)] as [(UInt8, Mnemonic)] {
            add(.one, 0xf6, mnemonic, .Eb, reg: reg)
            add(.one, 0xf7, mnemonic, .Ev, reg: reg)
        }
        for (reg, mnemonic) in [(0, Mnemonic.inc), (1, .dec)] as [(UInt8, Mnemonic)] {
            add(.one, 0xfe, mnemonic, .Eb, reg: reg, flags: .lockable)
            add(.one, 0xff, mnemonic, .Ev, reg: reg, flags: .lockable)
        }
        add(.two, 0xaf, .imul2, .Gv, .Ev)
        add(.one, 0x69, .imul3, .Gv, .Ev, .Iz)
        add(.one, 0x6b, .imul3, .Gv, .Ev, .Ibs)
        let group2: [Mnemonic] = [.rol, .ror, .rcl, .rcr, .shl, .shr, .shl, .sar]
        for (number, mnemonic) in group2.enumerated() {
            let reg = UInt8(number)
            add(.one, 0xc0, mnemonic, .Eb, .Ib, reg: reg)
            add(.one, 0xc1, mnemonic, .Ev, .Ib, reg: reg)
            add(.one, 0xd0, mnemonic, .Eb, .one, reg: reg)
            add(.one, 0xd1, mnemonic, .Ev, .one, reg: reg)
            add(.one, 0xd2, mnemonic, .Eb, .CL, reg: reg)
            add(.one, 0xd3, mnemonic, .Ev, .CL, reg: reg)
        }
        add(.two, 0xa4, .shld, .Ev, .Gv, .Ib)
        add(.two, 0xa5, .shld, .Ev, .Gv, .CL)
        add(.two, 0xac, .shrd, .Ev, .Gv, .Ib)
        add(.two, 0xad, .shrd, .Ev, .Gv, .CL)
        add(.one, 0x27, .daa, flags: .invalid64)
        add(.one, 0x2f, .das, flags: .invalid64)
        add(.one, 0x37, .aaa, flags: .invalid64)
        add(.one, 0x3f, .aas, flags: .invalid64)
        add(.one, 0xd4, .aam, .Ib, flags: .invalid64)
        add(.one, 0xd5, .aad, .Ib, flags: .invalid64)
        add(.one, 0x98, .cbw)
        add(.one, 0x99, .cwd)
        add(.two, 0xb0, .cmpxchg, .Eb, .Gb, flags: .lockable)
        add(.two, 0xb1, .cmpxchg, .Ev, .Gv, flags: .lockable)
        add(.two, 0xc0, .xadd, .Eb, .Gb, flags: .lockable)
        add(.two, 0xc1, .xadd, .Ev, .Gv, flags: .lockable)
        add(.two, 0xc7, .cmpxchg8b, .M, reg: 1, form: .memory, flags: .lockable)
    }

    mutating func addDataTransfer() {
        add(.one, 0x88, .mov, .Eb, .Gb)
        add(.one, 0x89, .mov, .Ev, .Gv)
        add(.one, 0x8a, .mov, .Gb, .Eb)
        add(.one, 0x8b, .mov, .Gv, .Ev)
        add(.one, 0xa0, .mov, .AL, .Ob)
        add(.one, 0xa1, .mov, .rAX, .Ov)
        add(.one, 0xa2, .mov, .Ob, .AL)
        add(.one, 0xa3, .mov, .Ov, .rAX)
        for register in 0..<8 as Range<UInt8> {
            add(.one, 0xb0 + register, .mov, .Zb, .Ib)
            add(.one, 0xb8 + register, .mov, .Zv, .Iv)
            add(.two, 0xc8 + register, .bswap, .Zv)
        }
        add(.one, 0xc6, .mov, .Eb, .Ib, reg: 0)
        add(.one, 0xc7, .mov, .Ev, .Iz, reg: 0)
        add(.two, 0xb6, .movzxb, .Gv, .Eb)
        add(.two, 0xb7, .movzxw, .Gv, .Ew)
        add(.two, 0xbe, .movsxb, .Gv, .Eb)
        add(.two, 0xbf, .movsxw, .Gv, .Ew)
        add(.one, 0x63, .movsxd, .Gv, .Ed, flags: .only64)
        add(.one, 0x8d, .lea, .Gv, .M, form: .memory)
        add(.one, 0x86, .xchg, .Eb, .Gb, flags: .lockable)
        add(.one, 0x87, .xchg, .Ev, .Gv, flags: .lockable)
        add(.one, 0x90, .pause, prefix: .pF3)
        for register in 0..<8 as Range<UInt8> { add(.one, 0x90 + register, .xchg, .Zv, .rAX) }
        // In no manual of Intel's, and in every CPU since the 8086.
        add(.one, 0xd6, .salc, flags: .invalid64)
        add(.one, 0xd7, .xlat)
        for condition in 0..<16 as Range<UInt8> {
            add(.two, 0x40 + condition, .cmov, .Gv, .Ev)
            add(.two, 0x90 + condition, .set, .Eb, flags: .modRM)
        }
        add(.one, 0x9e, .sahf, feature: .lahf64)
        add(.one, 0x9f, .lahf, feature: .lahf64)
        for register in 0..<8 as Range<UInt8> {
            add(.one, 0x50 + register, .push, .Zv, flags: .default64)
            add(.one, 0x58 + register, .pop, .Zv, flags: .default64)
        }
        add(.one, 0x68, .push, .Iz, flags: .default64)
        add(.one, 0x6a, .push, .Ibs, flags: .default64)
        add(.one, 0xff, .push, .Ev, reg: 6, flags: .default64)
        add(.one, 0x8f, .pop, .Ev, reg: 0, flags: .default64)
        add(.one, 0x60, .pusha, flags: .invalid64)
        add(.one, 0x61, .popa, flags: .invalid64)
        add(.one, 0x9c, .pushf, flags: [.default64, .system])
        add(.one, 0x9d, .popf, flags: [.default64, .endsBlock, .system])
        add(.one, 0xc8, .enter, .Iw, .Ib, flags: .default64)
        add(.one, 0xc9, .leave, flags: .default64)
        // Multi-byte NOP, PREFETCH and the hints (ENDBR, RDSSP without CET) are all NOPs with a ModRM byte.
        for opcode in 0x18...0x1f as ClosedRange<UInt8> { add(.two, opcode, .nop, .Ev) }
        add(.two, 0x0d, .prefetch, .M, form: .memory, feature: .prefetchw)
        add(.three38, 0xf0, .crc32b, .Gy, .Eb, prefix: .pF2, feature: .sse42)
        add(.three38, 0xf1, .crc32v, .Gy, .Ev, prefix: .pF2, feature: .sse42)
        add(.three38, 0xf0, .movbe, .Gv, .Mv, prefix: .noRepeat, form: .memory, feature: .movbe)
        add(.three38, 0xf1, .movbe, .Mv, .Gv, prefix: .noRepeat, form: .memory, feature: .movbe)
        add(.two, 0xc3, .movnti, .My, .Gy, prefix: .none, form: .memory, feature: .sse2)
    }

    mutating func addBits() {
        add(.two, 0xa3, .bt, .Ev, .Gv)
        add(.two, 0xab, .bts, .Ev, .Gv, flags: .lockable)
        add(.two, 0xb3, .btr, .Ev, .Gv, flags: .lockable)
        add(.two, 0xbb, .btc, .Ev, .Gv, flags: .lockable)
        let group8: [Mnemonic] = [.bt, .bts, .btr, .btc]
        for (number, mnemonic) in group8.enumerated() {
            add(.two, 0xba, mnemonic, .Ev, .Ib, reg: UInt8(number + 4), flags: mnemonic == .bt ? [] : .lockable)
        }
        add(.two, 0xb8, .popcnt, .Gv, .Ev, prefix: .pF3, feature: .popcnt)
        add(.two, 0xbc, .tzcnt, .Gv, .Ev, prefix: .pF3, feature: .bmi1)
        add(.two, 0xbd, .lzcnt, .Gv, .Ev, prefix: .pF3, feature: .abm)
        add(.two, 0xbc, .bsf, .Gv, .Ev)
        add(.two, 0xbd, .bsr, .Gv, .Ev)
        for (opcode, mnemonic) in [(0xf8, Mnemonic.clc), (0xf9, .stc), (0xf5, .cmc), (0xfc, .cld), (0xfd, .std)]
            as [(UInt8, Mnemonic)]
        {
            add(.one, opcode, mnemonic)
        }
    }
}
