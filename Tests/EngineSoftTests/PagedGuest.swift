// A guest whose pages of data may be absent, read-only or new, with a handler of #PF that makes them good: what runs a random program, interpreted and
// translated, for tests that both come to the same end.

import Glibc
import NativeCPU
import Testing

@testable import Core
@testable import EngineSoft

/// Flat, paged and in ring 0, with a handler that makes good the page that a fault was about.
final class PagedGuest {
    struct End: Equatable {
        var how = ""
        var registers: [UInt64] = []
        var faults: UInt64 = 0
        /// R0 to R7, and all of X87Control.
        var x87: [UInt8] = []

        func difference(from other: End) -> String {
            if how != other.how { return "ends \(how) and not \(other.how)" }
            for (index, pair) in zip(registers, other.registers).enumerated() where pair.0 != pair.1 {
                return "register \(index) is \(String(pair.0, radix: 16)) and not \(String(pair.1, radix: 16))"
            }
            for (index, pair) in zip(x87, other.x87).enumerated() where pair.0 != pair.1 {
                return "byte \(index) of the x87 state is \(pair.0) and not \(pair.1)"
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
    var random = Randomness(seed: 0)
    /// Instructions, at most.
    var limit: UInt64 = 200_000
    private(set) var code: [UInt8] = []
    private(set) var is64 = true
    private let writer: (PagedGuest) -> Void

    /// `writer` appends a random program, which counts down RDI and ends with HLT.
    init(_ options: SoftOptions, _ writer: @escaping (PagedGuest) -> Void) throws {
        self.writer = writer
        engine = SoftEngine(options: options)
        machine = try Machine(
            MachineDescription(
                name: "paged", cpuCount: 1, memory: 0, instances: [], clock: .init(mode: .counted), watchdog: 0),
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
        writer(self)
        put(code, at: 0x4000)
        for part in told { put(part.bytes, at: part.place) }
        registers()
        cpu.emptyArena()
        cpu.flushTranslations(keepsGlobal: false)
        cpu.updateMode()
        machine.vcpus[0].set(0)
        let begun = cpu.s.run.pointee.executed
        cpu.setDeadline(begun + limit)
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
        let control = withUnsafeBytes(of: state.pointee.x87) { [UInt8]($0) }
        end.x87 = [UInt8](UnsafeRawBufferPointer(start: cpu.s + Layout.x87, count: 128)) + control
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
            // Those of ES and DS are never loaded.
            let selector: UInt16 = [0x20, 8, 16, 0x28, 0x30, 0x38][number]
            cpu.s.segment(number).pointee = SegmentRegister(
                base: 0, limit: .max, selector: selector, attributes: attributes)
        }
        cpu.s.segment(Segment.fs).pointee = SegmentRegister(base: 0, limit: 0xfff, selector: 0x30, attributes: 0x4093)
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

    // MARK: Programs

    func append(_ bytes: [UInt8]) { code += bytes }

    func patch(_ place: Int, _ bytes: [UInt8]) { code.replaceSubrange(place..<place + bytes.count, with: bytes) }

    /// The counter, a jump to `place` while it is not 0, and HLT.
    func appendLoop(to place: Int) {
        code += [0xff, 0xcf]  // dec edi
        let distance = Int32(place - (code.count + 6))
        // jne
        code += [0x0f, 0x85] + (0..<4).map { UInt8(truncatingIfNeeded: distance >> Int32($0 * 8)) }
        code += [0xf4]
    }

    static let bases: [UInt8] = [3, 5, 6]
    var base: UInt8 { is64 && random.chance(30) ? random.pick([4, 8, 10, 12, 13]) : random.pick(Self.bases) }
    var value: UInt8 { is64 && random.chance(20) ? random.pick([9, 11]) : random.pick([0, 1, 2]) }

    /// `opcode` with a ModRM of `reg` and memory near a base.
    func memory(_ opcode: [UInt8], _ reg: UInt8, wide: Bool? = nil, prefix: [UInt8] = []) {
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

    func register(_ opcode: UInt8, _ reg: UInt8, _ rm: UInt8, wide: Bool = true) {
        let rex: UInt8 = 0x40 | (is64 && wide ? 8 : 0) | (reg >> 3) << 2 | rm >> 3
        if rex != 0x40 { code.append(rex) }
        code += [opcode, 0xc0 | (reg & 7) << 3 | rm & 7]
    }
}

/// The same programs interpreted, and translated from their first run on, from the second, when they are hot, and beside the interpreter.
struct PagedComparison {
    let interpreted: PagedGuest
    let others: [PagedGuest]

    init(interpreting families: Set<TranslationFamily> = [], _ program: @escaping (PagedGuest) -> Void) throws {
        var options = SoftOptions()
        options.translation = .off
        interpreted = try PagedGuest(options, program)
        options.interpreted = families
        others = try [(Translation.always, UInt32(0)), (.on, 1), (.on, 16), (.check, 0)].map { translation, runs in
            (options.translation, options.translatesAfter) = (translation, runs)
            return try PagedGuest(options, program)
        }
    }

    /// How the program ends; nil: not all of them come to the same end, which is recorded.
    func run(_ seed: UInt64, is64: Bool) -> PagedGuest.End? {
        let expected = interpreted.run(seed, is64: is64)
        for (index, guest) in others.enumerated() {
            let found = guest.run(seed, is64: is64)
            let sameMemory = memcmp(interpreted.ram, guest.ram, Int(PagedGuest.length)) == 0
            guard found != expected || !sameMemory else { continue }
            let difference = found.difference(from: expected) + ", memory " + (sameMemory ? "the same" : "not")
            let place = place(seed, is64: is64, guest)
            Issue.record("\(is64 ? 64 : 32) bits, seed \(seed), way \(index): \(difference); \(place)")
            return nil
        }
        return expected
    }

    /// Where one first differs: so many instructions, and the code where the last one begins.
    private func place(_ seed: UInt64, is64: Bool, _ b: PagedGuest) -> String {
        let a = interpreted
        func differ(_ limit: UInt64) -> Bool {
            (a.limit, b.limit) = (limit, limit)
            defer { (a.limit, b.limit) = (200_000, 200_000) }
            let (x, y) = (a.run(seed, is64: is64), b.run(seed, is64: is64))
            return x != y || memcmp(a.ram, b.ram, Int(PagedGuest.length)) != 0
        }
        var (same, other): (UInt64, UInt64) = (0, 200_000)
        while other - same > 1 {
            let middle = (same + other) / 2
            if differ(middle) { other = middle } else { same = middle }
        }
        a.limit = same
        let before = a.run(seed, is64: is64)
        a.limit = 200_000
        let place = Int(before.registers[16])
        let bytes = (0..<12).map {
            a.ram.load(fromByteOffset: (place + $0) & Int(PagedGuest.length - 1), as: UInt8.self)
        }
        let code = bytes.map { String($0, radix: 16) }.joined(separator: " ")
        return "after \(other) instructions, at \(String(place, radix: 16)): \(code)"
    }
}
