// Operands: general registers, addresses, and memory by way of the TLB.

import CHost

extension BlockEmitter {
    /// The operation, where the instruction is one only: its fields are its operands.
    var single: Op? { group.count == 1 ? operations[group.lowerBound] : nil }

    /// The number of a general register by its place; nil: AH, CH, DH or BH.
    static func number(_ place: UInt8) -> UInt8? { place & 7 == 0 && place < 128 ? place >> 3 : nil }

    /// The width of addresses.
    var addressWidth: Width { is64 ? .quad : .double }

    enum Source: Equatable {
        case register(UInt8)
        case immediate(Int32)
        case host(HostRegister)

        /// As what flags follow from; a host's register has been kept.
        var input: FlagRecipe.Input {
            switch self {
            case .register(let guest): .register(guest)
            case .immediate(let value): .immediate(value)
            case .host: .kept
            }
        }
    }

    /// `operation a, source`
    mutating func arithmetic(_ operation: Assembler.Arithmetic, _ width: Width, _ a: HostRegister, _ source: Source) {
        switch source {
        case .register(let guest):
            if let home = Self.home(guest) {
                code.arithmetic(operation, width, a, home)
            } else {
                code.arithmetic(operation, width, a, Self.place(guest))
            }
        case .immediate(let value): code.arithmetic(operation, width, a, value)
        case .host(let register): code.arithmetic(operation, width, a, register)
        }
    }

    // MARK: Addresses

    /// The distance of an operand relative to RIP from the page's beginning; nil: it does not fit.
    private func distance(_ op: Op) -> Int? {
        let distance = Int(source.pageOffset) + Int(op.disp)
        return Int32(exactly: distance).map { Int($0) }
    }

    /// A memory operand needs no check beyond the TLB's: the builder has made no operation for its address.
    func isReachable(_ op: Op) -> Bool {
        guard is64 || mode.contains(.flat) else { return false }
        let isIndex = op.index == Register.zero || Self.number(op.index) != nil
        if op.base == Register.rip { return isIndex && distance(op) != nil }
        return isIndex && (op.base == Register.zero || Self.number(op.base) != nil)
    }

    /// The offset of an operand, without its segment, in `to`, with the width of addresses or a smaller one; `before` bytes below it. The host's flags
    /// stay; R10 and R11 are lost.
    mutating func offset(_ op: Op, _ width: Width, to: HostRegister, before: Int = 0) {
        if op.base == Register.rip {
            code.mov(.quad, .r10, Self.at(\.pageBase))
            return code.lea(width, to, HostAddress(.r10, (distance(op) ?? 0) - before))
        }
        let displacement = Int(op.disp) - before
        let base = Self.number(op.base).map { value($0, in: .r10) }
        let index = Self.number(op.index).map { value($0, in: .r11) }
        switch (base, index) {
        case (let base?, let index?):
            code.lea(width, to, HostAddress(base, index, scale: op.scale, displacement))
        case (let base?, nil):
            if displacement == 0 {
                code.mov(width, to, base)
            } else {
                code.lea(width, to, HostAddress(base, displacement))
            }
        case (nil, let index?):
            let distance = Int32(truncatingIfNeeded: displacement)
            code.lea(width, to, HostAddress(index: index, scale: op.scale, distance))
        case (nil, nil):
            let value = UInt64(bitPattern: Int64(displacement))
            code.load(to, width == .quad ? value : value & 0xffff_ffff)
        }
    }

    // MARK: Memory

    private func hasBase(_ op: Op) -> Bool { op.seg == UInt8(Segment.fs) || op.seg == UInt8(Segment.gs) }

    /// What the operand's address is made of; nil: nothing that other accesses share.
    func place(_ op: Op) -> AccessPlace? {
        // Below 4 GiB they go round, but not the sum with a base.
        if !is64, hasBase(op) { return nil }
        let isRelative = op.base == Register.rip
        guard let distance = isRelative ? distance(op) : Int(op.disp) else { return nil }
        let segment: AccessPlace.Segment = !hasBase(op) ? .flat : op.seg == UInt8(Segment.fs) ? .fs : .gs
        return values.place(
            isRelative ? .page : Self.number(op.base).map { .register($0) } ?? .nothing, Self.number(op.index),
            scale: op.scale, segment, distance: distance)
    }

    /// The linear address of a memory operand in R10, or of what is `before` bytes below it.
    mutating func linear(_ op: Op, before: Int = 0) {
        offset(op, addressWidth, to: .r10, before: before)
        if hasBase(op) { code.arithmetic(.add, .quad, .r10, Self.segmentBase(Int(op.seg))) }
    }

    /// Makes a memory operand `operand`; goes the slow way where the TLB has no page for it. R10 has the host's address, R11 is free then.
    mutating func memory(_ op: Op, _ size: Int, isWrite: Bool, operation: Int? = nil) {
        let before = distanceOfLook
        if let before { linear(op, before: before) }
        lookUp(size, isWrite: isWrite, operation: operation, place(op), before: before ?? 0)
    }

    mutating func memory(_ op: Op, _ width: Width, isWrite: Bool) {
        memory(op, 1 << width.rawValue, isWrite: isWrite)
    }

    /// The same for the linear address in R10, less `before`. `operation`: that which does the access, if not the instruction's first.
    mutating func lookUp(
        _ size: Int, isWrite: Bool, operation: Int? = nil, _ place: AccessPlace?, before: Int = 0
    ) {
        let access = MissedAccess(operation: operation ?? group.lowerBound, size: size, isWrite: isWrite)
        if groups != nil { return lookUpGroup(access, before: before) }
        let retry = code.label()
        code.bind(retry)
        let tag = compareTag(isWrite: isWrite, size)
        miss(.a, retry: retry, tag: tag, access, place)
        addHostPage()
        operand = HostAddress(.r10)
    }

    /// The next access of a block whose accesses are in groups.
    private mutating func lookUpGroup(_ access: MissedAccess, before: Int) {
        let (member, number) = nextAccess()
        if let member, !member.isHead {
            code.mov(.quad, .r10, Self.group(member.slot))
            operand = HostAddress(.r10, member.distance)
            return
        }
        let distance = member?.distance ?? 0
        if distance != before { code.lea(addressWidth, .r10, HostAddress(.r10, before - distance)) }
        let (isWrite, span) = (member?.isWrite ?? access.isWrite, member?.span ?? access.size)
        if let site = loop?.site(of: number, in: block) {
            lookWhereItWas(site, number, span, isWrite: isWrite, distance: distance)
        } else {
            let tag = compareTag(isWrite: isWrite, span)
            goOnAlone(.a, number, tag: tag, distance: distance)
            addHostPage()
        }
        if let member { code.mov(.quad, Self.group(member.slot), .r10) }
        operand = HostAddress(.r10, distance)
    }

    /// Whether the TLB has the page of the `size` bytes at R10: above where not. R10 becomes the exclusive or of address and tag, and R11 the entry's
    /// place. The result is the tag's, from there.
    mutating func compareTag(isWrite: Bool, _ size: Int) -> Int {
        if Self.rotates {
            code.rorx(.double, .r11, .r10, 7)
        } else {
            code.mov(.double, .r11, .r10)
            code.shift(.shr, .double, .r11, 7)
        }
        code.arithmetic(.and, .double, .r11, Int32((TLBEntry.count - 1) * TLBEntry.stride))
        let tag = MemoryLayout<TLBEntry>.offset(of: isWrite ? \.write : \.read).unsafelyUnwrapped + table
        // A miss, an empty entry and the end of the page in one comparison.
        code.arithmetic(.xor, .quad, .r10, HostAddress(.r15, .r11, scale: 0, tag))
        code.arithmetic(.cmp, .quad, .r10, Int32(4096 - size))
        loseHostFlags()
        return tag
    }

    private mutating func addHostPage() { code.arithmetic(.add, .quad, .r10, hostPage) }

    /// Of the TLB's entry at R11.
    var hostPage: HostAddress {
        HostAddress(.r15, .r11, scale: 0, MemoryLayout<TLBEntry>.offset(of: \.hostPage).unsafelyUnwrapped + table)
    }

    /// RORX is there, which spares a move.
    private static let rotates = ch_code_has_bmi2() != 0

    /// Of the TLB for the block's privilege.
    private var table: Int {
        let privilege: Privilege =
            mode.contains(.user) ? .user : mode.contains(.userAccess) ? .supervisorAC : .supervisor
        return Layout.tlb + privilege.rawValue * TLBEntry.count * TLBEntry.stride
    }

    /// The memory operand, zero-extended at least to 4 bytes.
    mutating func load(_ width: Width, _ to: HostRegister) {
        code.extend(signed: false, from: width, width == .quad ? .quad : .double, to, operand)
    }

    // MARK: Places in S

    static func at<T>(_ field: KeyPath<RunState, T>) -> HostAddress {
        HostAddress(.r15, Layout.run + MemoryLayout<RunState>.offset(of: field).unsafelyUnwrapped)
    }
    private static func state<T>(_ field: KeyPath<CPUState, T>) -> HostAddress {
        HostAddress(.r15, Layout.state + MemoryLayout<CPUState>.offset(of: field).unsafelyUnwrapped)
    }
    static func segmentBase(_ number: Int) -> HostAddress {
        let bases = at(\.segmentBase)
        return HostAddress(.r15, Int(bases.displacement) + number * 8)
    }

    static func group(_ slot: Int) -> HostAddress {
        let first = at(\.groups)
        return HostAddress(.r15, Int(first.displacement) + slot * 8)
    }

    static let carries = state(\.carries)
}
