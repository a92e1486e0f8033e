// Turns blocks that run often into host code. A translated block is entered from the interpreter by its second operation, behind `enterBlock`, which
// has counted it and looked at attention; from other host code at `Block.hostEntry`. Between the two, generated code keeps registers, flags, RIP
// and the count of instructions in forms of its own (HostRegisters.swift, FlagRecipe.swift, RunState); the stubs (Stubs.swift) bring them
// back. What is not emitted calls its operations, and what an access meets beyond the TLB is the interpreter's: faults, exits, devices and
// writes to code are exact for that reason. Attention that other threads raise is heard after at most `longestRun` instructions.
// SAFETY for this file: operations that generated code refers to lie in the block arena, whose reset goes before the code's.

import CHost
import Core

final class Translator {
    /// Instructions until the run loop looks at attention, at most.
    static let longestRun = 20_000

    let arena: CodeArena
    var decoder: Decoder
    let blocks: BlockCache
    private let scratch: UnsafeMutablePointer<Op>
    let stubs: Stubs
    private let stubBytes: Int
    /// There was no room for a block: all are dropped before the next look-up.
    var isFull = false
    /// Blocks that were translated, for `stats` and tests.
    private(set) var translated: UInt64 = 0
    /// Of these, those with groups of accesses, and those that would have had some, had both versions agreed.
    private(set) var grouped: (kept: UInt64, unlike: UInt64) = (0, 0)

    /// Loops that were emitted as a whole.
    var loopsMade: UInt64 = 0
    /// By each of their blocks, which may be in one loop, and in many paths.
    var loops: [UnsafeMutablePointer<Block>: Loop] = [:]
    var paths: [UnsafeMutablePointer<Block>: [Loop]] = [:]
    var pathsMade: UInt64 = 0

    /// What is the interpreter's.
    let interpreted: Set<TranslationFamily>
    /// Blocks that stay interpreted, by cause.
    private(set) var obstacles = [UInt64](repeating: 0, count: Obstacle.allCases.count)

    /// Why a block is not translated.
    enum Obstacle: Int, CaseIterable {
        case notKept, watched, segmented, changed, pointless, noRoom

        var text: String {
            switch self {
            case .notKept: "its code is not in RAM or ROM, or was dropped"
            case .watched: "single steps, data breakpoints or alignment checks"
            case .segmented: "16-bit code, or segments that are not flat"
            case .changed: "its kept bytes give other operations"
            case .pointless: "nothing in it is emitted"
            case .noRoom: "there was no room"
            }
        }
    }

    /// Throws where the host refuses memory for code. `interpreted`: families that are not emitted.
    init(
        _ features: FeatureSet, _ blocks: BlockCache, interpreted: Set<TranslationFamily>
    ) throws(CodeArena.Refusal) {
        self.interpreted = interpreted

        arena = try CodeArena()
        decoder = Decoder(features: features)
        self.blocks = blocks
        var stubs = Stubs()
        (stubs.executable, stubs.writable) = arena.beginnings
        for (path, write) in Translator.stubCode {
            var code = Assembler()
            write(&code, stubs)
            guard let place = arena.append(code.finish(at: arena.next)) else { throw CodeArena.Refusal(errno: 0) }
            stubs[keyPath: path] = UInt(bitPattern: place)
        }
        self.stubs = stubs
        stubBytes = arena.used
        scratch = .allocate(capacity: BlockBuilder.capacity)
        blocks.willDropRegions = { [unowned self] in
            dropLoop(of: $0)
            dropPaths(through: $0)
        }
    }

    deinit { scratch.deallocate() }

    /// Where generated code goes on in a block.
    func entry(of block: UnsafeMutablePointer<Block>) -> UInt {
        block.pointee.hostEntry != 0 ? block.pointee.hostEntry : stubs.interpreted
    }

    /// A slot's target has its code there; and so has the jump that is the slot's. Who has fetched the old distance goes where it could have gone before, but for
    /// links under a key: there the old target was another one's.
    func point(_ slot: UnsafeMutablePointer<ChainSlot>, at code: UInt) {
        let mustBeSeen = !slot.pointee.isOwnPage && slot.pointee.target != nil
        slot.pointee.code = code
        guard slot.pointee.site != 0 else { return }
        arena.setDistance(at: Int(slot.pointee.site), to: code)
        if mustBeSeen { ch_serialize() }
    }

    // MARK: Blocks

    /// After a block was made: it is translated after so many runs.
    func prepare(_ block: UnsafeMutablePointer<Block>, after runs: UInt32, _ x87: X87Control) {
        if let obstacle = block.pointee.obstacle { return count(obstacle) }
        guard runs > 0 else { return translate(block, x87) }
        block.pointee.heat = runs
        block.pointee.firstRun = block.operations[1].run
        block.operations[1].run = unthunked(warmUp)
    }

    /// Replaces what the block does by host code, where there is room; `x87`: as the CPU has it where the block begins.
    func translate(_ block: UnsafeMutablePointer<Block>, _ x87: X87Control) {
        guard var emitter = emitter(of: block, x87, room: { [blocks] in blocks.allocateOperations($0) }) else {
            return count(.changed)
        }
        let code = emitter.code(at: arena.next)
        if emitter.isPointless { return count(.pointless) }
        guard let code, let place = arena.append(code) else {
            isFull = true
            return count(.noRoom)
        }
        translated += 1
        if emitter.isGrouped { grouped.kept += 1 }
        if emitter.isUnlike { grouped.unlike += 1 }
        let address = UInt(bitPattern: place)
        block.pointee.isWhole = emitter.isWhole
        block.pointee.hostEntry = address + UInt(emitter.entryPlace)
        block.pointee.hostBody = address + UInt(emitter.bodyPlace)
        block.pointee.hostGate = gate(place, emitter.entryPlace, shutAt: emitter.shutPlace)
        for (number, site) in emitter.sites.enumerated() {
            if let site { block.chain(number).pointee.site = arena.offset(of: place + site) }
        }
        block.operations[1].run = unsafeBitCast(UnsafeRawPointer(bitPattern: stubs.enter), to: Handler.self)
    }

    /// Of code at `place`, by places from there.
    func gate(_ place: UnsafeRawPointer, _ entry: Int, shutAt target: Int) -> HostGate {
        let bytes = arena.writable(place, entry).assumingMemoryBound(to: UInt64.self)
        return HostGate(place: bytes, open: bytes.pointee, shut: Assembler.jump(distance: target - entry))
    }

    private func count(_ obstacle: Obstacle) { obstacles[obstacle.rawValue] += 1 }

    /// nil: the block's kept bytes are not what it was made of.
    private func emitter(
        of block: UnsafeMutablePointer<Block>, _ x87: X87Control, room: @escaping (Int) -> UnsafeMutablePointer<Op>?
    ) -> BlockEmitter? {
        guard let source = BlockSource(of: block, &decoder) else { return nil }
        let builder = BlockBuilder(source, operations: scratch)
        guard builder.count == Int(block.pointee.operationCount) else { return nil }
        return BlockEmitter(builder, block, stubs, x87, interpreted: interpreted, room: room)
    }

    /// A translated block's code, made once more for who asks, by guest instruction; nil: it was made of other bytes.
    func listing(
        of block: UnsafeMutablePointer<Block>, _ x87: X87Control
    ) -> (instructions: [Instruction], code: [UInt8], places: [Range<Int>])? {
        var copies: [UnsafeMutablePointer<Op>] = []
        defer { for copy in copies { copy.deallocate() } }
        let emitter = emitter(of: block, x87) { count in
            let copy = UnsafeMutablePointer<Op>.allocate(capacity: count)
            copies.append(copy)
            return copy
        }
        guard var emitter, emitter.code(at: arena.next) != nil else { return nil }
        let place = bodyAlone(of: block) &- UInt(emitter.bodyPlace)
        return (emitter.source.instructions, emitter.code.finish(at: place), emitter.places)
    }

    /// With the block arena.
    func reset() {
        arena.reset(keeping: stubBytes)
        (loops, paths) = ([:], [:])
        isFull = false
    }
}

/// Behind the copy of an instruction's operations that generated code calls.
let endOfCall: Handler = { s, p in p }

/// Between the copies of two instructions: the first one may have dropped the block.
let stillValid: Handler = { s, p in
    if s.run.pointee.block.unsafelyUnwrapped.pointee.isValid { return next(s, p) }
    return UnsafeRawPointer(bitPattern: UInt(truncatingIfNeeded: p.op.pointee.imm64)).unsafelyUnwrapped
}

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
    s.run.pointee.owner._withUnsafeGuaranteedRef { $0.translator?.translate(block, s.cpu.pointee.x87) }
    return p
}
