// Accesses that share a look into the TLB: which do, and that nobody sees it. Programs of accesses near each other and near the ends of pages, which are
// absent, read-only or new until a handler of #PF makes them good, come to the state that the interpreter leaves, with the same accessed and dirty bits,
// the same faults in the same order, and the same count.

import Testing

@testable import Core
@testable import EngineSoft

struct AccessGroupTests {
    // MARK: Which share

    private static func access(_ place: AccessPlace?, _ size: Int = 8, isWrite: Bool = false) -> AccessGroups.Access {
        AccessGroups.Access(place: place, size: size, isWrite: isWrite)
    }

    @Test func accessesOfOneRegisterShareALookForAllOfThem() throws {
        let values = RegisterValues()
        let groups = try #require(
            AccessGroups([
                Self.access(values.place(.register(3), distance: 16)),
                Self.access(values.place(.register(6), distance: 0)),
                Self.access(values.place(.register(3), distance: -8), isWrite: true),
                Self.access(values.place(.register(3), distance: 40), 4),
            ]))
        let members = groups.members
        #expect(members[1] == nil)
        #expect(members.map { $0?.isHead } == [true, nil, false, false])
        #expect(members.map { $0?.distance } == [24, nil, 0, 48])
        #expect(members[0]?.span == 52)
        #expect(members[0]?.isWrite == true)
        #expect(members[0]?.slot == members[3]?.slot)
    }

    @Test func aRegisterThatChangedByAKnownDistanceIsTheSame() throws {
        var values = RegisterValues()
        let before = values.place(.register(4), distance: -8)
        values.add(-8, to: 4)
        values.copy(4, to: 5)
        let after = values.place(.register(5), distance: 0)
        #expect(before?.key == after?.key && before?.offset == after?.offset)
        values.forget(5)
        #expect(values.place(.register(5), distance: 0)?.key != after?.key)
        #expect(values.place(.register(4), distance: 0)?.key == after?.key)
        values.forgetAll()
        #expect(values.place(.register(4), distance: 0)?.key != after?.key)
    }

    @Test func otherSegmentsScalesAndDistancesAreOtherPlaces() {
        let values = RegisterValues()
        let places: [AccessPlace?] = [
            values.place(.register(0), distance: 0), values.place(.register(0), nil, .fs, distance: 0),
            values.place(.register(0), nil, .gs, distance: 0), values.place(.register(0), 1, scale: 0, distance: 0),
            values.place(.register(0), 1, scale: 3, distance: 0), values.place(.page, distance: 0),
            values.place(.nothing, distance: 0),
        ]
        #expect(Set(places.compactMap { $0?.key }).count == places.count)
        let far = [values.place(.register(0), distance: 0), values.place(.register(0), distance: 600)]
        #expect(AccessGroups(far.map { Self.access($0) }) == nil)
        #expect(values.place(.register(0), distance: 1 << 28) == nil)
    }

    @Test func moreGroupsAtATimeThanSlotsLeaveTheLastOnesAlone() throws {
        let values = RegisterValues()
        let once = (0..<10 as Range<UInt8>).map { Self.access(values.place(.register($0), distance: 0)) }
        let groups = try #require(AccessGroups(once + once))
        #expect(groups.members.map { $0 != nil } == (0..<20).map { $0 % 10 < 8 })
        #expect(Set(groups.members.compactMap { $0?.slot }).count == 8)
    }

    // MARK: That nobody sees it

    @Test(arguments: [true, false]) func programsFaultAndEndAsInterpreted(is64: Bool) throws {
        let guests = try PagedComparison(Self.program)
        var faults: UInt64 = 0
        for number in 0..<(150 * Soak.factor) {
            let seed = Soak.seed &* 3_000_017 &+ UInt64(number)
            guard let end = guests.run(seed, is64: is64) else { return }
            #expect(end.how == "halted", "\(is64 ? 64 : 32) bits, seed \(seed): \(end.how)")
            faults += end.faults
        }
        let groups = guests.others.compactMap { $0.cpu.translator?.grouped }
        #expect(faults > 100 && groups.allSatisfy { $0.kept > 100 && $0.unlike == 0 }, "\(faults) faults, \(groups)")
    }
}

extension AccessGroupTests {
    /// A function with such accesses adds a number, whose byte in the code its caller counts up now and then.
    @Test(arguments: [0x4100, 0x5000], [UInt8(0), 15])
    func aFunctionThatIsOverwrittenIsNotRunAsItWas(place: Int, mask: UInt8) throws {
        let function: [UInt8] = [
            0x8b, 0x03, 0x03, 0x43, 0x04,  // mov eax, [rbx]; add eax, [rbx + 4]
            0x81, 0xc6, 0, 0, 0, 0, 0xc3,  // add esi, 0; ret
        ]
        func bytes(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }
        var code: [UInt8] = [0x31, 0xf6, 0xbf] + bytes(200)  // xor esi, esi; mov edi, 200
        code += [0xe8] + bytes(place - 0x4000 - code.count - 5)  // call
        // test dil, mask; jnz over; inc byte
        code += [0x40, 0xf6, 0xc7, mask, 0x75, 7, 0xfe, 0x04, 0x25] + bytes(place + 7)
        code += [0xff, 0xcf, 0x75] + [UInt8(truncatingIfNeeded: 7 - (code.count + 4))]  // dec edi; jnz to the call
        code.append(0xf4)
        var (sum, added): (UInt64, UInt64) = (0, 0)
        for left in stride(from: 200, to: 0, by: -1) {
            sum += added
            if UInt8(left) & mask == 0 { added += 1 }
        }
        for (translation, runs) in [(Translation.off, UInt32(0)), (.always, 0), (.on, 1), (.on, 8)] {
            var options = SoftOptions()
            (options.translation, options.translatesAfter) = (translation, runs)
            let guest = try PagedGuest(options, Self.program)
            let end = guest.run(1, is64: true, [(0x4000, code), (place, function)])
            #expect(end.how == "halted")
            #expect(end.registers[6] == sum, "\(translation) after \(runs)")
        }
    }
}

extension AccessGroupTests {
    /// SSE through CS, which cannot be written, and beyond a limit of FS: #GP, which nobody handles.
    @Test(arguments: [[0x2e, 0x0f, 0x11, 0x03], [0x64, 0x0f, 0x10, 0x05, 0, 0x20, 0, 0]] as [[UInt8]])
    func vectorsAreCheckedAgainstTheirSegments(instruction: [UInt8]) throws {
        for translation in [Translation.off, .always] {
            var options = SoftOptions()
            options.translation = translation
            let guest = try PagedGuest(options, Self.program)
            let end = guest.run(1, is64: false, [(0x4000, instruction + [0xf4])])
            #expect(end.how == "by a shutdown", "\(translation)")
        }
    }
}

extension AccessGroupTests {
    static func program(_ guest: PagedGuest) {
        for _ in 0..<(4 + guest.random.below(30)) { instruction(guest) }
        guest.appendLoop(to: 0)
    }

    static func instruction(_ guest: PagedGuest) {
        let value = guest.value
        switch guest.random.below(28) {
        case 0, 1, 2: guest.memory([0x8b], value)  // mov
        case 3, 4, 5: guest.memory([0x89], value)
        case 6: guest.memory([0x03], value)  // add
        case 7: guest.memory([0x01], value)
        case 8: guest.memory([guest.random.pick([0x39, 0x3b])], value)  // cmp
        case 9: guest.memory([guest.random.pick([0x13, 0x11, 0x1b])], value)  // adc, sbb
        case 10: guest.memory([0xff], UInt8(guest.random.below(2)))  // inc, dec
        case 11: guest.memory([0x0f, 0xb6], value)  // movzx
        case 12: guest.memory([0x88], guest.random.pick([0, 1, 2]), wide: false)  // mov of a byte
        case 13: guest.memory([guest.random.pick([0x87, 0x85])], value)  // xchg, test
        case 14: guest.memory([0x0f, UInt8(0x40 + guest.random.below(16))], value)  // cmov
        case 15:
            // movups
            guest.memory([0x0f, guest.random.pick([0x10, 0x11])], UInt8(guest.random.below(8)), wide: false)
        case 16: guest.append([0x50 | guest.random.pick([0, 1, 2])])  // push
        case 17: guest.append([0x58 | guest.random.pick([0, 1, 2])])  // pop
        case 18: guest.memory([0x8d], guest.random.pick(PagedGuest.bases), wide: true)  // lea
        case 19: guest.register(0x89, guest.random.pick(PagedGuest.bases), guest.random.pick(PagedGuest.bases))  // mov
        case 20:
            guest.register(0x83, guest.random.pick([0, 5]), guest.base)  // add, sub
            guest.append([UInt8(guest.random.below(16))])
        case 21: guest.memory([guest.random.pick([0x01, 0x29, 0x21])], value, prefix: [0xf0])  // lock add, sub, and
        case 22: guest.memory([0x0f, guest.random.pick([0xc1, 0xb1])], value, prefix: [0xf0])  // lock xadd, cmpxchg
        case 23: guest.memory([0x0f, UInt8(0x90 + guest.random.below(16))], 0, wide: false)  // setcc
        case 24:
            // cmc, clc, stc, sahf, lahf, cld
            guest.append([guest.random.pick([0xf5, 0xf8, 0xf9, 0x9e, 0x9f, 0xfc])])
        case 25: guest.register(0xff, UInt8(guest.random.below(2)), value)  // inc, dec
        case 26:
            guest.register(0xc1, guest.random.pick([0, 1, 4, 5, 7]), value)  // rol, ror, shl, shr, sar
            guest.append([UInt8(1 + guest.random.below(7))])
        default:
            // Over a short instruction.
            let condition = UInt8(0x70 + guest.random.below(16))
            guest.append([condition, 3, 0x0f, 0xaf, 0xc1])  // jcc; imul eax, ecx
        }
    }
}
