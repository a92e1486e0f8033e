// x87 code against the interpreter, which is held to the host's CPU: random programs of loads, arithmetic, comparisons and stores among integer code, on
// pages that are absent, read-only or new, come to the same registers, status word, tags and pointers, whether the stack is as their blocks were
// translated for or not.

import Testing

@testable import Core
@testable import EngineSoft

struct FloatingStackTests {
    @Test(arguments: [true, false]) func programsComeToTheStateThatTheInterpreterLeaves(is64: Bool) throws {
        let guests = try PagedComparison(Self.program)
        var (faults, halted): (UInt64, Int) = (0, 0)
        let programs = 200 * Soak.factor
        for number in 0..<programs {
            guard let end = guests.run(Soak.seed &* 5_000_011 &+ UInt64(number), is64: is64) else { return }
            faults += end.faults
            if end.how == "halted" { halted += 1 }
        }
        // Some unmask an exception, and nobody handles it.
        #expect(faults > 100 && halted > programs / 2, "\(faults) faults, \(halted) of \(programs) programs halted")
    }

    // MARK: What an instruction does to the stack

    @Test func theStackIsFollowedThroughPushesAndPops() {
        var x87 = X87Control()
        (x87.control, x87.status, x87.notEmpty) = (0x37f, 7 << 11, 0x80)
        var stack = FloatingStack(x87)
        #expect(stack.height == 1 && stack.physical(0) == 7 && stack.hasUsualControl)
        stack.open(1)
        stack.apply(Self.effect([0xd9, 0xe8]))  // fld1
        #expect(stack.top == 6 && stack.notEmpty == 0xc0 && stack.changed == 0x40 && stack.depth == 2)
        stack.apply(Self.effect([0xde, 0xc1]))  // faddp
        #expect(stack.top == 7 && stack.notEmpty == 0x80 && stack.changed == 0x80 && stack.depth == 1)
        #expect(stack.rounding == .host && stack.hasFlags)
        stack.apply(Self.effect([0xdd, 0xd8]))  // fstp st(0)
        #expect(stack.top == 0 && stack.notEmpty == 0 && stack.changed == 0 && stack.depth == 0)
        #expect(stack.storedTop == 7 && stack.storedNotEmpty == 0x80)
        stack.close()
        #expect(stack.storedTop == 0 && stack.storedNotEmpty == 0)
    }

    @Test func otherPrecisionAndRoundingAreNotTheUsualControl() {
        for (control, isUsual) in [(0x37f, true), (0x27f, false), (0xf7f, false), (0x37e, false), (0x137f, true)] {
            var x87 = X87Control()
            x87.control = UInt16(control)
            #expect(FloatingStack(x87).hasUsualControl == isUsual, "\(String(control, radix: 16))")
        }
    }

    private static func effect(_ bytes: [UInt8]) -> FloatingEffect {
        var decoder = Decoder(features: .all)
        var i = Instruction()
        _ = (bytes + [UInt8](repeating: 0x90, count: 14)).withUnsafeBufferPointer {
            decoder.decode($0.baseAddress!, count: $0.count, mode: [.code64], into: &i)
        }
        return FloatingEffect(i)!
    }
}

extension FloatingStackTests {
    // MARK: Programs

    static func program(_ guest: PagedGuest) {
        fill(guest)
        guest.append([0xdb, 0xe3])  // fninit
        if guest.random.chance(20) { guest.memory([0xd9], 5, wide: false) }  // fldcw
        let start = guest.code.count
        var height = 0
        for _ in 0..<(4 + guest.random.below(40)) { instruction(guest, &height) }
        // Mostly a round leaves the stack as it was.
        if guest.random.chance(80) {
            while height > 0 {
                guest.append([0xdd, 0xd8])  // fstp st(0)
                height -= 1
            }
        }
        guest.appendLoop(to: start)
    }

    /// Numbers, near numbers, infinities, zeros, all else; and words that are control words.
    private static func fill(_ guest: PagedGuest) {
        var place = 0x20000
        while place < 0x30000 {
            let small = Double(guest.random.below(2000)) / 8 - 100
            let special = guest.random.pick([0, -0.0, .infinity, .nan, .signalingNaN, .leastNonzeroMagnitude, 1e300])
            var value: UInt64
            switch guest.random.below(8) {
            case 0: value = special.bitPattern
            case 1: value = UInt64(Float(small).bitPattern) << 32 | UInt64(Float(small * 3).bitPattern)
            case 2: value = guest.random.next()
            case 3: value = 0x3fff_8000_0000_0000 >> UInt64(guest.random.below(3) * 16)
            default: value = small.bitPattern
            }
            if guest.random.chance(20) {
                value =
                    UInt64(guest.random.pick([0x37f, 0x27f, 0xf7f, 0x7f, 0xb7f, 0x37f, 0x37f, 0x37b] as [UInt16]))
                    &* 0x1_0001_0001_0001
            }
            guest.ram.storeBytes(of: value, toByteOffset: place, as: UInt64.self)
            place += 8
        }
    }

    private static func instruction(_ guest: PagedGuest, _ height: inout Int) {
        let isLow = height < 2
        switch guest.random.below(20) {
        case _ where isLow && guest.random.chance(70), 0, 1:
            guard height < 7 || guest.random.chance(10) else { return }
            load(guest)
            height += 1
        case 2, 3, 4: arithmetic(guest)
        case 5, 6: store(guest, &height)
        case 7, 8: between(guest, &height)
        case 9: compare(guest, &height)
        case 10: unary(guest)
        case 11: move(guest)
        case 12: control(guest)
        case 13: rare(guest, &height)
        default: integer(guest)
        }
    }

    private static func index(_ guest: PagedGuest) -> UInt8 {
        UInt8(guest.random.below(guest.random.chance(5) ? 8 : 3))
    }

    private static func load(_ guest: PagedGuest) {
        switch guest.random.below(8) {
        case 0: guest.append([0xd9, 0xe8 | UInt8(guest.random.below(7))])  // constants
        case 1: guest.append([0xd9, 0xc0 | index(guest)])  // fld st(i)
        case 2: guest.memory([0xd9], 0, wide: false)
        case 3: guest.memory([0xdb], guest.random.pick([0, 5]), wide: false)
        case 4: guest.memory([0xdf], guest.random.pick([0, 5]), wide: false)
        default: guest.memory([0xdd], 0, wide: false)
        }
    }

    private static func arithmetic(_ guest: PagedGuest) {
        let operation = guest.random.pick([0, 1, 4, 5, 6, 7] as [UInt8])
        if guest.random.chance(40) {
            guest.memory([guest.random.pick([0xd8, 0xda, 0xdc, 0xde])], operation, wide: false)
        } else {
            guest.append([guest.random.pick([0xd8, 0xdc]), 0xc0 | operation << 3 | index(guest)])
        }
    }

    private static func store(_ guest: PagedGuest, _ height: inout Int) {
        let (opcode, reg, pops) = guest.random.pick(
            [
                (0xd9, 2, false), (0xd9, 3, true), (0xdb, 1, true), (0xdb, 2, false), (0xdb, 3, true), (0xdb, 7, true),
                (0xdd, 1, true), (0xdd, 2, false), (0xdd, 3, true), (0xdf, 2, false), (0xdf, 3, true), (0xdf, 7, true),
            ] as [(UInt8, UInt8, Bool)])
        guest.memory([opcode], reg, wide: false)
        if pops, height > 0 { height -= 1 }
    }

    private static func between(_ guest: PagedGuest, _ height: inout Int) {
        switch guest.random.below(4) {
        case 0: guest.append([guest.random.pick([0xd9, 0xdd, 0xdf]), 0xc8 | index(guest)])  // fxch
        case 1: guest.append([0xdd, 0xd0 | index(guest)])  // fst
        case 2:
            guest.append([guest.random.pick([0xdd, 0xd9]), 0xd8 | index(guest)])  // fstp
            height -= height > 0 ? 1 : 0
        default:
            guest.append([0xde, 0xc0 | guest.random.pick([0, 1, 4, 5, 6, 7]) << 3 | index(guest)])
            height -= height > 0 ? 1 : 0
        }
    }

    private static func compare(_ guest: PagedGuest, _ height: inout Int) {
        let (opcode, modRM, pops) = guest.random.pick(
            [
                (0xd8, 0xd0, 0), (0xd8, 0xd8, 1), (0xdc, 0xd0, 0), (0xdc, 0xd8, 1), (0xde, 0xd0, 1), (0xdd, 0xe0, 0),
                (0xdd, 0xe8, 1), (0xdb, 0xf0, 0), (0xdb, 0xe8, 0),
                (0xdf, 0xf0, 1),
                (0xdf, 0xe8, 1), (0xde, 0xd9, 2), (0xda, 0xe9, 2),
            ] as [(UInt8, UInt8, Int)])
        guest.append([opcode, pops == 2 ? modRM : modRM | index(guest)])
        height = max(0, height - pops)
        switch guest.random.below(4) {
        case 0: guest.append([0xdf, 0xe0, 0x9e])  // fnstsw ax; sahf
        case 1: guest.append([UInt8(0x70 + guest.random.below(16)), 2, 0xff, 0xc1])  // jcc over inc ecx
        case 2: guest.append([0xda, 0xc8 | index(guest)])  // fcmove
        default: break
        }
    }

    private static func move(_ guest: PagedGuest) {
        let opcode: UInt8 = guest.random.pick([0xda, 0xdb])
        guest.append([opcode, 0xc0 | UInt8(guest.random.below(4)) << 3 | index(guest)])  // fcmov
    }

    private static func unary(_ guest: PagedGuest) {
        guest.append([0xd9, guest.random.pick([0xe0, 0xe1, 0xe4, 0xe5, 0xfa, 0xfc, 0xf0, 0xfd])])
    }

    private static func control(_ guest: PagedGuest) {
        switch guest.random.below(8) {
        case 0: guest.append([0xdf, 0xe0])  // fnstsw ax
        case 1: guest.memory([0xdd], 7, wide: false)  // fnstsw
        case 2: guest.memory([0xd9], 7, wide: false)  // fnstcw
        case 3: guest.append([0xdb, 0xe2])  // fnclex
        case 4, 5: guest.append([0x9b])  // fwait
        // fnstcw, fldcw of the same place: most places have one that masks all.
        default: if guest.random.chance(30) { guest.memory([0xd9], 5, wide: false) }
        }
    }

    private static func rare(_ guest: PagedGuest, _ height: inout Int) {
        switch guest.random.below(9) {
        case 0: guest.append([0xd9, guest.random.pick([0xfe, 0xff, 0xf8, 0xf5])])  // fsin, fcos, fprem, fprem1
        case 1:
            guest.append([0xd9, guest.random.pick([0xf1, 0xf3, 0xf9])])  // fyl2x, fpatan, fyl2xp1
            height -= height > 0 ? 1 : 0
        case 2: guest.append([0xd9, guest.random.pick([0xf6, 0xf7])])  // fdecstp, fincstp
        case 3: guest.append([0xdd, 0xc0 | index(guest)])  // ffree
        case 4: guest.memory([0xd9], 6, wide: false)  // fnstenv
        case 5: guest.append([0x0f, 0xef, 0xc1])  // pxor mm0, mm1
        case 6:
            guest.append([0x0f, 0x77])  // emms
            height = 0
        case 7:
            guest.append([0xd9, guest.random.pick([0xf2, 0xf4, 0xfb])])  // fptan, fxtract, fsincos
            height += 1
        default: guest.memory([0xdf], guest.random.pick([4, 6]), wide: false)  // fbld, fbstp
        }
    }

    private static func integer(_ guest: PagedGuest) {
        switch guest.random.below(10) {
        case 0: guest.memory([0x8b], guest.value)  // mov
        case 1: guest.memory([0x01], guest.value)  // add
        case 2: guest.register(0x39, guest.value, guest.value)  // cmp
        case 3: guest.register(0xff, UInt8(guest.random.below(2)), guest.value)  // inc, dec
        case 4:
            guest.register(0x83, guest.random.pick([0, 5]), guest.base)  // add, sub
            guest.append([UInt8(guest.random.below(16))])
        case 5: guest.append([0x0f, UInt8(0x90 + guest.random.below(16)), 0xc1])  // setcc cl
        case 6: guest.register(0x11, guest.value, guest.value)  // adc
        case 7:
            guest.register(0xc1, guest.random.pick([0, 4, 5]), guest.value)  // rol, shl, shr
            guest.append([UInt8(1 + guest.random.below(7))])
        case 8:
            // ucomiss, addps
            guest.append([0x0f, guest.random.pick([0x2e, 0x58]), UInt8(0xc0 | guest.random.below(8))])
        default: guest.append([UInt8(0x70 + guest.random.below(16)), 2, 0xd9, 0xe0])  // jcc over fchs
        }
    }
}
