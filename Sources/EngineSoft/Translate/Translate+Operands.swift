// Operands: general registers, addresses, and memory by way of the TLB.

extension BlockEmitter {
    /// The operation, where the instruction is one only: its fields are its operands.
    var single: Op? { group.count == 1 ? operations[group.lowerBound] : nil }

    /// The number of a general register by its place; nil: AH, CH, DH or BH.
    static func number(_ place: UInt8) -> UInt8? { place & 7 == 0 && place < 128 ? place >> 3 : nil }

    /// The width of addresses.
    var addressWidth: Width { is64 ? .quad : .double }

    /// The offset of an operand, without its segment, in R10.
    mutating func offset(_ op: Op) {
        let displacement = Int(op.disp)
        var base: HostRegister?
        if op.base == Register.rip {
            code.mov(.quad, .r10, HostAddress(.r15, Int(Register.rip)))
            base = .r10
        } else if let number = Self.number(op.base) {
            base = use(number)
        }
        let index = Self.number(op.index).map { use($0) }
        switch (base, index) {
        case (let base?, let index?):
            code.lea(addressWidth, .r10, HostAddress(base, index, scale: op.scale, displacement))
        case (let base?, nil): code.lea(addressWidth, .r10, HostAddress(base, displacement))
        case (nil, let index?):
            code.mov(.quad, .r10, Int32(truncatingIfNeeded: displacement))
            code.lea(addressWidth, .r10, HostAddress(.r10, index, scale: op.scale))
        case (nil, nil):
            let value = UInt64(bitPattern: Int64(op.disp))
            code.load(.r10, is64 ? value : value & 0xffff_ffff)
        }
    }

    /// The host's address of a memory operand in R10; goes the slow way where the TLB has no page for it. R11 and R14 are free then.
    mutating func memory(_ op: Op, _ width: Width, isWrite: Bool) -> SlowPathMark {
        offset(op)
        if op.seg == UInt8(Segment.fs) || op.seg == UInt8(Segment.gs) {
            code.arithmetic(.add, .quad, .r10, HostAddress(.r15, BlockEmitter.segmentBase(Int(op.seg))))
        }
        return lookUp(width, isWrite: isWrite)
    }

    /// The same for the linear address in R10.
    mutating func lookUp(_ width: Width, isWrite: Bool) -> SlowPathMark {
        code.mov(.quad, .r11, .r10)
        code.shift(.shr, .quad, .r11, 7)
        code.arithmetic(.and, .double, .r11, Int32((TLBEntry.count - 1) * TLBEntry.stride))
        code.arithmetic(.add, .quad, .r11, HostAddress(.r15, BlockEmitter.run(\.tlb)))
        let tag = isWrite ? MemoryLayout<TLBEntry>.offset(of: \.write) : MemoryLayout<TLBEntry>.offset(of: \.read)
        // A miss, an empty entry and the end of the page in one comparison.
        code.mov(.quad, .r14, HostAddress(.r11, tag ?? 0))
        code.arithmetic(.xor, .quad, .r14, .r10)
        code.arithmetic(.cmp, .quad, .r14, Int32(4096 - (1 << width.rawValue)))
        let mark = slow(.a)
        let addend = MemoryLayout<TLBEntry>.offset(of: \.addend) ?? 0
        code.arithmetic(.add, .quad, .r10, HostAddress(.r11, addend))
        return mark
    }

    // MARK: Places in S

    static func run<T>(_ field: KeyPath<RunState, T>) -> Int {
        Layout.run + MemoryLayout<RunState>.offset(of: field).unsafelyUnwrapped
    }
    static func state<T>(_ field: KeyPath<CPUState, T>) -> Int {
        Layout.state + MemoryLayout<CPUState>.offset(of: field).unsafelyUnwrapped
    }
    static func segmentBase(_ number: Int) -> Int { run(\.segmentBase) + number * 8 }

    static let result = HostAddress(.r15, state(\.result))
    static let carries = HostAddress(.r15, state(\.carries))
    static let aux = HostAddress(.r15, state(\.aux))
}
