// Host code of one block, in one pass from its source. Guest registers are loaded into host registers at their first use and stored at
// exits; RAX to R14 keep their names where they are free. R15 is S; R10, R11 and R14 are temporaries, which no guest register lives in.
// An access whose page the TLB does not have goes, out of line, to the instruction's own operations.

struct BlockEmitter {
    var code = Assembler()
    let mode: Mode
    let is64: Bool
    let source: BlockSource
    private let block: UnsafeMutablePointer<Block>
    /// SAFETY: the scratch of the translator, for the life of this emitter.
    let operations: UnsafeMutablePointer<Op>
    private let operationCount: Int
    let stubs: Translator.Stubs
    private let room: (Int) -> UnsafeMutablePointer<Op>?
    let liveness: FlagLiveness
    var registers = RegisterCache()
    /// The operations of the instruction that is emitted, and its place among the block's.
    private(set) var group = 0..<0
    private(set) var number = 0
    /// The block's last instruction, which jumps, is emitted.
    private var isEnd = false
    private var slowPaths: [SlowPath] = []
    private var isOutOfRoom = false

    private struct SlowPath {
        var mark: SlowPathMark
        /// The operations that do the instruction.
        var place: UnsafeMutablePointer<Op>
        var following: UnsafeRawPointer
        /// What the code behind the instruction expects in host registers; nil: the block ends.
        var after: RegisterCache?
    }

    init(
        _ builder: BlockBuilder, _ block: UnsafeMutablePointer<Block>, _ stubs: Translator.Stubs,
        room: @escaping (Int) -> UnsafeMutablePointer<Op>?
    ) {
        (mode, is64, source) = (builder.mode, builder.is64, builder.source)
        (self.block, self.stubs, self.room) = (block, stubs, room)
        (operations, operationCount) = (builder.operations, builder.count)
        liveness = FlagLiveness(builder.source.instructions)
    }

    /// Nothing of the block is emitted.
    private(set) var isPointless = false

    /// nil: there is no room for the copies of operations.
    mutating func code(at address: UInt) -> [UInt8]? {
        var index = 1
        for (number, instruction) in source.instructions.enumerated() {
            var end = index
            while end < operationCount, Int(operations[end].number) == number { end += 1 }
            (group, self.number) = (index..<end, number)
            if end == operationCount {
                isEnd = true
                if !emitEnd(instruction) { leave(at: index) }
                break
            }
            if !emit(instruction) { callOperations() }
            index = end
            // Behind the last instruction goes `fallThrough`.
            if number == source.instructions.count - 1, !emitFallThrough(operations[index]) { leave(at: index) }
        }
        emitSlowPaths()
        return isOutOfRoom ? nil : code.finish(at: address)
    }

    // MARK: Ways out

    /// Goes on with the block's own operation. The second one of all is where this code stands.
    private mutating func leave(at index: Int) {
        if index == 1 { isPointless = true }
        storeDirty(registers)
        code.load(.rsi, UInt64(UInt(bitPattern: block.operations + index)))
        code.jump(outside: stubs.leave)
    }

    /// Calls the instruction's operations.
    private mutating func callOperations() {
        storeDirty(registers)
        registers = RegisterCache()
        guard let copy = copyOfGroup() else { return }
        call(copy, following: UnsafeRawPointer(block.operations + group.upperBound))
    }

    private mutating func call(_ copy: UnsafeMutablePointer<Op>, following: UnsafeRawPointer) {
        code.load(.rsi, UInt64(UInt(bitPattern: copy)))
        code.call(outside: stubs.callOperations)
        // Where that has dropped the block, the operation that follows leaves.
        let valid = UnsafeRawPointer(block) + MemoryLayout<Block>.offset(of: \.isValid).unsafelyUnwrapped
        let goesOn = code.label()
        code.load(.r11, UInt64(UInt(bitPattern: valid)))
        code.arithmetic(.cmp, .byte, HostAddress(.r11), 0)
        code.jump(.ne, goesOn)
        code.load(.rsi, UInt64(UInt(bitPattern: following)))
        code.jump(outside: stubs.leave)
        code.bind(goesOn)
    }

    private mutating func copyOfGroup() -> UnsafeMutablePointer<Op>? {
        guard let copy = room(group.count + 1) else {
            isOutOfRoom = true
            return nil
        }
        copy.initialize(from: operations + group.lowerBound, count: group.count)
        var end = operations[group.lowerBound]
        end.run = unthunked(endOfCall)
        (copy + group.count).initialize(to: end)
        return copy
    }

    mutating func storeDirty() { storeDirty(registers) }

    private mutating func storeDirty(_ registers: RegisterCache) {
        for (guest, host) in registers.dirtyOnes {
            code.mov(.quad, HostAddress(.r15, Int(guest) * 8), host)
        }
    }

    struct SlowPathMark {
        let entry: Assembler.Label
        let resume: Assembler.Label
        /// What is in host registers where the path goes off.
        let before: RegisterCache
    }

    /// Goes to the instruction's operations where the condition holds, and comes back where `resume` is. No guest register has been changed
    /// by the instruction before.
    mutating func slow(_ condition: HostCondition) -> SlowPathMark {
        let (entry, resume) = (code.label(), code.label())
        code.jump(condition, entry)
        return SlowPathMark(entry: entry, resume: resume, before: registers)
    }

    func chainSlot(_ number: Int) -> UnsafeMutablePointer<ChainSlot> { block.chain(number) }

    /// Behind the instruction. Nothing comes back to where the block ends.
    mutating func resume(_ mark: SlowPathMark) {
        code.bind(mark.resume)
        // The block's own operation would do where it ends, but for the second one, which is where this code stands.
        var place = block.operations + group.lowerBound
        if !isEnd || group.lowerBound == 1 {
            guard let copy = copyOfGroup() else { return }
            place = copy
        }
        let following = UnsafeRawPointer(block.operations + group.upperBound)
        slowPaths.append(SlowPath(mark: mark, place: place, following: following, after: isEnd ? nil : registers))
    }

    private mutating func emitSlowPaths() {
        for path in slowPaths {
            code.bind(path.mark.entry)
            storeDirty(path.mark.before)
            guard let after = path.after else {
                code.load(.rsi, UInt64(UInt(bitPattern: path.place)))
                code.jump(outside: stubs.leave)
                continue
            }
            call(path.place, following: path.following)
            for (guest, host) in after.all { code.mov(.quad, host, HostAddress(.r15, Int(guest) * 8)) }
            code.jump(path.mark.resume)
        }
    }

    // MARK: Registers

    /// The host register that has a guest register's value.
    mutating func use(_ guest: UInt8) -> HostRegister {
        let (host, isNew) = place(guest)
        if isNew { code.mov(.quad, host, HostAddress(.r15, Int(guest) * 8)) }
        return host
    }

    /// The host register that gets all 64 bits of a guest register: behind `slow`.
    mutating func define(_ guest: UInt8) -> HostRegister {
        let host = place(guest).host
        registers.mark(guest)
        return host
    }

    /// The same where some of its bits stay, or are operands.
    mutating func change(_ guest: UInt8) -> HostRegister {
        let host = use(guest)
        registers.mark(guest)
        return host
    }

    private mutating func place(_ guest: UInt8) -> (host: HostRegister, isNew: Bool) {
        if let host = registers[guest] { return (host, false) }
        if let host = registers.takeFree(guest) { return (host, true) }
        let (evicted, host, isDirty) = registers.evict()
        if isDirty { code.mov(.quad, HostAddress(.r15, Int(evicted) * 8), host) }
        registers.set(guest, host)
        return (host, true)
    }
}

/// Which guest registers are in host registers.
struct RegisterCache {
    private var hosts: [HostRegister?] = Array(repeating: nil, count: 16)
    private var dirty: UInt16 = 0
    /// Guest registers in the order of their last use.
    private var order: [UInt8] = []

    /// In the order in which they are given to guest registers that have no host register of their own.
    private static let pool: [HostRegister] = [.r9, .r13, .r12, .r8, .rbx, .rbp, .rdi, .rsi, .rdx, .rcx, .rax]

    subscript(_ guest: UInt8) -> HostRegister? {
        mutating get {
            guard let host = hosts[Int(guest)] else { return nil }
            touch(guest)
            return host
        }
    }

    var all: [(guest: UInt8, host: HostRegister)] {
        hosts.enumerated().compactMap { entry in entry.element.map { (UInt8(entry.offset), $0) } }
    }
    var dirtyOnes: [(guest: UInt8, host: HostRegister)] { all.filter { dirty >> UInt16($0.guest) & 1 != 0 } }

    private mutating func touch(_ guest: UInt8) {
        order.removeAll { $0 == guest }
        order.append(guest)
    }

    mutating func set(_ guest: UInt8, _ host: HostRegister) {
        hosts[Int(guest)] = host
        touch(guest)
    }

    mutating func mark(_ guest: UInt8) { dirty |= 1 << UInt16(guest) }

    /// A free host register, that of its own name if it can be.
    mutating func takeFree(_ guest: UInt8) -> HostRegister? {
        let used = Set(hosts.compactMap { $0?.rawValue })
        let own = HostRegister(rawValue: guest)
        let wanted = RegisterCache.pool.first { $0 == own && !used.contains($0.rawValue) }
        guard let host = wanted ?? RegisterCache.pool.first(where: { !used.contains($0.rawValue) }) else { return nil }
        set(guest, host)
        return host
    }

    /// Frees the host register whose guest register was used longest ago.
    mutating func evict() -> (guest: UInt8, host: HostRegister, isDirty: Bool) {
        let guest = order.removeFirst()
        let host = hosts[Int(guest)].unsafelyUnwrapped
        let isDirty = dirty >> UInt16(guest) & 1 != 0
        hosts[Int(guest)] = nil
        dirty &= ~(1 << UInt16(guest))
        return (guest, host, isDirty)
    }
}
