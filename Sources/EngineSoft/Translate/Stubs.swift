// Code that all blocks use: the ways between generated code and the interpreter. In generated code RSP is 8 modulo 16, as behind a call; inside
// of what it calls, 0. Between blocks R11 has the chain slot or the jump entry that led there.
// SAFETY for this file: see Translator; C functions are called at an RSP of 0 modulo 16, with all guest registers in S.

import CHost

extension Translator {
    /// Addresses of the stubs.
    struct Stubs {
        /// A handler, in place of a translated block's second operation: goes into its code.
        var enter: UInt = 0
        /// Makes the host's flags of `flagKind`. R10 and R11 are lost.
        var loadFlags: UInt = 0
        /// CF alone.
        var loadCarry: UInt = 0
        /// Makes the words of `flagKind`. R10 and R11 are lost.
        var settleFlags: UInt = 0
        /// Calls the operations of an instruction, at R10, up to `endOfCall`; R11: the block. Does not come back where that ends.
        var callOperations: UInt = 0
        /// Goes on at the operation at R10 of the block at R11.
        var leave: UInt = 0
        /// The same at the block's second operation, which the code stands in the place of.
        var leaveFirst: UInt = 0
        /// An access that the TLB does not answer, of the block at R11; R10: its linear address, which comes back.
        var missed: UInt = 0
        /// The block at R10 may not be entered where the slot at R11 leads to, or not now.
        var refused: UInt = 0
        /// The block at R10, of a loop, may not be entered now.
        var ended: UInt = 0
        /// A chain slot whose target has no host code, as far as it knows.
        var interpreted: UInt = 0
        /// The same, where what is on the page behind the block's own counts too.
        var checked: UInt = 0
        /// A chain slot without a target, or with one of another key; `pageBase` is the target's.
        var unlinked: UInt = 0
        /// Goes where the slot at R11 leads to.
        var follow: UInt = 0
        /// Sets the code of what R11 leads by to R10, and the distance of the slot's jump; RAX, RCX and RDX are lost.
        var point: UInt = 0
        /// The arena's beginnings, where it is run and where it is written.
        var (executable, writable): (UInt, UInt) = (0, 0)
    }

    /// In the order in which they refer to each other.
    static var stubCode: [(WritableKeyPath<Stubs, UInt>, (inout Assembler, Stubs) -> Void)] {
        [
            (\.settleFlags, settleFlags), (\.loadFlags, { loadFlags(&$0, $1, carryAlone: false) }),
            (\.loadCarry, { loadFlags(&$0, $1, carryAlone: true) }), (\.enter, enter),
            (\.callOperations, callOperations), (\.leave, { leave(&$0, $1, isFirst: false) }),
            (\.leaveFirst, { leave(&$0, $1, isFirst: true) }), (\.missed, missed), (\.unlinked, unlinked),
            (\.point, point), (\.ended, ended), (\.interpreted, interpreted), (\.checked, checked),
            (\.refused, refused), (\.follow, { code, _ in code.jump(slot(\.code)) }),
        ]
    }

    static func run<T>(_ field: KeyPath<RunState, T>) -> HostAddress { BlockEmitter.at(field) }

    private static func header<T>(_ register: HostRegister, _ field: KeyPath<Block, T>, fromFirst: Bool = false)
        -> HostAddress
    {
        let offset = MemoryLayout<Block>.offset(of: field).unsafelyUnwrapped
        return HostAddress(register, offset - (fromFirst ? UnsafeMutablePointer<Block>.headerSize : 0))
    }

    private static func slot<T>(_ field: KeyPath<ChainSlot, T>) -> HostAddress {
        HostAddress(.r11, MemoryLayout<ChainSlot>.offset(of: field).unsafelyUnwrapped)
    }

    static func address<T>(_ function: T) -> UInt64 {
        UInt64(UInt(bitPattern: unsafeBitCast(function, to: UnsafeRawPointer.self)))
    }

    // MARK: Pieces

    /// RIP to the beginning of the block at `register` (an operation of it: `fromFirst`).
    private static func storeRIP(_ code: inout Assembler, _ register: HostRegister, fromFirst: Bool = false) {
        code.mov(.quad, .rax, header(register, \.address, fromFirst: fromFirst))
        code.arithmetic(.and, .double, .rax, 0xfff)
        code.arithmetic(.add, .quad, .rax, run(\.pageBase))
        code.mov(.quad, HostAddress(.r15, Int(Register.rip)), .rax)
    }

    /// RAX and RCX are lost.
    private static func storeExecuted(_ code: inout Assembler) {
        code.mov(.quad, .rax, run(\.limit))
        code.arithmetic(.sub, .quad, .rax, run(\.left))
        code.mov(.quad, .rcx, .rax)
        code.arithmetic(.sub, .quad, .rcx, run(\.executed))
        code.arithmetic(.add, .quad, run(\.translatedCount), .rcx)
        code.mov(.quad, run(\.executed), .rax)
        // The vectors' flags, where the host has collected them.
        let isStored = code.label()
        code.arithmetic(.cmp, .double, run(\.vectorControl), VectorControl.loaded)
        code.mov(.double, run(\.vectorControl), 0)
        code.jump(.ne, isStored)
        code.storeVectorControl(HostAddress(.r15, Int(CH_MXCSR)))
        code.mov(.double, run(\.vectorControl), VectorControl.stored)
        code.bind(isStored)
    }

    /// All that holds between the operations of the block at R11.
    private static func storeState(_ code: inout Assembler) {
        code.storeGuestRegisters()
        code.mov(.quad, run(\.block), .r11)
        code.extend(signed: false, from: .word, .double, .rax, header(.r11, \.instructionCount))
        code.mov(.double, run(\.blockCount), .rax)
        storeRIP(&code, .r11)
        storeExecuted(&code)
    }

    /// The budget anew: deadlines move in exits. And the registers.
    private static func loadState(_ code: inout Assembler) {
        let isShort = code.label()
        code.mov(.quad, .rcx, run(\.executed))
        code.mov(.quad, .rax, run(\.deadline))
        code.arithmetic(.sub, .quad, .rax, .rcx)
        code.arithmetic(.cmp, .quad, .rax, Int32(longestRun))
        code.jump(.le, isShort)
        code.load(.rax, UInt64(longestRun))
        code.bind(isShort)
        // What waits to be looked at is, before the next block: else code that calls much would never come to the run loop.
        let isCalm = code.label()
        code.mov(.quad, .rdx, run(\.attention))
        code.mov(.double, .rdx, HostAddress(.rdx))
        code.test(.double, run(\.attentionMask), .rdx)
        code.jump(.e, isCalm)
        code.load(.rax, 0)
        code.bind(isCalm)
        code.mov(.quad, run(\.left), .rax)
        code.arithmetic(.add, .quad, .rax, .rcx)
        code.mov(.quad, run(\.limit), .rax)
        code.loadGuestRegisters()
    }

    static func call(_ code: inout Assembler, _ function: UInt64) {
        code.mov(.quad, .rdi, .r15)
        code.load(.r11, function)
        code.call(.r11)
    }

    /// What a handler takes, for the operation at R10: its arguments, and all flags made. RSP is 8 modulo 16.
    private static func prepareHandler(_ code: inout Assembler) {
        let isSettled = code.label()
        code.mov(.quad, run(\.scratch), .r10)
        code.arithmetic(.cmp, .double, run(\.flagKind), 0)
        code.jump(.e, isSettled)
        code.arithmetic(.sub, .quad, .rsp, 8)
        call(&code, address(settleFlagsForCode))
        code.arithmetic(.add, .quad, .rsp, 8)
        code.bind(isSettled)
        code.mov(.quad, .rsi, run(\.scratch))
        code.mov(.quad, .rdi, .r15)
    }

    private static func backToRunLoop(_ code: inout Assembler) {
        code.load(.rax, 1)
        code.ret()
    }

    // MARK: Between the interpreter and a block

    private static func enter(_ code: inout Assembler, _ stubs: Stubs) {
        code.mov(.quad, .rax, HostAddress(.r15, Int(Register.rip)))
        code.arithmetic(.and, .quad, .rax, -4096)
        code.mov(.quad, run(\.pageBase), .rax)
        code.mov(.quad, .r11, run(\.block))
        loadState(&code)
        code.jump(header(.r11, \.hostBody))
    }

    private static func leave(_ code: inout Assembler, _ stubs: Stubs, isFirst: Bool) {
        storeState(&code)
        prepareHandler(&code)
        if isFirst {
            code.mov(.quad, .r11, run(\.block))
            code.jump(header(.r11, \.firstRun))
        } else {
            code.jump(HostAddress(.rsi))
        }
    }

    private static func callOperations(_ code: inout Assembler, _ stubs: Stubs) {
        let (isSettled, again, ends, dropped) = (code.label(), code.label(), code.label(), code.label())
        storeState(&code)
        code.mov(.quad, run(\.scratch), .r10)
        code.arithmetic(.cmp, .double, run(\.flagKind), 0)
        code.jump(.e, isSettled)
        call(&code, address(settleFlagsForCode))
        code.bind(isSettled)
        code.mov(.quad, .rsi, run(\.scratch))
        code.bind(again)
        code.mov(.quad, .rdi, .r15)
        code.call(HostAddress(.rsi))
        code.arithmetic(.cmp, .quad, .rax, 1)
        code.jump(.e, ends)
        code.mov(.quad, .rsi, .rax)
        code.load(.r11, address(unthunked(endOfCall)))
        code.arithmetic(.cmp, .quad, .r11, HostAddress(.rax))
        code.jump(.ne, again)
        code.mov(.quad, .r11, run(\.block))
        code.arithmetic(.cmp, .byte, header(.r11, \.isValid), 0)
        code.jump(.e, dropped)
        loadState(&code)
        code.ret()
        code.bind(dropped)
        code.mov(.quad, .rsi, HostAddress(.rsi, MemoryLayout<Op>.offset(of: \.imm).unsafelyUnwrapped))
        code.arithmetic(.add, .quad, .rsp, 8)
        code.mov(.quad, .rdi, .r15)
        code.jump(HostAddress(.rsi))
        code.bind(ends)
        // To the caller of the block.
        code.arithmetic(.add, .quad, .rsp, 8)
        code.ret()
    }

    private static func missed(_ code: inout Assembler, _ stubs: Stubs) {
        let (again, ends) = (code.label(), code.label())
        storeState(&code)
        code.mov(.quad, run(\.scratch), .r10)
        code.mov(.quad, .rsi, .r10)
        code.mov(.double, .rdx, run(\.missedAccess))
        call(&code, address(accessMissed))
        code.test(.quad, .rax, .rax)
        code.jump(.e, again)
        code.arithmetic(.add, .quad, .rsp, 8)
        code.arithmetic(.cmp, .quad, .rax, 1)
        code.jump(.e, ends)
        code.mov(.quad, .rsi, .rax)
        code.mov(.quad, .rdi, .r15)
        code.jump(run(\.handler))
        code.bind(ends)
        code.ret()
        code.bind(again)
        loadState(&code)
        let isLoaded = code.label()
        code.arithmetic(.cmp, .double, run(\.vectorControl), VectorControl.stored)
        code.jump(.ne, isLoaded)
        code.loadVectorControl(HostAddress(.r15, Int(CH_MXCSR)))
        code.mov(.double, run(\.vectorControl), VectorControl.loaded)
        code.bind(isLoaded)
        code.mov(.quad, .r10, run(\.scratch))
        code.ret()
    }

    // MARK: Between blocks

    private static func refused(_ code: inout Assembler, _ stubs: Stubs) {
        let (ends, isPresent) = (code.label(), code.label())
        code.storeGuestRegisters()
        // There may be other code of it by now.
        code.mov(.quad, .rax, header(.r10, \.hostEntry))
        code.test(.quad, .rax, .rax)
        code.jump(.e, isPresent)
        code.arithmetic(.cmp, .quad, .rax, slot(\.code))
        code.jump(.e, isPresent)
        code.load(.rcx, UInt64(stubs.checked))
        code.arithmetic(.cmp, .quad, .rcx, slot(\.code))
        code.jump(.e, isPresent)
        code.mov(.quad, .r10, .rax)
        code.call(outside: stubs.point)
        code.loadGuestRegisters()
        code.jump(slot(\.code))
        code.bind(isPresent)
        storeExecuted(&code)
        storeRIP(&code, .r10)
        code.arithmetic(.cmp, .byte, header(.r10, \.isValid), 0)
        code.jump(.ne, ends)
        cutChain(&code, stubs)
        code.bind(ends)
        backToRunLoop(&code)
    }

    private static func ended(_ code: inout Assembler, _ stubs: Stubs) {
        code.storeGuestRegisters()
        storeExecuted(&code)
        storeRIP(&code, .r10)
        backToRunLoop(&code)
    }

    /// The slot at R11 leads to a block that was dropped: a chain is cut, to be linked to what will be at RIP, which RAX has; a jump entry is found out by
    /// the run loop.
    private static func cutChain(_ code: inout Assembler, _ stubs: Stubs) {
        let isJumpEntry = code.label()
        jumpIfEntry(&code, isJumpEntry)
        code.mov(.quad, slot(\.target), 0)
        code.mov(.quad, run(\.chain), .r11)
        code.mov(.quad, run(\.chainTarget), .rax)
        code.mov(.quad, run(\.scratch), .r10)
        code.load(.r10, UInt64(stubs.unlinked))
        code.call(outside: stubs.point)
        code.mov(.quad, .r10, run(\.scratch))
        code.bind(isJumpEntry)
    }

    /// Where R11 has a jump entry and no chain slot. RCX is lost.
    private static func jumpIfEntry(_ code: inout Assembler, _ label: Assembler.Label) {
        code.mov(.quad, .rcx, .r11)
        code.arithmetic(.sub, .quad, .rcx, run(\.jumpCache))
        code.arithmetic(.cmp, .quad, .rcx, Int32(JumpEntry.count * JumpEntry.stride))
        code.jump(.b, label)
    }

    /// As `Translator.point`.
    private static func point(_ code: inout Assembler, _ stubs: Stubs) {
        let isDone = code.label()
        code.mov(.quad, slot(\.code), .r10)
        jumpIfEntry(&code, isDone)
        code.mov(.double, .rcx, slot(\.site))
        code.test(.double, .rcx, .rcx)
        code.jump(.e, isDone)
        code.load(.rax, UInt64(stubs.executable) + 4)
        code.arithmetic(.add, .quad, .rax, .rcx)
        code.mov(.quad, .rdx, .r10)
        code.arithmetic(.sub, .quad, .rdx, .rax)
        code.load(.rax, UInt64(stubs.writable))
        code.arithmetic(.add, .quad, .rax, .rcx)
        code.mov(.double, HostAddress(.rax), .rdx)
        code.bind(isDone)
        code.ret()
    }

    private static func unlinked(_ code: inout Assembler, _ stubs: Stubs) {
        code.storeGuestRegisters()
        storeExecuted(&code)
        code.mov(.double, .rax, slot(\.offset))
        code.arithmetic(.add, .quad, .rax, run(\.pageBase))
        code.mov(.quad, HostAddress(.r15, Int(Register.rip)), .rax)
        code.mov(.quad, run(\.chain), .r11)
        code.mov(.quad, run(\.chainTarget), .rax)
        backToRunLoop(&code)
    }

    private static func interpreted(_ code: inout Assembler, _ stubs: Stubs) {
        let isTranslated = code.label()
        code.mov(.quad, .r10, slot(\.target))
        // The interpreter has cut it.
        code.test(.quad, .r10, .r10)
        code.jump(.e, outside: stubs.unlinked)
        code.arithmetic(.cmp, .quad, header(.r10, \.hostEntry, fromFirst: true), 0)
        code.jump(.ne, isTranslated)
        code.storeGuestRegisters()
        storeExecuted(&code)
        storeRIP(&code, .r10, fromFirst: true)
        // A dropped one: its first operation goes back to the run loop, which links the slot anew.
        let isValid = code.label()
        code.arithmetic(.cmp, .byte, header(.r10, \.isValid, fromFirst: true), 0)
        code.jump(.ne, isValid)
        cutChain(&code, stubs)
        code.bind(isValid)
        prepareHandler(&code)
        code.jump(HostAddress(.rsi))
        code.bind(isTranslated)
        code.storeGuestRegisters()
        code.mov(.quad, .r10, header(.r10, \.hostEntry, fromFirst: true))
        code.call(outside: stubs.point)
        code.loadGuestRegisters()
        code.jump(.r10)
    }

    private static func checked(_ code: inout Assembler, _ stubs: Stubs) {
        code.mov(.quad, .r10, run(\.jumpKey))
        code.arithmetic(.cmp, .quad, .r10, slot(\.key))
        code.jump(.ne, outside: stubs.unlinked)
        code.mov(.quad, .r10, run(\.pageBase))
        code.arithmetic(.cmp, .quad, .r10, slot(\.page))
        code.jump(.ne, outside: stubs.unlinked)
        // The slot's jump stays as it is, and leads here the next time too.
        code.mov(.quad, .r10, slot(\.target))
        code.test(.quad, .r10, .r10)
        code.jump(.e, outside: stubs.unlinked)
        code.mov(.quad, .r10, header(.r10, \.hostEntry, fromFirst: true))
        code.test(.quad, .r10, .r10)
        code.jump(.e, outside: stubs.interpreted)
        code.jump(.r10)
    }
}
