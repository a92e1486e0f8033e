// When loops are emitted as a whole: where generated code is again and again when its budget runs out. The block that is next then is the head; the other way
// to enter it, its code alone, lets nobody in until the loop is dropped, which it is with any of its blocks.
// Where no loop begins, the blocks that follow are a path. A block's flags, its test of the budget and the jump to the next one are spared on it; and an indirect jump at its end,
// as an interpreter has one behind each of its instructions, is one of its own, which the host foretells better.
// SAFETY: as Translator; blocks of loops are in the block arena, whose reset goes before.

extension Translator {
    /// Samples of a block at which a loop is looked for: it may not have been linked or translated before.
    private static let samplesOfLoop: [UInt8] = [3, 12, 48]
    private static let samplesOfPath: [UInt8] = [12, 48]
    /// An access that has changed its page more often, from sample to sample, is not worth to be kept a place for: a change costs what 20 accesses gain.
    private static let missesOfSite: UInt64 = 16

    final class Loop {
        /// The first one is the head.
        let blocks: [UnsafeMutablePointer<Block>]
        let sites: [LoopVersions.Site]
        let scattered: Set<LoopVersions.Site>
        /// What the head is without it.
        let alone: (entry: UInt, body: UInt, gate: HostGate)

        var head: UnsafeMutablePointer<Block> { blocks[0] }

        init(_ plan: LoopPlan, _ sites: [LoopVersions.Site], _ scattered: Set<LoopVersions.Site>) {
            (blocks, self.sites, self.scattered) = (plan.members.map(\.block), sites, scattered)
            let head = plan.members[0].block.pointee
            alone = (head.hostEntry, head.hostBody, head.hostGate)
        }
    }

    /// The block whose first operation is `first` was next when much of generated code had run.
    func sample(_ first: P, _ s: S) {
        let block = UnsafeMutableRawPointer(mutating: first) - UnsafeMutablePointer<Block>.headerSize
        let sampled = block.assumingMemoryBound(to: Block.self)
        let places = UnsafeMutableBufferPointer(
            start: (s + Layout.sites).assumingMemoryBound(to: LoopSite.self), count: LoopSite.count)
        let areScattered = places.contains { $0.misses > Translator.missesOfSite }
        if areScattered, sampled.pointee.isInLoop, let loop = loops[sampled] { look(at: loop, places, s) }
        for number in places.indices { places[number].misses = 0 }
        let isHead = sampled.pointee.isInLoop && loops[sampled]?.head == sampled
        guard !isHead, sampled.pointee.hostEntry != 0, sampled.pointee.samples < .max else { return }
        sampled.pointee.samples += 1
        guard Translator.samplesOfLoop.contains(sampled.pointee.samples) else { return }
        // Within a loop within that loop the head may not come for long.
        let scattered = loops[sampled]?.scattered ?? []
        dropLoop(of: sampled)
        if makeLoop(sampled, s.cpu.pointee.x87, scattered: scattered) { return }
        if Translator.samplesOfPath.contains(sampled.pointee.samples) { makePath(sampled, s.cpu.pointee.x87) }
    }

    /// Emits it once more where accesses change their pages all the time, which look into the TLB then.
    private func look(at loop: Loop, _ places: UnsafeMutableBufferPointer<LoopSite>, _ s: S) {
        guard loop.scattered.count < LoopSite.count * 2 else { return }
        var scattered = loop.scattered
        for (number, site) in loop.sites.enumerated() {
            if places[number].misses > Translator.missesOfSite { scattered.insert(site) }
        }
        guard scattered.count > loop.scattered.count else { return }
        dropLoop(of: loop.head)
        makeLoop(loop.head, s.cpu.pointee.x87, scattered: scattered)
    }

    /// What begins at `head`.
    func makeRegion(_ head: UnsafeMutablePointer<Block>, _ x87: X87Control) {
        if !makeLoop(head, x87) { makePath(head, x87) }
    }

    /// Emits the loop that begins at `head`; false: there is none, or it could not be.
    @discardableResult
    func makeLoop(
        _ head: UnsafeMutablePointer<Block>, _ x87: X87Control, scattered: Set<LoopVersions.Site> = []
    ) -> Bool {
        guard canBegin(head), let plan = LoopPlan(.loop, from: head, &decoder) else { return false }
        guard let loop = make(plan, x87, scattered) else { return false }
        // What leads by here is the loop's.
        dropPaths(through: head)
        for block in loop.blocks {
            block.pointee.isInLoop = true
            loops[block] = loop
        }
        loopsMade += 1
        return true
    }

    private func makePath(_ head: UnsafeMutablePointer<Block>, _ x87: X87Control) {
        let isKnown = paths[head]?.contains { $0.head == head } ?? false
        guard !isKnown, canBegin(head), let plan = LoopPlan(.path, from: head, &decoder),
            let path = make(plan, x87, [])
        else { return }
        for block in path.blocks {
            block.pointee.isInPath = true
            paths[block, default: []].append(path)
        }
        pathsMade += 1
    }

    private func canBegin(_ head: UnsafeMutablePointer<Block>) -> Bool {
        !interpreted.contains(.loops) && head.pointee.isValid && head.pointee.hostEntry != 0 && !head.pointee.isInLoop
    }

    /// nil: it cannot be emitted, or there is no room.
    private func make(_ plan: LoopPlan, _ x87: X87Control, _ scattered: Set<LoopVersions.Site>) -> Loop? {
        let head = plan.members[0].block
        let scratch = UnsafeMutablePointer<Op>.allocate(capacity: plan.members.count * BlockBuilder.capacity)
        defer { scratch.deallocate() }
        let emitter = LoopEmitter(
            plan, stubs, x87, interpreted: interpreted, scattered: scattered,
            slots: { [blocks] in blocks.allocateSlot(for: $0) }
        ) {
            scratch + $0 * BlockBuilder.capacity
        }
        guard var emitter, let code = emitter.code(at: arena.next) else { return nil }
        guard let place = arena.append(code) else {
            isFull = true
            return nil
        }
        let address = UInt(bitPattern: place)
        dropPath(from: head)
        let loop = Loop(plan, emitter.sites, scattered)
        for exit in emitter.exits { exit.slot.pointee.site = arena.offset(of: place + exit.site) }
        head.pointee.shut()
        head.pointee.hostEntry = address + UInt(emitter.entryPlace)
        head.pointee.hostBody = address + UInt(emitter.bodyPlace)
        head.pointee.hostGate = gate(place, emitter.entryPlace, shutAt: emitter.shutPlace)
        return loop
    }

    /// Before one of its blocks is dropped, or another is made with one: the others are what they were.
    func dropLoop(of block: UnsafeMutablePointer<Block>) {
        guard let loop = loops[block] else { return }
        for block in loop.blocks {
            block.pointee.isInLoop = false
            loops[block] = nil
        }
        leaveAlone(loop)
    }

    func dropPaths(through block: UnsafeMutablePointer<Block>) {
        for path in paths[block] ?? [] { drop(path) }
    }

    private func dropPath(from head: UnsafeMutablePointer<Block>) {
        for path in paths[head] ?? [] where path.head == head { drop(path) }
    }

    private func drop(_ path: Loop) {
        for block in path.blocks {
            paths[block]?.removeAll { $0 === path }
            if paths[block]?.isEmpty ?? true {
                block.pointee.isInPath = false
                paths[block] = nil
            }
        }
        leaveAlone(path)
    }

    private func leaveAlone(_ loop: Loop) {
        let head = loop.head
        head.pointee.shut()
        loop.alone.gate.set(loop.alone.gate.open)
        (head.pointee.hostEntry, head.pointee.hostBody, head.pointee.hostGate) = loop.alone
    }

    /// Where a block's code is entered by the interpreter, if not as part of a loop.
    func bodyAlone(of block: UnsafeMutablePointer<Block>) -> UInt {
        if let loop = loops[block], loop.head == block { return loop.alone.body }
        return paths[block]?.first { $0.head == block }?.alone.body ?? block.pointee.hostBody
    }
}
