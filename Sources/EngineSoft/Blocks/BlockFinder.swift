// Where the CPU gets its next block: found by its place in memory and its mode, or read and made; and how it is linked to the one before.
// SAFETY for this file: see BlockCache.

import Core

extension SoftCPU {
    /// By physical address and mode, decoded where it is not there; nil: a fault is left, or it was emptied (try again).
    @inline(never)
    func findBlock(single: Bool) -> P {
        lookups += 1
        if options.emptiesArenaEvery > 0 && lookups >= options.emptiesArenaEvery || translator?.isFull == true {
            lookups = 0
            emptyArena()
        }
        let chain = s.run.pointee.chain
        s.run.pointee.chain = nil
        let rip = s.rip
        var mode = s.run.pointee.mode
        if single || options.singleStepsAlways { mode.insert(.single) }
        guard checkFetchLimit(rip) else { return toRunLoop }
        // The walk to the code may exit.
        s.publishCount()
        s.run.pointee.exitRIP = rip
        let linear = fetchLinear(rip)
        if hasBreakpoints, isBreakpoint(linear) { return stopAtBreakpoint() }
        guard let physical = memory.translateFetch(s, linear) else { return toRunLoop }
        let found = memory.blocks.find(memory.codePlace(physical), mode) { block in
            let next = ((linear | 0xfff) &+ 1) & s.run.pointee.linearMask
            return memory.translateFetch(s, next).map(memory.codePlace) == block.pointee.secondPage
        }
        s.run.pointee.stop = .none
        let block: UnsafeMutablePointer<Block>
        if let found {
            block = found
            guard isWithinLimit(rip, block.pointee.length) else {
                if mode.contains(.single) {
                    s.setFault(Vector.gp, code: 0)
                    return toRunLoop
                }
                return findBlock(single: true)
            }
        } else {
            guard let made = decodeBlock(rip: rip, linear: linear, physical: physical, mode: mode) else {
                return toRunLoop
            }
            block = made
        }
        let first = block.first
        if !mode.contains(.single) || options.singleStepsAlways { link(chain, block, rip) }
        return first
    }

    private func link(_ chain: UnsafeMutablePointer<ChainSlot>?, _ block: UnsafeMutablePointer<Block>, _ rip: UInt64) {
        guard block.pointee.isValid else { return }
        let key = s.run.pointee.jumpKey
        guard block.pointee.isKept, s.run.pointee.mode.contains(.flat) || s.run.pointee.mode.contains(.code64) else {
            return
        }
        let code = translator?.entry(of: block) ?? 0
        jumpCache[JumpEntry.index(rip)] = JumpEntry(target: block.first, code: code, rip: rip, key: key)
        guard let chain, s.run.pointee.chainTarget == rip else { return }
        let isPermanent = chain.pointee.isOwnPage && block.pointee.secondPage == Block.noPage
        // Generated code looks at no key on the own page.
        let entry = chain.pointee.isOwnPage && !isPermanent ? translator?.stubs.checked ?? 0 : code
        set(chain, block, rip, key: isPermanent ? 0 : key, entry)
        // The block's own is for who plans a loop.
        if isPermanent, let origin = chain.pointee.origin, origin.pointee.target == nil {
            set(origin, block, rip, key: 0, entry)
        }
        if options.translation != .on { translator?.makeRegion(block, s.cpu.pointee.x87) }
    }

    private func set(
        _ slot: UnsafeMutablePointer<ChainSlot>, _ block: UnsafeMutablePointer<Block>, _ rip: UInt64, key: UInt64,
        _ code: UInt
    ) {
        (slot.pointee.rip, slot.pointee.page) = (rip, rip & ~0xfff)
        translator?.point(slot, at: code)
        slot.pointee.key = key
        slot.pointee.target = block.first
    }

    // MARK: Fetching

    /// The linear address of an instruction.
    func fetchLinear(_ rip: UInt64) -> UInt64 {
        if s.run.pointee.mode.contains(.code64) { return rip }
        return (rip &+ s.segment(Segment.cs).pointee.base) & 0xffff_ffff
    }

    private func checkFetchLimit(_ rip: UInt64) -> Bool {
        if isWithinLimit(rip, 1) { return true }
        s.setFault(Vector.gp, code: 0)
        return false
    }

    private func isWithinLimit(_ rip: UInt64, _ length: UInt32) -> Bool {
        let mode = s.run.pointee.mode
        if mode.contains(.code64) || mode.contains(.flat) { return true }
        return rip &+ UInt64(length) &- 1 <= UInt64(s.segment(Segment.cs).pointee.limit)
    }

    // MARK: Decoding

    /// Makes a block of what is at `rip`; nil: a fault is left, or there was no room (try again).
    private func decodeBlock(
        rip: UInt64, linear: UInt64, physical: UInt64, mode: Mode
    ) -> UnsafeMutablePointer<Block>? {
        guard let source = read(linear: linear, physical: physical, mode: mode) else { return nil }
        if !isWithinLimit(rip, UInt32(source.length)) {
            if source.instructions.count == 1 {
                s.setFault(Vector.gp, code: 0)
                return nil
            }
            return decodeBlock(rip: rip, linear: linear, physical: physical, mode: mode.union(.single))
        }
        return store(source, physical)
    }

    /// The instructions from a guest-physical address on, until a jump, the end of the page, or a breakpoint; nil: a fault is left.
    func read(linear: UInt64, physical: UInt64, mode: Mode) -> BlockSource? {
        var source = BlockSource(mode: mode, pageOffset: linear & 0xfff)
        var window = FetchWindow()
        memory.watchCode(physical)
        window.load(memory, s, physical)
        // Outside of RAM and ROM each instruction is fetched when it runs, and only then.
        let isSingle = mode.contains(.single) || !memory.canKeep(physical)
        let limit = isSingle ? 1 : BlockSource.maximumInstructions
        source.mayStop = mayStop(source)
        var i = Instruction()
        while !source.isFull(limit: limit) {
            if !source.instructions.isEmpty, mayStop(source) { break }
            var outcome = window.decode(&decoder, at: source.length, mode, &i)
            if outcome == .truncated {
                // It goes on behind the page: a block of its own.
                if !source.instructions.isEmpty { break }
                let next = ((linear | 0xfff) &+ 1) & s.run.pointee.linearMask
                guard let second = memory.translateFetch(s, next) else { return nil }
                // The walk may have written an A bit to the first page, and so taken back its mark.
                memory.watchCode(physical)
                memory.watchCode(second)
                window.append(memory, s, second)
                source.secondPage = second
                outcome = window.decode(&decoder, at: 0, mode, &i)
            }
            source.append(i, outcome)
        }
        return source
    }

    private func store(_ source: BlockSource, _ physical: UInt64) -> UnsafeMutablePointer<Block>? {
        let bytes = translator == nil || source.mayStop ? [] : memory.bytes(at: physical, source)
        let builder = BlockBuilder(source, operations: scratch)
        guard let block = memory.blocks.allocate(operations: builder.count, bytes: bytes.count) else {
            emptyArena()
            return nil
        }
        block.initialize(
            to: Block(
                address: memory.codePlace(physical),
                secondPage: source.secondPage.map { memory.codePlace($0) } ?? Block.noPage,
                mode: source.mode, length: UInt32(source.length),
                instructionCount: UInt16(source.instructions.count), operationCount: UInt16(builder.count),
                isValid: true, isKept: false, nextInBucket: nil,
                chains: (chain(builder.targets.0), chain(builder.targets.1)), firstRun: builder.operations[1].run))
        block.operations.update(from: builder.operations, count: builder.count)
        for (index, byte) in bytes.enumerated() { block.bytes[index] = byte }
        if memory.canKeep(physical), source.secondPage.map({ memory.canKeep($0) }) ?? true {
            block.pointee.isKept = true
            memory.blocks.insert(block)
            if !bytes.isEmpty {
                let runs = options.translation == .on ? options.translatesAfter : 0
                translator?.prepare(block, after: runs, s.cpu.pointee.x87)
            }
        }
        return block
    }

    private func chain(_ target: BlockBuilder.Target) -> ChainSlot {
        ChainSlot(
            target: nil, code: translator?.stubs.unlinked ?? 0, offset: target.pageOffset, isOwnPage: target.isOwnPage)
    }

    /// Drops all decoded code and every pointer to it.
    func emptyArena() {
        memory.blocks.reset()
        translator?.reset()
        s.run.pointee.block = nil
        s.run.pointee.chain = nil
        jumpCache.update(repeating: .empty, count: JumpEntry.count)
    }
}
