// The steps. Opcodes: SDM volume 2.

extension WitnessCase {
    static let steps: [Step] =
        segmentSteps + querySteps + tableSteps + controlSteps + farSteps + eventSteps + callSteps + pageSteps

    private static let legacy: @Sendable (WitnessMode) -> Bool = { !$0.is64 && !$0.is16 }
    private static let protected: @Sendable (WitnessMode) -> Bool = { !$0.is16 }
    private static let not64: @Sendable (WitnessMode) -> Bool = { !$0.is64 }

    private static let segmentSteps: [Step] = [
        Step("mov sreg") { c in
            c.load(0, c.likelyData())
            c.code += [0x8e, 0xc0 | c.random.pick([0, 2, 3, 4, 5]) << 3]
        },
        Step("pop sreg") { c in
            let selector = c.likelyData()
            c.code += [0x68] + bytes(selector, c.mode.is16 ? 2 : 4)
            var opcodes: [[UInt8]] = [[0x0f, 0xa1], [0x0f, 0xa9]]
            if !c.mode.is64 { opcodes += [[0x07], [0x17], [0x1f]] }
            c.code += c.random.pick(opcodes)
        },
        Step("load far pointer") { c in
            let place = c.data([(0x1234_5678, c.mode.is16 ? 2 : 4), (c.likelyData(), 2)])
            var opcodes: [[UInt8]] = [[0x0f, 0xb2], [0x0f, 0xb4]]
            if !c.mode.is64 { opcodes += [[0xc4], [0xc5], [0x0f, 0xb5]] }
            c.code += c.random.pick(opcodes) + c.absolute(3, place)
        },
        Step("mov from sreg") { c in c.code += [0x8c, 0xc1 | c.random.pick([0, 1, 2, 3, 4, 5]) << 3] },
        Step("use segment", not64) { c in
            // MOV EAX, seg:[small offset]
            let prefix: UInt8 = c.random.pick([0x26, 0x36, 0x3e, 0x64, 0x65, 0x2e])
            let opcode: UInt8 = c.random.pick([0x8b, 0x89])
            c.code += [prefix, opcode] + c.absolute(0, Image.data + 0x700)
        },
    ]

    private static let querySteps: [Step] = [
        Step("lar", protected) { c in
            c.load(0, c.selector())
            c.code += [0x0f, 0x02, 0xc8]
        },
        Step("lsl", protected) { c in
            c.load(0, c.selector())
            c.code += [0x0f, 0x03, 0xc8]
        },
        Step("verr", protected) { c in
            c.load(0, c.selector())
            c.code += [0x0f, 0x00, 0xe0]
        },
        Step("verw", protected) { c in
            c.load(0, c.selector())
            c.code += [0x0f, 0x00, 0xe8]
        },
        Step("arpl", not64) { c in
            c.load(0, c.selector())
            c.load(1, c.selector())
            c.code += [0x63, 0xc8]
        },
    ]

    private static let tableSteps: [Step] = [
        Step("lldt") { c in
            let selector: UInt64 = c.random.chance(60) ? 0x90 : c.selector()
            c.load(0, selector)
            c.code += [0x0f, 0x00, 0xd0]
        },
        Step("ltr") { c in
            let selector: UInt64 = c.random.chance(50) ? c.random.pick([0x68, 0x78, 0x88, 0x130]) : c.selector()
            c.load(0, selector)
            c.code += [0x0f, 0x00, 0xd8]
        },
        Step("sldt, str") { c in c.code += [0x0f, 0x00, c.random.pick([0xc1, 0xc9])] },
        Step("sgdt, sidt") { c in
            c.code += [0x0f, 0x01] + c.absolute(c.random.pick([0, 1]), c.data([(0, 8), (0, 8)]))
        },
        Step("lgdt, lidt") { c in
            let isIDT = c.random.chance(50)
            let base = UInt64(isIDT ? Image.idt : Image.gdt)
            let limit: UInt64 = c.random.pick([0x17f, 0x3ff, 0x1ff, 0x6f, 0])
            let place = c.data([(limit, 2), (base, 8)])
            c.code += [0x0f, 0x01] + c.absolute(isIDT ? 3 : 2, place)
        },
        Step("smsw") { c in c.code += [0x0f, 0x01, 0xe1] },
        Step("lmsw") { c in
            let protection: UInt64 = c.mode == .real ? 0 : 1
            let others = UInt64(c.random.below(8)) << 1
            c.load(0, protection | others)
            c.code += [0x0f, 0x01, 0xf0]
        },
    ]

    private static let registers: [UInt64] = [
        0x174, 0x175, 0x176, 0x277, 0xc000_0080, 0xc000_0081, 0xc000_0082, 0xc000_0084, 0xc000_0100, 0xc000_0102,
    ]

    private static let controlSteps: [Step] = [
        Step("mov from cr") { c in c.code += [0x0f, 0x20, 0xc1 | c.random.pick([0, 2, 3, 4, 1, 5]) << 3] },
        Step("mov to cr0") { c in
            var now: UInt64 = 0x8001_0031
            if c.mode == .real { now = 0x10 }
            if c.mode == .flat || c.mode == .user { now = 0x31 }
            let bit: UInt64 = c.random.pick([0, 1, 2, 3, 4, 5, 8, 16, 18, 29, 30, 31])
            c.load(0, now ^ 1 << bit)
            c.code += [0x0f, 0x22, 0xc0]
        },
        Step("mov to cr2, cr3") { c in
            let isCR3 = c.random.chance(50)
            let tables = UInt64(c.mode.isLong ? Image.longTables : Image.directory)
            let bits: UInt64 = c.random.pick([0, 8, 0x10, 0x18])
            c.load(0, isCR3 ? tables | bits : 0x1234_5678)
            c.code += [0x0f, 0x22, isCR3 ? 0xd8 : 0xd0]
        },
        Step("mov to cr4") { c in
            let now: UInt64 = c.mode.isLong ? 0x20 : 0
            let bit: UInt64 = c.random.pick([2, 3, 4, 7, 8, 9, 10, 15, 23, 31])
            c.load(0, now ^ 1 << bit)
            c.code += [0x0f, 0x22, 0xe0]
        },
        Step("rdmsr") { c in
            c.load(1, c.random.pick(registers))
            c.code += [0x0f, 0x32]
        },
        Step("wrmsr") { c in
            c.load(1, c.random.pick(registers))
            let low: UInt64 = c.random.pick([0x28, 0x0007_0406, 0xd01, 0x501, 0x0007_0407, 0x1234_5678])
            let high: UInt64 = c.random.pick([0, 0x0007_0406, 0x001b_0028, 0xffff_8000, 0x7fff, 0x8000])
            c.load(0, low)
            c.load(2, high)
            c.code += [0x0f, 0x30]
        },
        Step("clts") { c in c.code += [0x0f, 0x06] },
        Step("invlpg") { c in c.code += [0x0f, 0x01] + c.absolute(7, Image.data) },
        Step("wbinvd") { c in c.code += [0x0f, c.random.pick([0x08, 0x09])] },
        Step("cli, sti") { c in c.code += [c.random.pick([0xfa, 0xfb])] },
        Step("pushf") { c in c.code += [0x9c] },
        Step("popf") { c in
            c.code += [0x68] + bytes(c.flags(), c.mode.is16 ? 2 : 4)
            c.code += [0x9d]
        },
        Step("mov from dr") { c in c.code += [0x0f, 0x21, 0xc1 | c.random.pick([0, 3, 4, 5, 6, 7]) << 3] },
        Step("mov to dr") { c in
            let number: UInt8 = c.random.pick([0, 1, 4, 6, 7])
            var values: [UInt64] = [0x1234]
            if number == 7 { values = [0x400, 0, 0x700] }
            if number == 6 || number == 4 { values = [0, 0xffff_ffff, 0xe00f] }
            c.load(0, c.random.pick(values))
            c.code += [0x0f, 0x23, 0xc0 | number << 3]
        },
        Step("in, out") { c in c.code += c.random.pick([[0xe4, 0x71], [0xe6, 0x80], [0xee], [0xec]]) },
        Step("swapgs", { $0.is64 }) { c in c.code += [0x0f, 0x01, 0xf8] },
        Step("hlt") { c in c.code += [0xf4] },
    ]

    private static let farSteps: [Step] = [
        Step("far jmp", not64) { c in
            let selector = c.mode.is16 ? 0 : c.likelyCode()
            c.code += [0xea] + bytes(c.offset(), c.mode.is16 ? 2 : 4) + bytes(selector, 2)
        },
        Step("far call", not64) { c in
            let selector = c.mode.is16 ? 0 : c.likelyCode()
            c.code += [0x9a] + bytes(c.offset(), c.mode.is16 ? 2 : 4) + bytes(selector, 2)
        },
        Step("far jmp memory", protected) { c in
            let place = c.data([(c.offset(), 4), (c.likelyCode(), 2)])
            c.code += [0xff] + c.absolute(5, place)
        },
        Step("far call memory", protected) { c in
            let place = c.data([(c.offset(), 4), (c.likelyCode(), 2)])
            c.code += [0xff] + c.absolute(3, place)
        },
        Step("retf") { c in
            let selector = c.mode.is16 ? 0 : c.likelyCode()
            let size = c.mode.is16 ? 2 : 4
            c.frame([c.offset(), selector, UInt64(Image.userStack), c.likelyData()], size)
            c.code += c.random.chance(70) ? [0xcb] : [0xca, 8, 0]
        },
        Step("iret") { c in
            let selector = c.mode.is16 ? 0 : c.likelyCode()
            let size = c.mode.is16 ? 2 : c.mode.is64 ? 8 : 4
            let target = c.offset()
            let values = [target, selector, c.flags(), UInt64(Image.userStack), c.likelyData()]
            c.frame(values, size)
            c.code += c.mode.is64 ? [0x48, 0xcf] : [0xcf]
        },
        Step("iret to virtual-8086", { $0 == .paged || $0 == .flat }) { c in
            c.frame(
                [UInt64(Image.arrivals - 0x5000), 0x500, 0x2_0002 | c.flags(), 0x100, 0x600, 0x900, 0x900, 0, 0xffff], 4
            )
            c.code += [0xcf]
        },
    ]

    private static let eventSteps: [Step] = [
        Step("int n") { c in
            let vector = c.random.chance(85) ? UInt8(0x30 + c.random.below(14)) : c.random.pick([3, 4, 8, 13, 0x50])
            c.code += [0xcd, vector]
        },
        Step("int3, into, int1") { c in c.code += [c.random.pick(c.mode.is64 ? [0xcc] : [0xcc, 0xce])] },
        Step("ud2") { c in c.code += [0x0f, 0x0b] },
        Step("div 0") { c in c.code += [0x31, 0xc9, 0xf7, 0xf1] },
        Step("bound", not64) { c in
            let place = c.data([(5, c.mode.is16 ? 2 : 4), (9, c.mode.is16 ? 2 : 4)])
            c.load(0, c.random.pick([5, 9, 10, 4]))
            c.code += [0x62] + c.absolute(0, place)
        },
    ]

    private static let callSteps: [Step] = [
        Step("syscall") { c in
            for (msr, low, high) in [
                (0xc000_0081, 0, 0x0023_0028), (0xc000_0082, UInt64(Image.arrivals), 0), (0xc000_0084, 0x4700, 0),
            ] as [(UInt64, UInt64, UInt64)]
            where !c.mode.isUser {
                c.load(1, msr)
                c.load(0, low)
                c.load(2, high)
                c.code += [0x0f, 0x30]
            }
            c.code += [0x0f, 0x05]
        },
        Step("sysret", { $0.isLong }) { c in
            if !c.mode.isUser {
                c.load(1, 0xc000_0081)
                c.load(0, 0)
                c.load(2, 0x001b_0028)
                c.code += [0x0f, 0x30]
            }
            c.load(1, UInt64(Image.arrivals))
            c.load(3, c.flags())
            if c.mode.is64 { c.code += [0x49, 0x89, 0xdb] }
            c.code += c.mode.is64 && c.random.chance(60) ? [0x48, 0x0f, 0x07] : [0x0f, 0x07]
        },
        Step("sysenter") { c in
            for (msr, low) in [
                (0x174, c.random.pick([8, 0x28, 0])), (0x175, UInt64(Image.innerStack)),
                (0x176, UInt64(Image.arrivals)),
            ] as [(UInt64, UInt64)]
            where !c.mode.isUser && c.mode != .virtual8086 {
                c.load(1, msr)
                c.load(0, low)
                c.load(2, 0)
                c.code += [0x0f, 0x30]
            }
            c.code += [0x0f, 0x34]
        },
        Step("sysexit") { c in
            if !c.mode.isUser && c.mode != .virtual8086 {
                c.load(1, 0x174)
                c.load(0, c.random.pick([8, 0]))
                c.load(2, 0)
                c.code += [0x0f, 0x30]
            }
            c.load(1, UInt64(Image.userStack))
            c.load(2, UInt64(Image.arrivals))
            c.code += [0x0f, 0x35]
        },
    ]

    private static let pageSteps: [Step] = [
        Step("read page", protected) { c in
            c.code += [0x8b] + c.absolute(0, c.page())
        },
        Step("write page", protected) { c in
            c.code += [0x89] + c.absolute(0, c.page())
        },
        Step("modify page", protected) { c in
            c.code += [0x01] + c.absolute(0, c.page())
        },
        Step("run page", protected) { c in
            c.load(0, UInt64(c.page()))
            c.code += [0xff, 0xe0]
        },
        Step("push to page", protected) { c in
            c.load(4, UInt64(c.page() & ~0xff | c.random.pick([0x10, 2])))
            c.code += [0x50]
        },
        Step("fault on a bad stack", protected) { c in
            c.load(4, UInt64(Image.rights + 0x5010))
            c.code += [0x0f, 0x0b]
        },
    ]
}
