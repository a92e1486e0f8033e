// Instructions whose operand size, address size and stack size differ, on both sides: 16-bit and 32-bit code on 16-bit and 32-bit stacks, in segments
// of the process's LDT.

import Glibc
import NativeCPU

@testable import EngineSoft

/// The LDT's segments, whose numbers are their places in it.
private enum Width: UInt16, CaseIterable {
    case code16, code32, data16, data32

    var selector: UInt16 { rawValue << 3 | 7 }
    var isCode: Bool { self == .code16 || self == .code32 }
    var isBig: Bool { self == .code32 || self == .data32 }
    var base: UInt64 { isCode ? Places.code : Places.data }
    static let limit: UInt32 = 0xffff
    /// As Linux writes it: present, ring 3, accessed; code can be read, data be written.
    var descriptor: UInt64 {
        let type: UInt64 = isCode ? 0xfb : 0xf3
        return UInt64(Self.limit) | (base & 0xff_ffff) << 16 | type << 40 | (isBig ? 1 << 54 : 0) | (base >> 24) << 56
    }
    var register: SegmentRegister {
        SegmentRegister(
            base: base, limit: Self.limit, selector: selector, attributes: (isCode ? 0xfb : 0xf3) | (isBig ? 0x4000 : 0)
        )
    }
}

final class WidthComparison {
    private let soft: SoftSide
    private let native: NativeMemory
    private var random: Randomness
    private let states: UnsafeMutablePointer<nc_state>
    private var decoder = Decoder(features: CPUModel().features)
    private(set) var cases = 0
    /// Cases that reached the UD2 behind their instruction.
    private(set) var ends = 0
    private(set) var failures: [String] = []
    private(set) var failureCounts: [String: Int] = [:]

    /// nil: this host has no LDT.
    init?(seed: UInt64) throws {
        for width in Width.allCases {
            let made = nc_segment(
                UInt32(width.rawValue), UInt32(width.base), Width.limit, width.isCode ? 1 : 0, width.isBig ? 1 : 0)
            guard made == Int32(width.selector) else { return nil }
        }
        soft = try SoftSide(bits: 32)
        native = NativeMemory.shared!
        random = Randomness(seed: seed)
        states = .allocate(capacity: 3)
        states.initialize(repeating: nc_state(), count: 3)
        soft.setLocalTable(Width.allCases.map(\.descriptor))
        // HLT, as in Comparison.
        memset(native.code, 0xf4, Int(Places.codeLength))
        memset(soft.code, 0xf4, Int(Places.codeLength))
    }

    deinit { states.deallocate() }

    // MARK: Cases

    /// Opcodes, without their prefixes and ModRM bytes. None that loads FS or GS, which the host's libraries need.
    private static let opcodes: [[UInt8]] =
        [
            [0x06], [0x0e], [0x16], [0x1e], [0x0f, 0xa0], [0x0f, 0xa8], [0x07], [0x17], [0x1f],
            [0x60], [0x61], [0x68], [0x6a], [0x8f], [0xc8], [0xc8], [0xc8], [0xc8], [0xc9], [0x9c], [0x9d],
            [0xe8], [0xe9], [0xeb], [0xc2], [0xc3], [0x74], [0x0f, 0x85], [0xe0], [0xe1], [0xe2], [0xe3],
            [0x9a], [0xea], [0xca], [0xcb], [0xcf], [0xff], [0xff], [0xff], [0xc4], [0xc5], [0x0f, 0xb2], [0x62],
            [0xa4], [0xa5], [0xa6], [0xa7], [0xaa], [0xab], [0xac], [0xad], [0xae], [0xaf],
            [0x8d], [0x8b], [0x89], [0xa1], [0xa3], [0xd6], [0xd7], [0x8c], [0x0f, 0xa3], [0x0f, 0xab], [0x0f, 0xc7],
            [0x98], [0x99], [0x27], [0x37],
        ] + (0x50...0x5f as ClosedRange<UInt8>).map { [$0] }

    private static let strings: ClosedRange<UInt8> = 0xa4...0xaf

    func run() {
        let code: Width = random.chance(50) ? .code16 : .code32
        let stack: Width = random.chance(70) != (code == .code32) ? .data16 : .data32
        let data: Width = random.chance(50) ? .data16 : .data32
        let offset = 0x100 + random.below(0x3000)
        guard let (bytes, i) = instruction(code, at: offset) else { return }
        cases += 1
        start(code, stack, data, offset)
        let end = offset + bytes.count
        prepare(i, end: UInt64(end), stack: stack)
        states[2] = states[0]
        let program = bytes + [0x0f, 0x0b, 0x0f, 0x0b]
        place(program, at: offset)
        copyData()
        states[1] = states[0]
        nc_run(states)
        let (es, cs, ss, ds) = (states[1].es, states[1].cs, states[1].ss, states[1].ds)
        soft.setSegments([Segment.es: es, Segment.cs: cs, Segment.ss: ss, Segment.ds: ds]) {
            Width(rawValue: $0 >> 3)?.register ?? SegmentRegister()
        }
        let isOver = soft.run(states + 1, single: random.chance(50))
        let isEnd = states[0].vector == 6 && Int(states[0].rip) == end
        if isEnd { ends += 1 }
        let name = "\(i.mnemonic)"
        let text = isOver ? difference(i) : "the software CPU does not end"
        place([UInt8](repeating: 0xf4, count: program.count), at: offset)
        guard let text else { return }
        failureCounts[name, default: 0] += 1
        guard failureCounts[name]! <= 4, failures.count < 60 else { return }
        failures.append(
            "\(code) \(stack) \(name) [\(bytes.map { hex(UInt64($0)) }.joined(separator: " "))], case \(cases): \(text)\n"
                + "    from \(registers(2)) at \(hex(UInt64(offset)))\n    native \(registers(0))\n    soft \(registers(1))"
        )
    }

    /// An opcode with prefixes, ModRM and immediates; nil: not an instruction in this mode.
    private func instruction(_ code: Width, at offset: Int) -> (bytes: [UInt8], Instruction)? {
        let opcode = random.pick(Self.opcodes)
        var bytes: [UInt8] = []
        if random.chance(50) { bytes.append(0x66) }
        if random.chance(50) { bytes.append(0x67) }
        if Self.strings.contains(opcode[0]), random.chance(60) { bytes.append(random.chance(50) ? 0xf3 : 0xf2) }
        if random.chance(15) { bytes.append(random.pick([0x26, 0x2e, 0x36, 0x3e])) }
        bytes += opcode
        let head = bytes.count
        for _ in 0..<12 { bytes.append(UInt8(truncatingIfNeeded: random.next())) }
        switch opcode[0] {
        case 0x8f: bytes[head] &= 0xc7
        case 0xc8:
            // Small frames, and every level.
            bytes[head + 1] &= 0x0f
            bytes[head + 2] = UInt8(random.below(40))
        default: break
        }
        var i = Instruction()
        let mode: Mode = code == .code32 ? [.code32, .protected] : [.protected]
        let outcome = bytes.withUnsafeBufferPointer {
            decoder.decode($0.baseAddress!, count: $0.count, mode: mode, into: &i)
        }
        guard outcome == .instruction, i.mnemonic != .rdrand, i.mnemonic != .rdseed else { return nil }
        bytes.removeLast(bytes.count - Int(i.length))
        fixTarget(i, &bytes, end: offset + bytes.count)
        return (bytes, i)
    }

    /// Direct branches go to the instruction behind them, far ones to a segment that is there.
    private func fixTarget(_ i: Instruction, _ bytes: inout [UInt8], end: Int) {
        switch i.mnemonic {
        case .jcc, .jmp, .call, .loop, .loope, .loopne, .jcxz:
            let width = i.operands.0 == .Jb ? 1 : Int(min(i.operandSize, 4))
            for index in 1...width { bytes[bytes.count - index] = 0 }
        case .callFar, .jmpFar:
            let selector = random.pick([Width.code16, .code32]).selector
            bytes[bytes.count - 2] = UInt8(selector & 0xff)
            bytes[bytes.count - 1] = 0
            guard random.chance(85) else { return }
            for index in 0..<Int(i.operandSize) {
                bytes[bytes.count - 2 - Int(i.operandSize) + index] = UInt8(truncatingIfNeeded: end >> (index * 8))
            }
        default: break
        }
    }

    private func start(_ code: Width, _ stack: Width, _ data: Width, _ offset: Int) {
        let raw = UnsafeMutableRawPointer(states)
        states[0] = nc_state()
        for number in 0..<8 {
            var value = random.value() & 0xffff_ffff
            // Mostly within the pages, with an upper half that 16-bit addresses do not see.
            if random.chance(70) { value = UInt64(0x40 + random.below(0x2f00)) }
            if random.chance(40) { value |= random.next() & 0xffff_0000 }
            raw.storeBytes(of: value, toByteOffset: number * 8, as: UInt64.self)
        }
        if random.chance(70) { raw.storeBytes(of: random.next() & 0xffff_000f, toByteOffset: 8, as: UInt64.self) }
        for number in [4, 5] where random.chance(90) {
            var value = UInt64(0x100 + random.below(0x1e00))
            if random.chance(8) { value = UInt64(random.below(24)) }
            if stack == .data16, random.chance(80) { value |= random.next() & 0xffff_0000 }
            raw.storeBytes(of: value, toByteOffset: number * 8, as: UInt64.self)
        }
        states[0].rip = UInt64(offset)
        states[0].rflags = 0x202 | random.next() & (FlagRules.status | (random.chance(20) ? 0x400 : 0))
        (states[0].cs, states[0].ss) = (code.selector, stack.selector)
        (states[0].ds, states[0].es) = (data.selector, random.pick([Width.data16, .data32]).selector)
        let fx = raw + FXImage.offset
        fx.storeBytes(of: 0x37f, as: UInt16.self)
        fx.storeBytes(of: 0x1f80, toByteOffset: 24, as: UInt32.self)
    }

    /// Data pages, with what the instruction will pop or load.
    private func prepare(_ i: Instruction, end: UInt64, stack: Width) {
        for offset in stride(from: 0, to: Int(Places.writableLength), by: 8) {
            native.writable.storeBytes(of: random.next(), toByteOffset: offset, as: UInt64.self)
        }
        for offset in stride(from: 0, to: 4096, by: 8) {
            native.readOnly.storeBytes(of: random.next(), toByteOffset: offset, as: UInt64.self)
        }
        let pointer = UnsafeRawPointer(states).load(fromByteOffset: 32, as: UInt64.self)
        var at = Int(pointer & (stack == .data16 ? 0xffff : 0xffff_ffff))
        func pop(_ value: UInt64, always: Bool = false) {
            if always || random.chance(97) {
                for byte in 0..<Int(i.operandSize) {
                    put(UInt8(truncatingIfNeeded: value >> UInt64(byte * 8)), at: at + byte)
                }
            }
            at += Int(i.operandSize)
        }
        // Never flags that would be the test's own: TF, AC.
        let flags = 0x202 | random.next() & (FlagRules.status | 0x400)
        let codeSelector = UInt64(random.pick([Width.code16, .code32]).selector)
        // Upper halves of selectors in 32-bit slots are ignored.
        let codeSlot = codeSelector | (i.operandSize == 4 ? random.next() & 0xffff_0000 : 0)
        let dataSlot = UInt64(random.chance(80) ? random.pick([Width.data16, .data32]).selector : 0)
        switch i.mnemonic {
        case .ret: pop(end)
        case .retFar:
            pop(end)
            pop(codeSlot)
        case .iret:
            pop(end)
            pop(codeSlot)
            pop(flags, always: true)
        case .popf: pop(flags, always: true)
        case .popSegment: pop(dataSlot)
        default: break
        }
        farOperand(i, end, i.mnemonic == .callFarIndirect || i.mnemonic == .jmpFarIndirect ? codeSelector : dataSlot)
    }

    private func put(_ byte: UInt8, at offset: Int) {
        let writable = Int(Places.writableLength)
        if offset < writable {
            native.writable.storeBytes(of: byte, toByteOffset: offset, as: UInt8.self)
        } else if offset < writable + 4096 {
            native.readOnly.storeBytes(of: byte, toByteOffset: offset - writable, as: UInt8.self)
        }
    }

    /// Somewhere in memory a far or near pointer for those who load one: everywhere, since its address is not known here.
    private func farOperand(_ i: Instruction, _ end: UInt64, _ selector: UInt64) {
        switch i.mnemonic {
        case .callFarIndirect, .jmpFarIndirect, .callIndirect, .jmpIndirect, .lds, .les, .lss:
            let width = Int(i.operandSize)
            let isFar = i.mnemonic != .callIndirect && i.mnemonic != .jmpIndirect
            let step = isFar ? width + 2 : width
            var offset = 0
            while offset + step <= Int(Places.writableLength) {
                var value = end
                for byte in 0..<width {
                    native.writable.storeBytes(
                        of: UInt8(truncatingIfNeeded: value), toByteOffset: offset + byte, as: UInt8.self)
                    value >>= 8
                }
                if isFar {
                    native.writable.storeBytes(
                        of: UInt8(truncatingIfNeeded: selector), toByteOffset: offset + width, as: UInt8.self)
                    native.writable.storeBytes(of: 0, toByteOffset: offset + width + 1, as: UInt8.self)
                }
                offset += step
            }
        default: break
        }
    }

    private func place(_ bytes: [UInt8], at offset: Int) {
        bytes.withUnsafeBytes {
            memcpy(native.code + offset, $0.baseAddress!, $0.count)
            memcpy(soft.code + offset, $0.baseAddress!, $0.count)
        }
        soft.codeWritten(offset, bytes.count)
    }

    private func copyData() {
        memcpy(soft.page(0), native.writable, 4096)
        memcpy(soft.page(1), native.writable + 4096, 4096)
        memcpy(soft.page(2), native.readOnly, 4096)
    }

    // MARK: Comparing

    private static let severalAccesses: Set<Mnemonic> = [
        .cmps, .callFar, .callFarIndirect, .callIndirect, .jmpFarIndirect, .retFar, .iret, .lds, .les, .lss,
        .popSegment,
        .enter, .popa, .bound,
    ]

    private func difference(_ i: Instruction) -> String? {
        let (a, b) = (states[0], states[1])
        // Of several accesses and checks, which comes first is the maker's, and whether a push before a fault has been done.
        if Self.severalAccesses.contains(i.mnemonic), a.rip == states[2].rip, a.vector != 6 {
            return b.rip == a.rip && b.vector != 6
                ? nil : "native vector \(a.vector), soft \(b.vector) at \(hex(b.rip))"
        }
        let isSelectorPush = HostFeatures.isIntel && i.mnemonic == .pushSegment && i.operandSize == 4
        // Intel's write the selector's two bytes alone (SDM volume 2, PUSH), and look at no others.
        if isSelectorPush, a.rip == b.rip, a.vector == 14, b.vector == 12 { return nil }
        if isSelectorPush { takeUpperHalf() }
        // A selector of the host's own table, by chance.
        if [a.cs, a.ds, a.es, a.ss].contains(where: { $0 & 4 == 0 && $0 & 0xfffc != 0 }) { return nil }
        var lines: [String] = []
        func compare(_ name: String, _ a: UInt64, _ b: UInt64) {
            if a != b { lines.append("\(name) native \(hex(a)) soft \(hex(b))") }
        }
        compare("rip", a.rip, b.rip)
        compare("vector", a.vector, b.vector)
        if a.vector == b.vector, a.vector == 14 {
            compare("cr2", a.cr2, b.cr2)
        } else if a.vector == b.vector {
            compare("error code", a.error, b.error)
        }
        for (name, x, y) in [("cs", a.cs, b.cs), ("ss", a.ss, b.ss), ("ds", a.ds, b.ds), ("es", a.es, b.es)] {
            // A return to ring 3, which the host's kernel makes afterwards, clears the RPL of null selectors.
            compare(name, UInt64(x), y & 0xfffc == 0 ? 0 : UInt64(y))
        }
        let raw = UnsafeRawPointer(states)
        for number in 0..<8 {
            compare(
                Comparison.names[number], raw.load(fromByteOffset: number * 8, as: UInt64.self) & 0xffff_ffff,
                raw.load(fromByteOffset: MemoryLayout<nc_state>.stride + number * 8, as: UInt64.self) & 0xffff_ffff)
        }
        // Of a repeated comparison that faults: those before it, or of its last round.
        let isBroken =
            HostFeatures.isIntel && i.mnemonic == .scas && i.repeats && a.rip == states[2].rip && a.vector != 6
        let undefined = isBroken ? FlagRules.status : FlagRules(i, count: nil).undefined
        compare(
            "flags", a.rflags & (0x400 | FlagRules.status & ~undefined),
            b.rflags & (0x400 | FlagRules.status & ~undefined))
        for page in 0..<2 where memcmp(soft.page(page), native.writable + page * 4096, 4096) != 0 {
            let (x, y) = (native.writable + page * 4096, soft.page(page))
            let at =
                (0..<4096).first {
                    x.load(fromByteOffset: $0, as: UInt8.self) != y.load(fromByteOffset: $0, as: UInt8.self)
                } ?? 0
            compare(
                "memory at \(hex(UInt64(page * 4096 + at & ~7)))", x.load(fromByteOffset: at & ~7, as: UInt64.self),
                y.load(fromByteOffset: at & ~7, as: UInt64.self))
        }
        return lines.isEmpty ? nil : lines.joined(separator: "; ")
    }

    /// The upper two of the four bytes that the software CPU has pushed, in the host's memory too.
    private func takeUpperHalf() {
        let pointer = UnsafeRawPointer(states + 1).load(fromByteOffset: 32, as: UInt64.self)
        let isSmall = UInt64(states[1].ss) == UInt64(Width.data16.selector)
        for byte in 2..<4 {
            let at = Int((pointer + UInt64(byte)) & (isSmall ? 0xffff : 0xffff_ffff))
            guard at < Int(Places.writableLength) else { continue }
            put(soft.page(at >> 12).load(fromByteOffset: at & 0xfff, as: UInt8.self), at: at)
        }
    }

    private func registers(_ side: Int) -> String {
        let raw = UnsafeRawPointer(states + side)
        let values = (0..<8).map { "\(Comparison.names[$0])=\(hex(raw.load(fromByteOffset: $0 * 8, as: UInt64.self)))" }
        let s = states[side]
        return values.joined(separator: " ")
            + " rip=\(hex(s.rip)) flags=\(hex(s.rflags)) cs=\(hex(UInt64(s.cs))) ss=\(hex(UInt64(s.ss))) ds=\(hex(UInt64(s.ds)))"
            + " es=\(hex(UInt64(s.es))) vector \(s.vector) error \(hex(s.error)) cr2 \(hex(s.cr2))"
    }

    private func hex(_ value: UInt64) -> String { String(value, radix: 16) }
}
