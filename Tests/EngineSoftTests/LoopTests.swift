// Loops that are emitted as a whole: which blocks make one, and that nobody sees it. Programs of nested loops with branches, whose flags go from block to block, whose accesses
// go from page to page - absent, read-only or new ones among them - and which overwrite themselves come to the state that the interpreter leaves.

import Testing

@testable import Core
@testable import EngineSoft

struct LoopTests {
    @Test(arguments: [true, false]) func programsOfLoopsEndAsInterpreted(is64: Bool) throws {
        let guests = try PagedComparison(Self.program)
        var faults: UInt64 = 0
        for number in 0..<(200 * Soak.factor) {
            let seed = Soak.seed &* 5_000_011 &+ UInt64(number)
            guard let end = guests.run(seed, is64: is64) else { return }
            #expect(end.how == "halted", "\(is64 ? 64 : 32) bits, seed \(seed): \(end.how)")
            faults += end.faults
        }
        let translator = guests.others[0].cpu.translator
        let (loops, paths) = (translator?.loopsMade ?? 500, translator?.pathsMade ?? 500)
        #expect(faults > 100 && loops >= 200 && paths >= 200, "\(faults) faults, \(loops) loops, \(paths) paths")
    }

    // MARK: By samples

    private static func bytes(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }

    /// `body` 100,000 times, counted by ECX.
    private static func repeated(_ body: [UInt8]) -> [UInt8] {
        let code: [UInt8] = [0xb9] + bytes(100_000) + body + [0xff, 0xc9]  // mov ecx; dec ecx
        return code + [0x0f, 0x85] + bytes(5 - (code.count + 6)) + [0xf4]  // jnz; hlt
    }

    private static func run(_ code: [UInt8], _ change: (inout SoftOptions) -> Void = { _ in }) throws -> (
        end: PagedGuest.End, loops: UInt64, paths: UInt64?
    ) {
        var options = SoftOptions()
        change(&options)
        let guest = try PagedGuest(options) { _ in }
        guest.limit = 10_000_000
        let end = guest.run(1, is64: true, [(0x4000, code)])
        return (end, guest.cpu.translator?.loopsMade ?? 0, guest.cpu.translator?.pathsMade)
    }

    /// `body` comes to the same end with a loop as without one.
    private static func compare(_ body: [UInt8], loops: ClosedRange<UInt64>) throws {
        let code = repeated(body)
        let found = try run(code)
        let expected = try run(code) { $0.translation = .off }
        #expect(found.end == expected.end, "\(found.end.difference(from: expected.end))")
        #expect(found.end.how == "halted")
        if found.loops != 0 || expected.loops == 0 { #expect(loops.contains(found.loops), "\(found.loops) loops") }
        let alone = try run(code) { $0.interpreted = [.loops] }
        #expect(alone.end == expected.end && alone.loops == 0)
    }

    @Test func aLoopOfOneBlockThatRunsLongIsEmittedAsAWhole() throws {
        try Self.compare([0x01, 0xc8], loops: 1...1)  // add eax, ecx
    }

    @Test func aLoopWithABranchIsEmittedAsAWhole() throws {
        // test cl, 4; jz; add eax, ecx
        try Self.compare([0xf6, 0xc1, 4, 0x74, 2, 0x01, 0xc8], loops: 1...6)
    }

    @Test func aCallLeavesNoLoop() throws {
        // call to ret, which is jumped over
        try Self.compare([0xe8, 2, 0, 0, 0, 0xeb, 1, 0xc3], loops: 0...0)
    }

    @Test func anAccessThatChangesItsPageAllTheTimeIsKeptNoPlaceFor() throws {
        // mov eax, ecx; and eax, 7; shl eax, 12; mov edx, [rax + 0x34000]; add esi, edx
        try Self.compare(
            [0x89, 0xc8, 0x83, 0xe0, 7, 0xc1, 0xe0, 12, 0x8b, 0x90] + Self.bytes(0x34000) + [0x01, 0xd6], loops: 1...6)
    }

    @Test func aLoopEndsAtItsDeadlineToTheInstruction() throws {
        let code = Self.repeated([0xf6, 0xc1, 4, 0x74, 2, 0x01, 0xc8])
        for limit in stride(from: 200_000, to: 200_020, by: 1) as StrideTo<UInt64> {
            var ends: [PagedGuest.End] = []
            for translation in [Translation.off, .on, .always] {
                var options = SoftOptions()
                options.translation = translation
                let guest = try PagedGuest(options) { _ in }
                guest.limit = limit
                ends.append(guest.run(1, is64: true, [(0x4000, code)]))
            }
            #expect(ends[0].how == "by its deadline" && ends[0].registers[19] == limit)
            #expect(ends[1] == ends[0] && ends[2] == ends[0])
        }
    }

    /// The number that a hot loop adds is counted up by its caller, and by itself.
    @Test(arguments: [[UInt8](), [0xfe, 0x04, 0x25, 0x12, 0x40, 0, 0]]) func aLoopThatIsOverwrittenIsNotRunAsItWas(
        inside: [UInt8]
    ) throws {
        var code: [UInt8] = [0xba] + Self.bytes(20)  // 00: mov edx, 20
        let round = code.count
        code += [0xb9] + Self.bytes(30_000)  // 05: mov ecx, 30000
        let inner = code.count
        code += [0x66, 0x90, 0x66, 0x90, 0x90, 0x90, 0x81, 0xc6] + Self.bytes(0)  // 0a: nops; 10: add esi, 0
        // 16: test ecx, 0x1fff; jnz; inc byte [0x4012]
        code += [0xf7, 0xc1] + Self.bytes(0x1fff) + [0x75, UInt8(inside.count)] + inside
        code += [0xff, 0xc9, 0x75, UInt8(truncatingIfNeeded: inner - (code.count + 4))]  // dec ecx; jnz
        code += [0xfe, 0x04, 0x25, 0x12, 0x40, 0, 0]  // inc byte [0x4012]
        code += [0xff, 0xca, 0x75, UInt8(truncatingIfNeeded: round - (code.count + 4)), 0xf4]  // dec edx; jnz; hlt
        let found = try Self.run(code)
        let expected = try Self.run(code) { $0.translation = .off }
        #expect(found.end == expected.end, "\(found.end.difference(from: expected.end))")
        #expect(found.end.how == "halted" && expected.end.registers[6] > 0)
    }
}

// MARK: Paths

extension LoopTests {
    /// Two pieces that an indirect jump chooses from go on in one that leads back to it, as an interpreter's instructions do. It is overwritten 20 times.
    @Test func blocksThatFollowFromTwoPlacesArePartOfBothPathsAndGoWithThem() throws {
        var code = [UInt8](repeating: 0x90, count: 0x9e)
        func put(_ place: Int, _ bytes: [UInt8]) { code.replaceSubrange(place..<(place + bytes.count), with: bytes) }
        put(0x00, [0x31, 0xf6, 0xbb] + Self.bytes(20))  // xor esi, esi; mov ebx, 20
        put(0x07, [0xb9] + Self.bytes(30_000))  // mov ecx, 30000
        put(0x0c, [0x89, 0xc8, 0x83, 0xe0, 1, 0xc1, 0xe0, 5])  // mov eax, ecx; and eax, 1; shl eax, 5
        put(0x14, [0x05] + Self.bytes(0x4040) + [0xff, 0xe0])  // add eax, 0x4040; jmp rax
        put(0x40, [0x83, 0xc6, 1, 0xeb, 0x3b])  // add esi, 1; jmp 0x4080
        put(0x60, [0x83, 0xc7, 3, 0xeb, 0x1b])  // add edi, 3; jmp 0x4080
        put(0x80, [0x81, 0xc6] + Self.bytes(0))  // add esi, 0, which grows
        put(0x86, [0xff, 0xc9, 0x0f, 0x85] + Self.bytes(0x0c - 0x8e))  // dec ecx; jnz 0x400c
        put(0x8e, [0xfe, 0x04, 0x25] + Self.bytes(0x4082))  // inc byte [0x4082]
        put(0x95, [0xff, 0xcb, 0x0f, 0x85] + Self.bytes(0x07 - 0x9d) + [0xf4])  // dec ebx; jnz 0x4007; hlt
        let expected = try Self.run(code) { $0.translation = .off }
        let esi = (0..<20).reduce(15_000 * 20) { $0 + 30_000 * $1 }
        #expect(expected.end.how == "halted" && expected.end.registers[6] == UInt64(esi))
        for translation in [Translation.on, .always] {
            let found = try Self.run(code) { $0.translation = translation }
            #expect(found.end == expected.end, "\(found.end.difference(from: expected.end))")
            // The environment may leave no translator.
            if let paths = found.paths { #expect(paths >= 2) }
        }
        let alone = try Self.run(code) { $0.interpreted = [.loops] }
        #expect(alone.end == expected.end && alone.paths ?? 0 == 0)
    }
}

// MARK: Random programs

extension LoopTests {
    /// Where programs keep what they count, and leave the vector registers.
    private static let counters = 0x7100
    private static let vectors = 0x7200

    static func program(_ guest: PagedGuest) {
        guest.append([0xdb, 0xe3])  // fninit
        let first = guest.code.count
        for _ in 0...guest.random.below(3) { AccessGroupTests.instruction(guest) }
        for depth in 0..<(1 + guest.random.below(3)) {
            if guest.random.chance(70) { innerLoop(guest, depth) } else { body(guest) }
        }
        if guest.random.chance(30) { overwrite(guest) }
        if guest.random.chance(30) { forget(guest) }
        guest.append([0xff, 0xcf, 0x74, 5])  // dec edi; jz
        let distance = first - (guest.code.count + 5)
        guest.append([0xe9] + bytes(distance))
        for number in 0..<4 as Range<UInt8> {
            guest.append([0x0f, 0x11, 0x04 | number << 3, 0x25] + bytes(vectors + Int(number) * 16))
        }
        guest.append([0xf4])
    }

    private static func body(_ guest: PagedGuest) {
        for _ in 0..<(1 + guest.random.below(5)) { instruction(guest) }
    }

    /// Some instructions a few times, counted in memory, where no access faults.
    private static func innerLoop(_ guest: PagedGuest, _ depth: Int) {
        let counter = bytes(counters + depth)
        guest.append([0xc6, 0x04, 0x25] + counter + [UInt8(2 + guest.random.below(12))])
        let begin = guest.code.count
        body(guest)
        if guest.random.chance(60) { over(guest) }
        walk(guest)
        if guest.random.chance(20) { overwrite(guest) }
        guest.append([0xfe, 0x0c, 0x25] + counter)
        guest.append([0x0f, 0x85] + bytes(begin - (guest.code.count + 6)))
    }

    /// A jump over some instructions, by whatever flags there are.
    private static func over(_ guest: PagedGuest) {
        let place = guest.code.count
        guest.append([0x0f, 0x80 | UInt8(guest.random.below(16)), 0, 0, 0, 0])
        body(guest)
        guest.patch(place + 2, bytes(guest.code.count - (place + 6)))
    }

    /// A base goes on, within the pages of data.
    private static func walk(_ guest: PagedGuest) {
        let base = guest.random.pick(PagedGuest.bases)
        guest.append([0x81, 0xc0 | base] + bytes(guest.random.pick([4, 16, 0x48, 0x208, 0x1000])))  // add
        // and, or
        guest.append([0x81, 0xe0 | base] + bytes(0x2_ffff) + [0x81, 0xc8 | base] + bytes(0x2_0000))
    }

    /// Moves, logic and arithmetic of vectors, SETcc, ADC, SBB, INC, DEC, shifts, x87, or one of those with memory.
    private static func instruction(_ guest: PagedGuest) {
        let value = guest.value
        let vector = UInt8(guest.random.below(4))
        switch guest.random.below(14) {
        case 0, 1: guest.memory([0x0f, guest.random.pick([0x10, 0x11])], vector, wide: false)
        case 2:
            guest.append([
                0x66, 0x0f, guest.random.pick([0xef, 0xfe, 0xd4, 0x6f]),
                0xc0 | vector << 3 | UInt8(guest.random.below(4)),
            ])
        case 3:
            guest.append([
                0x0f, guest.random.pick([0x58, 0x59, 0x5c]), 0xc0 | vector << 3 | UInt8(guest.random.below(4)),
            ])
        case 4: guest.append([0x0f, 0x90 | UInt8(guest.random.below(16)), 0xc0 | guest.random.pick([0, 1, 2])])
        case 5: guest.register(guest.random.pick([0x11, 0x19, 0x13, 0x1b]), value, guest.random.pick([0, 1, 2]))
        case 6: guest.register(guest.random.pick([0x01, 0x29, 0x39, 0x85, 0x21]), value, guest.random.pick([0, 1, 2]))
        case 7: guest.append([0xff, 0xc0 | UInt8(guest.random.below(2)) << 3 | guest.random.pick([0, 1, 2])])
        case 8:
            guest.append([
                0xc1, guest.random.pick([0xe0, 0xe8, 0xf8, 0xc0]) | guest.random.pick([0, 1, 2]),
                UInt8(guest.random.below(32)),
            ])
        case 9:
            guest.memory([0xd9], 0, wide: false)  // FLD, FADD, FSTP
            guest.memory([0xd8], 0, wide: false)
            guest.memory([0xd9], 3, wide: false)
        default: AccessGroupTests.instruction(guest)
        }
    }

    /// `add ecx, n`, whose n counts up now and then.
    private static func overwrite(_ guest: PagedGuest) {
        let place = 0x4000 + guest.code.count + 2
        guest.append([0x81, 0xc1, 1, 0, 0, 0])
        guest.append(
            [0xf7, 0xc7] + bytes(guest.random.pick([1, 3, 7, 15])) + [0x75, 7, 0xfe, 0x04, 0x25] + bytes(place))
    }

    /// A page of data is absent again.
    private static func forget(_ guest: PagedGuest) {
        let page = 0x20 + guest.random.below(16)
        guest.append([0xc6, 0x04, 0x25] + bytes(0xb000 + page * (guest.is64 ? 8 : 4)) + [0])
        guest.append([0x0f, 0x01, 0x3c, 0x25] + bytes(page << 12))  // INVLPG
    }
}
