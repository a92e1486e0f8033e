// Runs programs on both sides and compares what they leave.

import Glibc
import NativeCPU

@testable import EngineSoft

final class Comparison {
    let bits: Int
    let seed: UInt64
    private let soft: SoftSide
    private let native: NativeMemory
    private var generator: Generator
    private var random: Randomness
    /// Initial contents of the data pages are windows into it.
    private var template: [UInt8] = []
    private var codeAt: UInt64 = 0
    private let states: UnsafeMutablePointer<nc_state>
    private(set) var cases = 0
    private(set) var timeouts = 0
    /// Exceptions that cases ended with, by vector; index 256: the UD2 at the end.
    private(set) var ends = [Int](repeating: 0, count: 257)
    private(set) var failures: [String] = []
    private(set) var failureCounts: [String: Int] = [:]

    enum Style: CaseIterable { case single, stepped, sequence }

    init(bits: Int, seed: UInt64, features: FeatureSet, only: ((Entry) -> Bool)? = nil) throws {
        self.bits = bits
        self.seed = seed
        soft = try SoftSide(bits: bits)
        native = NativeMemory.shared!
        // HLT, which is for ring 0: where a wild jump goes, both sides raise #GP at once. Other code may ask for the host's descriptor tables, or
        // its kernel.
        memset(native.code, 0xf4, Int(Places.codeLength))
        memset(soft.code, 0xf4, Int(Places.codeLength))
        generator = Generator(seed: seed, bits: bits, features: features, only: only)
        random = Randomness(seed: ~seed)
        states = .allocate(capacity: 3)
        states.initialize(repeating: nc_state(), count: 3)
        fillTemplate()
    }

    deinit { states.deallocate() }

    private func fillTemplate() {
        template = []
        template.reserveCapacity(0x8000)
        while template.count < 0x8000 { template += Generator.bytes(random.value(), 8) }
    }

    // MARK: One case

    func run(_ style: Style) {
        let address = place()
        let program = style == .sequence ? generator.sequence(at: address) : generator.single(at: address)
        if cases % 4096 == 0 { fillTemplate() }
        if cases % 64 == 0 { soft.setFlat(random.chance(50)) }
        cases += 1
        let window = random.below(0x8000 - Places.dataLength)
        start(program, address)
        states[2] = states[0]
        if let difference = execute(program, address, window, style) {
            report(program, address, window, style, difference)
        }
    }

    /// Room for a case's code; at offsets that let blocks end at pages and cross them.
    private func place() -> UInt64 {
        if codeAt + 1024 > Places.codeLength {
            codeAt = 0
        }
        let address = Places.code + codeAt
        codeAt += 512 + UInt64(random.below(16))
        return address
    }

    private func start(_ program: Program, _ address: UInt64) {
        let raw = UnsafeMutableRawPointer(states)
        for number in 0..<16 {
            var value = random.value()
            if bits == 32 { value = number < 8 ? value & 0xffff_ffff : 0 }
            raw.storeBytes(of: value, toByteOffset: number * 8, as: UInt64.self)
        }
        for (number, value) in program.setup.registers {
            raw.storeBytes(of: bits == 32 ? value & 0xffff_ffff : value, toByteOffset: number * 8, as: UInt64.self)
        }
        states[0].rip = address
        states[0].rflags = 0x202 | random.next() & (FlagRules.status | (random.chance(20) ? 0x400 : 0))
        states[0].cs = UInt16(bits == 32 ? nc_code32 : nc_code64)
        let data = UInt16(nc_data)
        (states[0].ss, states[0].ds, states[0].es) = (data, data, data)
        states[0].cr2 = 0
        FXState.fill(raw + FXImage.offset, &random, isPlain: !program.usesVectors)
    }

    private func fill(_ program: Program, _ window: Int) {
        template.withUnsafeBytes { bytes in
            let source = bytes.baseAddress! + window
            memcpy(native.writable, source, Int(Places.writableLength))
            memcpy(native.readOnly, source + Int(Places.writableLength), 4096)
        }
        for (address, value) in program.setup.memory {
            for index in 0..<8 {
                let offset = Int(truncatingIfNeeded: address &- Places.data &+ UInt64(index))
                guard offset >= 0, offset < Places.dataLength else { continue }
                let byte = UInt8(truncatingIfNeeded: value >> UInt64(index * 8))
                let page =
                    offset < Int(Places.writableLength)
                    ? native.writable + offset : native.readOnly + (offset - Int(Places.writableLength))
                page.storeBytes(of: byte, as: UInt8.self)
            }
        }
        memcpy(soft.page(0), native.writable, 4096)
        memcpy(soft.page(1), native.writable + 4096, 4096)
        memcpy(soft.page(2), native.readOnly, 4096)
    }

    /// From states[2]; nil: both sides agree.
    private func execute(_ program: Program, _ address: UInt64, _ window: Int, _ style: Style) -> String? {
        fill(program, window)
        let offset = Int(address - Places.code)
        soft.codeWritten(offset, program.code.count)
        program.code.withUnsafeBytes {
            memcpy(native.code + offset, $0.baseAddress!, $0.count)
            memcpy(soft.code + offset, $0.baseAddress!, $0.count)
        }
        states[0] = states[2]
        states[1] = states[2]
        defer {
            memset(native.code + offset, 0xf4, program.code.count)
            memset(soft.code + offset, 0xf4, program.code.count)
            soft.codeWritten(offset, program.code.count)
        }
        nc_run(states)
        var isOver = soft.run(states + 1, single: style == .stepped)
        // The host does more in its 50 ms.
        if !isOver, states[0].vector != 255 {
            isOver = soft.resume(states + 1, single: style == .stepped, instructions: 200_000_000)
        }
        if states[0].vector == 255 || !isOver {
            timeouts += 1
            return states[0].vector == 255 && !isOver ? nil : "one side does not end: native vector \(states[0].vector)"
        }
        return difference(program, address)
    }

    private func difference(_ program: Program, _ address: UInt64) -> String? {
        let (a, b) = (states[0], states[1])
        let isEnd = a.vector == 6 && a.rip == address + UInt64(program.code.count - 8)
        ends[isEnd ? 256 : Int(a.vector & 255)] += 1
        if isMakers(program, address, a) || HostFeatures.isIntel && isIntels(program, address, a, b)
            || isSplitAtTop(a, b)
        {
            return nil
        }
        var lines: [String] = []
        func compare(_ name: String, _ a: UInt64, _ b: UInt64) {
            if a != b { lines.append("\(name) native \(hex(a)) soft \(hex(b))") }
        }
        var isOrdered = true
        compare("rip", a.rip, b.rip)
        if a.rip == b.rip, let part = program.parts.first(where: { address + UInt64($0.offset) == a.rip }) {
            // Which of two operands, and which element of a long one, is reached first is the maker's.
            let mnemonic = part.instruction.mnemonic
            if mnemonic == .cmps || [.frstor, .fldenv, .fxrstor].contains(mnemonic) { isOrdered = false }
        }
        if !isOrdered {
            if a.vector == 6 || b.vector == 6 { compare("vector", a.vector, b.vector) }
        } else if a.vector == 14, b.vector == 14 {
            compare("cr2", a.cr2, b.cr2)
            // The kernel says "protection" of every address of its own half, and the host's process has memory elsewhere.
            let mask: UInt64 = a.cr2 < Places.base || a.cr2 >= Places.base + 0x20_0000 ? ~1 : ~0
            compare("error code", a.error & mask, b.error & mask)
        } else {
            compare("vector", a.vector, b.vector)
            if a.vector == b.vector { compare("error code", a.error, b.error) }
        }
        let raw = UnsafeRawPointer(states)
        for number in 0..<(bits == 64 ? 16 : 8) {
            var (x, y) = (
                raw.load(fromByteOffset: number * 8, as: UInt64.self),
                raw.load(fromByteOffset: MemoryLayout<nc_state>.stride + number * 8, as: UInt64.self)
            )
            if bits == 32 { (x, y) = (x & 0xffff_ffff, y & 0xffff_ffff) }
            compare(Comparison.names[number], x, y)
        }
        // RF is set by faults, IF is always.
        let isStraight = !program.parts.contains { $0.instruction.mnemonic == .jmpIndirect }
        let defined =
            0x400 | FlagRules.status & ~(isEnd && isStraight ? program.undefinedAtEnd : program.undefinedAnywhere)
        compare("flags", a.rflags & defined, b.rflags & defined)
        if program.usesVectors {
            // FCOMI and relatives clear C1 (SDM volume 2); AMD's leave it.
            let leavesC1 = program.parts.contains { Comparison.leavingC1.contains($0.instruction.mnemonic) }
            lines += FXState.differences(raw, raw + MemoryLayout<nc_state>.stride, statusMask: leavesC1 ? ~0x200 : ~0)
        }
        for page in 0..<2 where memcmp(soft.page(page), native.writable + page * 4096, 4096) != 0 {
            lines.append(memoryDifference(page))
        }
        return lines.isEmpty ? nil : lines.joined(separator: "; ")
    }

    /// An operand that runs past 4 GiB of a flat segment: whether that is a fault is the processor's own (SDM volume 3, 5.3). AMD's do the first eight
    /// bytes of ten by themselves, which do not; Intel's look at no limit of such a segment.
    private func isSplitAtTop(_ a: nc_state, _ b: nc_state) -> Bool {
        bits == 32 && a.rip == b.rip && a.vector == 14 && (12...13).contains(b.vector)
            && (HostFeatures.isIntel ? 0xffff_fff1...0xffff_ffff : 0xffff_fff7...0xffff_fff8).contains(a.cr2)
    }

    /// Where processors differ and this host's is no judge; each line is one reason.
    private func isMakers(_ program: Program, _ address: UInt64, _ a: nc_state) -> Bool {
        let fault = program.parts.first { address + UInt64($0.offset) == a.rip }?.instruction.mnemonic
        let fx = UnsafeRawPointer(states) + FXImage.offset
        let (control, status) = (fx.load(as: UInt16.self), fx.load(fromByteOffset: 2, as: UInt16.self))
        // Faults of bytes that the mask leaves out (SDM volume 2, "MASKMOVQ"); AMD's sets TOP and tags before its fault.
        if fault == .maskmovq || fault == .maskmovdqu, a.vector >= 12, a.vector <= 14 { return true }
        // A misaligned operand of the stack segment beyond its limit: #GP or #SS (SDM volume 3, 6.9 leaves the order open).
        if a.vector == 13, states[1].vector == 12, program.usesVectors { return true }
        // A target that is not canonical: before or after the stack's faults, at the jump or behind it.
        if fault == .callIndirect || fault == .jmpIndirect, a.vector == 13 { return true }
        // Which of the products' and sums' exceptions are reported together.
        if fault == .dpps || fault == .dppd, a.vector == 19 { return true }
        // C1 after FCOMI (see below), read by FNSTSW.
        let mnemonics = program.parts.map(\.instruction.mnemonic)
        if mnemonics.contains(.fnstsw), !Comparison.leavingC1.isDisjoint(with: mnemonics) { return true }
        return program.parts.contains { part in
            let i = part.instruction
            switch i.mnemonic {
            // MXCSR bit 17 is AMD's misaligned mode.
            case .ldmxcsr, .fxrstor: return fx.load(fromByteOffset: 24, as: UInt32.self) & 0x20000 != 0
            // The result of a count beyond the operand's 16 bits is undefined.
            case .shld, .shrd:
                let shift = program.parts.count == 1 ? program.setup[1] : nil
                let count = i.operands.2 == .CL ? shift : i.immediate
                return i.operandSize == 2 && count.map { $0 & 31 > 16 } ?? true
            // AMD's push a denormal operand with its exception unmasked; the SDM (volume 1, 8.5.2) leaves the stack alone.
            case .fld: return status & ~control & 2 != 0
            default: return false
            }
        }
    }

    /// As `isMakers`: where Intel's do otherwise than AMD's, and the SDM leaves it open.
    private func isIntels(_ program: Program, _ address: UInt64, _ a: nc_state, _ b: nc_state) -> Bool {
        func part(at rip: UInt64) -> Instruction? {
            program.parts.first { address + UInt64($0.offset) == rip }?.instruction
        }
        if (12...14).contains(b.vector), let i = part(at: b.rip), i.isMemory {
            let status = (UnsafeRawPointer(states) + FXImage.offset).load(fromByteOffset: 2, as: UInt16.self)
            // A store with an exception that is not masked stores nothing, and is done before its page is looked at.
            let isPending = status & 0x80 != 0 || program.parts.contains { $0.instruction.mnemonic == .fnclex }
            if i.flags.contains(.x87), a.rip != b.rip || a.vector != b.vector, isPending { return true }
            // TOP and tags are set before a store's fault; ten bytes are written up to the page that faults.
            if a.vector == b.vector, a.rip == b.rip, i.flags.contains(.mmx) || i.operands.0.size(i.operandSize) == 10 {
                return true
            }
        }
        // The flags of a repeated comparison that faults: those before it, or of its last round.
        if (12...14).contains(a.vector), a.vector == b.vector, a.rip == b.rip, let i = part(at: a.rip), i.repeats,
            i.mnemonic == .scas || i.mnemonic == .cmps
        {
            return true
        }
        return program.parts.contains { part in
            let i = part.instruction
            // F3 90 with REX.B: PAUSE, or XCHG of R8.
            if i.mnemonic == .xchg, i.opcode == 0x90, i.prefixes.contains(.rep) { return true }
            // With 32-bit addresses, whether a repeated string instruction that does no round clears the upper halves.
            return bits == 64 && i.prefixes.contains(.addressSize) && i.repeats
                && Comparison.strings.contains(i.mnemonic)
        }
    }

    private static let strings: Set<Mnemonic> = [.movs, .cmps, .scas, .stos, .lods]
    private static let leavingC1: Set<Mnemonic> = [.fcomi, .fcomip, .fucomi, .fucomip]

    private func memoryDifference(_ page: Int) -> String {
        let (a, b) = (native.writable + page * 4096, soft.page(page))
        let at =
            (0..<4096).first {
                a.load(fromByteOffset: $0, as: UInt8.self) != b.load(fromByteOffset: $0, as: UInt8.self)
            } ?? 0
        let start = at & ~7
        return
            "memory at \(hex(Places.data + UInt64(page * 4096 + start))) native \(hex(a.load(fromByteOffset: start, as: UInt64.self)))"
            + " soft \(hex(b.load(fromByteOffset: start, as: UInt64.self)))"
    }

    static let names = [
        "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
    ]

    // MARK: Reports

    /// Shrinks to the first instruction behind which the sides differ.
    private func report(_ program: Program, _ address: UInt64, _ window: Int, _ style: Style, _ difference: String) {
        var shortest = program
        var text = difference
        var last = program.parts.last
        for part in program.parts.dropLast() {
            var shorter = program
            shorter.code.removeLast(shorter.code.count - part.offset - part.length)
            for _ in 0..<4 { shorter.code += [0x0f, 0x0b] }
            shorter.undefinedAtEnd = program.undefinedAnywhere
            if let found = execute(shorter, address, window, style) {
                (shortest, text, last) = (shorter, found, part)
                break
            }
        }
        let mnemonic = last.map { "\($0.instruction.mnemonic)" } ?? "?"
        failureCounts[mnemonic, default: 0] += 1
        guard failureCounts[mnemonic]! <= 4, failures.count < 60 else { return }
        let bytes = shortest.code.dropLast(8).map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined(
            separator: " ")
        var registers = ""
        let raw = UnsafeRawPointer(states + 2)
        for number in 0..<(bits == 64 ? 16 : 8) {
            registers += " \(Comparison.names[number])=\(hex(raw.load(fromByteOffset: number * 8, as: UInt64.self)))"
        }
        let tail =
            last.map { part in
                shortest.code.dropFirst(part.offset).prefix(part.length).map {
                    String($0 >> 4, radix: 16) + String($0 & 15, radix: 16)
                }
                .joined(separator: " ")
            } ?? ""
        failures.append(
            "\(bits)-bit \(style) \(mnemonic) [\(tail)], case \(cases) of seed \(hex(seed)): \(text)\n    code \(bytes)\n   \(registers)"
                + " flags=\(hex(states[2].rflags)) at \(hex(address))\n    native \(ending(0)), soft \(ending(1))")
    }

    private func ending(_ side: Int) -> String {
        let state = states[side]
        return "vector \(state.vector) at \(hex(state.rip)), error \(hex(state.error)), CR2 \(hex(state.cr2))"
    }

    func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
}
