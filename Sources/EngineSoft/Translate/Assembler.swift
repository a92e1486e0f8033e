// x86-64 host code, written as a listing: `code.add(.quad, .rax, .rcx)`. Only what the translator needs; operands in Intel's order.
// Source: SDM volume 2. Its tests decode every form again.

/// A general register of the host, by its number.
enum HostRegister: UInt8, CaseIterable {
    case rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
}

/// `[base + index << scale + displacement]`
struct HostAddress {
    /// RBP, where there is none.
    var base: HostRegister
    var hasBase = true
    /// Any but RSP.
    var index: HostRegister?
    var scale: UInt8 = 0
    var displacement: Int32 = 0

    init(_ base: HostRegister, _ displacement: Int = 0) {
        self.base = base
        self.displacement = Int32(truncatingIfNeeded: displacement)
    }

    init(_ base: HostRegister, _ index: HostRegister, scale: UInt8, _ displacement: Int = 0) {
        (self.base, self.index, self.scale) = (base, index, scale)
        self.displacement = Int32(truncatingIfNeeded: displacement)
    }

    /// Without a base.
    init(index: HostRegister, scale: UInt8, _ displacement: Int32) {
        (base, hasBase, self.index, self.scale, self.displacement) = (.rbp, false, index, scale, displacement)
    }
}

/// Conditions by their code (SDM volume 1, appendix B).
enum HostCondition: UInt8 {
    case o, no, b, ae, e, ne, be, a, s, ns, p, np, l, ge, le, g

    var opposite: HostCondition { HostCondition(rawValue: rawValue ^ 1).unsafelyUnwrapped }
}

struct Assembler {
    /// A place in the code that jumps lead to; bound once.
    struct Label { fileprivate let number: Int }

    enum Arithmetic: UInt8 { case add, or, adc, sbb, and, sub, xor, cmp }
    enum Shift: UInt8 { case rol, ror, rcl, rcr, shl, shr, sar = 7 }
    enum Unary: UInt8 { case not = 2, neg = 3 }

    var bytes: [UInt8] = []
    private var labels: [Int?] = []
    /// Places of 32-bit distances, and the labels that they wait for.
    private var fixups: [(place: Int, label: Int)] = []
    /// Places of addresses, and the labels that they are of.
    private var pointers: [(place: Int, label: Int)] = []
    /// Places of 32-bit distances to addresses outside of the code.
    private(set) var outside: [(place: Int, target: UInt)] = []

    var count: Int { bytes.count }

    // MARK: Encoding

    enum Operand {
        case register(HostRegister)
        case memory(HostAddress)
    }

    /// Opcodes of one to three bytes, the first in the highest byte that is not 0.
    mutating func encode(
        _ width: Width, prefix: UInt8? = nil, _ opcode: UInt32, reg: UInt8, _ operand: Operand,
        bytes byteRegisters: [UInt8] = []
    ) {
        if width == .word { bytes.append(0x66) }
        if let prefix { bytes.append(prefix) }
        var rex: UInt8 = width == .quad ? 0x48 : 0
        if reg & 8 != 0 { rex |= 0x44 }
        switch operand {
        case .register(let register): if register.rawValue & 8 != 0 { rex |= 0x41 }
        case .memory(let address):
            if address.base.rawValue & 8 != 0 { rex |= 0x41 }
            if let index = address.index, index.rawValue & 8 != 0 { rex |= 0x42 }
        }
        // Without REX these would be AH, CH, DH and BH.
        if byteRegisters.contains(where: { $0 >= 4 && $0 < 8 }) { rex |= 0x40 }
        if rex != 0 { bytes.append(rex) }
        if opcode > 0xffff { bytes.append(UInt8(truncatingIfNeeded: opcode >> 16)) }
        if opcode > 0xff { bytes.append(UInt8(truncatingIfNeeded: opcode >> 8)) }
        bytes.append(UInt8(truncatingIfNeeded: opcode))
        modRM(reg, operand)
    }

    mutating func modRM(_ reg: UInt8, _ operand: Operand) {
        let field = (reg & 7) << 3
        guard case .memory(let address) = operand else {
            if case .register(let register) = operand { bytes.append(0xc0 | field | register.rawValue & 7) }
            return
        }
        let low = address.base.rawValue & 7
        let displacement = address.displacement
        // RBP and R13 have no form without a displacement.
        let isShort = displacement >= -128 && displacement <= 127
        let mod: UInt8 = !address.hasBase || displacement == 0 && low != 5 ? 0 : isShort ? 0x40 : 0x80
        if let index = address.index {
            bytes.append(mod | field | 4)
            bytes.append(address.scale << 6 | (index.rawValue & 7) << 3 | low)
        } else {
            bytes.append(mod | field | low)
            if low == 4 { bytes.append(0x24) }
        }
        if mod == 0x40 { bytes.append(UInt8(bitPattern: Int8(truncatingIfNeeded: displacement))) }
        if mod == 0x80 || !address.hasBase { little(displacement) }
    }

    mutating func little<T: FixedWidthInteger>(_ value: T) {
        for index in 0..<T.bitWidth / 8 { bytes.append(UInt8(truncatingIfNeeded: value >> T(index * 8))) }
    }

    /// An immediate of the width, of 4 bytes for 8.
    mutating func immediate(_ width: Width, _ value: Int32) {
        switch width {
        case .byte: bytes.append(UInt8(truncatingIfNeeded: value))
        case .word: little(Int16(truncatingIfNeeded: value))
        case .double, .quad: little(value)
        }
    }

    /// The opcode of byte operands is the even one.
    func sized(_ width: Width, _ opcode: UInt32) -> UInt32 { width == .byte ? opcode & ~1 : opcode | 1 }

    func byteRegisters(_ width: Width, _ registers: HostRegister...) -> [UInt8] {
        width == .byte ? registers.map(\.rawValue) : []
    }

    // MARK: Arithmetic

    mutating func arithmetic(_ operation: Arithmetic, _ width: Width, _ a: HostRegister, _ b: HostRegister) {
        let opcode = sized(width, UInt32(operation.rawValue) << 3 | 1)
        encode(width, opcode, reg: b.rawValue, .register(a), bytes: byteRegisters(width, a, b))
    }

    mutating func arithmetic(_ operation: Arithmetic, _ width: Width, _ a: HostRegister, _ b: HostAddress) {
        let opcode = sized(width, UInt32(operation.rawValue) << 3 | 3)
        encode(width, opcode, reg: a.rawValue, .memory(b), bytes: byteRegisters(width, a))
    }

    mutating func arithmetic(_ operation: Arithmetic, _ width: Width, _ a: HostAddress, _ b: HostRegister) {
        let opcode = sized(width, UInt32(operation.rawValue) << 3 | 1)
        encode(width, opcode, reg: b.rawValue, .memory(a), bytes: byteRegisters(width, b))
    }

    mutating func arithmetic(_ operation: Arithmetic, _ width: Width, _ a: HostRegister, _ value: Int32) {
        arithmetic(operation, width, .register(a), value, byteRegisters(width, a))
    }

    mutating func arithmetic(_ operation: Arithmetic, _ width: Width, _ a: HostAddress, _ value: Int32) {
        arithmetic(operation, width, .memory(a), value, [])
    }

    private mutating func arithmetic(
        _ operation: Arithmetic, _ width: Width, _ a: Operand, _ value: Int32, _ registers: [UInt8]
    ) {
        if width != .byte, value >= -128, value <= 127 {
            encode(width, 0x83, reg: operation.rawValue, a)
            return bytes.append(UInt8(truncatingIfNeeded: value))
        }
        encode(width, sized(width, 0x81), reg: operation.rawValue, a, bytes: registers)
        immediate(width, value)
    }

    mutating func test(_ width: Width, _ a: HostRegister, _ b: HostRegister) {
        encode(width, sized(width, 0x85), reg: b.rawValue, .register(a), bytes: byteRegisters(width, a, b))
    }

    mutating func test(_ width: Width, _ a: HostRegister, _ value: Int32) {
        encode(width, sized(width, 0xf7), reg: 0, .register(a), bytes: byteRegisters(width, a))
        immediate(width, value)
    }

    mutating func test(_ width: Width, _ a: HostAddress, _ b: HostRegister) {
        encode(width, sized(width, 0x85), reg: b.rawValue, .memory(a), bytes: byteRegisters(width, b))
    }

    mutating func unary(_ operation: Unary, _ width: Width, _ a: HostRegister) {
        encode(width, sized(width, 0xf7), reg: operation.rawValue, .register(a), bytes: byteRegisters(width, a))
    }

    enum Factor: UInt8 { case mul = 4, imul, div, idiv }

    /// Of the accumulator.
    mutating func multiply(_ operation: Factor, _ width: Width, _ b: HostRegister) {
        encode(width, sized(width, 0xf7), reg: operation.rawValue, .register(b), bytes: byteRegisters(width, b))
    }

    mutating func multiply(_ operation: Factor, _ width: Width, _ b: HostAddress) {
        encode(width, sized(width, 0xf7), reg: operation.rawValue, .memory(b))
    }

    mutating func unary(_ operation: Unary, _ width: Width, _ a: HostAddress) {
        encode(width, sized(width, 0xf7), reg: operation.rawValue, .memory(a))
    }

    mutating func inc(_ width: Width, _ a: HostAddress) { encode(width, sized(width, 0xff), reg: 0, .memory(a)) }
    mutating func dec(_ width: Width, _ a: HostAddress) { encode(width, sized(width, 0xff), reg: 1, .memory(a)) }

    mutating func inc(_ width: Width, _ a: HostRegister) {
        encode(width, sized(width, 0xff), reg: 0, .register(a), bytes: byteRegisters(width, a))
    }

    mutating func dec(_ width: Width, _ a: HostRegister) {
        encode(width, sized(width, 0xff), reg: 1, .register(a), bytes: byteRegisters(width, a))
    }

    mutating func shift(_ operation: Shift, _ width: Width, _ a: HostRegister, _ count: UInt8) {
        encode(width, sized(width, 0xc1), reg: operation.rawValue, .register(a), bytes: byteRegisters(width, a))
        bytes.append(count)
    }

    /// By CL.
    mutating func shift(_ operation: Shift, _ width: Width, _ a: HostRegister) {
        encode(width, sized(width, 0xd3), reg: operation.rawValue, .register(a), bytes: byteRegisters(width, a))
    }

    mutating func imul(_ width: Width, _ a: HostRegister, _ b: HostRegister) {
        encode(width, 0x0faf, reg: a.rawValue, .register(b))
    }

    mutating func imul(_ width: Width, _ a: HostRegister, _ b: HostAddress) {
        encode(width, 0x0faf, reg: a.rawValue, .memory(b))
    }

    mutating func imul(_ width: Width, _ a: HostRegister, _ b: HostRegister, _ factor: Int32) {
        encode(width, 0x69, reg: a.rawValue, .register(b))
        immediate(width, factor)
    }

    mutating func imul(_ width: Width, _ a: HostRegister, _ b: HostAddress, _ factor: Int32) {
        encode(width, 0x69, reg: a.rawValue, .memory(b))
        immediate(width, factor)
    }

    /// CF as SETB has stored it; the other flags are lost. A load of more than that byte would wait until the store is in the cache.
    mutating func loadCarry(_ a: HostAddress) {
        arithmetic(.cmp, .byte, a, 1)
        bytes.append(0xf5)  // CMC
    }

    mutating func bit(_ number: UInt8, _ width: Width, _ a: HostRegister) {
        encode(width, 0x0fba, reg: 4, .register(a))
        bytes.append(number)
    }

    // MARK: Jumps

    mutating func label() -> Label {
        labels.append(nil)
        return Label(number: labels.count - 1)
    }

    mutating func bind(_ label: Label) { labels[label.number] = count }
    mutating func bind(_ label: Label, at place: Int) { labels[label.number] = place }

    mutating func jump(_ label: Label) {
        bytes.append(0xe9)
        distance(label)
    }

    mutating func jump(_ condition: HostCondition, _ label: Label) {
        bytes += [0x0f, 0x80 | condition.rawValue]
        distance(label)
    }

    private mutating func distance(_ label: Label) {
        fixups.append((count, label.number))
        little(Int32(0))
    }

    /// To an address outside of the code, within 2 GiB of where it will lie.
    mutating func jump(outside target: UInt) {
        bytes.append(0xe9)
        distance(outside: target)
    }

    mutating func jump(_ condition: HostCondition, outside target: UInt) {
        bytes += [0x0f, 0x80 | condition.rawValue]
        distance(outside: target)
    }

    /// The same, whose distance one store can change; the place of that. Code begins at a multiple of 16.
    mutating func patchableJump(_ condition: HostCondition? = nil, outside target: UInt) -> Int {
        let opcode = condition == nil ? 1 : 2
        while (count + opcode) & 15 > 12 { bytes.append(0x90) }
        if let condition { jump(condition, outside: target) } else { jump(outside: target) }
        return count - 4
    }

    /// A jump to the outside, by the place of its distance, leads elsewhere.
    mutating func redirect(_ place: Int, outside target: UInt) {
        for index in outside.indices where outside[index].place == place { outside[index].target = target }
    }

    mutating func call(outside target: UInt) {
        bytes.append(0xe8)
        distance(outside: target)
    }

    private mutating func distance(outside target: UInt) {
        outside.append((count, target))
        little(Int32(0))
    }

    /// A jump over `distance` bytes from its beginning, and 3 bytes more.
    static func jump(distance: Int) -> UInt64 {
        0x9090_9000_0000_00e9 | UInt64(UInt32(truncatingIfNeeded: distance - 5)) << 8
    }

    mutating func jump(_ target: HostAddress) { encode(.double, 0xff, reg: 4, .memory(target)) }
    mutating func call(_ target: HostAddress) { encode(.double, 0xff, reg: 2, .memory(target)) }
    mutating func jump(_ target: HostRegister) { encode(.double, 0xff, reg: 4, .register(target)) }
    mutating func call(_ target: HostRegister) { encode(.double, 0xff, reg: 2, .register(target)) }
    mutating func ret() { bytes.append(0xc3) }

    mutating func call(_ label: Label) {
        bytes.append(0xe8)
        distance(label)
    }

    /// The address of a place in the code.
    mutating func lea(_ to: HostRegister, _ label: Label) {
        bytes += [to.rawValue & 8 != 0 ? 0x4c : 0x48, 0x8d, (to.rawValue & 7) << 3 | 5]
        distance(label)
    }

    // MARK: Data

    /// The address of a place in the code.
    mutating func pointer(_ label: Label) {
        pointers.append((count, label.number))
        little(UInt64(0))
    }

    /// A label's place; bound.
    func place(_ label: Label) -> Int { labels[label.number] ?? 0 }

    /// The code as it is to lie at `address`. Every label is bound.
    mutating func finish(at address: UInt) -> [UInt8] {
        for fixup in fixups {
            guard let target = labels[fixup.label] else { continue }
            patch(fixup.place, Int32(truncatingIfNeeded: target - fixup.place - 4))
        }
        for pointer in pointers {
            let target = UInt64(address) &+ UInt64(labels[pointer.label] ?? 0)
            for index in 0..<8 { bytes[pointer.place + index] = UInt8(truncatingIfNeeded: target >> UInt64(index * 8)) }
        }
        for jump in outside {
            let from = Int(bitPattern: address) &+ jump.place &+ 4
            patch(jump.place, Int32(truncatingIfNeeded: Int(bitPattern: jump.target) &- from))
        }
        return bytes
    }

    private mutating func patch(_ place: Int, _ distance: Int32) {
        for index in 0..<4 { bytes[place + index] = UInt8(truncatingIfNeeded: distance >> Int32(index * 8)) }
    }
}
