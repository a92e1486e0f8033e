// When loops are emitted as a whole: where generated code is again and again when its budget runs out. The block that is next then is the head; the other way
// to enter it, its code alone, lets nobody in until the loop is dropped, which it is with any of its blocks.
// SAFETY: as Translator; blocks of loops are in the block arena, whose reset goes before.

extension Translator {
    /// Samples of a block at which a loop is looked for: it may not have been linked or translated before.
    private static let samplesOfLoop: [UInt8] = [3, 12, 48]
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
        makeLoop(sampled, s.cpu.pointee.x87, scattered: scattered)
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

    /// Emits the loop that begins at `head`, if there is one.
    func makeLoop(
        _ head: UnsafeMutablePointer<Block>, _ x87: X87Control, scattered: Set<LoopVersions.Site> = []
    ) {
        guard !interpreted.contains(.loops), head.pointee.isValid, head.pointee.hostEntry != 0, !head.pointee.isInLoop,
            let plan = LoopPlan(from: head, &decoder)
        else { return }
        let scratch = UnsafeMutablePointer<Op>.allocate(capacity: plan.members.count * BlockBuilder.capacity)
        defer { scratch.deallocate() }
        let emitter = LoopEmitter(plan, stubs, x87, interpreted: interpreted, scattered: scattered) {
            scratch + $0 * BlockBuilder.capacity
        }
        guard var emitter, let code = emitter.code(at: arena.next) else { return }
        guard let place = arena.append(code) else {
            isFull = true
            return
        }
        let address = UInt(bitPattern: place)
        let loop = Loop(plan, emitter.sites, scattered)
        head.pointee.shut()
        head.pointee.hostEntry = address + UInt(emitter.entryPlace)
        head.pointee.hostBody = address + UInt(emitter.bodyPlace)
        head.pointee.hostGate = gate(place, emitter.entryPlace, shutAt: emitter.shutPlace)
        for block in loop.blocks {
            block.pointee.isInLoop = true
            loops[block] = loop
        }
        loopsMade += 1
    }

    /// Before one of its blocks is dropped: the others are what they were.
    func dropLoop(of block: UnsafeMutablePointer<Block>) {
        guard let loop = loops[block] else { return }
        for block in loop.blocks {
            block.pointee.isInLoop = false
            loops[block] = nil
        }
        let head = loop.head
        head.pointee.shut()
        loop.alone.gate.set(loop.alone.gate.open)
        (head.pointee.hostEntry, head.pointee.hostBody, head.pointee.hostGate) = loop.alone
    }

    /// Where a block's code is entered by the interpreter, if not as part of a loop.
    func bodyAlone(of block: UnsafeMutablePointer<Block>) -> UInt {
        guard let loop = loops[block], loop.head == block else { return block.pointee.hostBody }
        return loop.alone.body
    }
}
