// Turns blocks that run often into host code. A translated block is entered as its second operation is, behind `enterBlock`, which has
// counted it and looked at attention: all that holds between the operations of a block (RIP at its start, `executed`, `blockCount`,
// `block`) holds between its instructions here. What is not emitted calls its operations (`callOp`), and so does every access that the TLB
// does not answer: faults, exits, devices and writes to code are the interpreter's, and exact for that reason.
// SAFETY for this file: operations that generated code refers to lie in the block arena, whose reset goes before the code's.

import CHost

final class Translator {
    /// Runs of a block before it is translated.
    static let threshold: UInt32 = 64

    let arena: CodeArena
    private var decoder: Decoder
    private let blocks: BlockCache
    private let scratch: UnsafeMutablePointer<Op>
    private let stubs: Stubs
    private let stubBytes: Int
    /// There was no room for a block: all are dropped before the next look-up.
    private(set) var isFull = false
    /// Blocks that were translated, for `stats` and tests.
    private(set) var translated: UInt64 = 0

    /// Addresses of code that all blocks use.
    struct Stubs {
        /// Calls the operations of an instruction, at RSI, up to `endOfCall`; does not come back where the block ends with it.
        var callOperations: UInt = 0
        /// Goes on at the operation at RSI.
        var leave: UInt = 0
        /// Goes on behind the chain slot at R11, to the block at RIP.
        var chain: UInt = 0
    }

    /// Throws where the host refuses memory for code.
    init(_ features: FeatureSet, _ blocks: BlockCache) throws(CodeArena.Refusal) {
        arena = try CodeArena()
        decoder = Decoder(features: features)
        self.blocks = blocks
        var stubs = Stubs()
        for (path, write) in Translator.stubCode {
            var code = Assembler()
            write(&code)
            guard let place = arena.append(code.finish(at: arena.next)) else { throw CodeArena.Refusal(errno: 0) }
            stubs[keyPath: path] = UInt(bitPattern: place)
        }
        self.stubs = stubs
        stubBytes = arena.used
        scratch = .allocate(capacity: BlockBuilder.capacity)
    }

    deinit { scratch.deallocate() }

    private static var stubCode: [(WritableKeyPath<Stubs, UInt>, (inout Assembler) -> Void)] {
        [(\.callOperations, callOperations), (\.leave, leave), (\.chain, chain)]
    }

    /// Entered by a call: RSP is 0 modulo 16.
    private static func callOperations(_ code: inout Assembler) {
        let (again, ends) = (code.label(), code.label())
        code.bind(again)
        code.mov(.quad, .rdi, .r15)
        code.call(HostAddress(.rsi))
        code.arithmetic(.cmp, .quad, .rax, 1)
        code.jump(.e, ends)
        code.mov(.quad, .rsi, .rax)
        code.load(.r11, UInt64(UInt(bitPattern: unsafeBitCast(unthunked(endOfCall), to: UnsafeRawPointer.self))))
        code.arithmetic(.cmp, .quad, .r11, HostAddress(.rax))
        code.jump(.ne, again)
        code.ret()
        code.bind(ends)
        // To the caller of the block.
        code.arithmetic(.add, .quad, .rsp, 8)
        code.ret()
    }

    private static func leave(_ code: inout Assembler) {
        code.mov(.quad, .rdi, .r15)
        code.jump(HostAddress(.rsi))
    }

    /// As `jump` and `enter` have it (Interpret/Jumps.swift); what may not be entered, and what is not linked, goes the interpreter's way.
    private static func chain(_ code: inout Assembler) {
        let (miss, refuse, holds) = (code.label(), code.label(), code.label())
        func run<T>(_ field: KeyPath<RunState, T>) -> HostAddress { HostAddress(.r15, BlockEmitter.run(field)) }
        func slot<T>(_ field: KeyPath<ChainSlot, T>) -> HostAddress {
            HostAddress(.r11, MemoryLayout<ChainSlot>.offset(of: field).unsafelyUnwrapped)
        }
        code.mov(.quad, .rsi, slot(\.target))
        code.test(.quad, .rsi, .rsi)
        code.jump(.e, miss)
        code.mov(.quad, .r10, slot(\.key))
        code.test(.quad, .r10, .r10)
        code.jump(.e, holds)
        code.arithmetic(.cmp, .quad, .r10, run(\.jumpKey))
        code.jump(.ne, miss)
        code.mov(.quad, .r10, slot(\.rip))
        code.arithmetic(.cmp, .quad, .r10, HostAddress(.r15, Int(Register.rip)))
        code.jump(.ne, miss)
        code.bind(holds)
        code.mov(.quad, .r10, HostAddress(.rsi, MemoryLayout<Op>.offset(of: \.imm).unsafelyUnwrapped))
        code.mov(.quad, .r14, run(\.executed))
        code.arithmetic(.add, .quad, .r14, .r10)
        code.arithmetic(.cmp, .quad, .r14, run(\.deadline))
        code.jump(.a, refuse)
        code.mov(.quad, .rdi, run(\.attention))
        code.mov(.double, .rdi, HostAddress(.rdi))
        code.test(.double, run(\.attentionMask), .rdi)
        code.jump(.ne, refuse)
        code.mov(.quad, run(\.executed), .r14)
        code.mov(.double, run(\.blockCount), .r10)
        code.lea(.quad, .r14, HostAddress(.rsi, -UnsafeMutablePointer<Block>.headerSize))
        code.mov(.quad, run(\.block), .r14)
        code.arithmetic(.add, .quad, .rsi, Int32(Op.stride))
        code.mov(.quad, .rdi, .r15)
        code.jump(HostAddress(.rsi))
        code.bind(refuse)
        // Once more, by the book: it cuts chains to a block that is dropped.
        code.load(.r11, UInt64(UInt(bitPattern: unsafeBitCast(unthunked(enterBlock), to: UnsafeRawPointer.self))))
        code.mov(.quad, .rdi, .r15)
        code.jump(.r11)
        code.bind(miss)
        code.mov(.quad, run(\.chain), .r11)
        code.mov(.quad, .r10, HostAddress(.r15, Int(Register.rip)))
        code.mov(.quad, run(\.chainTarget), .r10)
        code.load(.rax, 1)
        code.ret()
    }

    // MARK: Blocks

    /// After a block was made. `isLater`: it is to run for a while first.
    func prepare(_ block: UnsafeMutablePointer<Block>, isLater: Bool) {
        guard block.pointee.mayTranslate else { return }
        guard isLater else { return translate(block) }
        block.pointee.heat = Translator.threshold
        block.pointee.firstRun = block.operations[1].run
        block.operations[1].run = unthunked(warmUp)
    }

    /// Replaces what the block does by host code, where there is room.
    func translate(_ block: UnsafeMutablePointer<Block>) {
        guard let source = BlockSource(of: block, &decoder) else { return }
        let builder = BlockBuilder(source, operations: scratch)
        guard builder.count == Int(block.pointee.operationCount) else { return }
        var emitter = BlockEmitter(builder, block, stubs) { [blocks] in blocks.allocateOperations($0) }
        let code = emitter.code(at: arena.next)
        if emitter.isPointless { return }
        guard let code, let place = arena.append(code) else {
            isFull = true
            return
        }
        translated += 1
        block.operations[1].run = unsafeBitCast(place, to: Handler.self)
    }

    /// With the block arena.
    func reset() {
        arena.reset(keeping: stubBytes)
        isFull = false
    }
}

/// Behind the copy of an instruction's operations that generated code calls.
let endOfCall: Handler = { s, p in p }

/// In place of the second operation of a block that has not run often enough.
let warmUp: Handler = { s, p in
    let block = s.run.pointee.block.unsafelyUnwrapped
    block.pointee.heat &-= 1
    if block.pointee.heat != 0 { return block.pointee.firstRun(s, p) }
    return translateNow(s, p)
}

@inline(never)
private func translateNow(_ s: S, _ p: P) -> P {
    let block = s.run.pointee.block.unsafelyUnwrapped
    block.operations[1].run = block.pointee.firstRun
    s.run.pointee.owner._withUnsafeGuaranteedRef { $0.translator?.translate(block) }
    return p
}
