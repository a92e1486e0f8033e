// Accesses that share a look into the TLB: which do, and that nobody sees it. Programs of accesses near each other and near the ends of pages, which are
// absent, read-only or new until a handler of #PF makes them good, come to the state that the interpreter leaves, with the same accessed and dirty bits,
// the same faults in the same order, and the same count.

import Glibc
import NativeCPU
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
        var interpreting = SoftOptions()
        interpreting.translation = .off
        let interpreted = try Guest(interpreting)
        let others = try [(Translation.always, UInt32(0)), (.on, 1), (.on, 16)].map { translation, runs in
            var options = SoftOptions()
            (options.translation, options.translatesAfter) = (translation, runs)
            return try Guest(options)
        }
        var faults: UInt64 = 0
        for number in 0..<(150 * Soak.factor) {
            let seed = Soak.seed &* 3_000_017 &+ UInt64(number)
            let expected = interpreted.run(seed, is64: is64)
            #expect(expected.how == "halted", "\(is64 ? 64 : 32) bits, seed \(seed): \(expected.how)")
            faults += expected.faults
            for (index, guest) in others.enumerated() {
                let found = guest.run(seed, is64: is64)
                let sameMemory = memcmp(interpreted.ram, guest.ram, Int(Guest.length)) == 0
                guard found != expected || !sameMemory else { continue }
                Issue.record(
                    "\(is64 ? 64 : 32) bits, seed \(seed), way \(index): \(found.difference(from: expected)), memory \(sameMemory ? "the same" : "not")"
                )
                return
            }
        }
        let groups = others.compactMap { $0.cpu.translator?.grouped }
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
            let guest = try Guest(options)
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
            let guest = try Guest(options)
            let end = guest.run(1, is64: false, [(0x4000, instruction + [0xf4])])
            #expect(end.how == "by a shutdown", "\(translation)")
        }
    }
}

/// Flat, paged and in ring 0, with a handler that makes good the page that a fault was about.
private final class Guest {
    struct End: Equatable {
        var how = ""
        var registers: [UInt64] = []
        var faults: UInt64 = 0

        func difference(from other: End) -> String {
            if how != other.how { return "ends \(how) and not \(other.how)" }
            for (index, pair) in zip(registers, other.registers).enumerated() where pair.0 != pair.1 {
                return "register \(index) is \(String(pair.0, radix: 16)) and not \(String(pair.1, radix: 16))"
            }
            return "\(faults) faults, \(other.faults)"
        }
    }

    static let length: UInt64 = 0x40000
    private let machine: Machine
    private let engine: SoftEngine
    let cpu: SoftCPU
    /// SAFETY: `length` bytes between guard pages.
    let ram: UnsafeMutableRawPointer
    private var random = Randomness(seed: 0)
    private var code: [UInt8] = []
    private var is64 = true

    init(_ options: SoftOptions) throws {
        engine = SoftEngine(options: options)
        machine = try Machine(
            MachineDescription(
                name: "groups", cpuCount: 1, memory: 0, instances: [], clock: .init(mode: .counted), watchdog: 0),
            options: MachineOptions(makeEngine: nil, log: { _, _, _ in }))
        ram = nc_guarded(Self.length)
        try engine.setMemory([MappedMemory(address: 0, length: Self.length, host: ram, isReadOnly: false)])
        cpu = try engine.makeCPU(machine.vcpus[0]) as! SoftCPU
        cpu.takeMail()
    }

    deinit {
        machine.tearDown()
        munmap(ram - 4096, Int(Self.length) + 8192)
    }

    /// Of a random program, or of one that is told, by place.
    func run(_ seed: UInt64, is64: Bool, _ told: [(place: Int, bytes: [UInt8])] = []) -> End {
        self.is64 = is64
        random = Randomness(seed: seed)
        memset(ram, 0, Int(Self.length))
        cpu.resetState()
        tables()
        handler()
        code = []
        program()
        put(code, at: 0x4000)
        for part in told { put(part.bytes, at: part.place) }
        registers()
        cpu.emptyArena()
        cpu.flushTranslations(keepsGlobal: false)
        cpu.updateMode()
        machine.vcpus[0].set(0)
        let begun = cpu.s.run.pointee.executed
        cpu.setDeadline(begun + 200_000)
        var end = End()
        switch cpu.run() {
        case .halted: end.how = "halted"
        case .attention: end.how = "by its deadline"
        case .shutdown: end.how = "by a shutdown"
        default: end.how = "otherwise"
        }
        let state = cpu.s.cpu
        end.registers = (0..<16).map { cpu.s[UInt8($0 * 8)] }
        end.registers += [cpu.s.rip, state.rflags, state.pointee.cr2, cpu.s.run.pointee.executed - begun]
        end.faults = ram.load(fromByteOffset: 0x7000, as: UInt64.self)
        return end
    }

    private func put(_ bytes: [UInt8], at place: Int) {
        bytes.withUnsafeBytes { ram.advanced(by: place).copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
    }

    private func put(_ value: UInt64, _ place: UInt64) {
        ram.storeBytes(of: value, toByteOffset: Int(place), as: UInt64.self)
    }

    // MARK: The machine

    /// Every page is itself; those of data may be absent or read-only, and none has been accessed.
    private func tables() {
        for page in 0..<64 as Range<UInt64> {
            let isData = (0x20..<0x30).contains(page)
            let rights: UInt64 = isData ? random.pick([0, 1, 3, 3, 3]) : 3
            let entry = page << 12 | rights
            if is64 {
                put(entry, 0xb000 + page * 8)
            } else {
                ram.storeBytes(of: UInt32(entry), toByteOffset: 0xb000 + Int(page) * 4, as: UInt32.self)
            }
        }
        put(0xb003, is64 ? 0xa000 : 0x8000)
        if is64 {
            put(0xa003, 0x9000)
            put(0x9003, 0x8000)
        }
        put(is64 ? 0xaf_9a00_0000_ffff : 0xcf_9a00_0000_ffff, 0x1008)
        put(0xcf_9200_0000_ffff, 0x1010)
        // #PF by the first stack of the interrupt stack table, since the program's own stack may be what is absent.
        let gate: UInt64 = 0x6000 | 8 << 16 | 0x8e00 << 32
        put(is64 ? gate | 1 << 32 : gate, is64 ? 0x20e0 : 0x2070)
        put(0x10000, 0x3024)
        let state = cpu.s.cpu
        for number in 0..<6 {
            let attributes: UInt16 = number != 1 ? 0xc093 : is64 ? 0xa09b : 0xc09b
            let selector: UInt16 = number == 1 ? 8 : 16
            cpu.s.segment(number).pointee = SegmentRegister(
                base: 0, limit: .max, selector: selector, attributes: attributes)
        }
        cpu.s.segment(Segment.fs).pointee = SegmentRegister(base: 0, limit: 0xfff, selector: 16, attributes: 0x4093)
        cpu.s.segment(Segment.tr).pointee = SegmentRegister(base: 0x3000, limit: 0x67, selector: 0x18, attributes: 0x8b)
        state.pointee.gdt = DescriptorTable(base: 0x1000, limit: 0xff)
        state.pointee.idt = DescriptorTable(base: 0x2000, limit: 0xfff)
        state.pointee.cr0 = 0x8001_0031
        state.pointee.cr4 = is64 ? 0x620 : 0x600
        state.pointee.efer = is64 ? 0x500 : 0
        state.pointee.cr3 = 0x8000
        state.pointee.cpl = 0
    }

    private func handler() {
        let wide: [UInt8] = is64 ? [0x48] : []
        var bytes: [UInt8] = [0x50]  // push rax
        bytes += is64 ? [0xff, 0x04, 0x25, 0x00, 0x70, 0, 0] : [0xff, 0x05, 0x00, 0x70, 0, 0]  // inc dword [0x7000]
        bytes += [0x0f, 0x20, 0xd0]  // mov rax, cr2
        bytes += wide + [0xc1, 0xe8, 12]  // shr rax, 12
        bytes += wide + [0x83, 0x0c, is64 ? 0xc5 : 0x85, 0x00, 0xb0, 0, 0, 3]  // or [0xb000 + rax * size], 3
        bytes += [0x0f, 0x20, 0xd0, 0x0f, 0x01, 0x38]  // mov rax, cr2; invlpg [rax]
        bytes += [0x58] + wide + [0x83, 0xc4, is64 ? 8 : 4]  // pop rax; add rsp, 8
        bytes += wide + [0xcf]  // iretq
        put(bytes, at: 0x6000)
    }

    private func registers() {
        let s = cpu.s
        for number in 0..<16 as Range<UInt8> {
            // Bases lie around the end of a page.
            s[number * 8] = 0x21000 + UInt64(random.below(13)) << 12 &+ UInt64(random.below(160)) &- 80
        }
        if !is64 {
            for number in 8..<16 as Range<UInt8> { s[number * 8] = 0 }
            s[Register.rsp] = 0x1e000 + UInt64(random.below(8)) * 4
        }
        s[Register.rdi] = 40
        s.rip = 0x4000
        s.cpu.rflags = 2
    }

    // MARK: The program

    private static let bases: [UInt8] = [3, 5, 6]
    private var base: UInt8 { is64 && random.chance(30) ? random.pick([4, 8, 10, 12, 13]) : random.pick(Self.bases) }
    private var value: UInt8 { is64 && random.chance(20) ? random.pick([9, 11]) : random.pick([0, 1, 2]) }

    private func program() {
        for _ in 0..<(4 + random.below(30)) { instruction() }
        code += [0xff, 0xcf]  // dec edi
        let distance = Int32(-(code.count + 6))
        // jne the beginning
        code += [0x0f, 0x85] + (0..<4).map { UInt8(truncatingIfNeeded: distance >> Int32($0 * 8)) }
        code += [0xf4]
    }

    /// `opcode` with a ModRM of `reg` and memory near a base.
    private func memory(_ opcode: [UInt8], _ reg: UInt8, wide: Bool? = nil, prefix: [UInt8] = []) {
        let base = base
        code += prefix
        let isWide = is64 && (wide ?? random.chance(70))
        let rex: UInt8 = 0x40 | (isWide ? 8 : 0) | (reg >> 3) << 2 | base >> 3
        if rex != 0x40 { code.append(rex) }
        code += opcode
        // What counts the rounds is an index too.
        let hasIndex = random.chance(20)
        code.append(0x40 | (reg & 7) << 3 | (hasIndex ? 4 : base & 7))
        if hasIndex {
            code.append(UInt8(random.below(4)) << 6 | 7 << 3 | base & 7)
        } else if base & 7 == 4 {
            code.append(0x24)
        }
        code.append(UInt8(bitPattern: Int8(random.below(48) - 24)))
    }

    private func register(_ opcode: UInt8, _ reg: UInt8, _ rm: UInt8, wide: Bool = true) {
        let rex: UInt8 = 0x40 | (is64 && wide ? 8 : 0) | (reg >> 3) << 2 | rm >> 3
        if rex != 0x40 { code.append(rex) }
        code += [opcode, 0xc0 | (reg & 7) << 3 | rm & 7]
    }

    private func instruction() {
        switch random.below(28) {
        case 0, 1, 2: memory([0x8b], value)  // mov
        case 3, 4, 5: memory([0x89], value)
        case 6: memory([0x03], value)  // add
        case 7: memory([0x01], value)
        case 8: memory([random.pick([0x39, 0x3b])], value)  // cmp
        case 9: memory([random.pick([0x13, 0x11, 0x1b])], value)  // adc, sbb
        case 10: memory([0xff], UInt8(random.below(2)))  // inc, dec
        case 11: memory([0x0f, 0xb6], value)  // movzx
        case 12: memory([0x88], random.pick([0, 1, 2]), wide: false)  // mov of a byte
        case 13: memory([random.pick([0x87, 0x85])], value)  // xchg, test
        case 14: memory([0x0f, UInt8(0x40 + random.below(16))], value)  // cmov
        case 15: memory([0x0f, random.pick([0x10, 0x11])], UInt8(random.below(8)), wide: false)  // movups
        case 16: code.append(0x50 | random.pick([0, 1, 2]))  // push
        case 17: code.append(0x58 | random.pick([0, 1, 2]))  // pop
        case 18: memory([0x8d], random.pick(Self.bases), wide: true)  // lea
        case 19: register(0x89, random.pick(Self.bases), random.pick(Self.bases))  // mov
        case 20:
            register(0x83, random.pick([0, 5]), base)  // add, sub
            code.append(UInt8(random.below(16)))
        case 21: memory([random.pick([0x01, 0x29, 0x21])], value, prefix: [0xf0])  // lock add, sub, and
        case 22: memory([0x0f, random.pick([0xc1, 0xb1])], value, prefix: [0xf0])  // lock xadd, cmpxchg
        case 23: memory([0x0f, UInt8(0x90 + random.below(16))], 0, wide: false)  // setcc
        case 24: code.append(random.pick([0xf5, 0xf8, 0xf9, 0x9e, 0x9f, 0xfc]))  // cmc, clc, stc, sahf, lahf, cld
        case 25: register(0xff, UInt8(random.below(2)), value)  // inc, dec
        case 26:
            register(0xc1, random.pick([0, 1, 4, 5, 7]), value)  // rol, ror, shl, shr, sar
            code.append(UInt8(1 + random.below(7)))
        default:
            // Over a short instruction.
            let condition = UInt8(0x70 + random.below(16))
            code += [condition, 3, 0x0f, 0xaf, 0xc1]  // jcc; imul eax, ecx
        }
    }
}
